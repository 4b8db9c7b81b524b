"""What is written behind `%rag`, taken apart; names are looked up and never evaluated."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aisdk.errors import InvalidInput
from aisdk.notebook.command import interpolated, read_command, value_of

NAMES: dict[str, Any] = {
    "k": 3,
    "where": {"year": 2020},
    "topic": "dates --frame",
    "again": "{{ k }}",
    "os": re,
}


@pytest.mark.parametrize(
    ("line", "options", "target", "question"),
    [
        ("how do I parse a date", {}, "", "how do I parse a date"),
        ('  what\'s "this"  ', {}, "", 'what\'s "this"'),
        ("-k 3 what", {"-k": "3"}, "", "what"),
        ("-k3 --mode=dense what", {"-k": "3", "--mode": "dense"}, "", "what"),
        ("--frame hits << what", {"--frame": True}, "hits", "what"),
        ("hits << -k 3 what", {"-k": "3"}, "hits", "what"),
        ("hits<<what", {}, "hits", "what"),
        ("hits <<", {}, "hits", ""),
        ("what is x << 3", {}, "", "what is x << 3"),
        ("a << b << c", {}, "a", "b << c"),
        ("class << c", {}, "", "class << c"),
        ('--where {"a": {"b": [1]}} what', {"--where": {"a": {"b": [1]}}}, "", "what"),
        ('--where \'{"a": "it\'s"}\' what', {"--where": {"a": "it's"}}, "", "what"),
        ("--where {{ where }} what", {"--where": {"year": 2020}}, "", "what"),
        ("-k {{k}} what", {"-k": 3}, "", "what"),
        ("-- -k 3 what --frame", {}, "", "-k 3 what --frame"),
        ("-k 3 -- --frame", {"-k": "3"}, "", "--frame"),
        ("what about - or -x", {}, "", "what about - or -x"),
        ("", {}, "", ""),
        ("--", {}, "", ""),
    ],
)
def test_read_command_takes_the_line_apart(
    line: str, options: dict[str, Any], target: str, question: str
) -> None:
    """Options and a name stand before the question, which stays as it was written."""
    command = read_command(line, NAMES)
    assert (command.options, command.target, command.question) == (options, target, question)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--top 3 what", "There is no option --top."),
        ("-x what", "There is no option -x."),
        ("-k", "The option -k lacks its value."),
        ("--mode", "The option --mode lacks its value."),
        ("what -k 3", "-k stands behind the question."),
        ("what --mode=dense", "--mode stands behind the question."),
        ("--where year=2020 what", "--where takes a JSON object."),
        ("--where {'year': 2020} what", "--where takes a JSON object."),
        ("--where [1] what", "--where takes a JSON object."),
        ('--where {"a": 1}what', "--where takes a JSON object."),
        ('--where \'{"a": 1} what', "--where takes a JSON object."),
        ("--where", "--where takes a JSON object."),
        ("--where {{ nothing }} what", "There is no variable nothing."),
        ("--frame=False what", "--frame takes no value."),
    ],
)
def test_read_command_refuses_what_it_does_not_know(line: str, message: str) -> None:
    """The message names the option, and there is a hint."""
    with pytest.raises(InvalidInput) as caught:
        read_command(line, NAMES)
    assert caught.value.message == message
    assert caught.value.hint


def test_interpolated_replaces_names_by_their_text() -> None:
    """Text in a variable is not looked through again."""
    assert interpolated("top {{ k }} of {{topic}}", NAMES) == "top 3 of dates --frame"
    assert interpolated("{{ again }}", NAMES) == "{{ k }}"
    assert interpolated("{one} $two {{three", NAMES) == "{one} $two {{three"


def test_value_of_gives_the_variable_itself() -> None:
    """An option gets the object, not its text."""
    assert value_of("{{ where }}", NAMES) is NAMES["where"]
    assert value_of("acme", NAMES) == "acme"


@pytest.mark.parametrize(
    "written",
    [
        "__import__('os')",
        "__import__('os').system('id')",
        "os.environ",
        "os.__dict__",
        "where['year']",
        "k + 1",
        "k()",
        "k!r",
        "k:>9",
        "(k)",
        "lambda: 1",
        "k; k",
        "k, k",
        "[k]",
        "'k'",
        "",
        "{k",
        "k\nk",
        "{{ k }}",
        "class",
    ],
)
def test_interpolated_refuses_all_but_names(written: str) -> None:
    """Nothing is evaluated, no attribute is read."""
    with pytest.raises(InvalidInput, match="Only the name of a variable"):
        interpolated(f"x {{{{ {written} }}}}", NAMES)


@pytest.mark.parametrize("written", ["__import__", "unknown", "Ⅳ"])
def test_interpolated_names_a_variable_that_is_not_there(written: str) -> None:
    """Builtins are no variables of the user's."""
    with pytest.raises(InvalidInput, match=f"There is no variable {written}") as caught:
        interpolated(f"{{{{ {written} }}}}", NAMES)
    assert caught.value.hint == f"Assign it in a cell first: {written} = …"
