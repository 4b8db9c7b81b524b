"""One absolute time budget, and one of retries, for everything below a verb."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.core.runtime.options import MOST_RETRIES
from aisdk.errors import DeadlineExceeded

__all__ = ["DeadlineStep", "Scope", "current_scope", "remaining_s", "with_time"]


@dataclass(slots=True)
class Scope:
    """What everything below a call shares.

    Attributes:
        tenant_id: Whose call it is.
        verb: What is called.
        deadline: When it must have ended, on the loop's clock.
        retries: How often it may ask one dependency again.
        bulk: Whether each piece of its work may retry so often by itself.
        retried: How often it has asked a dependency again.
        key: The idempotency key of the call.
    """

    tenant_id: str
    verb: str
    deadline: float
    retries: int = MOST_RETRIES
    bulk: bool = False
    retried: Counter[str] = field(default_factory=Counter)
    key: str | None = None


_scope: Final[ContextVar[Scope | None]] = ContextVar("aisdk_scope", default=None)


def current_scope() -> Scope | None:
    """What the current call shares; ``None`` outside a call."""
    return _scope.get()


def remaining_s() -> float | None:
    """The seconds left for the current call; ``None`` outside a call. Never negative.

    Must be called on the loop that runs the call.
    """
    scope = _scope.get()
    if scope is None:
        return None
    return max(0.0, scope.deadline - asyncio.get_running_loop().time())


@contextmanager
def with_time(seconds: float) -> Iterator[None]:
    """Gives what follows so many seconds, though the call may have none left, to clean up."""
    scope = _scope.get()
    end = asyncio.get_running_loop().time() + seconds
    token = _scope.set(scope and replace(scope, deadline=end))
    try:
        yield
    finally:
        _scope.reset(token)


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
        given_s = call.options.deadline_s
        budget_s = given_s or (self._bulk_s if call.verb.bulk else self._call_s)
        left_s = remaining_s()
        budget_s = budget_s if left_s is None else min(budget_s, left_s)
        until = asyncio.get_running_loop().time() + budget_s
        scope = Scope(
            call.tenant_id,
            call.verb.name,
            until,
            call.options.retries,
            bulk=call.verb.bulk,
            key=call.options.idempotency_key,
        )
        token = _scope.set(scope)
        timer = asyncio.timeout(budget_s)
        try:
            async with timer:
                return await proceed(call)
        except TimeoutError as error:
            if not timer.expired() or isinstance(error, DeadlineExceeded):
                raise
            raise DeadlineExceeded(
                f"{call.verb.name} took longer than its {budget_s:g} s.",
                hint="Ask for less at a time, or give it more: with_options(deadline_s=…).",
            ) from None  # its frames hold the timer, and so the task and this error: a cycle
        finally:
            _scope.reset(token)
            del timer  # it holds the task, whose error holds this frame: a cycle otherwise
