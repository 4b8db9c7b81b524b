"""Rows as plain text: an aligned table that fits the terminal and cannot control it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from unicodedata import combining, east_asian_width

from pydantic_core import to_json

from aisdk.core.results.frame import Column, Record
from aisdk.core.results.origin import Find

__all__ = [
    "SEARCHED",
    "Preview",
    "cell_text",
    "clean_text",
    "marked_pieces",
    "render_text",
    "shared_decimals",
]

SEARCHED = frozenset({"title", "heading", "text"})
"""The columns whose words the lexical index holds: matched words are marked in these."""

_SHOWN_ROWS = 10
_WIDEST = 48  # columns of the terminal that one cell may take
_NARROWEST = 8
_GAP = "  "
_TINY, _HUGE = 1e-4, 1e15  # beyond them, a float reads better with an exponent
_CUT_WORD = 100  # characters behind a cut that tell which word was cut
_JOINERS = "\u200c\u200d"  # shape letters and emoji; all other invisible characters are replaced


@dataclass(frozen=True, slots=True)
class Preview:
    """What a display may know about rows.

    ``more`` says how to get more; ``matched`` gives for a row what finds the words to mark.
    """

    title: str
    columns: tuple[Column, ...]
    records: Sequence[Record]
    more: str = ""
    matched: Callable[[Record], Find] | None = None

    def count(self, shown: int) -> str:
        """How many of the rows are shown, and how to get more."""
        total = len(self.records)
        rows = "1 row" if total == 1 else f"{total:,} rows"
        counted = rows if shown == total else f"{shown:,} of {rows} shown"
        return f"{counted}, more: {self.more}" if self.more else counted


def clean_text(text: str) -> str:
    """The text with every control, direction, private and unpaired character made visible.

    Source: Trojan Source (CVE-2021-42574) for direction characters; ECMA-48 for escape sequences.
    """
    return text if text.isprintable() else "".join(map(_clean, text))


def cell_text(value: Any, decimals: int | None = None) -> str:
    """One value of a record as cleaned text; a dash stands for a missing value.

    Args:
        value: The value.
        decimals: Digits behind the point of a float; by default four digits that count.
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_text(value, decimals)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return clean_text(_nested_text(value))


def marked_pieces(text: str, most: int, find: Find | None) -> list[str]:
    """The first ``most`` characters as cleaned text in pieces, of which every second is marked.

    A word that is cut is marked where it would be as a whole. Only the first and the last piece
    may be empty.
    """
    shown, places = text[:most], [0]
    for start, end in find(text[: most + _CUT_WORD]) if find else ():
        if start < len(shown):
            places += [start, min(end, len(shown))]
    return [clean_text(shown[start:end]) for start, end in pairwise([*places, len(shown)])]


def _number_text(value: float, decimals: int | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if decimals is None else f"{value:,.{decimals}f}"


def shared_decimals(values: Iterable[Any]) -> int | None:
    """How many decimals line up the floats of a column: four digits that count in the largest.

    Returns:
        The decimals, 0 to 7; None where one form does not fit all, as beside a tiny number.
    """
    floats = (abs(value) for value in values if isinstance(value, float))
    sizes = [size for size in floats if size and math.isfinite(size)]
    if not sizes or not _TINY <= max(sizes) < _HUGE:
        return None
    decimals = max(3 - math.floor(math.log10(max(sizes))), 0)
    if min(sizes) < 10**-decimals:
        return None
    texts = [f"{size:.{decimals}f}" for size in sizes]
    return max(len(text.partition(".")[2].rstrip("0")) for text in texts)


def render_text(preview: Preview, width: int | None = None) -> str:
    """The first ten rows as an aligned table, with a title above and a count below.

    Args:
        preview: The rows.
        width: Columns of the terminal, by default those of this one.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    records = preview.records[:_SHOWN_ROWS]
    grid = [[column.name for column in preview.columns]]
    decimals = [shared_decimals(column) for column in zip(*records, strict=True)]
    grid += [[*map(_one_line, record, decimals)] for record in records]
    widths = _fit([max(map(_width, cells)) for cells in zip(*grid, strict=True)], width)
    numbers = [column.kind in ("float", "int") for column in preview.columns]
    lines = [_line(cells, widths, numbers) for cells in grid]
    foot = [preview.count(len(records))]
    if hidden := [column.name for column in preview.columns[len(widths) :]]:
        foot.append(f"columns not shown: {', '.join(hidden)}")
    return "\n".join([preview.title, *lines, *foot])


def _clean(character: str) -> str:
    if character.isprintable() or character in "\n\t" or character in _JOINERS:
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _nested_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if not isinstance(value, Mapping):
        return str(value)
    try:
        return to_json(value).decode()
    except ValueError:  # half a surrogate pair
        return json.dumps(value, default=str)


def _one_line(value: Any, decimals: int | None) -> str:
    if isinstance(value, str):
        value = value[: 4 * _WIDEST]
    return " ".join(cell_text(value, decimals).split())


def _width(text: str) -> int:
    """Columns of a terminal that the text takes: wide letters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(letter) else 1 + (east_asian_width(letter) in "FW") for letter in text
    )


def _fit(widths: list[int], width: int) -> list[int]:
    """Narrows the widest columns, then drops the last ones, until the row fits."""
    widths = [min(column, _WIDEST) for column in widths]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(widths)
        if widest > _NARROWEST:
            widths[widths.index(widest)] -= 1
        elif len(widths) > 1:
            widths.pop()
        else:
            break
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    padded = (
        _pad(_shorten(cell, width), width, right=right)
        for cell, width, right in zip(cells, widths, numbers, strict=False)
    )
    return _GAP.join(padded).rstrip()


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _shorten(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"
