"""Awaits coroutines side by side, or one to its end whatever becomes of who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar, overload

__all__ = ["to_its_end", "together"]

T = TypeVar("T")
U = TypeVar("U")


@overload
async def together(one: Coroutine[Any, Any, T], two: Coroutine[Any, Any, U], /) -> tuple[T, U]: ...
@overload
async def together(*work: Coroutine[Any, Any, T]) -> tuple[T, ...]: ...
async def together(*work: Coroutine[Any, Any, Any]) -> tuple[Any, ...]:
    """The results in order.

    Args:
        work: Coroutines; all have ended when this returns or raises. Bound their number.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that is done whole, whatever becomes of the caller.

    It runs in a context of its own: neither the caller's deadline nor a cancellation reaches it. A
    caller that was cancelled meanwhile is so when the work has ended.

    Args:
        work: It must end by itself.
    """
    task = asyncio.create_task(work, context=Context())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        if cancelled is not None:
            raise cancelled
        return task.result()
    finally:
        del cancelled  # its traceback holds this frame: a cycle otherwise
