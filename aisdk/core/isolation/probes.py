"""Ways to reach another tenant's data: each is tried as a stranger, and as the tenant itself.

A probe is ``async (attacker, victim) -> (tried, leaked)``. Made with the victim as its own attacker
it must find the victim's data: that is its control.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from aisdk.core.runtime.cached import Cache
from aisdk.core.runtime.limits import Limiter
from aisdk.core.runtime.options import CallOptions, call_options
from aisdk.core.runtime.rates import Charge, Rate
from aisdk.core.storage.engine import Database
from aisdk.core.storage.tables import metadata
from aisdk.errors import AisdkError

__all__ = ["CANARY", "Probe", "Subjects", "Victim", "plant", "probes"]

Found: TypeAlias = tuple[int, int]
Probe: TypeAlias = Callable[[str, "Victim"], Awaitable[Found]]

CANARY: Final = "canary"
TABLES: Final = tuple(
    table.name for table in metadata.sorted_tables if "tenant_id" in table.columns
)
KEY: Final = "verify-isolation"
ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is probed.

    Attributes:
        database: The app role's.
        documents: The documents service.
        rag: The rag service.
        caching: The cache service.
        usage: The usage service.
        cache: What keeps cached values.
        limiter: What charges tenants.
        record: Tenant, verb and tokens → notes its use.
        export: Tenant and folder → writes it there.
    """

    database: Database
    documents: Any
    rag: Any
    caching: Any
    usage: Any
    cache: Cache
    limiter: Limiter
    record: Callable[[str, str, int], None]
    export: Callable[[str, Path], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Victim:
    """A tenant whose data nobody else may reach.

    Attributes:
        tenant_id: Its name.
        mark: A word that only its texts hold.
        document_id: One of its documents.
        cursor: Of its listing.
        chunk_ids: Its chunks.
    """

    tenant_id: str
    mark: str
    document_id: str
    cursor: str
    chunk_ids: list[int]


async def plant(subjects: Subjects, tenant_id: str, mark: str) -> Victim:
    """Gives a tenant data of every kind, all bearing its mark."""
    from aisdk.core.documents.sources import Document

    texts = [
        Document(f"The {mark} sings {number}.", f"{mark}-{number}", mark, {"mark": mark})
        for number in range(3)
    ]
    await subjects.documents.add(tenant_id, texts, progress=False)
    await _with_key(subjects.documents.delete, tenant_id, f"{mark}-2")
    await subjects.caching.set(tenant_id, CANARY, mark, ttl_s=600)
    page = await subjects.documents.list(tenant_id, limit=1)
    async with subjects.database.bulk(tenant_id) as connection:
        rows = await connection.fetch("SELECT chunk_id FROM aisdk.chunks")
    chunk_ids = [row[0] for row in rows]
    return Victim(tenant_id, mark, page[0].document_id, page.cursor or "", chunk_ids)


def probes(subjects: Subjects) -> Iterator[tuple[str, Probe]]:
    """Each probe with its name."""
    trials = _Trials(subjects)
    yield "SQL that reads", trials.sql_read
    yield "SQL that writes", trials.sql_write
    yield "SQL functions", trials.functions
    yield "search", trials.search
    yield "filters", trials.filters
    yield "document keys", trials.keys
    yield "cursors", trials.cursors
    yield "cached values", trials.cached
    yield "values under a stolen key", trials.stolen_value
    yield "rates", trials.rates
    yield "idempotency keys", trials.idempotency
    yield "usage", trials.used
    yield "exported files", trials.files
    yield "connections after cancellation", trials.cancelled


class _Trials:
    """The probes."""

    def __init__(self, subjects: Subjects) -> None:
        self._on = subjects

    async def sql_read(self, attacker: str, victim: Victim) -> Found:
        """Statements that forget the tenant, or name another."""
        counts = []
        async with self._on.database.bulk(attacker) as connection:
            for table in TABLES:
                query = f"SELECT count(*) FROM aisdk.{table} WHERE tenant_id = $1"  # noqa: S608  # nosec B608  # our own names
                counts.append(await connection.fetchval(query, victim.tenant_id))
        return len(counts), sum(map(bool, counts))

    async def sql_write(self, attacker: str, victim: Victim) -> Found:
        """Statements that change, take or delete another's rows; all are undone."""
        leaked = tried = 0
        async with self._on.database.bulk(attacker) as connection:
            for table in ("stores", "documents", "chunks", "usage", "idempotency"):
                for change in ("UPDATE aisdk.{} SET tenant_id = tenant_id", "DELETE FROM aisdk.{}"):
                    query = f"{change.format(table)} WHERE tenant_id = $1"
                    tried += 1
                    leaked += await _changes(connection, query, victim.tenant_id)
        return tried, leaked

    async def functions(self, attacker: str, victim: Victim) -> Found:
        """The functions of the schema, given another's chunks."""
        query = "SELECT 1 FROM aisdk.hits($1, $2)"
        rows = await self._on.database.fetch(query, attacker, victim.chunk_ids)
        return len(victim.chunk_ids), len(rows)

    async def search(self, attacker: str, victim: Victim) -> Found:
        """Questions for another's words, asked again so that the cache answers too."""
        modes = ["lexical", *(["hybrid", "dense"] if self._on.rag.embedder else [])]
        leaked = 0
        for mode in modes * 2:
            page = await self._on.rag.query(attacker, victim.mark, mode=mode)
            leaked += victim.mark in repr(list(page))
        return 2 * len(modes), leaked

    async def filters(self, attacker: str, victim: Victim) -> Found:
        """Filters that name another's metadata, or try to end the statement's own condition."""
        conditions: list[dict[str, Any]] = [
            {"mark": victim.mark},
            {"mark": {"in": [victim.mark, "' OR true --"]}},
            {"mark": {"!=": "x"}},
        ]
        pages = [await self._on.documents.list(attacker, where=where) for where in conditions]
        return len(pages), sum(victim.mark in repr(list(page)) for page in pages)

    async def keys(self, attacker: str, victim: Victim) -> Found:
        """Another's document by its id and by its source."""
        leaked = 0
        for key in (victim.document_id, f"{victim.mark}-0"):
            with suppress(AisdkError):
                leaked += victim.mark in repr(await self._on.documents.get(attacker, key))
        return 2, leaked

    async def cursors(self, attacker: str, victim: Victim) -> Found:
        """A listing gone on with from another's cursor."""
        try:
            await self._on.documents.list(attacker, cursor=victim.cursor)
        except AisdkError:
            return 1, 0
        return 1, 1

    async def cached(self, attacker: str, victim: Victim) -> Found:
        """The key under which another keeps a value."""
        return 1, int(await self._on.caching.get(attacker, CANARY) == victim.mark)

    async def stolen_value(self, attacker: str, victim: Victim) -> Found:
        """A value of another's that has got under one's own key: its envelope names its tenant."""
        name = f"{CANARY}-moved"
        await self._on.cache.move(victim.tenant_id, attacker, ("cache", CANARY), name)
        value = await self._on.caching.get(attacker, name)
        return 1, int(value == victim.mark)

    async def rates(self, attacker: str, victim: Victim) -> Found:
        """What one takes is not taken from another."""
        charge = Charge(KEY, Rate(60, 1_000), 50)
        look = replace(charge, cost=0)
        before = (await self._on.limiter.take(victim.tenant_id, [look])).used
        await self._on.limiter.take(attacker, [charge])
        after = (await self._on.limiter.take(victim.tenant_id, [look])).used
        return 1, int(after > before)

    async def idempotency(self, attacker: str, victim: Victim) -> Found:
        """The request that another has made, under its key: its answer is not ours."""
        try:
            await _with_key(self._on.documents.delete, attacker, f"{victim.mark}-2")
        except AisdkError:
            return 1, 0
        return 1, 1

    async def used(self, attacker: str, victim: Victim) -> Found:
        """What another has used."""
        verb = f"{CANARY}.{victim.mark}"
        self._on.record(victim.tenant_id, verb, 1)
        return 1, int(any(row.verb == verb for row in await self._on.usage.list(attacker)))

    async def files(self, attacker: str, victim: Victim) -> Found:
        """An exported tenant holds its own texts alone."""
        with tempfile.TemporaryDirectory(prefix="aisdk-") as folder:
            await self._on.export(attacker, Path(folder))
            leaked = await asyncio.to_thread(_holds, Path(folder), victim.mark)
        return 1, int(leaked)

    async def cancelled(self, attacker: str, victim: Victim) -> Found:
        """Connections given back by cancelled calls see no rows of whom they served last."""
        tasks = [
            asyncio.ensure_future(self._on.documents.list(victim.tenant_id)) for _ in range(ROUNDS)
        ]
        for task in tasks:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        query = "SELECT count(*) FROM aisdk.documents"
        leaked = 0
        for _ in range(ROUNDS):
            async with self._on.database.driver() as connection, connection.transaction():
                if attacker == victim.tenant_id:
                    setting = "SELECT set_config('aisdk.tenant_id', $1, true)"
                    await connection.execute(setting, attacker)
                leaked += bool(await connection.fetchval(query))
        return ROUNDS, leaked


async def _with_key(verb: Callable[..., Any], tenant_id: str, key: str) -> Any:
    token = call_options.set(CallOptions(idempotency_key=KEY))
    try:
        call = verb(tenant_id, key)
    finally:
        call_options.reset(token)
    return await call


async def _changes(connection: Any, query: str, tenant_id: str) -> int:
    """Whether a statement changes rows; it is undone."""
    undo = connection.transaction()
    await undo.start()
    try:
        status: str = await connection.execute(query, tenant_id)
    except Exception as error:  # noqa: BLE001  # the driver's: another's rows refused, or held
        return int(type(error).__name__ == "ForeignKeyViolationError")
    finally:
        await undo.rollback()
    return int(int(status.rsplit(maxsplit=1)[-1]) > 0)


def _holds(folder: Path, mark: str) -> bool:
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in folder.glob("*.parquet")]
    return any(mark in repr(table.to_pylist()) for table in tables)
