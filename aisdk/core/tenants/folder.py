"""The folder of an exported tenant: what its files hold, and whether they can be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from aisdk.core.documents.adding import document_id_of
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.documents.types import Batch, ChunkRow, DocumentRow
from aisdk.core.storage.filters import UNSTORABLE
from aisdk.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CHUNKS",
    "DOCUMENTS",
    "FORMAT",
    "MANIFEST",
    "VERSION",
    "batches",
    "chunk_schema",
    "digest",
    "document_schema",
    "read_manifest",
]

FORMAT: Final = "aisdk-tenant"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DOCUMENTS: Final = "documents.parquet"
CHUNKS: Final = "chunks.parquet"

LARGEST_MANIFEST: Final = 2**20  # bytes
LARGEST_ROWS: Final = 64 * 2**20  # bytes of the rows read at a time
ROWS: Final = 256  # read at a time
BATCH_CHUNKS: Final = 512
BATCH_DOCUMENTS: Final = 2_000
LONGEST_NAME: Final = 2_000  # characters of a source, a title, a model
LARGEST_SOURCE: Final = 2**40  # bytes
MOST_DIMENSIONS: Final = 16_000
# What a reader of JSON or Parquet raises for a file that is none, or whose values do not fit.
DAMAGES: Final = (
    *(ArithmeticError, LookupError, MemoryError, NotImplementedError, OSError),
    *(RecursionError, TypeError, ValueError),
)

Row: TypeAlias = Mapping[str, Any]
Times: TypeAlias = tuple[list[datetime], list[datetime]]


def document_schema() -> pa.Schema:
    """The columns of the documents."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    columns: dict[str, pa.DataType] = {
        "document_id": pa.string(),
        "source": pa.string(),
        "title": pa.string(),
        "metadata": pa.string(),
        "content_key": pa.binary(),
        "size_bytes": pa.int64(),
        "chunks": pa.int32(),
        "created_at": moment,
        "updated_at": moment,
    }
    return pa.schema(columns)


def chunk_schema(dimension: int | None) -> pa.Schema:
    """The columns of the chunks."""
    import pyarrow as pa

    columns: dict[str, pa.DataType] = {
        "document_id": pa.string(),
        "start": pa.int32(),
        "end": pa.int32(),
        "heading": pa.string(),
        "text": pa.string(),
        "embedding": pa.list_(pa.float32(), dimension or 1),
    }
    return pa.schema(columns)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder whose files are as they were written.

    Raises:
        InvalidInput: It is not, or a value is not of its kind.
    """
    try:
        if (folder / MANIFEST).stat().st_size > LARGEST_MANIFEST:
            raise _unfit("its manifest is too large")
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise _unfit("it is of another version")
        for name in (DOCUMENTS, CHUNKS):
            if digest(folder / name) != manifest["files"][name]["sha256"]:
                raise _unfit(f"{name} was changed")
        if not _is_whole(manifest):
            raise _unfit("a value of its manifest is of another kind")
    except InvalidInput:
        raise
    except DAMAGES:
        raise _unfit("its manifest or a file cannot be read") from None
    return manifest


def _is_whole(manifest: Mapping[str, Any]) -> bool:
    """Whether each value of a manifest is of its kind; the register checks names and settings."""
    dimension, model = manifest["embedding_dimension"], manifest["embedding_model"]
    texts = (manifest["tenant_id"], manifest["tier"], manifest["language"] or "", model or "")
    return (
        all(isinstance(text, str) and _is_storable(text, LONGEST_NAME) for text in texts)
        and isinstance(manifest["settings"], dict)
        and manifest["state"] in ("active", "suspended")
        and (dimension is None or (type(dimension) is int and 0 < dimension <= MOST_DIMENSIONS))
    )


def batches(folder: Path, manifest: Row, tenant_id: str) -> Iterator[tuple[Batch, Times]]:
    """The documents with their chunks, about a batch at a time, and when they came and changed.

    Raises:
        InvalidInput: A file cannot be read, or holds what export does not write.
    """
    import pyarrow as pa

    try:
        for documents, parts in _bundles(folder, manifest["embedding_dimension"]):
            yield _batch(tenant_id, documents, parts, manifest["embedding_model"]), (
                [row["created_at"] for row in documents],
                [row["updated_at"] for row in documents],
            )
    except InvalidInput:
        raise
    except (*DAMAGES, pa.ArrowException):
        raise _unfit("a file cannot be read") from None


def _bundles(
    folder: Path, dimension: int | None
) -> Iterator[tuple[Sequence[Row], Sequence[Sequence[Row]]]]:
    chunks = _records(folder / CHUNKS, chunk_schema(dimension))
    documents: list[Row] = []
    parts: list[list[Row]] = []
    held = 0
    for document in _records(folder / DOCUMENTS, document_schema()):
        part = [chunk for _, chunk in zip(range(document["chunks"]), chunks, strict=False)]
        if len(part) != document["chunks"] or any(
            chunk["document_id"] != document["document_id"] for chunk in part
        ):
            raise _unfit("its files do not belong together")
        documents.append(document)
        parts.append(part)
        held += len(part)
        if held >= BATCH_CHUNKS or len(documents) >= BATCH_DOCUMENTS:
            yield documents, parts
            documents, parts, held = [], [], 0
    if next(chunks, None) is not None:
        raise _unfit("its files do not belong together")
    if documents:
        yield documents, parts


def _records(path: Path, schema: pa.Schema) -> Iterator[Row]:
    """The rows of a file, whose columns are those of the schema."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(schema):
            raise _unfit(f"{path.name} has other columns")
        for group in file.iter_batches(ROWS):
            group.validate(full=True)
            if group.nbytes > LARGEST_ROWS:
                raise _unfit(f"{path.name} has rows that are too large")
            yield from group.to_pylist()


