"""The walls in the database, read from its own catalogue; each rule is broken once to be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import aisdk
from aisdk.core.storage.tables import SCHEMA, metadata
from aisdk.settings import Settings

TABLES: Final = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd = '*'
               AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL) AS has_policy,
       EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid
               AND (p.polroles = '{0}' OR EXISTS (
                   SELECT FROM unnest(p.polroles) AS role
                   WHERE pg_has_role('aisdk_app', role, 'USAGE')))
               AND NOT (
                   pg_get_expr(p.polqual, p.polrelid) LIKE '%aisdk.tenant_id%'
                   AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%aisdk.tenant_id%'
               )) AS has_hole,
       has_table_privilege('aisdk_app', c.oid, 'TRUNCATE') AS may_truncate
FROM pg_class AS c WHERE c.relnamespace = 'aisdk'::regnamespace AND c.relkind IN ('r', 'p')
AND c.relname NOT IN ('alembic_version', 'tiers')
"""
CONSTRAINTS: Final = """
SELECT k.conname, a.attname AS first
FROM pg_constraint AS k
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.connamespace = 'aisdk'::regnamespace AND k.contype IN ('p', 'u', 'f')
AND k.conrelid NOT IN ('aisdk.alembic_version'::regclass, 'aisdk.tiers'::regclass)
AND k.confrelid <> 'aisdk.tiers'::regclass
"""
INDEXES: Final = """
SELECT i.indexrelid::regclass::text AS name, a.attname AS first
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indrelid AND c.relnamespace = 'aisdk'::regnamespace
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indisunique
AND i.indrelid NOT IN ('aisdk.alembic_version'::regclass, 'aisdk.tiers'::regclass)
"""
VIEWS: Final = """
SELECT relname,
       relkind = 'm' OR NOT coalesce(reloptions::text LIKE '%security_invoker=true%', false)
       AS leaks
FROM pg_class WHERE relnamespace = 'aisdk'::regnamespace AND relkind IN ('v', 'm')
"""
FUNCTIONS: Final = """
SELECT proname FROM pg_proc WHERE pronamespace = 'aisdk'::regnamespace AND prosecdef
"""
RIGHTS: Final = """
SELECT has_schema_privilege('aisdk_app', 'aisdk', 'CREATE') AS may_create,
       has_table_privilege('aisdk_app', 'aisdk.tiers', 'INSERT, UPDATE, DELETE')
       OR has_table_privilege('aisdk_app', 'aisdk.tenants', 'INSERT, UPDATE, DELETE')
       OR has_table_privilege(
           'aisdk_app', 'aisdk.platform_idempotency', 'SELECT, INSERT, UPDATE, DELETE')
       OR pg_has_role('aisdk_app', 'aisdk_platform', 'USAGE') AS may_register,
       (SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb FROM pg_roles
        WHERE rolname = 'aisdk_app') AS is_mighty,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = 'aisdk'::regnamespace
               AND pg_has_role('aisdk_app', relowner, 'USAGE')) AS owns
"""


async def holes(connection: Any) -> set[str]:
    """What in the schema does not keep tenants apart."""
    found: set[str] = set()
    for row in await connection.fetch(TABLES):
        if not (row["relrowsecurity"] and row["relforcerowsecurity"]):
            found.add(f"{row['relname']}: row-level security is off")
        if not row["has_policy"] or row["has_hole"]:
            found.add(f"{row['relname']}: its policy has a hole")
        if row["may_truncate"]:
            found.add(f"{row['relname']}: may be truncated")
    for row in [*await connection.fetch(CONSTRAINTS), *await connection.fetch(INDEXES)]:
        if row["first"] != "tenant_id":
            found.add(f"{row[0]}: does not begin with the tenant")
    found |= {f"{row['relname']}: leaks" for row in await connection.fetch(VIEWS) if row["leaks"]}
    found |= {f"{row['proname']}: runs as its owner" for row in await connection.fetch(FUNCTIONS)}
    rights = await connection.fetchrow(RIGHTS)
    return found | {
        name for name in ("may_create", "may_register", "is_mighty", "owns") if rights[name]
    }


@pytest.fixture
async def superuser(client: aisdk.Client) -> AsyncIterator[Any]:
    """A connection of the superuser whose changes are undone at the end."""
    client.start()
    server = client._parts.server
    assert server is not None
    connection = await asyncpg.connect(server.address("postgres", "aisdk"))
    undo = connection.transaction()
    await undo.start()
    yield connection
    await undo.rollback()
    await connection.close()


async def test_schema_has_no_hole(superuser: Any) -> None:
    """Every table, key, view, function and right of the migrated database."""
    assert len(await superuser.fetch(TABLES)) == 12 + 16
    assert await holes(superuser) == set()


