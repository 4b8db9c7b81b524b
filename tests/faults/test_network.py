"""Faults of a network at random moments: every call ends in time, and the client lives on."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pytest
from proxy import FaultProxy
from surroundings import Surroundings, surrounded

import aisdk
from aisdk import Document
from aisdk.core.runtime.breaker import LONGEST_OPEN_S, Breaker
from aisdk.errors import AisdkError

FAULTS: Final = {"short": 42, "full": 1_080}
LANES: Final = 4  # clients, each with surroundings of its own
CALLS: Final = 3  # that a fault meets
GRACE_S: Final = 2.5
PATIENT_S: Final = 5.0  # for calls that need no more than what works
COME_BACK_S: Final = 15.0
AWAY_MS: Final = 1.0
PEERS: Final = ("postgres", "redis", "http")

Report = Callable[[str, int, int, str], None]
Make = Callable[[aisdk.AsyncSession], Awaitable[Any]]


@dataclass(frozen=True)
class Ending:
    """How a call ended.

    Attributes:
        kind: ``answered``, ``refused``, ``foreign error`` or ``late``.
        late_s: How long after its deadline; below 0 where it was in time.
        what: The class of its error.
    """

    kind: str
    late_s: float
    what: str = ""


async def ending(call: Awaitable[Any], deadline_s: float) -> Ending:
    """How a call ends, which must within its deadline and a little more.

    A pause in which the machine did not let this process run counts as half a second at most.
    """
    task, waited_s = asyncio.ensure_future(call), 0.0
    while not task.done() and waited_s < deadline_s + GRACE_S:
        started = time.monotonic()
        await asyncio.wait([task], timeout=0.05)
        waited_s += min(0.5, time.monotonic() - started)
    late_s = waited_s - deadline_s
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
        return Ending("late", late_s)
    error = task.exception()
    if error is None:
        return Ending("answered", late_s)
    kind = "refused" if isinstance(error, AisdkError) else "foreign error"
    return Ending(kind, late_s, type(error).__name__)


def mark() -> str:
    """What no other call says."""
    return f"mark {uuid.uuid4().hex}"


CALLS_OF: Final[dict[str, list[Make]]] = {
    "postgres": [
        lambda session: session.documents.count(),
        lambda session: session.documents.list(limit=2),
        lambda session: session.documents.get("s1"),
        lambda session: session.documents.update("s1", title=mark()),
        lambda session: session.documents.add([Document("pump", source=mark())], progress=False),
        lambda session: session.with_options(idempotency_key=mark()).documents.add(
            ["a"], progress=False
        ),
        lambda session: session.rag.query(mark(), mode="lexical"),
        lambda session: session.rag.query("pump valve", mode="dense"),
    ],
    "redis": [
        lambda session: session.documents.count(),
        lambda session: session.rag.query(mark(), mode="lexical"),
        lambda session: session.rag.query("pump valve", mode="lexical"),
        lambda session: session.cache.set("key", mark(), ttl_s=60),
        lambda session: session.cache.get("key"),
    ],
    "http": [
        lambda session: session.rag.query(mark(), mode="dense"),
        lambda session: session.rag.query(mark()),
        lambda session: session.documents.add([Document(mark(), source="new")], progress=False),
    ],
}


def faults_of(chance: random.Random) -> dict[str, Callable[[FaultProxy], None]]:
    """Name → how to bring it about."""
    slow_ms, after = chance.uniform(50, 500), chance.randrange(3_000)

    def refuse(proxy: FaultProxy) -> None:
        proxy.reset()
        proxy.refuse()

    return {
        "delay": lambda proxy: proxy.delay(slow_ms),
        "cut": lambda proxy: proxy.cut(after),
        "freeze": FaultProxy.freeze,
        "reset": FaultProxy.reset,
        "half-close": FaultProxy.half_close,
        "refuse": refuse,
    }


KINDS: Final = tuple(faults_of(random.Random(0)))  # noqa: S311  # not for secrets


class Clock:
    """Seconds that can be let pass."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return time.monotonic() + self.skipped_s


