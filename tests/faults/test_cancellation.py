"""A storm of cancelled calls: no reply reaches another request, and everything is given back."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from storm import NUMBERS, Look, Question, Questions, Storm, Watch
from surroundings import Surroundings, surrounded

import aisdk
from aisdk import Document
from aisdk.core.runtime.limits import LimitStep
from aisdk.core.storage.cache import CONNECTIONS
from aisdk.errors import Unavailable

CANCELLED: Final = {"short": 300, "full": 10_000}  # on each of the two
DELAY_MS: Final = 2.0
POOL: Final = 8
CALLS_AT_ONCE: Final = 16  # of the tenant's, so that some wait for their turn
MOST: Final = {"PostgreSQL": POOL, "Valkey": CONNECTIONS}
PATIENCE_S: Final = 30.0
ACTIVITY: Final = "SELECT pid, state FROM pg_stat_activity WHERE usename = $1"

Report = Callable[[str, int, int, str], None]


@pytest.fixture(scope="module")
def around(client: aisdk.Client) -> Iterator[Surroundings]:
    """A client with a small pool, and what it depends on, all a little away."""
    with surrounded(client, pool_size=POOL) as made:
        for proxy in made.proxies.values():
            proxy.delay(DELAY_MS)
        yield made


@pytest.fixture
async def session(around: Surroundings, client: aisdk.Client, tenant: str) -> aisdk.AsyncSession:
    """A tenant with limits and documents, each with a word of its own."""
    limits = {"concurrent_calls": CALLS_AT_ONCE, "requests_per_minute": 1_000_000}
    await client.tenants.create(tenant, tier="unlimited", settings=limits)
    made = around.client.session(tenant)
    await made.documents.add([document(n) for n in range(NUMBERS)], progress=False)
    return made


@pytest.fixture
async def servers(around: Surroundings) -> AsyncIterator[tuple[Any, Redis]]:
    """A superuser's connections to PostgreSQL and one to Valkey, past the proxies."""
    admin = await asyncpg.create_pool(around.admin, min_size=1, max_size=2)
    valkey = Redis(port=around.valkey.port, single_connection_client=True)
    yield admin, valkey
    await valkey.aclose()
    await admin.close()


def document(number: int) -> Document:
    """The one with this number."""
    return Document(f"unique{number} pump", source=f"s{number}", metadata={"number": number})


class OfDatabase:
    """Questions to PostgreSQL: reads and writes of a tenant, and bare statements."""

    def __init__(self, client: aisdk.Client, session: aisdk.AsyncSession) -> None:
        self._client = client
        self._session = session
        self.all: Questions = [self.bare, self.query, self.list, self.count, self.update, self.add]

    def bare(self, _: int) -> Question:
        """A statement without a tenant."""
        mark = uuid.uuid4().hex
        fetch = self._client._parts.database.fetch

        async def ask() -> Any:
            rows = await self._client._portal.hop(lambda: fetch("SELECT $1::text", mark))
            return rows[0][0]

        return Question(ask, mark)

    def query(self, number: int) -> Question:
        """A search."""

        async def ask() -> list[str]:
            page = await self._session.rag.query(f"unique{number}", mode="lexical", top_k=1)
            return [hit.source for hit in page]

        return Question(ask, [f"s{number}"])

    def list(self, number: int) -> Question:
        """A listing."""

        async def ask() -> list[str]:
            page = await self._session.documents.list(where={"number": number})
            return [each.source for each in page]

        return Question(ask, [f"s{number}"])

    def count(self, number: int) -> Question:
        """A number."""
        where = {"number": {"<": number}}
        return Question(lambda: self._session.documents.count(where=where), number)

    def update(self, number: int) -> Question:
        """A write, and what there is of it."""
        key, title = f"s{number}", f"title {number}"

        async def ask() -> str:
            await self._session.documents.update(key, title=title)
            return (await self._session.documents.get(key)).title

        return Question(ask, title)

    def add(self, number: int) -> Question:
        """A call of several transactions."""

        async def ask() -> list[tuple[str, str]]:
            rows = await self._session.documents.add([document(number)], progress=False)
            return [(row.source, row.status) for row in rows]

        return Question(ask, [(f"s{number}", "unchanged")])