@pytest.mark.parametrize(
    ("breach", "seen"),
    [
        ("ALTER TABLE aisdk.chunks DISABLE ROW LEVEL SECURITY", "chunks: row-level"),
        ("ALTER TABLE aisdk.chunk_vectors_7 NO FORCE ROW LEVEL SECURITY", "chunk_vectors_7: row"),
        ("DROP POLICY tenant ON aisdk.stores", "stores: its policy"),
        ("CREATE POLICY open ON aisdk.stores USING (true) WITH CHECK (true)", "stores: its policy"),
        ("CREATE TABLE aisdk.notes (tenant_id text, note text)", "notes: row-level"),
        ("CREATE UNIQUE INDEX one ON aisdk.documents (document_id)", "one: does not begin"),
        (
            "CREATE TABLE aisdk.a (id int PRIMARY KEY, tenant_id text)",
            "a_pkey: does not begin",
        ),
        (
            "CREATE VIEW aisdk.all_documents AS SELECT * FROM aisdk.documents",
            "all_documents: leaks",
        ),
        ("CREATE MATERIALIZED VIEW aisdk.m AS SELECT * FROM aisdk.documents", "m: leaks"),
        ("ALTER FUNCTION aisdk.hits SECURITY DEFINER", "hits: runs as its owner"),
        ("GRANT TRUNCATE ON aisdk.documents TO aisdk_app", "documents: may be truncated"),
        ("GRANT CREATE ON SCHEMA aisdk TO aisdk_app", "may_create"),
        ("ALTER ROLE aisdk_app BYPASSRLS", "is_mighty"),
        ("GRANT UPDATE ON aisdk.tiers TO aisdk_app", "may_register"),
        ("GRANT INSERT ON aisdk.tenants TO aisdk_app", "may_register"),
        ("GRANT aisdk_platform TO aisdk_app", "may_register"),
        ("GRANT aisdk_platform TO aisdk_app", "tenants: its policy"),
        ("GRANT aisdk_platform TO aisdk_app", "platform_idempotency: its policy"),
        ("GRANT SELECT ON aisdk.platform_idempotency TO aisdk_app", "may_register"),
        ("GRANT aisdk_owner TO aisdk_app", "owns"),
    ],
)
async def test_checker_sees_each_breach(superuser: Any, breach: str, seen: str) -> None:
    """The controls."""
    await superuser.execute(breach)
    assert any(seen in found for found in await holes(superuser))


async def test_view_with_security_invoker_is_allowed(superuser: Any) -> None:
    """The rule forbids leaks, not views."""
    await superuser.execute(
        "CREATE VIEW aisdk.v WITH (security_invoker=true) AS SELECT * FROM aisdk.documents"
    )
    assert await holes(superuser) == set()


async def differences(url: str) -> list[Any]:
    """What alembic would change to make the database what the tables say."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )

    def compare(connection: Any) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "include_object": lambda _, name, kind, *__: not (
                    kind == "table" and (name or "").startswith("chunk_vectors_")
                ),
                "compare_server_default": True,
            },
        )
        return list(compare_metadata(context, metadata))

    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def test_migrations_make_what_the_tables_say(client: aisdk.Client) -> None:
    """And the comparison sees a column too many."""
    client.start()
    server = client._parts.server
    assert server is not None
    assert await differences(server.address("aisdk_owner")) == []
    owner = await asyncpg.connect(server.address("aisdk_owner"))
    try:
        await owner.execute("ALTER TABLE aisdk.stores ADD COLUMN extra text")
        assert await differences(server.address("aisdk_owner")) != []
    finally:
        await owner.execute("ALTER TABLE aisdk.stores DROP COLUMN extra")
        await owner.close()


@pytest.fixture
async def fresh(short_home: Path) -> AsyncIterator[Any]:
    """The superuser's connection to a database without any row or statistics."""
    async with aisdk.Client(Settings(home=short_home, embedding="none")) as client:
        await client.astart()
        server = client._parts.server
        assert server is not None
        connection = await asyncpg.connect(server.address("postgres", "aisdk"))
        yield connection
        await connection.close()


async def plan_of(connection: Any, table: str, column: str) -> str:
    """How a row is looked up by its key."""
    query = f"SELECT * FROM aisdk.{table} WHERE tenant_id = $1 AND {column} = $2"
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE look AS {query}")
    rows = await connection.fetch("EXPLAIN EXECUTE look ('acme', NULL)")
    await connection.execute("DEALLOCATE look")
    return " ".join(row[0] for row in rows)


async def test_lookup_in_a_fresh_table_uses_the_primary_key(fresh: Any) -> None:
    """Without statistics other indexes look as good, and read all of a tenant's rows.

    The control: an index made after the primary key is used instead.
    """
    assert "documents_pkey" in await plan_of(fresh, "documents", "document_id")
    assert "chunks_pkey" in await plan_of(fresh, "chunks", "chunk_id")
    await fresh.execute("CREATE UNIQUE INDEX newer ON aisdk.documents (tenant_id, source)")
    assert "newer" in await plan_of(fresh, "documents", "document_id")
