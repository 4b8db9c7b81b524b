"""Turns: few connections, threads or cores, shared among tenants by their weight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, ParamSpec, Protocol, TypeVar

from aisdk.core.runtime.admission import Admission, QueueFull
from aisdk.core.runtime.deadline import current_scope, remaining_s
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.tenancy import current_standing
from aisdk.errors import Busy

__all__ = ["InThread", "Turns"]

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
                        self._admission.enter(tenant_id, weight, self._slots)
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

        Raises:
            Busy: It did not come in time.
        """
        async with self.turn():
            return await asyncio.to_thread(work, *arguments, **named)
