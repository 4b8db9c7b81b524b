"""What can be added: a user's document, and a source that is read and parsed on its way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal, Protocol, TypeAlias

from pydantic_core import to_json

from aisdk.core.documents.cleaning import clean_text, not_empty
from aisdk.core.documents.metadata import check_size
from aisdk.core.documents.names import LONGEST_GIVEN, LONGEST_SOURCE, too_long
from aisdk.core.documents.unreadable import too_large
from aisdk.core.results.frame import JSON
from aisdk.core.runtime.options import is_whole
from aisdk.errors import InvalidInput, Unreadable

__all__ = [
    "JSON",
    "Document",
    "FailedSource",
    "FileBytes",
    "Kind",
    "LoadOptions",
    "Parsed",
    "Source",
    "TextSource",
]

LOADER_VERSION: Final = 1
Kind: TypeAlias = Literal["prose", "markdown", "python", "code", "table"]


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
        kind: How to cut it; parsers that find headings write them as Markdown.
    """

    text: str
    title: str
    metadata: dict[str, JSON]
    kind: Kind


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
            if not is_whole(value, 1, largest):
                raise InvalidInput(
                    f"{name} must be a whole number from 1 to {largest:,}.",
                    hint="Leave it out for the default.",
                )
        if self.id is not None and self.source is not None:
            raise InvalidInput("id and source name the same thing.", hint="Give one of them.")

    @property
    def key(self) -> str | None:
        """The DataFrame's column that identifies a row, under either name."""
        return self.id if self.id is not None else self.source


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


class FileBytes:
    """What a source that is a file, of this machine or of another, says of its bytes."""

    __slots__ = ()

    def content_key(self, data: bytes | None) -> bytes:
        """32 bytes that change when the file's bytes do, or when what is made of them does."""
        whole = sha256(b"%d|file|" % LOADER_VERSION)
        whole.update(data or b"")
        return whole.digest()

    def size_bytes(self, data: bytes | None) -> int:
        """Number of bytes."""
        return len(data or b"")


@dataclass(slots=True, eq=False)
class TextSource:
    """A text that is at hand: of a list, a ``Document`` or a DataFrame's row.

    Attributes:
        source: Its key; from the text when empty.
        text: The text, or whatever stands in its place.
        title: Its title.
        metadata: JSON values, as ``checked_metadata`` gives them.
        max_chars: The longest text that is taken.
        digest: SHA-256 of the text; empty where it is no text.
    """

    source: str
    text: Any
    title: str
    metadata: dict[str, JSON]
    max_chars: int
    digest: bytes = b""

    def __post_init__(self) -> None:
        self.title = self.title[:LONGEST_GIVEN]
        if type(self.text) is str:
            self.digest = sha256(self.text.encode("utf-8", "surrogatepass")).digest()
        if not self.source:
            self.source = f"text:{self.digest.hex()[:32]}"

    def read(self) -> None:
        """Nothing is to be read.

        Raises:
            Unreadable: The text is no text, or too long.
        """
        if not self.digest:
            not_empty("")
        if len(self.text) > self.max_chars:
            raise too_large()

    def content_key(self, data: bytes | None) -> bytes:
        """A hash of text, title and metadata.

        Raises:
            Unreadable: The metadata are too large.
        """
        del data
        title = self.title.encode("utf-8", "surrogatepass")
        metadata = check_size(to_json(self.metadata)) if self.metadata else b""
        head = b"%d|text|%d|" % (LOADER_VERSION, len(title))
        return sha256(head + title + metadata + self.digest).digest()

    def size_bytes(self, data: bytes | None) -> int:
        """Length of the text in UTF-8."""
        del data
        text: str = self.text
        return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

    def parse(self, data: bytes | None) -> Parsed:
        """The cleaned text."""
        del data
        text = not_empty(clean_text(self.text))
        return Parsed(text, clean_text(self.title).strip(), self.metadata, "prose")


@dataclass(frozen=True, slots=True)
class FailedSource:
    """What was found in place of a source, and cannot be added; reading it tells why."""

    source: str
    error: Unreadable

    @classmethod
    def named_too_long(cls, source: str) -> FailedSource:
        """In place of one whose name nobody looks into; its beginning stands for it."""
        return cls(source[:LONGEST_SOURCE], too_long())

    def read(self) -> bytes | None:
        """Nothing.

        Raises:
            Unreadable: Always.
        """
        raise self.error

    def content_key(self, data: bytes | None) -> bytes:
        """Nothing is known of the content."""
        del data
        raise self.error

    def size_bytes(self, data: bytes | None) -> int:
        """Nothing is there."""
        del data
        return 0

    def parse(self, data: bytes | None) -> Parsed:
        """There is no text."""
        del data
        raise self.error
