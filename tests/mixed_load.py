"""Calls of every kind on one client, good and bad, without end: what a soak consists of."""

from __future__ import annotations

import asyncio
import random
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aisdk
from aisdk import AsyncSession, Document
from aisdk.errors import AisdkError, InternalError

TENANTS: Final = tuple(f"tenant-{number}" for number in range(6))
LIMITS: Final = {
    "tenant-4": {"requests_per_minute": 300, "burst": 20, "concurrent_calls": 2},
    "tenant-5": {"documents": 20},
}
SOURCES: Final = 40  # of a tenant: what is added later replaces them, so that no store grows
WORDS: Final = [f"word{number}" for number in range(2_000)]
QUESTIONS: Final = [f"what does word{number} do?" for number in range(20)]
LONGEST_PAUSE_S: Final = 0.2

Call = Callable[[AsyncSession, random.Random], Coroutine[Any, Any, object]]


def words(chance: random.Random, count: int) -> str:
    """So many words."""
    return " ".join(chance.choices(WORDS, k=count))


def document(chance: random.Random) -> Document:
    """A text in place of an earlier one."""
    source = f"s{chance.randrange(SOURCES)}"
    text = words(chance, chance.randint(1, 400))
    return Document(text, source=source, title=words(chance, 3), metadata={"n": len(text)})


async def add(session: AsyncSession, chance: random.Random) -> None:
    """Replaces some documents."""
    some = [document(chance) for _ in range(chance.randint(1, 4))]
    await session.documents.add(some, progress=False, raise_on_error=False)


async def update(session: AsyncSession, chance: random.Random) -> None:
    """Changes a document, if it is there."""
    await session.documents.update(f"s{chance.randrange(SOURCES)}", title=words(chance, 3))


async def delete(session: AsyncSession, chance: random.Random) -> None:
    """Deletes a document, if it is there."""
    await session.documents.delete(f"s{chance.randrange(SOURCES)}")


async def delete_some(session: AsyncSession, chance: random.Random) -> None:
    """Deletes all short ones."""
    await session.documents.delete(where={"n": {"<": chance.randint(1, 100)}})


async def ask_again(session: AsyncSession, chance: random.Random) -> None:
    """A question that was asked before."""
    await session.rag.query(chance.choice(QUESTIONS), top_k=5)


async def ask_anew(session: AsyncSession, chance: random.Random) -> None:
    """A question that nobody asked, in any mode."""
    modes: Any = ["hybrid", "lexical", "dense"]
    page = await session.rag.query(words(chance, 5), mode=chance.choice(modes))
    page.to_frame()


async def ask_for_vector(session: AsyncSession, chance: random.Random) -> None:
    """A vector of the caller's: never cached."""
    await session.rag.query(vector=[chance.gauss(0, 1) for _ in range(384)])


async def ask_many(session: AsyncSession, chance: random.Random) -> None:
    """Several questions at once."""
    await session.rag.query_many([words(chance, 4) for _ in range(5)], top_k=3)


async def ask_where(session: AsyncSession, chance: random.Random) -> None:
    """With a condition, and how it was found."""
    await session.rag.explain(words(chance, 4), where={"n": {">": chance.randint(0, 900)}})


async def ask_from_thread(session: AsyncSession, chance: random.Random) -> None:
    """The blocking face, from another thread."""
    blocking = aisdk.connect(session.tenant_id, client=session.client)
    await asyncio.to_thread(blocking.rag.query, chance.choice(QUESTIONS), mode="lexical")


async def cache(session: AsyncSession, chance: random.Random) -> None:
    """Values of the caller's own."""
    key = f"key{chance.randrange(50)}"
    await session.cache.set(key, {"words": words(chance, 20)}, ttl_s=30)
    await session.cache.get(key)
    await session.cache.delete(key)
    await session.cache.stats()


async def look(session: AsyncSession, chance: random.Random) -> None:
    """Pages of documents, one of them, and how many there are."""
    page = await session.documents.list(limit=5, order=chance.choice(["source", "-created_at"]))
    while page.cursor is not None:
        page = await page.next()
    await session.documents.info()
    await session.documents.count(where={"n": {">": 100}})
    await session.documents.get(f"s{chance.randrange(SOURCES)}")


