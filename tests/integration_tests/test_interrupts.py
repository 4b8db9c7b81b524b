"""Ctrl-C during a call: the prompt is back within a second, and what to do next is said."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import asyncpg
import pytest
from surroundings import Surroundings, surrounded

import aisdk

PROMPT_S: Final = 1.0
TEXTS: Final = [f"pump {n} and valve {n} " * 60 for n in range(20_000)]
ACTIVE: Final = """
SELECT pid FROM pg_stat_activity
WHERE datname = 'aisdk' AND usename = $1 AND state <> 'idle' AND pid <> pg_backend_pid()
"""


class Interrupted:
    """What an interrupt of a call gave.

    Attributes:
        seconds: From the signal to the ``KeyboardInterrupt``.
        note: What the interrupt says besides.
    """

    def __init__(self, call: Callable[[], Any], after_s: float) -> None:
        sent: list[float] = []

        def send() -> None:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(after_s, send)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt) as caught:
                call()
            self.seconds = time.monotonic() - sent[0]
        finally:
            timer.join()
        self.note = " ".join(getattr(caught.value, "__notes__", ()))


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def active(client: aisdk.Client, role: str = "aisdk_app") -> set[int]:
    """The processes of the server with a statement or transaction of ours, as another sees it."""
    server = client._parts.server
    assert server is not None

    async def ask() -> set[int]:
        connection = await asyncpg.connect(server.address("postgres"))
        try:
            return {row[0] for row in await connection.fetch(ACTIVE, role)}
        finally:
            await connection.close()

    return client.call(ask)


def sleep(client: aisdk.Client) -> Any:
    """A statement that takes long."""
    return client.call(lambda: client._parts.database.fetch("SELECT pg_sleep(25)"))


def test_interrupted_statement_is_gone_from_the_server(
    client: aisdk.Client, session: aisdk.Session
) -> None:
    """By the time that the prompt is back; the control sees one that runs."""
    client.start()
    others, seen = active(client), set[int]()  # such as of a process that was killed
    looking = threading.Timer(0.5, lambda: seen.update(active(client)))
    looking.start()
    interrupted = Interrupted(lambda: sleep(client), after_s=1.0)
    left = active(client)
    looking.join()
    assert interrupted.seconds <= PROMPT_S
    assert len(seen - others) == 1, "the control"
    assert left <= others
    assert session.documents.count() == 0


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8, 1.2])
def test_interrupted_add_is_over_within_a_second(
    minilm_session: aisdk.Session, after_s: float, capfd: pytest.CaptureFixture[str]
) -> None:
    """Reading, embedding or storing; no transaction stays open, and the same call goes on."""
    session, client = minilm_session, minilm_session.client
    session.documents.add(["warm up"], progress=False)
    others = active(client)
    interrupted = Interrupted(lambda: session.documents.add(TEXTS, progress=False), after_s)
    left = active(client)
    assert interrupted.seconds <= PROMPT_S
    assert left <= others
    stored = session.documents.count()
    assert "documents are stored; what was added stays, add again to go on." in interrupted.note
    told = int(interrupted.note.split()[1].replace(",", ""))
    assert told <= stored - 1 + 512  # a batch may have been stored that was not counted yet
    again = session.documents.add(TEXTS[: stored + 10], progress=False).to_frame()["status"]
    assert list(again[: stored - 1]) == ["unchanged"] * (stored - 1)
    assert capfd.readouterr().err == ""


@pytest.fixture
def around(client: aisdk.Client) -> Iterator[Surroundings]:
    """A client whose connections can be frozen."""
    with surrounded(client, embedding="none") as made:
        yield made


@pytest.mark.parametrize("call", ["add", "statement"])
def test_silent_server_does_not_keep_the_prompt(
    around: Surroundings, client: aisdk.Client, tenant: str, call: str, capfd: Any
) -> None:
    """What cannot end in time ends in the background, in silence; the next call is right."""
    client.call(lambda: client.tenants.create(tenant, tier="unlimited"))
    session = aisdk.connect(tenant, client=around.client)
    session.documents.add(["the first pump"], progress=False)
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: session.documents.add(TEXTS, progress=False),
        "statement": lambda: sleep(around.client),
    }
    freezing = threading.Timer(0.5, around.postgres.freeze)
    freezing.start()
    interrupted = Interrupted(calls[call], after_s=1.5)
    freezing.join()
    assert interrupted.seconds <= PROMPT_S
    around.postgres.let_pass()
    assert session.documents.count() >= 1
    assert [hit.source for hit in session.rag.query("first", top_k=1)]
    deadline = time.monotonic() + 10
    while active(client, around.role):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert capfd.readouterr().err == ""


def test_second_interrupt_still_says_how_to_go_on(
    session: aisdk.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it does not wait for the end of the work."""

    async def slow(_: Any) -> None:
        await asyncio.sleep(5)

    monkeypatch.setattr("aisdk.core.documents.adding.Adding._abandon", slow)
    second = threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT])
    second.start()
    interrupted = Interrupted(lambda: session.documents.add(TEXTS, progress=False), after_s=0.5)
    second.join()
    assert 0.15 < interrupted.seconds < 0.7
    assert "add again to go on" in interrupted.note


