"""One log event a call: how long it took and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.errors import AisdkError

__all__ = ["MeterStep"]


class MeterStep:
    """Logs ``<verb name>`` with ``duration_ms`` and ``outcome`` when a call ends.

    The outcome is ``ok``, ``cancelled``, or the error's stable code (``internal`` for an error
    that is not ours). Results, arguments and messages are never logged.

    Args:
        log: Where the events go.
        record: Told the call, its milliseconds and its outcome.
    """

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        record: Callable[[Call, float, str], None] | None = None,
    ) -> None:
        self._log = log
        self._record = record

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Runs the rest of the call and logs its end."""
        started = time.perf_counter()
        outcome = "internal"
        try:
            result = await proceed(call)
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except AisdkError as error:
            outcome = error.code
            raise
        finally:
            report = self._log.info if outcome in ("ok", "cancelled") else self._log.warning
            duration_ms = round((time.perf_counter() - started) * 1000, 3)
            report(call.verb.name, duration_ms=duration_ms, outcome=outcome)
            if self._record is not None:
                self._record(call, duration_ms, outcome)
        return result
