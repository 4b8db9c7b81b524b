"""Metadata: JSON comes out, or one kind of error, whatever Python holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aisdk.core.documents.metadata import checked_metadata
from aisdk.errors import Unreadable


def holding_itself() -> list[Any]:
    """A list that holds itself."""
    items: list[Any] = []
    items.append(items)
    return items


def laughs(times: int) -> list[Any]:
    """A list that is short, and ten to that power written out."""
    items: list[Any] = ["ha"]
    for _ in range(times):
        items = [items] * 10
    return items


def test_metadata_of_python_and_pandas_become_json() -> None:
    """Times are ISO text, numbers of numpy plain ones, missing ones None."""
    given = {
        "when": datetime(2024, 2, 29, tzinfo=UTC),
        "count": np.int64(5),
        "many": np.array([1.5, np.nan]),
        "none": [pd.NaT, pd.NA, float("inf")],
        "set": {"b", "a"},
        "deep": {"a": ({"b": True},)},
        "large": 2**64,
    }
    assert checked_metadata(given) == {
        "when": "2024-02-29T00:00:00+00:00",
        "count": 5,
        "many": [1.5, None],
        "none": [None, None, None],
        "set": ["a", "b"],
        "deep": {"a": [{"b": True}]},
        "large": str(2**64),
    }


@pytest.mark.parametrize(
    "value",
    [
        holding_itself(),
        laughs(15),
        10**5_000,
        {10**5_000: 1},
        [10**5_000],
        np.zeros(10**6, np.int8),
        ["word " * 1_000] * 10_000,
        1j,
        b"bytes",
        np.zeros(1, [("a", "S3")]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_metadata_that_json_cannot_hold_are_refused(value: Any) -> None:
    """However small they look."""
    with pytest.raises(Unreadable) as error:
        checked_metadata({"a": value})
    assert error.value.reason == "bad_metadata"


def test_metadata_of_many_values_are_kept() -> None:
    """What fits in 256 KiB is not too many."""
    values = list(range(1_000)) * 40
    assert checked_metadata({"values": values}) == {"values": values}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ([1], "dict whose keys are text"),
        ({1: "a"}, "dict whose keys are text"),
        ({"a": "x" * 2**18}, "256 KiB.*into the document's text"),
        ({"a": holding_itself()}, "16 deep"),
        ({"a": ["word " * 1_000] * 10_000}, "256 KiB"),
        ({"a": np.zeros(10**6, np.int8)}, "256 KiB"),
        ({"a": 10**5_000}, "as text"),
        ({"a": b"bytes"}, "text, numbers, booleans"),
    ],
    ids=["list", "key", "large", "deep", "much", "array", "number", "kind"],
)
def test_hint_fits_what_is_wrong(metadata: Any, says: str) -> None:
    """It says what to do about it."""
    with pytest.raises(Unreadable) as error:
        checked_metadata(metadata)
    assert re.search(says, error.value.hint or "")