def _batch(
    tenant_id: str, documents: Sequence[Row], parts: Sequence[Sequence[Row]], model: str | None
) -> Batch:
    rows = [_document(tenant_id, document) for document in documents]
    if len({row.document_id for row in rows}) != len(rows):
        raise _unfit("a document is there twice")
    flat = [(place, chunk) for place, part in enumerate(parts) for chunk in part]
    chunks = [_chunk(place, chunk) for place, chunk in flat]
    vectors = _vectors([chunk["embedding"] for _, chunk in flat])
    if vectors is not None and not model:
        raise _unfit("its vectors are of no model")
    return Batch(rows, chunks, vectors, model)


def _document(tenant_id: str, row: Row) -> DocumentRow:
    """A document, if it can be stored."""
    texts = (row["source"], row["title"])
    moments = (row["created_at"], row["updated_at"])
    if (
        not all(_is_storable(text, LONGEST_NAME) for text in texts)
        or not 0 < len(row["source"].encode()) <= LONGEST_NAME
        or not 0 <= row["size_bytes"] <= LARGEST_SOURCE
        or not all(isinstance(moment, datetime) for moment in moments)
    ):
        raise _unfit("a document cannot be stored")
    metadata = json.loads(row["metadata"])
    return DocumentRow(
        document_id=document_id_of(tenant_id, row["source"]),
        source=row["source"],
        title=row["title"],
        metadata=to_json(checked_metadata(metadata)).decode(),
        content_key=bytes(row["content_key"]),
        size_bytes=row["size_bytes"],
    )


def _chunk(place: int, row: Row) -> ChunkRow:
    """A chunk, if it can be stored."""
    if not 0 <= row["start"] <= row["end"] or not all(
        _is_storable(text, LARGEST_ROWS) for text in (row["heading"], row["text"])
    ):
        raise _unfit("a chunk cannot be stored")
    return ChunkRow(place, row["start"], row["end"], row["heading"], row["text"])


def _vectors(rows: Sequence[Any]) -> NDArray[np.float32] | None:
    """The vectors of all chunks, or ``None`` where there are none."""
    if all(row is None for row in rows):
        return None
    vectors = np.array(rows, np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise _unfit("a vector is none")
    return vectors


def _is_storable(text: Any, longest: int) -> bool:
    return isinstance(text, str) and len(text) <= longest and not UNSTORABLE.search(text)


def _unfit(why: str) -> InvalidInput:
    return InvalidInput(
        f"This is not a folder that tenants.export wrote: {why}.",
        hint="Export the tenant again.",
    )
