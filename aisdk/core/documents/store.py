"""The documents domain's SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by

from aisdk.core.documents.context import searchable_texts
from aisdk.core.documents.segments import bury, merge, put_segment
from aisdk.core.documents.types import Batch, StoreInfo
from aisdk.core.lexical import Analyzer, Segment, build_segment, merge_segments
from aisdk.core.storage.engine import Database
from aisdk.core.storage.tables import chunks, documents, stores
from aisdk.core.storage.vectors import vectors_as_binary
from aisdk.errors import Conflict, EmbeddingMismatch

__all__ = ["DocumentStore", "Known", "index_batch"]

OPEN_STORE: Final = """
INSERT INTO aisdk.stores (tenant_id, language) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO NOTHING
"""
LOCK_STORE: Final = """
SELECT language, embedding_model, embedding_dimension FROM aisdk.stores
WHERE tenant_id = $1 FOR UPDATE
"""
SET_MODEL: Final = """
UPDATE aisdk.stores SET embedding_model = $2, embedding_dimension = $3 WHERE tenant_id = $1
"""
SET_LANGUAGE: Final = """
UPDATE aisdk.stores SET language = $2 WHERE tenant_id = $1 AND (chunk_count = 0 OR language = $2)
RETURNING language
"""
COUNT_CHUNKS: Final = """
UPDATE aisdk.stores SET chunk_count = chunk_count + $2 WHERE tenant_id = $1
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
FAIL: Final = """
INSERT INTO aisdk.documents (tenant_id, document_id, source, title, metadata, content_key,
                             size_bytes, chunk_count, state, error_code)
SELECT $1, f.document_id, f.source, '', '{}', ''::bytea, 0, 0, 'failed', f.error_code
FROM unnest($2::uuid[], $3::text[], $4::text[]) AS f (document_id, source, error_code)
ON CONFLICT (tenant_id, document_id) DO UPDATE
SET error_code = excluded.error_code, updated_at = now()
"""
KNOWN: Final = """
SELECT document_id, content_key, state FROM aisdk.documents
WHERE tenant_id = $1 AND document_id = ANY ($2::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store remembers of a source."""

    content_key: bytes
    ready: bool


