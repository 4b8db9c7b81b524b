"""The hot path: a dense query by a given vector, against the bare driver in four round trips."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import numpy as np
import pytest
from conftest import fill, vectors

import aisdk
from aisdk.core.storage.vectors import vectors_as_binary

BARE = """
SELECT c.chunk_id, d.document_id, d.title, d.source, c.text, c.start_char, c.end_char, c.heading,
       d.metadata, -(v.embedding <#> $2) AS score
FROM (SELECT chunk_id, embedding FROM aisdk.chunk_vectors WHERE tenant_id = $1
      ORDER BY embedding <#> $2 LIMIT 10) AS v
JOIN aisdk.chunks AS c ON c.tenant_id = $1 AND c.chunk_id = v.chunk_id
JOIN aisdk.documents AS d ON d.tenant_id = $1 AND d.document_id = c.document_id
ORDER BY score DESC
"""
SIZES = [100, 1_700]
QUERIES = vectors(200, seed=9)


@pytest.fixture(scope="module", params=SIZES)
def tenant(client: aisdk.Client, request: pytest.FixtureRequest) -> str:
    """A tenant of so many chunks."""
    return fill(client, request.param)


@pytest.fixture(scope="module")
def bare(client: aisdk.Client, loop: asyncio.AbstractEventLoop) -> Any:
    """A connection of the bare driver, as the app role."""

    async def connect() -> Any:
        client.start()
        connection = await asyncpg.connect(client._parts.database._server.url())
        await connection.set_type_codec(
            "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
        )
        return connection

    connection = loop.run_until_complete(connect())
    yield connection
    loop.run_until_complete(connection.close())


def test_bare_driver(
    benchmark: Any, bare: Any, tenant: str, loop: asyncio.AbstractEventLoop
) -> None:
    """BEGIN, set_config, query, COMMIT."""
    numbers = iter(range(10**9))

    async def search() -> Any:
        vector = vectors_as_binary(QUERIES[next(numbers) % 200][None])[0]
        async with bare.transaction():
            await bare.execute("SELECT set_config('aisdk.tenant_id', $1, true)", tenant)
            return await bare.fetch(BARE, tenant, vector)

    rows = benchmark(lambda: loop.run_until_complete(search()))
    assert len(rows) == 10


def test_blocking_face(benchmark: Any, client: aisdk.Client, tenant: str) -> None:
    """session.rag.query(vector=…) as in a cell, without the frame."""
    session = aisdk.connect(tenant, client=client)
    numbers = iter(range(10**9))
    page = benchmark(lambda: session.rag.query(vector=QUERIES[next(numbers) % 200], top_k=10))
    assert len(page) == 10


def test_async_face(benchmark: Any, client: aisdk.Client, tenant: str) -> None:
    """The same awaited on the client's own loop, a hundred at a time."""
    session = client.session(tenant)
    numbers = iter(range(10**9))

    async def hundred() -> Any:
        for _ in range(100):
            page = await session.rag.query(vector=QUERIES[next(numbers) % 200], top_k=10)
        return page

    page = benchmark(lambda: client._portal.call(hundred))
    benchmark.extra_info["per_call_us"] = benchmark.stats.stats.median * 1e6 / 100
    assert len(page) == 10


def test_results_are_exact(client: aisdk.Client, tenant: str) -> None:
    """Recall against brute force is 1."""
    session = aisdk.connect(tenant, client=client)
    count = session.documents.info().chunks
    every = session.rag.query(vector=QUERIES[0], top_k=min(count, 1_000))
    rows = vectors(count)
    best = np.sort(rows @ QUERIES[0])[::-1][: len(every)]
    assert np.allclose([hit.score for hit in every], best, atol=1e-5)
