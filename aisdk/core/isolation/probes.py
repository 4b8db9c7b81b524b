"""Ways to reach another tenant's data: each is tried as a stranger, and as the tenant itself.

A probe is ``async (attacker, victim) -> (tried, leaked)``. Made with the victim as its own attacker
it must find the victim's data each time: that is its control.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from aisdk.core.isolation.subjects import CANARY, Subjects, Victim, reached, with_key
from aisdk.core.runtime.rates import Charge, Rate
from aisdk.core.storage.connection import affected
from aisdk.errors import AisdkError

__all__ = ["Probe", "probes"]

Found: TypeAlias = tuple[int, int]
Probe: TypeAlias = Callable[[str, "Victim"], Awaitable[Found]]

CHARGE: Final = Charge("verify-isolation", Rate(60, 1_000), 50)
ROUNDS: Final = 8
REGISTER: Final = "tenants"

CHANGES: Final = (
    "UPDATE aisdk.{} SET tenant_id = tenant_id WHERE tenant_id = $1",
    "DELETE FROM aisdk.{} WHERE tenant_id = $1",
)
GIFT: Final = "UPDATE aisdk.{} SET tenant_id = $1 WHERE tenant_id = $2"
PLANTS: Final = (
    "INSERT INTO aisdk.lexical_tombstones (tenant_id, chunk_id) VALUES ($1, -1)",
    """
    INSERT INTO aisdk.usage (tenant_id, hour, verb, calls, failures, tokens, duration_ms)
    VALUES ($1, now(), 'verify-isolation', 1, 0, 0, 0)
    """,
)
AGREEMENTS: Final = (
    "UPDATE aisdk.tenants SET tier = tier WHERE tenant_id = $1",
    "UPDATE aisdk.tenants SET settings = '{}' WHERE tenant_id = $1",
    "DELETE FROM aisdk.tenants WHERE tenant_id = $1",
    """
    INSERT INTO aisdk.tenants (tenant_id, tier)
    SELECT $1 || '-new', tier FROM aisdk.tiers LIMIT 1
    """,
    "INSERT INTO aisdk.tiers (tier, weight) VALUES ($1 || '-tier', 1)",
    """
    UPDATE aisdk.tiers SET weight = weight
    WHERE $1 <> '' AND tier = (SELECT min(tier) FROM aisdk.tiers)
    """,
    """
    INSERT INTO aisdk.platform_idempotency
        (tenant_id, key, verb, fingerprint, holder, leased_until)
    VALUES ('', $1, 'verify-isolation', '', '', now())
    """,
)


def probes(subjects: Subjects) -> Iterator[tuple[str, Probe]]:
    """Each probe with its name; the last one ends the tenants."""
    trials = _Trials(subjects)
    yield "SQL that reads", trials.sql_read
    yield "SQL that writes", trials.sql_write
    yield "SQL that plants", trials.sql_plant
    yield "SQL on the register", trials.register
    yield "SQL functions", trials.functions
    yield "search", trials.search
    yield "filters", trials.filters
    yield "document keys", trials.keys
    yield "cursors", trials.cursors
    yield "cached values", trials.cached
    yield "values under a stolen key", trials.stolen_value
    yield "rates", trials.rates
    yield "idempotency keys", trials.idempotency
    yield "jobs", trials.jobs
    yield "usage", trials.used
    yield "exported files", trials.files
    yield "connections after cancellation", trials.cancelled
    yield "erasing", trials.erased


class _Trials:
    """The probes."""

    def __init__(self, subjects: Subjects) -> None:
        self._on = subjects

    async def sql_read(self, attacker: str, victim: Victim) -> Found:
        """Statements that forget the tenant, or name another."""
        async with self._on.database.bulk(attacker) as connection:
            seen = [await reached(connection, table, victim.tenant_id) for table in victim.tables]
        return len(seen), sum(seen)

    async def sql_write(self, attacker: str, victim: Victim) -> Found:
        """Statements that change or delete another's rows; all are undone."""
        tables = [table for table in victim.tables if table != REGISTER]
        statements = [change.format(table) for table in tables for change in CHANGES]
        async with self._on.database.bulk(attacker) as connection:
            done = [await _changes(connection, each, victim.tenant_id) for each in statements]
        return len(done), sum(done)

    async def sql_plant(self, attacker: str, victim: Victim) -> Found:
        """Statements that put rows among another's, new ones or one's own; all are undone."""
        tables = [table for table in victim.tables if table != REGISTER]
        async with self._on.database.bulk(attacker) as connection:
            done = [
                await _changes(connection, GIFT.format(table), victim.tenant_id, attacker)
                for table in tables
            ]
            done += [await _changes(connection, each, victim.tenant_id) for each in PLANTS]
        return len(done), sum(done)

    async def register(self, attacker: str, victim: Victim) -> Found:
        """What is agreed on with a tenant, changed by a tenant's own role; all is undone.

        The control is that the same statements work for the platform's role.
        """
        own = attacker == victim.tenant_id
        names = [victim.tenant_id] if own else [victim.tenant_id, attacker]
        done = []
        async with (self._on.platform if own else self._on.database).bulk(attacker) as connection:
            for name in names:
                done += [await _changes(connection, each, name) for each in AGREEMENTS]
        return len(done), sum(done)

    async def functions(self, attacker: str, victim: Victim) -> Found:
        """The functions of the schema, given another's chunks."""
        query = "SELECT 1 FROM aisdk.hits($1, $2)"
        rows = await self._on.database.fetch(query, attacker, victim.chunk_ids)
        return len(victim.chunk_ids), len(rows)

    async def search(self, attacker: str, victim: Victim) -> Found:
        """Questions for another's words, again so that the cache answers, and both at once."""
        modes = ["lexical", *(["hybrid", "dense"] if self._on.rag.embedder else [])]
        pages = [await self._on.rag.query(attacker, victim.mark, mode=each) for each in modes * 2]
        for mode in modes:
            asked = [
                self._on.rag.query(tenant_id, "who sings?", mode=mode)
                for tenant_id in (victim.tenant_id, attacker)
            ]
            pages.append((await asyncio.gather(*asked))[1])
        return len(pages), sum(victim.mark in repr(list(page)) for page in pages)

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
        """Another's document by its id and by its source, read and changed."""
        leaked = 0
        for key in (victim.document_id, f"{victim.mark}-0"):
            with suppress(AisdkError):
                leaked += victim.mark in repr(await self._on.documents.get(attacker, key))
            with suppress(AisdkError):
                await self._on.documents.update(attacker, key, title=victim.mark)
                leaked += 1
        return 4, leaked

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
        look = replace(CHARGE, cost=0)
        before = (await self._on.limiter.take(victim.tenant_id, look)).used
        await self._on.limiter.take(attacker, CHARGE)
        after = (await self._on.limiter.take(victim.tenant_id, look)).used
        return 1, int(after > before)

    async def idempotency(self, attacker: str, victim: Victim) -> Found:
        """The request that another has made, under its key: its answer is not ours."""
        try:
            await with_key(victim.mark, self._on.documents.delete, attacker, f"{victim.mark}-2")
        except AisdkError:
            return 1, 0
        return 1, 1

    async def jobs(self, attacker: str, victim: Victim) -> Found:
        """Another's job: how it stands, what came of it, and whether it can be ended."""
        leaked = 0
        for verb in (self._on.jobs.get, self._on.jobs.result, self._on.jobs.cancel):
            with suppress(AisdkError):
                await verb(attacker, victim.job_id)
                leaked += 1
        listed = await self._on.jobs.list(attacker)
        return 4, leaked + any(row.job_id == victim.job_id for row in listed)

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
        """Connections given back by calls, cancelled or not, see no rows of whom they served."""
        tasks = [
            asyncio.ensure_future(self._on.documents.list(victim.tenant_id)) for _ in range(ROUNDS)
        ]
        for number, task in enumerate(tasks[::2]):
            await asyncio.sleep(number / 1_000)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        query = "SELECT EXISTS (SELECT FROM aisdk.documents)"
        leaked = 0
        for _ in range(ROUNDS):
            async with self._on.database.driver() as connection, connection.transaction():
                if attacker == victim.tenant_id:
                    setting = "SELECT set_config('aisdk.tenant_id', $1, true)"
                    await connection.execute(setting, attacker)
                leaked += bool(await connection.fetchval(query))
        return ROUNDS, leaked

    async def erased(self, attacker: str, victim: Victim) -> Found:
        """Erasing one tenant takes nothing from another, whose name begins with its name."""
        await self._on.erase(attacker)
        async with self._on.database.bulk(victim.tenant_id) as connection:
            left = [await reached(connection, table, victim.tenant_id) for table in victim.tables]
        left.append(bool(await self._on.cache.left(victim.tenant_id)))
        return len(left), len(left) - sum(left)


async def _changes(connection: Any, query: str, *arguments: str) -> bool:
    """Whether a statement changes rows, or a constraint alone keeps it from that; it is undone."""
    undo = connection.transaction()
    await undo.start()
    try:
        status: str = await connection.execute(query, *arguments)
    except Exception as error:
        state = getattr(error, "sqlstate", None)
        if state is None:  # not the server's answer
            raise
        return str(state).startswith("23")
    finally:
        await undo.rollback()
    return affected(status) > 0


def _holds(folder: Path, mark: str) -> bool:
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in folder.glob("*.parquet")]
    return any(mark in repr(table.to_pylist()) for table in tables)
