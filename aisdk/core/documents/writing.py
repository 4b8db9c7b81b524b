"""Writing and removing whole documents within one transaction of their tenant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import numpy as np

from aisdk.core.documents.context import searchable_texts
from aisdk.core.documents.segments import bury, merge, put_segment
from aisdk.core.documents.types import Batch, Quota
from aisdk.core.lexical import Analyzer, Segment, build_segment, merge_segments
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.tenancy import current_standing
from aisdk.core.storage.translation import UNKNOWN_HINT
from aisdk.core.storage.vectors import vectors_as_binary
from aisdk.errors import EmbeddingMismatch, TenantUnknown

__all__ = [
    "COUNT",
    "LOCK_STORE",
    "SIZE",
    "drop_chunks",
    "gone_error",
    "index_batch",
    "locked_store",
    "write_batch",
]

LOCK_STORE: Final = """
SELECT s.language, s.embedding_model, s.embedding_dimension, s.document_count, s.size_bytes,
       t.created_at
FROM aisdk.stores AS s JOIN aisdk.tenants AS t ON t.tenant_id = s.tenant_id
WHERE s.tenant_id = $1 FOR UPDATE OF s
"""
SET_MODEL: Final = """
UPDATE aisdk.stores SET embedding_model = $2, embedding_dimension = $3 WHERE tenant_id = $1
"""
COUNT: Final = """
UPDATE aisdk.stores
SET chunk_count = chunk_count + $2, document_count = document_count + $3,
    size_bytes = size_bytes + $4, generation = generation + 1
WHERE tenant_id = $1
"""
# What a document counts for in its tenant's store: its source, and its metadata as stored.
SIZE: Final = "size_bytes + octet_length(metadata::text) - 2"
SIZES: Final = f"""
SELECT document_id, {SIZE} FROM aisdk.documents
WHERE tenant_id = $1 AND document_id = ANY ($2::uuid[]) AND state = 'ready'
"""  # noqa: S608  # nosec B608  # our own expression
METADATA_SIZES: Final = """
SELECT octet_length(m::jsonb::text) - 2 FROM unnest($1::text[]) WITH ORDINALITY AS u (m, place)
ORDER BY place
"""
PUT_DOCUMENTS: Final = """
INSERT INTO aisdk.documents (tenant_id, document_id, source, title, metadata, content_key,
                             size_bytes, chunk_count, state)
SELECT $1, d.document_id, d.source, d.title, d.metadata, d.content_key, d.size_bytes,
       d.chunk_count, 'ready'
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], $7::bigint[], $8::int[])
     AS d (document_id, source, title, metadata, content_key, size_bytes, chunk_count)
ON CONFLICT (tenant_id, document_id) DO UPDATE
SET title = excluded.title, metadata = excluded.metadata, content_key = excluded.content_key,
    size_bytes = excluded.size_bytes, chunk_count = excluded.chunk_count, state = 'ready',
    error_code = NULL, updated_at = now()
WHERE documents.content_key <> excluded.content_key OR documents.state <> 'ready'
RETURNING document_id, (xmax <> 0) AS existed
"""
DROP_CHUNKS: Final = """
DELETE FROM aisdk.chunks WHERE tenant_id = $1 AND document_id = ANY ($2::uuid[])
RETURNING chunk_id
"""
DROP_VECTORS: Final = """
DELETE FROM aisdk.chunk_vectors WHERE tenant_id = $1 AND chunk_id = ANY ($2::bigint[])
"""
NEW_IDS: Final = "SELECT nextval('aisdk.chunk_ids') FROM generate_series(1, $1)"
PUT_CHUNKS: Final = """
INSERT INTO aisdk.chunks (tenant_id, chunk_id, document_id, start_char, end_char, heading, text)
SELECT $1, c.chunk_id, c.document_id, c.start_char, c.end_char, c.heading, c.text
FROM unnest($2::bigint[], $3::uuid[], $4::int[], $5::int[], $6::text[], $7::text[])
     AS c (chunk_id, document_id, start_char, end_char, heading, text)
"""
PUT_VECTORS: Final = """
INSERT INTO aisdk.chunk_vectors (tenant_id, chunk_id, embedding)
SELECT $1, v.chunk_id, v.embedding
FROM unnest($2::bigint[], $3::vector[]) AS v (chunk_id, embedding)
"""


def index_batch(batch: Batch, analyzer: Analyzer) -> Segment:
    """The lexical index of a batch, its chunks numbered from 0. Works the processor; no I/O."""
    texts = searchable_texts(batch.documents, batch.chunks)
    return build_segment(range(len(texts)), analyzer.analyse_many(texts))


def _only(batch: Batch, segment: Segment, written: Mapping[UUID, bool]) -> tuple[Batch, Segment]:
    """The part of a batch whose documents were written."""
    kept = [place for place, row in enumerate(batch.documents) if row.document_id in written]
    places = {old: new for new, old in enumerate(kept)}
    mask = np.array([chunk.document in places for chunk in batch.chunks], bool)
    part = Batch(
        documents=[batch.documents[place] for place in kept],
        chunks=[
            replace(chunk, document=places[chunk.document])
            for chunk in batch.chunks
            if chunk.document in places
        ],
        vectors=None if batch.vectors is None else batch.vectors[mask],
        model=batch.model,
    )
    return part, merge_segments([segment], np.flatnonzero(~mask))


async def write_batch(
    connection: Any, tenant_id: str, what: tuple[Batch, Segment], room: Limits
) -> tuple[dict[UUID, bool], dict[UUID, Quota]]:
    """Stores a batch within the connection's transaction; what was written, what refused."""
    batch, segment = what
    store = await _locked(connection, tenant_id, batch)
    ids = [row.document_id for row in batch.documents]
    sizes = dict(await connection.fetch(SIZES, tenant_id, ids))
    new_sizes = await _sizes(connection, batch)
    refused = _refused(new_sizes, sizes, store, room)
    if refused:
        fitting = {document_id: True for document_id in ids if document_id not in refused}
        batch, segment = _only(batch, segment, fitting)
    written = await _put_documents(connection, tenant_id, batch) if batch.documents else {}
    replaced = [document_id for document_id, existed in written.items() if existed]
    gone = await drop_chunks(connection, tenant_id, replaced)
    if len(written) < len(batch.documents):
        batch, segment = _only(batch, segment, written)
    await _put_chunks(connection, tenant_id, batch, segment)
    before = [sizes[document_id] for document_id in written if document_id in sizes]
    grown = sum(new_sizes[document_id] for document_id in written) - sum(before)
    new = len(written) - len(before)
    await connection.execute(COUNT, tenant_id, len(batch.chunks) - gone, new, grown)
    await merge(connection, tenant_id)
    return written, refused


