"""Parquet files: what their footer takes, and what their pages hold, whatever the footer says."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from malformed.footers import FOOTERS, footer_file, many_groups, varint

from aisdk.core.tenants.pages import A_VALUE, MOST_PARTS, is_footer_small, unpacked_size

TEXTS: Final = [f"text {number % 500} " * 50 for number in range(20_000)]
NUMBERS: Final = np.random.default_rng(1).random(200_000, np.float32)
TABLE: Final = pa.table(
    {
        "text": TEXTS,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(NUMBERS), 10),
        "none": pa.nulls(20_000, pa.string()),
    }
)
WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "with dictionaries": {},
    "without": {"use_dictionary": False},
    "not packed": {"compression": "none"},
    "other pages": {"data_page_version": "2.0"},
    "checksums": {"write_page_checksum": True},
    "many pages": {"data_page_size": 2_000},
}


def written(table: pa.Table, **options: Any) -> tuple[io.BytesIO, Any]:
    """A file, and its only row group."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file, pq.read_metadata(file).row_group(0)


@pytest.mark.parametrize("options", WRITTEN.values(), ids=WRITTEN.keys())
def test_pages_are_counted_as_an_honest_footer_counts_them(options: dict[str, Any]) -> None:
    """Which counts their headers too."""
    file, group = written(TABLE, **options)
    for place in range(group.num_columns):
        column = group.column(place)
        size = unpacked_size(file, column) - A_VALUE * column.num_values
        dictionary = A_VALUE * 200_000 if column.has_dictionary_page else 0  # its values count too
        assert size <= column.total_uncompressed_size + dictionary
        assert size >= column.total_uncompressed_size * 0.9 - 200


def test_size_that_the_footer_hides_is_found() -> None:
    """The footer says a hundred bytes of fifty megabytes."""
    file, group = written(pa.table({"a": ["a" * 50_000_000]}), use_dictionary=False)
    data = file.getvalue()
    told = varint(2 * group.column(0).total_uncompressed_size)
    lie = bytes([*(byte | 128 for byte in varint(2 * 100)), *[128] * 9])[: len(told) - 1] + b"\0"
    start = len(data) - int.from_bytes(data[-8:-4], "little") - 8
    assert told in data[start:]
    file = io.BytesIO(data[:start] + data[start:].replace(told, lie))
    column = pq.read_metadata(file).row_group(0).column(0)
    assert column.total_uncompressed_size == 100
    assert unpacked_size(file, column) > 50_000_000


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli", "lz4"])
def test_what_packs_tighter_than_exports_is_refused(codec: str) -> None:
    """It may unpack to ten thousand times its size."""
    file, group = written(TABLE, compression=codec)
    with pytest.raises(ValueError, match="another way"):
        unpacked_size(file, group.column(0))


def test_values_that_take_no_room_are_counted() -> None:
    """Nulls are runs: a few bytes for any number of them."""
    file, group = written(pa.table({"a": pa.nulls(1_000_000, pa.string())}))
    assert group.column(0).total_compressed_size < 5_000
    assert unpacked_size(file, group.column(0)) > 1_000_000


@pytest.mark.parametrize("options", WRITTEN.values(), ids=WRITTEN.keys())
def test_footers_that_are_written_are_small(options: dict[str, Any]) -> None:
    """Those of several row groups, with all that a writer says of them."""
    file, _ = written(TABLE, row_group_size=2_000, **options)
    assert pq.read_metadata(file).num_row_groups == 10
    assert is_footer_small(file)


@pytest.mark.parametrize("name", FOOTERS)
def test_footer_that_takes_much_memory_is_refused(name: str) -> None:
    """Whether its parts are there or only counted."""
    assert not is_footer_small(io.BytesIO(footer_file(FOOTERS[name]())))


def test_parts_of_a_footer_are_counted_together() -> None:
    """As many as are allowed are; two more are not. The control reads both."""
    most = (MOST_PARTS - 2) // 2  # beside the column and its root
    for count in (most, most + 1):
        file = io.BytesIO(footer_file(many_groups(count)))
        assert is_footer_small(file) == (count == most)
        assert pq.read_metadata(file).num_row_groups == count


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (b"", ValueError),
        (b"PAR1", ValueError),
        (b"\x10\0\0\0PAR2", ValueError),
        (b"\xff\xff\xff\xffPAR1", ValueError),
        (b"\0\0\0\0PAR1", LookupError),
        (b"\x15\x02\x02\0\0\0PAR1", LookupError),
    ],
)
def test_footer_that_is_none_is_refused(end: bytes, error: type[Exception]) -> None:
    """Too short, of another format, longer than the file, or cut off."""
    with pytest.raises(error):
        is_footer_small(io.BytesIO(end))
