"""The folder of an exported tenant: what its files hold, and whether they can be trusted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aisdk.core.documents.access import Access
from aisdk.core.documents.adding import document_id_of
from aisdk.core.documents.files import open_file
from aisdk.core.documents.types import Batch, ChunkRow, DocumentRow
from aisdk.core.storage.filters import UNSTORABLE
from aisdk.core.tenants.pages import is_footer_small, unpacked_size
from aisdk.errors import InvalidInput, Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CHUNKS",
    "DOCUMENTS",
    "FORMAT",
    "MANIFEST",
    "VERSION",
    "Opened",
    "batches",
    "check_digests",
    "chunk_schema",
    "digest",
    "document_schema",
    "opened",
]

FORMAT: Final = "aisdk-tenant"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
DOCUMENTS: Final = "documents.parquet"
CHUNKS: Final = "chunks.parquet"

LARGEST_MANIFEST: Final = 2**20  # bytes
HASHED: Final = 2**20  # bytes at a time
# PostgreSQL writes a number out, so that the five characters of 1e300 become 301.
LARGEST_METADATA: Final = 64 * 256 * 1024  # characters of one document's
LONGEST_NUMBER: Final = 400  # characters; a float has 326 at most
LARGEST_NUMBER: Final = sys.float_info.max
DEEPEST: Final = 64
LARGEST_ROW: Final = LARGEST_METADATA + 2**20  # bytes
ROWS: Final = 16  # read at a time, at most
LARGEST_GROUP: Final = 64 * 2**20  # bytes of rows that were written together
LARGEST_TEXTS: Final = 36 * 2**20  # of these: those of a group of an export, and one row more
LARGEST_BATCH: Final = 32 * 2**20  # of texts read at a time
BATCH_CHUNKS: Final = 512
BATCH_DOCUMENTS: Final = 2_000
BATCH_METADATA: Final = 32 * 2**20  # characters
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


@dataclass(frozen=True, slots=True)
class Opened:
    """The open files of an export, and its manifest."""

    manifest: Mapping[str, Any]
    files: Mapping[str, BinaryIO]


def digest(file: BinaryIO) -> str:
    """The SHA-256 of an open file, which is at its beginning afterwards."""
    file.seek(0)
    told = sha256()
    while data := file.read(HASHED):
        told.update(data)
    file.seek(0)
    return told.hexdigest()


def opened(folder: Path, until: ExitStack) -> Opened:
    """An export: regular files of the folder, or links to such that do not leave it.

    Args:
        folder: The folder.
        until: What closes the files.

    Raises:
        InvalidInput: It is none, or a value of its manifest is not of its kind.
    """
    try:
        root = folder.resolve()
        files = {name: _open(root, name, until) for name in (MANIFEST, DOCUMENTS, CHUNKS)}
        text = files[MANIFEST].read(LARGEST_MANIFEST + 1)
        if len(text) > LARGEST_MANIFEST:
            raise _unfit("its manifest is too large")
        manifest: dict[str, Any] = json.loads(text.decode())
        if (manifest["format"], manifest["version"]) != (FORMAT, VERSION):
            raise _unfit("it is of another version")
        if not _is_whole(manifest):
            raise _unfit("a value of its manifest is of another kind")
    except InvalidInput:
        raise
    except DAMAGES:
        raise _unfit("its manifest or a file cannot be read") from None
    return Opened(manifest, files)


def _open(root: Path, name: str, until: ExitStack) -> BinaryIO:
    try:
        return until.enter_context(open_file(root / name, root, Access(frozenset())))
    except Unreadable:
        raise _unfit(f"{name} is no regular file of the folder") from None


def check_digests(export: Opened) -> None:
    """Looks whether the files are as they were written.

    Raises:
        InvalidInput: One is not.
    """
    try:
        for name in (DOCUMENTS, CHUNKS):
            if digest(export.files[name]) != export.manifest["files"][name]["sha256"]:
                raise _unfit(f"{name} was changed")
    except InvalidInput:
        raise
    except DAMAGES:
        raise _unfit("its manifest or a file cannot be read") from None


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


def batches(export: Opened, tenant_id: str) -> Iterator[tuple[Batch, Times]]:
    """The documents with their chunks, about a batch at a time, and when they came and changed.

    Raises:
        InvalidInput: A file cannot be read, or holds what export does not write.
    """
    import pyarrow as pa

    try:
        for documents, parts in _bundles(export):
            yield _batch(tenant_id, documents, parts, export.manifest["embedding_model"]), (
                [row["created_at"] for row in documents],
                [row["updated_at"] for row in documents],
            )
    except InvalidInput:
        raise
    except (*DAMAGES, pa.ArrowException):
        raise _unfit("a file cannot be read") from None


def _bundles(export: Opened) -> Iterator[tuple[Sequence[Row], Sequence[Sequence[Row]]]]:
    chunks = _records(export, CHUNKS, chunk_schema(export.manifest["embedding_dimension"]))
    documents: list[Row] = []
    parts: list[list[Row]] = []
    held = size = 0
    for document in _records(export, DOCUMENTS, document_schema()):
        part = [chunk for _, chunk in zip(range(document["chunks"]), chunks, strict=False)]
        if len(part) != document["chunks"] or any(
            chunk["document_id"] != document["document_id"] for chunk in part
        ):
            raise _unfit("its files do not belong together")
        documents.append(document)
        parts.append(part)
        held += len(part)
        size += len(document["metadata"])
        if held >= BATCH_CHUNKS or len(documents) >= BATCH_DOCUMENTS or size >= BATCH_METADATA:
            yield documents, parts
            documents, parts, held, size = [], [], 0, 0
    if next(chunks, None) is not None:
        raise _unfit("its files do not belong together")
    if documents:
        yield documents, parts


def _records(export: Opened, name: str, schema: pa.Schema) -> Iterator[Row]:
    """The rows of a file, whose columns are those of the schema."""
    import pyarrow.parquet as pq

    if not is_footer_small(export.files[name]):
        raise _unfit(f"{name} has too large a footer")
    with pq.ParquetFile(export.files[name]) as file:
        if not file.schema_arrow.equals(schema):
            raise _unfit(f"{name} has other columns")
        groups = [file.metadata.row_group(n) for n in range(file.num_row_groups)]
        # Asked for a column beyond those of the schema, pyarrow ends the process.
        if any(group.num_columns != len(schema) for group in groups):
            raise _unfit(f"{name} has other columns")
        counts = [_at_a_time(export.files[name], group) for group in groups]
        for place, count in enumerate(counts):
            for rows in file.iter_batches(count, row_groups=[place]):
                if rows.nbytes > len(rows) * LARGEST_ROW:
                    raise _unfit(f"{name} has rows that are too large")
                rows.validate(full=True)
                yield from rows.to_pylist()


def _at_a_time(file: BinaryIO, group: Any) -> int:
    """How many rows of a row group to read at a time: a dictionary's text may be in each.

    Nothing of the group was read before, for it may unpack to a thousand times its size.
    """
    columns = [group.column(n) for n in range(group.num_columns)]
    sizes = [unpacked_size(file, column) for column in columns]
    texts = sum(
        size
        for column, size in zip(columns, sizes, strict=True)
        if column.physical_type == "BYTE_ARRAY"
    )
    if sum(sizes) > LARGEST_GROUP or texts > LARGEST_TEXTS:
        raise _unfit("a file has rows that are too large")
    return max(1, min(ROWS, LARGEST_BATCH // max(1, texts)))


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
    return DocumentRow(
        document_id=document_id_of(tenant_id, row["source"]),
        source=row["source"],
        title=row["title"],
        metadata=_metadata(row["metadata"]),
        content_key=bytes(row["content_key"]),
        size_bytes=row["size_bytes"],
    )


def _metadata(text: str) -> str:
    """Metadata as they were stored, if they can be stored; written anew they could change."""
    values = json.loads(text, parse_float=_float, parse_constant=_float)
    if (
        len(text) > LARGEST_METADATA
        or not isinstance(values, dict)
        or not _is_storable_json(values, DEEPEST)
    ):
        raise _unfit("the metadata of a document cannot be stored")
    return text


def _float(text: str) -> float:
    """A number as PostgreSQL writes it: never with an exponent."""
    number = float(text)
    if len(text) > LONGEST_NUMBER or not isfinite(number) or "e" in text.lower():
        raise _unfit("a number in metadata cannot be stored")
    return number


def _is_storable_json(value: Any, deeper: int) -> bool:
    if isinstance(value, str):
        return not UNSTORABLE.search(value)
    if isinstance(value, int):
        return abs(value) <= LARGEST_NUMBER
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if not isinstance(value, list):
        return True
    return deeper > 0 and all(_is_storable_json(each, deeper - 1) for each in value)


def _chunk(place: int, row: Row) -> ChunkRow:
    """A chunk, if it can be stored."""
    if not 0 <= row["start"] <= row["end"] or not all(
        _is_storable(text, LARGEST_ROW) for text in (row["heading"], row["text"])
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
