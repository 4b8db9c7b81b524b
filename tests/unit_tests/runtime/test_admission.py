"""Who runs next: shares by weight, caps, and places that are never lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import pytest
from fifo import Fifo
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.runtime import admission as admission_module
from aisdk.core.runtime.admission import LATELY_S, MOST_REMEMBERED, Admission, QueueFull


class Losing(Admission):
    """The control: a place given to a call that was just cancelled is lost."""

    def _give_up(self, tenant_id: str, place: asyncio.Future[None]) -> None:
        if not place.done() or place.cancelled():
            super()._give_up(tenant_id, place)


class Uncapped(Admission):
    """The control: a tenant may have every place."""

    def enter(self, tenant_id: str, weight: float, _: int) -> AbstractAsyncContextManager[None]:
        """As if nothing was said of most."""
        return super().enter(tenant_id, weight, self._slots)


async def let_run(turns: int = 8) -> None:
    """Lets the tasks that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def reach(done: list[str], count: int) -> None:
    """Waits until so many calls have completed."""
    for _ in range(100 * count):
        if len(done) >= count:
            return
        await asyncio.sleep(0)
    pytest.fail("too few calls completed")


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels the tasks and waits for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def served(admission: Admission, weights: dict[str, float], rounds: int) -> list[str]:
    """The tenants in the order in which they completed, each with more calls than can run."""
    done: list[str] = []

    async def ask(tenant: str) -> None:
        while len(done) < rounds:
            async with admission.enter(tenant, weights[tenant], 4):
                await asyncio.sleep(0)
                done.append(tenant)

    await asyncio.gather(*[ask(tenant) for tenant in weights for _ in range(12)])
    return done[:rounds]


def is_fair(done: list[str], weights: dict[str, float]) -> bool:
    """Whether each tenant got its share within five in a hundred."""
    counts, total = Counter(done), sum(weights.values())
    return all(
        abs(counts[tenant] / len(done) * total / weight - 1) <= 0.05
        for tenant, weight in weights.items()
    )


@pytest.mark.parametrize(
    "weights",
    [{"a": 1, "b": 3}, {"a": 1, "b": 1, "c": 1}, {"a": 0.5, "b": 1, "c": 2.5}],
)
async def test_saturated_places_are_shared_by_weight(weights: dict[str, float]) -> None:
    """Over 4,000 completions; nothing is left behind."""
    admission = Admission(4)
    done = await served(admission, weights, 4_000)
    assert is_fair(done, weights)
    assert admission._tenants == {}
    assert admission._waiting == {}


async def test_one_queue_for_all_is_found_unfair() -> None:
    """The control: first come first served does not know weights."""
    weights = {"a": 1.0, "b": 3.0}
    assert not is_fair(await served(Fifo(4), weights, 4_000), weights)


async def calls_before_newcomer(admission: Admission, busy: int) -> Counter[str]:
    """How many calls of each waiting tenant complete before a newcomer's first."""
    done: list[str] = []

    async def ask(tenant: str, weight: float) -> None:
        async with admission.enter(tenant, weight, 1):
            await asyncio.sleep(0)
            done.append(tenant)

    tasks = [
        asyncio.create_task(ask(f"t{number}", 1 + 5 * number))
        for number in range(busy)
        for _ in range(50)
    ]
    await reach(done, 20)
    done.clear()
    newcomer = asyncio.create_task(ask("new", 1))
    await newcomer
    before = Counter(done[: done.index("new")])
    await stop(tasks)
    return before


async def test_newcomer_waits_for_one_call_of_each_at_most() -> None:
    """Beside the one that runs already, however long their queues are and large their weights."""
    before = await calls_before_newcomer(Admission(1), 5)
    assert sum(before.values()) <= 5 + 1
    assert all(count <= 2 for count in before.values())
    assert sum((await calls_before_newcomer(Fifo(1), 5)).values()) > 100


async def test_idle_tenant_saves_up_nothing() -> None:
    """After a long absence it gets its share from now on, not what it missed."""
    admission = Admission(1)
    done: list[str] = []

    async def ask(tenant: str, calls: int) -> None:
        for _ in range(calls):
            async with admission.enter(tenant, 1, 1):
                await asyncio.sleep(0)
                done.append(tenant)

    always = [asyncio.create_task(ask("always", 400)) for _ in range(3)]
    await ask("rare", 1)
    await reach(done, 500)
    done.clear()
    rare = [asyncio.create_task(ask("rare", 50)) for _ in range(3)]
    await reach(done, 100)
    assert 45 <= done[:100].count("rare") <= 55
    await stop(always + rare)


async def test_calls_of_a_tenant_run_in_order() -> None:
    """First come, first served."""
    admission, done = Admission(2), []

    async def ask(number: int) -> None:
        async with admission.enter("a", 1, 1):
            await asyncio.sleep(0)
            done.append(number)

    await asyncio.gather(*[ask(number) for number in range(50)])
    assert done == list(range(50))


