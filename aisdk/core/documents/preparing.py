"""A source on its way into a batch: read, then parsed and cut."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic_core import to_json

from aisdk.core.documents.chunking import Span, split
from aisdk.core.documents.names import LONGEST_TITLE, storable
from aisdk.core.documents.sources import Parsed, Source
from aisdk.core.documents.types import DocumentRow
from aisdk.errors import AisdkError

__all__ = ["Prepared", "Read", "document_row", "prepare_all"]


@dataclass(slots=True)
class Read:
    """A source that was read, or why it could not be."""

    source: Source
    place: int
    document_id: UUID
    data: bytes | None = None
    key: bytes = b""
    size_bytes: int = 0
    milliseconds: float = 0.0
    error: AisdkError | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A source that is parsed and cut, on its way into a batch."""

    read: Read
    parsed: Parsed
    spans: Sequence[Span]


def prepare_all(reads: Iterable[Read]) -> list[tuple[Read, Parsed | None, Sequence[Span]]]:
    """Parses and cuts sources; ``None`` with the error noted where that fails. Blocking."""
    return [(read, *_prepare(read)) for read in reads]


def _prepare(read: Read) -> tuple[Parsed | None, Sequence[Span]]:
    if read.error is not None:
        return None, ()
    started = time.perf_counter()
    try:
        data = read.data if read.data is not None else read.source.read()
        parsed = read.source.parse(data)
        storable(read.source.source)
        spans = split(parsed.text, kind=parsed.kind)
    except AisdkError as error:
        read.error = error
        return None, ()
    finally:
        read.data = None
        read.milliseconds += (time.perf_counter() - started) * 1000
    return parsed, spans


def document_row(item: Prepared) -> DocumentRow:
    """What is stored of its document."""
    read, parsed = item.read, item.parsed
    return DocumentRow(
        document_id=read.document_id,
        source=storable(read.source.source),
        title=parsed.title[:LONGEST_TITLE],
        metadata=to_json(parsed.metadata).decode(),
        content_key=read.key,
        size_bytes=read.size_bytes,
    )
