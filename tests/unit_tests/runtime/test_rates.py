"""The limiter in memory on a clock that the test moves, beside two other limiters."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.runtime.rates import FEWEST_SWEPT, Charge, MemoryRates, Rate

Step = tuple[int, int]  # microseconds to wait, then units to take
TAKINGS: Final = 20_000


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_us = 7_000_000

    def __call__(self) -> float:
        """The time."""
        return self.now_us / 1e6


class Scheduled:
    """The algorithm's other form, virtual scheduling: one moment, in exact fractions."""

    def __init__(self) -> None:
        self.full_at_us = Fraction(0)

    def take(self, now_us: int, charge: Charge) -> tuple[bool, Fraction]:
        """Whether it fits, and the time until the limit is whole again, in microseconds."""
        unit_us = Fraction(60_000_000) / Fraction(charge.rate.per_minute)
        after = max(Fraction(now_us), self.full_at_us) + charge.cost * unit_us
        allowed = after - now_us <= charge.rate.burst * unit_us
        if allowed:
            self.full_at_us = after
        return allowed, after - now_us


class LeaksTwice(MemoryRates):
    """Lets a tenth more through."""

    def _level(self, tenant_id: str, charge: Charge, now_us: int) -> int:
        level = super()._level(tenant_id, charge, now_us)
        return level - level // 10


async def follow(rates: MemoryRates, clock: Clock, limit: Rate, steps: list[Step]) -> None:
    """Walks both limiters through a trace and compares each verdict."""
    other = Scheduled()
    for wait_us, cost in steps:
        clock.now_us += wait_us
        charge = Charge("read", limit, cost)
        verdict = await rates.take("acme", charge)
        allowed, left_us = other.take(clock.now_us, charge)
        assert verdict.allowed == allowed
        if allowed:
            units = left_us * Fraction(limit.per_minute) / 60_000_000
            assert verdict.used == math.ceil(units) <= verdict.limit == limit.burst
            assert verdict.reset_s == pytest.approx(float(left_us) / 1e6, abs=1e-6)
            assert verdict.retry_after_s == 0


