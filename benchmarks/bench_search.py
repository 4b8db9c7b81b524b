"""Recall and time of dense search for tenants of very different sizes in one store.

Run with ``python benchmarks/bench_search.py``. 100,000 vectors of 200 tenants with Zipf sizes;
every answer is compared with numpy's brute force over that tenant's vectors alone.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from conftest import batches, vectors

import aisdk
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.guard import Limits
from aisdk.settings import Settings

CHUNKS = 100_000
TENANTS = 200
QUERIES = 20
TOP_K = 10


def sizes() -> list[int]:
    """Chunks of each tenant, by Zipf's law, the largest first; multiples of ten."""
    weights = 1 / np.arange(1, TENANTS + 1)
    counts = (weights / weights.sum() * CHUNKS / 10).astype(int) * 10
    return [max(int(count), TOP_K) for count in counts]


def fill(client: aisdk.Client, tenant: str, count: int) -> None:
    """Stores a tenant's chunks with their vectors."""
    service = client._parts.documents
    analyzer = client._parts.analyzer("simple")

    async def put() -> None:
        await service.store.open(tenant, "simple")
        for batch in batches(tenant, count, size=min(1_000, count)):
            await service.store.put(tenant, batch, index_batch(batch, analyzer), Limits())

    client.check(tenant)
    client._portal.call(put)


def measure(client: aisdk.Client, tenant: str, count: int) -> tuple[float, float, int]:
    """Mean recall@10, median milliseconds, and the fewest hits of a query."""
    session = aisdk.connect(tenant, client=client)
    rows = vectors(count)
    recalls, spent, fewest = [], [], TOP_K
    for query in vectors(QUERIES, seed=count):
        started = time.perf_counter()
        page = session.rag.query(vector=query, top_k=TOP_K)
        spent.append((time.perf_counter() - started) * 1000)
        scores = rows @ query
        least = np.sort(scores)[-TOP_K]
        recalls.append(sum(hit.score >= least - 1e-5 for hit in page) / TOP_K)
        fewest = min(fewest, len(page))
    return statistics.mean(recalls), statistics.median(spent), fewest


def main() -> None:
    """Prints the table."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    counts = sizes()
    try:
        with aisdk.Client(Settings(home=home, embedding="none")) as client:
            client.start()
            for number, count in enumerate(counts):
                fill(client, f"t{number}", count)
            print(f"{sum(counts):,} chunks of {len(counts)} tenants")
            print("  chunks  recall@10  p50 ms  fewest hits")
            worst = 1.0
            for number, count in enumerate(counts):
                recall, spent, fewest = measure(client, f"t{number}", count)
                worst = min(worst, recall)
                if number in (0, 1, 4, 9, 19, 49, 99, 199):
                    print(f"{count:8,} {recall:10.3f} {spent:7.2f} {fewest:12}")
            print(f"lowest recall of all tenants {worst:.3f}")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
