"""Time and size of the displays of long pages: what a notebook waits for, and what its file keeps.

Run with ``pytest benchmarks/bench_display.py --benchmark-only``. IPython asks for the HTML and the
plain text of a value; both are measured together. The hits have long texts and marked words.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aisdk.core.documents.types import DocumentInfo
from aisdk.core.lexical import Analyzer, Matcher
from aisdk.core.rag.types import Hit
from aisdk.core.results import AsyncPage
from aisdk.core.results.origin import Origin
from aisdk.errors import NotFound

ROWS = 10_000
MOST_BYTES = 1_000_000
MOST_S = 0.2
WORDS = "A pump lifts the water & <heats> it on its way through the pumping house. "


async def no_text(_: str) -> str:
    """No document is at hand."""
    raise NotFound


def hits() -> AsyncPage[Hit]:
    """Hits of both sides, each with a chunk of two thousand characters."""
    text = (WORDS * 30)[:2_000]
    chunk = (text, 0, 2_000, "Guide > Pumps", '{"year": 2020, "tag": "water"}', "exact", "minilm")
    records = [
        (n + 1, 1 / (n + 1), 9 / (n + 1), 0.5, f"{n:032x}", f"Title {n}", f"docs/{n}.md", *chunk)
        for n in range(ROWS)
    ]
    matcher = Matcher(Analyzer("english"), "pumps for the water of houses")
    return AsyncPage(Hit, records).from_origin(Origin(no_text, matched=lambda _: matcher.spans))


def documents() -> AsyncPage[DocumentInfo]:
    """A listing."""
    then = datetime(2026, 1, 1, tzinfo=UTC)
    records = [
        (f"{n:032x}", f"docs/{n}.md", f"Title {n}", "{}", n * 13, n % 40, "ready", None, then, then)
        for n in range(ROWS)
    ]
    return AsyncPage(DocumentInfo, records)


@pytest.mark.parametrize("make", [hits, documents])
def test_display(benchmark: BenchmarkFixture, make: Any) -> None:
    """Ten thousand rows within a fifth of a second and a megabyte."""
    page = make()
    shown, _ = benchmark(lambda: (page._repr_html_(), repr(page)))
    print(f"\n{make.__name__}: {len(shown.encode()):,} bytes", end="")
    assert len(shown.encode()) <= MOST_BYTES
    assert benchmark.stats is None or benchmark.stats.stats.median <= MOST_S
