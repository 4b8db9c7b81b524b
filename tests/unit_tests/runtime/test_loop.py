"""The portal: one loop in one thread, called from threads and other loops."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import pytest

from aisdk.core.runtime import loop as portals
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


def test_second_interrupt_does_not_wait_for_the_clean_up(portal: LoopThread) -> None:
    """Who insists gets the cell back at once."""

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(1.5)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background
    killers = [threading.Timer(at, os.kill, [os.getpid(), signal.SIGINT]) for at in (0.1, 0.3)]
    for killer in killers:
        killer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            portal.call(work)
        assert time.monotonic() - started < 1.2
        for killer in killers:
            killer.join()
    finally:
        signal.signal(signal.SIGINT, before)  # would ignore it


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_exit_inside_a_coroutine_leaves_the_portal_running(
    portal: LoopThread, error: BaseException
) -> None:
    """Its caller gets it; other callers go on."""

    async def leave() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        portal.call(leave)
    assert raised.value is error
    assert _within_seconds(lambda: portal.call(thread_name)) == "aisdk-loop"


def test_call_that_meets_close_is_refused(
    portal: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal closes after the call has found it running, and before it is given its work."""

    def close_then_copy() -> contextvars.Context:
        portal.close()
        return contextvars.copy_context()

    portal.call(thread_name)
    monkeypatch.setattr(portals, "copy_context", close_then_copy)
    with pytest.raises(ClientClosed):
        _within_seconds(lambda: portal.call(thread_name))


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns very often, so that races are lost soon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_call_that_close_ends_says_so() -> None:
    """The blocked caller learns that the client was closed, and what to do."""
    portal, begun = LoopThread(), threading.Event()
    ends = list[Future[None]]()

    async def sleep() -> None:
        begun.set()
        await asyncio.sleep(60)

    def call() -> None:
        ends.append(Future())
        try:
            portal.call(sleep)
        except (CancelledError, ClientClosed) as error:
            ends[0].set_exception(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(5)
    portal.close()
    caller.join(5)
    with pytest.raises(ClientClosed, match="Make a new one"):
        ends[0].result(0)


def test_close_amid_many_calls_lets_every_caller_go(restless: None) -> None:
    """Each ends with a result, a cancellation or a refusal; none waits for ever."""

    async def nothing() -> None:
        return

    def call_until_refused(portal: LoopThread, ends: list[str]) -> None:
        while True:
            try:
                portal.call(nothing)
            except (CancelledError, ClientClosed) as error:
                ends.append(type(error).__name__)
                return

    for number in range(60):
        portal, ends = LoopThread(), list[str]()
        portal.call(nothing)
        callers = [
            threading.Thread(target=call_until_refused, args=(portal, ends), daemon=True)
            for _ in range(6)
        ]
        for caller in callers:
            caller.start()
        time.sleep(0.001 * (number % 4))
        portal.close()
        for caller in callers:
            caller.join(2)
        assert len(ends) == 6


def test_close_lets_the_caller_of_stubborn_work_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that swallows its cancellation is left behind, not waited for."""
    monkeypatch.setattr(portals, "GRACE_S", 0.1)
    portal = LoopThread()
    began = threading.Event()

    async def stubborn() -> None:
        began.set()
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue

    def close_soon() -> None:
        began.wait()
        portal.close()

    closer = threading.Thread(target=close_soon)
    closer.start()
    with pytest.raises(ClientClosed):
        _within_seconds(lambda: portal.call(stubborn))
    closer.join(5)
    assert not closer.is_alive()


def test_hop_cancelled_before_it_begins_leaves_no_error(portal: LoopThread) -> None:
    """Nothing is made, and nothing is reported to the portal's handler of lost errors."""
    lost: list[object] = []
    made: list[str] = []

    async def begin() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: lost.append(what))

    def make() -> Coroutine[Any, Any, None]:
        made.append("made")
        raise InvalidInput("nobody asks any more")

    async def give_up_at_once() -> None:
        portal.loop().call_soon_threadsafe(time.sleep, 0.1)
        waiting = asyncio.ensure_future(portal.hop(make))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    portal.call(begin)
    asyncio.run(give_up_at_once())
    portal.call(thread_name)
    assert (made, lost) == ([], [])


def test_hop_on_a_closing_portal_and_on_a_closed_one_is_refused() -> None:
    """A foreign loop sees neither an error of asyncio's own nor a cancellation of nobody's."""
    portal = LoopThread()

    async def wait_and_close() -> None:
        waiting = [asyncio.ensure_future(portal.hop(lambda: asyncio.sleep(30))) for _ in range(20)]
        await asyncio.sleep(0.01)
        await asyncio.to_thread(portal.close)
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {ClientClosed}
        with pytest.raises(ClientClosed):
            await portal.hop(thread_name)

    asyncio.run(wait_and_close())


def _within_seconds(call: Callable[[], object]) -> object:
    """What ``call`` gives in a thread of its own; fails instead of waiting for ever."""
    ended: Future[object] = Future()

    def run() -> None:
        try:
            ended.set_result(call())
        except BaseException as error:  # noqa: BLE001  # handed on to the test
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended.result(5)


class Pieces(asyncio.Protocol):
    """How much is read at a time when much is there."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """A piece."""
        self.sizes.append(len(data))

    def connection_lost(self, _: Exception | None) -> None:
        """The end."""
        self.over.set_result(None)


async def largest_piece() -> int:
    """Of 100 kB that lie ready to be read."""
    here, there = socket.socketpair()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    here.sendall(bytes(100_000))
    here.close()
    _, protocol = await asyncio.get_running_loop().create_connection(Pieces, sock=there)
    await protocol.over
    assert sum(protocol.sizes) == 100_000
    return max(protocol.sizes)


def test_portal_reads_little_at_a_time(portal: LoopThread) -> None:
    """Large buffers leave holes in memory; the control is a loop as usual."""
    assert portal.call(largest_piece) == portals.READ_BYTES
    assert asyncio.run(largest_piece()) > portals.READ_BYTES


class OwnLoop(asyncio.SelectorEventLoop):
    """The application's choice."""


class OwnPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes it."""

    _loop_factory = OwnLoop


def test_portal_runs_on_the_applications_kind_of_loop(portal: LoopThread) -> None:
    """Such as one that is faster."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(OwnPolicy())
    try:
        assert isinstance(portal.loop(), OwnLoop)
    finally:
        asyncio.set_event_loop_policy(before)
