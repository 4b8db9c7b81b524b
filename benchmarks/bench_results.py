"""Time and memory of results: records to Arrow, to pandas and to HTML, beside bare pyarrow.

Run with ``pytest benchmarks/bench_results.py``. The records look like a listing of documents; the
bare conversions know no schema check, no JSON and no declared dtypes.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aisdk.core.results import JSON, AsyncPage, schema_of, to_frame, to_table

ROWS = 100_000
PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A document in a listing."""

    id: str
    source: str
    title: str | None
    size_bytes: int
    score: float | None
    created_at: datetime
    active: bool
    metadata: Mapping[str, JSON]


def make_records(rows: int) -> list[tuple[Any, ...]]:
    """Records as a driver gives them: a tuple a row, JSON as text."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        (
            f"{row:032x}",
            f"docs/{row % 97}/{row}.md",
            f"Title {row}" if row % 10 else None,
            row * 13,
            row / 7 if row % 3 else None,
            start + timedelta(seconds=row),
            row % 2 == 0,
            f'{{"year": {1990 + row % 30}, "tag": "t{row % 7}", "lang": "en"}}',
        )
        for row in range(rows)
    ]


@pytest.fixture(scope="module")
def records() -> list[tuple[Any, ...]]:
    """A hundred thousand records."""
    return make_records(ROWS)


def bare_table(records: list[tuple[Any, ...]]) -> pa.Table:
    """What a user would write by hand, with the types known."""
    columns = [list(column) for column in zip(*records, strict=True)]
    return pa.table(columns, schema=schema_of(Listed))


def bare_frame(records: list[tuple[Any, ...]]) -> pd.DataFrame:
    """The same as a frame, its JSON still text."""
    return bare_table(records).to_pandas()


def schema_table(records: list[tuple[Any, ...]]) -> pa.Table:
    """What a page does for Arrow."""
    return to_table(Listed, records)


def frame(records: list[tuple[Any, ...]]) -> pd.DataFrame:
    """What a page does for pandas."""
    return to_frame(Listed, to_table(Listed, records))


async def whole(records: list[tuple[Any, ...]]) -> AsyncPage[Listed]:
    """A listing collected from pages that cost nothing to fetch."""

    async def fetch(cursor: str, limit: int | None) -> AsyncPage[Listed]:
        start = int(cursor)
        end = start + (limit or PAGE)
        after = str(end) if end < len(records) else None
        return AsyncPage(Listed, records[start:end], cursor=after, fetch=fetch)

    return await (await fetch("0", PAGE)).collect(max_rows=len(records))


@pytest.mark.parametrize("make", [bare_table, schema_table])
def test_table(
    benchmark: BenchmarkFixture, records: list[tuple[Any, ...]], make: Callable[..., pa.Table]
) -> None:
    """Records to an Arrow table: by hand, and by schema."""
    table = benchmark(make, records)
    assert table.num_rows == ROWS


@pytest.mark.parametrize("make", [bare_frame, frame])
def test_frame(
    benchmark: BenchmarkFixture, records: list[tuple[Any, ...]], make: Callable[..., pd.DataFrame]
) -> None:
    """Records to a frame: by hand, and with dtypes and JSON decoded."""
    assert len(benchmark(make, records)) == ROWS


def test_small_frame(benchmark: BenchmarkFixture, records: list[tuple[Any, ...]]) -> None:
    """A page of ten rows to a frame."""
    assert len(benchmark(frame, records[:10])) == 10


def test_collect(benchmark: BenchmarkFixture, records: list[tuple[Any, ...]]) -> None:
    """Collecting pages, without any conversion."""
    assert len(benchmark(lambda: asyncio.run(whole(records)))) == ROWS


def test_html(benchmark: BenchmarkFixture, records: list[tuple[Any, ...]]) -> None:
    """The display of ten thousand rows."""
    page = AsyncPage(Listed, records[:10_000])
    assert len(benchmark(page._repr_html_).encode()) <= 1_000_000


@pytest.mark.parametrize("make", [bare_table, schema_table, bare_frame, frame])
def test_memory(records: list[tuple[Any, ...]], make: Callable[..., Any]) -> None:
    """Memory of Python and Arrow at the end of each conversion, and Python's peak on the way."""
    arrow = pa.total_allocated_bytes()
    tracemalloc.start()
    made = make(records)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrow = pa.total_allocated_bytes() - arrow
    print(f"\n{make.__name__}: kept {kept / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB", end="")
    print(f", Arrow {arrow / 1e6:.0f} MB, rows {len(made):,}")
    assert peak < 250e6
