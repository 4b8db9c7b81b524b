"""Checks of a database before use, and the migrations that bring it up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from aisdk.core.storage.translation import REFUSED, translated
from aisdk.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "REVISION",
    "check_app_role",
    "check_platform_role",
    "check_revision",
    "check_server",
    "migrate",
    "revision_of",
    "usable",
]

REVISION: Final = "0006"
MIGRATIONS: Final = Path(__file__).parent / "migrations"
SERVER: Final = """
SELECT current_setting('server_version_num')::int AS version,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector
"""
# What a role may become with SET ROLE counts like what it is.
ROLE: Final = """
SELECT r.rolname,
       EXISTS (
           SELECT FROM pg_roles AS g WHERE g.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER')
       ) AS rules,
       EXISTS (
           SELECT FROM pg_roles AS g WHERE g.rolbypassrls AND pg_has_role(r.oid, g.oid, 'MEMBER')
       ) AS bypasses,
       EXISTS (
           SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
           WHERE n.nspname = 'aisdk' AND pg_has_role(r.oid, c.relowner, 'MEMBER')
       ) AS owns,
       EXISTS (
           SELECT FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
           JOIN pg_namespace AS n ON n.oid = c.relnamespace
           JOIN pg_roles AS g ON g.oid = ANY (p.polroles)
           WHERE n.nspname = 'aisdk' AND p.polname = 'register'
           AND pg_has_role(r.oid, g.oid, 'MEMBER')
       ) AS registers,
       EXISTS (
           SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
           JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
           WHERE n.nspname = 'aisdk' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
       ) AS unwalled
FROM pg_roles AS r WHERE r.rolname = current_user
"""
MIGRATE_HINT: Final = "Run: python -m aisdk migrate (with AISDK_DATABASE_OWNER_URL set)."


async def check_server(connection: Any) -> None:
    """Refuses a server that is too old or lacks pgvector.

    Args:
        connection: An open asyncpg connection.

    Raises:
        ConfigError: With the reason and the command that mends it.
    """
    row = await connection.fetchrow(SERVER)
    if row["version"] < 150000:
        raise ConfigError(
            f"PostgreSQL {row['version'] // 10000} is too old.", hint="Use PostgreSQL 15 or newer."
        )
    if row["vector"] is None:
        raise ConfigError(
            "The database has no pgvector extension.",
            hint="As a superuser in this database: CREATE EXTENSION vector;",
        )
    if tuple(int(part) for part in row["vector"].split(".")[:2]) < (0, 8):
        raise ConfigError(
            f"pgvector {row['vector']} is too old.",
            hint="Install pgvector 0.8 or newer, then: ALTER EXTENSION vector UPDATE;",
        )


async def check_app_role(connection: Any) -> None:
    """Refuses a role for which row-level security would not hold.

    Args:
        connection: An open asyncpg connection of the app role.

    Raises:
        ConfigError: The role is superuser, BYPASSRLS, owner of the tables or may register tenants.
    """
    role = await _checked_role(connection, "AISDK_DATABASE_URL")
    if role["registers"]:
        raise ConfigError(
            f"The role {role['rolname']} may register tenants: it sees all of them.",
            hint="Set AISDK_DATABASE_URL to another role; python -m aisdk migrate gives it rights.",
        )


async def check_platform_role(connection: Any) -> None:
    """Refuses a role that may not register tenants, or may do more than that.

    Args:
        connection: An open asyncpg connection of the platform role.

    Raises:
        ConfigError: With the reason and the command that mends it.
    """
    role = await _checked_role(connection, "AISDK_PLATFORM_DATABASE_URL")
    if not role["registers"]:
        raise ConfigError(
            f"The role {role['rolname']} may not register tenants.",
            hint="Run: python -m aisdk migrate (with AISDK_PLATFORM_DATABASE_URL set).",
        )


async def _checked_role(connection: Any, variable: str) -> Any:
    role = await connection.fetchrow(ROLE)
    name = role["rolname"]
    if role["rules"]:
        raise ConfigError(
            f"The role {name} is a superuser, or may become one: tenants would not be isolated.",
            hint=f"ALTER ROLE {name} NOSUPERUSER; or connect with another role.",
        )
    if role["bypasses"]:
        raise ConfigError(
            f"The role {name} bypasses row-level security, or may become a role that does: "
            "tenants would not be isolated.",
            hint=f"ALTER ROLE {name} NOBYPASSRLS; or connect with another role.",
        )
    if role["owns"]:
        raise ConfigError(
            f"The role {name} owns aisdk's tables, or may become their owner: "
            "it could switch isolation off.",
            hint=f"Set {variable} to another role; python -m aisdk migrate gives it rights.",
        )
    if role["unwalled"]:
        raise ConfigError(
            "Row-level security is not forced for all of aisdk's tables: "
            "tenants would not be isolated.",
            hint="As their owner, for each: ALTER TABLE … ENABLE ROW LEVEL SECURITY, "
            "FORCE ROW LEVEL SECURITY;",
        )
    return role


async def revision_of(connection: Any) -> str | None:
    """The schema's revision, or ``None`` where there is no schema yet."""
    try:
        async with connection.transaction():  # inside another one: a refusal must not end it
            revision: str | None = await connection.fetchval(
                "SELECT version_num FROM aisdk.alembic_version"
            )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    except asyncpg.InsufficientPrivilegeError:
        raise ConfigError("The role has no rights on aisdk's tables.", hint=MIGRATE_HINT) from None
    return revision


