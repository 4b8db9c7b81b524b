"""Attempts at a dependency: few, timed, within the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, Final

import pytest

from aisdk.core.runtime import dependency
from aisdk.core.runtime.breaker import Breaker
from aisdk.core.runtime.deadline import DeadlineStep
from aisdk.core.runtime.dependency import (
    FAIR_S,
    LONGEST_WAIT_S,
    Dependency,
    RetryBudget,
    TryAgain,
)
from aisdk.core.runtime.guard import Call, Verb
from aisdk.core.runtime.options import CallOptions
from aisdk.core.runtime.turns import Turns
from aisdk.errors import (
    BadReply,
    Busy,
    CircuitOpen,
    ConfigError,
    Contention,
    DeadlineExceeded,
    NotFound,
    Unavailable,
)

ATTEMPTS: Final = 4


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
    return await Dependency("test service").call(call, timeout_s=timeout_s)


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
    "error", [BadReply(), ConfigError(), DeadlineExceeded(), Busy(), ZeroDivisionError()]
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


@pytest.mark.parametrize("error", [Unavailable(), Contention()])
async def test_attempt_lost_transaction_is_tried_again_and_passes_in_the_end(
    error: Exception,
) -> None:
    """Our own errors that may pass are worth further attempts; the last one stays what it is."""
    call = Flaky(error, error)
    assert await reach(call) == "done"
    assert call.attempts == 3
    hopeless = Flaky(*[error] * 9)
    with pytest.raises(type(error)) as caught:
        await reach(hopeless)
    assert caught.value is error
    assert hopeless.attempts == ATTEMPTS


async def as_verb(
    work: Callable[[], Awaitable[Any]], *, bulk: bool = False, retries: int = 3
) -> Any:
    """Runs work as the body of a verb with these options."""
    step = DeadlineStep(call_s=20, bulk_s=20)
    options = CallOptions(retries=retries)
    verb = Call(Verb("test.reach", reads=True, bulk=bulk), "acme", "request", options)

    async def proceed(_: Call) -> Any:
        return await work()

    return await step(verb, proceed)


@pytest.mark.parametrize("retries", range(4))
async def test_call_retries_as_often_as_it_was_told(retries: int) -> None:
    """``with_options(retries=…)`` reaches the dependency."""
    call = Flaky(*[again()] * 9)
    with pytest.raises(Unavailable):
        await as_verb(lambda: reach(call), retries=retries)
    assert call.attempts == retries + 1


async def test_call_shares_its_retries_between_its_uses_of_a_dependency() -> None:
    """Three in all, however often it asks; another dependency has its own three."""
    service, other = Dependency("one"), Dependency("two")
    first, second, third = Flaky(*[again()] * 2), Flaky(*[again()] * 9), Flaky(*[again()] * 3)

    async def work() -> None:
        await service.call(first)
        with pytest.raises(Unavailable):
            await service.call(second)
        await other.call(third)

    await as_verb(work)
    assert (first.attempts, second.attempts, third.attempts) == (3, 2, 4)


async def test_bulk_call_retries_each_piece_of_its_work() -> None:
    """Hours of work see more than three failures."""
    service = Dependency("one")
    pieces = [Flaky(*[again()] * 2) for _ in range(3)]

    async def work() -> None:
        for piece in pieces:
            await service.call(piece)

    await as_verb(work, bulk=True)
    assert [piece.attempts for piece in pieces] == [3] * 3


async def test_retries_add_no_more_than_a_tenth_to_a_tenants_traffic() -> None:
    """The reserve counts among them; another tenant has its own."""
    budget = RetryBudget(calls_a_retry=10, reserve=5)
    spent = []
    for _ in range(1000):
        budget.earn("acme")
        spent.append(budget.spend("acme"))
    assert sum(spent[:40]) == 5
    assert sum(spent) == 100
    assert budget.spend("other")


async def test_retries_are_whole_again_after_calls_that_need_none() -> None:
    """When they have paid for those made, and for the reserve; never more than that is saved."""
    budget = RetryBudget(calls_a_retry=10, reserve=5)
    assert [budget.spend("acme") for _ in range(6)] == [True] * 5 + [False]
    for _ in range(98):
        budget.earn("acme")
    assert [budget.spend("acme") for _ in range(5)] == [True] * 4 + [False]
    for _ in range(10_000):
        budget.earn("acme")
    assert [budget.spend("acme") for _ in range(6)] == [True] * 5 + [False]


async def test_retry_budget_remembers_so_many_tenants() -> None:
    """The one not seen for longest is forgotten, and so begins with its reserve again."""
    budget = RetryBudget(reserve=1, tenants=2)
    budget.earn("a")
    assert budget.spend("a")
    assert not budget.spend("a")
    assert budget.spend("b")
    assert not budget.spend("a")
    assert budget.spend("c")
    assert budget.spend("a")


def failing(breaker: Breaker) -> Dependency:
    """A dependency without retries."""
    return Dependency("test service", breaker=breaker, retries=0)


async def test_failures_open_the_circuit_and_answers_do_not() -> None:
    """Lost connections count, refusals of what was asked do not; open, nothing is asked."""
    breaker = Breaker("test service", minimum=4)
    service = failing(breaker)
    for _ in range(20):
        with pytest.raises(NotFound):
            await service.call(Flaky(NotFound()))
    assert breaker.state == "closed"
    for _ in range(20):
        with pytest.raises(Unavailable):
            await service.call(Flaky(ConnectionResetError()))
    assert breaker.state == "open"
    call = Flaky()
    with pytest.raises(CircuitOpen) as caught:
        await service.call(call)
    assert call.attempts == 0
    assert 0 < caught.value.retry_after_s <= 5
    assert caught.value.dependency == "test service"


@pytest.mark.parametrize("turn", [Turns(1, "turn").turn, nullcontext])
async def test_waiting_for_a_turn_is_not_the_services_time(turn: Any) -> None:
    """Who waited while the circuit opened does not ask; without turns all ask at once."""
    service = Dependency("x", breaker=Breaker("x", minimum=4), retries=0, turn=turn)
    asked = 0

    async def fail() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise ConnectionResetError

    outcomes = await asyncio.gather(
        *(service.call(fail) for _ in range(20)), return_exceptions=True
    )
    assert asked == (20 if turn is nullcontext else 4)
    assert [type(each) for each in outcomes[asked:]] == [CircuitOpen] * (20 - asked)

    async def answer() -> str:
        await asyncio.sleep(0.05)
        return "yes"

    slow = Dependency("y", retries=0, turn=turn)
    answers = await asyncio.gather(*(slow.call(answer, timeout_s=0.25) for _ in range(10)))
    assert answers == ["yes"] * 10


async def test_retries_and_the_circuit_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each retry, and each opening and closing, however many calls were under way."""
    now = 0.0
    breaker = Breaker("test service", minimum=4, clock=lambda: now)
    with caplog.at_level("INFO", "aisdk"):
        calls = [failing(breaker).call(Flaky(ConnectionResetError())) for _ in range(8)]
        await asyncio.gather(*calls, return_exceptions=True)
        now = 10.0
        await failing(breaker).call(Flaky())
        await reach(Flaky(again(), again()))
    told = [(record.getMessage(), vars(record).get("attempts")) for record in caplog.records]
    assert told == [
        ("dependency.open", None),
        ("dependency.closed", None),
        ("dependency.retry", 1),
        ("dependency.retry", 2),
    ]
    assert {vars(record)["dependency"] for record in caplog.records} == {"test service"}