class Lane:
    """A client that meets one fault after the other.

    Attributes:
        around: The client and its surroundings.
        endings: Peer, kind of fault and how a call ended, for each call.
        dead: Peer and kind of the faults after which the client did not work again.
    """

    def __init__(self, around: Surroundings, session: aisdk.AsyncSession, seed: int) -> None:
        self.around = around
        self.session = session
        self.endings: list[tuple[str, str, Ending]] = []
        self.dead: list[tuple[str, str]] = []
        self._chance = random.Random(seed)  # noqa: S311  # not for secrets
        self._clock = Clock()
        for breaker in breakers_of(around.client):
            breaker.clock = self._clock
        for proxy in around.proxies.values():
            proxy.delay(AWAY_MS)

    async def meet(self, peer: str, kind: str) -> None:
        """One fault, from a random moment on, for a random time; then everything works again."""
        proxy = self.around.proxies[peer]
        calls: list[asyncio.Task[Ending]] = []
        while all(call.done() for call in calls):  # until one was running when it came
            calls = await self._calls_into(peer, faults_of(self._chance)[kind])
        if self._chance.random() < 0.3:
            await asyncio.sleep(self._chance.uniform(0, 1))
        else:
            await asyncio.wait(calls)
        proxy.delay(AWAY_MS)
        self.endings += [(peer, kind, await call) for call in calls]
        self._clock.skipped_s += LONGEST_OPEN_S
        if not await self.comes_back():
            self.dead.append((peer, kind))

    async def _calls_into(
        self, peer: str, fault: Callable[[FaultProxy], None]
    ) -> list[asyncio.Task[Ending]]:
        """Calls that have just begun when the fault comes, or begin with it."""
        proxy, chance = self.around.proxies[peer], self._chance
        deadline_s = PATIENT_S if peer == "redis" else chance.uniform(0.3, 1.3)
        session = self.session.with_options(deadline_s=deadline_s)
        moment_s = chance.uniform(-0.003, 0.015)
        if moment_s < 0:
            fault(proxy)
        makes = [chance.choice(CALLS_OF[peer]) for _ in range(CALLS)]
        calls = [asyncio.create_task(ending(make(session), deadline_s)) for make in makes]
        if moment_s >= 0:
            await asyncio.sleep(moment_s)
            fault(proxy)
        return calls

    async def comes_back(self) -> bool:
        """Whether it works again after a while: the pools may still hold dead connections."""
        end_s = time.monotonic() + COME_BACK_S
        works = await self.works()
        while not works and time.monotonic() < end_s:
            await asyncio.sleep(0.2)
            works = await self.works()
        return works

    async def works(self) -> bool:
        """Whether all does: the database, the cache and the embedding service."""
        session = self.session.with_options(deadline_s=PATIENT_S)
        value = mark()
        try:
            await session.documents.add([Document(value, source=value)], progress=False)
            same = (await session.documents.get(value)).text == value
            found = len(await session.rag.query(value, mode="dense"))
            kept = await session.cache.set(value, value, ttl_s=60)
            return bool(same and found and kept and await session.cache.get(value) == value)
        except AisdkError:
            return False


def breakers_of(client: aisdk.Client) -> list[Breaker]:
    """All that a client has."""
    parts = client._parts
    database: Any = parts.database._around.repeat
    services = [database.__self__, parts.cache._service, parts.limiter._service]
    return [service.breaker for service in (*services, parts.embedder._service)]


