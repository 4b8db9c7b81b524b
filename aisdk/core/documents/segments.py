"""The lexical index in PostgreSQL: immutable segments, tombstones, and their merging."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

from aisdk.core.lexical import Segment, choose_merge, merge_segments

__all__ = ["bury", "merge", "put_segment"]

BURY: Final = """
INSERT INTO aisdk.lexical_tombstones (tenant_id, chunk_id) SELECT $1, unnest($2::bigint[])
"""
UNBURY: Final = """
DELETE FROM aisdk.lexical_tombstones WHERE tenant_id = $1 AND chunk_id = ANY ($2::bigint[])
"""
PUT_SEGMENT: Final = """
INSERT INTO aisdk.lexical_segments (tenant_id, segment_id, chunk_ids, lengths, chunk_count)
VALUES ($1, $2, $3, $4, $5)
"""
PUT_POSTINGS: Final = """
INSERT INTO aisdk.lexical_postings (tenant_id, bucket, segment_id, payload)
SELECT $1, p.bucket, $2, p.payload FROM unnest($3::int[], $4::bytea[]) AS p (bucket, payload)
"""
HEADS: Final = """
SELECT segment_id, chunk_ids, lengths FROM aisdk.lexical_segments WHERE tenant_id = $1
ORDER BY segment_id
"""
TOMBSTONES: Final = "SELECT chunk_id FROM aisdk.lexical_tombstones WHERE tenant_id = $1"
POSTINGS: Final = """
SELECT segment_id, bucket, payload FROM aisdk.lexical_postings
WHERE tenant_id = $1 AND segment_id = ANY ($2::uuid[])
"""
DROP_SEGMENTS: Final = """
DELETE FROM aisdk.lexical_segments WHERE tenant_id = $1 AND segment_id = ANY ($2::uuid[])
"""


async def put_segment(connection: Any, tenant_id: str, segment: Segment) -> None:
    """Adds a segment within the connection's transaction."""
    segment_id = uuid.uuid4()
    await connection.execute(
        PUT_SEGMENT, tenant_id, segment_id, segment.chunk_ids, segment.lengths, segment.count
    )
    await connection.execute(
        PUT_POSTINGS,
        tenant_id,
        segment_id,
        list(segment.buckets.keys()),
        list(segment.buckets.values()),
    )


async def bury(connection: Any, tenant_id: str, chunk_ids: Sequence[int]) -> None:
    """Marks chunks as deleted; they stop counting at once and leave with the next merge."""
    if chunk_ids:
        await connection.execute(BURY, tenant_id, chunk_ids)


async def merge(connection: Any, tenant_id: str) -> None:
    """Merges segments until none is due. The caller holds the lock on the tenant's store."""
    while True:
        heads = await connection.fetch(HEADS, tenant_id)
        dead = np.array([row[0] for row in await connection.fetch(TOMBSTONES, tenant_id)], np.int64)
        ids = [np.frombuffer(head["chunk_ids"], "<i8") for head in heads]
        gone = [np.intersect1d(these, dead) for these in ids]
        due = choose_merge(
            [len(these) - len(those) for these, those in zip(ids, gone, strict=True)],
            [len(those) for those in gone],
        )
        if not due:
            return
        buried = np.concatenate([gone[place] for place in due])
        merged = merge_segments(await _whole(connection, tenant_id, [heads[p] for p in due]), dead)
        await connection.execute(
            DROP_SEGMENTS, tenant_id, [heads[place]["segment_id"] for place in due]
        )
        await connection.execute(UNBURY, tenant_id, buried.tolist())
        if merged.count:
            await put_segment(connection, tenant_id, merged)


async def _whole(connection: Any, tenant_id: str, heads: Sequence[Any]) -> list[Segment]:
    """Segments with all their buckets."""
    buckets: dict[UUID, dict[int, bytes]] = {head["segment_id"]: {} for head in heads}
    for row in await connection.fetch(POSTINGS, tenant_id, list(buckets)):
        buckets[row["segment_id"]][row["bucket"]] = row["payload"]
    return [
        Segment(head["chunk_ids"], head["lengths"], buckets[head["segment_id"]]) for head in heads
    ]
