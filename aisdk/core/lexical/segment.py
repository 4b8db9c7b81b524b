"""Immutable pieces of the inverted index: built from counted terms, later merged into larger ones.

A segment holds the chunks of one committed batch. Its postings lie in buckets chosen by the first
bits of a term's hash, so that a query reads the few buckets of its terms and not the segment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aisdk.core.lexical.analysis import TermCounts
from aisdk.core.lexical.bucket import (
    Bucket,
    choose_fanout,
    damaged,
    read_bucket,
)

__all__ = ["Segment", "build_segment", "merge_segments"]

_NO_IDS = np.empty(0, np.int64)
_NO_TERMS = np.empty(0, np.uint64)
_NO_COUNTS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Segment:
    """The searchable words of some chunks, as they are stored.

    Attributes:
        chunk_ids: int64 each, little-endian.
        lengths: uint32 each, little-endian: terms in the chunk.
        buckets: Label → payload. A bucket without any term is not stored; of a segment that is
            read for a query only the buckets asked for are here.
    """

    chunk_ids: bytes
    lengths: bytes
    buckets: Mapping[int, bytes]

    @property
    def count(self) -> int:
        """Number of chunks, those deleted since included."""
        return len(self.chunk_ids) // 8

    def read_ids(self) -> NDArray[np.int64]:
        """The chunk ids.

        Raises:
            DamagedSegment: The ids and lengths do not belong together.
        """
        if len(self.chunk_ids) % 8 or len(self.lengths) * 2 != len(self.chunk_ids):
            raise damaged()
        return np.frombuffer(self.chunk_ids, "<i8")

    def read_lengths(self) -> NDArray[np.uint32]:
        """Number of terms in each chunk."""
        return np.frombuffer(self.lengths, "<u4")


def build_segment(chunk_ids: ArrayLike, counted: TermCounts) -> Segment:
    """A segment of analysed chunks.

    Args:
        chunk_ids: One id a text, in the order the texts were analysed; no id twice in a tenant.
        counted: What `Analyzer.analyse_many` gave for their texts.
    """
    terms, starts = np.unique(counted.terms, return_index=True)
    ends = np.append(starts, len(counted.terms))[1:]
    fanout = choose_fanout(len(counted.terms))
    labels = range(fanout, 2 * fanout)
    firsts = np.array([(label - fanout << 64) // fanout for label in labels], np.uint64)
    borders = [*np.searchsorted(terms, firsts).tolist(), len(terms)]
    return Segment(
        chunk_ids=np.asarray(chunk_ids, "<i8").tobytes(),
        lengths=counted.lengths.astype("<u4").tobytes(),
        buckets={
            label: _cut(counted, terms[first:last], ends[first:last], int(starts[first])).write()
            for label, first, last in zip(labels, borders, borders[1:], strict=False)
            if first < last
        },
    )


def merge_segments(segments: Sequence[Segment], dropped_ids: ArrayLike = ()) -> Segment:
    """One segment of the chunks of several whole segments, without the dropped chunks.

    Raises:
        DamagedSegment: A segment cannot be read.
    """
    ids = np.concatenate([_NO_IDS, *(segment.read_ids() for segment in segments)])
    alive = ~np.isin(ids, np.asarray(dropped_ids, np.int64))
    place = np.cumsum(alive, dtype=np.int32) - 1
    whole = _concatenate(segments)
    kept = np.flatnonzero(alive[whole.rows])
    order = kept[np.argsort(whole.terms[kept], kind="stable")]
    merged = TermCounts(
        terms=whole.terms[order],
        rows=place[whole.rows[order]],
        counts=whole.counts[order],
        lengths=whole.lengths[alive],
    )
    return build_segment(ids[alive], merged)


def _cut(
    counted: TermCounts, terms: NDArray[np.uint64], ends: NDArray[np.int64], start: int
) -> Bucket:
    """The bucket of these terms, whose postings begin at ``start``."""
    postings = slice(start, int(ends[-1]))
    return Bucket(
        terms=terms,
        ends=ends - start,
        rows=counted.rows[postings],
        counts=counted.counts[postings],
    )


def _concatenate(segments: Sequence[Segment]) -> TermCounts:
    """The postings of whole segments, one segment after the other, with rows counted through."""
    firsts = np.cumsum([0, *(segment.count for segment in segments)], dtype=np.int32)
    parts = [
        (read_bucket(payload, segment.count), first)
        for segment, first in zip(segments, firsts, strict=False)
        for payload in segment.buckets.values()
    ]
    terms = [np.repeat(part.terms, np.diff(part.ends, prepend=0)) for part, _ in parts]
    rows = [part.rows.astype(np.int32) + first for part, first in parts]
    return TermCounts(
        terms=np.concatenate([_NO_TERMS, *terms]),
        rows=np.concatenate([_NO_COUNTS, *rows]),
        counts=np.concatenate([_NO_COUNTS, *(part.counts for part, _ in parts)]),
        lengths=np.concatenate([_NO_COUNTS, *(s.read_lengths() for s in segments)]).astype(
            np.int32
        ),
    )
