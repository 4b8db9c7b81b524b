"""Sharing out work among a few tasks."""

from __future__ import annotations

import asyncio

import pytest

from aisdk.integrations.workers import share_out


async def test_share_out_many_items_does_each_once_within_the_bound() -> None:
    """Every item is worked on exactly once, never more than three at a time."""
    done: list[int] = []
    running = most = 0

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        done.append(item)
        running -= 1

    await share_out(work, range(20), 3)
    assert sorted(done) == list(range(20))
    assert most == 3


async def test_share_out_failing_item_raises_its_error_and_stops_the_rest() -> None:
    """The error arrives bare, and no task goes on behind the caller's back."""
    done: list[int] = []

    async def work(item: int) -> None:
        if item == 1:
            raise LookupError(item)
        await asyncio.sleep(0.01)
        done.append(item)

    with pytest.raises(LookupError):
        await share_out(work, range(100), 2)
    assert done == []


async def test_share_out_cancelled_stops_all_workers() -> None:
    """Cancelling the caller cancels the workers and passes through."""
    stopped = 0

    async def work(_: int) -> None:
        nonlocal stopped
        try:
            await asyncio.Event().wait()
        finally:
            stopped += 1

    task = asyncio.create_task(share_out(work, range(10), 4))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped == 4