class OfCache:
    """Questions to Valkey: values of a tenant, and bare commands."""

    def __init__(self, client: aisdk.Client, session: aisdk.AsyncSession) -> None:
        self._client = client
        self._session = session
        self.all: Questions = [self.bare, self.script, self.get, self.set]

    def bare(self, _: int) -> Question:
        """A command without a tenant."""
        return self._echoed(("echo",))

    def script(self, _: int) -> Question:
        """A script."""
        return self._echoed(("eval", "return ARGV[1]", 0))

    def get(self, number: int) -> Question:
        """A value."""
        return Question(lambda: self._read(number), f"value of {number}")

    def set(self, number: int) -> Question:
        """A write, and what there is of it."""
        value = f"value of {number}"

        async def ask() -> Any:
            if not await self._session.cache.set(f"key{number}", value, ttl_s=600):
                raise Unavailable
            return await self._read(number)

        return Question(ask, value)

    def _echoed(self, command: tuple[Any, ...]) -> Question:
        mark = uuid.uuid4().hex
        redis = self._client._parts.redis
        assert redis is not None
        ask = partial(redis.ask, *command, mark)
        return Question(lambda: self._client._portal.hop(ask), mark.encode())

    async def _read(self, number: int) -> Any:
        value = await self._session.cache.get(f"key{number}")
        if value is None:
            raise Unavailable
        return value


