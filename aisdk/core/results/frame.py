"""Records to Arrow and pandas: the annotations of a dataclass are the fixed schema of its frames.

======================================  ======================  ========================
annotation                              Arrow                   pandas
======================================  ======================  ========================
``str``, ``Literal["a", "b"]``          string                  str
``int``                                 int64                   Int64
``float``                               double                  float64, missing is NaN
``bool``                                bool                    boolean
``datetime``                            timestamp[us, UTC]      datetime64[us, UTC]
``bytes``                               binary                  object
``list[str]``, ``tuple[str, ...]``      list<string>            object, a list a cell
``Mapping[str, JSON]``, ``dict[…]``     string, marked as JSON  object, a dict a cell
``… | None``                            the same, nullable      the same
======================================  ======================  ========================

A record is a sequence of values in the order of the fields: a tuple or an asyncpg ``Record``. A
mapping may stay JSON text in a record until somebody looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from json import loads
from operator import itemgetter
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from aisdk.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "JSON",
    "Column",
    "Record",
    "columns_of",
    "from_stored",
    "make_item",
    "schema_of",
    "to_frame",
    "to_table",
]

T = TypeVar("T")
R = TypeVar("R")

JSON: TypeAlias = JsonValue
Kind: TypeAlias = Literal["text", "int", "float", "bool", "time", "bytes", "texts", "json"]
Record: TypeAlias = Sequence[Any]

_SIMPLE: Final[Mapping[type, Kind]] = {
    bool: "bool",
    bytes: "bytes",
    datetime: "time",
    float: "float",
    int: "int",
    str: "text",
}


def _once(function: Callable[[type[Any]], R]) -> Callable[[type[Any]], R]:
    """Caches a function of a class, with its signature kept for type checkers."""
    return cast("Callable[[type[Any]], R]", cache(function))


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an item as a column: its name, what it holds, whether values may be missing."""

    name: str
    kind: Kind
    nullable: bool


@_once
def columns_of(item: type[Any]) -> tuple[Column, ...]:
    """The columns of a dataclass, in the order of its fields.

    Raises:
        InvalidInput: A field has an annotation that is not in the table of this module.
    """
    hints = get_type_hints(item)
    return tuple(_column(item, field.name, hints[field.name]) for field in fields(item))


@_once
def schema_of(item: type[Any]) -> pa.Schema:
    """The Arrow schema of a dataclass: the same for no row and for a million."""
    import pyarrow as pa

    types: dict[Kind, pa.DataType] = {
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "bytes": pa.binary(),
        "texts": pa.list_(pa.string()),
        "json": pa.string(),
    }
    marks = {"json": {"content": "application/json"}}
    return pa.schema(
        [
            pa.field(column.name, types[column.kind], column.nullable, marks.get(column.kind))
            for column in columns_of(item)
        ]
    )


def make_item(item: type[T], record: Record) -> T:
    """One record as an item, with its JSON text decoded."""
    places = _json_places(item)
    if not places:
        return item(*record)
    values = list(record)
    for place in places:
        values[place] = _decoded(values[place])
    return item(*values)


def to_table(item: type[Any], records: Sequence[Record]) -> pa.Table:
    """The records as an Arrow table of ``len(records)`` rows in the schema of ``item``.

    Raises:
        InvalidInput: A value does not fit its column, or is missing where that is not allowed.
    """
    import pyarrow as pa

    schema = schema_of(item)
    arrays = [
        _array(column, list(map(itemgetter(place), records)), schema.field(place).type)
        for place, column in enumerate(columns_of(item))
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def to_frame(item: type[Any], table: pa.Table) -> pd.DataFrame:
    """The table of :func:`to_table` as a DataFrame with the dtypes of this module's table."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    dtypes: dict[pa.DataType, Any] = {
        pa.string(): pd.StringDtype(na_value=np.nan),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    frame = table.to_pandas(types_mapper=dtypes.get)
    for column in columns_of(item):
        if column.kind in ("bytes", "json", "texts"):
            cells = map(_CELLS.get(column.kind, _as_is), table.column(column.name).to_pylist())
            frame[column.name] = pd.Series(list(cells), dtype=object)
    return frame


def _column(item: type[Any], name: str, hint: Any) -> Column:
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    present = [choice for choice in choices if choice is not type(None)]
    kind = _kind(present[0]) if len(present) == 1 else None
    if kind is None:
        raise InvalidInput(
            f"The field {name} of {item.__name__} has an annotation without a column type.",
            hint="Use one of the annotations that aisdk.core.results.frame lists.",
        )
    return Column(name, kind, nullable=len(choices) > len(present))


def _kind(hint: Any) -> Kind | None:
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is Literal and all(isinstance(value, str) for value in arguments):
        return "text"
    if origin in (dict, Mapping):
        return "json"
    if origin in (list, tuple, Sequence):
        return "texts" if arguments[:1] == (str,) else None
    return _SIMPLE.get(origin)


@_once
def _json_places(item: type[Any]) -> tuple[int, ...]:
    columns = columns_of(item)
    return tuple(place for place, column in enumerate(columns) if column.kind == "json")


def _decoded(value: Any) -> Any:
    return from_stored(value) if isinstance(value, str) else value


def from_stored(text: str) -> Any:
    """What a JSON text of the store means: numbers beyond 64 bits are floats written in full."""
    return loads(text, parse_int=_whole) if _MANY_DIGITS.search(text) else from_json(text)


def _whole(text: str) -> int | float:
    number = int(text)
    return number if -(2**63) <= number < 2**63 else float(text)


def _encoded(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else to_json(value).decode()


def _as_is(value: Any) -> Any:
    return value


_MANY_DIGITS: Final = re.compile(r"\d{19}")  # as 2**63 has
_CELLS: Final[Mapping[Kind, Callable[[Any], Any]]] = {"json": _decoded}


def _array(column: Column, values: list[Any], kind: pa.DataType) -> pa.Array[Any]:
    import pyarrow as pa

    try:
        if column.kind == "json":
            values = list(map(_encoded, values))
        array = pa.array(values, kind)
    except (OverflowError, TypeError, ValueError):  # pyarrow quotes the value: keep it out
        raise _misfit(column, "a value of another type") from None
    if array.null_count and not column.nullable:
        raise _misfit(column, "a missing value")
    return array


def _misfit(column: Column, what: str) -> InvalidInput:
    return InvalidInput(
        f"The column {column.name} holds {what}.",
        hint=f"It is declared as {column.kind}{' or None' if column.nullable else ''}.",
    )
