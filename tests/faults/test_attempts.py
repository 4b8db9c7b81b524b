"""How often a call asks its peers while they fail, counted at the peers: few times, and no more."""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import pytest
from misbehaving import answer_well
from proxy import FaultProxy, Link
from redis.asyncio import Redis
from surroundings import Surroundings, surrounded

import aisdk
from aisdk.core.runtime.breaker import Breaker
from aisdk.core.runtime.dependency import Dependency, RetryBudget
from aisdk.errors import AisdkError

CALLS: Final = {"short": 2, "full": 100}  # for each fault and verb
OUTAGE: Final = {"short": 40, "full": 600}
AT_ONCE: Final = 20
MOST: Final = 4
SHARE: Final = 0.1
RESERVE: Final = 10
HASTY_S: Final = 0.15
MARK: Final = re.compile(rb"mark[0-9a-f]{16}")
MARK_LENGTH: Final = 20

Report = Callable[[str, int, int, str], None]
Make = Callable[[aisdk.AsyncSession, str], Awaitable[Any]]


class CountingProxy(FaultProxy):
    """Counts how often clients send each mark, whether it arrives or not.

    Attributes:
        sent: Mark → how often it was sent.
        betrays: Whether a connection is reset as soon as a mark was passed on.
    """

    def __init__(self, server: tuple[str, int] | str) -> None:
        super().__init__(server)
        self.sent: Counter[str] = Counter()
        self.betrays = False

    async def _to_server(self, link: Link, reader: asyncio.StreamReader) -> None:
        counted = cast("asyncio.StreamReader", CountedReader(self, link, reader))
        await super()._to_server(link, counted)


class CountedReader:
    """Reads what a client sends, and looks for marks in it."""

    def __init__(self, proxy: CountingProxy, link: Link, reader: asyncio.StreamReader) -> None:
        self._proxy = proxy
        self._link = link
        self._reader = reader
        self._rest = b""

    async def read(self, size: int) -> bytes:
        """The next piece."""
        data = await self._reader.read(size)
        text, end = self._rest + data, 0
        for found in MARK.finditer(text):
            self._proxy.sent[found.group().decode()] += 1
            end = found.end()
        self._rest = text[max(end, len(text) - MARK_LENGTH + 1) :]
        if end and self._proxy.betrays:
            self._link.halved = True  # no reply comes back
            asyncio.get_running_loop().call_later(0.002, self._link.reset)
        return data


@dataclass(frozen=True)
class Peer:
    """One that is asked.

    Attributes:
        name: What it is.
        proxy: Before it.
        services: What the client asks it through.
        most: How often one call may ask it.
        makes: Calls that send their mark once where nothing fails.
    """

    name: str
    proxy: CountingProxy
    services: Sequence[Dependency]
    most: int
    makes: Sequence[Make]

    def open_up(self, *, budget: bool) -> None:
        """Takes the circuit breaker away, and the tenants' budget for retries too if wished."""
        for service in self.services:
            service.breaker = Breaker(service.name, minimum=10**9)
            if budget:
                service._budget = RetryBudget(reserve=10**9)

    def start_anew(self) -> None:
        """Makes breaker and budget as they were at first."""
        for service in self.services:
            service.breaker, service._budget = Breaker(service.name), RetryBudget()


def mark() -> str:
    """What no other call sends."""
    return f"mark{uuid.uuid4().hex[:16]}"


def peers_of(around: Surroundings) -> list[Peer]:
    """PostgreSQL, Valkey and the embedding service."""
    parts = around.client._parts
    database: Any = parts.database._around.repeat
    return [
        Peer(
            "PostgreSQL",
            cast("CountingProxy", around.postgres),
            [database.__self__],
            MOST,
            [
                lambda session, mark: session.documents.count(where={"key": mark}),
                lambda session, mark: session.documents.list(where={"key": mark}),
                lambda session, mark: session.documents.get(mark),
                lambda session, mark: session.documents.update(mark, title="new"),
                lambda session, mark: session.documents.delete(where={"key": mark}),
            ],
        ),
        Peer(
            "Valkey",
            cast("CountingProxy", around.redis),
            [parts.cache._service, parts.limiter._service],
            1,
            [
                lambda session, mark: session.cache.get(mark),
                lambda session, mark: session.cache.set(mark, 1, ttl_s=60),
                lambda session, mark: session.cache.delete(mark),
            ],
        ),
        Peer(
            "embedding service",
            cast("CountingProxy", around.http),
            [parts.embedder._service],
            MOST,
            [
                lambda session, mark: session.rag.query(mark, mode="dense"),
                lambda session, mark: session.documents.add([mark], progress=False),
            ],
        ),
    ]


