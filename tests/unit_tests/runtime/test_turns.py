"""Turns at threads and cores: a tenant that asks for much does not keep the others waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fifo import Fifo

from aisdk.core.runtime.deadline import DeadlineStep
from aisdk.core.runtime.guard import Call, Verb
from aisdk.core.runtime.turns import Turns
from aisdk.errors import Busy

NOISY_CALLS = 30


async def as_tenant(name: str, work: Callable[[], Awaitable[Any]], *, deadline_s: float) -> Any:
    """Runs work as a verb of a tenant does."""
    step = DeadlineStep(call_s=deadline_s, bulk_s=deadline_s)
    return await step(Call(Verb("rag.query", reads=True), name, "request"), lambda _: work())


async def ahead_of_the_quiet(turns: Turns) -> int:
    """How many of a noisy tenant's pieces of work end before a quiet one's single piece."""
    done: list[str] = []
    go_on = threading.Semaphore(0)

    def work(name: str) -> None:
        go_on.acquire()
        done.append(name)

    def ask(name: str) -> asyncio.Task[Any]:
        return asyncio.create_task(as_tenant(name, lambda: turns.thread(work, name), deadline_s=60))

    tasks = [ask("noisy") for _ in range(NOISY_CALLS)]
    await asyncio.sleep(0)
    tasks.append(ask("quiet"))
    for _ in tasks:
        go_on.release()
    await asyncio.gather(*tasks)
    return done.index("quiet")


@pytest.mark.parametrize("slots", [1, 2, 4])
async def test_quiet_tenant_goes_before_the_rest_of_the_noisy_one(slots: int) -> None:
    """Only what runs already is ahead; where all stand in one queue it is the last."""
    assert await ahead_of_the_quiet(Turns(slots, "thread")) <= 2 * slots
    control = Turns(slots, "thread")
    control._admission = Fifo(slots)
    assert await ahead_of_the_quiet(control) > NOISY_CALLS - 2 * slots


async def test_call_that_gets_no_turn_is_told_so() -> None:
    """Before its deadline, and with what to do."""
    turns = Turns(1, "thread", hint="Send less at once.")
    async with turns.turn():
        with pytest.raises(Busy, match="No thread became free in time") as error:
            await as_tenant("acme", lambda: turns.thread(str), deadline_s=0.1)
    assert error.value.hint == "Send less at once."
    assert await as_tenant("acme", lambda: turns.thread(str, 5), deadline_s=5) == "5"


async def test_work_that_fails_or_is_cancelled_gives_its_turn_back() -> None:
    """The only one there is."""
    turns = Turns(1, "thread")
    with pytest.raises(ZeroDivisionError):
        await turns.thread(lambda: 1 // 0)
    begun = threading.Event()
    go_on = threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait()

    task = asyncio.create_task(turns.thread(wait))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    async with asyncio.timeout(5):
        assert await turns.thread(str, 5) == "5"
