"""Intake: counts the calls that run, and lets a client finish them before it closes."""

from __future__ import annotations

import asyncio
from typing import Any

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.errors import ClientClosed

__all__ = ["Intake"]


class Intake:
    """The outermost step of the guard. Used on the portal's loop only."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._open = True

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Lets the call in, unless the client is closing."""
        task = asyncio.current_task()
        if task in self._running:  # a part of a call that may still finish
            return await proceed(call)
        if not self._open:
            raise ClientClosed(hint="Make a new one with aisdk.connect(…).")
        if task is None:
            return await proceed(call)
        self._running.add(task)
        try:
            return await proceed(call)
        finally:
            self._running.discard(task)
            del task  # its error holds this frame: a cycle otherwise

    def forget(self) -> None:
        """After a fork: the parent's calls do not run here."""
        self._running.clear()

    async def drain(self, within_s: float) -> int:
        """Stops the intake, waits for running calls, then cancels the rest.

        Returns:
            How many calls were cancelled.
        """
        self._open = False
        running = self._running - {asyncio.current_task()}
        if not running:
            return 0
        _, late = await asyncio.wait(running, timeout=within_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=within_s)
        return len(late)
