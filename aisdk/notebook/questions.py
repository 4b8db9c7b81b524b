"""What IPython would misread in a cell with ``%rag``, put so that it reaches the magic."""

from __future__ import annotations

import re
from tokenize import DEDENT, INDENT, TokenInfo

from IPython.core.inputtransformer2 import make_tokens_by_line

__all__ = ["reach_magics"]

_EMPTY = re.compile(r"%%(rag|aisdk)(\s.*)?\n")


def reach_magics(lines: list[str]) -> list[str]:
    """Puts a space before the question mark behind a line of ``%rag``, a line below ``%%rag``.

    IPython takes ``%rag what is a date?`` for a request for help about ``date``, but not so
    ``date ?``. ``%rag?`` stays what it is, and so do strings and bodies of other cell magics. A
    cell of nothing but ``%%rag`` it refuses with an error that nbval does not count as one.

    Args:
        lines: A cell's lines, as IPython gives them to ``input_transformers_cleanup``.
    """
    if lines[:1] and lines[0].startswith("%%"):
        return [*lines, "\n"] if len(lines) == 1 and _EMPTY.fullmatch(lines[0]) else lines
    parted = list(lines)
    for tokens in make_tokens_by_line(lines):
        mark = _mark(tokens)
        if mark is not None:
            row, column = mark
            line = parted[row - 1]
            parted[row - 1] = f"{line[:column]} {line[column:]}"
    return parted


def _mark(tokens: list[TokenInfo]) -> tuple[int, int] | None:
    """Where the question marks at the end of a ``%rag`` line begin, if it is one."""
    words = [token for token in tokens if token.type not in (INDENT, DEDENT) and token.string]
    while words and not words[-1].string.strip():
        words.pop()
    marks = []
    while words and words[-1].string == "?":
        marks.append(words.pop())
    if not marks or not _asks([word.string for word in words]):
        return None
    return marks[-1].start


def _asks(words: list[str]) -> bool:
    """Whether the words are those of ``%rag …``, ``name = %rag …`` or ``%time %rag …``."""
    if words[:2] in (["%", "time"], ["%", "timeit"]):
        words = words[2:]
    if words[:1] != ["%"] and "=" in words:
        words = words[words.index("=") + 1 :]
    return words[:2] == ["%", "rag"] and len(words) > 2
