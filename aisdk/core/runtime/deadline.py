"""One absolute time budget for everything below a verb."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, Final

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.errors import DeadlineExceeded

__all__ = ["DeadlineStep", "remaining_s"]

_deadline: Final[ContextVar[float | None]] = ContextVar("aisdk_deadline", default=None)


def remaining_s() -> float | None:
    """The seconds left for the current call; ``None`` outside a call. Never negative.

    Must be called on the loop that runs the call.
    """
    deadline = _deadline.get()
    if deadline is None:
        return None
    return max(0.0, deadline - asyncio.get_running_loop().time())


class DeadlineStep:
    """Gives a call its deadline and turns running over it into ``DeadlineExceeded``.

    Args:
        call_s: Budget of an ordinary verb in seconds.
        bulk_s: Budget of a verb that works through a corpus, in seconds.
    """

    def __init__(self, *, call_s: float, bulk_s: float) -> None:
        self._call_s = call_s
        self._bulk_s = bulk_s

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Runs the rest of the call within its budget, or within the outer one if that is less."""
        budget_s = self._bulk_s if call.verb.bulk else self._call_s
        left_s = remaining_s()
        budget_s = budget_s if left_s is None else min(budget_s, left_s)
        token = _deadline.set(asyncio.get_running_loop().time() + budget_s)
        scope = asyncio.timeout(budget_s)
        try:
            async with scope:
                return await proceed(call)
        except TimeoutError as error:
            if not scope.expired() or isinstance(error, DeadlineExceeded):
                raise
            raise DeadlineExceeded(
                f"{call.verb.name} took longer than its {budget_s:g} s.",
                hint="Ask for less at a time, or raise AISDK_DEADLINE_S.",
            ) from error
        finally:
            _deadline.reset(token)
