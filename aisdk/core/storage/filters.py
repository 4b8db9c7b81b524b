"""Typed metadata filters, compiled from an allow-list of operators into bound parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, and_, any_, bindparam, func, not_, or_, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from aisdk.core.storage.tables import documents
from aisdk.errors import InvalidInput

__all__ = ["UNSTORABLE", "Where", "compile_where"]

Where: TypeAlias = Mapping[str, Any]
Column: TypeAlias = ColumnElement[Any]

MOST_VALUES: Final = 1_000  # of one list
MOST_CONDITIONS: Final = 200  # to write so many takes some milliseconds; nobody else runs then
MOST_TEXT: Final = 1_000_000  # characters of all keys and values
DIGITS_BITS: Final = 10_000  # some 3,000 digits; Python writes 4,300 at most
UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
TYPES: Final = {bool: "boolean", int: "number", float: "number", str: "string"}


def compile_where(where: Where | None) -> ColumnElement[bool]:
    """A condition on documents' metadata; it can only narrow what the tenant already sees.

    Args:
        where: Metadata key → a value (equality), or operator → value. All must hold. Operators:
            ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``, ``contains`` (a list
            holds the value), ``exists`` (bool). Values: text, numbers, booleans, None, dates
            (compared as ISO text). Text compares with text only and numbers with numbers only,
            but an integer beyond 64 bits also equals the text that metadata keep of it;
            ``!=`` and ``not in`` also match documents without the key. At most 200 conditions,
            1,000 values in a list, and 1,000,000 characters in all keys and values.

    Returns:
        A SQLAlchemy condition without any value in its text.

    Raises:
        InvalidInput: An operator or a value is not of these.

    Example:
        >>> condition = compile_where({"year": {">=": 2020}, "tag": {"in": ["a", "b"]}})
    """
    if where is None:
        return true()
    if not isinstance(where, Mapping):
        raise InvalidInput("where is not a dict.", hint='Write where={"year": {">=": 2020}}.')
    tests = (len(test) if isinstance(test, Mapping) else 1 for test in where.values())
    if len(where) > MOST_CONDITIONS or sum(tests) > MOST_CONDITIONS:
        raise InvalidInput("where has too many conditions.", hint=f"Use at most {MOST_CONDITIONS}.")
    if sum(_text_length(key) + _tested_length(test) for key, test in where.items()) > MOST_TEXT:
        raise InvalidInput(
            "where is too large.",
            hint=f"Use at most {MOST_TEXT:,} characters in all keys and values.",
        )
    return and_(true(), *(_key(key, test) for key, test in where.items()))


def _tested_length(test: Any) -> int:
    """The characters of what is compared with, where it can be compared with at all."""
    values = test.values() if isinstance(test, Mapping) else [test]
    lists = (each if _is_list(each) else [each] for each in values)
    return sum(sum(map(_text_length, each)) for each in lists if _length(each) <= MOST_VALUES)


def _text_length(value: Any) -> int:
    """The characters of a text or number, which is not looked into."""
    size = getattr(value, "nbytes", 0)
    if isinstance(size, int) and size > MOST_TEXT:  # an array
        return size
    value = _unwrapped(value)
    if isinstance(value, int):
        return value.bit_length() // 3
    return len(value) if isinstance(value, str) else 0


def _length(values: Any) -> int:
    try:
        return len(values)
    except OverflowError:  # an endless range
        return MOST_VALUES + 1


def _key(key: Any, test: Any) -> ColumnElement[bool]:
    if not isinstance(key, str) or not key or UNSTORABLE.search(key):
        raise InvalidInput("A metadata key in where is not text.", hint='Write {"year": 2020}.')
    column = documents.c.metadata[key]
    if not isinstance(test, Mapping):
        return _equal(column, test)
    if not test:
        raise InvalidInput("A condition in where is empty.", hint='Write {"year": {">=": 2020}}.')
    return and_(*(_operator(name)(column, value) for name, value in test.items()))


def _operator(name: Any) -> Callable[[Column, Any], ColumnElement[bool]]:
    found = _OPERATORS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidInput(
            "where has an unknown operator.", hint=f"Use one of: {', '.join(_OPERATORS)}."
        )
    return found


def _equal(column: Column, value: Any) -> ColumnElement[bool]:
    if value is None:
        return or_(column.is_(None), func.jsonb_typeof(column) == "null")
    held = or_(*(column == _bound(form) for form in _forms(value)))
    return func.coalesce(held, False)  # SQL's coalesce


def _unequal(column: Column, value: Any) -> ColumnElement[bool]:
    return not_(_equal(column, value))


def _ordered(symbol: str) -> Callable[[Column, Any], ColumnElement[bool]]:
    def compare(column: Column, value: Any) -> ColumnElement[bool]:
        plain = _plain(value)
        if plain is None or isinstance(plain, bool):
            raise InvalidInput(
                f"where compares with {symbol} what has no order.",
                hint="Give a number, a text or a date.",
            )
        kind = func.jsonb_typeof(column) == TYPES[type(plain)]
        return and_(kind, column.op(symbol, is_comparison=True)(_bound(plain)))

    return compare


def _among(column: Column, values: Any) -> ColumnElement[bool]:
    if not _is_list(values):
        raise InvalidInput("in needs a list.", hint='Write {"tag": {"in": ["a", "b"]}}.')
    if _length(values) > MOST_VALUES:
        raise InvalidInput(
            "A list in where is too long.", hint=f"Use at most {MOST_VALUES:,} values."
        )
    wanted = [form for value in values for form in _forms(value)]
    some = bindparam(
        None, [each for each in wanted if each is not None], type_=ARRAY(JSONB), unique=True
    )
    found: ColumnElement[bool] = func.coalesce(column == any_(some), False)
    return or_(found, _equal(column, None)) if None in wanted else found


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)


def _not_among(column: Column, values: Any) -> ColumnElement[bool]:
    return not_(_among(column, values))


def _contains(column: Column, value: Any) -> ColumnElement[bool]:
    held = or_(*(column.op("@>")(_bound(form)) for form in _forms(value)))
    holds = and_(func.jsonb_typeof(column) == "array", held)
    return func.coalesce(holds, False)  # SQL's coalesce


def _exists(column: Column, value: Any) -> ColumnElement[bool]:
    if not isinstance(value, bool):
        raise InvalidInput(
            "exists needs True or False.", hint='Write where={"field": {"exists": True}}.'
        )
    return column.is_not(None) if value else column.is_(None)


def _plain(value: Any) -> str | int | float | bool | None:
    """The value as JSON has it; numpy scalars become Python's, pandas' NaT and NA ``None``."""
    value = _unwrapped(value)
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, date):  # a datetime is a date too
        return value.isoformat()
    if value is not None and type(value) not in TYPES:
        raise InvalidInput(
            "A value in where is of a kind that cannot be compared.",
            hint="Use text, a number, True, False, None or a date.",
        )
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise InvalidInput(
            "A value in where contains NUL or half a surrogate pair.",
            hint="Take that character out.",
        )
    if isinstance(value, int) and value.bit_length() > DIGITS_BITS:
        raise InvalidInput("A number in where is too long.", hint="Compare with a shorter number.")
    if isinstance(value, float) and value - value != 0:
        raise InvalidInput(
            "A value in where is not a finite number.",
            hint="Compare with a finite number.",
        )
    plain: str | int | float | bool | None = value
    return plain


def _forms(value: Any) -> tuple[str | int | float | bool | None, ...]:
    """What equals the value: metadata keep integers beyond 64 bits as text."""
    plain = _plain(value)
    large = isinstance(plain, int) and abs(plain) >= 2**63
    return (plain, str(plain)) if large else (plain,)


def _unwrapped(value: Any) -> Any:
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":  # its nanoseconds are no date
        value = value.astype("datetime64[us]")
    try:
        return value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError):  # an array of several values, refused by its type
        return value


def _bound(value: Any) -> ColumnElement[Any]:
    return bindparam(None, _plain(value), type_=JSONB, unique=True)


_OPERATORS: Final[dict[str, Callable[[Column, Any], ColumnElement[bool]]]] = {
    "=": _equal,
    "==": _equal,
    "!=": _unequal,
    "<": _ordered("<"),
    "<=": _ordered("<="),
    ">": _ordered(">"),
    ">=": _ordered(">="),
    "in": _among,
    "not in": _not_among,
    "contains": _contains,
    "exists": _exists,
}
