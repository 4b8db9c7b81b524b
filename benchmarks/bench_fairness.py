"""A quiet tenant's latency beside 64 busy workers of another, on eight connections.

Run with ``python benchmarks/bench_fairness.py``. A call spends five milliseconds in the database.
The quiet tenant calls every 10 ms; its 99th percentile beside the noisy one is told as a multiple
of its 99th percentile alone, in the same run: served by weight, and first come first served (the
turns taken away, so that callers queue for the pool as they come). Then the same with searches by
words, whose time is spent in this process, and with questions to MiniLM while the noisy tenant
embeds batches of texts. Each line holds the medians of the rounds.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import aisdk
from aisdk import Document
from aisdk.core.runtime.guard import Call, Verb
from aisdk.settings import Settings

WORKERS = 64
CALLS = 200
FEW_CALLS = 40  # of those that wait for seconds
ROUNDS = 3
EVERY_S = 0.01
VERB = Verb("bench.wait", reads=True)
LONG_VERB = Verb("bench.embed", reads=True, bulk=True)
WORDS = [f"word{number}" for number in range(2_000)]

Work = Callable[[str], Awaitable[object]]


def waiting(client: aisdk.Client) -> Work:
    """A call that spends five milliseconds in the database."""
    parts = client._parts

    async def body() -> object:
        return await parts.database.fetch("SELECT pg_sleep(0.005)")

    return lambda tenant: parts.guard.run(Call(VERB, tenant, "bench"), body)


def searching(client: aisdk.Client) -> Work:
    """A search by words."""
    rag, chance = client._parts.rag, random.Random(3)  # noqa: S311  # not for secrets
    return lambda tenant: rag.query(tenant, " ".join(chance.choices(WORDS, k=5)), mode="lexical")


def embedding(client: aisdk.Client) -> Work:
    """The quiet tenant embeds a question, the noisy one a batch of texts."""
    parts = client._parts
    batch = [document.text for document in texts(5)[:2]]
    asked = {"quiet": ["which valve leaks?"], "noisy": batch}

    def work(tenant: str) -> Awaitable[object]:
        call = Call(LONG_VERB, tenant, "bench")
        return parts.guard.run(call, lambda: parts.embedder.embed(asked[tenant]))

    return work


@dataclass(frozen=True)
class Round:
    """Latencies of the quiet tenant's calls in milliseconds, and what the noisy one got through."""

    alone: list[float]
    beside: list[float]
    noisy_per_s: float

    def ratio(self, share: float = 99) -> float:
        """How many times as long a call takes beside the noisy tenant, at a percentile."""
        return float(np.percentile(self.beside, share) / np.percentile(self.alone, share))


async def measure(work: Work, calls: int) -> list[float]:
    """How long each of the quiet tenant's calls takes."""
    spent = []
    for _ in range(calls):
        started = time.perf_counter()
        await work("quiet")
        spent.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(EVERY_S)
    return spent


async def compare(work: Work, calls: int) -> Round:
    """So many calls alone, and as many beside the noisy tenant."""
    alone = await measure(work, calls)
    done, stopping = 0, False

    async def noisy() -> None:
        nonlocal done
        while not stopping:
            await work("noisy")
            done += 1

    workers = [asyncio.create_task(noisy()) for _ in range(WORKERS)]
    await asyncio.sleep(0.3)
    started, before = time.perf_counter(), done
    beside = await measure(work, calls)
    per_s = (done - before) / (time.perf_counter() - started)
    stopping = True
    await asyncio.gather(*workers)
    return Round(alone, beside, per_s)


async def tell(name: str, client: aisdk.Client, work: Work, calls: int = CALLS) -> None:
    """Prints a line of the table."""
    rounds = [await client._portal.hop(lambda: compare(work, calls)) for _ in range(ROUNDS)]
    ratios = [each.ratio() for each in rounds]
    alone = statistics.median(float(np.percentile(each.alone, 99)) for each in rounds)
    beside = statistics.median(float(np.percentile(each.beside, 99)) for each in rounds)
    noisy = statistics.median(each.noisy_per_s for each in rounds)
    print(
        f"{name:45} {alone:8.1f} {beside:8.1f} {statistics.median(ratios):8.2f}"
        f"   {min(ratios):5.2f}-{max(ratios):5.2f} {noisy:10.0f}",
        flush=True,
    )


@contextmanager
def first_come_first_served(client: aisdk.Client) -> Iterator[None]:
    """Takes the turns away: callers queue for the pool as they come."""
    database = client._parts.database
    around = database._around
    database._around = replace(around, turn=nullcontext)
    try:
        yield
    finally:
        database._around = around


class OneQueue:
    """Work for threads, first come first served."""

    def __init__(self, threads: int) -> None:
        self._free = asyncio.Semaphore(threads)

    async def thread(self, work: Callable[..., object], *arguments: object) -> object:
        """What the work returns."""
        async with self._free:
            return await asyncio.to_thread(work, *arguments)


@contextmanager
def one_queue_for_cores(client: aisdk.Client) -> Iterator[None]:
    """Takes the turns at the embedding model away."""
    embedder = client._parts.embedder
    turns = embedder._turns
    embedder._turns = OneQueue(embedder._cores)
    try:
        yield
    finally:
        embedder._turns = turns


def texts(seed: int) -> list[Document]:
    """Five hundred texts of sixty words."""
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    return [Document(" ".join(chance.choices(WORDS, k=60)), source=f"s{n}") for n in range(500)]


async def main() -> None:
    """Prints the table."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    settings = Settings(home=home, embedding="none", query_cache_s=0, pool_size=8)
    async with aisdk.Client(settings) as client:
        for seed, tenant in enumerate(("quiet", "noisy")):
            await client.documents.add(tenant, texts(seed), progress=False)
        print(
            f"{'p99 of the quiet tenant in ms':45} {'alone':>8} {'beside':>8} {'ratio':>8}"
            f"   {'from-to':>11} {'noisy/s':>10}"
        )
        await tell("5 ms in the database, by weight", client, waiting(client))
        with first_come_first_served(client):
            await tell("the same, first come first served", client, waiting(client))
        await client.tenants.update("noisy", settings={"concurrent_calls": 4})
        await tell("by weight, noisy tenant capped at 4 calls", client, waiting(client))
        await client.tenants.update("noisy", settings={})
        await tell("searches by words, by weight", client, searching(client))
        with first_come_first_served(client):
            await tell("the same, first come first served", client, searching(client))
        for most in (4, 1):
            await client.tenants.update("noisy", settings={"concurrent_calls": most})
            await tell(f"by weight, noisy tenant capped at {most}", client, searching(client))
    async with aisdk.Client(Settings(home=home, embedding="minilm")) as client:
        await client.astart()
        await tell("questions to MiniLM, by weight", client, embedding(client), FEW_CALLS)
        with one_queue_for_cores(client):
            await tell("the same, first come first served", client, embedding(client), FEW_CALLS)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
