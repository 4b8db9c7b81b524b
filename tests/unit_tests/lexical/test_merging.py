"""Segments stay few and are seldom rewritten."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.lexical.merging import choose_merge


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 2_000), min_size=1, max_size=300))
def test_merging_after_every_batch_keeps_segments_few(batches: list[int]) -> None:
    """At most seven segments an order of magnitude, each chunk rewritten once an order."""
    segments: list[int] = []
    rewritten = 0
    for batch in batches:
        segments.append(batch)
        while chosen := choose_merge(segments, [0] * len(segments)):
            merged = sum(segments[position] for position in chosen)
            segments = [size for place, size in enumerate(segments) if place not in chosen]
            segments.append(merged)
            rewritten += merged
    orders = len(oct(sum(batches))) - 2
    assert sum(segments) == sum(batches)
    assert len(segments) <= 7 * orders
    assert rewritten <= orders * sum(batches)


@pytest.mark.parametrize(
    ("live", "dead", "chosen"),
    [
        ([], [], []),
        ([1] * 7, [0] * 7, []),
        ([1] * 8 + [100], [0] * 9, list(range(8))),
        ([100, 10, 90], [0, 11, 0], [1]),
        ([100, 10, 90], [0, 10, 0], []),
        ([2**18] * 9, [0] * 9, []),
    ],
)
def test_choose_merge_of_some_segments(live: list[int], dead: list[int], chosen: list[int]) -> None:
    """Eight alike are merged, a mostly dead one is rewritten, giants are left alone."""
    assert choose_merge(live, dead) == chosen
