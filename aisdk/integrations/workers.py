"""A fixed number of tasks that share one queue of work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ["share_out"]

T = TypeVar("T")


async def share_out(work: Callable[[T], Awaitable[None]], items: Iterable[T], tasks: int) -> None:
    """Does ``work`` for every item, at most ``tasks`` of them at a time.

    When one fails, or the caller is cancelled, the others are cancelled and waited for.

    Raises:
        Exception: The first error of ``work``, as it is.
    """
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(worker())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
