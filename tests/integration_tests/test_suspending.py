"""Long work of a tenant that is suspended, limited or erased meanwhile."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

import aisdk
from aisdk.core.documents.adding import GROUP_SOURCES
from aisdk.errors import QuotaExceeded, TenantSuspended, TenantUnknown

TEXTS: Final = [f"pump {number}" for number in range(2 * GROUP_SOURCES)]


async def until(condition: Any) -> Any:
    """What an awaited condition gives as soon as it is true."""
    async with asyncio.timeout(60):
        while not (value := await condition()):  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.02)
    return value


@asynccontextmanager
async def half_added(client: aisdk.Client, tenant: str) -> AsyncIterator[asyncio.Task[Any]]:
    """A call of ``add`` that goes on to its second group of sources when the block ends."""
    go_on = threading.Event()

    def texts() -> Iterator[str]:
        yield from TEXTS[:GROUP_SOURCES]
        go_on.wait(60)
        yield from TEXTS[GROUP_SOURCES:]

    async def stored() -> bool:
        return (await client.tenants.get(tenant)).documents > GROUP_SOURCES / 2

    await client.tenants.create(tenant, tier="unlimited")
    adding = asyncio.ensure_future(client.documents.add(tenant, texts(), progress=False))
    try:
        await until(stored)
        yield adding
    finally:
        go_on.set()


async def test_add_of_a_suspended_tenant_ends_and_is_gone_on_with(
    client: aisdk.Client, tenant: str
) -> None:
    """It says what is stored, and that adding again goes on."""
    async with half_added(client, tenant) as adding:
        await client.tenants.update(tenant, state="suspended")
    with pytest.raises(TenantSuspended, match="documents are stored") as caught:
        await adding
    stored = (await client.tenants.get(tenant)).documents
    assert stored <= GROUP_SOURCES
    told = re.search(r"([\d,]+) documents are stored", caught.value.message)
    assert told is not None
    assert int(told[1].replace(",", "")) == stored
    assert "add again to go on" in caught.value.hint
    await client.tenants.update(tenant, state="active")
    again = await client.documents.add(tenant, TEXTS, progress=False)
    assert [row.status for row in again].count("unchanged") == stored
    assert await client.documents.count(tenant) == len(TEXTS)


async def test_add_keeps_to_a_quota_that_was_lowered_meanwhile(
    client: aisdk.Client, tenant: str
) -> None:
    """The error tells the present one."""
    async with half_added(client, tenant) as adding:
        await client.tenants.update(tenant, settings={"documents": GROUP_SOURCES})
    with pytest.raises(QuotaExceeded) as caught:
        await adding
    assert (caught.value.limit, caught.value.used) == (GROUP_SOURCES, GROUP_SOURCES)
    assert await client.documents.count(tenant) == GROUP_SOURCES


async def test_add_does_not_register_a_tenant_again_that_was_erased(
    client: aisdk.Client, tenant: str
) -> None:
    """Asking again is not a first call."""
    async with half_added(client, tenant) as adding:
        await client.tenants.erase(tenant)
    with pytest.raises(TenantUnknown):
        await adding
    with pytest.raises(TenantUnknown):
        await client.tenants.get(tenant)


async def test_query_many_of_a_suspended_tenant_ends(client: aisdk.Client, tenant: str) -> None:
    """Before the questions that are left."""
    await client.documents.add(tenant, TEXTS[:50], progress=False)
    asking = asyncio.ensure_future(
        client.rag.query_many(tenant, [f"pump {n}" for n in range(5_000)], progress=False)
    )
    await asyncio.sleep(0.3)
    await client.tenants.update(tenant, state="suspended")
    with pytest.raises(TenantSuspended):
        await asking


async def test_jobs_of_a_suspended_tenant_wait_until_it_is_active(
    client: aisdk.Client, tenant: str
) -> None:
    """One that runs is given back, one that waits is not begun, and none has failed."""
    session = client.session(tenant)
    many = [f"pump {number}" for number in range(20_000)]
    running = await session.documents.add(many, wait=False)
    waiting = await session.documents.add(["another"], wait=False)

    async def begun() -> bool:
        return (await running.status()).done > 0

    async def states() -> list[tuple[str, int]]:
        async def ask() -> list[Any]:
            async with client._parts.database.bulk(tenant) as connection:
                query = "SELECT state, attempts FROM aisdk.jobs ORDER BY created_at"
                return list(await connection.fetch(query))

        return [(row["state"], row["attempts"]) for row in await client._portal.hop(ask)]

    async def given_back() -> bool:
        return (await states())[0][0] != "running"

    await until(begun)
    await client.tenants.update(tenant, state="suspended")
    await until(given_back)
    stored = (await client.tenants.get(tenant)).documents
    await asyncio.sleep(1)
    assert await states() == [("waiting", 1), ("waiting", 0)]
    assert (await client.tenants.get(tenant)).documents == stored < len(many)
    await client.tenants.update(tenant, state="active")
    assert len(await running.result(timeout_s=120)) == len(many)
    assert [row.status for row in await waiting.result(timeout_s=60)] == ["added"]
