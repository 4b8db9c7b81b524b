"""What is probed, and the tenants between whom it is probed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aisdk.core.runtime.cached import Cache
from aisdk.core.runtime.limits import Limiter
from aisdk.core.runtime.options import CallOptions, call_options
from aisdk.core.storage.engine import Database
from aisdk.core.storage.tables import metadata, platform_idempotency
from aisdk.errors import InProgress

__all__ = ["CANARY", "Subjects", "Victim", "plant", "reached", "with_key"]

CANARY: Final = "canary"
TABLES: Final = tuple(
    table.name
    for table in metadata.sorted_tables
    if "tenant_id" in table.columns and table is not platform_idempotency
)


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is probed.

    Attributes:
        database: The app role's.
        platform: The platform role's.
        documents: The documents service.
        rag: The rag service.
        caching: The cache service.
        usage: The usage service.
        jobs: The jobs service.
        cache: What keeps cached values.
        limiter: What charges tenants.
        record: Tenant, verb and tokens → notes its use.
        export: Tenant and folder → writes it there.
        erase: Tenant → removes it for good.
    """

    database: Database
    platform: Database
    documents: Any
    rag: Any
    caching: Any
    usage: Any
    jobs: Any
    cache: Cache
    limiter: Limiter
    record: Callable[[str, str, int], None]
    export: Callable[[str, Path], Awaitable[Any]]
    erase: Callable[[str], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Victim:
    """A tenant whose data nobody else may reach.

    Attributes:
        tenant_id: Its name.
        mark: A word that only its texts hold.
        document_id: One of its documents.
        cursor: Of its listing.
        job_id: A job that it has done.
        chunk_ids: Its chunks.
        tables: Where it has rows.
    """

    tenant_id: str
    mark: str
    document_id: str
    cursor: str
    job_id: str
    chunk_ids: list[int]
    tables: tuple[str, ...]


async def plant(subjects: Subjects, tenant_id: str) -> Victim:
    """Gives a tenant data of every kind, all bearing its mark."""
    from aisdk.core.documents.sources import Document

    mark = _new_mark()
    texts = [
        Document(f"The {mark} sings {number}.", f"{mark}-{number}", mark, {"mark": mark})
        for number in range(3)
    ]
    await subjects.documents.add(tenant_id, texts, progress=False)
    await with_key(mark, subjects.documents.delete, tenant_id, f"{mark}-2")
    job_id = await _job_done(subjects, tenant_id, texts[0])
    await subjects.caching.set(tenant_id, CANARY, mark, ttl_s=600)
    await subjects.usage.list(tenant_id)  # which stores what it has used up to now
    page = await subjects.documents.list(tenant_id, limit=1)
    async with subjects.database.bulk(tenant_id) as connection:
        rows = await connection.fetch("SELECT chunk_id FROM aisdk.chunks")
        tables = tuple([t for t in TABLES if await reached(connection, t, tenant_id)])
    names = (page[0].document_id, page.cursor or "", job_id)
    return Victim(tenant_id, mark, *names, [row[0] for row in rows], tables)


async def _job_done(subjects: Subjects, tenant_id: str, text: Any) -> str:
    """A job that has ended, whose answer bears the tenant's mark."""
    job_id: str = await subjects.documents.add(tenant_id, [text], wait=False)
    while True:
        try:
            await subjects.jobs.result(tenant_id, job_id)
        except InProgress:
            await asyncio.sleep(0.02)
        else:
            return job_id


async def reached(connection: Any, table: str, tenant_id: str) -> bool:
    """Whether a connection sees rows of a tenant."""
    query = f"SELECT EXISTS (SELECT FROM aisdk.{table} WHERE tenant_id = $1)"  # noqa: S608  # nosec B608  # our own names
    return bool(await connection.fetchval(query, tenant_id))


async def with_key(key: str, verb: Callable[..., Any], *arguments: str) -> Any:
    """The answer of a write that bears an idempotency key."""
    token = call_options.set(CallOptions(idempotency_key=key))
    try:
        call = verb(*arguments)
    finally:
        call_options.reset(token)
    return await call


def _new_mark() -> str:
    """A word that no other text holds."""
    return CANARY + "".join(secrets.choice("abcdefghij") for _ in range(16))
