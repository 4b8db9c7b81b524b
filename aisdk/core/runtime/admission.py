"""Who may run next in this process: fair shares of few places among the tenants that wait."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ["LONGEST_QUEUE", "Admission", "QueueFull"]

LONGEST_QUEUE: Final = 1_000
MOST_REMEMBERED: Final = 10_000
FEWEST_TO_KEEP: Final = 4  # of fewer places none is kept
LATELY_S: Final = 5.0  # so long after its last call a tenant still counts as one that calls
SOON_S: Final = 0.01


class QueueFull(Exception):
    """Too many calls of one tenant wait already."""


@dataclass(eq=False, slots=True)
class _Tenant:
    most: int
    turn: float  # the virtual time at which its next call is due
    running: int = 0
    queue: OrderedDict[asyncio.Future[None], float] = field(default_factory=OrderedDict)


class Admission:
    """Lets calls into a few places, each tenant in proportion to its weight.

    Start-time fair queueing: every call makes its tenant's next one due 1/weight later in a
    virtual time that follows the calls let in; the call due first goes next, and within a tenant
    the one that came first. Who is idle or runs as much as it may saves up nothing. Cancelling a
    call, waiting or running, passes its place on.

    While several tenants call, the last of four or more free places is kept for one of whom no
    call runs, so that who calls seldom need not wait for the end of a busy tenant's call. A tenant
    that calls alone has every place. Used on one event loop; on another one, as after a fork, all
    places are free.

    Args:
        slots: How many calls run at once, at least 1.
        longest_queue: How many calls of one tenant may wait, at least 1.
        clock: Seconds that never go back.

    Source:
        Goyal, Vin and Cheng: Start-time fair queueing. SIGCOMM 1996.
    """

    def __init__(
        self,
        slots: int,
        *,
        longest_queue: int = LONGEST_QUEUE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._longest_queue = longest_queue
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nobody runs and nobody waits."""
        self._now = 0.0  # virtual time: when the call let in last was due
        self._running = 0
        self._tenants: dict[str, _Tenant] = {}  # those with a call that runs or waits
        self._waiting: dict[str, _Tenant] = {}  # in the order in which they began to wait
        self._turns: OrderedDict[str, float] = OrderedDict()  # of tenants without a call
        self._caller = ""  # the tenant that called last
        self._called_s = -math.inf  # when it did
        self._others_called_s = -math.inf  # when any other tenant called last
        self._again: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def enter(self, tenant_id: str, weight: float, most: int) -> AsyncIterator[None]:
        """Waits for a place and holds it during the block.

        Args:
            tenant_id: Who asks; empty for the client itself.
            weight: Its share relative to others, above 0.
            most: How many of its calls may run at once, at least 1; the last word counts.

        Raises:
            QueueFull: Too many calls of the tenant wait already.
        """
        if not weight > 0 or most < 1:
            raise ValueError("A tenant needs a weight above 0 and may run at least one call.")
        await self._wait(tenant_id, weight, most)
        try:
            yield
        finally:
            self._leave(tenant_id)

    def waiting(self, tenant_id: str) -> int:
        """How many calls of a tenant wait."""
        tenant = self._tenants.get(tenant_id)
        return len(tenant.queue) if tenant else 0

    def running(self, tenant_id: str) -> int:
        """How many calls of a tenant run."""
        tenant = self._tenants.get(tenant_id)
        return tenant.running if tenant else 0

    async def _wait(self, tenant_id: str, weight: float, most: int) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._begin_anew()
        tenant = self._tenant(tenant_id, most)
        if len(tenant.queue) >= self._longest_queue:
            raise QueueFull
        self._note_caller(tenant_id)
        place = loop.create_future()
        tenant.queue[place] = weight
        self._waiting.setdefault(tenant_id, tenant)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            self._give_up(tenant_id, place)
            raise

    def _tenant(self, tenant_id: str, most: int) -> _Tenant:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            turn = max(self._now, self._turns.pop(tenant_id, 0.0))
            tenant = self._tenants[tenant_id] = _Tenant(most, turn)
        tenant.most = most
        tenant.turn = max(tenant.turn, self._now)
        return tenant

    def _give_up(self, tenant_id: str, place: asyncio.Future[None]) -> None:
        tenant = self._tenants.get(tenant_id)
        if tenant and place in tenant.queue:
            del tenant.queue[place]
            self._tidy(tenant_id, tenant)
        elif not place.cancelled():  # it got its place and was cancelled before it could run
            self._leave(tenant_id)

    def _leave(self, tenant_id: str) -> None:
        tenant = self._tenants[tenant_id]
        tenant.running -= 1
        self._running -= 1
        tenant.turn = max(tenant.turn, self._now)
        self._let_in()
        self._tidy(tenant_id, tenant)

    def _let_in(self) -> None:
        while self._running < self._slots and (tenant_id := self._next()) is not None:
            tenant = self._tenants[tenant_id]
            place, weight = tenant.queue.popitem(last=False)
            if not place.done():
                self._admit(tenant, place, weight)
            self._tidy(tenant_id, tenant)

    def _next(self) -> str | None:
        """The tenant whose call is due first; of several, the one that began to wait first."""
        able = (name for name, each in self._waiting.items() if each.running < each.most)
        due = min(able, key=lambda name: self._waiting[name].turn, default=None)
        return None if due is not None and self._must_keep_place(due) else due

    def _must_keep_place(self, due: str) -> bool:
        """Whether the last free place is for a tenant of whom no call runs."""
        is_last = self._running == self._slots - 1 and self._slots >= FEWEST_TO_KEEP
        if not is_last or self._waiting[due].running == 0:
            return False
        left_s = self._rivals_left_s(due)
        if left_s > 0:
            self._look_again(left_s)
        return left_s > 0

    def _look_again(self, after_s: float) -> None:
        """Lets calls in when the place is kept no longer; until then nobody may come or leave."""
        if self._again is None:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(max(after_s, SOON_S), self._wake)

    def _wake(self) -> None:
        self._again = None
        self._let_in()

    def _note_caller(self, tenant_id: str) -> None:
        if not tenant_id:
            return  # the client itself, which stores what was used: no tenant's rival
        if tenant_id != self._caller:
            self._caller, self._others_called_s = tenant_id, self._called_s
        self._called_s = self._clock()

    def _rivals_left_s(self, tenant_id: str) -> float:
        """How long other tenants still count as ones that call; 0 or less where none does."""
        called_s = self._others_called_s if tenant_id == self._caller else self._called_s
        return LATELY_S - (self._clock() - called_s)

    def _admit(self, tenant: _Tenant, place: asyncio.Future[None], weight: float) -> None:
        self._now = max(self._now, tenant.turn)
        tenant.turn += 1 / weight
        tenant.running += 1
        self._running += 1
        place.set_result(None)

    def _tidy(self, tenant_id: str, tenant: _Tenant) -> None:
        """Forgets what is over."""
        if not tenant.queue:
            self._waiting.pop(tenant_id, None)
        if tenant.queue or tenant.running or self._tenants.get(tenant_id) is not tenant:
            return
        del self._tenants[tenant_id]
        self._turns[tenant_id] = tenant.turn
        if len(self._turns) > MOST_REMEMBERED:
            self._turns.popitem(last=False)
        if not self._tenants:
            self._turns.clear()
            self._now = 0.0
