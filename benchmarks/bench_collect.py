"""``documents.list().collect()`` of 100,000 documents to a frame, beside the bare driver.

Run with ``python benchmarks/bench_collect.py``. The bare side fetches the same columns in one
statement with asyncpg, in its transaction with the tenant set, and makes a ``pa.table`` of them.
The table has been analysed before, as autovacuum does within seconds.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pyarrow as pa

import aisdk
from aisdk.settings import Settings

COUNT = 100_000
ROUNDS = 5
FILL = """
INSERT INTO aisdk.documents (tenant_id, document_id, source, title, metadata, content_key,
                             size_bytes, chunk_count, state)
SELECT $1, gen_random_uuid(), format('docs/%s/%s.md', n % 97, n), format('Title %s', n),
       jsonb_build_object('year', 1990 + n % 30, 'tag', format('t%s', n % 7), 'lang', 'en'),
       '', n * 13, 3, 'ready'
FROM generate_series(1, $2) AS n
"""
BARE = """
SELECT document_id::text, source, title, metadata::text, size_bytes, chunk_count, state,
       error_code, created_at, updated_at
FROM aisdk.documents WHERE tenant_id = $1 AND state = 'ready' ORDER BY source, document_id
"""


async def analyse(url: str) -> None:
    """Gives the planner its statistics."""
    connection = await asyncpg.connect(url)
    await connection.execute("ANALYZE aisdk.documents")
    await connection.close()


async def bare(url: str) -> tuple[float, int]:
    """Seconds and rows of asyncpg and pyarrow alone."""
    connection = await asyncpg.connect(url)
    started = time.perf_counter()
    async with connection.transaction():
        await connection.execute("SELECT set_config('aisdk.tenant_id', 'acme', true)")
        rows = await connection.fetch(BARE, "acme")
    names = list(rows[0].keys())
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    frame = table.to_pandas()
    spent = time.perf_counter() - started
    await connection.close()
    return spent, len(frame)


def ours(session: aisdk.Session) -> tuple[float, int]:
    """Seconds and rows of a page collected to a frame."""
    started = time.perf_counter()
    page = session.documents.list(limit=1_000).collect(max_rows=COUNT, progress=False)
    frame = page.to_frame()
    return time.perf_counter() - started, len(frame)


async def fill(client: aisdk.Client) -> None:
    """Stores the documents' rows."""
    async with client._parts.database.bulk("acme") as connection:
        await connection.execute(FILL, "acme", COUNT)


def main() -> None:
    """Prints the medians, their ratio and how much memory the result took."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    try:
        with aisdk.Client(Settings(home=home, embedding="none")) as client:
            client.start()
            client._portal.call(lambda: fill(client))
            session = aisdk.connect("acme", client=client)
            server: Any = client._parts.server
            asyncio.run(analyse(server.address("aisdk_owner")))
            url = server.address("aisdk_app")
            before = psutil.Process().memory_info().rss
            mine, theirs = [], []
            for _ in range(ROUNDS):
                mine.append(ours(session))
                theirs.append(asyncio.run(bare(url)))
            assert {rows for _, rows in mine + theirs} == {COUNT}
            grown = psutil.Process().memory_info().rss - before
    finally:
        shutil.rmtree(home, ignore_errors=True)
    own = statistics.median(seconds for seconds, _ in mine)
    other = statistics.median(seconds for seconds, _ in theirs)
    print(f"collect {own:.2f} s, asyncpg + pa.table {other:.2f} s, ratio {own / other:.2f}")
    print(f"resident memory grew by {grown / 2**20:.0f} MiB over all rounds")


if __name__ == "__main__":
    main()
