"""What must be left in a tenant's store after somebody was killed, and how to kill PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

import aisdk
from aisdk import Document
from aisdk.errors import DependencyError

__all__ = ["Audit", "audit", "kill_postgres", "make_documents", "recovered"]

DOCUMENTS: Final = """
SELECT d.source, d.document_id, d.chunk_count, d.size_bytes,
       min(substring(c.text FROM 'version(\\d+)'))::int AS oldest,
       max(substring(c.text FROM 'version(\\d+)'))::int AS newest
FROM aisdk.documents AS d
LEFT JOIN aisdk.chunks AS c ON c.tenant_id = d.tenant_id AND c.document_id = d.document_id
WHERE d.state = 'ready'
GROUP BY d.source, d.document_id, d.chunk_count, d.size_bytes
"""
CHUNKS: Final = "SELECT chunk_id, document_id FROM aisdk.chunks"
SEGMENTS: Final = "SELECT chunk_ids FROM aisdk.lexical_segments"
DEAD: Final = "SELECT chunk_id FROM aisdk.lexical_tombstones"
STORE: Final = "SELECT document_count, size_bytes, chunk_count FROM aisdk.stores"
PATIENCE: Final = 100
PAUSE_S: Final = 0.2
LONG: Final = 120  # repetitions of a text that is cut into several chunks
LONG_EACH: Final = 10


def make_documents(numbers: Iterable[int], version: int) -> list[Document]:
    """Documents with a word of their own; every tenth has a few chunks, the others one."""
    return [
        Document(
            f"unique{number} "
            + f"version{version} pump valve river gate " * (1 if number % LONG_EACH else LONG),
            source=f"s{number}",
        )
        for number in numbers
    ]


@dataclass(frozen=True)
class Audit:
    """What is wrong in a tenant's store; all zero where nothing is.

    Attributes:
        lost: Acknowledged documents that are missing, or older than acknowledged.
        doubled: Documents and chunks that are there more than once.
        astray: Documents, chunks, index and counts that do not agree with each other.
    """

    lost: int
    doubled: int
    astray: int

    @property
    def wrong(self) -> int:
        """How much is wrong."""
        return self.lost + self.doubled + self.astray


async def audit(client: aisdk.Client, tenant: str, acknowledged: Mapping[str, int]) -> Audit:
    """Compares what was acknowledged, the documents, chunks, index and counts with each other.

    Args:
        client: A client on the database; it may have to start that again.
        tenant: The tenant.
        acknowledged: Source → the version that was acknowledged last.
    """

    async def read() -> list[Any]:
        async with client._parts.database.snapshot(tenant) as connection:
            return [
                await connection.fetch(query)
                for query in (DOCUMENTS, CHUNKS, SEGMENTS, DEAD, STORE)
            ]

    documents, chunks, segments, dead, stores = await recovered(client, read)
    sources = Counter(row["source"] for row in documents)
    versions = {row["source"]: row["oldest"] for row in documents if row["oldest"] is not None}
    indexed = Counter(n for row in segments for n in np.frombuffer(row[0], "<i8").tolist())
    alive = indexed - Counter(row[0] for row in dead)
    owners = Counter(row["document_id"] for row in chunks)
    wanted = {row["document_id"]: row["chunk_count"] for row in documents}
    counts = (len(documents), sum(row["size_bytes"] for row in documents), len(chunks))
    return Audit(
        lost=sum(versions.get(source, -1) < least for source, least in acknowledged.items()),
        doubled=sum(count - 1 for count in (*sources.values(), *indexed.values())),
        astray=(alive != Counter(row["chunk_id"] for row in chunks))
        + (owners != Counter(wanted))
        + (counts != (tuple(stores[0]) if stores else (0, 0, 0)))
        + sum(row["oldest"] != row["newest"] for row in documents),
    )


async def recovered(client: aisdk.Client, read: Any) -> Any:
    """What ``read`` gives on the client's loop; a database that is just dying is asked again."""
    for _ in range(PATIENCE):
        try:
            return await client._portal.hop(read)
        except DependencyError:
            await asyncio.sleep(PAUSE_S)
    return await client._portal.hop(read)


def kill_postgres(home: Path) -> bool:
    """``kill -9`` of the postmaster; whether it ran."""
    try:
        pid = int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        server = psutil.Process(pid)
        if server.status() == psutil.STATUS_ZOMBIE:
            return False
        server.kill()
    except (FileNotFoundError, psutil.NoSuchProcess, ValueError):
        return False
    return True
