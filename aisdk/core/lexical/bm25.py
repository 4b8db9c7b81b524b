"""Exact BM25 over the live chunks of a tenant, from the segments that hold them.

A term weighs ``ln(1 + (N - df + 0.5) / (df + 0.5))`` and gives a chunk this weight times
``tf / (tf + k1 (1 - b + b length / average length))``. ``N``, ``df`` and the average count the
chunks that are alive at this moment, and nothing else.

Source: Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with
the never negative weight of Apache Lucene.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aisdk.core.lexical.bucket import bucket_labels, read_bucket
from aisdk.core.lexical.segment import Segment

__all__ = ["Bm25", "LexicalScores", "score_chunks"]

_NO_IDS = np.empty(0, np.int64)
_NO_LENGTHS = np.empty(0, np.uint32)
_NONE = np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Bm25:
    """The two constants of BM25.

    Attributes:
        k1: How slowly repetition saturates, at least 0.
        b: How much long chunks are held back, from 0 to 1.
    """

    k1: float = 1.2
    b: float = 0.75


@dataclass(frozen=True)
class LexicalScores:
    """The score of every live chunk for one query.

    Attributes:
        chunk_ids: int64, shape (live chunks,).
        scores: float64, the same shape; 0 for a chunk without any term of the query.
        weights: float64, the weight of each term of the query (times its repetitions); no score
            exceeds their sum, up to rounding.
    """

    chunk_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def ceiling(self) -> float:
        """What a chunk would score that repeats every term of the query without end."""
        return float(self.weights.sum())

    def top(
        self, n: int, allowed: ArrayLike | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The best ``n`` chunks that hold a term of the query; equal scores by ascending id.

        Args:
            n: At least 1.
            allowed: Ids to choose from; all when None. They change the choice, never the scores.

        Returns:
            Ids and scores, best first, at most ``n``.
        """
        found = self.scores > 0
        if allowed is not None:
            found &= np.isin(self.chunk_ids, np.asarray(allowed, np.int64))
        ids, scores = self.chunk_ids[found], self.scores[found]
        if len(scores) > n:
            good = scores >= np.partition(scores, -n)[-n]
            ids, scores = ids[good], scores[good]
        order = np.lexsort((ids, -scores))[:n]
        return ids[order], scores[order]

    def of(self, chunk_ids: ArrayLike) -> NDArray[np.float64]:
        """The scores of these chunks, in their order; 0 for a chunk that is not alive here."""
        wanted = np.asarray(chunk_ids, np.int64)
        if not len(self.chunk_ids):
            return np.zeros(wanted.shape)
        place = np.searchsorted(self.chunk_ids, wanted, sorter=self._by_id)
        nearest = self._by_id[np.minimum(place, len(self.chunk_ids) - 1)]
        return np.where(self.chunk_ids[nearest] == wanted, self.scores[nearest], 0.0)

    @cached_property
    def _by_id(self) -> NDArray[np.int64]:
        return np.argsort(self.chunk_ids, kind="stable")


def score_chunks(
    query: Mapping[int, int],
    segments: Sequence[Segment],
    dead_ids: ArrayLike = (),
    bm25: Bm25 = Bm25(),
) -> LexicalScores:
    """Scores every live chunk of a tenant for one query.

    Args:
        query: What `Analyzer.analyse` gave: hash of a term → how often it is asked for.
        segments: All segments of the tenant, each with the buckets `bucket_labels` names.
        dead_ids: Chunks deleted since their segment was written.
        bm25: The constants.

    Raises:
        DamagedSegment: A segment cannot be read.
    """
    ids = np.concatenate([_NO_IDS, *(segment.read_ids() for segment in segments)])
    lengths = np.concatenate([_NO_LENGTHS, *(segment.read_lengths() for segment in segments)])
    alive = ~np.isin(ids, np.asarray(dead_ids, np.int64))
    terms = sorted(query)  # one order of adding, so that equal chunks score equal to the last bit
    hits = _find(terms, segments)
    live = hits.keep(alive[hits.rows])
    weights = _weights(live, [query[term] for term in terms], int(alive.sum()))
    average = lengths[alive].sum() / max(alive.sum(), 1) or 1.0
    damping = bm25.k1 * (1 - bm25.b + bm25.b * lengths / average)
    gains = weights[live.terms] * (live.counts / (live.counts + damping[live.rows]))
    scores = np.bincount(live.rows, gains, len(ids)).astype(np.float64, copy=False)
    return LexicalScores(chunk_ids=ids[alive], scores=scores[alive], weights=weights)


class _Run(NamedTuple):
    """Postings of one term in one segment, whose first chunk is number ``first`` of all."""

    number: int
    first: int
    rows: NDArray[np.integer]
    counts: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class _Hits:
    """Postings of the query's terms: term number, row among all chunks, count; one column each."""

    terms: NDArray[np.int64]
    rows: NDArray[np.int64]
    counts: NDArray[np.int64]

    def keep(self, chosen: NDArray[np.bool_]) -> _Hits:
        return _Hits(self.terms[chosen], self.rows[chosen], self.counts[chosen])


def _weights(hits: _Hits, asked: Sequence[int], chunks: int) -> NDArray[np.float64]:
    """The weight of each term, by how few chunks hold it and how often it is asked for."""
    holding = np.bincount(hits.terms, minlength=len(asked))
    return np.asarray(asked) * np.log1p((chunks - holding + 0.5) / (holding + 0.5))


def _find(terms: Sequence[int], segments: Sequence[Segment]) -> _Hits:
    """All postings of these terms; those of one chunk in the order of the terms."""
    found = list(_runs(terms, segments))
    sizes = [len(run.rows) for run in found]
    firsts = np.array([run.first for run in found], np.int64)
    numbers = np.array([run.number for run in found], np.int64)
    return _Hits(
        terms=np.repeat(numbers, sizes),
        rows=np.repeat(firsts, sizes) + np.concatenate([_NONE, *(run.rows for run in found)]),
        counts=np.concatenate([_NONE, *(run.counts for run in found)]),
    )


def _runs(terms: Sequence[int], segments: Sequence[Segment]) -> Iterator[_Run]:
    numbers: dict[int, list[int]] = {}
    for number, term in enumerate(terms):
        for label in bucket_labels([term]):
            numbers.setdefault(label, []).append(number)
    firsts = accumulate((segment.count for segment in segments), initial=0)
    for segment, first in zip(segments, firsts, strict=False):
        for label in sorted(numbers.keys() & segment.buckets.keys()):
            bucket = read_bucket(segment.buckets[label], segment.count)
            for number in numbers[label]:
                place = bucket.find(terms[number])
                yield _Run(number, first, bucket.rows[place], bucket.counts[place])
