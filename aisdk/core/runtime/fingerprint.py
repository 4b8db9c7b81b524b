"""A digest of what a call was given: tells the same request from another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from itertools import chain
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from aisdk.errors import InvalidInput

__all__ = ["fingerprint"]

MOST_PIECES: Final = 5_000_000  # values in what a call is given
PIECE: Final = 2**20  # of a long text: while it is written out, no other thread runs
SINGLE: Final = (
    *(bool, int, float, str, bytes, PurePath, date, time, timedelta, UUID, Decimal),
    type(None),
)


def fingerprint(*values: Any) -> bytes:
    """A digest of what a call was given: the same for the same values.

    Raises:
        InvalidInput: A value can be read only once, is of a kind that has no fixed content, or
            holds itself or too much.
    """
    hashed = blake2b(digest_size=32)
    try:
        for count, piece in enumerate(chain.from_iterable(map(_pieces, values))):
            hashed.update(len(piece).to_bytes(8, "big") + piece)
            if count >= MOST_PIECES:
                raise _too_much()
    except InvalidInput:
        raise
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        raise _unfit() from None  # the cause may quote a value
    return hashed.digest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, str | bytes) and len(value) > PIECE:
        yield f"{type(value).__name__} of {len(value)}".encode()
        for start in range(0, len(value), PIECE):
            yield from _pieces(value[start : start + PIECE])
    elif isinstance(value, SINGLE) or type(value).__name__ == "NAType":  # of pandas
        yield f"{type(value).__name__} {value!r}".encode("utf-8", "surrogatepass")
    elif isinstance(value, Mapping):
        yield b"{%d" % len(value)
        for key in sorted(value, key=str):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, list | tuple):
        yield b"[%d" % len(value)
        for each in value:
            yield from _pieces(each)
    else:
        yield from _pieces(_plain(value))


def _plain(value: Any) -> Any:
    """The content of a value as lists, dicts and single values."""
    if isinstance(value, set | frozenset):
        return sorted(map(fingerprint, value))
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if hasattr(value, "columns") and hasattr(value, "iloc"):  # names may be there twice
        columns = [value.iloc[:, place].tolist() for place in range(len(value.columns))]
        return [list(value.columns), columns, list(value.index.names), value.index.tolist()]
    if hasattr(value, "tolist"):
        return value.tolist()
    raise _unfit()


def _unfit() -> InvalidInput:
    return InvalidInput(
        "A request with an idempotency key was given something without fixed content.",
        hint="Pass a list instead of an iterator, and other objects as text.",
    )


def _too_much() -> InvalidInput:
    return InvalidInput(
        f"A request with an idempotency key was given more than {MOST_PIECES:,} values.",
        hint="Send it in parts, each with a key of its own.",
    )
