"""What a live view tells of rows: columns, cells, stages, and a chunk inside its document."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from aisdk.core.results.frame import Column, Record
from aisdk.core.results.origin import Find
from aisdk.core.results.text import (
    PLACES,
    SEARCHED,
    SHORT,
    cell_text,
    clean_text,
    decoded,
    marked_pieces,
    shared_decimals,
)
from aisdk.notebook.blocks import metadata_of

__all__ = ["LOOKED_AT", "context", "fields", "keys", "lines", "offered", "shown_columns", "stages"]

Cell: TypeAlias = str | list[str]
"""A text; or, where words in it matched, its pieces, of which every second is marked."""

MOST_KEYS: Final = 50  # of metadata that are offered to filter by
LOOKED_AT: Final = 1_000  # rows of a page whose metadata are looked at for them
LONGEST_CELL: Final = 300  # characters
LONGEST_FIELD: Final = 2_000
AROUND: Final = 20_000  # characters of the document before and after the chunk
FIRST: Final = ("query", "rank", "beside", "score", "title", "text")  # what one looks for
_SPACES: Final = re.compile(r"\s+")


def lines(
    columns: Sequence[Column],
    rows: Sequence[tuple[str, Record]],
    matched: Callable[[Record], Find] | None = None,
) -> list[list[Cell]]:
    """The key of each row and its cells, each on one line.

    Args:
        columns: The columns of the rows.
        rows: Their keys and values.
        matched: A row → what finds the words in it to mark; ``None`` where there is nothing.
    """
    decimals = [shared_decimals(column) for column in zip(*(row for _, row in rows), strict=True)]
    told: list[list[Cell]] = []
    for key, row in rows:
        find = matched(row) if matched else None
        finds = [_searched(column.name, find) for column in columns]
        told.append([key, *map(_cell, map(decoded, columns, row), decimals, finds)])
    return told


def _cell(value: Any, decimals: int | None, find: Find | None) -> Cell:
    if not isinstance(value, str):
        value = cell_text(value, decimals)
    pieces = [_SPACES.sub(" ", piece) for piece in marked_pieces(value, 4 * LONGEST_CELL, find)]
    pieces[0] = pieces[0].lstrip()
    pieces[-1] = pieces[-1].rstrip()
    room = LONGEST_CELL
    for place, piece in enumerate(pieces):
        pieces[place] = piece[:room]
        room -= len(pieces[place])
    while len(pieces) > 1 and not pieces[-1]:
        del pieces[-1]
    return _told(pieces)


def _told(pieces: list[str]) -> Cell:
    return pieces if len(pieces) > 1 else pieces[0]


def shown_columns(
    columns: Sequence[Column], orders: Sequence[str], records: Sequence[Record]
) -> list[dict[str, Any]]:
    """The columns worth a place in the grid: their place in a row, and how they are shown.

    Left out are those for programs, those without any value, and those with the same short text
    in every row; the details show them.
    """
    told = [
        {
            "name": column.name,
            "place": place,
            "kind": column.kind,
            "sorts": column.name in orders,
        }
        for place, column in enumerate(columns)
        if column.name not in PLACES and _says_something([record[place] for record in records])
    ]
    first = [column for name in FIRST for column in told if column["name"] == name]
    return first + [column for column in told if column not in first]


def _says_something(values: list[Any]) -> bool:
    if len(values) < 2:
        return True
    first = values[0]
    if (isinstance(first, str) and len(first) <= SHORT) or first is None:
        return any(value != first for value in values)
    return True


def keys(columns: Sequence[Column], records: Sequence[Record]) -> set[str]:
    """The keys of the metadata of the first rows that can be shown."""
    found = {key for record in records[:LOOKED_AT] for key in metadata_of(columns, record)}
    return {key for key in found if key.isprintable()}


def offered(found: set[str], *, all_known: bool) -> dict[str, Any]:
    """The keys to filter by in alphabetical order, and which there may be besides."""
    note = "" if all_known else "keys of the rows read so far"
    if len(found) > MOST_KEYS:
        note = f"the first {MOST_KEYS} of {len(found):,} keys"
    return {"keys": sorted(found)[:MOST_KEYS], "keys_note": note}


def stages(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The stages of a query, for a picture of them."""
    return [
        {
            "stage": clean_text(stage),
            "milliseconds": milliseconds,
            "candidates": candidates,
            "detail": clean_text(detail)[:LONGEST_FIELD],
        }
        for stage, milliseconds, candidates, detail in records
    ]


def fields(values: Mapping[str, Any], find: Find | None = None) -> list[list[Cell]]:
    """The names and texts of a row's values, without those that are missing and its long text."""
    return [
        [name, _told(marked_pieces(cell_text(value), LONGEST_FIELD, _searched(name, find)))]
        for name, value in values.items()
        if name != "text" and value is not None and value != ""
    ]


def _searched(name: str, find: Find | None) -> Find | None:
    return find if name in SEARCHED else None


def context(
    values: Mapping[str, Any], document: str | None, find: Find | None = None
) -> dict[str, Cell]:
    """The chunk of a row, and the document before and after it.

    Args:
        values: The row: ``text``, ``start`` and ``end`` if it is of a chunk.
        document: The document's text; ``None`` if it is not at hand.
        find: What finds the words in the chunk to mark; ``None`` where there is nothing.
    """
    chunk = values.get("text") or ""
    before, after, note = "", "", ""
    if document is not None and "start" in values:
        start, end = values["start"], values["end"]
        if document[start:end] == chunk:
            before, after = document[max(0, start - AROUND) : start], document[end : end + AROUND]
            cut = len(document) - len(before) - len(chunk) - len(after)
        else:
            cut, note = 0, "The document has changed since it was found."
    else:
        after = (document or "")[:AROUND]
        cut = len(document or "") - len(after)
    if cut:
        note = f"{cut:,} more characters of the document are not shown."
    parts = {"before": before, "after": after, "note": note}
    cleaned: dict[str, Cell] = {name: clean_text(part) for name, part in parts.items()}
    return {**cleaned, "chunk": _told(marked_pieces(chunk, AROUND, find))}
