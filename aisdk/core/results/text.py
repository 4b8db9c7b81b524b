"""Rows as plain text: an aligned table that fits the terminal and cannot control it."""

from __future__ import annotations

import json
import math
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from unicodedata import combining, east_asian_width

from pydantic_core import from_json

from aisdk.core.results.frame import Column, Record
from aisdk.core.results.origin import Find

__all__ = [
    "LOOKED_AT",
    "PLACES",
    "SEARCHED",
    "SHORT",
    "Preview",
    "arrange",
    "cell_text",
    "clean_text",
    "counted",
    "decoded",
    "in_frame",
    "marked_pieces",
    "render_fields",
    "render_text",
    "shared_decimals",
]

SEARCHED = frozenset({"title", "heading", "text"})
"""The columns whose words the lexical index holds: matched words are marked in these."""

LOOKED_AT = 200
"""The first rows, which tell what columns say."""

SHORT = 24
"""Characters of a text that stays on one line, and says little when it stands in every row."""

PLACES = frozenset({"document_id", "start", "end"})
"""The columns for programs, which read the frame."""

_SHOWN_ROWS = 10
_WIDEST = 48  # columns of the terminal that one cell may take
_NARROWEST = 8
_NARROWEST_TEXT = 25  # for the column that is read, which takes what the others leave
_GAP = "  "
_FIELD_LINES, _TEXT_LINES = 3, 12  # of one record: each of its fields, and the one that is read
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
        rows = counted(total, "row")
        seen = rows if shown == total else f"{shown:,} of {rows} shown"
        return f"{seen}, more: {self.more}" if self.more else seen


@dataclass(slots=True, eq=False)
class _Draft:
    """A column on its way into the table; its width may still become less."""

    cells: list[str]
    wanted: int
    least: int
    is_number: bool = False
    is_read: bool = False


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


def decoded(column: Column, value: Any) -> Any:
    """The value, of which JSON may be held as text: it has one form in all displays."""
    if column.kind != "json" or not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError:
        return value


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


def counted(count: int, noun: str) -> str:
    """How many there are: one hit, two hits."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def render_text(preview: Preview, width: int | None = None) -> str:
    """The first ten rows as an aligned table, with a title above and a count below.

    Args:
        preview: The rows.
        width: Columns of the terminal, by default those of this one.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    records = preview.records[:_SHOWN_ROWS]
    drafts = [_draft(column, place, records) for place, column in enumerate(preview.columns)]

    def is_wide(places: list[int]) -> bool:
        return _sum(min(drafts[place].wanted, _WIDEST) for place in places) > width

    shown, told, hidden = arrange(preview, is_wide)
    fitted = _fit([drafts[place] for place in shown], width)
    hidden += [preview.columns[place].name for place in shown if drafts[place] not in fitted]
    rows = [_line(fitted, row) for row in range(len(records) + 1)]
    foot = [preview.count(len(records)), " · ".join([*told, *in_frame(hidden)])]
    wrapped = (line for part in foot for line in textwrap.wrap(part, width))
    return "\n".join([preview.title, *rows, *wrapped])


def render_fields(title: str, fields: Iterable[tuple[str, Any]], width: int | None = None) -> str:
    """One record as lines: the names of its fields, and their values on a few lines each.

    Args:
        title: What it is.
        fields: The names and values.
        width: Columns of the terminal, by default those of this one.
    """
    width = width or shutil.get_terminal_size((100, 24)).columns
    values = dict(fields)
    left = max(map(len, values), default=0) + len(_GAP)
    lines = [title]
    for name, value in values.items():
        if isinstance(value, str):
            value = value[: 4 * _TEXT_LINES * width]  # noqa: PLW2901  # of millions of characters
        text = " ".join(cell_text(value).split())
        room = max(width - left, _NARROWEST_TEXT) // (2 if _width(text) > len(text) else 1)
        most = _TEXT_LINES if name == "text" else _FIELD_LINES
        part, *parts = textwrap.wrap(
            text[: most * room + 1], room, max_lines=most, placeholder=" …"
        ) or [""]
        lines += [f"{name:<{left}}{part}".rstrip(), *(" " * left + more for more in parts)]
    return "\n".join(lines)


