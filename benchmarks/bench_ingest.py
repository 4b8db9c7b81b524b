"""The store step of documents.add with given vectors, against a bare binary COPY of its rows."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import uuid
from typing import Any

import asyncpg
import pytest
from conftest import batches

import aisdk
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.guard import Limits
from aisdk.core.storage.vectors import vectors_as_binary

COUNT = 20_000
COLUMNS = ["tenant_id", "chunk_id", "document_id", "start_char", "end_char", "text", "embedding"]


def bare_copy(client: aisdk.Client, tenant: str, loop: asyncio.AbstractEventLoop) -> float:
    """Seconds for a binary COPY of chunk rows with their vectors into one table with a key."""
    made = batches(tenant, COUNT)
    rows = []
    for batch in made:
        binary = vectors_as_binary(batch.vectors)
        for chunk, vector in zip(batch.chunks, binary, strict=True):
            document = batch.documents[chunk.document].document_id
            rows.append((tenant, len(rows), document, chunk.start, chunk.end, chunk.text, vector))

    async def copy() -> float:
        url = client._parts.server.address("aisdk_owner")
        connection = await asyncpg.connect(url)
        await connection.set_type_codec(
            "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
        )
        await connection.execute(
            "CREATE TABLE bare (tenant_id text, chunk_id bigint, document_id uuid, start_char int, "
            "end_char int, text text, embedding vector, PRIMARY KEY (tenant_id, chunk_id))"
        )
        started = time.perf_counter()
        await connection.copy_records_to_table("bare", records=rows, columns=COLUMNS)
        spent = time.perf_counter() - started
        await connection.execute("DROP TABLE bare")
        await connection.close()
        return spent

    return loop.run_until_complete(copy())


def store(client: aisdk.Client, tenant: str) -> float:
    """Seconds for storing the same chunks: rows, vectors, lexical index, RLS on."""
    service = client._parts.documents
    analyzer = client._parts.analyzer("simple")
    made = batches(tenant, COUNT)

    async def put() -> float:
        await service.store.open(tenant, "simple")
        indexed = [(batch, index_batch(batch, analyzer)) for batch in made]
        started = time.perf_counter()
        for batch, segment in indexed:
            await service.store.put(tenant, batch, segment, Limits())
        return time.perf_counter() - started

    client.check(tenant)
    spent: float = client._portal.call(put)
    return spent


def test_store_step_against_bare_copy(
    benchmark: Any, client: aisdk.Client, loop: asyncio.AbstractEventLoop
) -> None:
    """Three pairs in turn; the ratio is that of the medians."""
    client.start()
    pairs = [
        (store(client, f"t{uuid.uuid4().hex[:8]}"), bare_copy(client, "bare", loop))
        for _ in range(3)
    ]
    ours, bare = sorted(pair[0] for pair in pairs)[1], sorted(pair[1] for pair in pairs)[1]
    benchmark.extra_info |= {
        "chunks_per_s": round(COUNT / ours),
        "bare_copy_per_s": round(COUNT / bare),
        "ratio": round(bare / ours, 3),
    }
    tracemalloc.start()
    benchmark.pedantic(lambda: store(client, f"t{uuid.uuid4().hex[:8]}"), rounds=1)
    benchmark.extra_info["peak_mib"] = round(tracemalloc.get_traced_memory()[1] / 2**20)
    tracemalloc.stop()


@pytest.mark.parametrize("count", [20_000])
def test_add_again(benchmark: Any, client: aisdk.Client, count: int) -> None:
    """documents.add of texts that are stored already, against the first time."""
    session = aisdk.connect(f"t{uuid.uuid4().hex[:8]}", client=client)
    texts = [f"note {number} about pumps and valves in the river basin" for number in range(count)]
    started = time.perf_counter()
    session.documents.add(texts, progress=False)
    first = time.perf_counter() - started
    result = benchmark.pedantic(lambda: session.documents.add(texts, progress=False), rounds=3)
    benchmark.extra_info["first_s"] = round(first, 2)
    benchmark.extra_info["ratio"] = round(benchmark.stats.stats.median / first, 3)
    assert {row[1] for row in result.records} == {"unchanged"}