async def account(session: AsyncSession, chance: random.Random) -> None:
    """What was used, and what is left."""
    del chance
    await session.usage.limits()
    (await session.usage.list()).to_frame()


async def twice(session: AsyncSession, chance: random.Random) -> None:
    """A write and its repetition."""
    once = session.with_options(idempotency_key=str(uuid.UUID(int=chance.getrandbits(128))))
    some = [document(chance)]
    for _ in range(2):
        await once.documents.add(some, progress=False, raise_on_error=False)


async def hurry(session: AsyncSession, chance: random.Random) -> None:
    """A deadline that is hardly enough, or not."""
    hurried = session.with_options(deadline_s=chance.uniform(0.001, 0.1))
    await hurried.rag.query(words(chance, 5))


async def leave(session: AsyncSession, chance: random.Random) -> None:
    """A caller who does not wait for the end."""
    task = asyncio.create_task(chance.choice([add, ask_anew, ask_many, cache])(session, chance))
    await asyncio.sleep(chance.uniform(0, 0.02))
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        await task


async def err(session: AsyncSession, chance: random.Random) -> None:
    """A call that makes no sense."""
    wrong: Any = chance.choice(
        [
            lambda: session.rag.query(""),
            lambda: session.rag.query("x", top_k=0),
            lambda: session.rag.query("x", where={"n": {"~": 1}}),
            lambda: session.rag.query("x", vector=[0.0]),
            lambda: session.documents.list(cursor="x.y"),
            session.documents.delete,
            lambda: session.documents.get("nothing"),
            lambda: session.documents.add(object(), progress=False),
            lambda: session.cache.set("", 1, ttl_s=0),
            lambda: session.client.rag.query("", "x"),
            lambda: session.with_options(deadline_s=-1).rag.query("x"),
        ]
    )
    await wrong()


CALLS: Final[dict[Call, int]] = {
    add: 10,
    update: 4,
    delete: 4,
    delete_some: 1,
    ask_again: 20,
    ask_anew: 10,
    ask_for_vector: 5,
    ask_many: 3,
    ask_where: 3,
    ask_from_thread: 5,
    cache: 8,
    look: 6,
    account: 3,
    twice: 4,
    hurry: 6,
    leave: 6,
    err: 6,
}

MANY: Final[dict[Call, int]] = {add: 10, ask_from_thread: 20, cache: 60, ask_for_vector: 60}


class MixedLoad:
    """Workers that make one call after another.

    Attributes:
        outcomes: Call and how it ended (``ok``, ``cancelled``, an error's code) → how often.
        wrong: How many calls ended in an error that is not of aisdk, or that aisdk did not expect.

    Args:
        client: Serves them all.
        chance: Decides what is called.
    """

    def __init__(self, client: aisdk.Client, chance: random.Random) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrong = 0
        self._client = client
        self._chance = chance

    async def prepare(self) -> None:
        """Makes the tenants."""
        for tenant in TENANTS:
            await self._client.documents.info(tenant)
            await self._client.tenants.update(tenant, settings=LIMITS.get(tenant, {}))

    async def burst(self) -> None:
        """Everything once, and then what fills each pool to its full size."""
        for call in CALLS:
            await self._make(call)
        for call, times in MANY.items():
            await asyncio.gather(*(self._make(call) for _ in range(times)))

    def complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Counts what a loop tells of a task that nobody waited for."""
        self.wrong += 1
        loop.default_exception_handler(context)

    async def work(self) -> None:
        """One call after another, with pauses, until cancelled."""
        while True:
            (call,) = self._chance.choices(list(CALLS), weights=list(CALLS.values()))
            await self._make(call)
            await asyncio.sleep(self._chance.uniform(0, LONGEST_PAUSE_S))

    async def _make(self, call: Call) -> None:
        session = self._client.session(self._chance.choice(TENANTS))
        outcome = "ok"
        try:
            await call(session, self._chance)
        except InternalError as error:
            self._note(error)
            outcome = error.code
        except AisdkError as error:
            outcome = error.code
        except Exception as error:  # noqa: BLE001  # counted, and told at the end
            self._note(error)
            outcome = "wrong"
        self.outcomes[call.__name__, outcome] += 1

    def _note(self, error: BaseException) -> None:
        """Counts it, and prints where it was raised."""
        self.wrong += 1
        traceback.print_exception(error)
