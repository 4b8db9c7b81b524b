"""Replies of an embedding service are checked before they are believed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.errors import BadReply
from aisdk.integrations.openai_compatible import read_reply


def body(*vectors: Any, order: list[int] | None = None) -> bytes:
    """A reply with these embeddings, listed in this order."""
    items = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"data": [items[index] for index in order or range(len(items))]}).encode()


def test_read_reply_shuffled_items_are_put_in_order_by_index() -> None:
    """The index counts, not the place in the list."""
    vectors = read_reply(body([1, 0], [0, 2], [3, 4], order=[2, 0, 1]), 3, 2)
    assert np.allclose(vectors, [[1, 0], [0, 1], [0.6, 0.8]])
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous


def test_read_reply_large_numbers_do_not_overflow() -> None:
    """Only the direction matters, however long the vector is."""
    assert np.allclose(read_reply(body([3e300, 4e300]), 1, 2), [[0.6, 0.8]])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {"0": 1}}',
        b'{"data": [[0, 1]]}',
        b'{"data": [{"index": 0}]}',
        b'{"data": [{"embedding": [1, 2]}]}',
        b'{"data": [{"index": [], "embedding": [1, 2]}]}',
        b'{"data": [{"index": 0, "embedding": 7}]}',
        b"[" * 100_000,
        body(),
        body([]),
        body([1, 2], [3, 4]),
        body([1, 2, 3]),
        body([1, "two"]),
        body([1, None]),
        body([1, 10**400]),
        body([1, float("nan")]),
        body([1, float("inf")]),
        body([0, 0]),
        body([[1, 2], [3, 4]]),
    ],
)
def test_read_reply_nonsense_raises_bad_reply(content: bytes) -> None:
    """Whatever is not one finite embedding of the dimension for the one text is refused."""
    with pytest.raises(BadReply):
        read_reply(content, 1, 2)


def test_read_reply_doubled_index_raises_bad_reply() -> None:
    """Two embeddings of one text leave another text without."""
    items = [{"index": 0, "embedding": [1, 2]}] * 2
    with pytest.raises(BadReply):
        read_reply(json.dumps({"data": items}).encode(), 2, 2)


def test_read_reply_ragged_vectors_raise_bad_reply() -> None:
    """Embeddings of different lengths are refused even when no dimension is known."""
    with pytest.raises(BadReply):
        read_reply(body([1, 2], [1, 2, 3]), 2, None)


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=8))
def test_read_reply_any_json_as_embedding_gives_a_unit_vector_or_bad_reply(value: Any) -> None:
    """No reply can raise anything else or give numbers that are not finite."""
    try:
        vectors = read_reply(body(value), 1, None)
    except BadReply:
        return
    assert np.isclose(np.linalg.norm(vectors), 1)
