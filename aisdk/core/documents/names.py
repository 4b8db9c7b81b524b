"""How a source's name is kept: as text, and short enough for an index."""

from __future__ import annotations

from typing import Final

from aisdk.errors import Unreadable

__all__ = ["LONGEST_GIVEN", "LONGEST_SOURCE", "shortened", "storable", "too_long", "written"]

LONGEST_SOURCE: Final = 2_000  # bytes
LONGEST_GIVEN: Final = 2**20  # characters of what is looked into at all


def storable(source: str) -> str:
    """The source's name, if PostgreSQL can index it.

    Raises:
        Unreadable: It has more than 2,000 bytes, or a NUL.
    """
    if len(written(source).encode()) > LONGEST_SOURCE or "\0" in source:
        raise too_long()
    return written(source)


def too_long() -> Unreadable:
    """The error of a source whose name cannot be stored."""
    return Unreadable(
        "A source's key is too long.",
        hint=f"Use an id of at most {LONGEST_SOURCE:,} bytes.",
        reason="source_too_long",
    )


def shortened(source: str) -> str:
    """As much of the name as PostgreSQL can index, for a source that has failed."""
    start = written(source[:LONGEST_SOURCE]).replace("\0", "").encode()[:LONGEST_SOURCE]
    return start.decode("utf-8", "ignore")


def written(source: str) -> str:
    r"""The name as text that can be encoded: a file's may hold bytes that are not UTF-8.

    They become ``\udcff`` and the like, so that names that differ stay different.
    """
    return source.encode("utf-8", "backslashreplace").decode()
