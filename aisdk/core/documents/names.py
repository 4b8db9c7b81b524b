"""How the names of a document are kept: as text, a source short enough for an index."""

from __future__ import annotations

from typing import Any, Final

from aisdk.errors import InvalidInput, Unreadable

__all__ = [
    "LONGEST_GIVEN",
    "LONGEST_SOURCE",
    "LONGEST_TITLE",
    "clean_title",
    "shortened",
    "storable",
    "too_long",
    "written",
]

LONGEST_SOURCE: Final = 2_000  # bytes
LONGEST_TITLE: Final = 2_000  # characters
LONGEST_GIVEN: Final = 2**20  # characters of what is looked into at all


def clean_title(title: Any) -> str:
    """The title that a caller gives, without what PostgreSQL cannot keep.

    Raises:
        InvalidInput: It is no text, or has more than 2,000 characters.
    """
    if not isinstance(title, str) or len(title) > LONGEST_TITLE:
        raise InvalidInput(
            f"title must be text of at most {LONGEST_TITLE:,} characters.",
            hint="Shorten it, or put the rest into metadata.",
        )
    return title.replace("\0", "").encode("utf-8", "replace").decode()


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
