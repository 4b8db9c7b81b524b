"""Turns: few connections, threads or cores, shared among tenants by their weight."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from aisdk.core.runtime.admission import Admission, QueueFull
from aisdk.core.runtime.deadline import current_scope, remaining_s
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.tenancy import current_standing
from aisdk.errors import Busy

__all__ = ["InThread", "Quarters", "Turns", "when_stopped"]

WAITING: Final = 0.9  # of the time that a call has left; the rest is for what it waits for

P = ParamSpec("P")
T = TypeVar("T")


class InThread(Protocol):
    """Runs blocking work in a thread, as ``asyncio.to_thread`` does."""

    async def __call__(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """What the work returns."""
        ...


class Turns:
    """Whose turn it is for something scarce: by the weight of tenants, not first come.

    Args:
        slots: How many of it there are.
        what: What it is, as users know it: "database connection".
        hint: What to do when none becomes free.
        wait_s: How long to wait for one at most; by default as long as the call may take.
        dependency: Whose it is, if anybody's.
    """

    def __init__(
        self,
        slots: int,
        what: str,
        *,
        hint: str = "Send less at once.",
        wait_s: float | None = None,
        dependency: str = "",
    ) -> None:
        self._slots = slots
        self._most = slots
        self._pool: tuple[asyncio.AbstractEventLoop, ThreadPoolExecutor] | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._what = what
        self._hint = hint
        self._wait_s = wait_s
        self._dependency = dependency
        self._admission = Admission(slots=slots)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Runs the block when it is the turn of the current call's tenant.

        Raises:
            Busy: It did not come in time, which says nothing about a dependency.
        """
        scope, standing, left_s = current_scope(), current_standing(), remaining_s()
        tenant_id = "" if scope is None else scope.tenant_id
        weight = Limits().weight if standing is None else standing.limits.weight
        waits = [self._wait_s, None if left_s is None else left_s * WAITING]
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(min((s for s in waits if s is not None), default=None)):
                    await stack.enter_async_context(
                        self._admission.enter(tenant_id, weight, self._most)
                    )
            except (TimeoutError, QueueFull):
                raise Busy(
                    f"No {self._what} became free in time.",
                    hint=self._hint,
                    dependency=self._dependency,
                ) from None
            yield

    async def thread(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """Runs blocking work in a thread when it is the tenant's turn.

        Whoever leaves has the work told to stop, and the turn lasts until it has: what goes on in
        a thread counts as its tenant's to its end.

        Raises:
            Busy: It did not come in time.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.turn())
            stop, context = Stop(), copy_context()
            context.run(_stop.set, stop)
            done = asyncio.get_running_loop().run_in_executor(
                self._threads(), partial(context.run, work, *arguments, **named)
            )
            try:
                return await asyncio.shield(done)
            finally:
                if not done.done():
                    stop()
                    self._keep(done, stack.pop_all())

    def _threads(self) -> ThreadPoolExecutor:
        """As many as there are turns; others after a fork, in which none has come along."""
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool[0] is not loop:
            self._pool = (loop, ThreadPoolExecutor(self._slots, thread_name_prefix="aisdk"))
        return self._pool[1]

    def _keep(self, done: asyncio.Future[Any], turn: AsyncExitStack) -> None:
        """Holds a turn until its thread is done."""

        async def hold() -> None:
            async with turn:
                await asyncio.wait([done])
                if not done.cancelled():
                    done.exception()  # nobody waits for it any more

        task = asyncio.create_task(hold(), context=Context())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def close(self) -> None:
        """Lets the threads go when they are done with what they do."""
        if self._pool is not None:
            self._pool[1].shutdown(wait=False, cancel_futures=True)
            self._pool = None


class Quarters(Turns):
    """Turns of which one tenant has a quarter at a time, however few others there are.

    For work that takes long and cannot be made to give way.
    """

    def __init__(self, slots: int, what: str) -> None:
        super().__init__(slots, what)
        self._most = max(1, slots // 4)


class Stop:
    """Tells work in a thread that nobody waits for it any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = False
        self._calls: list[Callable[[], object]] = []

    def __call__(self) -> None:
        """Asks the work to stop."""
        with self._lock:
            self._asked = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def then(self, call: Callable[[], object]) -> None:
        """Has something called when the work is asked to stop: at once where that has happened."""
        with self._lock:
            if not self._asked:
                self._calls.append(call)
                return
        call()


_stop: Final[ContextVar[Stop | None]] = ContextVar("aisdk_stop", default=None)


def when_stopped(call: Callable[[], object]) -> None:
    """In a thread of a turn: has something called when nobody waits for its work any more."""
    stop = _stop.get()
    if stop is not None:
        stop.then(call)
