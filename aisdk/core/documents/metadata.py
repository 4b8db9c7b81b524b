"""Metadata as JSON has it, from what Python and pandas have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from aisdk.core.documents.cleaning import clean_text
from aisdk.core.results.frame import JSON
from aisdk.errors import Unreadable

__all__ = ["check_size", "checked_metadata", "json_value"]

LARGEST_METADATA: Final = 256 * 1024
DEEPEST: Final = 16
MOST_VALUES: Final = LARGEST_METADATA // 2  # more would be larger as JSON
KEYS_HINT: Final = 'Write {"year": 2020}: a dict whose keys are text.'
SIZE_HINT: Final = "Keep what you filter by, within 256 KiB; put the rest into the document's text."
DEPTH_HINT: Final = f"Nest at most {DEEPEST} deep, and hold no more than 256 KiB."
NUMBER_HINT: Final = "Give it as text, or shorter."
KINDS_HINT: Final = "Use text, numbers, booleans, None, lists and dicts."


def checked_metadata(metadata: Any) -> dict[str, JSON]:
    """Metadata as JSON has it; dates become ISO text, missing and infinite numbers ``None``.

    Raises:
        Unreadable: They are no mapping of text keys to JSON values, or larger than 256 KiB.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise _bad_metadata("Metadata must be a dict with text keys.", KEYS_HINT)
    if not metadata:
        return {}
    tree = _Tree()
    cleaned = {clean_text(key): tree.value(value, 0) for key, value in metadata.items()}
    check_size(to_json(cleaned))
    return cleaned


def check_size(metadata: bytes) -> bytes:
    """The metadata as JSON, if they are not too large.

    Raises:
        Unreadable: They are larger than 256 KiB.
    """
    if len(metadata) > LARGEST_METADATA:
        raise _bad_metadata("Metadata are larger than 256 KiB.", SIZE_HINT)
    return metadata


def json_value(value: Any) -> JSON:
    """One value as JSON has it.

    Raises:
        Unreadable: JSON has nothing like it, it is nested too deeply, or it holds too many values.
    """
    return clean_text(value) if isinstance(value, str) else _Tree().value(value, 0)


class _Tree:
    """A value and all that is in it, counted: a list may hold itself, or another many times."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def value(self, value: Any, depth: int) -> JSON:
        """One value of the tree."""
        self._left -= 1
        if isinstance(value, str):
            self._left -= len(value) // 16  # a text may be there many times too
        if depth > DEEPEST or self._left < 0:
            raise _bad_metadata("Metadata are nested too deeply, or hold too much.", DEPTH_HINT)
        for kinds, convert in _SCALARS:
            if isinstance(value, kinds):
                return convert(value)
        return None if value is None or _is_missing(value) else self._many(value, depth + 1)

    def _many(self, value: Any, depth: int) -> JSON:
        """A value that holds others."""
        if isinstance(value, Mapping):
            return {_text(key) or "": self.value(item, depth) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth) for item in value]
        if isinstance(value, set | frozenset):
            return sorted((self.value(item, depth) for item in value), key=repr)
        if isinstance(getattr(value, "ndim", None), int) and hasattr(value, "tolist"):  # of numpy
            if getattr(value, "size", 0) > self._left:
                raise _bad_metadata("Metadata hold too many values.", SIZE_HINT)
            return self.value(value.tolist(), depth)
        raise _bad_metadata("A metadata value is of a kind that JSON does not have.", KINDS_HINT)


def _number(value: float) -> JSON:
    return float(value) if math.isfinite(value) else None


def _whole(value: int) -> JSON:
    return int(value) if abs(value) < 2**63 else _text(value)


def _text(value: Any) -> str | None:
    if _is_missing(value):
        return None
    try:
        return clean_text(str(value)[:LARGEST_METADATA])
    except ValueError:  # Python writes no number of so many digits
        raise _bad_metadata("A number in metadata is too long.", NUMBER_HINT) from None


def _date(value: date | time) -> JSON:
    return None if _is_missing(value) else value.isoformat()


def _is_missing(value: Any) -> bool:
    """Whether it is pandas' NaT or NA, which compare with nothing."""
    return type(value).__name__ in ("NaTType", "NAType")


def _bad_metadata(message: str, hint: str) -> Unreadable:
    return Unreadable(message, hint=hint, reason="bad_metadata")


_SCALARS: Final[tuple[tuple[Any, Callable[[Any], JSON]], ...]] = (
    (str, clean_text),
    (bool, bool),
    (int, _whole),
    (float, _number),
    ((date, time), _date),
    ((UUID, Decimal, timedelta), _text),
)
