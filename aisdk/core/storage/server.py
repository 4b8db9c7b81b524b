"""Where the database is: embedded, or one of your own; and how it is made ready."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from aisdk.core.storage.embedded import APP_ROLE, OWNER_ROLE, EmbeddedServer
from aisdk.core.storage.schema import (
    REVISION,
    check_app_role,
    check_revision,
    check_server,
    migrate,
    readable,
    revision_of,
)

__all__ = ["Embedded", "External", "role_of"]

DATABASE: Final = "aisdk"
ADMIN: Final = "postgres"


class External:
    """A PostgreSQL of your own: checked on first use, migrated by ``python -m aisdk migrate``.

    Args:
        url: ``postgresql://…`` of the app role.
        connect_s: How long connecting may take.
    """

    def __init__(self, url: str, connect_s: float) -> None:
        self._url = url
        self._connect_s = connect_s

    def url(self) -> str:
        """The address that was given."""
        return self._url

    async def prepare(self) -> None:
        """Refuses a server, role or schema with which tenants would not be safe.

        Raises:
            ConfigError: With the reason and the command that mends it.
        """
        with readable("AISDK_DATABASE_URL"):
            connection = await asyncpg.connect(self._url, timeout=self._connect_s)
        try:
            await check_server(connection)
            await check_app_role(connection)
            check_revision(await revision_of(connection))
        finally:
            await connection.close()

    async def revive(self) -> None:
        """Does nothing: the server is not ours."""


class Embedded:
    """The embedded server: started, and migrated, on first use.

    Args:
        server: The server's processes and files.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def url(self) -> str:
        """The address for the app role."""
        return self._server.address(APP_ROLE, DATABASE)

    async def prepare(self) -> None:
        """Starts the server and brings its schema up to date.

        Raises:
            ConfigError: The schema is of a newer version.
            Unavailable: The server does not start.
        """
        await asyncio.to_thread(self._server.start)
        revision = await self._revision()
        if revision is None or revision < REVISION:
            await self._provision()
        else:
            check_revision(revision)

    async def revive(self) -> None:
        """Starts the server again after it was killed."""
        await asyncio.to_thread(self._server.start)

    async def _revision(self) -> str | None:
        try:
            connection = await asyncpg.connect(self.url())
        except (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError):
            return None
        try:
            return await revision_of(connection)
        finally:
            await connection.close()

    async def _provision(self) -> None:
        """Makes roles, database and extension where they are missing, then migrates."""
        admin = await asyncpg.connect(self._server.address(ADMIN, ADMIN))
        try:
            await admin.execute("SELECT pg_advisory_lock(4711, 41)")
            for role in (OWNER_ROLE, APP_ROLE):
                if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                    await admin.execute(f"CREATE ROLE {role} LOGIN")
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
            await self._extend()
            await migrate(self._server.address(OWNER_ROLE, DATABASE), APP_ROLE)
        finally:
            await admin.close()

    async def _extend(self) -> None:
        admin: Any = await asyncpg.connect(self._server.address(ADMIN, DATABASE))
        try:
            await admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await admin.close()


def role_of(url: str) -> str:
    """The role named in a database URL, or ``""``.

    Raises:
        ConfigError: The address cannot be read.
    """
    with readable("AISDK_DATABASE_URL"):
        return unquote(urlsplit(url).username or "")
