"""What takes longer than one statement may is erased and deleted all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import aisdk
from aisdk import Document
from aisdk.errors import DeadlineExceeded
from aisdk.settings import Settings

HELD_S = 2.5
HOLD = "SELECT FROM aisdk.chunks WHERE tenant_id = $1 LIMIT 1 FOR UPDATE"


@asynccontextmanager
async def slowed(client: aisdk.Client, tenant: str) -> AsyncIterator[None]:
    """Another transaction holds a row, so that deleting it takes some seconds."""
    held = asyncio.Event()

    async def hold() -> None:
        async with client._parts.platform_database.bulk(tenant) as connection:
            await connection.execute(HOLD, tenant)
            held.set()
            await asyncio.sleep(HELD_S)

    holding = asyncio.ensure_future(client._portal.hop(hold))
    while not held.is_set():  # noqa: ASYNC110  # it is set on another loop
        await asyncio.sleep(0.01)
    yield
    await holding


@pytest.mark.parametrize("how", ["erase", "delete"])
async def test_one_statement_may_take_as_long_as_the_call(
    client: aisdk.Client, home: Path, tenant: str, how: str
) -> None:
    """The server and the driver let it; others of the client are ended as before."""
    settings = Settings(home=home, embedding="none", statement_timeout_s=1, command_timeout_s=1.5)
    async with aisdk.Client(settings) as hasty:
        verbs: dict[str, Callable[[], Awaitable[Any]]] = {
            "erase": lambda: hasty.tenants.erase(tenant),
            "delete": lambda: hasty.documents.delete(tenant, where={}),
        }
        await client.documents.add(tenant, [Document("a"), Document("b")], progress=False)
        with pytest.raises(DeadlineExceeded):
            await asleep(hasty, tenant)
        async with slowed(client, tenant):
            done = await verbs[how]()
        assert (done if how == "delete" else done.counts["documents"]) == 2
        with pytest.raises(DeadlineExceeded):  # also on connections that were used for it
            await asleep(hasty, tenant)


async def asleep(client: aisdk.Client, tenant: str) -> None:
    """One statement that takes longer than the client allows, as each role."""

    async def sleep() -> None:
        parts = client._parts
        for database in (parts.platform_database, parts.database):
            try:
                async with database.bulk(tenant) as connection:
                    await connection.execute("SELECT pg_sleep(1.3)")
            except DeadlineExceeded:
                continue
            raise AssertionError("it was not ended")
        raise DeadlineExceeded

    await client._portal.hop(sleep)


async def test_deadline_ends_what_takes_long(client: aisdk.Client, tenant: str) -> None:
    """And everything is still there."""
    await client.documents.add(tenant, [Document("a"), Document("b")], progress=False)
    async with slowed(client, tenant):
        with pytest.raises(DeadlineExceeded):
            await client.tenants.with_options(deadline_s=0.5).erase(tenant)
    assert await client.documents.count(tenant) == 2


async def test_more_documents_are_deleted_than_a_statement_has_parameters(
    client: aisdk.Client, tenant: str
) -> None:
    """A statement has 32,767."""
    fill = """
    INSERT INTO aisdk.documents (tenant_id, document_id, source, title, metadata, content_key,
                                 size_bytes, chunk_count, state)
    SELECT $1, gen_random_uuid(), 's' || n, '', '{}', '', 0, 0, 'ready'
    FROM generate_series(2, 33000) AS n
    """

    async def add() -> None:
        async with client._parts.platform_database.bulk(tenant) as connection:
            await connection.execute(fill, tenant)

    await client.documents.add(tenant, [Document("a")], progress=False)
    await client._portal.hop(add)
    assert await client.documents.delete(tenant, where={}) == 33_000
    assert await client.documents.count(tenant) == 0
