"""A bucket is written small and read back whole, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.lexical.bucket import (
    Bucket,
    bucket_label,
    bucket_labels,
    choose_fanout,
    read_bucket,
)
from aisdk.errors import DamagedSegment

_HASHES = st.integers(0, 2**64 - 1)


def _bucket(rows: list[int], counts: list[int]) -> Bucket:
    """A bucket of two terms that halve the postings."""
    return Bucket(
        terms=np.array([5, 2**63], np.uint64),
        ends=np.array([len(rows) // 2, len(rows)]),
        rows=np.array(rows),
        counts=np.array(counts),
    )


@pytest.mark.parametrize(
    ("rows", "counts", "size"),
    [([0, 9], [1, 255], 42), ([0, 9], [1, 256], 44), ([0, 65_536], [1, 1], 46)],
)
def test_write_uses_the_narrowest_columns(rows: list[int], counts: list[int], size: int) -> None:
    """Small numbers take few bytes and large ones survive."""
    payload = _bucket(rows, counts).write()
    read = read_bucket(payload, 70_000)
    assert len(payload) == size
    assert (read.rows.tolist(), read.counts.tolist()) == (rows, counts)


def test_write_with_an_enormous_count_keeps_the_most_it_can() -> None:
    """A word repeated beyond 65,535 times counts as repeated that often."""
    assert read_bucket(_bucket([0, 1], [70_000, 1]).write(), 2).counts.tolist() == [65_535, 1]


@pytest.mark.parametrize(
    ("term", "rows"), [(5, [0]), (2**63, [1]), (4, []), (6, []), (2**64 - 1, [])]
)
def test_find_gives_the_rows_of_the_term_alone(term: int, rows: list[int]) -> None:
    """A term that is not there has no rows."""
    bucket = read_bucket(_bucket([0, 1], [1, 1]).write(), 2)
    assert bucket.rows[bucket.find(term)].tolist() == rows


@given(st.integers(0, 41))
def test_read_of_a_payload_cut_short_is_refused(length: int) -> None:
    """Half a payload never gives half a result."""
    with pytest.raises(DamagedSegment):
        read_bucket(_bucket([0, 1], [1, 1]).write()[:length], 2)


@pytest.mark.parametrize(("place", "value"), [(0, 2), (1, 3), (2, 4), (4, 9), (8, 9), (32, 9)])
def test_read_of_a_payload_that_contradicts_itself_is_refused(place: int, value: int) -> None:
    """Version, widths, sizes and ends are checked."""
    payload = bytearray(_bucket([0, 1], [1, 1]).write())
    payload[place] = value
    with pytest.raises(DamagedSegment):
        read_bucket(bytes(payload), 2)


def test_read_with_a_row_outside_the_segment_is_refused() -> None:
    """A posting must belong to a chunk of its segment."""
    with pytest.raises(DamagedSegment) as caught:
        read_bucket(_bucket([0, 7], [1, 1]).write(), 7)
    assert caught.value.hint


@given(st.lists(_HASHES, max_size=20), st.sampled_from([1, 16, 64, 256, 4096]))
def test_bucket_labels_name_the_bucket_of_every_term(terms: list[int], fanout: int) -> None:
    """Whatever a segment's size, the query asks for the right bucket."""
    labels = bucket_labels(terms)
    assert {bucket_label(term, fanout) for term in terms} <= set(labels)
    assert all(fanout <= bucket_label(term, fanout) < 2 * fanout for term in terms)


def test_choose_fanout_grows_with_the_postings() -> None:
    """Small segments are one bucket; the largest have 4096."""
    assert [choose_fanout(n) for n in (0, 2_000, 2_001, 50_000, 10**6, 10**7)] == [
        1,
        1,
        16,
        64,
        256,
        4096,
    ]