async def test_deadline_counts_as_failure_and_cancellation_does_not() -> None:
    """Who leaves says nothing about the service; our own deadline does."""
    breaker = Breaker("test service", minimum=4)
    service = failing(breaker)

    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    for _ in range(20):
        task = asyncio.create_task(service.call(hang))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert breaker.state == "closed"
    fair = [within_of(FAIR_S + 0.05, service, hang) for _ in range(4)]
    outcomes = await asyncio.gather(*fair, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {DeadlineExceeded}
    assert breaker.state == "open"


async def test_hurried_caller_cannot_open_the_circuit_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deadline of a few milliseconds is no failure of the service; the control counts it."""

    async def answer_late() -> str:
        await asyncio.sleep(0.05)
        return "done"

    async def hurry() -> Breaker:
        breaker = Breaker("test service", minimum=4)
        service = failing(breaker)
        for _ in range(8):
            with suppress(DeadlineExceeded, CircuitOpen):
                await within_of(0.005, service, answer_late)
        return breaker

    breaker = await hurry()
    assert breaker.state == "closed"
    assert await failing(breaker).call(answer_late) == "done"
    monkeypatch.setattr(dependency, "FAIR_S", 0.0)
    assert (await hurry()).state == "open"


@pytest.mark.parametrize("error", [Busy(), CircuitOpen()])
async def test_service_that_was_not_asked_is_neither_better_nor_worse(error: Exception) -> None:
    """A probe that found no place leaves the circuit half open, to the next one."""
    now = 0.0
    breaker = Breaker("test service", minimum=4, clock=lambda: now)
    service = failing(breaker)
    for _ in range(4):
        with pytest.raises(Unavailable):
            await service.call(Flaky(ConnectionResetError()))
    now = 10.0
    with pytest.raises(type(error)):
        await service.call(Flaky(error))
    assert breaker.state == "half_open"
    assert await service.call(Flaky()) == "done"
    assert breaker.state == "closed"


async def within_of(deadline_s: float, service: Dependency, call: Callable[[], Any]) -> Any:
    """One use of a dependency by a verb with this deadline."""
    step = DeadlineStep(call_s=deadline_s, bulk_s=deadline_s)
    verb = Call(Verb("test.reach", reads=True), "acme", "request")
    return await step(verb, lambda _: service.call(call))