async def test_tenant_at_its_cap_leaves_places_to_others() -> None:
    """Its calls wait although places are free; a higher cap lets them in at once."""
    admission, release = Admission(5), asyncio.Event()

    async def hold(tenant: str, most: int) -> None:
        async with admission.enter(tenant, 1, most):
            await release.wait()

    tasks = [asyncio.create_task(hold("a", 2)) for _ in range(5)]
    await let_run()
    assert (admission.running("a"), admission.waiting("a")) == (2, 3)
    tasks.append(asyncio.create_task(hold("b", 1)))
    await let_run()
    assert (admission.running("b"), admission.waiting("b")) == (1, 0)
    tasks.append(asyncio.create_task(hold("a", 4)))
    await let_run()
    assert (admission.running("a"), admission.waiting("a")) == (3, 3)
    release.set()
    await asyncio.gather(*tasks)
    assert (admission.running("a"), admission.waiting("a")) == (0, 0)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


async def running_beside(visitor: str | None, rest_s: float, admission: Admission) -> int:
    """How many calls of a busy tenant run at once, so long after a visitor's last call."""
    if visitor is not None:
        async with admission.enter(visitor, 1, 8):
            pass
    clock = admission._clock
    assert isinstance(clock, Clock)
    clock.now += rest_s
    release = asyncio.Event()

    async def hold() -> None:
        async with admission.enter("busy", 1, 8):
            await release.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(10)]
    await let_run()
    count = admission.running("busy")
    release.set()
    await asyncio.gather(*tasks)
    return count


@pytest.mark.parametrize(
    ("visitor", "rest_s", "running"),
    [
        (None, 0, 4),
        ("busy", 0, 4),
        ("", 0, 4),
        ("rare", LATELY_S - 1, 3),
        ("rare", LATELY_S + 1, 4),
    ],
    ids=["alone", "its own call", "the client itself", "called lately", "called long ago"],
)
async def test_last_place_is_kept_while_another_tenant_calls(
    visitor: str | None, rest_s: float, running: int
) -> None:
    """And only then: a tenant that calls alone has every place."""
    assert await running_beside(visitor, rest_s, Admission(4, clock=Clock())) == running


async def test_visitor_need_not_wait_for_a_busy_tenant() -> None:
    """It finds the place that was kept, again and again; the busy one never has it."""
    admission, gates = Admission(4), [asyncio.Event() for _ in range(10)]

    async def call(tenant: str, gate: asyncio.Event) -> None:
        async with admission.enter(tenant, 1, 8):
            await gate.wait()

    gate = asyncio.Event()
    gate.set()
    await call("rare", gate)
    tasks = [asyncio.create_task(call("busy", gate)) for gate in gates]
    await let_run()
    for ending in gates[:6]:
        assert (admission.running("busy"), admission.waiting("busy") > 0) == (3, True)
        await asyncio.wait_for(call("rare", gate), 5)
        ending.set()
        await let_run()
    await stop(tasks)


async def test_full_queue_refuses_and_goes_on() -> None:
    """Only for the tenant that has too many waiting."""
    admission, release = Admission(1, longest_queue=3), asyncio.Event()

    async def hold(tenant: str) -> None:
        async with admission.enter(tenant, 1, 1):
            await release.wait()

    tasks = [asyncio.create_task(hold("a")) for _ in range(4)]
    await let_run()
    with pytest.raises(QueueFull):
        await hold("a")
    tasks.append(asyncio.create_task(hold("b")))
    tasks.pop(1).cancel()
    await let_run()
    tasks.append(asyncio.create_task(hold("a")))
    await let_run()
    assert (admission.waiting("a"), admission.waiting("b")) == (3, 1)
    release.set()
    await asyncio.gather(*tasks)