LIMITS = st.builds(Rate, st.integers(1, 1_000_000), st.integers(1, 50))
STEPS = st.lists(
    st.tuples(st.one_of(st.integers(0, 1000), st.integers(0, 90_000_000)), st.integers(0, 30)),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(limit=LIMITS, steps=STEPS)
async def test_any_trace_is_judged_as_by_virtual_scheduling(limit: Rate, steps: list[Step]) -> None:
    """Both forms of the algorithm agree on every step, to the microsecond."""
    clock = Clock()
    await follow(MemoryRates(clock), clock, limit, steps)


async def test_limiter_that_leaks_too_much_is_found() -> None:
    """The control: the same comparison sees it."""
    clock = Clock()
    with pytest.raises(AssertionError):
        await follow(LeaksTwice(clock), clock, Rate(60, 10), [(0, 1)] * 12)


@pytest.mark.parametrize("per_minute", [1, 7, 90, 6_000, 12_345_678])
async def test_retry_after_is_the_first_moment_that_succeeds(per_minute: float) -> None:
    """A microsecond earlier the same is refused."""
    clock = Clock()
    rates = MemoryRates(clock)
    charge = Charge("read", Rate(per_minute, 10), 7)
    assert (await rates.take("acme", charge)).allowed
    clock.now_us += 1
    refused = await rates.take("acme", charge)
    wait_us = round(refused.retry_after_s * 1e6)
    assert (refused.allowed, refused.used) == (False, 7)
    clock.now_us += wait_us - 1
    assert not (await rates.take("acme", charge)).allowed
    clock.now_us += 1
    assert (await rates.take("acme", charge)).allowed


async def test_lower_limit_counts_what_was_taken_under_the_higher() -> None:
    """No more is used than there is, looking is still free, and nothing else passes."""
    clock = Clock()
    rates = MemoryRates(clock)
    await rates.take("acme", Charge("read", Rate(60, 100), 100))
    looked = await rates.take("acme", Charge("read", Rate(60, 10), 0))
    assert (looked.allowed, looked.used, looked.limit) == (True, 10, 10)
    refused = await rates.take("acme", Charge("read", Rate(60, 10), 1))
    assert (refused.allowed, refused.retry_after_s) == (False, 91)


async def test_memory_is_bounded_and_keeps_what_is_not_empty() -> None:
    """Tenants that come once are forgotten; one that has used a limit up is not."""
    clock = Clock()
    rates = MemoryRates(clock)
    slow = Charge("write", Rate(0.01, 5), 5)
    assert (await rates.take("patient", slow)).allowed
    for number in range(5 * FEWEST_SWEPT):
        clock.now_us += 1_000_000
        assert (await rates.take(f"t{number}", Charge("read", Rate(60, 5), 5))).allowed
    assert len(rates._buckets) <= FEWEST_SWEPT
    assert not (await rates.take("patient", slow)).allowed


async def test_many_live_buckets_are_all_kept() -> None:
    """None goes before its time, however many there are."""
    rates = MemoryRates(Clock())
    charge = Charge("read", Rate(1, 1), 1)
    for number in range(3 * FEWEST_SWEPT):
        assert (await rates.take(f"t{number}", charge)).allowed
    for number in range(3 * FEWEST_SWEPT):
        assert not (await rates.take(f"t{number}", charge)).allowed


async def beside_another_library(rate: Rate, patch: pytest.MonkeyPatch) -> tuple[float, float]:
    """What a limiter admits as a share of what throttled-py's does, and how often they agree."""
    from throttled import MemoryStore, Throttled, rate_limiter

    clock, chance = Clock(), random.Random(3)  # noqa: S311  # not for secrets
    patch.setattr("throttled.utils.now_mono_f", clock)
    quota = rate_limiter.per_min(600, burst=50)
    other = Throttled(key="acme", using="gcra", quota=quota, store=MemoryStore())
    rates = MemoryRates(clock)
    ours, theirs, agreed = 0, 0, 0
    for _ in range(TAKINGS):
        clock.now_us += chance.randrange(400_000)
        cost = chance.randint(1, 5)
        verdict = await rates.take("acme", Charge("read", rate, cost))
        limited = other.limit(cost=cost).limited
        ours += verdict.allowed * cost
        theirs += (not limited) * cost
        agreed += verdict.allowed != limited
    assert 0 < theirs < 3 * TAKINGS
    return ours / theirs, agreed / TAKINGS


async def test_agrees_with_another_library(
    monkeypatch: pytest.MonkeyPatch, report: Callable[[str, int, int, str], None]
) -> None:
    """Within one in a hundred; the control, a limiter of a tenth more, does not."""
    share, agreed = await beside_another_library(Rate(600, 50), monkeypatch)
    detail = f"admits {share:.2%} of what its GCRA does, {agreed:.2%} of the verdicts are the same"
    wrong = int(abs(share - 1) > 0.01)
    report("limiter beside throttled-py", TAKINGS, wrong, f"{detail}; control: caught")
    assert abs(share - 1) <= 0.01
    assert agreed >= 0.99
    broken, _ = await beside_another_library(Rate(660, 50), monkeypatch)
    assert abs(broken - 1) > 0.01


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (2e8, 1), (1, 0), (1, 2 * 10**8)])
def test_rate_out_of_range_is_refused(per_minute: float, burst: int) -> None:
    """Neither none at all nor more than can be counted."""
    with pytest.raises(ValueError, match="A rate needs"):
        Rate(per_minute, burst)


def test_charge_that_makes_no_sense_is_refused() -> None:
    """Less than nothing."""
    with pytest.raises(ValueError, match="0 or more"):
        Charge("read", Rate(1, 1), -1)
