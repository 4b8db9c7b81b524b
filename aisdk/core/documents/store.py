"""The documents domain's SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from aisdk.core.documents.segments import merge
from aisdk.core.documents.types import Batch, Quota, StoreInfo
from aisdk.core.documents.writing import (
    COUNT,
    SIZE,
    drop_chunks,
    gone_error,
    locked_store,
    write_batch,
)
from aisdk.core.lexical import Segment
from aisdk.core.runtime.deadline import remaining_s
from aisdk.core.runtime.guard import Limits
from aisdk.core.storage.connection import driver_of, unhurried
from aisdk.core.storage.engine import Database, repeated
from aisdk.core.storage.tables import chunks, documents, stores
from aisdk.errors import Conflict, QuotaExceeded

__all__ = ["DocumentStore", "Known", "Put"]

OPEN_STORE: Final = """
INSERT INTO aisdk.stores (tenant_id, language) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO NOTHING
"""
SET_LANGUAGE: Final = """
UPDATE aisdk.stores SET language = $2, generation = generation + 1
WHERE tenant_id = $1 AND (chunk_count = 0 OR language = $2)
RETURNING language
"""
FAILED: Final = """
SELECT count(*) FROM aisdk.documents WHERE tenant_id = $1 AND state = 'failed'
"""
FAIL: Final = """
INSERT INTO aisdk.documents (tenant_id, document_id, source, title, metadata, content_key,
                             size_bytes, chunk_count, state, error_code)