def check_revision(revision: str | None) -> None:
    """Refuses a schema that is not the one this version works with.

    Raises:
        ConfigError: It is missing, older or newer.
    """
    if revision is None:
        raise ConfigError("The database has no aisdk schema.", hint=MIGRATE_HINT)
    if revision < REVISION:
        raise ConfigError(
            f"The database has schema {revision}, this version needs {REVISION}.",
            hint=MIGRATE_HINT,
        )
    if revision > REVISION:
        raise ConfigError(
            f"The database has schema {revision}, newer than this version's {REVISION}.",
            hint="Upgrade aisdk: pip install -U aisdk",
        )


async def migrate(owner_url: str, app_role: str, platform_role: str | None = None) -> None:
    """Brings the schema up to date and gives the roles their rights.

    Two callers at once are put in a row. Safe to run again.

    Args:
        owner_url: ``postgresql://…`` of the role that owns the schema.
        app_role: The role that serves tenants; it must exist.
        platform_role: The role that registers tenants, if there is one; it must exist.

    Raises:
        ConfigError: The address, the server or a role is unfit, or the schema is newer.
    """
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: _connect(owner_url),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4711, 42)")
            await _prepare(driver, app_role, platform_role)
            await connection.run_sync(_upgrade)
            await driver.execute(_grants(app_role))
            if platform_role is not None:
                await driver.execute(_platform_grants(platform_role))
    finally:
        await engine.dispose()


@contextmanager
def usable(variable: str) -> Iterator[None]:
    """Says which address cannot be read, or lets nobody in; the driver's message has its secrets.

    Args:
        variable: The environment variable that holds the address.
    """
    try:
        yield
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{variable} cannot be read.",
            hint="Write postgresql://user:password@host:5432/database, and other signs than "
            "letters and digits in the password as %2F and so on.",
        ) from None
    except REFUSED as error:
        raise ConfigError(
            f"The database refuses to let us in ({error.sqlstate}).",
            hint=f"Check role, password and database name in {variable}.",
        ) from None


async def _connect(owner_url: str) -> Any:
    """Opens a connection; the pool logs its errors, so they are in our words already."""
    with translated(), usable("AISDK_DATABASE_OWNER_URL"):
        return await asyncpg.connect(owner_url)


async def _prepare(driver: Any, app_role: str, platform_role: str | None) -> None:
    """Makes schema and extension where the role may, and refuses what cannot be migrated."""
    await _check_exists(driver, app_role, "AISDK_DATABASE_URL")
    if platform_role is not None:
        await _check_exists(driver, platform_role, "AISDK_PLATFORM_DATABASE_URL")
        if platform_role == app_role:
            raise ConfigError(
                "AISDK_PLATFORM_DATABASE_URL names the role that serves tenants.",
                hint="Use a role of its own: tenants' calls may not register tenants.",
            )
    with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError):
        async with driver.transaction():
            await driver.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await check_server(driver)
    try:
        await driver.execute("CREATE SCHEMA IF NOT EXISTS aisdk")
    except asyncpg.InsufficientPrivilegeError:
        raise ConfigError(
            "The role of AISDK_DATABASE_OWNER_URL may not make the schema.",
            hint="As the database's owner: GRANT CREATE ON DATABASE … TO …;",
        ) from None
    revision = await revision_of(driver)
    if revision is not None and revision > REVISION:
        check_revision(revision)


async def _check_exists(driver: Any, role: str, variable: str) -> None:
    if not await driver.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        raise ConfigError(
            f"The role of {variable} does not exist or is not named there.",
            hint="CREATE ROLE … LOGIN; then write postgresql://role:password@host/database.",
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _quoted(role: str) -> str:
    return '"' + role.replace('"', '""') + '"'


def _grants(app_role: str) -> str:
    """Rights of the role that serves tenants: their rows, and to read what is agreed on them."""
    role = _quoted(app_role)
    return f"""
    GRANT USAGE ON SCHEMA aisdk TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA aisdk TO {role};
    REVOKE INSERT, UPDATE, DELETE ON aisdk.alembic_version, aisdk.tiers, aisdk.tenants
        FROM {role};
    REVOKE ALL ON aisdk.platform_idempotency FROM {role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA aisdk TO {role};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA aisdk TO {role};
    """


def _platform_grants(platform_role: str) -> str:
    """Rights of the role that registers tenants: all of the register and its own keys.

    Else one tenant at a time.
    """
    role = _quoted(platform_role)
    return f"""
    {_grants(platform_role)}
    GRANT INSERT, UPDATE, DELETE ON aisdk.tenants, aisdk.tiers TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON aisdk.platform_idempotency TO {role};
    DROP POLICY IF EXISTS register ON aisdk.tenants;
    CREATE POLICY register ON aisdk.tenants TO {role} USING (true) WITH CHECK (true);
    DROP POLICY IF EXISTS register ON aisdk.stores;
    CREATE POLICY register ON aisdk.stores FOR SELECT TO {role} USING (true);
    DROP POLICY IF EXISTS register ON aisdk.platform_idempotency;
    CREATE POLICY register ON aisdk.platform_idempotency TO {role}
        USING (true) WITH CHECK (true);
    """