def arrange(
    preview: Preview, is_wide: Callable[[list[int]], bool]
) -> tuple[list[int], list[str], list[str]]:
    """Which columns of a table are worth their room.

    Columns without any value are left out; in a wide table those with the same short text in every
    row and those for programs, such as ids, are too.

    Args:
        preview: The rows.
        is_wide: Whether a table of the columns at these places is too wide.

    Returns:
        The places of the columns to show, what those with the same text say, and the names of
        those for programs.
    """
    records = preview.records[:LOOKED_AT]
    every = list(range(len(preview.columns)))
    places = [place for place in every if not records or _says_something(preview, place)] or every
    if not is_wide(places):
        return places, [], []
    alike = [place for place in places if len(records) > 1 and _is_alike(preview, place)]
    told = [f"{preview.columns[place].name}: {cell_text(records[0][place])}" for place in alike]
    hidden = [place for place in places if preview.columns[place].name in PLACES]
    shown = [place for place in places if place not in {*alike, *hidden}]
    if not shown:
        return places, [], []
    return shown, told, [preview.columns[place].name for place in hidden]


def in_frame(hidden: Sequence[str]) -> list[str]:
    """Where columns are that a table does not show: one line for its foot, or none."""
    return [f"in to_frame() too: {', '.join(hidden)}"] if hidden else []


def _says_something(preview: Preview, place: int) -> bool:
    """Whether a column has a value in any row."""
    empty: tuple[Any, ...] = (
        (None, "", "{}", {}) if preview.columns[place].kind == "json" else (None, "")
    )
    return any(record[place] not in empty for record in preview.records[:LOOKED_AT])


def _is_alike(preview: Preview, place: int) -> bool:
    """Whether a column has one short text in every row."""
    values = [record[place] for record in preview.records[:LOOKED_AT]]
    same = all(isinstance(value, str) and value == values[0] for value in values)
    return same and len(values[0]) <= SHORT


def _clean(character: str) -> str:
    if character.isprintable() or character in "\n\t" or character in _JOINERS:
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def _nested_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if not isinstance(value, Mapping):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)  # with spaces, where lines may break


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


def _draft(column: Column, place: int, records: Sequence[Record]) -> _Draft:
    values = [decoded(column, record[place]) for record in records]
    decimals = shared_decimals(values)
    cells = [column.name, *(_one_line(value, decimals) for value in values)]
    head, *rest = map(_width, cells)
    wanted = max(head, *rest, 0)
    is_number = column.kind in ("float", "int")
    if is_number:  # a number is not cut
        return _Draft(cells, wanted, max(min(head, _NARROWEST), *rest, 0), is_number=True)
    if column.name == "text":
        return _Draft(cells, wanted, min(wanted, _NARROWEST_TEXT), is_read=True)
    wanted = min(wanted, _WIDEST)
    return _Draft(cells, wanted, min(wanted, _NARROWEST))


def _sum(widths: Iterable[int]) -> int:
    """Columns of the terminal that a row takes."""
    return sum(width + len(_GAP) for width in widths) - len(_GAP)


def _fit(drafts: list[_Draft], width: int) -> list[_Draft]:
    """Drops the last columns, but not the one that is read, then narrows the widest ones."""
    fitted = list(drafts)
    while len(fitted) > 1 and _sum(draft.least for draft in fitted) > width:
        fitted.remove(next(draft for draft in reversed(fitted) if not draft.is_read))
    if len(fitted) == 1:
        fitted[0].wanted = min(fitted[0].wanted, width)
    while _sum(draft.wanted for draft in fitted) > width:
        max((d for d in fitted if d.wanted > d.least), key=lambda draft: draft.wanted).wanted -= 1
    return fitted


def _line(drafts: Sequence[_Draft], row: int) -> str:
    padded = (
        _pad(_shorten(draft.cells[row], draft.wanted), draft.wanted, right=draft.is_number)
        for draft in drafts
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
