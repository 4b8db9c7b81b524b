"""Time and memory of lexical search: analysing, building, merging and scoring segments.

Run with ``pytest benchmarks/bench_lexical.py``. The text is made up: words drawn by Zipf's law,
which repeat about as often as those of real prose.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aisdk.core.lexical import (
    Analyzer,
    Segment,
    TermCounts,
    bucket_labels,
    build_segment,
    merge_segments,
    score_chunks,
)

BATCH = 2_000
TENANT = 17_000
WORDS = 185  # about 240 tokens


def spell(rank: int) -> str:
    """A made-up word for each rank."""
    return np.base_repr(rank, 12).translate(str.maketrans("0123456789AB", "etaoinshrdlu"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """A tenant's chunks."""
    ranks = np.random.default_rng(11).zipf(1.15, (TENANT, WORDS)).clip(max=200_000)
    return [" ".join(map(spell, row)) for row in ranks.tolist()]


@pytest.fixture(scope="module")
def analyzer(texts: list[str]) -> Analyzer:
    """An analyzer that has met most words."""
    warm = Analyzer("english")
    warm.analyse_many(texts[:BATCH])
    return warm


@pytest.fixture(scope="module")
def counted(analyzer: Analyzer, texts: list[str]) -> TermCounts:
    """One batch, analysed."""
    return analyzer.analyse_many(texts[:BATCH])


@pytest.fixture(scope="module")
def segments(analyzer: Analyzer, texts: list[str]) -> list[Segment]:
    """The tenant in segments as a store would hold it after some merges."""
    borders = [0, 12_000, 14_000, 16_000, 16_500, 16_900, TENANT]
    return [
        build_segment(range(start, end), analyzer.analyse_many(texts[start:end]))
        for start, end in pairwise(borders)
    ]


def measure(benchmark: BenchmarkFixture, work: Callable[[], object]) -> None:
    """Times the work and notes the most memory it allocated."""
    benchmark(work)
    tracemalloc.start()
    work()
    benchmark.extra_info["peak_mib"] = round(tracemalloc.get_traced_memory()[1] / 2**20, 2)
    tracemalloc.stop()


def test_analyse_batch(benchmark: BenchmarkFixture, analyzer: Analyzer, texts: list[str]) -> None:
    """2,000 chunks of about 240 tokens become terms."""
    measure(benchmark, lambda: analyzer.analyse_many(texts[:BATCH]))


def test_analyse_query(benchmark: BenchmarkFixture, analyzer: Analyzer, texts: list[str]) -> None:
    """A query of about ten words becomes terms."""
    measure(benchmark, lambda: analyzer.analyse(texts[5][:60]))


def test_build_segment(benchmark: BenchmarkFixture, counted: TermCounts) -> None:
    """2,000 analysed chunks become a segment."""
    measure(benchmark, lambda: build_segment(range(BATCH), counted))


def test_merge_segments(benchmark: BenchmarkFixture, segments: list[Segment]) -> None:
    """17,000 chunks become one segment, a hundred of them dropped."""
    measure(benchmark, lambda: merge_segments(segments, range(0, TENANT, 170)))


@pytest.mark.parametrize("merged", [True, False], ids=["one segment", "six segments"])
def test_score_chunks(
    benchmark: BenchmarkFixture,
    analyzer: Analyzer,
    texts: list[str],
    segments: list[Segment],
    merged: bool,
) -> None:
    """Ten terms against 17,000 chunks, with the top 100."""
    stored = [merge_segments(segments)] if merged else segments
    query = dict(list(analyzer.analyse(texts[5]).items())[:10])
    labels = set(bucket_labels(query))
    asked = [
        Segment(
            segment.chunk_ids,
            segment.lengths,
            {label: segment.buckets[label] for label in labels & segment.buckets.keys()},
        )
        for segment in stored
    ]
    measure(benchmark, lambda: score_chunks(query, asked, [3, 4]).top(100))
