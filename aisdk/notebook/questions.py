"""What IPython would misread in a cell with ``%rag``, put so that it reaches the magic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from tokenize import DEDENT, INDENT, TokenInfo
from typing import Final

from IPython.core.getipython import get_ipython
from IPython.core.inputtransformer2 import make_tokens_by_line
from IPython.core.prefilter import is_shadowed

__all__ = ["keep_silent", "reach_magics"]

_EMPTY: Final = re.compile(r"%%(rag|aisdk)(\s.*)?\n")
_RAG: Final = re.compile(r"%rag\s+[^\s?]")
_PLAIN: Final = re.compile(r"rag\s+[^\s?=,]")
_AROUND: Final = (["%", "time"], ["%", "timeit"], ["%", "prun"])
_SILENT: Final = re.compile(r"\s*get_ipython\(\)\.run_line_magic\('rag', .*;['\"]\)\n")
_CODE: Final = re.compile(r"\s*[^\s#]")


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
        mark = _mark(tokens, lines)
        if mark is not None:
            row, column = mark
            line = parted[row - 1]
            parted[row - 1] = f"{line[:column]} {line[column:]}"
    return parted


def keep_silent(lines: list[str]) -> list[str]:
    """Puts the semicolon that ends a cell's last ``%rag`` where IPython looks for it.

    Args:
        lines: A cell's lines as Python, as IPython gives them to ``input_transformers_post``.
    """
    last = max((row for row, line in enumerate(lines) if _CODE.match(line)), default=-1)
    return [
        f"{line.rstrip()};\n" if row == last and _SILENT.fullmatch(line) else line
        for row, line in enumerate(lines)
    ]


def _mark(tokens: list[TokenInfo], lines: Sequence[str]) -> tuple[int, int] | None:
    """Where the question marks at the end of a ``%rag`` line begin, if it is one."""
    words = [token for token in tokens if token.type not in (INDENT, DEDENT) and token.string]
    while words and not words[-1].string.strip():
        words.pop()
    marks = []
    while words and words[-1].string == "?":
        marks.append(words.pop())
    if not marks or not (_asks(words, lines) or _is_automagic(lines)):
        return None
    return marks[-1].start


def _asks(words: Sequence[TokenInfo], lines: Sequence[str]) -> bool:
    """Whether the words are ``%rag …`` or ``name = %rag …``, also behind ``%timeit -n 1``."""
    for place, word in enumerate(words):
        row, column = word.start
        if word.string == "%" and _RAG.match(lines[row - 1], column):
            before = [one.string for one in words[:place]]
            break
    else:
        return False
    around = before[:2] in _AROUND
    if around:
        before = before[2:]
    if not before or (around and before[0] == "-"):
        return True
    return before[0] != "%" and before[-1] == "="


def _is_automagic(lines: Sequence[str]) -> bool:
    """Whether IPython runs a cell's only line as ``%rag``, although the sign is left out."""
    if len(lines) != 1 or not _PLAIN.match(lines[0]):
        return False
    shell = get_ipython()
    if shell is None or not shell.automagic:
        return False
    return not is_shadowed("rag", shell)  # type: ignore[no-untyped-call]  # IPython's has no types
