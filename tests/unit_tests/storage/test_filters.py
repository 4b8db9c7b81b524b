"""Compiling metadata filters: what is allowed, what is refused, and what stays out of the SQL."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import asyncpg

from aisdk.core.storage.filters import MOST_CONDITIONS, MOST_TEXT, MOST_VALUES, compile_where
from aisdk.errors import InvalidInput

OPERATORS: Final = ("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "exists")
SCALARS: Final[list[Any]] = ["a", "", 1, -2.5, True, None, date(2024, 1, 1), np.int64(3)]
UNORDERED: Final[list[Any]] = [True, None, np.bool_(True)]
WRONG: Final[list[Any]] = [
    [1],
    {"a": 1},
    {1, 2},
    b"bytes",
    Decimal(1),
    1j,
    object(),
    np.array([1, 2]),
    float("nan"),
    float("inf"),
    10**5_000,
    "NUL \0",
    "half a pair \ud800",
]

hostile = st.text(st.characters(), min_size=1, max_size=30) | st.sampled_from(
    ["'; DROP TABLE x; --", "$1", ":k", "%(k)s", "%s", "a' OR '1'='1", 'x"]', "{}", "tenant_id"]
)


def compiled(where: Any) -> tuple[str, list[Any]]:
    """The SQL and the values bound to it, in their order."""
    statement = compile_where(where).compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]  # not annotated there
    assert statement.positiontup is not None
    return str(statement), [statement.params[name] for name in statement.positiontup]


@pytest.mark.parametrize("where", [None, {}])
def test_no_filter_allows_everything(where: Any) -> None:
    """It compiles to a condition that is always true."""
    assert compiled(where) == ("true", [])


@pytest.mark.parametrize("value", SCALARS, ids=repr)
@pytest.mark.parametrize("name", ["=", "==", "!=", "contains"])
def test_scalar_can_be_compared(name: str, value: Any) -> None:
    """With each operator for single values; the key is bound."""
    _, bound = compiled({"key": {name: value}})
    assert bound[0] == "key"


@pytest.mark.parametrize("name", ["<", "<=", ">", ">="])
def test_ordered_value_is_compared_with_its_own_kind(name: str) -> None:
    """Text with strings, numbers with numbers."""
    for value, kind in (("a", "string"), (1, "number"), (2.5, "number"), (date.min, "string")):
        sql, bound = compiled({"key": {name: value}})
        assert f" {name} " in sql
        assert kind in bound
    for value in UNORDERED:
        with pytest.raises(InvalidInput, match=f"{name} what has no order"):
            compiled({"key": {name: value}})


@pytest.mark.parametrize("name", ["in", "not in"])
def test_list_operator_takes_lists_only(name: str) -> None:
    """Lists, tuples, sets and ranges; no text, bytes, arrays or generators."""
    for values in (["a", 1], ("a",), {1}, frozenset({1}), range(3), [], [None]):
        compiled({"key": {name: values}})
    for wrong in ("abc", b"abc", 1, None, {"a": 1}, np.array([1]), iter([1]), [[1]], ["\0"]):
        with pytest.raises(InvalidInput):
            compiled({"key": {name: wrong}})


@pytest.mark.parametrize("wrong", [1, 0, "true", None, [True], np.bool_(True)], ids=repr)
def test_exists_takes_booleans_only(wrong: Any) -> None:
    """Anything else is a slip of the pen."""
    with pytest.raises(InvalidInput, match="True or False"):
        compiled({"key": {"exists": wrong}})


@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["=", "!=", "<", ">=", "contains"])
def test_wrong_value_is_refused_without_being_repeated(name: str, value: Any) -> None:
    """Always by the same kind of error."""
    with pytest.raises(InvalidInput) as raised:
        compiled({"key": {name: value}})
    assert "half a pair" not in f"{raised.value}"
    assert "bytes" not in f"{raised.value}"


@pytest.mark.parametrize("name", ["~", "LIKE", "IN", "= ", "", "$gt", "or", ("=",), 1, None])
def test_unknown_operator_is_refused_with_the_list(name: Any) -> None:
    """The list holds every operator that there is, and the wrong one is not repeated."""
    with pytest.raises(InvalidInput) as raised:
        compiled({"key": {name: 1}})
    assert raised.value.hint == f"Use one of: {', '.join(OPERATORS)}."


@pytest.mark.parametrize("key", ["", 1, None, ("a",), "a\0", "\ud800"])
def test_wrong_key_is_refused(key: Any) -> None:
    """Keys are text that a database can hold."""
    with pytest.raises(InvalidInput, match="key in where"):
        compiled({key: 1})


def test_filter_cannot_be_nested() -> None:
    """A condition has one level, so that none can be deep."""
    deep: Any = 1
    for _ in range(2):
        deep = {"=": deep}
    with pytest.raises(InvalidInput, match="cannot be compared"):
        compiled({"key": deep})


def test_sizes_are_limited() -> None:
    """What is too much is refused; the most that is allowed binds a few values a condition."""
    operators = {"=": 1, "!=": 1, "<": 1, "contains": 1, "in": range(MOST_VALUES)}
    places = MOST_CONDITIONS // len(operators)
    largest: list[Any] = [
        {str(n): "a" for n in range(MOST_CONDITIONS)},
        {str(n): operators for n in range(places)},
    ]
    for where in largest:
        assert len(compiled(where)[1]) <= 3 * MOST_CONDITIONS
    for where, says in (
        ({str(n): 1 for n in range(MOST_CONDITIONS + 1)}, "too many conditions"),
        ({str(n): operators | {">": 1} for n in range(places)}, "too many conditions"),
        ({"key": {"in": range(MOST_VALUES + 1)}}, "too long"),
        ({"key": {"not in": range(10**30)}}, "too long"),
    ):
        with pytest.raises(InvalidInput, match=says):
            compiled(where)


def test_scalars_are_bound_as_json_has_them() -> None:
    """Dates as ISO text, numpy's scalars as Python's."""
    for given_value, plain in (
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.str_("a"), "a"),
        (np.array(7), 7),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), "2024-05-01T12:00:00+00:00"),
    ):
        _, bound = compiled({"key": given_value})
        assert bound[1] == plain
        assert type(bound[1]) is type(plain)


@pytest.mark.parametrize("number", [2**63, -(2**63), 2**64, np.uint64(2**63)])
def test_integer_beyond_64_bits_is_also_the_text_that_it_is_stored_as(number: Any) -> None:
    """For equality; order is that of numbers."""
    both = [int(number), str(number)]
    for where in (number, {"!=": number}, {"contains": number}):
        assert [each for each in compiled({"key": where})[1] if each in both] == both
    for name in ("in", "not in"):
        assert both in compiled({"key": {name: [number]}})[1]
    assert str(number) not in compiled({"key": {"<": number}})[1]
    assert str(2**63 - 1) not in compiled({"key": 2**63 - 1})[1]


@given(hostile, hostile)
def test_hostile_text_never_changes_the_statement(key: str, value: str) -> None:
    """Neither its SQL nor the number of values bound: all of it is bound or refused."""
    for name in ("=", "!=", "<", "contains", "in", "not in"):
        wrapped, plain = ([value], ["v"]) if "in" in name.split() else (value, "v")
        try:
            sql, bound = compiled({key: {name: wrapped}})
        except InvalidInput:
            assert any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in key + value)
            continue
        expected, places = compiled({"k": {name: plain}})
        assert sql == expected
        given = {"'k'": key, repr(plain): wrapped}
        assert bound == [given.get(repr(each), each) for each in places]


LONG: Final = "\0" * (MOST_TEXT // 2 + 1)  # refused by its length before anyone looks into it
TOO_LARGE: Final[dict[str, Any]] = {
    "one value": {"n": LONG * 2},
    "one key": {LONG * 2: 1},
    "key that is no condition": {LONG * 2: {}},
    "two conditions": {"n": LONG, "m": {"!=": LONG}},
    "keys and values": {LONG: {"<": LONG}},
    "texts in a list": {"n": {"in": ["\0" * 2_000] * 600}},
    "texts in lists": {name: {"not in": {LONG}} for name in "ab"},
    "digits": {name: {"in": [10**3_000] * 200} for name in "ab"},
    "text of numpy": {"n": np.str_(LONG * 2)},
    "text in an array": {"n": {"contains": np.array(LONG * 2)}},
    "text in a series": {"n": pd.Series([LONG * 2])},
}


@pytest.mark.parametrize("where", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_filter_of_much_text_is_refused_by_its_lengths(where: Any) -> None:
    """Before it is scanned, encoded or copied, while nobody else runs."""
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="too large") as error:
            compile_where(where)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_TEXT // 4
    assert error.value.hint


def test_filter_of_as_much_text_as_is_taken_is_compiled() -> None:
    """Keys, values and lists together."""
    texts = ["x" * 500] * 1_000
    _, bound = compiled({"n": {"in": texts}, "m" * 1_000: "y" * (MOST_TEXT - 501_001)})
    assert bound[1] == texts
