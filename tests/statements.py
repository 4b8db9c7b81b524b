"""Ways to reach another tenant by SQL: statements that an application could get wrong."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from rivals import Tenant, World

from aisdk.core.storage.tables import metadata, platform_idempotency
from aisdk.core.storage.vectors import vectors_as_binary

__all__ = ["functions", "linked", "register", "sql"]

TABLES: Final = [
    table.name
    for table in metadata.sorted_tables
    if "tenant_id" in table.columns and table is not platform_idempotency
]
PLANTS: Final = (
    "INSERT INTO aisdk.stores (tenant_id, language) VALUES ($1, 'simple')",
    "INSERT INTO aisdk.lexical_tombstones (tenant_id, chunk_id) VALUES ($1, -1)",
    "INSERT INTO aisdk.usage VALUES ($1, now(), 'x', 1, 0, 0, 0)",
    "INSERT INTO aisdk.idempotency VALUES ($1, 'k', 'x', '', '', now(), NULL, now())",
    "INSERT INTO aisdk.lexical_segments VALUES ($1, gen_random_uuid(), '', '', 0)",
    "INSERT INTO aisdk.chunk_vectors VALUES ($1, -1, '[1]')",
)
AGREEMENTS: Final = (
    "UPDATE aisdk.tenants SET tier = 'enterprise' WHERE tenant_id = $1",
    "UPDATE aisdk.tenants SET settings = '{}' WHERE tenant_id = $1",
    "UPDATE aisdk.tenants SET state = 'active' WHERE tenant_id = $1",
    "DELETE FROM aisdk.tenants WHERE tenant_id = $1",
    "INSERT INTO aisdk.tenants (tenant_id, tier) VALUES ($1 || 'x', 'unlimited')",
    "UPDATE aisdk.tiers SET documents = NULL WHERE $1 <> ''",
    "INSERT INTO aisdk.tiers (tier, weight) VALUES ($1, 1000)",
    "DELETE FROM aisdk.tiers WHERE $1 <> ''",
    "UPDATE aisdk.alembic_version SET version_num = $1",
    "INSERT INTO aisdk.platform_idempotency VALUES ('', $1, 'x', '', '', now(), NULL, now())",
    "DELETE FROM aisdk.platform_idempotency WHERE $1 <> ''",
    "SELECT FROM aisdk.platform_idempotency WHERE $1 <> ''",
)
LINK: Final = """
INSERT INTO aisdk.chunks (tenant_id, chunk_id, document_id, start_char, end_char, heading, text)
SELECT $1, nextval('aisdk.chunk_ids'), $2::uuid, 0, 1, '', 'x'
"""


async def changed(connection: Any, query: str, *arguments: Any) -> int:
    """Rows that a statement changed, or that a constraint alone kept it from; it is undone."""
    undo = connection.transaction()
    await undo.start()
    try:
        return int((await connection.execute(query, *arguments)).rsplit(maxsplit=1)[-1])
    except asyncpg.IntegrityConstraintViolationError:
        return 1
    except asyncpg.PostgresError:
        return 0
    finally:
        await undo.rollback()


async def sql(world: World, me: Tenant, them: Tenant) -> None:
    """Statements that forget the tenant or name another, with and without a tenant set."""
    database, see = world.client._parts.database, world.watch.that
    async with database.bulk(me.name) as connection:
        for table in TABLES:
            name = f"aisdk.{table}"
            everything = f"SELECT count(*) FROM {name} WHERE tenant_id <> $1"
            rows = await connection.fetchval(everything, me.name)
            see("SQL", rows == 0, f"a scan of {table} reached {rows} rows")
            for query in (
                f"UPDATE {name} SET tenant_id = tenant_id WHERE tenant_id = $2 AND $1 <> ''",
                f"UPDATE {name} SET tenant_id = $1 WHERE tenant_id = $2",
                f"UPDATE {name} SET tenant_id = $2 WHERE tenant_id = $1",
                f"DELETE FROM {name} WHERE tenant_id = $2 AND $1 <> ''",
            ):
                rows = await changed(connection, query, me.name, them.name)
                see("SQL", rows == 0, f"{query[:6]} of {table} reached {rows} rows")
        for query in PLANTS:
            rows = await changed(connection, query, them.name)
            see("SQL", rows == 0, "a row was planted")
        for key in them.held.values():
            rows = await changed(connection, LINK, them.name, key)
            see("SQL", rows == 0, "a chunk was planted")
    async with database.driver() as connection:
        for table in TABLES:
            rows = await connection.fetchval(f"SELECT count(*) FROM aisdk.{table}")
            see("SQL", rows == 0, f"{table} is seen without a tenant")


async def register(world: World, me: Tenant, them: Tenant) -> None:
    """What is agreed on with tenants, changed by the role that serves them."""
    async with world.client._parts.database.bulk(me.name) as connection:
        for query in AGREEMENTS:
            for name in (me.name, them.name):
                rows = await changed(connection, query, name)
                world.watch.that("register", rows == 0, "a tenant changed its own agreement")


async def linked(world: World, me: Tenant, them: Tenant) -> None:
    """A chunk of one's own below another's document: the foreign key names the tenant."""
    async with world.client._parts.database.bulk(me.name) as connection:
        for key in them.held.values():
            undo = connection.transaction()
            await undo.start()
            try:
                await connection.execute(LINK, me.name, key)
                reached = True
            except asyncpg.ForeignKeyViolationError:
                reached = False
            finally:
                await undo.rollback()
            world.watch.that("SQL", not reached, "a foreign key reached another's row")


async def functions(world: World, me: Tenant, them: Tenant) -> None:
    """The functions of the schema with the own tenant and another's chunks."""
    database, see = world.client._parts.database, world.watch.that
    async with database.bulk(them.name) as connection:
        theirs = [row[0] for row in await connection.fetch("SELECT chunk_id FROM aisdk.chunks")]
    hits = await database.fetch("SELECT 1 FROM aisdk.hits($1, $2)", me.name, theirs)
    see("functions", not hits, "hits() read another's chunks")
    own = await database.fetch("SELECT text FROM aisdk.hits($1, $2)", them.name, theirs)
    see("functions", len(own) == len(theirs), "chunks are gone")
    embedder = world.client._parts.embedder
    if embedder is None:
        return
    vector = vectors_as_binary(await embedder.embed(["pump"]))[0]
    scores = "SELECT 1 FROM aisdk.chunk_scores($1, $2, $3)"
    within = "SELECT 1 FROM aisdk.search_dense_within($1, NULL, $2, 100, $3)"
    for query in (scores, within):
        rows = await database.fetch(query, me.name, vector, theirs)
        see("functions", not rows, "a vector of another's was read")
