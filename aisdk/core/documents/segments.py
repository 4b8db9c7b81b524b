"""The lexical index in PostgreSQL: immutable segments, tombstones, and their merging."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

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
COUNTS: Final = """
SELECT segment_id, chunk_count FROM aisdk.lexical_segments WHERE tenant_id = $1
ORDER BY segment_id
"""
HEADS: Final = """
SELECT segment_id, chunk_count, chunk_ids FROM aisdk.lexical_segments WHERE tenant_id = $1
ORDER BY segment_id
"""
WHOLE_HEADS: Final = """
SELECT segment_id, chunk_ids, lengths FROM aisdk.lexical_segments
WHERE tenant_id = $1 AND segment_id = ANY ($2::uuid[])
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
    dead = np.array([row[0] for row in await connection.fetch(TOMBSTONES, tenant_id)], np.int64)
    while True:
        heads = await connection.fetch(HEADS if len(dead) else COUNTS, tenant_id)
        gone = [_intersection(head, dead) for head in heads]
        live = [head["chunk_count"] - len(those) for head, those in zip(heads, gone, strict=True)]
        due = choose_merge(live, [len(those) for those in gone])
        if not due:
            return
        ids = [heads[place]["segment_id"] for place in due]
        merged = merge_segments(await _whole(connection, tenant_id, ids), dead)
        await connection.execute(DROP_SEGMENTS, tenant_id, ids)
        buried = np.concatenate([gone[place] for place in due])
        await connection.execute(UNBURY, tenant_id, buried.tolist())
        dead = np.setdiff1d(dead, buried)
        if merged.count:
            await put_segment(connection, tenant_id, merged)


def _intersection(head: Any, dead: NDArray[np.int64]) -> NDArray[np.int64]:
    """The dead chunks of a segment."""
    if not len(dead):
        return dead
    return np.intersect1d(np.frombuffer(head["chunk_ids"], "<i8"), dead)


async def _whole(connection: Any, tenant_id: str, ids: Sequence[UUID]) -> list[Segment]:
    """Segments with all their buckets."""
    buckets: dict[UUID, dict[int, bytes]] = {segment_id: {} for segment_id in ids}
    for row in await connection.fetch(POSTINGS, tenant_id, ids):
        buckets[row["segment_id"]][row["bucket"]] = row["payload"]
    return [
        Segment(head["chunk_ids"], head["lengths"], buckets[head["segment_id"]])
        for head in await connection.fetch(WHOLE_HEADS, tenant_id, ids)
    ]
