"""CSV and its kin: every row becomes a paragraph of ``column: value`` lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from aisdk.core.documents.formats.blocks import Blocks
from aisdk.core.documents.formats.lines import lines_of
from aisdk.core.documents.sources import Parsed

__all__ = ["parse_table"]

SAMPLE: Final = 16 * 1024  # characters looked at to tell the delimiter
SAMPLE_ROWS: Final = 20
DELIMITERS: Final = (",", "\t", ";", "|")
MOST_CELLS: Final = 200_000  # of a row
LONGEST_NAMES: Final = 2**20  # characters of all columns' names together


def parse_table(text: str, max_chars: int) -> Parsed:
    """A table's rows with their column names; what is no table stays as it is.

    The first row holds the names, unless a cell of it is empty, a number, or there twice.
    """
    delimiter = _delimiter(text)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        lines = _Lines(text, delimiter)
        rows = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        try:
            return Parsed(_readable(rows, lines, max_chars), "", {}, "table")
        except csv.Error:  # a cell without end, or longer than csv takes
            continue
    return Parsed(text, "", {}, "prose")


class _Lines:
    """The lines of a table, whose rows may have so many cells and no more."""

    def __init__(self, text: str, delimiter: str) -> None:
        self._lines = lines_of(text)
        self._delimiter = delimiter
        self._cells = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._cells += line.count(self._delimiter) + 1
        if self._cells > MOST_CELLS:
            raise csv.Error
        return line

    def begin_row(self) -> None:
        """What was read before belongs to earlier rows."""
        self._cells = 0


def _readable(rows: Iterator[list[str]], lines: _Lines, max_chars: int) -> str:
    blocks = Blocks(max_chars)
    names = [name.strip() for name in next(rows, [])]
    if not _are_names(names):
        blocks.add(", ".join(name for name in names if name))
        names = []
    empty = True
    lines.begin_row()
    for row in rows:
        lines.begin_row()
        empty = False
        blocks.add(_row(names, row))
    if empty:
        blocks.add(", ".join(names))
    return blocks.text()


def _are_names(cells: Sequence[str]) -> bool:
    if not all(cells) or sum(map(len, cells)) > LONGEST_NAMES:
        return False
    return len(set(cells)) == len(cells) and not any(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _row(names: Sequence[str], row: Sequence[str]) -> str:
    if not names:
        return ", ".join(cell.strip() for cell in row if cell.strip())
    named = zip(names, row, strict=False)
    lines = [f"{name}: {cell.strip()}" for name, cell in named if cell.strip()]
    return "\n".join([*lines, *(cell.strip() for cell in row[len(names) :] if cell.strip())])


def _delimiter(text: str) -> str:
    """What parts the cells: gives most of the first rows the same number of cells, and many."""
    return max(DELIMITERS, key=lambda delimiter: _evenness(text, delimiter))


def _evenness(text: str, delimiter: str) -> tuple[float, int]:
    """The share of the first rows that are as wide as the first one, and that width."""
    rows = csv.reader(lines_of(text[:SAMPLE]), delimiter=delimiter)
    try:
        widths = [len(row) for row in islice(rows, SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0, 0
    whole = widths[:-1] if len(widths) > 2 and len(text) > SAMPLE else widths
    if not whole or whole[0] < 2:
        return 0.0, 0
    return whole.count(whole[0]) / len(whole), whole[0]
