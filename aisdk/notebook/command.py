"""What is written behind ``%rag``: options, a name to assign to, and a question."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aisdk.errors import InvalidInput

__all__ = ["OPTIONS", "Command", "interpolated", "read_command", "value_of"]

OPTIONS: Final = ("-k", "--mode", "--where", "--frame")

_NAME: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TARGET: Final = re.compile(r"([^\W\d]\w*)\s*<<\s*")
_END: Final = re.compile(r"--(\s+|$)")
_OPTION: Final = re.compile(r"(-k(?=\d)|--?[A-Za-z][\w-]*)[\s=]*")
_WORD: Final = re.compile(r"\S+")
_JSON: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Command:
    """A line behind ``%rag`` or ``%%rag``, taken apart.

    Attributes:
        options: Option → what was written behind it; ``True`` for ``--frame``.
        target: The variable before ``<<``, or nothing.
        question: The rest, its ``{{ name }}`` not yet replaced.
    """

    options: Mapping[str, Any]
    target: str
    question: str


def read_command(line: str, names: Mapping[str, Any]) -> Command:
    """Takes a line apart: options and ``name <<`` in any order, then the question.

    ``--`` ends the options. Nothing that a variable holds is ever read as an option.

    Args:
        line: What stands behind the magic's name.
        names: The user's variables, for options such as ``-k {{ name }}``.

    Raises:
        InvalidInput: An option is unknown, lacks its value, or stands behind the question.
    """
    options: dict[str, Any] = {}
    target, rest = "", line.strip()
    while rest:
        if match := _END.match(rest):
            return Command(options, target, rest[match.end() :])
        match = _TARGET.match(rest)
        if match and not target and not keyword.iskeyword(match[1]):
            target, rest = match[1], rest[match.end() :]
        elif match := _OPTION.match(rest):
            is_given = "=" in match[0]
            value = _argument(match[1], rest[match.end() :], names, is_given=is_given)
            options[match[1]], rest = value
        else:
            break
    _refuse_late_options(rest)
    return Command(options, target, rest)


def interpolated(text: str, names: Mapping[str, Any]) -> str:
    """The text with every ``{{ name }}`` replaced by ``str()`` of that variable.

    Names are looked up, nothing is evaluated; what a variable holds is not looked through again.

    Raises:
        InvalidInput: Something else than a variable's name stands between the braces.
    """
    return _NAME.sub(lambda match: str(_looked_up(match[1], names)), text)


def value_of(word: str, names: Mapping[str, Any]) -> Any:
    """The variable itself where the word is ``{{ name }}``, else the word.

    Raises:
        InvalidInput: Something else than a variable's name stands between the braces.
    """
    match = _NAME.fullmatch(word)
    return _looked_up(match[1], names) if match else word


def _looked_up(written: str, names: Mapping[str, Any]) -> Any:
    name = written.strip()
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidInput(
            "Only the name of a variable may stand between {{ and }}.",
            hint="Assign the value to a variable first, then write {{ name }}.",
        )
    if name not in names:
        raise InvalidInput(
            f"There is no variable {name}.", hint=f"Assign it in a cell first: {name} = …"
        )
    return names[name]


def _argument(
    option: str, text: str, names: Mapping[str, Any], *, is_given: bool
) -> tuple[Any, str]:
    """What belongs to an option, and what is left of the text."""
    if option not in OPTIONS:
        raise InvalidInput(
            f"There is no option {option}.",
            hint=f"Options are {', '.join(OPTIONS)}; behind -- everything is the question.",
        )
    if option == "--frame":
        if is_given:
            raise InvalidInput("--frame takes no value.", hint="Write %rag --frame QUESTION.")
        return True, text
    if match := _NAME.match(text):
        return _looked_up(match[1], names), text[match.end() :].lstrip()
    if option == "--where":
        return _condition(text)
    match = _WORD.match(text)
    if match is None:
        raise InvalidInput(f"The option {option} lacks its value.", hint="Write %rag? for help.")
    return match[0], text[match.end() :].lstrip()


def _condition(text: str) -> tuple[Any, str]:
    """The JSON object at the start of the text, in single quotes or bare, and the rest."""
    quoted = text.startswith("'")
    try:
        condition, end = _JSON.raw_decode(text, int(quoted))
    except ValueError:
        condition, end = None, 0
    rest = text[end + quoted :]
    is_closed = not quoted or text[end : end + 1] == "'"
    if not isinstance(condition, dict) or not is_closed or rest[:1].strip():
        raise InvalidInput(
            "--where takes a JSON object.",
            hint='Write --where {"year": {">=": 2020}}, or --where {{ name }} for a dict of yours.',
        )
    return condition, rest.lstrip()


def _refuse_late_options(question: str) -> None:
    late = [word for word in question.split() if word.partition("=")[0] in OPTIONS]
    if late:
        raise InvalidInput(
            f"{late[0].partition('=')[0]} stands behind the question.",
            hint="Write options first; behind -- everything is the question.",
        )
