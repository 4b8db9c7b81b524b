"""What tenants of one client share: searches on their way, background work, bills, threads."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

import pytest
from misbehaving import EmbeddingServer
from rivals import names

import aisdk
from aisdk import Document
from aisdk.core.runtime.limits import tokens_of
from aisdk.core.usage import recorder
from aisdk.settings import Settings

QUESTION: Final = "which pump has a red valve?"


async def used(client: aisdk.Client, tenant: str) -> dict[str, tuple[int, int]]:
    """Calls and tokens of a tenant as the database has them, by verb."""

    async def read() -> list[Any]:
        async with client._parts.database.bulk(tenant) as connection:
            query = "SELECT verb, sum(calls)::int, sum(tokens)::int FROM aisdk.usage GROUP BY verb"
            return list(await connection.fetch(query))

    return {row[0]: (row[1], row[2]) for row in await client._portal.hop(read)}


async def test_each_pays_for_what_it_asked_where_searches_are_shared(
    minilm_client: aisdk.Client,
) -> None:
    """Forty callers of two tenants ask the same at once: twenty calls and one embedding each."""
    client = minilm_client
    both = names()[:2]
    for name in both:
        await client.documents.add(name, [Document(f"red valve of {name}")], progress=False)
    calls = [client.rag.query(name, QUESTION) for _ in range(20) for name in both]
    for place, page in enumerate(await asyncio.gather(*calls)):
        assert [hit.text for hit in page] == [f"red valve of {both[place % 2]}"]
    for name in both:
        rows = {row.verb: row for row in await client.usage.list(name)}
        assert rows["rag.query"].calls == 20
        assert rows["rag.query"].tokens == tokens_of(QUESTION)
        stats = {row.namespace: row for row in await client.cache.stats(name)}
        assert stats["rag:query"].loads == 1


@pytest.fixture
def quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[aisdk.Client]:
    """A client that stores usage every tenth of a second and gives calls two seconds."""
    monkeypatch.setattr(recorder, "EVERY_S", 0.1)
    service = EmbeddingServer()
    settings = Settings(
        home=home,
        deadline_s=2,
        embedding="remote",
        embedding_url=f"http://127.0.0.1:{service.port}/v1",
        embedding_model="m",
        embedding_dimension=4,
    )
    with service.running(), aisdk.Client(settings) as client:
        client.start()
        yield client


async def bill_the_next(client: aisdk.Client) -> int:
    """Calls that are billed to a tenant once the first caller's deadline is over."""
    first, second = names()[:2]
    await client.rag.query(first, QUESTION)
    await asyncio.sleep(2.2)
    for _ in range(3):
        await client.documents.count(second)
    await asyncio.sleep(0.5)
    return (await used(client, second)).get("documents.count", (0, 0))[0]


async def test_usage_is_stored_after_the_deadline_of_whoever_called_first(
    quick: aisdk.Client,
) -> None:
    """The work in the background is nobody's call: it has no tenant and no deadline."""
    assert await bill_the_next(quick) == 3


async def test_usage_is_lost_where_the_background_has_a_deadline(
    quick: aisdk.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with the first caller's context, everybody's usage is lost after a while."""
    monkeypatch.setattr(recorder, "Context", copy_context)
    assert await bill_the_next(quick) == 0


async def test_usage_of_many_tenants_is_stored_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many call before the next time, nobody's calls are forgotten."""
    monkeypatch.setattr(recorder, "MANY_TENANTS", 4)
    monkeypatch.setattr(recorder, "EVERY_S", 600)
    many = names()
    async with aisdk.Client(Settings(home=home, embedding="none")) as client:
        await asyncio.gather(*(client.documents.count(name) for name in many))
        for _ in range(100):
            stored = [(await used(client, name)).get("documents.count") for name in many]
            if stored.count((1, 0)) > 4:
                break
            await asyncio.sleep(0.1)
        assert stored.count((1, 0)) > 4
    async with aisdk.Client(Settings(home=home, embedding="none")) as client:
        stored = [(await used(client, name))["documents.count"] for name in many]
    assert stored == [(1, 0)] * len(many)


async def test_next_tenant_of_a_name_owes_nothing(client: aisdk.Client, tenant: str) -> None:
    """What the erased one used a moment before is not billed to it."""
    await client.tenants.create(tenant)
    await client.documents.count(tenant)
    await client.tenants.erase(tenant)
    await client.tenants.create(tenant)
    assert [row.verb for row in await client.usage.list(tenant)] == []
    await client.documents.count(tenant)
    rows = [(row.verb, row.calls) for row in await client.usage.list(tenant)]
    assert ("documents.count", 1) in rows, "the control: its own calls are billed"


def test_sessions_of_one_client_serve_many_threads(home: Path) -> None:
    """Eight threads make sessions of eight tenants at once, on a client that has done nothing."""
    many = names()
    together = threading.Barrier(len(many))
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        client.start()

        def work(name: str) -> list[Any]:
            together.wait()
            session = aisdk.Session(client, name)
            session.documents.add([f"pump of {name}."], progress=False)
            session.cache.set("k", name, ttl_s=60)
            answers: list[Any] = [session.cache.get("k") for _ in range(10)]
            return [*answers, *(hit.text for hit in session.rag.query("pump"))]

        with ThreadPoolExecutor(len(many)) as pool:
            answers = list(pool.map(work, many))
        assert answers == [[name] * 10 + [f"pump of {name}."] for name in many]
        for name in many:
            rows = aisdk.Session(client, name).usage.list()
            billed = Counter({row.verb: row.calls for row in rows})
            assert (billed["cache.get"], billed["rag.query"]) == (10, 1)
