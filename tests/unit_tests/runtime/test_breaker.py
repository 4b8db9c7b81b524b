"""The circuit breaker: when it opens, who may probe, and which results count."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aisdk.core.runtime.breaker import BUCKETS, LONGEST_OPEN_S, Breaker, Open, Permit

CALLERS = 1_000
ENDS: dict[bool | None, Callable[[Permit], None]] = {
    True: Permit.failed,
    False: Permit.succeeded,
    None: Permit.neutral,
}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class LetsTwoThrough(Breaker):
    """Forgets that somebody is probing."""

    def _enter_as_probe(self, permit: Permit) -> None:
        self._probe = None
        super()._enter_as_probe(permit)


class KeepsThePlace(Breaker):
    """A cancelled probe is never followed by another."""

    def _settle(self, permit: Permit, *, failed: bool | None) -> None:
        if failed is not None:
            super()._settle(permit, failed=failed)


class CountsStale(Breaker):
    """Takes every result for one of the present."""

    def _settle(self, permit: Permit, *, failed: bool | None) -> None:
        permit.generation = self._generation
        super()._settle(permit, failed=failed)


class ClosesOnNeutral(Breaker):
    """Takes a cancelled probe for a success."""

    def _settle_probe(self, *, failed: bool | None) -> None:
        super()._settle_probe(failed=bool(failed))


class KeepsTheWindow(Breaker):
    """Counts what happened before it opened once more after it closed."""

    def _open(self, for_s: float) -> None:
        window = list(self._window)
        super()._open(for_s)
        self._window.extend(window)


BROKEN = [LetsTwoThrough, KeepsThePlace, CountsStale, ClosesOnNeutral, KeepsTheWindow]


class Rules(RuleBasedStateMachine):
    """Any use of a breaker, beside a plain account of what must come of it."""

    make: ClassVar[type[Breaker]] = Breaker

    @initialize()
    def begin(self) -> None:
        """A closed breaker."""
        self.clock = Clock()
        self.breaker = self.make("x", minimum=4, clock=self.clock)
        self.open_s = 0.0
        self.until = 0.0
        self.results: list[tuple[int, bool]] = []
        self.present: list[Permit] = []  # calls that count, as far as the account knows
        self.stale: list[Permit] = []

    def expected(self) -> str:
        """The state that the account asks for."""
        if not self.open_s:
            return "closed"
        return "open" if self.clock.now < self.until else "half_open"

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 10.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    @rule()
    def enter(self) -> None:
        """A call begins, or is refused and told when to come back."""
        state = self.expected()
        if state == "closed" or (state == "half_open" and not self.present):
            self.present.append(self.breaker.enter())
            return
        with pytest.raises(Open) as refused:
            self.breaker.enter()
        left_s = self.until - self.clock.now if state == "open" else 1.0
        assert refused.value.retry_after_s == pytest.approx(left_s)

    @precondition(lambda self: self.present)
    @rule(failed=st.sampled_from([True, True, False, None]), which=st.integers(0, 99))
    def end(self, failed: bool | None, which: int) -> None:
        """A call that counts ends, and perhaps ends again, which changes nothing."""
        permit = self.present.pop(which % len(self.present))
        ENDS[failed](permit)
        self.stale.append(permit)
        if self.open_s and failed is not None:
            self.turn(min(2 * self.open_s, LONGEST_OPEN_S) if failed else 0.0)
        elif failed is not None:
            self.count(failed=failed)

    @precondition(lambda self: self.stale)
    @rule(failed=st.sampled_from([True, False, None]))
    def end_stale(self, failed: bool | None) -> None:
        """All calls that no longer count end."""
        for permit in self.stale:
            ENDS[failed](permit)
        self.stale.clear()

    @precondition(lambda self: not self.open_s)
    @rule()
    def fail_until_open(self) -> None:
        """Calls fail one after the other while some have begun and not ended."""
        self.present += [self.breaker.enter() for _ in range(5)]
        while not self.open_s:
            self.breaker.enter().failed()
            self.count(failed=True)

    @precondition(lambda self: self.expected() == "open")
    @rule()
    def wait_until_half_open(self) -> None:
        """Exactly as long as it takes."""
        self.clock.now = self.until

    def count(self, *, failed: bool) -> None:
        """Opens at half of at least four within ten seconds."""
        second = int(self.clock.now)
        self.results = [(at, bad) for at, bad in self.results if at > second - 10]
        self.results.append((second, failed))
        bad = sum(bad for _, bad in self.results)
        if failed and len(self.results) >= 4 and 2 * bad >= len(self.results):
            self.turn(5.0)

    def turn(self, open_s: float) -> None:
        """Opens for so long, or closes; what runs now counts no longer."""
        self.open_s, self.until = open_s, self.clock.now + open_s
        self.results.clear()
        self.stale += self.present
        self.present.clear()

    @invariant()
    def state_is_as_expected(self) -> None:
        """After each step, and with bounded memory."""
        assert self.breaker.state == self.expected()
        assert len(self.breaker._window) <= BUCKETS


def check(kind: type[Breaker], examples: int) -> None:
    """Runs the rules on a kind of breaker."""
    machine = type("Checked", (Rules,), {"make": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            print_blob=False,
        ),
    )


def test_any_use_keeps_the_account() -> None:
    """The state after every step is the one that plain bookkeeping asks for."""
    check(Breaker, 150)


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_breaker_is_found(broken: type[Breaker]) -> None:
    """The controls: the same rules find each fault."""
    with pytest.raises((AssertionError, Open, pytest.fail.Exception)):
        check(broken, 2_000)


def opened(kind: type[Breaker] = Breaker) -> tuple[Breaker, Clock]:
    """A breaker that has just opened."""
    clock = Clock()
    breaker = kind("test service", clock=clock)
    for _ in range(10):
        breaker.enter().failed()
    assert breaker.state == "open"
    return breaker, clock


def test_breaker_below_the_minimum_stays_closed() -> None:
    """Nine failures are too few to judge; the tenth opens it."""
    breaker = Breaker("test service", clock=Clock())
    for _ in range(9):
        breaker.enter().failed()
    assert breaker.state == "closed"
    breaker.enter().failed()
    assert breaker.state == "open"


def test_breaker_with_failures_below_the_rate_stays_closed() -> None:
    """Four of ten pass, five of ten do not."""
    breaker = Breaker("test service", clock=Clock())
    for failed in [False] * 5 + [True] * 4:
        ENDS[failed](breaker.enter())
    assert breaker.state == "closed"
    breaker.enter().failed()
    assert breaker.state == "open"


def test_breaker_forgets_failures_outside_the_window() -> None:
    """Failures spread over a long time do not add up."""
    clock = Clock()
    breaker = Breaker("test service", clock=clock)
    for _ in range(100):
        breaker.enter().failed()
        clock.now += 1.2
    assert breaker.state == "closed"


def test_open_time_doubles_to_a_minute_and_starts_again_after_a_success() -> None:
    """5, 10, 20, 40, 60, 60 seconds; 5 again after it was closed."""
    breaker, clock = opened()
    for expected_s in (5, 10, 20, 40, 60, 60):
        with pytest.raises(Open, match="test service") as refused:
            breaker.enter()
        assert refused.value.retry_after_s == expected_s
        clock.now += expected_s
        breaker.enter().failed()
    clock.now += 60
    breaker.enter().succeeded()
    for _ in range(10):
        breaker.enter().failed()
    with pytest.raises(Open) as refused:
        breaker.enter()
    assert refused.value.retry_after_s == 5


def test_result_from_before_the_opening_does_not_count() -> None:
    """A late success does not close, a late failure does not open again."""
    clock = Clock()
    breaker = Breaker("test service", clock=clock)
    late = [breaker.enter() for _ in range(20)]
    for _ in range(10):
        breaker.enter().failed()
    clock.now += 5
    late.pop().succeeded()
    late.pop().failed()
    assert breaker.state == "half_open"
    breaker.enter().succeeded()
    for permit in late:
        permit.failed()
    assert breaker.state == "closed"


def test_permit_left_without_a_word_is_neutral() -> None:
    """An error inside the block frees the place of the probe."""
    breaker, clock = opened()
    clock.now += 5
    with pytest.raises(KeyError), breaker.enter():
        raise KeyError
    assert breaker.state == "half_open"
    with breaker.enter() as permit:
        permit.succeeded()
    assert breaker.state == "closed"


class Service:
    """A dependency behind a breaker that counts who is in it."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.answers = asyncio.Event()
        self.inside: set[asyncio.Task[Any] | None] = set()
        self.most_inside = 0
        self.entered = 0

    async def call(self) -> str:
        """One call through the breaker."""
        with self.breaker.enter() as permit:
            self.entered += 1
            self.inside.add(asyncio.current_task())
            self.most_inside = max(self.most_inside, len(self.inside))
            try:
                await self.answers.wait()
            finally:
                self.inside.discard(asyncio.current_task())
            permit.succeeded()
        return "answer"

    async def call_until_answered(self) -> str:
        """As a caller that comes back after each refusal."""
        while True:
            try:
                return await self.call()
            except Open:
                await asyncio.sleep(0)


