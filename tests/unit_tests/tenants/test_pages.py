"""Pages of Parquet files: how much they hold is told by themselves, whatever the footer says."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aisdk.core.tenants.pages import A_VALUE, unpacked_size

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


def varint(value: int) -> bytes:
    """A number as Thrift writes it."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


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
