"""The one way out of the process: few attempts, each timed, all within the call's deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from aisdk.core.runtime.deadline import remaining_s
from aisdk.errors import AisdkError, DeadlineExceeded, Unavailable

__all__ = ["ATTEMPTS", "LONGEST_WAIT_S", "TryAgain", "attempt"]

ATTEMPTS: Final = 4
LONGEST_WAIT_S: Final = 60.0  # asked to wait longer than this, a call gives up at once
_BACKOFF: Final = wait_random_exponential(multiplier=0.2, max=5.0)  # full jitter

T = TypeVar("T")


class TryAgain(Exception):
    """Raised by a call that failed in a way that may pass; ``attempt`` decides what comes of it.

    Args:
        reason: What happened, as the end of a sentence: "answered with status 503".
        after_s: How long the other side asked to be left alone, in seconds.
    """

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_s = after_s


async def attempt(call: Callable[[], Awaitable[T]], *, dependency: str, timeout_s: float) -> T:
    """The result of ``call``, tried up to four times while the deadline of the verb allows it.

    What is tried again: ``TryAgain``, a lost or refused connection, and a timeout. Between
    attempts it waits at random between nothing and a bound that doubles (0.2 s to 5 s), or as
    long as the other side asked for. It gives up at once when that wait would outlive the
    deadline. Every other error of ``call``, and cancellation, passes as it is.

    Args:
        call: Makes one attempt; safe to repeat.
        dependency: What is called, as users know it: "embedding service".
        timeout_s: How long one attempt may take, in seconds.

    Raises:
        Unavailable: The last attempt failed too.
        DeadlineExceeded: The deadline of the verb passed during an attempt.

    Source:
        Exponential backoff with full jitter as in the AWS Architecture Blog, 2015.
    """
    engine = AsyncRetrying(
        stop=_must_stop, wait=_wait_s, retry=retry_if_exception(_may_pass), reraise=True
    )
    try:
        return await engine(_attempt_once, call, dependency, timeout_s)
    except (TryAgain, ConnectionError, TimeoutError) as error:
        if isinstance(error, AisdkError):
            raise
        raise Unavailable(
            f"The {dependency} {_reason(error)}; "
            f"tried {engine.statistics['attempt_number']} times.",
            hint="Try again later, or check that it runs and can be reached.",
            dependency=dependency,
        ) from error


async def _attempt_once(call: Callable[[], Awaitable[T]], dependency: str, timeout_s: float) -> T:
    left_s = remaining_s()
    budget_s = timeout_s if left_s is None else min(timeout_s, left_s)
    scope = asyncio.timeout(budget_s)
    try:
        async with scope:
            return await call()
    except TimeoutError as error:
        if not scope.expired() or isinstance(error, AisdkError):
            raise
        if budget_s == left_s:
            raise DeadlineExceeded(
                f"The deadline passed while waiting for the {dependency}.",
                hint="Ask for less at a time, or raise AISDK_DEADLINE_S.",
            ) from error
        raise TryAgain(f"gave no answer within {timeout_s:g} s") from error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TryAgain | ConnectionError | TimeoutError) and not isinstance(
        error, AisdkError
    )


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, TryAgain) and error.after_s is not None:
        return max(0.0, error.after_s)
    return _BACKOFF(state)


def _must_stop(state: RetryCallState) -> bool:
    left_s = remaining_s()
    longest_s = LONGEST_WAIT_S if left_s is None else min(left_s, LONGEST_WAIT_S)
    return stop_after_attempt(ATTEMPTS)(state) or state.upcoming_sleep > longest_s


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, TryAgain) else "cannot be reached"
