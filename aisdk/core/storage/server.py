"""Where the database is: embedded, or one of your own; and how it is made ready."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import asyncpg

from aisdk.core.storage.embedded import APP_ROLE, OWNER_ROLE, PLATFORM_ROLE, EmbeddedServer
from aisdk.core.storage.schema import (
    REVISION,
    check_revision,
    check_server,
    migrate,
    revision_of,
    usable,
)

__all__ = ["Embedded", "External", "role_of"]

DATABASE: Final = "aisdk"
ADMIN: Final = "postgres"


class External:
    """A PostgreSQL of your own: checked on first use, migrated by ``python -m aisdk migrate``.

    Args:
        url: ``postgresql://…`` of the app role, or the platform's.
        connect_s: How long connecting may take.
        variable: The environment variable that holds the URL.
        check_role: Refuses a role that may do too much or too little.
    """

    def __init__(
        self,
        url: str,
        connect_s: float,
        variable: str,
        check_role: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._url = url
        self._connect_s = connect_s
        self._variable = variable
        self._check_role = check_role

    def url(self) -> str:
        """The address that was given."""
        return self._url

    async def prepare(self) -> None:
        """Refuses a server, role or schema with which tenants would not be safe.

        Raises:
            ConfigError: With the reason and the command that mends it.
        """
        with usable(self._variable):
            connection = await asyncpg.connect(self._url, timeout=self._connect_s)
        try:
            await check_server(connection)
            await self._check_role(connection)
            check_revision(await revision_of(connection))
        finally:
            connection.terminate()  # closing could wait for a server that is silent

    async def revive(self) -> bool:
        """Does nothing: the server is not ours."""
        return False


class Embedded:
    """The embedded server: started, and migrated, on first use.

    Args:
        server: The server's processes and files.
        role: Whom to connect as.
    """

    def __init__(self, server: EmbeddedServer, role: str = APP_ROLE) -> None:
        self._server = server
        self._role = role

    def url(self) -> str:
        """The address for the role."""
        return self._server.address(self._role, DATABASE)

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

    async def revive(self) -> bool:
        """Starts the server again after it was killed."""
        await asyncio.to_thread(self._server.start)
        return True

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
            for role in (OWNER_ROLE, APP_ROLE, PLATFORM_ROLE):
                if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                    await admin.execute(f"CREATE ROLE {role} LOGIN")
            if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await admin.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
            await self._extend()
            await migrate(self._server.address(OWNER_ROLE, DATABASE), APP_ROLE, PLATFORM_ROLE)
        finally:
            await admin.close()

    async def _extend(self) -> None:
        admin: Any = await asyncpg.connect(self._server.address(ADMIN, DATABASE))
        try:
            await admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
        finally:
            await admin.close()


def role_of(url: str, variable: str) -> str:
    """The role named in a database URL, or ``""``.

    Args:
        url: The address.
        variable: The environment variable that holds it.

    Raises:
        ConfigError: The address cannot be read.
    """
    with usable(variable):
        return unquote(urlsplit(url).username or "")