async def passes_at_once(kind: type[Breaker]) -> int:
    """How many of a thousand simultaneous callers a half-open breaker lets through."""
    breaker, clock = opened(kind)
    clock.now += 5
    service = Service(breaker)
    callers = [asyncio.create_task(service.call()) for _ in range(CALLERS)]
    await asyncio.sleep(0)
    service.answers.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert results.count("answer") == service.entered
    assert sum(isinstance(result, Open) for result in results) == CALLERS - service.entered
    assert breaker.state == "closed"
    return service.most_inside


async def test_thousand_callers_make_one_probe(
    report: Callable[[str, int, int, str], None],
) -> None:
    """All others are refused meanwhile; the control lets more than one through."""
    probes, broken = await passes_at_once(Breaker), await passes_at_once(LetsTwoThrough)
    detail = f"{probes} probe at a time; control: {'caught' if broken > 1 else 'missed'}"
    report("breaker", CALLERS, probes - 1, detail)
    assert probes == 1
    assert broken > 1


async def test_thousand_callers_half_of_them_cancelled_make_one_probe_at_a_time() -> None:
    """Each cancelled probe is followed by exactly one other, and the last one closes it."""
    breaker, clock = opened()
    clock.now += 5
    service = Service(breaker)
    callers = [asyncio.create_task(service.call_until_answered()) for _ in range(CALLERS)]
    await asyncio.sleep(0)
    for cancelled in itertools.count(1):
        (probing,) = service.inside
        assert probing is not None
        probing.cancel()
        waiting = [task for task in callers if task is not probing and not task.cancelling()]
        for task in waiting[:4]:
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert breaker.state == "half_open"
        if cancelled == CALLERS // 10:
            break
    assert service.entered == CALLERS // 10 + 1
    service.answers.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert results.count("answer") == CALLERS // 2
    assert sum(isinstance(r, asyncio.CancelledError) for r in results) == CALLERS // 2
    assert service.most_inside == 1
    assert breaker.state == "closed"
