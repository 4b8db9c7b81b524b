"""Parts of the benchmarks: a client on an embedded database of its own, and filled tenants."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import aisdk
from aisdk.core.documents.adding import document_id_of
from aisdk.core.documents.types import Batch, ChunkRow, DocumentRow
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.guard import Limits
from aisdk.settings import Settings

WORDS = np.array(
    ["pump", "valve", "water", "gate", "river", "basin", "flow", "turbine", "pipe", "pressure"]
)  # shorter


@pytest.fixture(scope="session")
def client() -> Iterator[aisdk.Client]:
    """A client without an embedding model."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    for name in [name for name in os.environ if name.startswith("AISDK_")]:
        if not name.startswith("AISDK_BENCH"):
            del os.environ[name]
    with aisdk.Client(Settings(home=home, embedding="none")) as shared:
        yield shared
    shutil.rmtree(home, ignore_errors=True)


def vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors of 384 numbers in clusters, as embeddings are."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(64, 384))
    rows = centres[generator.integers(0, 64, count)] + generator.normal(size=(count, 384))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def batches(tenant: str, count: int, size: int = 500, per_document: int = 10) -> list[Batch]:
    """Documents of ten chunks of about a hundred words with given vectors."""
    generator = np.random.default_rng(1)
    rows = vectors(count)
    made = []
    for start in range(0, count, size):
        documents, chunks = [], []
        for place in range(min(size, count - start) // per_document):
            source = f"s{start + place}"
            key = document_id_of(tenant, source)
            documents.append(DocumentRow(key, source, source, "{}", key.bytes * 2, 5_000))
            for number in range(per_document):
                numbers = generator.integers(0, 20_000, 20)
                text = " ".join([*generator.choice(WORDS, 60), *(f"w{n}" for n in numbers)])
                span = (number * len(text), (number + 1) * len(text))
                chunks.append(ChunkRow(place, *span, "", text))
        made.append(Batch(documents, chunks, rows[start : start + size], "given"))
    return made


def fill(client: aisdk.Client, count: int) -> str:
    """A tenant with so many chunks."""
    tenant = f"t{uuid.uuid4().hex[:10]}"
    service = client._parts.documents
    analyzer = client._parts.analyzer("simple")

    async def put() -> None:
        await service.store.open(tenant, "simple")
        for batch in batches(tenant, count, size=100):
            await service.store.put(tenant, batch, index_batch(batch, analyzer), Limits())

    client.check(tenant)
    client._portal.call(put)
    return tenant


def run(client: aisdk.Client, work: object) -> object:
    """The result of a coroutine function on the client's loop."""
    return client._portal.call(work)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for the bare driver."""
    made = asyncio.new_event_loop()
    yield made
    made.close()
