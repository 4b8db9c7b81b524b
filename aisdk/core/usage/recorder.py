"""Adds up what tenants use, and stores it every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime
from typing import Final

import structlog

from aisdk.core.usage.store import Row, UsageStore
from aisdk.errors import AisdkError, ClientClosed, TenantUnknown

__all__ = ["Recorder"]

EVERY_S: Final = 10.0
LAST_S: Final = 5.0  # how long storing those of a tenant may take at the end
MANY_TENANTS: Final = 10_000

Counts = dict[tuple[datetime, str, float | None], list[float]]


class Recorder:
    """Holds counts for a few seconds, or until there are those of many tenants.

    A process that is killed loses no more than those. While the database is away they are held;
    those whose COMMIT nobody could tell the end of may count twice. Used on one event loop.

    Args:
        store: Where they go; made when it is first needed.
        log: Where failures are told.
        since: A tenant → when it was registered, where that is known: tells it from an erased one
            of its name.
    """

    def __init__(
        self,
        store: Callable[[], UsageStore],
        log: structlog.stdlib.BoundLogger,
        since: Callable[[str], float | None],
    ) -> None:
        self._store = store
        self._log = log
        self._since = since
        self._held: dict[str, Counts] = {}
        self._task: asyncio.Task[None] | None = None
        self._many = asyncio.Event()
        self._storing: dict[str, asyncio.Task[None]] = {}

    def call(self, tenant_id: str, verb: str, duration_ms: float, *, failed: bool) -> None:
        """One call has ended."""
        counts = self._counts(tenant_id, verb)
        counts[0] += 1
        counts[1] += failed
        counts[3] += duration_ms

    def tokens(self, tenant_id: str, verb: str, tokens: int) -> None:
        """A model was asked for so many tokens."""
        self._counts(tenant_id, verb)[2] += tokens

    async def flush(self, tenant_id: str | None = None) -> None:
        """Stores what is held, of one tenant or of all.

        A caller who leaves, or has no time left, does not undo it: nobody gets away from a bill.
        """
        every = self._held.keys() | self._storing.keys()
        for tenant in list(every) if tenant_id is None else [tenant_id]:
            if tenant in every:
                await asyncio.shield(self._begin(tenant))

    def _begin(self, tenant_id: str) -> asyncio.Task[None]:
        """Stores what is held of a tenant, after what is being stored of it already."""
        work = self._store_after(self._storing.get(tenant_id), tenant_id)
        task = asyncio.create_task(work, context=Context())
        self._storing[tenant_id] = task

        def end(_: object) -> None:
            if self._storing.get(tenant_id) is task:
                del self._storing[tenant_id]

        task.add_done_callback(end)
        return task

    async def _store_after(self, earlier: asyncio.Task[None] | None, tenant_id: str) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        counts = self._held.pop(tenant_id, {})
        rows: list[Row] = [
            (hour, verb, int(calls), int(failures), int(tokens), duration_ms, since)
            for (hour, verb, since), (calls, failures, tokens, duration_ms) in counts.items()
        ]
        try:
            if rows:
                stored = await self._store().add(tenant_id, rows)
                if lost := len({row[:2] for row in rows}) - stored:
                    self._tell_lost(tenant_id, lost, TenantUnknown.code)
        except AisdkError as error:
            if error.retryable:
                self._take_back(tenant_id, counts)
            else:  # such as a tenant that was erased meanwhile
                self._tell_lost(tenant_id, len(rows), error.code)
        except asyncio.CancelledError:
            self._take_back(tenant_id, counts)
            raise

    def _take_back(self, tenant_id: str, counts: Counts) -> None:
        """Holds counts again that could not be stored now."""
        held = self._held.setdefault(tenant_id, {})
        for place, numbers in counts.items():
            ours = held.setdefault(place, [0, 0, 0, 0.0])
            ours[:] = [one + other for one, other in zip(ours, numbers, strict=True)]

    def _tell_lost(self, tenant_id: str, rows: int, error: str) -> None:
        self._log.warning("usage.lost", tenant_id=tenant_id, rows=rows, error=error)

    def drop(self, tenant_id: str) -> None:
        """Lets go of what is held of a tenant that is erased: the next of its name owes nothing."""
        self._held.pop(tenant_id, None)

    async def close(self) -> None:
        """Stores what is held and stops, without it where the database is silent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with suppress(TimeoutError):
            for tenant_id in self._held.keys() | self._storing.keys():
                async with asyncio.timeout(LAST_S):
                    await self.flush(tenant_id)
        if late := list(self._storing.values()):
            for task in late:
                task.cancel()
            await asyncio.wait(late)
        for tenant_id, counts in self._held.items():
            self._tell_lost(tenant_id, len(counts), ClientClosed.code)

    def forget(self) -> None:
        """After a fork: the parent's counts are the parent's."""
        self._held.clear()
        self._storing.clear()
        self._task = None
        self._many = asyncio.Event()

    def _counts(self, tenant_id: str, verb: str) -> list[float]:
        if self._task is None or self._task.done():
            # In a context of its own: that of this call has its tenant and its deadline.
            self._task = asyncio.create_task(self._flush_now_and_then(), context=Context())
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        counts = self._held.setdefault(tenant_id, {})
        if len(self._held) >= MANY_TENANTS:
            self._many.set()
        return counts.setdefault((hour, verb, self._since(tenant_id)), [0, 0, 0, 0.0])

    async def _flush_now_and_then(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._many.wait()
            self._many.clear()
            await self.flush()
