"""Shared work: its errors reach those who wait, and nobody else."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from aisdk.core.runtime.flight import SingleFlight
from aisdk.errors import Busy


class Failed(Exception):
    """What the work ends with."""


async def fail_when_cancelled() -> None:
    """Ends in an error of its own where it should just stop, as a database driver may."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise Failed from None


async def told_of(work: Any) -> list[str]:
    """What the loop tells of tasks whose errors nobody looked at."""
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    try:
        await work()
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    return told


async def test_error_after_everybody_left_is_not_told() -> None:
    """The last caller's leaving ends the work; a bare task that fails so is told of."""

    async def leave() -> None:
        caller = asyncio.create_task(SingleFlight().run("key", fail_when_cancelled))
        await asyncio.sleep(0.01)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    async def leave_bare() -> None:
        task = asyncio.create_task(fail_when_cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    assert await told_of(leave) == []
    assert await told_of(leave_bare) == ["Task exception was never retrieved"], "the control"


async def test_error_reaches_everybody_who_waits() -> None:
    """It is raised in each of them."""
    flights = SingleFlight()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Failed

    calls = [flights.run("key", fail) for _ in range(3)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Failed] * 3


def test_work_of_another_loop_is_done_anew() -> None:
    """As in a forked child, where nobody ends what the parent began."""
    flights = SingleFlight()
    parent = asyncio.new_event_loop()
    caller = parent.create_task(flights.run("key", asyncio.Event().wait))
    parent.run_until_complete(asyncio.sleep(0.01))

    async def answer() -> str:
        return "made here"

    async def ask() -> str:
        async with asyncio.timeout(5):
            return await flights.run("key", answer)

    assert asyncio.run(ask()) == "made here"
    caller.cancel()
    parent.run_until_complete(asyncio.wait([caller]))
    parent.close()


async def test_first_caller_without_time_is_not_everybody_s_failure() -> None:
    """Whoever has time of its own does the work again."""
    flights, made = SingleFlight(), 0

    async def work() -> str:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        if made == 1:
            raise Busy
        return "made"

    calls = [asyncio.create_task(flights.run("key", work)) for _ in range(5)]
    first, *rest = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, Busy)
    assert rest == ["made"] * 4
    assert made == 2
