"""Blocks of rows for a live view: what is asked for, and the answer from rows in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final, Protocol, Self

from pydantic_core import from_json

from aisdk.core.results.frame import Column, Record
from aisdk.core.results.text import cell_text, shared_decimals
from aisdk.errors import InvalidInput

__all__ = ["BLOCK_ROWS", "Block", "HeldRows", "Source", "View", "metadata_of"]

BLOCK_ROWS: Final = 200
LONGEST_TEXT: Final = 1_000  # characters of what is searched for or compared with
OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=", "contains")
ORDERED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of the rows, and in which order.

    Attributes:
        search: Words that must all stand somewhere in a row; empty for every row.
        sort: A column; empty for the order in which the rows came.
        descending: Whether the largest comes first.
        key: A key of the metadata to filter by; empty for every row.
        operator: How its value is compared with ``value``.
        value: As it was typed: a number, ``true``, ``false`` and ``null`` mean these too.
    """

    search: str = ""
    sort: str = ""
    descending: bool = False
    key: str = ""
    operator: str = "="
    value: str = ""

    @classmethod
    def read(cls, message: Any) -> Self:
        """The view in a message.

        Raises:
            InvalidInput: It is none.
        """
        try:
            view = cls(**message)
        except TypeError:
            raise _unknown() from None
        texts: Sequence[Any] = (view.search, view.sort, view.key, view.operator, view.value)
        if not all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in texts):
            raise _unknown()
        if view.operator not in OPERATORS or type(view.descending) is not bool:
            raise _unknown()
        return view

    @property
    def values(self) -> list[Any]:
        """What ``value`` may mean: the text, and the number or constant it is read as."""
        with suppress(ValueError):
            meant = json.loads(self.value, parse_constant=_refuse)
            if not isinstance(meant, str | list | dict):
                return [meant, self.value]
        return [self.value]

    @property
    def where(self) -> dict[str, Any]:
        """The filter as ``documents.list`` takes it."""
        if not self.key:
            return {}
        if self.operator in ("=", "!="):
            return {self.key: {"in" if self.operator == "=" else "not in": self.values}}
        return {self.key: {self.operator: self.values[0]}}


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a view: how many rows it has in all, and these as pairs of key and values."""

    total: int
    rows: Sequence[tuple[str, Record]]


class Source(Protocol):
    """Where a live view has its rows from."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the values of a row."""
        ...

    @property
    def orders(self) -> tuple[str, ...]:
        """The columns that can be sorted."""
        ...

    @property
    def searches(self) -> bool:
        """Whether rows can be searched for words."""
        ...

    @property
    def refreshes(self) -> bool:
        """Whether rows can be read anew."""
        ...

    def block(self, view: View, start: int) -> Block | None:
        """The rows from ``start`` on; ``None`` says that it is far, and to ask again.

        Raises:
            AisdkError: They cannot be read.
        """
        ...

    def record(self, key: str) -> Record | None:
        """A row by its key, if it was in a block before.

        Raises:
            AisdkError: It cannot be read.
        """
        ...

    def renew(self) -> None:
        """Has the rows read anew."""
        ...


class HeldRows:
    """Rows in memory.

    Attributes:
        columns: Their columns.
        orders: All of them.
        searches: Yes.
        refreshes: No, they stay as they are.
    """

    searches = True
    refreshes = False

    def __init__(
        self,
        columns: tuple[Column, ...],
        records: Sequence[Record],
        searched: Sequence[int] | None = None,
    ) -> None:
        """Holds them.

        Args:
            columns: Their columns.
            records: Their values.
            searched: The places of the columns that are searched for words; ``None`` for all.
        """
        self.columns = columns
        self.orders = tuple(column.name for column in columns)
        self._records = records
        self._searched = range(len(columns)) if searched is None else searched
        self._view = View()
        self._order: Sequence[int] = range(len(records))

    def block(self, view: View, start: int) -> Block:
        """The rows from ``start`` on."""
        if view != self._view:
            self._order = self._arranged(view)
            self._view = view
        places = self._order[start : start + BLOCK_ROWS]
        return Block(len(self._order), [(str(place), self._records[place]) for place in places])

    def record(self, key: str) -> Record | None:
        """A row by its key."""
        known = key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(self._records)
        return self._records[int(key)] if known else None

    def renew(self) -> None:
        """Nothing."""

    def _arranged(self, view: View) -> list[int]:
        """The places of the rows of the view, in its order; what is missing comes last."""
        found = [
            place
            for place in self._with(view.search.casefold().split())
            if not view.key or _meets(metadata_of(self.columns, self._records[place]), view)
        ]
        if view.sort not in self.orders:
            return found
        column = self.orders.index(view.sort)
        values = {place: _sortable(self._records[place][column]) for place in found}
        there = [place for place in found if values[place] is not None]
        missing = [place for place in found if values[place] is None]
        return sorted(there, key=values.__getitem__, reverse=view.descending) + missing

    def _with(self, words: list[str]) -> Sequence[int]:
        """The places of the rows where all words stand somewhere in what is searched."""
        if not words:
            return range(len(self._records))
        records, columns = self._records, self._searched
        decimals = [shared_decimals(record[column] for record in records) for column in columns]
        found: list[int] = []
        for place, record in enumerate(records):
            cells = map(cell_text, [record[column] for column in columns], decimals)
            text = "\n".join(cells).casefold()
            if all(word in text for word in words):
                found.append(place)
        return found


def metadata_of(columns: Sequence[Column], record: Record) -> Mapping[str, Any]:
    """The metadata in a row, empty where it has none."""
    for column, value in zip(columns, record, strict=True):
        if column.name == "metadata":
            found = from_json(value) if isinstance(value, str) else value
            return found if isinstance(found, Mapping) else {}
    return {}


def _meets(metadata: Mapping[str, Any], view: View) -> bool:
    """Whether the metadata pass the filter, by the rules of ``where``."""
    value, meant = metadata.get(view.key), view.values
    if view.operator in ("=", "!="):
        return _is_among(value, meant) == (view.operator == "=")
    if view.operator == "contains":
        return isinstance(value, list) and _is_among(meant[0], value)
    return _kind(value) == _kind(meant[0]) != "" and bool(ORDERED[view.operator](value, meant[0]))


def _is_among(value: Any, values: list[Any]) -> bool:
    return any(value == one and _kind(value) == _kind(one) for one in values)


def _kind(value: Any) -> str:
    """What can be compared with each other: numbers, texts, nothing else."""
    if isinstance(value, bool):
        return ""
    return "number" if isinstance(value, int | float) else "text" * isinstance(value, str)


def _sortable(value: Any) -> Any:
    """What stands for a value when rows are sorted; ``None`` where it is missing."""
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return None
    if isinstance(value, str):
        return value.casefold()
    return cell_text(value) if isinstance(value, Mapping | list | tuple) else value


def _unknown() -> InvalidInput:
    return InvalidInput("The view asked for something unknown.", hint="Run the cell again.")


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
