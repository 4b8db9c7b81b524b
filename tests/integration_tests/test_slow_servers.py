"""Servers that a tenant names and that never answer: they cost that tenant alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from webserver import WebServer, serving

import aisdk
from aisdk.core.documents import fetching
from aisdk.errors import AisdkError
from aisdk.settings import Settings

CALLS: Final = 24
SOON_S: Final = 5.0


@pytest.fixture
def silent() -> Iterator[WebServer]:
    """Takes requests and never answers."""
    stop = threading.Event()

    def answer(_: str) -> Iterator[bytes]:
        stop.wait(60)
        yield b""

    with serving(answer) as server:
        server.stopped = stop
        yield server
        stop.set()


@contextmanager
def made(home: Path) -> Iterator[aisdk.Client]:
    """A client that may fetch from this machine and waits long for it."""
    settings = Settings(home=home, embedding="none", url_private=True, url_timeout_s=50)
    with aisdk.Client(settings) as client:
        yield client


async def until(holds: Callable[[], Any]) -> None:
    """Waits until something is true."""
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never was")


async def press(client: aisdk.Client, server: WebServer, tenant: str, deadline_s: float) -> Any:
    """Adds what does not come, many times at once."""
    busy = client.session(tenant).with_options(deadline_s=deadline_s)
    calls = [busy.documents.add(server.url(f"/{n}"), progress=False) for n in range(CALLS)]
    return asyncio.gather(*calls, return_exceptions=True)


async def quiet_s(client: aisdk.Client, tenant: str) -> float:
    """How long another tenant's adding and searching takes, or 20 where it fails."""
    quiet = client.session(tenant).with_options(deadline_s=6, retries=0)
    started = time.monotonic()
    try:
        await quiet.documents.add([f"a pump {started}"], progress=False)
        await quiet.rag.query("pump", mode="lexical")
    except AisdkError:
        return 20.0
    return time.monotonic() - started


async def test_calls_that_wait_for_a_server_keep_nobody_else_waiting(
    home: Path, tenant: str, silent: WebServer
) -> None:
    """Nor does the tenant have more than a quarter of what there is for it."""
    with made(home) as client:
        pressing = await press(client, silent, tenant, 40)
        await until(lambda: silent.hits == 4)
        assert await quiet_s(client, f"{tenant}2") < SOON_S
        assert silent.hits == 4
        started = time.monotonic()
    assert time.monotonic() - started < 5 + SOON_S, "closing waits no longer than it may"
    assert all(isinstance(error, BaseException) for error in await pressing)


async def test_abandoned_calls_leave_no_thread_behind(
    home: Path, tenant: str, silent: WebServer
) -> None:
    """A fetch ends when its call does, however long it might have waited."""
    with made(home) as client:
        await (await press(client, silent, tenant, 1))
        assert await quiet_s(client, f"{tenant}2") < SOON_S
        turns = client._parts.fetches
        await until(lambda: not turns._late)
        assert turns._admission.running(tenant) == 0


async def test_abandoned_calls_that_are_not_stopped_are_noticed(
    home: Path, tenant: str, silent: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: their threads go on; in one queue with all other work nobody else gets on."""

    def deaf(_: Callable[[], object]) -> None:
        """Does not hear that nobody waits any more."""

    class Patient:
        """Has no deadline."""

        def __init__(self, _: str) -> None: ...

        async def call(self, work: Callable[[], Awaitable[Any]]) -> Any:
            return await work()

    monkeypatch.setattr(fetching, "when_stopped", deaf)
    monkeypatch.setattr(fetching, "Dependency", Patient)
    with made(home) as client:
        client.start()
        parts: Any = client._parts.documents.parts
        object.__setattr__(parts, "in_fetch", parts.in_thread)
        await (await press(client, silent, tenant, 1))
        assert client._parts.threads._admission.running(tenant) == 4
        assert await quiet_s(client, f"{tenant}2") > SOON_S
        silent.stopped.set()
