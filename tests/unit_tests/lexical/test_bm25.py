"""BM25 from segments is BM25 by its definition, at every moment of an index's life."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.lexical.analysis import Analyzer
from aisdk.core.lexical.bm25 import Bm25, LexicalScores, score_chunks
from aisdk.core.lexical.bucket import bucket_labels
from aisdk.core.lexical.segment import Segment, build_segment, merge_segments

ANALYZER = Analyzer("simple")
WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "eta"]), max_size=8).map(
    " ".join
)


def naive_bm25(query: str, live: dict[int, str], bm25: Bm25) -> dict[int, float]:
    """BM25 word by word, as the formula reads."""
    chunks = {chunk_id: text.split() for chunk_id, text in live.items()}
    average = sum(map(len, chunks.values())) / max(len(chunks), 1) or 1
    scores = {}
    for chunk_id, words in chunks.items():
        scores[chunk_id] = 0.0
        for term, asked in Counter(query.split()).items():
            holding = sum(term in others for others in chunks.values())
            idf = math.log(1 + (len(chunks) - holding + 0.5) / (holding + 0.5))
            count = words.count(term)
            damping = bm25.k1 * (1 - bm25.b + bm25.b * len(words) / average)
            scores[chunk_id] += asked * idf * count / (count + damping) if count else 0.0
    return scores


def search(query: str, segments: list[Segment], dead: list[int], bm25: Bm25) -> LexicalScores:
    """Scores with the segments' buckets as they are."""
    return score_chunks(ANALYZER.analyse(query), segments, dead, bm25)


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(WORDS, max_size=5), max_size=5),
    query=WORDS,
    dead=st.sets(st.integers(0, 24)),
    merge=st.tuples(st.integers(0, 5), st.booleans()),
    bm25=st.sampled_from([Bm25(), Bm25(k1=0.0), Bm25(k1=2.0, b=0.0), Bm25(b=1.0)]),
)
def test_score_after_any_history_equals_the_definition(
    batches: list[list[str]],
    query: str,
    dead: set[int],
    merge: tuple[int, bool],
    bm25: Bm25,
) -> None:
    """Splitting, merging and deleting change no score: not against the formula, not by one bit."""
    texts = [text for batch in batches for text in batch]
    segments, start = [], 0
    for batch in batches:
        segments.append(
            build_segment(range(start, start + len(batch)), ANALYZER.analyse_many(batch))
        )
        start += len(batch)
    merged, drops = merge
    gone = sorted(dead)
    first = merge_segments(segments[:merged], gone if drops else [])
    found = search(query, [first, *segments[merged:]], gone, bm25)
    live = {number: text for number, text in enumerate(texts) if number not in dead}
    expected = naive_bm25(query, live, bm25)
    assert dict(zip(found.chunk_ids.tolist(), found.scores, strict=True)) == pytest.approx(expected)
    whole = search(
        query, [build_segment(list(live), ANALYZER.analyse_many(list(live.values())))], [], bm25
    )
    assert np.array_equal(found.of(list(live)), whole.of(list(live)))
    assert (found.scores <= found.ceiling * (1 + 1e-12)).all()  # sums differ by their rounding


def test_score_of_segments_with_only_the_buckets_asked_for_is_the_same() -> None:
    """What a query does not ask for does not matter."""
    texts = [f"word{number % 70} word{number % 50} common" for number in range(900)]
    segment = build_segment(range(900), ANALYZER.analyse_many(texts))
    query = ANALYZER.analyse("word7 common")
    labels = bucket_labels(query)
    part = Segment(
        segment.chunk_ids,
        segment.lengths,
        {label: payload for label, payload in segment.buckets.items() if label in labels},
    )
    assert len(part.buckets) < len(segment.buckets)
    assert np.array_equal(score_chunks(query, [part]).scores, score_chunks(query, [segment]).scores)


def scores(values: list[float]) -> LexicalScores:
    """Scores of chunks 10, 11, … in descending order of ids."""
    ids = np.arange(len(values))[::-1] + 10
    return LexicalScores(ids, np.array(values)[::-1], np.ones(1))


@pytest.mark.parametrize(
    ("values", "n", "ids"),
    [
        ([0.5, 0.9, 0.5, 0.5], 2, [11, 10]),
        ([0.5, 0.0, 0.7], 5, [12, 10]),
        ([0.0, 0.0], 5, []),
        ([], 5, []),
    ],
)
def test_top_orders_by_score_then_id_and_leaves_out_zero(
    values: list[float], n: int, ids: list[int]
) -> None:
    """Equal scores always come in the same order, at the cut as well."""
    found, best = scores(values).top(n)
    assert found.tolist() == ids
    assert best.tolist() == sorted(best, reverse=True)


def test_top_with_allowed_ids_chooses_among_them_only() -> None:
    """A filter narrows the choice and keeps the scores."""
    found, best = scores([0.1, 0.2, 0.3]).top(5, allowed=[10, 11, 99])
    assert (found.tolist(), best.tolist()) == ([11, 10], [0.2, 0.1])


def test_of_an_unknown_chunk_is_zero() -> None:
    """A chunk that is not alive has no lexical score."""
    assert scores([0.1, 0.2]).of([11, 5, 10, 99]).tolist() == [0.2, 0.0, 0.1, 0.0]
    assert scores([]).of([1]).tolist() == [0.0]
