"""The values of the documents domain and what it needs of its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, TypedDict
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from aisdk.core.documents.sources import JSON
from aisdk.core.results.progress import ProgressFactory
from aisdk.core.results.record import Shown

__all__ = [
    "ORDERS",
    "AddOptions",
    "Batch",
    "ChunkRow",
    "DocumentInfo",
    "DocumentRow",
    "Embedder",
    "ListOptions",
    "Order",
    "SourceOutcome",
    "State",
    "Status",
    "StoreInfo",
    "StoredDocument",
]

Status: TypeAlias = Literal["added", "updated", "unchanged", "failed"]
Order: TypeAlias = Literal["source", "-source", "created_at", "-created_at", "title", "-title"]
State: TypeAlias = Literal["ready", "failed", "all"]
Quota: TypeAlias = Literal["documents", "size_bytes"]
ORDERS: Final = ("source", "created_at", "title")


class Embedder(Protocol):
    """What turns texts into vectors."""

    @property
    def model(self) -> str:
        """The name recorded with the vectors."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """L2-normalised rows, shape (texts, dimension)."""
        ...


@dataclass(frozen=True, slots=True)
class DocumentInfo(Shown):
    """A row of ``documents.list``: a document without its text.

    Attributes:
        document_id: Its id: the same for the same tenant and source, always.
        source: Its key in the tenant's store.
        title: Its title.
        metadata: JSON values under text keys.
        size_bytes: Bytes of the source.
        chunks: Chunks it is cut into.
        state: ``ready``, or ``failed`` for a source that could not be added.
        error_code: Why it failed the last time, such as ``encrypted``, where it did.
        created_at: When it was first added.
        updated_at: When it was last added or changed, or failed.
    """

    document_id: str
    source: str
    title: str
    metadata: Mapping[str, JSON]
    size_bytes: int
    chunks: int
    state: str
    error_code: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoredDocument(Shown):
    """A document with its text, as ``documents.get`` gives it.

    Attributes:
        document_id: Its id: the same for the same tenant and source, always.
        source: Its key in the tenant's store.
        title: Its title.
        metadata: JSON values under text keys.
        size_bytes: Bytes of the source.
        chunks: Chunks it is cut into.
        created_at: When it was first added.
        updated_at: When it was last added or changed, or failed.
        text: Its text, as it was taken out of the source.
    """

    document_id: str
    source: str
    title: str
    metadata: Mapping[str, JSON]
    size_bytes: int
    chunks: int
    created_at: datetime
    updated_at: datetime
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SourceOutcome(Shown):
    """A row of what ``documents.add`` returns: what became of one source.

    Attributes:
        source: Its key in the tenant's store.
        status: ``added``, ``updated``, ``unchanged`` or ``failed``.
        document_id: The document, unless it failed and was not there before.
        chunks: Chunks stored for it by this call.
        size_bytes: Bytes read.
        milliseconds: Time spent on it by itself (reading, parsing, chunking).
        error_code: Stable reason, such as ``encrypted``, where it failed.
        hint: What to do about it, where it failed.
    """

    source: str
    status: str
    document_id: str | None
    chunks: int
    size_bytes: int
    milliseconds: float
    error_code: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class StoreInfo(Shown):
    """How a tenant's documents are stored: what ``documents.info`` gives.

    Attributes:
        language: In which texts are stemmed, such as ``english``.
        embedding_model: The model of the stored vectors; ``None`` while there are none.
        embedding_dimension: Numbers in each of them; ``None`` likewise.
        documents: Documents stored.
        chunks: Chunks they are cut into.
    """

    language: str
    embedding_model: str | None
    embedding_dimension: int | None
    documents: int
    chunks: int


class AddOptions(TypedDict, total=False):
    """Further keywords of ``documents.add``.

    Attributes:
        text: The DataFrame's column of texts; ``text`` by default.
        id: The DataFrame's column that identifies a row, or
        source: the same under another name.
        title: The DataFrame's column of titles.
        max_bytes: A source larger than this fails with ``too_large``; 64 MiB by default.
        max_pages: A PDF with more pages fails with ``too_large``; 5,000 by default.
        progress: Show progress, yes by default; or what makes a progress of your own.
        raise_on_error: Raise ``AddFailed`` at the end if a source failed; yes by default.
    """

    text: str
    id: str
    source: str
    title: str
    max_bytes: int
    max_pages: int
    progress: bool | ProgressFactory
    raise_on_error: bool


class ListOptions(TypedDict, total=False):
    """Further keywords of ``documents.list``.

    Attributes:
        order: ``source`` (default), ``created_at`` or ``title``; with ``-`` in front descending.
        state: ``ready`` (default), ``failed`` or ``all``.
        cursor: Where an earlier page ended.
    """

    order: Order
    state: State
    cursor: str


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document on its way into the store."""

    document_id: UUID
    source: str
    title: str
    metadata: str
    content_key: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk on its way into the store; ``document`` is its document's place in the batch."""

    document: int
    start: int
    end: int
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole documents with all their chunks and vectors: what one transaction stores.

    Attributes:
        documents: No source twice.
        chunks: In the order of ``documents``.
        vectors: Shape (chunks, dimension); ``None`` without an embedder.
        model: The embedder's name.
    """

    documents: Sequence[DocumentRow]
    chunks: Sequence[ChunkRow]
    vectors: NDArray[np.float32] | None
    model: str | None
