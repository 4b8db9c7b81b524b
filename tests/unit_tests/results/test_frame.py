"""Records to Arrow and pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.results.frame import (
    JSON,
    columns_of,
    make_item,
    schema_of,
    to_frame,
    to_table,
)
from aisdk.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of every kind, each missing or not."""

    name: str
    search: Literal["exact", "hnsw"]
    size: int | None
    score: float | None
    ready: bool | None
    at: datetime | None
    raw: bytes | None
    tags: list[str] | None
    metadata: Mapping[str, JSON] | None


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FULL = ("a", "exact", 1, 0.5, True, NOON, b"\0", ["x"], '{"year":2020}')
BARE = ("b", "hnsw", None, None, None, None, None, None, None)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def frame_of(records: Sequence[Any]) -> pd.DataFrame:
    """The records as a frame of samples."""
    return to_frame(Sample, to_table(Sample, records))


def test_schema_of_every_kind_of_field_is_the_documented_one() -> None:
    """The annotations alone decide the Arrow schema."""
    schema = schema_of(Sample)
    assert schema.types == [
        pa.string(),
        pa.string(),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.timestamp("us", tz="UTC"),
        pa.binary(),
        pa.list_(pa.string()),
        pa.string(),
    ]
    assert [field.nullable for field in schema] == [False] * 2 + [True] * 7
    assert schema.field("metadata").metadata == {b"content": b"application/json"}


def test_columns_of_other_annotation_is_refused_by_name() -> None:
    """A field that no column type fits is named at once, not when rows arrive."""

    @dataclass(frozen=True)
    class Wrong:
        fine: str
        broken: complex

    with pytest.raises(InvalidInput, match="broken of Wrong"):
        columns_of(Wrong)


@pytest.mark.parametrize("hint", [list[int], str | int, Literal[1, 2], list])
def test_columns_of_unclear_annotation_is_refused(hint: Any) -> None:
    """Lists of other things, unions of two types and numeric literals have no column."""
    wrong = dataclass(type("Wrong", (), {"__annotations__": {"field": hint}}))
    with pytest.raises(InvalidInput):
        columns_of(wrong)


def test_to_frame_has_the_documented_dtypes() -> None:
    """Every kind of field has its pandas dtype."""
    assert list(map(str, frame_of([FULL, BARE]).dtypes)) == [
        "str",
        "str",
        "Int64",
        "float64",
        "boolean",
        "datetime64[us, UTC]",
        "object",
        "object",
        "object",
    ]


@pytest.mark.parametrize("records", [[], [FULL], [BARE], [FULL, BARE] * 100], ids=len)
def test_to_frame_of_any_number_of_rows_has_the_same_dtypes(records: list[Any]) -> None:
    """No row, only missing values, or many rows: a user's next line works for all."""
    frame = frame_of(records)
    assert len(frame) == len(records)
    assert frame.dtypes.equals(frame_of([FULL, BARE]).dtypes)


def test_to_frame_cells_are_plain_python_where_the_dtype_is_object() -> None:
    """A dict, a list and bytes a cell; missing ones are None."""
    frame = frame_of([FULL, BARE])
    assert frame["metadata"].tolist() == [{"year": 2020}, None]
    assert frame["tags"].tolist() == [["x"], None]
    assert frame["raw"].tolist() == [b"\0", None]


def test_to_frame_makes_cells_that_are_not_shared() -> None:
    """Changing a dict in one frame changes no other frame of the same table."""
    table = to_table(Sample, [FULL])
    to_frame(Sample, table)["metadata"][0]["year"] = 1
    assert to_frame(Sample, table)["metadata"][0] == {"year": 2020}


def test_to_table_moves_other_time_zones_to_utc() -> None:
    """The same moment, whatever the zone it was written in."""
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    record = (*FULL[:5], local, *FULL[6:])
    assert to_table(Sample, [record])["at"][0].as_py() == NOON


@pytest.mark.parametrize(
    ("place", "value"),
    [(2, "secret"), (2, 2**63), (0, 5), (0, "\ud800"), (5, "secret"), (7, 5)],
)
def test_to_table_misfit_is_refused_without_its_value(place: int, value: Any) -> None:
    """The error names the column and its declaration and keeps the tenant's value out."""
    record = [*FULL[:place], value, *FULL[place + 1 :]]
    with pytest.raises(InvalidInput, match=columns_of(Sample)[place].name) as caught:
        to_table(Sample, [record])
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_to_table_missing_value_in_a_required_column_is_refused() -> None:
    """A column declared without None never holds one, so Arrow's readers may rely on it."""
    with pytest.raises(InvalidInput, match="name holds a missing value"):
        to_table(Sample, [(None, *FULL[1:])])


@given(st.dictionaries(st.text(), JSON_VALUES))
def test_make_item_metadata_as_text_or_mapping_is_the_same(metadata: dict[str, Any]) -> None:
    """JSON may arrive decoded or as text; items, frames and Arrow then agree."""
    given_mapping = [(*FULL[:-1], metadata)]
    table = to_table(Sample, given_mapping)
    text = table["metadata"][0].as_py()
    given_text = [(*FULL[:-1], text)]
    assert make_item(Sample, given_text[0]).metadata == metadata
    assert make_item(Sample, given_mapping[0]).metadata == metadata
    assert to_frame(Sample, table)["metadata"][0] == metadata
    assert to_table(Sample, given_text) == table


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (str(2**63), 2.0**63),
        (str(-(2**63) - 2**11), -(2.0**63) - 2**11),
        ("602214076" + "0" * 15, 6.02214076e23),
        ("1" + "0" * 308, 1e308),
        ('"' + "9" * 30 + '"', "9" * 30),
        ("0." + "1" * 30, 0.1111111111111111),
        ("1.0", 1.0),
    ],
    ids=["most", "least", "above", "below", "large", "largest", "text", "fraction", "float"],
)
def test_number_beyond_64_bits_is_a_float(text: str, value: Any) -> None:
    """The store writes floats out in full; integers of 64 bits stay what they are."""
    for written in (f'{{"a": [{text}]}}', f'{{"{"9" * 30}": 1, "a": [{text}]}}'):
        (found,) = make_item(Sample, (*FULL[:-1], written)).metadata["a"]  # type: ignore[index,misc]  # it is a dict with a list
        assert found == value
        assert type(found) is type(value)


def test_make_item_without_json_keeps_the_values() -> None:
    """An item is the record by name."""

    @dataclass(frozen=True)
    class Pair:
        left: int
        right: str

    assert make_item(Pair, (1, '{"a": 1}')) == Pair(1, '{"a": 1}')


@given(
    st.lists(
        st.tuples(
            st.text(),
            st.sampled_from(["exact", "hnsw"]),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none()
            | st.datetimes(timezones=st.just(UTC), min_value=NOON.replace(year=1700, tzinfo=None)),
            st.none() | st.binary(),
            st.none() | st.lists(st.text()),
            st.none() | st.just("{}"),
        ),
        max_size=5,
    )
)
def test_to_table_any_records_round_trip(records: list[tuple[Any, ...]]) -> None:
    """What goes into Arrow comes out of it, row by row."""
    rows = to_table(Sample, records).to_pylist()
    assert [tuple(row.values()) for row in rows] == records