class DocumentStore:
    """Reads and writes documents, chunks, vectors and the lexical index of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, tenant_id: str, language: str) -> StoreInfo:
        """The tenant's store, made if there is none yet."""
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(OPEN_STORE, tenant_id, language)
        info = await self.info(tenant_id)
        return info or StoreInfo(language, None, None, 0, 0)

    async def info(self, tenant_id: str) -> StoreInfo | None:
        """The tenant's store, or ``None``."""
        ready = (
            select(func.count())
            .where(documents.c.tenant_id == tenant_id, documents.c.state == "ready")
            .scalar_subquery()
        )
        query = select(
            stores.c.language,
            stores.c.embedding_model,
            stores.c.embedding_dimension,
            ready,
            stores.c.chunk_count,
        ).where(stores.c.tenant_id == tenant_id)
        async with self._database.transaction(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoreInfo(*row)

    async def known(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, Known]:
        """What is remembered of these documents."""
        async with self._database.bulk(tenant_id) as connection:
            rows = await connection.fetch(KNOWN, tenant_id, ids)
        return {row[0]: Known(row[1], ready=row[2] == "ready") for row in rows}

    async def put(self, tenant_id: str, batch: Batch, segment: Segment) -> dict[UUID, bool]:
        """Stores whole documents in one transaction, replacing what they had.

        Writers of one tenant go one after the other, so that two of them cannot store one source
        twice; documents that another has just stored with the same content are left alone.

        Args:
            tenant_id: The tenant.
            batch: The documents.
            segment: Their lexical index, as ``index_batch`` makes it.

        Returns:
            The documents that were written → whether they existed before.

        Raises:
            EmbeddingMismatch: The store holds vectors of another model.
        """
        async with self._database.bulk(tenant_id) as connection:
            await _check_model(connection, tenant_id, batch)
            written = await _put_documents(connection, tenant_id, batch)
            replaced = [document_id for document_id, existed in written.items() if existed]
            gone = await _drop_chunks(connection, tenant_id, replaced)
            if len(written) < len(batch.documents):
                batch, segment = _only(batch, segment, written)
            await _put_chunks(connection, tenant_id, batch, segment)
            await connection.execute(COUNT_CHUNKS, tenant_id, len(batch.chunks) - gone)
            await merge(connection, tenant_id)
        return written

    async def fail(self, tenant_id: str, failures: Iterable[tuple[UUID, str, str]]) -> None:
        """Remembers ``(document_id, source, error_code)``; what was stored before stays."""
        columns = list(zip(*failures, strict=True))
        if columns:
            async with self._database.bulk(tenant_id) as connection:
                await connection.execute(FAIL, tenant_id, *map(list, columns))

    async def remove(self, tenant_id: str, condition: ColumnElement[bool]) -> int:
        """Deletes the documents that meet the condition, with everything of theirs."""
        found = select(documents.c.document_id).where(documents.c.tenant_id == tenant_id, condition)
        async with self._database.transaction(tenant_id) as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.fetchrow(LOCK_STORE, tenant_id)
            ids = list((await connection.execute(found)).scalars())
            gone = await _drop_chunks(driver, tenant_id, ids)
            await driver.execute(COUNT_CHUNKS, tenant_id, -gone)
            await connection.execute(
                delete(documents).where(
                    documents.c.tenant_id == tenant_id, documents.c.document_id.in_(ids)
                )
            )
            await merge(driver, tenant_id)
        return len(ids)

    async def change(
        self, tenant_id: str, condition: ColumnElement[bool], values: Mapping[str, Any]
    ) -> bool:
        """Sets columns of one document; whether it exists."""
        statement = (
            update(documents)
            .where(documents.c.tenant_id == tenant_id, condition)
            .values(**values, updated_at=func.now())
        )
        async with self._database.transaction(tenant_id) as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def one(self, tenant_id: str, condition: ColumnElement[bool]) -> tuple[Any, ...] | None:
        """A document's columns with its text put together from its chunks."""
        text = (
            select(
                func.coalesce(
                    func.string_agg(
                        chunks.c.text, aggregate_order_by(literal(""), chunks.c.start_char)
                    ),
                    "",
                )
            )
            .where(
                chunks.c.tenant_id == tenant_id,
                chunks.c.document_id == documents.c.document_id,
            )
            .scalar_subquery()
        )
        query = select(*_STORED, text).where(
            documents.c.tenant_id == tenant_id, documents.c.state == "ready", condition
        )
        async with self._database.transaction(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else tuple(row)

    async def page(self, tenant_id: str, query: Select[Any]) -> list[Any]:
        """The rows of a listing, as the driver gives them."""
        async with self._database.transaction(tenant_id) as connection:
            return list((await connection.execute(query)).all())

    async def set_language(self, tenant_id: str, language: str) -> None:
        """Sets the language of a store that holds no chunks.

        Raises:
            Conflict: It holds some.
        """
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(OPEN_STORE, tenant_id, language)
            done = await connection.fetchval(SET_LANGUAGE, tenant_id, language)
        if done is None:
            raise Conflict(
                "The store already holds documents in its language.",
                hint="Delete them with documents.delete(where={}) first, or use another tenant.",
            )

    async def count(self, tenant_id: str, condition: ColumnElement[bool]) -> int:
        """How many documents meet the condition."""
        query = select(func.count()).where(documents.c.tenant_id == tenant_id, condition)
        async with self._database.transaction(tenant_id) as connection:
            return int((await connection.execute(query)).scalar_one())

    def listing(self, tenant_id: str) -> Select[Any]:
        """The columns of a ``DocumentInfo`` for this tenant, to be narrowed and ordered."""
        return select(*_LISTED).where(documents.c.tenant_id == tenant_id)


_STORED: Final = (
    cast(documents.c.document_id, Text).label("document_id"),
    documents.c.source,
    documents.c.title,
    cast(documents.c.metadata, Text).label("metadata"),
    documents.c.size_bytes,
    documents.c.chunk_count,
    documents.c.created_at,
    documents.c.updated_at,
)
_LISTED: Final = (
    *_STORED[:6],
    documents.c.state,
    documents.c.error_code,
    *_STORED[6:],
)


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


async def _check_model(connection: Any, tenant_id: str, batch: Batch) -> None:
    """Locks the tenant's store and makes sure that its vectors are of one model."""
    store = await connection.fetchrow(LOCK_STORE, tenant_id)
    if store["embedding_model"] == batch.model:
        return
    if store["embedding_model"] is not None:
        raise EmbeddingMismatch(
            hint="Connect with the model the documents were added with, or use another tenant."
        )
    if batch.vectors is not None:
        dimension = batch.vectors.shape[1]
        await connection.execute(SET_MODEL, tenant_id, batch.model, dimension)


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


async def _drop_chunks(connection: Any, tenant_id: str, ids: Sequence[UUID]) -> int:
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
