"""Twenty at once ask for the same under one key, while servers and callers are killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import AsyncMock
from urllib.parse import parse_qs, urlsplit

import duplicates
import pytest
from aftermath import Audit, audit, kill_postgres, make_documents, recovered
from duplicates import BATCH_CHUNKS, KINDS, LEASE_S, NUMBERS, Order, insist, line_of
from proxy import FaultProxy, Link
from pydantic import SecretStr

import aisdk
from aisdk.core.documents import adding
from aisdk.core.runtime import replay
from aisdk.core.storage.engine import Database
from aisdk.core.storage.idempotency import IdempotencyKeys
from aisdk.settings import Settings

Report = Callable[[str, int, int, str], None]

KEYS: Final = {"short": 15, "full": 1_000}
A_ROUND: Final = {"short": 5, "full": 20}
PROCESSES: Final = 3
COPIES: Final = 5  # of each order that a process asks for, and this one too
EVERYBODY: Final = (PROCESSES + 1) * COPIES
LOST: Final = 0.3  # of the COMMITs through the proxy
LONGEST_S: Final = 1.0  # after which a round's kill comes
GENERATION: Final = "SELECT generation FROM aisdk.stores"
SOURCES: Final = {f"s{number}": 1 for number in NUMBERS}


class Watched:
    """The reading end of a connection, which shows what passes before it does."""

    def __init__(self, reader: asyncio.StreamReader, see: Callable[[bytes], bool]) -> None:
        self._reader = reader
        self._see = see

    async def read(self, size: int) -> bytes:
        """The next bytes; none where they must not pass."""
        data = await self._reader.read(size)
        return data if self._see(data) else b""


class CommitLosing(FaultProxy):
    """Lets COMMITs pass and, for some of them, ends the connection when the answer comes.

    Attributes:
        lose: Whether the answer to the next one is lost.
        lost: How many were.
    """

    def __init__(self, server: tuple[str, int] | str) -> None:
        super().__init__(server)
        self.lose: Callable[[], bool] = lambda: False
        self.lost = 0
        self._doomed: set[Link] = set()

    async def _to_server(self, link: Link, reader: Any) -> None:
        def see(data: bytes) -> bool:
            if b"COMMIT;\0" in data and self.lose():
                self._doomed.add(link)
            return True

        await super()._to_server(link, Watched(reader, see))  # type: ignore[arg-type]

    async def _to_client(self, link: Link, reader: Any) -> None:
        def see(data: bytes) -> bool:
            if link not in self._doomed:
                return True
            self._doomed.discard(link)
            self.lost += 1
            link.abort()
            return False

        await super()._to_client(link, Watched(reader, see))  # type: ignore[arg-type]


@dataclass
class Caller:
    """A process that asks for orders."""

    process: asyncio.subprocess.Process

    @classmethod
    async def begun(cls, home: Path) -> Caller:
        """A process on the database of a folder, ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            duplicates.__file__,
            str(home),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        caller = cls(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return caller

    async def ask(self, orders: Sequence[Order]) -> list[tuple[int, Any]]:
        """Number and answer of orders; fewer than were asked for where it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line_of(orders))
        answers: list[tuple[int, Any]] = []
        while len(answers) < len(orders):
            line = await self.process.stdout.readline()
            if not line.endswith(b"\n"):
                break
            answers.append(tuple(json.loads(line)))
        return answers

    async def end(self) -> int:
        """Lets it end; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.communicate()
        return self.process.returncode or 0


@dataclass
class Campaign:
    """Orders, those who ask for them, and what became of both.

    Attributes:
        home: The folder of the database.
        client: Makes orders ready and looks at what became of them.
        callers: The processes.
        cut: A client that loses answers to COMMITs.
        answers: Number of an order → the answers to all who asked.
        effects: Number of an order → how often it was done.
        late: Those whose late duplicate got another answer, or was done once more.
        kills: Whom → how often.
    """

    home: Path
    client: aisdk.Client
    callers: list[Caller]
    cut: aisdk.Client
    proxy: CommitLosing
    answers: dict[int, list[Any]] = field(default_factory=dict)
    effects: dict[int, int] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    kills: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311

    async def round(self, orders: Sequence[Order], victim: str) -> None:
        """Everybody asks for some orders at once; at a random moment somebody is killed."""
        before = await self._made_ready(orders)
        copies = [order for order in orders for _ in range(COPIES)]
        killing = asyncio.create_task(self._kill(victim))
        given = await asyncio.gather(
            *(self._ask(place, copies) for place in range(PROCESSES)),
            *(self._ask_here(order) for order in copies),
        )
        await killing
        for number, answer in (pair for pairs in given for pair in pairs):
            self.answers.setdefault(number, []).append(answer)
        for order in orders:
            self.effects[order.number] = await self._effect(order, before[order.number])
        await asyncio.gather(*(self._ask_late(order) for order in orders))

    async def _ask_here(self, order: Order) -> list[tuple[int, Any]]:
        return [(order.number, await insist(self.cut, order))]

    async def _ask(self, place: int, orders: list[Order]) -> list[tuple[int, Any]]:
        """What a process gets; where it is killed, another asks for what it did not get."""
        answers = await self.callers[place].ask(orders)
        if len(answers) == len(orders):
            return answers
        assert await self.callers[place].end() == -9
        self.callers[place] = await Caller.begun(self.home)
        left = Counter(orders) - Counter(_by_number(orders)[number] for number, _ in answers)
        return answers + await self.callers[place].ask(list(left.elements()))

    async def _kill(self, victim: str) -> None:
        await asyncio.sleep(self.chance.uniform(0, LONGEST_S))
        if victim == "postgres":
            self.kills[victim] += kill_postgres(self.home)
        elif victim == "caller":
            self.kills[victim] += 1
            self.chance.choice(self.callers).process.kill()

    async def _made_ready(self, orders: Sequence[Order]) -> dict[int, int]:
        """Documents where an order needs some; number → the generation of its store."""

        async def make(order: Order) -> None:
            await self._add(order, 0 if order.kind == "update" else 1)
            if order.kind == "add":
                await self.client.documents.delete(order.tenant, where={})

        await asyncio.gather(*map(make, orders))
        return {order.number: await self._generation(order) for order in orders}

    async def _add(self, order: Order, version: int) -> None:
        documents = make_documents(NUMBERS, version)
        await self.client.documents.add(order.tenant, documents, progress=False)

    async def _generation(self, order: Order) -> int:
        async def read() -> int:
            async with self.client._parts.database.bulk(order.tenant) as connection:
                return int(await connection.fetchval(GENERATION))

        return int(await recovered(self.client, read))

    async def _effect(self, order: Order, before: int) -> int:
        """How often an order was done: by the store's generation, or by what is in the store."""
        if order.kind != "add":
            return await self._generation(order) - before
        found = await audit(self.client, order.tenant, SOURCES)
        return 1 if found == Audit(0, 0, 0) else 1 + found.wrong

    async def _ask_late(self, order: Order) -> None:
        """Asks once more when the world has moved on; nothing may come of it."""
        if order.kind == "add":
            await self.client.documents.delete(order.tenant, where={})
        elif order.kind == "delete":
            await self._add(order, 1)
        else:
            await self.client.documents.update(order.tenant, "s1", title="later")
        before = await self._generation(order)
        same = await insist(self.cut, order) == self.answers[order.number][0]
        if not same or await self._generation(order) != before:
            self.late.add(order.number)

    @property
    def wrong(self) -> dict[int, str]:
        """Number of an order → why it was not done once, or not told alike to all."""
        reasons = {number: self._reason(number) for number in self.answers}
        return {number: reason for number, reason in reasons.items() if reason}

    def _reason(self, number: int) -> str:
        answers = self.answers[number]
        different = {json.dumps(answer) for answer in answers}
        if self.effects[number] != 1:
            return f"done {self.effects[number]} times"
        if len(answers) != EVERYBODY:
            return f"{len(answers)} answers"
        if len(different) > 1 or "error" in different.pop():
            return "different answers, or an error"
        return "done again later, or told otherwise" if number in self.late else ""


def _by_number(orders: Sequence[Order]) -> dict[int, Order]:
    return {order.number: order for order in orders}


def make_orders(first: int, count: int, key: str | None) -> list[Order]:
    """Orders of all kinds, each in a tenant of its own."""
    return [
        Order(number, f"t-{uuid.uuid4().hex[:12]}", KINDS[number % len(KINDS)], key)
        for number in range(first, first + count)
    ]


def proxied(client: aisdk.Client, proxy: FaultProxy) -> aisdk.Client:
    """A client that reaches the database of another one through a proxy."""
    url = f"postgresql://aisdk_app@127.0.0.1:{proxy.port}/aisdk"
    return aisdk.Client(Settings(database_url=SecretStr(url), embedding="none"))


def socket_of(client: aisdk.Client) -> str:
    """The path of the socket of an embedded database."""
    server = client._parts.server
    assert server is not None
    parts = urlsplit(server.address("aisdk_app"))
    folder = parse_qs(parts.query)["host"][0]
    return str(Path(folder) / f".s.PGSQL.{parts.port or 5432}")


@pytest.fixture
async def campaign(short_home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Campaign]:
    """A database of its own, processes that ask, and a client that loses answers."""
    monkeypatch.setattr(replay, "LEASE_S", LEASE_S)
    monkeypatch.setattr(adding, "BATCH_CHUNKS", BATCH_CHUNKS)
    async with AsyncExitStack() as stack:
        settings = Settings(home=short_home, embedding="none")
        client = await stack.enter_async_context(aisdk.Client(settings))
        await client.astart()
        proxy = stack.enter_context(CommitLosing(socket_of(client)))
        chance = random.Random(8)  # noqa: S311  # not for secrets
        proxy.lose = lambda: chance.random() < LOST
        cut = await stack.enter_async_context(proxied(client, proxy))
        callers = await asyncio.gather(*(Caller.begun(short_home) for _ in range(PROCESSES)))
        made = Campaign(short_home, client, list(callers), cut, proxy)
        yield made
        ended = await asyncio.gather(*(caller.end() for caller in made.callers))
        assert ended == [0] * PROCESSES


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # killed servers leave half-open sockets
async def test_duplicates_have_one_effect_and_one_answer_whoever_is_killed(
    request: pytest.FixtureRequest, campaign: Campaign, report: Report
) -> None:
    """Kills of PostgreSQL and of callers, and lost COMMITs. The control: the same without keys."""
    scale = request.config.getoption("--faults")
    keys, size = KEYS[scale], A_ROUND[scale]
    for first in range(0, keys, size):
        victim = ("postgres", "caller")[first // size % 2]
        await campaign.round(make_orders(first, size, "order"), victim)
    wrong, answers = campaign.wrong, sum(map(len, campaign.answers.values()))
    await campaign.round(make_orders(keys, len(KINDS), None), "nobody")
    caught = campaign.wrong.keys() - wrong.keys() == set(range(keys, keys + len(KINDS)))
    report(
        "idempotency",
        keys,
        len(wrong),
        f"{answers:,} answers to {keys:,} keys, {campaign.kills['postgres']} kills of PostgreSQL, "
        f"{campaign.kills['caller']} of a calling process, {campaign.proxy.lost:,} lost COMMITs"
        + "; control: caught" * caught,
    )
    assert wrong == {}
    assert answers == keys * EVERYBODY
    assert campaign.kills.total() >= keys // size - 1
    assert campaign.proxy.lost > 0
    assert caught


@pytest.mark.parametrize(
    ("key", "looks"), [(None, (Database, "_was_committed")), ("order", (IdempotencyKeys, "find"))]
)
async def test_lost_answer_to_a_commit_is_found_on_the_server(
    client: aisdk.Client,
    tenant: str,
    key: str | None,
    looks: tuple[type, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the repetition, through a proxy. The control: one that does not look does it twice."""
    session = client.session(tenant)
    await client.astart()
    with CommitLosing(socket_of(client)) as proxy:
        async with proxied(client, proxy) as cut:

            async def deleted(key: str | None) -> int:
                await session.documents.add(make_documents(NUMBERS, 1), progress=False)
                turns, proxy.lost = iter([True]), 0
                proxy.lose = lambda: next(turns, False)
                once = cut.session(tenant).with_options(idempotency_key=key)
                return await once.documents.delete(where={})

            assert (await deleted(key), proxy.lost) == (len(NUMBERS), 1)
            monkeypatch.setattr(*looks, AsyncMock(return_value=None))
            assert (await deleted(key and f"{key} 2"), proxy.lost) == (0, 1)


async def test_caller_whose_lease_has_ended_tells_what_was_answered_meanwhile(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the sleep of a laptop: another has taken over and is done, and that counts."""
    monkeypatch.setattr(replay, "LEASE_S", 0.2)
    monkeypatch.setattr(IdempotencyKeys, "renew", AsyncMock())
    await client.astart()
    store, order = client._parts.documents.store, Order(0, tenant, "add", "order")
    put, puts, done = store.put, iter([True]), threading.Event()

    async def sleepy(*arguments: Any) -> Any:
        if next(puts, False):
            await asyncio.to_thread(done.wait)
        return await put(*arguments)

    monkeypatch.setattr(store, "put", sleepy)
    first, second = (asyncio.create_task(insist(client, order)) for _ in range(2))
    awake, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    done.set()
    (answer,) = [task.result() for task in awake]
    assert [row[1] for row in answer] == ["added"] * len(NUMBERS)
    assert [await first, await second, await insist(client, order)] == [answer] * 3
