"""LoopThread: one event loop in one thread, for blocking cells and for foreign loops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar
from weakref import WeakSet

from aisdk.core.results.progress import way_on
from aisdk.errors import AisdkError, ClientClosed, Conflict, InvalidInput

__all__ = ["Interrupted", "LoopThread"]

R = TypeVar("R")
Make: TypeAlias = Callable[[], Coroutine[Any, Any, R]]

GRACE_S: Final = 2.0  # for work that ``close`` ends
INTERRUPTED_S: Final = 0.8  # for an interrupted call: the prompt is back within a second
AWAKE_S: Final = 0.2
READ_BYTES: Final = 64 * 1024


class Interrupted(KeyboardInterrupt):
    """The interrupt of a call of ours; its note says what is done, where the work tells it."""


# By this name notebooks and their tools tell an interrupted cell from a failed one.
Interrupted.__name__ = KeyboardInterrupt.__name__


class LoopThread:
    """Owns one daemon thread that runs one event loop: the portal.

    Every I/O object of a client is made, used and closed on this loop. ``call`` blocks the
    calling thread until a coroutine has run there; ``hop`` awaits it from another loop. Both
    carry the caller's context variables. The thread starts with the first use. A forked child
    starts with no thread and no loop of its parent's.
    """

    def __init__(self, name: str = "aisdk-loop") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._jobs: WeakSet[_Job[Any]] = WeakSet()  # weak: answers go when their callers let go
        self._closed = False

    def __reduce__(self) -> NoReturn:
        raise InvalidInput(
            "A client stays in its process, and so does all that asks it.",
            hint="Make another one there with aisdk.connect(…); what it returned can be sent.",
        )

    @property
    def pid(self) -> int:
        """The process in which the current loop was started."""
        return self._pid

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, started if need be.

        Raises:
            ClientClosed: ``close`` was called.
        """
        if self._loop is not None and self._pid == os.getpid() and not self._closed:
            return self._loop
        with self._lock if self._pid == os.getpid() else self._fresh_lock():
            if self._closed:
                raise _closed()
            if self._loop is None or self._pid != os.getpid():
                self._start()
            assert self._loop is not None  # noqa: S101  # for the type checker: _start set it
            return self._loop

    def call(self, make: Make[R]) -> R:
        """The result of ``make()`` run on the portal, waiting for it in this thread.

        An interrupt cancels the task and waits up to 0.8 seconds for it to clean up; what has not
        ended by then, or at a second interrupt, goes on ending in the background. The
        ``KeyboardInterrupt`` has a note where the work says how to go on.

        Args:
            make: Makes the coroutine; called on the portal.

        Returns:
            What the coroutine returns.

        Raises:
            Conflict: Called from the portal's own thread, where waiting would never end.
        """
        __tracebackhide__ = True  # read by IPython, which leaves this frame out
        loop = self.loop()
        if threading.current_thread() is self._thread:
            raise Conflict(
                "A blocking call was made from inside the event loop thread.",
                hint="Await the async session there instead.",
            )
        job: _Job[R] = _Job(make)
        with _Interruptible():
            try:
                self._submit(job, loop)
                return job.done.result()
            except AisdkError as error:
                raise error.with_traceback(None) from error.__cause__
            except BaseException as error:
                if not job.done.done():
                    job.abandon(loop, INTERRUPTED_S)
                    stop = Interrupted() if isinstance(error, KeyboardInterrupt) else error
                    job.explain(stop)
                    raise stop.with_traceback(None) from None
                raise
            finally:
                del job  # its error holds this frame: a cycle otherwise

    async def hop(self, make: Make[R]) -> R:
        """The result of ``make()`` run on the portal, awaited from any loop.

        On the portal itself the coroutine is awaited directly. Cancelling the waiter cancels it.
        """
        loop, own = self.loop(), asyncio.get_running_loop()
        if own is loop:
            return await make()
        job: _Job[R] = _Job(make)
        self._submit(job, loop)
        try:
            with _Awake(own):
                return await asyncio.wrap_future(job.done)
        except asyncio.CancelledError as error:
            job.cancel_soon(loop)
            job.explain(error)
            raise
        finally:
            del job  # its error holds this frame: a cycle otherwise

    def close(self) -> None:
        """Cancels what still runs, stops the loop and joins the thread. May be called again."""
        mine = self._pid == os.getpid()
        with self._lock if mine else self._fresh_lock():
            loop, thread = self._loop, self._thread
            self._closed, self._loop = True, None
            if mine and loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if mine and thread is not None and threading.current_thread() is not thread:
            thread.join()

    def _submit(self, job: _Job[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Sends a job to the loop, ahead of the stop that ``close`` sends: it will be ended."""
        with self._lock:
            if self._closed:
                raise _closed()
            self._jobs.add(job)
            loop.call_soon_threadsafe(job.start, loop)

    def _fresh_lock(self) -> threading.Lock:
        """A lock for a forked child: the parent's may be held by a thread that is not here."""
        self._lock = threading.Lock()
        return self._lock

    def _start(self) -> None:
        ready = threading.Event()
        loop = _new_loop()
        self._jobs = WeakSet()
        thread = threading.Thread(
            target=_run, args=(loop, ready, self._jobs), name=self._name, daemon=True
        )
        thread.start()
        ready.wait()
        self._loop, self._thread, self._pid = loop, thread, os.getpid()


class _Job(Generic[R]):
    """A coroutine on its way to the portal, with the caller's context and a thread-safe result."""

    def __init__(self, make: Make[R]) -> None:
        self.done: Future[R] = Future()
        self._make = make
        self._context = copy_context()
        self._task: asyncio.Task[R] | None = None
        self._cancelled = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Makes the coroutine and its task; runs on the portal."""
        if self._cancelled:
            self.done.cancel()
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            coroutine = self._context.run(self._make)
        except BaseException as error:  # noqa: BLE001  # handed to the waiting caller, not lost
            self.done.set_exception(error)
            return
        self._task = loop.create_task(coroutine, context=self._context)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """Cancels the task; runs on the portal."""
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def cancel_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the portal cancel the task; from any thread."""
        with suppress(RuntimeError):  # the loop is closed, and every job with it
            loop.call_soon_threadsafe(self.cancel)

    def give_up(self) -> None:
        """Lets the caller go whose task has not ended although it was cancelled."""
        if not self.done.done():
            self.done.set_exception(_closed())

    def abandon(self, loop: asyncio.AbstractEventLoop, grace_s: float) -> None:
        """Cancels from the caller's thread and gives the task a moment to clean up."""
        self.cancel_soon(loop)
        with suppress(KeyboardInterrupt):  # who insists gets the cell back at once
            wait([self.done], timeout=grace_s)

    def explain(self, error: BaseException) -> None:
        """Notes on an interrupt what is done and how to go on, where the work tells it."""
        tell = self._context.get(way_on)
        if tell is not None:
            error.add_note(tell())

    def _finish(self, task: asyncio.Task[R]) -> None:
        if self.done.done():
            return
        if task.cancelled():  # by who waits for it, or by the closing of the client
            self.done.set_exception(CancelledError() if self._cancelled else _closed())
        elif (error := task.exception()) is not None:
            self.done.set_exception(without_hidden(error))
        else:
            self.done.set_result(task.result())


def without_hidden(error: BaseException) -> BaseException:
    """The error without what ``from`` hides in its chain: others could still read values there."""
    link: BaseException | None = error
    while link is not None:
        if link.__suppress_context__:
            link.__context__ = None
        link = link.__cause__ or link.__context__
    return error


def _closed() -> ClientClosed:
    return ClientClosed(hint="Make a new one with aisdk.connect(…).")


class _Interruptible:
    """Lets Ctrl-C reach a wait in the main thread whatever handler the kernel has installed.

    In a cell with top-level ``await`` ipykernel swaps the handler for one that only cancels its
    own task, so a blocking wait could not be interrupted.
    """

    def __enter__(self) -> None:
        self._previous: Any = None
        if threading.current_thread() is not threading.main_thread():
            return
        current = signal.getsignal(signal.SIGINT)
        if current is not signal.default_int_handler and callable(current):
            self._previous = current
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *exc: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)


class _Awake:
    """Wakes a loop a few times a second.

    In a cell with top-level ``await`` ipykernel's handler of an interrupt leaves a callback to a
    loop that may sleep: it would be cancelled only when something else happens there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._timer = self._loop.call_later(AWAKE_S, self.__enter__)

    def __exit__(self, *exc: object) -> None:
        self._timer.cancel()


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the application's kind; of the usual kind, one that reads little at a time."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:
        return loop
    loop.close()
    return _Sparing()


class _Sparing(asyncio.SelectorEventLoop):
    """Reads from sockets at most 64 KiB at a time.

    The usual 256 KiB are allocated for every read and then cut to what came, which leaves so many
    holes between what is kept that a process grows by megabytes an hour. Where a Python makes its
    transports in another way, this one is as the usual.
    """

    def _make_socket_transport(self, *args: Any, **kwargs: Any) -> Any:
        transport = super()._make_socket_transport(*args, **kwargs)  # type: ignore[misc]  # it is private
        transport.max_size = READ_BYTES
        return transport


def _run(loop: asyncio.AbstractEventLoop, ready: threading.Event, jobs: WeakSet[_Job[Any]]) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(ready.set)
    try:
        _run_until_stopped(loop)
    finally:
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        for job in tuple(jobs):
            job.give_up()
        loop.close()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """Runs on after a task that ended with SystemExit: its caller gets it, the others stay."""
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            continue
        return


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_S))
