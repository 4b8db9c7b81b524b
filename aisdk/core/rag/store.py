"""The rag domain's SQL: the search functions of the schema, one round trip each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from aisdk.core.lexical import Segment
from aisdk.core.storage.engine import Database, repeated
from aisdk.core.storage.filters import Where, compile_where
from aisdk.core.storage.tables import chunks, documents
from aisdk.core.storage.vectors import vectors_as_binary

__all__ = ["Found", "RagStore"]

Found = tuple[NDArray[np.int64], NDArray[np.float64]]

DENSE: Final = "SELECT chunk_id, score FROM aisdk.search_dense($1, $2, $3, $4)"
DENSE_WITHIN: Final = "SELECT chunk_id, score FROM aisdk.search_dense_within($1, $2, $3, $4, $5)"
DENSE_HITS: Final = """
SELECT score, document_id, title, source, text, start_char, end_char, heading, metadata
FROM aisdk.search_dense_hits($1, $2, $3, $4)
"""
SCORES: Final = "SELECT chunk_id, score FROM aisdk.chunk_scores($1, $2, $3)"
HITS: Final = """
SELECT chunk_id, document_id, title, source, text, start_char, end_char, heading, metadata
FROM aisdk.hits($1, $2)
"""
LEXICAL: Final = "SELECT segment_id, bucket, payload, lengths FROM aisdk.lexical_read($1, $2)"
STATE: Final = "SELECT language, generation FROM aisdk.store_state($1)"


class RagStore:
    """Reads what a search of one tenant needs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, tenant_id: str) -> tuple[str | None, int]:
        """The language of the tenant's store, ``None`` where there is none, and its generation.

        The generation grows in every transaction that changes what a search may find.
        """
        rows = await self._database.fetch(STATE, tenant_id)
        return (rows[0][0], rows[0][1]) if rows else (None, 0)

    async def dense(
        self, tenant_id: str, model: str | None, vector: NDArray[np.float32], limit: int
    ) -> Found:
        """The chunks nearest to the vector, searched exactly.

        Raises:
            EmbeddingMismatch: The store's vectors are of another model or dimension.
        """
        rows = await self._database.fetch(DENSE, tenant_id, model, _binary(vector), limit)
        return _found(rows)

    async def dense_within(
        self,
        tenant_id: str,
        model: str | None,
        vector: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64],
    ) -> Found:
        """The same among some chunks only."""
        rows = await self._database.fetch(
            DENSE_WITHIN, tenant_id, model, _binary(vector), limit, allowed.tolist()
        )
        return _found(rows)

    async def dense_hits(
        self, tenant_id: str, model: str | None, vector: NDArray[np.float32], limit: int
    ) -> list[Any]:
        """The nearest chunks with their texts and documents, best first, in one round trip."""
        return await self._database.fetch(DENSE_HITS, tenant_id, model, _binary(vector), limit)

    async def scores(
        self, tenant_id: str, vector: NDArray[np.float32], chunk_ids: NDArray[np.int64]
    ) -> dict[int, float]:
        """The similarity of given chunks; a chunk without a vector is missing."""
        rows = await self._database.fetch(SCORES, tenant_id, _binary(vector), chunk_ids.tolist())
        return {row[0]: row[1] for row in rows}

    async def hits(self, tenant_id: str, chunk_ids: Sequence[int]) -> dict[int, Any]:
        """Texts and documents of chunks; a chunk deleted meanwhile is missing."""
        rows = await self._database.fetch(HITS, tenant_id, chunk_ids)
        return {row[0]: row for row in rows}

    async def lexical(
        self, tenant_id: str, buckets: Sequence[int]
    ) -> tuple[list[Segment], NDArray[np.int64]]:
        """All segments with these buckets, and the chunks deleted since; one snapshot."""
        rows = await self._database.fetch(LEXICAL, tenant_id, buckets)
        heads: dict[UUID, tuple[bytes, bytes]] = {}
        payloads: dict[UUID, dict[int, bytes]] = {}
        dead = b""
        for segment_id, bucket, payload, lengths in rows:
            if segment_id is None:
                dead = payload
            elif bucket is None:
                heads[segment_id] = (payload, lengths)
            else:
                payloads.setdefault(segment_id, {})[bucket] = payload
        segments = [
            Segment(ids, lengths, payloads.get(segment_id, {}))
            for segment_id, (ids, lengths) in sorted(heads.items())
        ]
        return segments, np.frombuffer(dead, ">i8").astype(np.int64)

    @repeated
    async def allowed(self, tenant_id: str, where: Where) -> NDArray[np.int64]:
        """The chunks of documents that meet the filter."""
        query = (
            select(chunks.c.chunk_id)
            .join(
                documents,
                (documents.c.tenant_id == tenant_id)
                & (documents.c.document_id == chunks.c.document_id),
            )
            .where(chunks.c.tenant_id == tenant_id, compile_where(where))
        )
        async with self._database.transaction(tenant_id) as connection:
            ids = (await connection.execute(query)).scalars().all()
        return np.array(ids, np.int64)


def _binary(vector: NDArray[np.float32]) -> bytes:
    return vectors_as_binary(vector[None])[0]


def _found(rows: Sequence[Any]) -> Found:
    return (
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
    )