SELECT $1, f.document_id, f.source, '', '{}', ''::bytea, 0, 0, 'failed', f.error_code
FROM unnest($2::uuid[], $3::text[], $4::text[]) AS f (document_id, source, error_code)
ON CONFLICT (tenant_id, document_id) DO UPDATE
SET error_code = excluded.error_code, updated_at = now()
"""
DELETE: Final = """
DELETE FROM aisdk.documents WHERE tenant_id = $1 AND document_id = ANY ($2::uuid[])
"""
KNOWN: Final = """
SELECT document_id, content_key, state, chunk_count FROM aisdk.documents
WHERE tenant_id = $1 AND document_id = ANY ($2::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store remembers of a source."""

    content_key: bytes
    ready: bool
    chunks: int


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a batch.

    Attributes:
        written: The documents that were written → whether they existed before.
        refused: Those for which the tenant has no room left → what there is none of.
        again: Whether an earlier attempt may have written what this one found.
    """

    written: Mapping[UUID, bool]
    refused: Mapping[UUID, Quota]
    again: bool


class DocumentStore:
    """Reads and writes documents, chunks, vectors and the lexical index of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, tenant_id: str, language: str) -> StoreInfo:
        """The tenant's store, made if there is none yet."""
        await self._make(tenant_id, language)
        info = await self.info(tenant_id)
        return info or StoreInfo(language, None, None, 0, 0)

    @repeated
    async def _make(self, tenant_id: str, language: str) -> None:
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(OPEN_STORE, tenant_id, language)

    @repeated
    async def info(self, tenant_id: str) -> StoreInfo | None:
        """The tenant's store, or ``None``."""
        query = select(
            stores.c.language,
            stores.c.embedding_model,
            stores.c.embedding_dimension,
            stores.c.document_count,
            stores.c.chunk_count,
        ).where(stores.c.tenant_id == tenant_id)
        async with self._database.transaction(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoreInfo(*row)

    @repeated
    async def room(self, tenant_id: str) -> tuple[int, int]:
        """How many documents the tenant stores, and bytes of their sources and metadata."""
        query = select(stores.c.document_count, stores.c.size_bytes).where(
            stores.c.tenant_id == tenant_id
        )
        async with self._database.transaction(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return (0, 0) if row is None else (row[0], row[1])

    @repeated
    async def known(self, tenant_id: str, ids: Sequence[UUID]) -> dict[UUID, Known]:
        """What is remembered of these documents."""
        async with self._database.bulk(tenant_id) as connection:
            rows = await connection.fetch(KNOWN, tenant_id, ids)
        return {row[0]: Known(row[1], row[2] == "ready", row[3]) for row in rows}

    async def put(self, tenant_id: str, batch: Batch, segment: Segment, room: Limits) -> Put:
        """Stores whole documents in one transaction, replacing what they had.

        Writers of one tenant go one after the other, so that two of them cannot store one source
        twice, nor more than the tenant may; documents that another has just stored with the same
        content are left alone.

        Args:
            tenant_id: The tenant.
            batch: The documents.
            segment: Their lexical index, as ``index_batch`` makes it.
            room: How many documents and bytes the tenant may store.

        Raises:
            EmbeddingMismatch: The store holds vectors of another model.
            TenantUnknown: The tenant was erased meanwhile.
        """
        tries = 0

        async def put() -> Put:
            nonlocal tries
            tries += 1
            async with self._database.bulk(tenant_id) as connection:
                written, refused = await write_batch(connection, tenant_id, (batch, segment), room)
            return Put(written, refused, again=tries > 1)

        return await self._database.repeat(put)

    @repeated
    async def fail(
        self, tenant_id: str, failures: Iterable[tuple[UUID, str, str]], room: Limits
    ) -> None:
        """Remembers ``(document_id, source, error_code)``; what was stored before stays.

        Of sources that were never stored, as many are remembered as the tenant may store documents.
        """
        last = {failure[0]: failure for failure in failures}  # a source may fail twice in one call
        if not last:
            return
        async with self._database.bulk(tenant_id) as connection:
            if await locked_store(connection, tenant_id) is None:
                raise gone_error()
            if room.documents is not None:
                known = {row[0] for row in await connection.fetch(KNOWN, tenant_id, list(last))}
                left = max(0, room.documents - await connection.fetchval(FAILED, tenant_id))
                for document_id in [each for each in last if each not in known][left:]:
                    del last[document_id]
            columns = list(zip(*last.values(), strict=True))
            if columns:
                await connection.execute(FAIL, tenant_id, *map(list, columns))

    @repeated
    async def remove(self, tenant_id: str, condition: ColumnElement[bool]) -> int:
        """Deletes the documents that meet the condition, with everything of theirs.

        One statement may take as long as the call, for they may be many.
        """
        found = select(documents.c.document_id, _SIZE, documents.c.state).where(
            documents.c.tenant_id == tenant_id, condition
        )
        async with self._database.transaction(tenant_id) as connection:
            driver = await driver_of(connection)
            async with unhurried(driver, remaining_s()):
                await locked_store(driver, tenant_id)
                rows = (await connection.execute(found)).all()
                ids = [row[0] for row in rows]
                gone = await drop_chunks(driver, tenant_id, ids)
                sizes = [row[1] for row in rows if row[2] == "ready"]
                await driver.execute(COUNT, tenant_id, -gone, -len(sizes), -sum(sizes))
                await driver.execute(DELETE, tenant_id, ids)
                await merge(driver, tenant_id)
        return len(ids)

    @repeated
    async def change(
        self,
        tenant_id: str,
        condition: ColumnElement[bool],
        values: Mapping[str, Any],
        room: Limits,
    ) -> bool:
        """Sets columns of one document; whether it exists.

        Raises:
            QuotaExceeded: Its metadata grow beyond the tenant's room.
        """
        named = select(documents.c.document_id, _SIZE).where(
            documents.c.tenant_id == tenant_id, condition
        )
        async with self._database.transaction(tenant_id) as connection:
            driver = await driver_of(connection)
            store = await locked_store(driver, tenant_id)
            before = {row[0]: row[1] for row in await connection.execute(named)}
            if store is None or not before:
                return False
            statement = (
                update(documents)
                .where(documents.c.tenant_id == tenant_id, documents.c.document_id.in_(before))
                .values(**values, updated_at=func.now())
                .returning(documents.c.document_id, _SIZE, documents.c.state)
            )
            changed = (await connection.execute(statement)).all()
            grown = sum(row[1] - before[row[0]] for row in changed if row[2] == "ready")
            used = store["size_bytes"]
            if grown > 0 and room.size_bytes is not None and used + grown > room.size_bytes:
                raise QuotaExceeded(
                    f"The tenant stores {used:,} of {room.size_bytes:,} bytes; "
                    f"the metadata need {grown:,} more.",
                    hint="Delete documents, or ask for a larger tier.",
                    limit=room.size_bytes,
                    used=used,
                )
            await driver.execute(COUNT, tenant_id, 0, 0, grown)
            return True

    @repeated
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

    @repeated
    async def page(self, tenant_id: str, query: Select[Any]) -> list[Any]:
        """The rows of a listing, as the driver gives them."""
        async with self._database.transaction(tenant_id) as connection:
            return list((await connection.execute(query)).all())

    @repeated
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

    @repeated
    async def count(self, tenant_id: str, condition: ColumnElement[bool]) -> int:
        """How many documents meet the condition."""
        query = select(func.count()).where(documents.c.tenant_id == tenant_id, condition)
        async with self._database.transaction(tenant_id) as connection:
            return int((await connection.execute(query)).scalar_one())

    def listing(self, tenant_id: str) -> Select[Any]:
        """The columns of a ``DocumentInfo`` for this tenant, to be narrowed and ordered."""
        return select(*_LISTED).where(documents.c.tenant_id == tenant_id)


_SIZE: Final[ColumnElement[int]] = literal_column(SIZE, BigInteger)
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
