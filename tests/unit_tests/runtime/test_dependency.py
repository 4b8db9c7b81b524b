"""Attempts at a dependency: few, timed, within the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from aisdk.core.runtime.deadline import DeadlineStep
from aisdk.core.runtime.dependency import ATTEMPTS, LONGEST_WAIT_S, TryAgain, attempt
from aisdk.core.runtime.guard import Call, Verb
from aisdk.errors import BadReply, ConfigError, DeadlineExceeded, Unavailable


class Flaky:
    """A call that raises what it is given, one error an attempt, and then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attempts = 0

    async def __call__(self) -> str:
        """Makes one attempt."""
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def again(after_s: float = 0) -> TryAgain:
    """A failure that may pass, with the wait asked for."""
    return TryAgain("answered with status 503", after_s=after_s)


async def reach(call: Callable[[], Awaitable[str]], *, timeout_s: float = 5) -> str:
    """One use of the dependency."""
    return await attempt(call, dependency="test service", timeout_s=timeout_s)


async def within(deadline_s: float, call: Callable[[], Awaitable[str]]) -> str:
    """One use of the dependency by a verb with this deadline."""
    step = DeadlineStep(call_s=deadline_s, bulk_s=deadline_s)
    verb = Call(Verb("test.reach", reads=True), "acme", "request")

    async def proceed(_: Call) -> str:
        return await reach(call)

    result: str = await step(verb, proceed)
    return result


@pytest.mark.parametrize("failures", range(ATTEMPTS))
async def test_attempt_failing_less_than_four_times_succeeds(failures: int) -> None:
    """Up to three retries lead to the result."""
    call = Flaky(*[again()] * failures)
    assert await reach(call) == "done"
    assert call.attempts == failures + 1


async def test_attempt_failing_always_raises_unavailable_after_four() -> None:
    """The fourth failure is the last, and the error says what happened and how often."""
    call = Flaky(*[again()] * 10)
    with pytest.raises(Unavailable, match=r"test service answered .* 503; tried 4 times") as caught:
        await reach(call)
    assert call.attempts == ATTEMPTS == 4
    assert caught.value.dependency == "test service"
    assert caught.value.retryable


async def test_attempt_lost_connection_is_tried_again() -> None:
    """A reset connection is worth another attempt."""
    call = Flaky(ConnectionResetError(), TimeoutError())
    assert await reach(call) == "done"
    assert call.attempts == 3


@pytest.mark.parametrize(
    "error", [BadReply(), ConfigError(), DeadlineExceeded(), Unavailable(), ZeroDivisionError()]
)
async def test_attempt_lasting_error_passes_untouched_at_once(error: Exception) -> None:
    """What will not pass is not tried again and stays the error that it is."""
    call = Flaky(error)
    with pytest.raises(type(error)) as caught:
        await reach(call)
    assert caught.value is error
    assert call.attempts == 1


async def test_attempt_hanging_call_is_tried_four_times_and_unavailable() -> None:
    """Each attempt ends at its own timeout."""
    attempts = 0

    async def hang() -> str:
        nonlocal attempts
        attempts += 1
        await asyncio.Event().wait()
        return ""

    with pytest.raises(Unavailable, match=r"gave no answer within 0\.001 s"):
        await reach(hang, timeout_s=0.001)
    assert attempts == ATTEMPTS


async def test_attempt_hanging_call_within_a_deadline_raises_deadline_exceeded() -> None:
    """The deadline of the verb ends the attempt and all thought of another."""
    call = Flaky()

    async def hang() -> str:
        await call()
        await asyncio.Event().wait()
        return ""

    with pytest.raises(DeadlineExceeded):
        await within(0.02, hang)
    assert call.attempts == 1


async def test_attempt_asked_to_wait_beyond_the_deadline_gives_up_at_once() -> None:
    """Nobody waits for a retry that cannot happen."""
    call = Flaky(*[again(after_s=30)] * 10)
    with pytest.raises(Unavailable, match="tried 1 times"):
        await asyncio.wait_for(within(20, call), 10)
    assert call.attempts == 1


async def test_attempt_asked_to_wait_too_long_without_deadline_gives_up_at_once() -> None:
    """A wait has a bound of its own."""
    call = Flaky(*[again(after_s=LONGEST_WAIT_S + 1)] * 10)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reach(call), 10)
    assert call.attempts == 1


async def test_attempt_cancelled_passes_cancellation_without_another_attempt() -> None:
    """Cancellation is the caller's will, not a failure."""
    call = Flaky()

    async def hang() -> str:
        await call()
        await asyncio.Event().wait()
        return ""

    task = asyncio.create_task(reach(hang))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.attempts == 1
