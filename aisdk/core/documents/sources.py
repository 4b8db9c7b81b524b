"""What can be added: a user's document, and a source that is read and parsed on its way in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from typing import Any, Final, Protocol

from pydantic_core import to_json

from aisdk.core.results.frame import JSON
from aisdk.errors import InvalidInput, Unreadable

__all__ = [
    "JSON",
    "LOADER_VERSION",
    "Document",
    "LoadOptions",
    "Parsed",
    "Source",
    "TextSource",
    "checked_metadata",
    "clean_text",
    "damaged",
    "not_empty",
    "parser_missing",
    "too_large",
]

LOADER_VERSION: Final = 1
LARGEST_METADATA: Final = 256 * 1024
DEEPEST: Final = 16


@dataclass(frozen=True, slots=True)
class Document:
    """A text of your own for ``documents.add``.

    Attributes:
        text: What is searched.
        source: Its key in the tenant's store, at most 2,000 bytes; from the text when ``None``.
        title: Shown with hits, and searched.
        metadata: JSON values under text keys, at most 256 KiB; for filters.
    """

    text: str
    source: str | None = None
    title: str = ""
    metadata: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A source's text, ready to be cut.

    Attributes:
        text: Without NUL characters and lone surrogates; lines end with a newline only.
        title: May be empty.
        metadata: JSON values.
        kind: How to cut it: ``prose``, ``markdown``, ``html``, ``notebook``, ``python``, ``code``
            or ``table``.
    """

    text: str
    title: str
    metadata: dict[str, JSON]
    kind: str


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How sources are found and what they may cost.

    Attributes:
        text: The DataFrame's column of texts.
        id: The DataFrame's column that identifies a row.
        source: Another name for ``id``.
        title: The DataFrame's column of titles.
        max_bytes: Largest source, 1 byte to 1 GiB.
        max_pages: Most pages of a PDF, 1 to 100,000.
        max_chars: Longest text that may come out of a source.
    """

    text: str = "text"
    id: str | None = None
    source: str | None = None
    title: str | None = None
    max_bytes: int = 64 * 2**20
    max_pages: int = 5_000
    max_chars: int = 50_000_000

    def __post_init__(self) -> None:
        for name, largest in (("max_bytes", 2**30), ("max_pages", 100_000)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
                raise InvalidInput(f"{name} must be a whole number from 1 to {largest:,}.")
        if self.id is not None and self.source is not None:
            raise InvalidInput("id and source name the same thing.", hint="Give one of them.")


class Source(Protocol):
    """One document on its way in. Its methods block; they are run in threads."""

    @property
    def source(self) -> str:
        """Its key: the same for the same thing, always."""
        ...

    def read(self) -> bytes | None:
        """Its bytes; ``None`` where the text is at hand.

        Raises:
            Unreadable: It is too large, gone, or must not be read.
        """
        ...

    def content_key(self, data: bytes | None) -> bytes:
        """32 bytes that change when its content does."""
        ...

    def size_bytes(self, data: bytes | None) -> int:
        """How large it is."""
        ...

    def parse(self, data: bytes | None) -> Parsed:
        """Its text.

        Raises:
            Unreadable: There is none, or it cannot be had safely.
        """
        ...


@dataclass(frozen=True, slots=True)
class TextSource:
    """A text that is at hand: of a list, a ``Document`` or a DataFrame's row."""

    source: str
    document: Document
    max_chars: int

    def read(self) -> None:
        """Nothing is to be read.

        Raises:
            Unreadable: The text is no text, or too long.
        """
        if not isinstance(self.document.text, str):
            raise Unreadable("A text is missing.", hint="Give a text.", reason="no_text")
        if len(self.document.text) > self.max_chars:
            raise too_large()

    def content_key(self, data: bytes | None) -> bytes:
        """A hash of text, title and metadata."""
        del data
        whole = blake2b(f"{LOADER_VERSION}|text|{len(self.document.title)}|".encode())
        whole.update(self.document.title.encode("utf-8", "surrogatepass"))
        if self.document.metadata:
            whole.update(to_json(checked_metadata(self.document.metadata)))
        whole.update(b"|")
        whole.update(self.document.text.encode("utf-8", "surrogatepass"))
        return whole.digest()[:32]

    def size_bytes(self, data: bytes | None) -> int:
        """Length of the text in UTF-8."""
        del data
        return len(self.document.text.encode("utf-8", "surrogatepass"))

    def parse(self, data: bytes | None) -> Parsed:
        """The cleaned text."""
        del data
        metadata = checked_metadata(self.document.metadata)
        text = not_empty(clean_text(self.document.text))
        return Parsed(text, clean_text(self.document.title), metadata, "prose")


