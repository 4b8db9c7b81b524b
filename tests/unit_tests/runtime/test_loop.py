"""The portal: one loop in one thread, called from threads and other loops."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aisdk.core.runtime.loop import LoopThread
from aisdk.errors import ClientClosed, Conflict, InvalidInput

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


@pytest.fixture
def portal() -> Iterator[LoopThread]:
    """A portal that is closed at the end."""
    made = LoopThread()
    yield made
    made.close()


async def thread_name() -> str:
    """Where it runs."""
    return threading.current_thread().name


async def fail() -> None:
    """Raises."""
    raise InvalidInput("no", hint="do")


def test_thread_starts_with_the_first_call(portal: LoopThread) -> None:
    """And is the same for all calls."""
    before = threading.active_count()
    assert portal.call(thread_name) == "aisdk-loop"
    assert threading.active_count() == before + 1
    assert portal.call(thread_name) == "aisdk-loop"
    assert threading.active_count() == before + 1


def test_error_reaches_the_caller_without_the_portals_frames(portal: LoopThread) -> None:
    """The traceback ends in the caller's own code."""
    with pytest.raises(InvalidInput) as raised:
        portal.call(fail)
    assert raised.value.hint == "do"
    names = [entry.name for entry in raised.traceback]
    assert "fail" not in names
    assert "run_forever" not in names


def test_error_while_making_the_coroutine_reaches_the_caller(portal: LoopThread) -> None:
    """Nobody waits for ever."""

    def make() -> object:
        raise InvalidInput("at once")

    with pytest.raises(InvalidInput, match="at once"):
        portal.call(make)  # type: ignore[arg-type]  # it never returns


def test_context_variables_travel_with_the_call(portal: LoopThread) -> None:
    """What the caller has set is seen; what the call sets stays there."""

    async def read_and_write() -> str:
        seen = NAME.get()
        NAME.set("portal")
        return seen

    token = NAME.set("caller")
    try:
        assert portal.call(read_and_write) == "caller"
        assert NAME.get() == "caller"
    finally:
        NAME.reset(token)


def test_call_from_the_portals_own_thread_is_refused(portal: LoopThread) -> None:
    """It would wait for itself."""

    async def call_again() -> object:
        return portal.call(thread_name)

    with pytest.raises(Conflict, match="async session"):
        portal.call(call_again)


def test_call_works_inside_a_running_loop(portal: LoopThread) -> None:
    """As in a notebook, whose kernel runs a loop in the thread of the cell."""

    async def cell() -> str:
        return portal.call(thread_name)

    assert asyncio.run(cell()) == "aisdk-loop"


def test_many_threads_call_at_once(portal: LoopThread) -> None:
    """Each gets its own answer."""
    answers: dict[int, int] = {}

    def work(number: int) -> None:
        async def answer() -> int:
            await asyncio.sleep(0.001)
            return number * 2

        answers[number] = portal.call(answer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number * 2 for number in range(50)}


def test_hop_awaits_from_another_loop_and_on_the_portal(portal: LoopThread) -> None:
    """The work runs on the portal either way."""
    assert asyncio.run(portal.hop(thread_name)) == "aisdk-loop"
    assert portal.call(lambda: portal.hop(thread_name)) == "aisdk-loop"


def test_cancelling_a_hop_cancels_the_work(portal: LoopThread) -> None:
    """The coroutine on the portal is ended, not forgotten."""
    ended = threading.Event()
    began = threading.Event()

    async def sleep() -> None:
        began.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def give_up() -> None:
        waiting = asyncio.ensure_future(portal.hop(sleep))
        await asyncio.to_thread(began.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(give_up())
    assert ended.wait(2)


@pytest.mark.parametrize("handler", ["default", "kernel"])
def test_interrupt_cancels_and_waits_for_the_clean_up(portal: LoopThread, handler: str) -> None:
    """Whatever handler the kernel has installed, which is there again afterwards."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            ended.append("clean")
            raise

    def ignore(*_: object) -> None:
        ended.append("swallowed")

    before = signal.getsignal(signal.SIGINT)
    installed: Any = ignore if handler == "kernel" else signal.default_int_handler
    signal.signal(signal.SIGINT, installed)
    killer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    killer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.call(work)
        assert signal.getsignal(signal.SIGINT) is installed
    finally:
        killer.join()
        signal.signal(signal.SIGINT, before)
    assert ended == ["clean"]
    assert time.monotonic() - started < 5
    assert portal.call(thread_name) == "aisdk-loop"


def test_close_ends_thread_and_work_and_may_be_repeated() -> None:
    """Nothing stays behind, and a further call says what to do."""
    portal = LoopThread("closing")
    ended = threading.Event()

    async def sleep() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(sleep())
        await asyncio.sleep(0)
        return task

    portal.call(begin)
    portal.close()
    portal.close()
    assert ended.is_set()
    assert "closing" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ClientClosed, match="connect"):
        portal.call(thread_name)


def test_close_before_use_starts_nothing() -> None:
    """A client that was never used has no thread to stop."""
    before = threading.active_count()
    LoopThread().close()
    assert threading.active_count() == before
