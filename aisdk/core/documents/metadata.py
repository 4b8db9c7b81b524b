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


def checked_metadata(metadata: Any) -> dict[str, JSON]:
    """Metadata as JSON has it; dates become ISO text, missing and infinite numbers ``None``.

    Raises:
        Unreadable: They are no mapping of text keys to JSON values, or larger than 256 KiB.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise _bad_metadata("Metadata must be a dict with text keys.")
    if not metadata:
        return {}
    cleaned = {clean_text(key): json_value(value) for key, value in metadata.items()}
    check_size(to_json(cleaned))
    return cleaned


def check_size(metadata: bytes) -> bytes:
    """The metadata as JSON, if they are not too large.

    Raises:
        Unreadable: They are larger than 256 KiB.
    """
    if len(metadata) > LARGEST_METADATA:
        raise _bad_metadata("Metadata are larger than 256 KiB.")
    return metadata


def json_value(value: Any, depth: int = 0) -> JSON:
    """One value as JSON has it.

    Raises:
        Unreadable: JSON has nothing like it, or it is nested too deeply.
    """
    if isinstance(value, str):
        return clean_text(value)
    if depth > DEEPEST:
        raise _bad_metadata("Metadata are nested too deeply.")
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value, depth)
    if value is None or _is_missing(value):
        return None
    if getattr(value, "ndim", None) is not None and hasattr(value, "tolist"):  # of numpy
        return json_value(value.tolist(), depth + 1)
    raise _bad_metadata("A metadata value is of a kind that JSON does not have.")


def _number(value: float, _: int) -> JSON:
    return float(value) if math.isfinite(value) else None


def _whole(value: int, _: int) -> JSON:
    return int(value) if abs(value) < 2**63 else _text(value, 0)


def _text(value: Any, _: int) -> JSON:
    return None if _is_missing(value) else clean_text(str(value)[:LARGEST_METADATA])


def _date(value: date | time, _: int) -> JSON:
    return None if _is_missing(value) else value.isoformat()


def _list(value: Any, depth: int) -> JSON:
    return [json_value(item, depth + 1) for item in value]


def _set(value: Any, depth: int) -> JSON:
    return sorted((json_value(item, depth + 1) for item in value), key=repr)


def _dict(value: Mapping[Any, Any], depth: int) -> JSON:
    return {clean_text(str(key)): json_value(item, depth + 1) for key, item in value.items()}


def _is_missing(value: Any) -> bool:
    """Whether it is pandas' NaT or NA, which compare with nothing."""
    return type(value).__name__ in ("NaTType", "NAType")


def _bad_metadata(message: str) -> Unreadable:
    return Unreadable(
        message, hint="Use text, numbers, booleans, None, lists and dicts.", reason="bad_metadata"
    )


_Conversion = Callable[[Any, int], JSON]
_CONVERSIONS: Final[tuple[tuple[Any, _Conversion], ...]] = (
    (bool, lambda value, _: bool(value)),
    (int, _whole),
    (float, _number),
    ((date, time), _date),
    ((UUID, Decimal, timedelta), _text),
    (Mapping, _dict),
    ((list, tuple), _list),
    ((set, frozenset), _set),
)
