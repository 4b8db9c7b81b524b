"""Metadata filters in the database mean what plain Python says they mean, and never more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

import aisdk
from aisdk import Document
from aisdk.core.storage.filters import compile_where
from aisdk.errors import InvalidInput

VALUES: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    1,
    -3,
    2.5,
    10**12,
    "",
    "a",
    "ab",
    "b",
    ["a", 1],
    [],
    {"a": 1},
]
KEYS: Final = ("year", "tag", "it's", 'a"b', "x y", "$1", "metadata", "tenant_id", "ä")
SCALARS: Final = [value for value in VALUES if not isinstance(value, list | dict)]
CORPUS: Final = [
    {key: VALUES[(place * 7 + number * 3) % len(VALUES)]}
    | ({"year": VALUES[number]} if number % 2 else {})
    for place, key in enumerate(KEYS)
    for number in range(len(VALUES))
]
ORDERS: Final = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

ordered = st.sampled_from([value for value in SCALARS if type(value) in (int, float, str)])
scalar = st.sampled_from(SCALARS)
lists = st.lists(scalar, max_size=4)
tests = st.one_of(
    scalar,
    st.dictionaries(st.sampled_from(["=", "!=", "==", "contains"]), scalar, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(list(ORDERS)), ordered, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["in", "not in"]), lists, min_size=1, max_size=2),
    st.dictionaries(st.just("exists"), st.booleans(), min_size=1),
)
filters = st.dictionaries(st.sampled_from(KEYS), tests, max_size=3)
hostile = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda key: "\0" not in key),
    st.one_of(scalar, st.text(max_size=20).filter(lambda value: "\0" not in value)),
    max_size=3,
)


def same(left: Any, right: Any) -> bool:
    """Equality of JSON: true is not 1, and 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return (type(left) is type(right) and left == right) or _both_numbers(left, right, "==")


def _both_numbers(left: Any, right: Any, symbol: str) -> bool:
    numbers = all(type(value) in (int, float) for value in (left, right))
    return bool(numbers) and bool(left == right if symbol == "==" else ORDERS[symbol](left, right))


def holds(metadata: Mapping[str, Any], key: str, name: str, value: Any) -> bool:
    """What an operator means."""
    found = metadata.get(key)
    if name in ("=", "=="):
        return same(found, value)
    if name == "!=":
        return not same(found, value)
    if name in ("in", "not in"):
        return any(same(found, each) for each in value) == (name == "in")
    if name == "contains":
        return isinstance(found, list) and any(same(each, value) for each in found)
    if name == "exists":
        return (key in metadata) == value
    texts = isinstance(found, str) and isinstance(value, str)
    return bool(ORDERS[name](found, value) if texts else _both_numbers(found, value, name))


def meets(metadata: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Whether a document meets every condition."""
    return all(
        holds(metadata, key, name, value)
        for key, test in where.items()
        for name, value in (test.items() if isinstance(test, dict) else [("=", test)])
    )


@pytest.fixture(scope="module")
def corpus(client: aisdk.Client) -> aisdk.Session:
    """A tenant with a document for each of the metadata, and a neighbour with the same."""
    for tenant in ("filters", "neighbour"):
        session = aisdk.connect(tenant, client=client)
        session.documents.add(
            [Document("x", source=str(n), metadata=m) for n, m in enumerate(CORPUS)], progress=False
        )
    return aisdk.connect("filters", client=client)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filters)
def test_filter_means_what_python_says(corpus: aisdk.Session, where: dict[str, Any]) -> None:
    """Document by document."""
    found = {int(row.source) for row in corpus.documents.list(where=where, limit=1_000)}
    assert found == {n for n, metadata in enumerate(CORPUS) if meets(metadata, where)}


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hostile)
def test_hostile_keys_and_values_only_narrow(corpus: aisdk.Session, where: dict[str, Any]) -> None:
    """Quotes, placeholders and SQL are text like any other, and stay out of the statement."""
    try:
        expected = {n for n, metadata in enumerate(CORPUS) if meets(metadata, where)}
        found = {int(row.source) for row in corpus.documents.list(where=where, limit=1_000)}
    except InvalidInput:
        return
    assert found == expected
    compiled = compile_where(where).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # not annotated there
    numbered = compile_where({f"k{n}": value for n, value in enumerate(where.values())})
    again = numbered.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # not annotated there
    assert str(compiled) == str(again)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("year > 2020", "not a dict"),
        ({"": 1}, "not text"),
        ({1: 1}, "not text"),
        ({"a\0b": 1}, "not text"),
        ({"year": {}}, "empty"),
        ({"year": {"~": 1}}, "unknown operator.*contains"),
        ({"year": {">": None}}, "no order"),
        ({"year": {">": True}}, "no order"),
        ({"year": {"in": "abc"}}, "needs a list"),
        ({"year": {"in": range(1_001)}}, "too long"),
        ({"year": {"exists": 1}}, "True or False"),
        ({"year": [1]}, "cannot be compared"),
        ({"year": {"=": {"a": 1}}}, "cannot be compared"),
        ({"year": float("nan")}, "not a finite number"),
        ({"year": "a\0"}, "NUL"),
        ({str(n): 1 for n in range(201)}, "too many conditions"),
    ],
)
def test_wrong_filter_says_what_to_write(where: Any, says: str) -> None:
    """Without repeating the values."""
    with pytest.raises(InvalidInput, match=says):
        compile_where(where)


def test_dates_and_numpy_values_compare(session: aisdk.Session) -> None:
    """Dates as ISO text, numpy's scalars as Python's."""
    metadata: dict[str, Any] = {"day": "2024-05-01", "year": 2024}
    session.documents.add([Document("x", source="a", metadata=metadata)], progress=False)
    count = session.documents.count
    assert count(where={"day": {">=": date(2024, 1, 1), "<": date(2025, 1, 1)}}) == 1
    assert count(where={"day": {">": datetime(2024, 6, 1, tzinfo=UTC)}}) == 0
    assert count(where={"year": np.int64(2024)}) == 1
    assert count(where={"year": {"in": [np.float64(2024.0)]}}) == 1
    assert count(where=None) == count(where={}) == 1


LARGE: Final[list[int]] = [2**63, 2**64, -(2**63), -(2**64), 10**40, 2**63 - 1, 1 - 2**63]


@pytest.mark.parametrize("number", LARGE)
def test_integer_of_any_size_finds_what_was_stored_with_it(
    session: aisdk.Session, number: int
) -> None:
    """Beyond 64 bits it is kept as text; a float as large is found too."""
    for source, value in (("a", number), ("b", [number]), ("c", 2 * number), ("d", float(number))):
        session.documents.add([Document("x", source, metadata={"n": value})], progress=False)

    def found(test: Any) -> str:
        page = session.documents.list(where={"n": test})
        return "".join(sorted(row.source for row in page))

    same = "ad" if Decimal(str(float(number))) == number else "a"  # floats are kept as written
    assert found(number) == found({"=": number}) == found({"in": [number, None]}) == same
    assert (
        found({"!=": number}) == found({"not in": [number]}) == "".join(sorted({*"abcd"} - {*same}))
    )
    assert found({"contains": number}) == "b"
    if type(session.documents.get("a").metadata["n"]) is str:
        assert found({">": -(10**50), "<": 10**50}) == "d"