async def storm_over(
    around: Surroundings, questions: Questions, wanted: int, at_once: int
) -> Counter[str]:
    """How calls ended, made half from this loop and half on the client's own."""
    here, there = (Storm(questions, wanted // 2, at_once // 2) for _ in range(2))
    await asyncio.gather(here.blow(), around.client._portal.hop(there.blow))
    return here.ends + there.ends


def looks_at(around: Surroundings, servers: tuple[Any, Redis]) -> dict[str, Look]:
    """How each server counts the client's connections."""
    admin, valkey = servers

    async def at_postgres() -> int:
        return len(await admin.fetch(ACTIVITY, around.role))

    async def at_valkey() -> int:
        return len(await valkey.client_list()) - 1  # without the one that asks

    return {"PostgreSQL": at_postgres, "Valkey": at_valkey}


async def busy_sessions(admin: Any, role: str) -> int:
    """Connections of a role that are not idle a second later: within a transaction, most likely."""
    await asyncio.sleep(1)
    return sum(row["state"] != "idle" for row in await admin.fetch(ACTIVITY, role))


async def kept_back(around: Surroundings, tenant: str) -> dict[str, int]:
    """What does not come back of places and pools: 0 of each where everything does."""
    parts: Any = around.client._parts
    pool = parts.redis.client.connection_pool

    async def count() -> dict[str, int]:
        limits = [step for step in parts.guard._steps if isinstance(step, LimitStep)]
        return {
            "places of the tenant": limits[0]._limiter.running.running(tenant),
            "turns at the database": parts.database._around.turn.__self__._admission._running,
            "connections to PostgreSQL": parts.database._engine.pool.checkedout(),
            "connections to Valkey": len(pool._in_use_connections),
        }

    async def take_all() -> int:
        got = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as stack:
                for _ in range(POOL):
                    await stack.enter_async_context(parts.database.driver())
                    got += 1
                for _ in range(CONNECTIONS):
                    stack.push_async_callback(pool.release, await taken(pool))
                    got += 1
        return got

    hop = around.client._portal.hop
    return await hop(count) | {"not there": POOL + CONNECTIONS - await hop(take_all)}


async def taken(pool: Any) -> Any:
    """A connection of redis-py's pool, also where the machine is too slow for the first try."""
    while True:
        with suppress(RedisError):
            return await pool.get_connection()


class Careless:
    """A client that uses a connection again although it did not wait for its reply."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    def question(self, _: int) -> Question:
        """What no other call asks."""
        mark = uuid.uuid4().hex
        return Question(lambda: self._echo(mark.encode()), mark.encode())

    async def open(self, number: int) -> None:
        """Makes as many connections; not more than so many calls may run at a time."""
        for _ in range(number):
            self._free.append(await asyncio.open_connection("127.0.0.1", self._port))

    async def _echo(self, mark: bytes) -> bytes:
        reader, writer = self._free.pop()
        try:
            writer.write(b"ECHO %s\r\n" % mark)
            await reader.readline()
            return (await reader.readline()).strip()
        finally:
            self._free.append((reader, writer))

    async def close(self) -> None:
        """Ends all connections."""
        for _, writer in self._free:
            writer.close()
            await writer.wait_closed()


async def replies_that_shift_are_noticed(around: Surroundings) -> bool:
    """The control of the replies: a client that is careless with its connections."""
    careless = Careless(around.redis.port)
    await careless.open(POOL)
    await Storm([careless.question], 1, POOL).blow()
    questions = [careless.question(0) for _ in range(POOL)]
    answers = await asyncio.gather(*(question.ask() for question in questions))
    await careless.close()
    return answers != [question.answer for question in questions]


async def forgotten_connections_are_noticed(
    around: Surroundings, admin: Any, looks: Mapping[str, Look]
) -> bool:
    """The control of the connections: one more than the pools hold, with open transactions."""
    watch = Watch(looks)
    async with AsyncExitStack() as stack:
        for _ in range(POOL + 1):
            extra = await asyncpg.connect(around.direct)
            stack.push_async_callback(extra.close)
            await extra.execute("BEGIN")
        for _ in range(CONNECTIONS + 1):
            _, writer = await asyncio.open_connection("127.0.0.1", around.redis.port)
            stack.callback(writer.close)
        async with watch.watching():
            busy = await busy_sessions(admin, around.role)
    return busy > POOL and all(watch.peaks[server] > most for server, most in MOST.items())


async def test_cancelled_calls_mix_up_nothing_and_keep_nothing(
    request: pytest.FixtureRequest,
    around: Surroundings,
    session: aisdk.AsyncSession,
    servers: tuple[Any, Redis],
    report: Report,
) -> None:
    """Thousands of calls end at random moments: wrong replies 0, and pools and places whole."""
    wanted = CANCELLED[request.config.getoption("--faults")]
    looks = looks_at(around, servers)
    watch = Watch(looks)
    async with watch.watching():
        ends = await storm_over(around, OfDatabase(around.client, session).all, wanted, POOL * 3)
        busy = await busy_sessions(servers[0], around.role)
        ends += await storm_over(
            around, OfCache(around.client, session).all, wanted, CONNECTIONS * 3
        )
        await asyncio.sleep(1)
    found = {
        "wrong replies": ends["wrong"],
        "servers with too many connections": sum(
            watch.peaks[server] > most for server, most in MOST.items()
        ),
        "sessions not idle a second later": busy,
        **await kept_back(around, session.tenant_id),
    }
    controls = {
        "replies": await replies_that_shift_are_noticed(around),
        "connections": await forgotten_connections_are_noticed(around, servers[0], looks),
    }
    caught = all(controls.values())
    report(
        "cancellation storm",
        ends["cancelled"],
        sum(found.values()),
        f"{ends['right']:,} others answered right, {ends['refused']} refused; of "
        + " and ".join(
            f"{most} connections to {server} at most {watch.peaks[server]} at a time"
            for server, most in MOST.items()
        )
        + "; control: caught" * caught,
    )
    assert {name: count for name, count in found.items() if count} == {}
    assert ends["cancelled"] >= 2 * wanted
    assert ends["right"] > wanted / 10
    assert controls == dict.fromkeys(controls, True)