async def test_waiters_cancelled_when_a_place_becomes_free_do_not_get_it() -> None:
    """The place goes past calls that are cancelled but do not know it yet, even the last ones."""
    admission, release = Admission(1), asyncio.Event()

    async def hold(tenant: str) -> None:
        async with admission.enter(tenant, 1, 1):
            await release.wait()

    first = asyncio.create_task(hold("a"))
    await let_run()
    waiters = [asyncio.create_task(hold(tenant)) for tenant in ("b", "b", "c")]
    await let_run()
    first.cancel()
    for task in waiters:
        task.cancel()
    results = await asyncio.gather(first, *waiters, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 4
    release.set()
    await asyncio.wait_for(hold("d"), 5)
    assert admission._tenants == {}


@pytest.mark.parametrize(("weight", "most"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
async def test_share_that_makes_no_sense_is_refused(weight: float, most: int) -> None:
    """Before anything is counted."""
    admission = Admission(1)
    with pytest.raises(ValueError, match="weight above 0"):
        async with admission.enter("a", weight, most):
            pass
    assert admission._tenants == {}


async def test_tenants_without_calls_are_forgotten() -> None:
    """A bounded number is remembered while others run, and none when all is quiet."""
    admission = Admission(2)
    async with admission.enter("stays", 1, 1):
        for number in range(MOST_REMEMBERED + 50):
            async with admission.enter(f"t{number}", 1, 1):
                pass
        assert len(admission._turns) == MOST_REMEMBERED
    assert len(admission._turns) == 0


class Schedule:
    """Any order of calls, ends and cancellations, watched from inside the calls."""

    def __init__(self, admission: Admission, most: dict[str, int]) -> None:
        self.admission = admission
        self.most = most
        self.inside: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []
        self.gates: list[asyncio.Event] = []

    async def call(self, tenant: str, gate: asyncio.Event) -> None:
        """A call that ends when its gate opens."""
        async with self.admission.enter(tenant, 1 + len(self.tasks) % 3, self.most[tenant]):
            self.inside[tenant] += 1
            try:
                await gate.wait()
            finally:
                self.inside[tenant] -= 1

    async def run(self, steps: list[tuple[str, str, int, bool]]) -> None:
        """Follows the steps, then sees that every place is still there."""
        for what, tenant, which, pause in steps:
            if what == "enter":
                self.gates.append(asyncio.Event())
                self.tasks.append(asyncio.create_task(self.call(tenant, self.gates[-1])))
            elif self.tasks and what == "cancel":
                self.tasks[which % len(self.tasks)].cancel()
            elif self.gates:
                self.gates[which % len(self.gates)].set()
            if pause:
                await asyncio.sleep(0)
            self.look()
        await let_run()
        self.look()
        for gate in self.gates:
            gate.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), 1)
        assert all(task.done() for task in self.tasks)
        await self.every_place_is_free()

    def look(self) -> None:
        """Neither more than the places nor more than any tenant's cap."""
        assert sum(self.inside.values()) <= self.admission._slots
        assert self.admission._running <= self.admission._slots
        for tenant, most in self.most.items():
            assert self.inside[tenant] <= most
            assert self.admission.running(tenant) <= most

    async def every_place_is_free(self) -> None:
        """As many calls as there are places run at once, and no ghost remains."""
        assert self.admission._running == 0
        assert self.admission._tenants == self.admission._waiting == {}


TENANTS = {"a": 1, "b": 2, "c": 5}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "cancel", "end"]),
        st.sampled_from(sorted(TENANTS)),
        st.integers(0, 99),
        st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(slots=st.integers(1, 4), steps=STEPS)
async def test_any_schedule_keeps_caps_and_places(slots: int, steps: Any) -> None:
    """Calls, ends and cancellations in any order."""
    await Schedule(Admission(slots), TENANTS).run(steps)


CANCELLED_WITH_A_PLACE = [
    ("enter", "a", 0, True),
    ("enter", "b", 0, True),
    ("end", "a", 0, True),
    ("cancel", "b", 1, False),
]
MORE_THAN_ITS_CAP = [("enter", "a", 0, True)] * 2


@pytest.mark.parametrize(
    ("broken", "slots", "steps"),
    [(Losing, 1, CANCELLED_WITH_A_PLACE), (Uncapped, 2, MORE_THAN_ITS_CAP)],
)
async def test_lost_place_and_broken_cap_are_found(
    broken: type[Admission], slots: int, steps: Any
) -> None:
    """The controls: the same watch sees both, and nothing where the queue is sound."""
    await Schedule(Admission(slots), TENANTS).run(steps)
    schedule = Schedule(broken(slots), TENANTS)
    with pytest.raises(AssertionError):
        await schedule.run(steps)
    await stop(schedule.tasks)


class Asleep(Admission):
    """The control: nobody looks again when the last place is kept no longer."""

    def _look_again(self, after_s: float) -> None:
        """Nothing."""


async def gets_last_place(kind: type[Admission]) -> bool:
    """Whether a tenant with long calls gets the kept place although nobody comes or leaves."""
    admission, got = kind(4), 0

    async def hold() -> None:
        nonlocal got
        async with admission.enter("busy", 1.0, 10):
            got += 1
            await asyncio.Event().wait()

    async with admission.enter("rare", 1.0, 1):
        pass
    calls = [asyncio.create_task(hold()) for _ in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == 3, "the place is kept at first"
    await asyncio.sleep(0.5)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    return got == 4


async def test_kept_place_is_given_when_nobody_comes_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a call would wait in vain beside a free connection."""
    monkeypatch.setattr(admission_module, "LATELY_S", 0.1)
    assert await gets_last_place(Admission)
    assert not await gets_last_place(Asleep)


def test_places_are_free_on_another_loop() -> None:
    """As in a forked child: those who held or awaited places are not there."""
    admission = Admission(1)
    held = [admission.enter("acme", 1.0, 1) for _ in range(2)]

    async def hold() -> None:
        await held[0].__aenter__()
        waiting = asyncio.create_task(held[1].__aenter__())
        await let_run()
        assert (admission.running("acme"), admission.waiting("acme")) == (1, 1), "the control"
        waiting.cancel()

    async def enter() -> None:
        async with asyncio.timeout(5), admission.enter("other", 1.0, 1):
            assert admission.running("acme") == 0

    asyncio.run(hold())
    asyncio.run(enter())
