"""Callers who want the same thing at the same time share one piece of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from aisdk.core.runtime.deadline import remaining_s
from aisdk.errors import Busy, DeadlineExceeded

__all__ = ["SingleFlight"]

T = TypeVar("T")


class _Flight:
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        task.add_done_callback(_looked_at)
        self.task = task
        self.waiting = 0


class SingleFlight:
    """Runs one piece of work a key at a time. Used on one event loop.

    The work goes on while anybody waits for it; with the last caller who leaves it is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight] = {}

    async def run(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of ``make``, made by whoever came first.

        Args:
            key: Names the work.
            make: Does it.
        """
        while True:
            flight = self._flights.get(key)
            if flight is not None and flight.task.get_loop() is not asyncio.get_running_loop():
                flight = None  # the parent's, before a fork
            first = flight is None
            if flight is None:
                flight = _Flight(asyncio.create_task(make()))
                self._flights[key] = flight
            try:
                result: T = await self._wait(key, flight)
            except (DeadlineExceeded, Busy):
                if first or remaining_s() == 0:
                    raise
                continue  # the first caller's time is not ours
            return result

    async def _wait(self, key: Hashable, flight: _Flight) -> Any:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if (flight.task.done() or not flight.waiting) and self._flights.get(key) is flight:
                del self._flights[key]
            if not flight.waiting and not flight.task.done():
                flight.task.cancel()
                await asyncio.wait([flight.task])


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Whoever waits gets the error; where nobody does any more, asyncio need not tell of it."""
    if not task.cancelled():
        task.exception()
