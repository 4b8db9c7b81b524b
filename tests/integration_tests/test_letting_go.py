"""What a call has made goes when its caller lets go of it, and not when garbage is collected."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import pytest

import aisdk
from aisdk import AsyncSession, Document
from aisdk.errors import InvalidInput, NotFound

TIMES: Final = 5
Verb = Callable[[AsyncSession], Awaitable[object]]


async def adds(session: AsyncSession) -> None:
    """Adds a document, or finds it unchanged."""
    await session.documents.add([Document("a red pump", source="pump")], progress=False)


async def caches(session: AsyncSession) -> None:
    """A value of the caller's own."""
    await session.cache.set("key", {"pump": 1}, ttl_s=30)
    await session.cache.get("key")


async def is_not_found(session: AsyncSession) -> None:
    """An error of the store."""
    with suppress(NotFound):
        await session.documents.get("nothing")


async def is_refused(session: AsyncSession) -> None:
    """An error before the store is asked."""
    with suppress(InvalidInput):
        await session.rag.query("")


async def blocks(session: AsyncSession) -> None:
    """The blocking face."""
    blocking = aisdk.connect(session.tenant_id, client=session.client)
    await asyncio.to_thread(blocking.rag.query, "pump")


async def repeats(session: AsyncSession) -> None:
    """A write under a key."""
    await adds(session.with_options(idempotency_key="once"))


async def goes_round(session: AsyncSession) -> None:
    """Rows that hold themselves."""
    round_and_round: list[Any] = [await session.rag.query("pump")]
    round_and_round.append(round_and_round)


VERBS: Final[list[Verb]] = [
    *(adds, caches, is_not_found, is_refused, blocks, repeats),
    lambda session: session.rag.query("pump"),
    lambda session: session.rag.explain("pump"),
    lambda session: session.documents.list(),
    lambda session: session.documents.count(),
    lambda session: session.usage.limits(),
]


async def left_by(session: AsyncSession, verb: Verb) -> dict[str, int]:
    """The kinds of ours, and of tasks, that every call leaves to the collector of cycles.

    What was there before is looked at by no collection: others may let go of it meanwhile. What
    fewer than all leave came with a connection that the pool has dropped: asyncpg's are cycles,
    and their timers hold the context in which they were set.
    """
    await adds(session)
    await verb(session)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for _ in range(TIMES):
            await verb(session)
        await asyncio.sleep(0.1)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = [type(found) for found in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()
    ours = Counter(
        f"{kind.__module__}.{kind.__name__}"
        for kind in kinds
        if kind.__module__.partition(".")[0] in ("aisdk", "tenacity") or kind is asyncio.Task
    )
    return {kind: found for kind, found in ours.items() if found >= TIMES}


@pytest.mark.parametrize("verb", VERBS)
async def test_call_that_ended_is_held_by_nothing(session: aisdk.Session, verb: Verb) -> None:
    """Neither its answer, which may be large, nor its error with all that its frames hold."""
    assert await left_by(session.asynchronous(), verb) == {}


async def test_answer_that_is_held_is_found(session: aisdk.Session) -> None:
    """The control."""
    found = await left_by(session.asynchronous(), goes_round)
    assert found["aisdk.core.results.page.AsyncPage"] == TIMES


async def test_what_others_let_go_of_meanwhile_is_not_counted(session: aisdk.Session) -> None:
    """Such as the texts of an earlier test, with a connection that is dropped in this one."""
    pages = [await session.asynchronous().rag.query("pump") for _ in range(TIMES)]
    earlier: list[Any] = [[page] for page in pages]
    for own in earlier:
        own.append(own)
    del pages, own

    calls = count()

    async def lets_go(_: AsyncSession) -> None:
        if next(calls) > 0:  # the first is the one before the measure
            earlier.clear()

    assert await left_by(session.asynchronous(), lets_go) == {}