async def locked_store(connection: Any, tenant_id: str) -> Any:
    """The tenant's store, locked for this transaction; ``None`` where there is none.

    Raises:
        TenantUnknown: The tenant was erased since the call began, and there is another one of its
            name by now, whose documents are not this call's to change.
    """
    store = await connection.fetchrow(LOCK_STORE, tenant_id)
    standing = current_standing()
    if store and standing and standing.since != store["created_at"].timestamp():
        raise gone_error()
    return store


async def _locked(connection: Any, tenant_id: str, batch: Batch) -> Any:
    """Locks the tenant's store and makes sure that its vectors are of one model."""
    store = await locked_store(connection, tenant_id)
    if store is None:
        raise gone_error()
    if store["embedding_model"] == batch.model:
        return store
    if store["embedding_model"] is not None:
        raise EmbeddingMismatch(
            hint="Connect with the model the documents were added with, or use another tenant."
        )
    if batch.vectors is not None:
        dimension = batch.vectors.shape[1]
        await connection.execute(SET_MODEL, tenant_id, batch.model, dimension)
    return store


async def _sizes(connection: Any, batch: Batch) -> dict[UUID, int]:
    """What each document of a batch counts for."""
    rows = await connection.fetch(METADATA_SIZES, [row.metadata for row in batch.documents])
    return {
        document.document_id: document.size_bytes + row[0]
        for document, row in zip(batch.documents, rows, strict=True)
    }


def _refused(
    new_sizes: Mapping[UUID, int], sizes: Mapping[UUID, int], store: Any, room: Limits
) -> dict[UUID, Quota]:
    """The documents, from first to last, for which there is no room → what there is none of."""
    documents_left = math.inf if room.documents is None else room.documents - store[3]
    bytes_left = math.inf if room.size_bytes is None else room.size_bytes - store[4]
    refused: dict[UUID, Quota] = {}
    for document_id, size in new_sizes.items():
        new = document_id not in sizes
        grows = size - sizes.get(document_id, 0)
        if new and documents_left < 1:
            refused[document_id] = "documents"
        elif grows > 0 and grows > bytes_left:
            refused[document_id] = "size_bytes"
        else:
            documents_left -= new
            bytes_left -= grows
    return refused


def gone_error() -> TenantUnknown:
    """What a write raises whose tenant was erased meanwhile."""
    return TenantUnknown("The tenant was erased meanwhile.", hint=UNKNOWN_HINT)


async def _put_documents(connection: Any, tenant_id: str, batch: Batch) -> dict[UUID, bool]:
    counts = np.bincount(
        np.array([chunk.document for chunk in batch.chunks], np.int64),
        minlength=len(batch.documents),
    )
    columns = [
        list(column)
        for column in zip(
            *(
                (d.document_id, d.source, d.title, d.metadata, d.content_key, d.size_bytes)
                for d in batch.documents
            ),
            strict=True,
        )
    ]
    rows = await connection.fetch(PUT_DOCUMENTS, tenant_id, *columns, counts.tolist())
    return {row["document_id"]: row["existed"] for row in rows}


async def drop_chunks(connection: Any, tenant_id: str, ids: Sequence[UUID]) -> int:
    """Deletes the chunks of documents from every table; how many there were."""
    if not ids:
        return 0
    gone = [row["chunk_id"] for row in await connection.fetch(DROP_CHUNKS, tenant_id, ids)]
    await connection.execute(DROP_VECTORS, tenant_id, gone)
    await bury(connection, tenant_id, gone)
    return len(gone)


async def _put_chunks(connection: Any, tenant_id: str, batch: Batch, segment: Segment) -> None:
    if not batch.chunks:
        return
    ids = [row[0] for row in await connection.fetch(NEW_IDS, len(batch.chunks))]
    document_ids = [row.document_id for row in batch.documents]
    await connection.execute(
        PUT_CHUNKS,
        tenant_id,
        ids,
        [document_ids[chunk.document] for chunk in batch.chunks],
        [chunk.start for chunk in batch.chunks],
        [chunk.end for chunk in batch.chunks],
        [chunk.heading for chunk in batch.chunks],
        [chunk.text for chunk in batch.chunks],
    )
    if batch.vectors is not None:
        binary = vectors_as_binary(batch.vectors)
        await connection.execute(PUT_VECTORS, tenant_id, ids, binary)
    chunk_ids = np.array(ids, "<i8").tobytes()
    await put_segment(connection, tenant_id, replace(segment, chunk_ids=chunk_ids))
