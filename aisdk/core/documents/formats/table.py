"""CSV and its kin: every row becomes a paragraph of ``column: value`` lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from aisdk.core.documents.formats.blocks import Blocks
from aisdk.core.documents.sources import Parsed

__all__ = ["parse_table"]

SAMPLE: Final = 16 * 1024  # characters looked at to tell the delimiter
SAMPLE_ROWS: Final = 20
DELIMITERS: Final = (",", "\t", ";", "|")


def parse_table(text: str, max_chars: int) -> Parsed:
    """A table's rows with their column names; what is no table stays as it is.

    The first row holds the names, unless a cell of it is empty, a number, or there twice.
    """
    delimiter = _delimiter(text)
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
        try:
            return Parsed(_readable(rows, max_chars), "", {}, "table")
        except csv.Error:  # a cell without end, or longer than csv takes
            continue
    return Parsed(text, "", {}, "prose")


def _readable(rows: Iterator[list[str]], max_chars: int) -> str:
    blocks = Blocks(max_chars)
    names = [name.strip() for name in next(rows, [])]
    if not _are_names(names):
        blocks.add(", ".join(name for name in names if name))
        names = []
    empty = True
    for row in rows:
        empty = False
        blocks.add(_row(names, row))
    if empty:
        blocks.add(", ".join(names))
    return blocks.text()


def _are_names(cells: Sequence[str]) -> bool:
    return all(cells) and len(set(cells)) == len(cells) and not any(map(_is_number, cells))


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
    rows = csv.reader(io.StringIO(text[:SAMPLE], newline=""), delimiter=delimiter)
    try:
        widths = [len(row) for row in islice(rows, SAMPLE_ROWS) if row]
    except csv.Error:
        return 0.0, 0
    whole = widths[:-1] if len(widths) > 2 and len(text) > SAMPLE else widths
    if not whole or whole[0] < 2:
        return 0.0, 0
    return whole.count(whole[0]) / len(whole), whole[0]
