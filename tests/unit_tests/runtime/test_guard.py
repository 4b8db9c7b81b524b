"""The guard and its steps: tenant, context, intake, deadline and the meter's log."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import structlog

from aisdk.core.runtime.deadline import DeadlineStep, remaining_s
from aisdk.core.runtime.guard import Call, Guard, Proceed, Verb
from aisdk.core.runtime.intake import Intake
from aisdk.core.runtime.logging import context_step, logger, new_request_id
from aisdk.core.runtime.meter import MeterStep
from aisdk.core.runtime.tenancy import checked_tenant
from aisdk.core.runtime.together import together
from aisdk.core.runtime.verb import catalogue, verb
from aisdk.errors import ClientClosed, DeadlineExceeded, InvalidInput, TenantRequired

SECRET: Final = "what the tenant asked"  # noqa: S105  # the text that must not be logged
FIELDS: Final = {"tenant_id", "request_id", "level", "duration_ms", "outcome"}
STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def make_call(*, bulk: bool = False) -> Call:
    """A call of a verb."""
    return Call(Verb("rag.query", reads=True, bulk=bulk), "acme", new_request_id())


def steps(**times: float) -> Guard:
    """A guard as a client's, with other times."""
    budget = {"call_s": 5.0, "bulk_s": 60.0, **times}
    return Guard([Intake(), context_step, MeterStep(logger()), DeadlineStep(**budget)])


class Service:
    """Two verbs."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    @verb("rag.query", reads=True)
    async def query(self, tenant_id: str, text: str, *, times: int = 1) -> str:
        """Answers."""
        return f"{tenant_id}:{len(text) * times}"

    @verb("rag.fail", reads=False, bulk=True)
    async def fail(self, _: str, error: BaseException) -> None:
        """Raises."""
        raise error


def leaks(record: logging.LogRecord) -> set[str]:
    """What a record holds that a log must not: unknown fields, or the tenant's words."""
    given = {name: value for name, value in vars(record).items() if name not in STANDARD}
    found = set(given) - FIELDS
    return found | ({"text"} if SECRET in f"{record.getMessage()} {given}" else set())


async def test_steps_run_from_the_outside_in() -> None:
    """Each sees the call, may change the result, and ends after those inside."""
    seen: list[str] = []

    def step(name: str) -> Callable[[Call, Proceed], Awaitable[Any]]:
        async def run(call: Call, proceed: Proceed) -> Any:
            seen.append(f"{name} in")
            result = await proceed(call)
            seen.append(f"{name} out")
            return [name, *result]

        return run

    async def body() -> list[str]:
        seen.append("body")
        return ["body"]

    result = await Guard([step("a"), step("b")]).run(make_call(), body)
    assert result == ["a", "b", "body"]
    assert seen == ["a in", "b in", "body", "b out", "a out"]


async def test_step_may_answer_itself() -> None:
    """The body is then not run."""

    async def answer(_: Call, __: Proceed) -> str:
        return "from the cache"

    async def body() -> str:
        raise AssertionError

    assert await Guard([answer]).run(make_call(), body) == "from the cache"


async def test_verb_runs_inside_the_guard_and_keeps_its_signature() -> None:
    """Arguments, defaults and docstring are those that are written."""
    service = Service(steps())
    assert await service.query("acme", "abc", times=2) == "acme:6"
    assert Service.query.__doc__ == "Answers."
    found = {spec.name: (spec.reads, spec.bulk) for spec, _ in catalogue(Service)}
    assert found == {"rag.query": (True, False), "rag.fail": (False, True)}


@pytest.mark.parametrize("tenant", ["", None, 7, b"acme"])
def test_verb_without_tenant_is_refused_at_once(tenant: Any) -> None:
    """Before anything is awaited; a ValueError."""
    service = Service(steps())
    with pytest.raises(TenantRequired):
        service.query(tenant, "x")  # type: ignore[unused-coroutine]  # none is made
    with pytest.raises(ValueError, match="tenant"):
        checked_tenant(tenant)


@pytest.mark.parametrize("tenant", ["-a", ".a", "a b", "a\n", "a\0", "é", "a" * 64, "a/b", "a:b"])
def test_malformed_tenant_is_refused(tenant: str) -> None:
    """Nothing that could end a key or a path."""
    with pytest.raises(InvalidInput):
        checked_tenant(tenant)


@pytest.mark.parametrize("tenant", ["a", "A", "0", "acme-eu_1.test", "a" * 63])
def test_proper_tenant_is_taken_as_it_is(tenant: str) -> None:
    """Case is kept."""
    assert checked_tenant(tenant) == tenant


@pytest.mark.parametrize(
    ("error", "outcome", "level"),
    [
        (None, "ok", logging.INFO),
        (InvalidInput("no"), "invalid_input", logging.WARNING),
        (RuntimeError(SECRET), "internal", logging.WARNING),
        (asyncio.CancelledError(), "cancelled", logging.INFO),
    ],
)
async def test_meter_logs_each_call_once(
    caplog: pytest.LogCaptureFixture, error: BaseException | None, outcome: str, level: int
) -> None:
    """With tenant, request, time and outcome; without arguments, messages and results."""
    caplog.set_level(logging.DEBUG, "aisdk")
    service = Service(steps())
    if error is None:
        await service.query("acme", SECRET)
    else:
        with pytest.raises(type(error)):
            await service.fail("acme", error)
    assert len(caplog.records) == 1
    fields = vars(caplog.records[0])
    assert (fields["outcome"], fields["levelno"], fields["tenant_id"]) == (outcome, level, "acme")
    assert len(fields["request_id"]) == 16
    assert fields["duration_ms"] >= 0
    assert leaks(caplog.records[0]) == set()
    assert structlog.contextvars.get_contextvars() == {}


