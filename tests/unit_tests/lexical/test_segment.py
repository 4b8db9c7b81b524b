"""Segments keep what was counted, whatever their size and however they are merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.lexical.analysis import Analyzer, TermCounts
from aisdk.core.lexical.bucket import bucket_label, read_bucket
from aisdk.core.lexical.segment import Segment, build_segment, merge_segments
from aisdk.errors import DamagedSegment

ANALYZER = Analyzer("simple")


def counted(chunks: int, terms: int) -> TermCounts:
    """Counts of texts that hold each of so many random terms."""
    hashes = np.sort(np.random.default_rng(7).integers(0, 2**64, terms, np.uint64))
    return TermCounts(
        terms=np.repeat(hashes, chunks),
        rows=np.tile(np.arange(chunks, dtype=np.int32), terms),
        counts=np.ones(chunks * terms, np.int32),
        lengths=np.full(chunks, terms, np.int32),
    )


@pytest.mark.parametrize(
    ("chunks", "fanout"), [(1, 1), (40, 16), (1_000, 64), (6_000, 256), (70_000, 4096)]
)
def test_build_of_any_size_puts_every_term_into_its_bucket(chunks: int, fanout: int) -> None:
    """The label of a term leads to the bucket that holds it."""
    given_counts = counted(chunks, 60)
    segment = build_segment(np.arange(chunks) + 2**40, given_counts)
    for term in np.unique(given_counts.terms).tolist():
        bucket = read_bucket(segment.buckets[bucket_label(term, fanout)], chunks)
        assert np.array_equal(bucket.rows[bucket.find(term)], np.arange(chunks))
    assert segment.count == chunks
    assert segment.read_ids()[0] == 2**40
    assert segment.read_lengths().tolist() == [60] * chunks


def test_build_of_nothing_is_an_empty_segment() -> None:
    """A batch without chunks, or without words, is no special case."""
    assert build_segment([], ANALYZER.analyse_many([])) == Segment(b"", b"", {})
    assert build_segment([1], ANALYZER.analyse_many([""])).buckets == {}
    assert merge_segments([]) == Segment(b"", b"", {})


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.text("ab ", max_size=9), max_size=4), max_size=4),
    st.sets(st.integers(0, 15)),
)
def test_merge_equals_building_the_rest_at_once(batches: list[list[str]], dead: set[int]) -> None:
    """Merging and dropping leaves no trace of how the chunks arrived."""
    segments, texts = [], []
    for batch in batches:
        ids = range(len(texts), len(texts) + len(batch))
        segments.append(build_segment(ids, ANALYZER.analyse_many(batch)))
        texts += batch
    alive = [number for number in range(len(texts)) if number not in dead]
    rest = ANALYZER.analyse_many([texts[number] for number in alive])
    assert merge_segments(segments, sorted(dead)) == build_segment(alive, rest)


def test_merge_across_65536_chunks_widens_the_rows() -> None:
    """Row numbers outgrow two bytes without loss."""
    halves = [build_segment(np.arange(40_000) + start, counted(40_000, 3)) for start in (0, 40_000)]
    merged = merge_segments(halves)
    rows = np.concatenate([read_bucket(b, 80_000).rows for b in merged.buckets.values()])
    assert np.array_equal(np.sort(rows), np.repeat(np.arange(80_000), 3))


@pytest.mark.parametrize(("ids", "lengths"), [(b"1234567", b"1234"), (b"12345678", b"123")])
def test_read_of_a_damaged_header_is_refused(ids: bytes, lengths: bytes) -> None:
    """Ids and lengths must belong together."""
    with pytest.raises(DamagedSegment):
        Segment(ids, lengths, {}).read_ids()
