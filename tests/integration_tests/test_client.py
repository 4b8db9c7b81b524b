"""Clients and sessions on the real database: sharing, closing, forking and interrupting."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

import aisdk
from aisdk.core.storage.embedded import EmbeddedServer
from aisdk.errors import (
    ClientClosed,
    DeadlineExceeded,
    InvalidInput,
    TenantRequired,
    Unavailable,
)
from aisdk.settings import Settings

BACKENDS: Final = """
SELECT state, count(*) FROM pg_stat_activity WHERE application_name = $1 GROUP BY state
"""
SLEEP: Final = "SELECT pg_sleep(30)"


def run(code: str, home: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """A new Python process with an environment of its own."""
    return subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", code],
        env={**os.environ, "AISDK_HOME": str(home), "AISDK_EMBEDDING": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


async def backends(client: aisdk.Client, name: str = "aisdk") -> dict[str, int]:
    """State → number of the application's connections, seen by the database itself."""
    server = client._parts.server
    assert server is not None
    watcher = await asyncpg.connect(server.address("postgres", "postgres"))
    try:
        return {row[0]: row[1] for row in await watcher.fetch(BACKENDS, name)}
    finally:
        await watcher.close()


async def settled(client: aisdk.Client, wanted: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """The backends, once they are as wanted or two seconds have passed."""
    for _ in range(40):
        found = await backends(client)
        if wanted(found):
            break
        await asyncio.sleep(0.05)
    return found


async def sleep_in_database(client: aisdk.Client, tenant: str) -> None:
    """Holds a transaction open by a slow statement."""
    async with client._parts.database.bulk(tenant) as connection:
        await connection.execute(SLEEP)


@pytest.fixture
def own_client(short_home: Path) -> aisdk.Client:
    """A client on a server of its own, closed by the test."""
    client = aisdk.Client(Settings(home=short_home, embedding="none", shutdown_s=0.3))
    client.start()
    return client


def test_connect_of_two_tenants_shares_a_client(client: aisdk.Client) -> None:
    """Both work; closing one session leaves the shared client open."""
    with aisdk.connect("left", client=client) as left:
        assert left.documents.count() >= 0
    right = aisdk.connect("right", client=client)
    assert right.documents.count() >= 0
    assert "right" in repr(right)
    assert "query" in repr(right.rag)


@pytest.mark.parametrize("tenant", ["", " ", "a b", "x" * 64, "a/b", "ä", None])
def test_connect_needs_a_proper_tenant(client: aisdk.Client, tenant: Any) -> None:
    """At once, and as a ValueError."""
    with pytest.raises(ValueError, match="tenant"):
        aisdk.connect(tenant, client=client)
    with pytest.raises(ValueError, match="tenant") as raised:
        client.session(tenant)
    assert isinstance(raised.value, TenantRequired) == (not tenant)


async def test_hosted_verb_refuses_a_missing_tenant_before_it_is_awaited(
    client: aisdk.Client,
) -> None:
    """No coroutine is made that somebody would have to await."""
    with pytest.raises(ValueError, match="tenant"):
        client.rag.query("")  # type: ignore[unused-coroutine]  # there is none to await


async def test_hosted_verbs_serve_many_tenants(client: aisdk.Client, tenant: str) -> None:
    """One client, each call for its own tenant."""
    await client.documents.add(tenant, ["the red pump"], progress=False)
    page = await client.rag.query(tenant, "pumps")
    assert [hit.text for hit in page] == ["the red pump"]
    assert len(await client.rag.query(f"{tenant}-other", "pumps")) == 0


async def test_async_session_shares_a_client_from_a_foreign_loop(
    client: aisdk.Client, tenant: str
) -> None:
    """The loop of a kernel or a service is not the portal's."""
    async with aisdk.AsyncSession.connect(tenant, client=client) as session:
        await session.documents.add(["one", "two"], progress=False)
        page = await session.documents.list(limit=1)
        assert (await page.next()).has_more is False
        assert [len(part) async for part in page.pages()] == [1, 1]
        assert len(await page.collect()) == 2
        assert tenant in repr(session)
    blocking = aisdk.connect(tenant, client=client)
    assert await asyncio.to_thread(blocking.documents.count) == 2
    assert await blocking.asynchronous().documents.count() == 2


async def test_async_session_of_its_own_closes_its_client(
    short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is made from the environment, and the server stops with it."""
    monkeypatch.setenv("AISDK_HOME", str(short_home))
    monkeypatch.setenv("AISDK_EMBEDDING", "none")
    async with aisdk.AsyncSession.connect("acme") as session:
        assert await session.documents.count() == 0
    assert not (short_home / "postgres" / "postmaster.pid").exists()
    with pytest.raises(ClientClosed, match="connect"):
        await session.documents.count()


def test_blocking_call_inside_a_running_loop_works(client: aisdk.Client, tenant: str) -> None:
    """As in a notebook's cell, whose kernel runs a loop in the same thread."""
    session = aisdk.connect(tenant, client=client)

    async def cell() -> int:
        return session.documents.count()

    assert asyncio.run(cell()) == 0


def test_closed_client_refuses_every_face(short_home: Path) -> None:
    """With a hint; closing again does nothing."""
    client = aisdk.Client(Settings(home=short_home, embedding="none"))
    session = aisdk.connect("acme", client=client)
    client.close()
    client.close()
    with pytest.raises(ClientClosed, match="connect"):
        session.documents.count()
    with pytest.raises(ClientClosed):
        asyncio.run(client.rag.query("acme", "x"))
    with pytest.raises(ClientClosed):
        client.start()


def test_close_cancels_what_outlives_the_deadline(
    own_client: aisdk.Client, short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intake stops, work drains, late work is cancelled, and no connection stays."""
    ended: list[str] = []
    service = own_client._parts.documents

    async def slow(tenant_id: str, _: object) -> int:
        try:
            await sleep_in_database(own_client, tenant_id)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return 0

    monkeypatch.setattr(service.store, "count", slow)
    session = aisdk.connect("acme", client=own_client)
    caller = threading.Thread(target=lambda: _swallow(session.documents.count))
    other = EmbeddedServer(short_home)
    other.start()
    caller.start()
    asyncio.run(settled(own_client, lambda found: found.get("active", 0) == 1))
    started = time.monotonic()
    own_client.close()
    assert time.monotonic() - started < 5
    caller.join()
    assert ended == ["cancelled"]
    assert asyncio.run(_left(other)) == {}
    other.close()


async def _left(server: EmbeddedServer) -> dict[str, int]:
    """The application's connections to a server that somebody else holds open."""
    watcher = await asyncpg.connect(server.address("postgres", "postgres"))
    try:
        for _ in range(40):
            found = {row[0]: row[1] for row in await watcher.fetch(BACKENDS, "aisdk")}
            if not found:
                break
            await asyncio.sleep(0.05)
        return found
    finally:
        await watcher.close()


def _swallow(call: Callable[[], object]) -> None:
    try:
        call()
    except BaseException:  # noqa: BLE001  # the caller's end is looked at elsewhere
        return


def test_close_lets_running_calls_finish(own_client: aisdk.Client) -> None:
    """Within the deadline nothing is cut off."""
    session = aisdk.connect("acme", client=own_client)
    texts = [f"note {number} about pumps" for number in range(2_000)]
    results: list[Any] = []
    adding = threading.Thread(
        target=lambda: results.append(session.documents.add(texts, progress=False))
    )
    object.__setattr__(own_client.settings, "shutdown_s", 30.0)
    adding.start()
    asyncio.run(settled(own_client, bool))
    while not own_client._parts.intake._running and adding.is_alive():
        time.sleep(0.001)
    own_client.close()
    adding.join()
    assert len(results[0]) == 2_000


def test_forgotten_client_is_closed(short_home: Path) -> None:
    """Without close() and without references the server stops too."""
    client = aisdk.Client(Settings(home=short_home, embedding="none"))
    client.start()
    assert (short_home / "postgres" / "postmaster.pid").exists()
    del client
    gc.collect()
    for _ in range(100):
        if not (short_home / "postgres" / "postmaster.pid").exists():
            break
        time.sleep(0.05)
    assert not (short_home / "postgres" / "postmaster.pid").exists()


def test_process_without_close_ends_cleanly(short_home: Path) -> None:
    """Exit code 0, nothing on stderr, and the server stopped with its last user."""
    code = "import aisdk; s = aisdk.connect('acme'); print(s.documents.count())"
    done = run(code, short_home)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0", "")
    assert not (short_home / "postgres" / "postmaster.pid").exists()


def test_forked_child_and_parent_both_work(short_home: Path) -> None:
    """The child opens connections of its own and leaves the parent's alone."""
    code = """
import os, warnings
warnings.simplefilter("ignore")
import aisdk
session = aisdk.connect("acme")
session.documents.add(["one", "two"], progress=False)
pid = os.fork()
if pid == 0:
    os._exit(0 if session.documents.count() == 2 and len(session.rag.query("one")) == 1 else 9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), session.documents.count())
"""
    done = run(code, short_home)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0 2", "")


def test_interrupt_ends_the_statement_and_the_next_call_works(
    own_client: aisdk.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a cell: KeyboardInterrupt at once, no statement left, no connection lost."""
    session = aisdk.connect("acme", client=own_client)
    service = own_client._parts.documents
    original = service.store.count

    async def slow(tenant_id: str, _: object) -> int:
        await sleep_in_database(own_client, tenant_id)
        return 0

    monkeypatch.setattr(service.store, "count", slow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background
    killer = threading.Timer(0.4, os.kill, [os.getpid(), signal.SIGINT])  # would ignore it
    killer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            session.documents.count()
    finally:
        killer.join()
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 5
    found = asyncio.run(settled(own_client, lambda found: not found.get("active")))
    assert found.get("active", 0) == 0
    monkeypatch.setattr(service.store, "count", original)
    assert session.documents.count() == 0
    own_client.close()


def healthy(found: dict[str, int], pool: int) -> bool:
    """No connection beyond the pool, and none left inside a transaction."""
    return sum(found.values()) <= pool and not any(
        state.startswith("idle in transaction") for state in found
    )


async def test_cancelled_transactions_leave_no_connection(short_home: Path) -> None:
    """Sixty tasks cancelled in the middle; the control leaves one open and is noticed."""
    settings = Settings(home=short_home, embedding="none", pool_size=8)
    async with aisdk.Client(settings) as client:
        await client.astart()

        async def storm() -> None:
            works = [_through_verbs(client, n) if n % 2 else _in_sql(client) for n in range(60)]
            tasks = [asyncio.ensure_future(work) for work in works]
            for number, task in enumerate(tasks):
                await asyncio.sleep(0.002 * (number % 5))
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        await client._portal.hop(storm)
        found = await settled(client, lambda found: healthy(found, 8))
        assert healthy(found, 8)
        for number in range(8):
            await client.documents.add("after", [f"note {number}"], progress=False)
        assert await _seen_by_another(client, "after") == 8
        await _check_that_a_forgotten_transaction_is_noticed(client)


async def _seen_by_another(client: aisdk.Client, tenant: str) -> int:
    """Documents that a connection outside the pool sees: those that were really committed."""
    server = client._parts.server
    assert server is not None
    other = await asyncpg.connect(server.address("postgres", "aisdk"))
    count = "SELECT count(*) FROM aisdk.documents WHERE tenant_id = $1"
    try:
        return int(await other.fetchval(count, tenant))
    finally:
        await other.close()


async def _check_that_a_forgotten_transaction_is_noticed(client: aisdk.Client) -> None:
    server = client._parts.server
    assert server is not None
    forgotten = await asyncpg.connect(
        server.address("aisdk_app"), server_settings={"application_name": "aisdk"}
    )
    await forgotten.execute("BEGIN")
    assert not healthy(await backends(client), 8)
    await forgotten.close()


async def _in_sql(client: aisdk.Client) -> None:
    async with client._parts.database.transaction("acme") as connection:
        for _ in range(200):
            await connection.exec_driver_sql("SELECT pg_sleep(0.001)")


def _through_verbs(client: aisdk.Client, number: int) -> Coroutine[Any, Any, Any]:
    return client.documents.add(f"t{number}", [f"pump {n}" for n in range(500)], progress=False)


async def test_connections_have_their_time_limits(home: Path) -> None:
    """The server ends slow statements and forgotten transactions; the driver has its own limit."""
    settings = Settings(
        home=home,
        embedding="none",
        statement_timeout_s=0.2,
        idle_in_transaction_timeout_s=7,
        command_timeout_s=9,
    )
    async with aisdk.Client(settings) as client:
        await client.astart()

        async def look() -> tuple[Any, ...]:
            async with client._parts.database.driver() as connection:
                idle = await connection.fetchval("SHOW idle_in_transaction_session_timeout")
                statement = await connection.fetchval("SHOW statement_timeout")
                name = await connection.fetchval("SHOW application_name")
                return statement, idle, name, connection._config.command_timeout

        assert await client._portal.hop(look) == ("200ms", "7s", "aisdk", 9.0)
        with pytest.raises(DeadlineExceeded, match="STATEMENT_TIMEOUT"):
            await client._portal.hop(lambda: sleep_in_database(client, "acme"))


async def test_silent_server_is_given_up_after_the_command_timeout(home: Path) -> None:
    """The driver's own limit ends a statement that the server would let run."""
    settings = Settings(home=home, embedding="none", command_timeout_s=0.3)
    async with aisdk.Client(settings) as client:
        await client.astart()
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await client._portal.hop(lambda: sleep_in_database(client, "acme"))
        assert time.monotonic() - started < 5
        assert await client.documents.count("acme") == 0


def test_client_and_session_say_that_they_stay_in_their_process(session: aisdk.Session) -> None:
    """What they hold cannot be sent; what to do instead is said."""
    for value in (session, session.client, session.with_options(retries=1), session.rag):
        for move in (pickle.dumps, copy.deepcopy):
            with pytest.raises(InvalidInput, match=r"aisdk\.connect") as caught:
                move(value)
            assert "process" in str(caught.value)
    assert copy.copy(session).documents.count() == 0