def clean_text(text: str) -> str:
    """The text as it can be stored: no NUL, no lone surrogate, newlines only."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def not_empty(text: str) -> str:
    """The text, if there is any.

    Raises:
        Unreadable: It is empty or white space only.
    """
    if not text.strip():
        raise Unreadable(
            "A source has no text.", hint="Leave it out, or give it a text.", reason="empty"
        )
    return text


def too_large() -> Unreadable:
    """The error for a source above its limit."""
    return Unreadable(
        "A source is larger than the limit.",
        hint="Split it, or raise max_bytes.",
        reason="too_large",
    )


def parser_missing() -> Unreadable:
    """The error for a format whose package is not installed."""
    return Unreadable(
        "The package for this format is not installed.",
        hint='pip install "aisdk[files]"',
        reason="parser_missing",
    )


def damaged() -> Unreadable:
    """The error for a file that is not what its name says."""
    return Unreadable(
        "A file is damaged, or not of the format its name tells.",
        hint="Open and save it again, or correct its suffix.",
        reason="damaged",
    )


def checked_metadata(metadata: Any) -> dict[str, JSON]:
    """Metadata as JSON has it; dates become ISO text, missing and infinite numbers ``None``.

    Raises:
        Unreadable: They are no mapping of text keys to JSON values, or larger than 256 KiB.
    """
    if not metadata:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise _bad_metadata("Metadata must be a dict with text keys.")
    cleaned = {clean_text(key): _json(value, 0) for key, value in metadata.items()}
    if len(to_json(cleaned)) > LARGEST_METADATA:
        raise _bad_metadata("Metadata are larger than 256 KiB.")
    return cleaned


def _json(value: Any, depth: int) -> JSON:
    """One value as JSON has it."""
    if depth > DEEPEST:
        raise _bad_metadata("Metadata are nested too deeply.")
    if isinstance(value, str):
        return clean_text(value)
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value, depth)
    if value is None or _is_missing(value):
        return None
    if hasattr(value, "item"):  # a scalar of numpy
        return _json(value.item(), depth + 1)
    raise _bad_metadata("A metadata value is of a kind that JSON does not have.")


def _number(value: float, _: int) -> JSON:
    return value if math.isfinite(value) else None


def _whole(value: int, _: int) -> JSON:
    return value if abs(value) < 2**63 else str(value)


def _date(value: date, _: int) -> JSON:
    return None if _is_missing(value) else value.isoformat()


def _is_missing(value: Any) -> bool:
    """Whether it is pandas' NaT or NA."""
    return type(value).__name__ in ("NaTType", "NAType")


def _list(value: Any, depth: int) -> JSON:
    return [_json(item, depth + 1) for item in value]


def _dict(value: Mapping[Any, Any], depth: int) -> JSON:
    return {clean_text(str(key)): _json(item, depth + 1) for key, item in value.items()}


def _bad_metadata(message: str) -> Unreadable:
    return Unreadable(
        message, hint="Use text, numbers, booleans, None, lists and dicts.", reason="bad_metadata"
    )


_Conversion = Callable[[Any, int], JSON]
_CONVERSIONS: Final[tuple[tuple[Any, _Conversion], ...]] = (
    (bool, lambda value, _: bool(value)),
    (int, _whole),
    (float, _number),
    (date, _date),
    (Mapping, _dict),
    ((list, tuple, set, frozenset), _list),
)