async def test_leaking_log_call_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    """The control for the test above."""
    logger().warning("rag.query", query=SECRET)
    logger().warning(f"asked {SECRET}")
    logger().warning("rag.query", outcome=SECRET)
    assert [bool(leaks(record)) for record in caplog.records] == [True, True, True]


async def test_calls_side_by_side_keep_their_own_context(caplog: pytest.LogCaptureFixture) -> None:
    """No event carries the tenant or request of another call."""
    caplog.set_level(logging.INFO, "aisdk")
    service = Service(steps())
    await asyncio.gather(*(service.query(f"t{number}", "x") for number in range(20)))
    fields = [vars(record) for record in caplog.records]
    assert {entry["tenant_id"] for entry in fields} == {f"t{number}" for number in range(20)}
    assert len({entry["request_id"] for entry in fields}) == 20


async def test_deadline_ends_a_call_that_takes_too_long() -> None:
    """With the verb's name and what to do; the work is cancelled."""
    cancelled = False

    async def body() -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled = True
            raise

    with pytest.raises(DeadlineExceeded, match=r"rag\.query.*deadline_s="):
        await steps(call_s=0.05).run(make_call(), body)
    assert cancelled


async def test_bulk_verb_has_the_long_deadline_and_inner_calls_the_shorter() -> None:
    """An inner call never outlives the outer one."""
    guard = steps(call_s=5.0, bulk_s=60.0)
    left: list[float] = []

    async def look() -> None:
        left.append(remaining_s() or 0.0)

    async def outer() -> None:
        await look()
        await guard.run(make_call(), look)

    await guard.run(make_call(bulk=True), outer)
    assert 55 < left[0] <= 60
    assert left[1] <= 5

    async def short() -> None:
        await guard.run(make_call(bulk=True), look)

    await guard.run(make_call(), short)
    assert left[2] <= 5
    assert remaining_s() is None


async def test_timeout_of_the_body_is_not_taken_for_the_deadline() -> None:
    """A TimeoutError of the body's own passes as it is."""

    async def body() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own") as raised:
        await steps().run(make_call(), body)
    assert not isinstance(raised.value, DeadlineExceeded)


async def test_intake_drains_then_cancels_then_refuses() -> None:
    """Quick work is finished, slow work is cancelled and counted, new work is refused."""
    intake = Intake()
    guard = Guard([intake])
    ended: list[str] = []

    async def work(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    quick = asyncio.create_task(guard.run(make_call(), lambda: work("quick", 0.05)))
    slow = asyncio.create_task(guard.run(make_call(), lambda: work("slow", 30)))
    await asyncio.sleep(0.01)
    assert await intake.drain(0.3) == 1
    assert ended == ["quick"]
    await quick
    with pytest.raises(asyncio.CancelledError):
        await slow
    with pytest.raises(ClientClosed):
        await guard.run(make_call(), lambda: work("late", 0))
    assert await intake.drain(0.1) == 0


async def test_together_cancels_the_rest_and_raises_the_first_error_bare() -> None:
    """No exception group reaches the caller."""
    cancelled = asyncio.Event()

    async def wait() -> int:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return 1

    async def fail() -> int:
        await asyncio.sleep(0)
        raise InvalidInput("bare")

    with pytest.raises(InvalidInput, match="bare"):
        await together(wait(), fail())
    assert cancelled.is_set()
    assert await together(asyncio.sleep(0, 1), asyncio.sleep(0, 2)) == (1, 2)


def test_unconfigured_log_prints_nothing() -> None:
    """A cell shows its results, not our events, until the application asks for them."""
    code = (
        "from aisdk.core.runtime.logging import logger\n"
        "logger().warning('documents.add', outcome='x')"
    )
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("tenant", ["-a", "a b", "a/b", "a" * 64])
def test_verb_of_a_malformed_tenant_is_refused_at_once(tenant: str) -> None:
    """A ValueError too, before anything is awaited."""
    with pytest.raises(ValueError, match="not a valid name"):
        Service(steps()).query(tenant, "x")  # type: ignore[unused-coroutine]  # none is made


async def test_shorter_outer_deadline_ends_an_inner_call(caplog: pytest.LogCaptureFixture) -> None:
    """Both calls end as the outer one's time is up, each logged once with that outcome."""
    caplog.set_level(logging.DEBUG, "aisdk")
    guard = steps(call_s=0.05, bulk_s=60.0)

    async def outer() -> None:
        await guard.run(make_call(bulk=True), lambda: asyncio.sleep(30))

    async with asyncio.timeout(10):
        with pytest.raises(DeadlineExceeded):
            await guard.run(make_call(), outer)
    assert len(caplog.records) == 2
    assert vars(caplog.records[-1])["outcome"] == "deadline_exceeded"
    assert [leaks(record) for record in caplog.records] == [set(), set()]


async def test_cancelled_task_is_logged_once_as_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """Cancellation from outside, in the middle of the work."""
    caplog.set_level(logging.DEBUG, "aisdk")
    task = asyncio.create_task(steps().run(make_call(), lambda: asyncio.sleep(30)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [vars(record)["outcome"] for record in caplog.records] == ["cancelled"]


async def test_error_of_a_stranger_passes_as_it_is() -> None:
    """It is neither wrapped nor swallowed: a bug stays visible where it happened."""
    bug = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError) as raised:
        await Service(steps()).fail("acme", bug)
    assert raised.value is bug


async def test_idle_intake_drains_at_once_and_refuses_from_then_on() -> None:
    """With what to do next."""
    intake = Intake()
    async with asyncio.timeout(5):
        assert await intake.drain(60) == 0
    with pytest.raises(ClientClosed, match=r"aisdk\.connect"):
        await Guard([intake]).run(make_call(), lambda: asyncio.sleep(0))