@pytest.fixture(scope="module")
def surroundings(client: aisdk.Client) -> Iterator[list[Surroundings]]:
    """Clients, each with surroundings of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(surrounded(client, pool_size=4)) for _ in range(LANES)]


@pytest.fixture
async def lanes(surroundings: list[Surroundings], client: aisdk.Client, tenant: str) -> list[Lane]:
    """The same, as a limited tenant with a few documents."""
    limits = {"concurrent_calls": 16, "requests_per_minute": 1_000_000}
    await client.tenants.create(tenant, tier="unlimited", settings=limits)
    documents = [Document(f"pump valve {n}", source=f"s{n}") for n in range(4)]
    await surroundings[0].client.session(tenant).documents.add(documents, progress=False)
    return [
        Lane(around, around.client.session(tenant), seed)
        for seed, around in enumerate(surroundings)
    ]


async def outlives_an_outage(lane: Lane) -> bool:
    """Whether a client works again by itself after its breaker has really opened."""
    lane.around.postgres.reset()
    codes = set()
    for _ in range(100):
        end = await ending(lane.session.documents.count(), PATIENT_S)
        codes.add(end.what)
    lane.around.postgres.delay(AWAY_MS)
    return await lane.comes_back() and "CircuitOpen" in codes


async def failures_are_noticed(lane: Lane) -> bool:
    """The control: a call without a deadline, a foreign error, and a client that is down."""
    client = lane.around.client

    async def careless() -> None:
        raise OSError

    lane.around.postgres.reset()
    down = not await lane.works()
    lane.around.postgres.delay(AWAY_MS)
    database = client._parts.database
    lane.around.postgres.freeze()
    late = await ending(client._portal.hop(lambda: database.fetch("SELECT 1")), 0.2)
    lane.around.postgres.delay(AWAY_MS)
    foreign = await ending(careless(), 0.2)
    return down and (late.kind, foreign.kind) == ("late", "foreign error")


async def test_calls_end_in_time_whatever_the_network_does(
    request: pytest.FixtureRequest, lanes: list[Lane], report: Report
) -> None:
    """With an answer or an error of ours, and with an answer where only the cache fails."""
    cases = list(product(PEERS, KINDS))
    faults = FAULTS[request.config.getoption("--faults")]
    left = iter([cases[number % len(cases)] for number in range(faults)])

    async def drive(lane: Lane) -> None:
        for peer, kind in left:
            await lane.meet(peer, kind)

    *driven, other = lanes

    async def fall() -> tuple[bool, bool]:
        return await outlives_an_outage(other), await failures_are_noticed(other)

    falling = asyncio.create_task(fall())
    await asyncio.gather(*map(drive, driven))
    alive, caught = await falling
    endings = [each for lane in lanes for each in lane.endings]
    wrong = [each for each in endings if each[2].kind in ("late", "foreign error")]
    wrong += [each for each in endings if each[0] == "redis" and each[2].kind != "answered"]
    dead = [each for lane in lanes for each in lane.dead]
    kinds = Counter(each[2].kind for each in endings)
    slowest_s = max(each[2].late_s for each in endings)
    report(
        "network faults",
        faults,
        len(wrong) + len(dead) + (not alive),
        f"{kinds['answered']:,} calls answered, {kinds['refused']:,} refused with an error of "
        f"ours; the slowest ended {slowest_s:.2f} s after its deadline, {GRACE_S} s are allowed"
        + "; control: caught" * caught,
    )
    assert (wrong, dead, alive) == ([], [], True)
    assert {each[:2] for each in endings} == set(cases)
    assert min(kinds["answered"], kinds["refused"]) > faults / 10
    assert caught


async def test_cancelled_calls_on_a_silent_network_end_soon_and_as_cancelled(
    lanes: list[Lane],
) -> None:
    """Whether SQLAlchemy, a bulk transfer or a bare statement waits for an answer."""
    around, session = lanes[0].around, lanes[0].session

    async def leave() -> tuple[list[bool], float]:
        calls = [
            session.documents.count(),
            session.documents.add([mark()], progress=False),
            session.rag.query(mark(), mode="lexical"),
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.006)
        around.postgres.freeze()
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        started = time.monotonic()
        await asyncio.wait(tasks)
        return [task.cancelled() for task in tasks], time.monotonic() - started

    cancelled, late_s = await around.client._portal.hop(leave)
    around.postgres.delay(AWAY_MS)
    assert all(cancelled)
    assert late_s < GRACE_S
    assert await lanes[0].comes_back()


@pytest.mark.parametrize("moment_s", [0, 0.005, 0.01, 0.02])
async def test_first_call_of_a_client_ends_in_time_on_a_network_that_falls_silent(
    lanes: list[Lane], moment_s: float
) -> None:
    """While the database is looked at, too."""
    around, tenant = lanes[0].around, lanes[0].session.tenant_id
    async with aisdk.Client(around.client.settings) as fresh:
        session = fresh.session(tenant).with_options(deadline_s=0.3)
        call = asyncio.create_task(ending(session.documents.count(), 0.3))
        await asyncio.sleep(moment_s)
        around.postgres.freeze()
        end = await call
        around.postgres.delay(AWAY_MS)
    assert end.kind in ("answered", "refused")


async def test_client_closes_soon_on_a_silent_network(
    lanes: list[Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its tenants used cannot be stored, and no server answers a farewell."""
    monkeypatch.setattr("aisdk.core.usage.recorder.LAST_S", 0.3)
    around, tenant = lanes[0].around, lanes[0].session.tenant_id
    fresh = aisdk.Client(around.client.settings.model_copy(update={"pool_size": 2}))
    await asyncio.gather(*(fresh.documents.count(tenant) for _ in range(8)))
    for proxy in around.proxies.values():
        proxy.freeze()
    end = await ending(fresh.aclose(), 3.0)
    for proxy in around.proxies.values():
        proxy.delay(AWAY_MS)
    assert end.kind == "answered"