@pytest.fixture(scope="module")
def around(client: aisdk.Client) -> Iterator[Surroundings]:
    """A client in a hurry, and what it depends on, which keeps connections open."""
    with surrounded(client, CountingProxy) as made:
        handler: Any = made.embeddings._server.RequestHandlerClass
        handler.protocol_version = "HTTP/1.1"
        made.client._parts.embedder._timeout_s = HASTY_S
        yield made


@pytest.fixture
async def session(around: Surroundings, client: aisdk.Client, tenant: str) -> aisdk.AsyncSession:
    """A tenant without limits."""
    await client.tenants.create(tenant, tier="unlimited")
    return around.client.session(tenant)


async def ask(session: aisdk.AsyncSession, makes: Sequence[Make], times: int) -> list[str]:
    """The marks of so many calls each, a few at a time, however they end."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(make: Make, mark: str) -> str:
        async with free:
            with suppress(AisdkError):
                await make(session, mark)
        return mark

    return await asyncio.gather(*(one(make, mark()) for make in makes for _ in range(times)))


def faults_of(peer: Peer, around: Surroundings) -> list[Callable[[], None]]:
    """What makes requests fail."""
    chance = random.Random(3)  # noqa: S311  # not for secrets
    proxy = peer.proxy

    def answer(status: int) -> Callable[[], None]:
        reply = (status, b"", {"Retry-After": "0"})
        return lambda: setattr(around.embeddings, "answer", lambda *_: reply)

    faults: list[Callable[[], None]] = [
        lambda: setattr(proxy, "betrays", True),
        lambda: proxy.cut(chance.randrange(3_000)),
        proxy.half_close,
        proxy.reset,
    ]
    if proxy is not around.postgres:  # whose statements have no time limit of this kind
        faults.append(lambda: proxy.delay(2_000 * HASTY_S))
    statuses = (408, 429, 500, 503) if proxy is around.http else ()
    return faults + [answer(status) for status in statuses]


def mend(peer: Peer, around: Surroundings) -> None:
    """Nothing fails any more."""
    peer.proxy.betrays = False
    peer.proxy.let_pass()
    around.embeddings.answer = answer_well


async def most_attempts(
    peer: Peer, around: Surroundings, session: aisdk.AsyncSession, times: int
) -> tuple[int, int, int]:
    """Calls made under each fault, how many of them asked too often, and the most often."""
    peer.open_up(budget=True)
    healthy = await ask(session, peer.makes, 1)
    assert [peer.proxy.sent[mark] for mark in healthy] == [1] * len(healthy)
    counts: list[int] = []
    for fault in faults_of(peer, around):
        fault()
        marks = await ask(session, peer.makes, times)
        mend(peer, around)
        counts += [peer.proxy.sent[mark] for mark in marks]
    peer.start_anew()
    return len(counts), sum(count > peer.most for count in counts), max(counts)


async def asked_in_outages(
    peer: Peer, around: Surroundings, session: aisdk.AsyncSession, calls: int
) -> list[int]:
    """How often a tenant's calls ask a peer that is down.

    Once with the circuit breaker and once without it; first no reply comes, then no connection.
    """
    asked = []
    for broken in (False, True):
        peer.start_anew()
        if broken:
            peer.open_up(budget=False)
        peer.proxy.betrays = True
        marks = await ask(session, peer.makes, calls // len(peer.makes))
        mend(peer, around)
        asked.append(sum(peer.proxy.sent[mark] for mark in marks))
        peer.start_anew()
        if broken:
            peer.open_up(budget=False)
        peer.proxy.reset()
        before = peer.proxy.connections
        await ask(session, peer.makes, calls // len(peer.makes))
        asked.append(peer.proxy.connections - before)
        mend(peer, around)
    peer.start_anew()
    return asked


def most_in_outage(peer: Peer, calls: int) -> float:
    """How often a tenant may ask a peer that is down."""
    return calls if peer.most == 1 else calls + max(SHARE * calls, RESERVE)


async def second_layer_is_noticed(
    peer: Peer, around: Surroundings, session: aisdk.AsyncSession, calls: int
) -> bool:
    """The control: whoever tries a call again asks too often, in an outage too."""

    def thrice(make: Make) -> Make:
        async def again(session: aisdk.AsyncSession, mark: str) -> None:
            for _ in range(3):
                with suppress(AisdkError):
                    await make(session, mark)

        return again

    careless = replace(peer, makes=[thrice(make) for make in peer.makes])
    careless.open_up(budget=True)
    peer.proxy.betrays = True
    marks = await ask(session, careless.makes, 1)
    most = max(peer.proxy.sent[mark] for mark in marks)
    careless.start_anew()
    careless.open_up(budget=False)
    marks = await ask(session, careless.makes, calls // len(careless.makes))
    mend(peer, around)
    peer.start_anew()
    asked = sum(peer.proxy.sent[mark] for mark in marks)
    return most > peer.most and asked > most_in_outage(peer, calls)


async def retries_of_the_library_are_noticed(around: Surroundings) -> bool:
    """The control: redis-py as it comes sends a command again that may have been done."""
    proxy, name = cast("CountingProxy", around.redis), mark()
    proxy.betrays = True
    async with Redis(port=proxy.port) as careless:
        task = asyncio.ensure_future(careless.incr(name))
        for _ in range(200):
            if task.done() or proxy.sent[name] > 1:
                break
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
    proxy.betrays = False
    return proxy.sent[name] > 1


async def test_call_asks_no_peer_more_often_than_four_times(
    request: pytest.FixtureRequest,
    around: Surroundings,
    session: aisdk.AsyncSession,
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Valkey but once; and in an outage a tenant's retries add a tenth, or ten to few calls."""
    # What is used is stored now and then, by connections that belong to no call counted here.
    monkeypatch.setattr("aisdk.core.usage.recorder.EVERY_S", 3_600)
    await around.client._portal.hop(around.client._parts.recorder.flush)
    scale = request.config.getoption("--faults")
    peers, calls = peers_of(around), OUTAGE[scale]
    single = [await most_attempts(peer, around, session, CALLS[scale]) for peer in peers]
    outages = [await asked_in_outages(peer, around, session, calls) for peer in peers]
    caught = [await second_layer_is_noticed(peer, around, session, calls) for peer in peers]
    caught.append(await retries_of_the_library_are_noticed(around))
    over = [
        asked > most_in_outage(peer, calls)
        for peer, row in zip(peers, outages, strict=True)
        for asked in row
    ]
    report(
        "attempts at the peer",
        sum(tried for tried, _, _ in single) + calls * len(over),
        sum(wrong for _, wrong, _ in single) + sum(over),
        "at most "
        + ", ".join(
            f"{row[2]} a call at {peer.name}" for peer, row in zip(peers, single, strict=True)
        )
        + f"; in outages of {calls} calls at most "
        + ", ".join(f"{max(row)} at {peer.name}" for peer, row in zip(peers, outages, strict=True))
        + "; control: caught" * all(caught),
    )
    assert [wrong for _, wrong, _ in single] == [0, 0, 0]
    assert [most for _, _, most in single] == [peer.most for peer in peers]
    assert not any(over)
    assert caught == [True] * 4


async def test_add_is_the_one_probe_of_a_circuit_that_is_half_open(
    around: Surroundings, session: aisdk.AsyncSession
) -> None:
    """No step of it asks within another one, which would be refused, or tried four times four."""
    await session.documents.count()  # the tenant is known now, and not asked for again
    database: Any = around.client._parts.database._around.repeat
    breaker = Breaker("database", minimum=1, open_s=0.01)
    database.__self__.breaker = breaker
    breaker.enter().failed()
    await asyncio.sleep(0.02)
    assert breaker.state == "half_open"
    rows = await session.documents.add(["pump"], progress=False)
    assert [row.status for row in rows] == ["added"]
    assert breaker.state == "closed"
