"""Fusion follows the better informed side and keeps its promises about scores and order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aisdk.core.rag.fusion import (
    BACKGROUND_SIZE,
    DenseSide,
    LexicalSide,
    choose_background,
    fuse,
)

NOISE = np.linspace(-0.1, 0.3, 101)  # median 0.1, deviation 0.148


def sides(
    lexical: list[float], cosines: list[float], background: np.ndarray = NOISE
) -> tuple[LexicalSide, DenseSide]:
    """Both sides of a query with two terms of weights 3 and 4."""
    return (
        LexicalSide(np.array(lexical), np.array([3.0, 4.0])),
        DenseSide(np.array(cosines), min(cosines, default=0.0), background),
    )


@pytest.mark.parametrize(("weight", "order"), [(0.0, [1, 0, 2]), (1.0, [2, 0, 1])])
def test_fuse_with_an_extreme_weight_ranks_by_one_side(weight: float, order: list[int]) -> None:
    """Weight 0 is the lexical order, weight 1 the dense order."""
    fused = fuse(*sides([2.0, 5.0, 0.0], [0.4, 0.3, 0.5]), weight=weight)
    assert fused.order.tolist() == order
    assert fused.weight == weight


def test_fuse_gives_more_weight_to_a_dense_hit_that_stands_out() -> None:
    """The share of the dense side grows with its best hit and is even at 4 deviations."""
    middle, deviation = 0.1, 1.4826 * 0.1
    shares = [fuse(*sides([1.0], [middle + times * deviation])).weight for times in (0, 1, 4, 12)]
    assert shares == pytest.approx([0.0, 0.2, 0.5, 0.75])


@pytest.mark.parametrize("background", [np.array([]), np.full(100, 0.2)])
def test_fuse_without_a_usable_background_weighs_both_sides_alike(background: np.ndarray) -> None:
    """Nothing known about ordinary chunks is no reason to prefer a side."""
    assert fuse(*sides([1.0, 0.0], [0.3, 0.5], background)).weight == 0.5


def test_fuse_without_known_terms_ranks_by_the_dense_side() -> None:
    """A query whose words are all unknown or stop words is a dense query."""
    dense = DenseSide(np.array([0.2, 0.6, 0.4]), 0.2, NOISE)
    for weights in (np.array([]), np.array([0.0])):
        fused = fuse(LexicalSide(np.zeros(3), weights), dense)
        assert fused.order.tolist() == [1, 2, 0]


def test_fuse_of_a_single_word_counts_less_than_of_many_matched_words() -> None:
    """The same share of the query matched says more when the query has more terms."""
    one = LexicalSide(np.array([2.0]), np.full(1, 4.0))
    nine = LexicalSide(np.array([18.0]), np.full(9, 4.0))
    assert nine.scaled() == pytest.approx(3 * one.scaled())


def test_fuse_of_equal_candidates_keeps_their_order() -> None:
    """Ties are broken by position, which callers make the chunk id."""
    assert fuse(*sides([1.0] * 5, [0.3] * 5)).order.tolist() == [0, 1, 2, 3, 4]


def test_fuse_of_no_candidates_is_empty() -> None:
    """Nothing found on both sides is no special case."""
    assert fuse(*sides([], [])).order.tolist() == []


@given(
    st.lists(st.tuples(st.floats(0, 7), st.floats(-1, 1)), min_size=1, max_size=9),
    st.one_of(st.none(), st.floats(0, 1)),
    arrays.arrays(np.float64, st.integers(0, 9), elements=st.floats(-1, 1)),
)
def test_fuse_of_any_candidates_scores_from_0_to_1_in_order(
    candidates: list[tuple[float, float]], weight: float | None, background: np.ndarray
) -> None:
    """Scores stay within their range and fall along the order."""
    lexical, cosines = map(list, zip(*candidates, strict=True))
    fused = fuse(*sides(lexical, cosines, background), weight=weight)
    assert ((fused.scores >= 0) & (fused.scores <= 1)).all()
    assert 0 <= fused.weight <= 1
    assert (np.diff(fused.scores[fused.order]) <= 0).all()
    assert sorted(fused.order.tolist()) == list(range(len(candidates)))


@given(st.integers(0, 1_000))
def test_choose_background_spreads_over_all_chunks(count: int) -> None:
    """At most a hundred different chunks, from the first to the last."""
    ids = np.arange(count) * 3 + 7
    chosen = choose_background(ids)
    assert len(set(chosen.tolist())) == min(count, BACKGROUND_SIZE)
    assert set(chosen.tolist()) <= set(ids.tolist())
    if count > 1:
        assert {7, int(ids[-1])} <= set(chosen.tolist())
