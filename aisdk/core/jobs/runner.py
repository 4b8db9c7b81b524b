"""Works on jobs in the background: this client's own, and those whose process has gone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

import msgpack
import structlog

from aisdk.core.jobs.store import JobStore
from aisdk.core.jobs.types import NUMBERS, Claimed, Kind
from aisdk.core.results.page import Rows
from aisdk.core.results.progress import Counted
from aisdk.errors import AisdkError, InternalError, TenantSuspended

__all__ = ["Runner"]

AT_ONCE: Final = 8  # jobs of a client; one of each tenant
BEAT_S: Final = 1.0
LEASE_S: Final = 15.0
RELEASE_S: Final = 2.0
MOST_ATTEMPTS: Final = 10
LONGEST_WAIT_S: Final = 60.0
SUSPENDED_S: Final = 5.0  # after which it is asked again whether the tenant is active


class Runner:
    """Does a tenant's jobs one after the other, the oldest first.

    A job is leased to whoever works on it, and the lease renewed each second. When a process dies,
    its leases end, and the next client that looks after the tenant goes on: one at the same place
    where the job needs files. While a tenant is suspended its jobs wait. Used on one event loop.

    Args:
        store: The jobs.
        kinds: Verb → how its work is done.
        log: Where failures are told.
        host: The place whose files the jobs may need, as ``host_of`` names it.
        is_suspended: Tells it of a tenant.
    """

    def __init__(
        self,
        store: JobStore,
        kinds: Mapping[str, Kind],
        log: structlog.stdlib.BoundLogger,
        host: str,
        is_suspended: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.kinds = kinds
        self.host = host
        self._store = store
        self._log = log
        self._is_suspended = is_suspended
        self._holder = uuid.uuid4().hex
        self._wanted: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._open = True

    def look_after(self, tenant_id: str) -> None:
        """Sees to it that the tenant's jobs on this host are done. Costs no I/O."""
        if tenant_id in self._wanted:
            self._wanted[tenant_id].set()
        elif self._open:
            self._wanted[tenant_id] = asyncio.Event()
            self.keep(self._look_after(tenant_id))

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work in the background until it ends or the client closes."""
        # In a context of its own: that of this call has its tenant and its deadline.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives back what is being worked on, so that others go on with it at once."""
        self._open = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def forget(self) -> None:
        """After a fork: the parent's jobs are the parent's."""
        self._wanted.clear()
        self._tasks.clear()
        self._holder = uuid.uuid4().hex
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def _look_after(self, tenant_id: str) -> None:
        """Works until the tenant has no unfinished job here."""
        wanted = self._wanted[tenant_id]
        try:
            while True:
                wanted.clear()
                try:
                    wait_s = await self._work(tenant_id)
                except AisdkError as error:
                    if not error.retryable:
                        self._log.warning("jobs.left", tenant_id=tenant_id, error=error.code)
                        return
                    wait_s = LEASE_S
                except Exception as error:  # noqa: BLE001  # the tenant's other jobs are not lost
                    name = type(error).__name__
                    self._log.error("jobs.failed", tenant_id=tenant_id, error=name)
                    wait_s = LEASE_S
                if wait_s is None and not wanted.is_set():
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await wanted.wait()
        finally:
            del self._wanted[tenant_id]

    async def _work(self, tenant_id: str) -> float | None:
        """Does a job if one is free; in how many seconds to look again."""
        async with self._slots:
            suspended = await self._is_suspended(tenant_id)
            if not suspended:
                job = await self._store.claim(tenant_id, self._holder, self.host, LEASE_S)
                if job is not None:
                    await self._do(tenant_id, job)
        left_s = await self._store.next_s(tenant_id, self.host)
        if left_s is None:
            return None
        return SUSPENDED_S if suspended else min(max(left_s, 0.0), LEASE_S)

    async def _do(self, tenant_id: str, job: Claimed) -> None:
        """Runs a job while it is ours, and keeps what came of it."""
        held = (job.job_id, self._holder)
        counted = Counted()
        work = asyncio.ensure_future(self._outcome(tenant_id, job, counted))
        try:
            while not (await asyncio.wait([work], timeout=BEAT_S))[0]:
                with suppress(AisdkError):  # the next one will do; if none does, the lease ends
                    if not await self._store.beat(tenant_id, held, counted.count, LEASE_S):
                        return  # cancelled, erased, or taken over
            answer, error = work.result()
            if isinstance(error, TenantSuspended):
                await self._store.release(tenant_id, held, 0.0)
            elif error is not None and error.retryable and job.attempts < MOST_ATTEMPTS:
                wait_s = min(getattr(error, "retry_after_s", BEAT_S * job.attempts), LONGEST_WAIT_S)
                await self._store.release(tenant_id, held, wait_s)
            else:
                await self._store.end(tenant_id, held, counted.count, answer, _told(error))
        except asyncio.CancelledError:
            await _end(work)
            with suppress(AisdkError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(RELEASE_S):
                    await self._store.release(tenant_id, held, 0.0)
            raise
        finally:
            await _end(work)

    async def _outcome(
        self, tenant_id: str, job: Claimed, counted: Counted
    ) -> tuple[bytes | None, AisdkError | None]:
        """The packed answer of a job, its error, or both."""
        if job.attempts > MOST_ATTEMPTS:
            return None, InternalError(
                "The job was begun too often without coming to an end.",
                hint="Its process may have run out of memory; add less at a time.",
            )
        told: AisdkError | None = None
        try:
            try:
                rows: Any = await self.kinds[job.verb].run(tenant_id, job.request, counted)
            except AisdkError as error:
                rows, told = getattr(error, "result", None), error
            return _packed(rows) if isinstance(rows, Rows) else None, told
        except Exception as error:  # noqa: BLE001  # nobody waits for it: it is told by the job
            return None, told or InternalError(
                f"The job ended with {type(error).__name__}.",
                hint="Add again: what was added stays.",
            )


async def _end(work: asyncio.Future[Any]) -> None:
    """Cancels work that has not ended, and waits for its end."""
    if not work.done():
        work.cancel()
        await asyncio.wait([work])


def _packed(rows: Rows[Any]) -> bytes:
    packed: bytes = msgpack.packb([list(record) for record in rows.records])
    return packed


def _told(error: AisdkError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    told: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    numbers = {name: getattr(error, name) for name in NUMBERS if hasattr(error, name)}
    # JSON has no infinite number; text does for every float.
    return told | {n: str(v) if isinstance(v, float) else v for n, v in numbers.items()}