def test_interrupted_collect_says_what_came(
    session: aisdk.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another way to have the rows."""
    session.documents.add([f"pump {n}" for n in range(3_000)], progress=False)
    page = session.documents.list(limit=1)
    monkeypatch.setattr("aisdk.core.results.page._COLLECT_ROWS", 1)  # so that it takes long
    interrupted = Interrupted(lambda: page.collect(progress=False), after_s=0.5)
    assert interrupted.seconds <= PROMPT_S
    assert re.fullmatch(
        r"Stopped: [\d,]{2,} rows had come; the rows are not kept, .* pages\(\)\.", interrupted.note
    )


def test_interrupted_query_many_says_how_many_were_answered(session: aisdk.Session) -> None:
    """And that they are not asked again."""
    session.documents.add([f"pump {n}" for n in range(1_000)], progress=False)
    questions = [f"pump {n}" for n in range(20_000)]
    interrupted = Interrupted(lambda: session.rag.query_many(questions, progress=False), 3.0)
    assert interrupted.seconds <= PROMPT_S
    assert "of 20,000 questions were answered; answers are cached for 300 s" in interrupted.note
    assert "Stopped: 0 " not in interrupted.note


def test_interrupted_wait_for_a_job_leaves_it_going(session: aisdk.Session) -> None:
    """And says so."""
    job = session.documents.add(TEXTS[:10_000], wait=False)
    interrupted = Interrupted(job.result, after_s=0.5)
    assert interrupted.seconds <= PROMPT_S
    assert "the job goes on, result() waits again and cancel() ends it." in interrupted.note
    assert job.status().state in ("waiting", "running")
    job.cancel()


def test_call_that_has_ended_says_nothing_of_the_next(session: aisdk.Session) -> None:
    """A note is of the call that was interrupted."""
    client = session.client

    async def both() -> None:
        await session.asynchronous().documents.add(["a pump"], progress=False)
        await asyncio.sleep(25)

    assert Interrupted(lambda: client.call(both), after_s=1.0).note == ""


def test_interrupt_of_a_cell_that_awaits_wakes_its_loop(session: aisdk.Session) -> None:
    """Its handler only leaves a callback, as ipykernel's does, and nothing else happens there."""
    loop, sent = asyncio.new_event_loop(), list[float]()
    cell = loop.create_task(session.asynchronous().documents.add(TEXTS, progress=False))

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon(cell.cancel))
    timer = threading.Timer(0.7, send)
    timer.start()
    try:
        with pytest.raises(asyncio.CancelledError) as caught:
            loop.run_until_complete(cell)
        assert time.monotonic() - sent[0] <= PROMPT_S
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert "add again to go on" in " ".join(caught.value.__notes__)
