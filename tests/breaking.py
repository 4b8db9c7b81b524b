"""Walls taken away, one at a time: what breaks them is ``(patch, world)``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import asyncpg
import msgpack
import pytest
from rivals import World
from sqlalchemy import select

from aisdk.core.documents import service
from aisdk.core.documents.store import _LISTED, DocumentStore
from aisdk.core.jobs.store import _INFO, JobStore
from aisdk.core.rag.store import RagStore
from aisdk.core.results import cursor
from aisdk.core.runtime import cached
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.rates import MemoryRates, RedisRates
from aisdk.core.storage import engine
from aisdk.core.storage.idempotency import IdempotencyKeys
from aisdk.core.storage.tables import metadata
from aisdk.core.tenants import moving
from aisdk.core.usage.recorder import Recorder
from aisdk.errors import NotFound

Breaking: TypeAlias = Callable[[pytest.MonkeyPatch, World], None]

TABLES: Final = [t.name for t in metadata.sorted_tables if "tenant_id" in t.columns]


def key_without_tenant(patch: pytest.MonkeyPatch, _: World) -> None:
    """Cached values of all tenants under the same keys."""
    patch.setattr(cached, "key_of", lambda _, namespace, name: f"tenant:-:{namespace}:{name}")


def shared_flights(patch: pytest.MonkeyPatch, world: World) -> None:
    """Who asks the same at the same time gets the same, whoever it is."""
    key_without_tenant(patch, world)

    async def state(*_: Any) -> tuple[str, int]:
        return "english", 0

    patch.setattr(RagStore, "state", state)


def unchecked_envelope(patch: pytest.MonkeyPatch, _: World) -> None:
    """A cached value is read whosever it is."""

    def opened(data: bytes, _: Any) -> Any:
        _, ends, spent_s, value = msgpack.unpackb(data)
        return value, ends, spent_s

    patch.setattr(cached, "_opened", opened)


def forgetful_cache(patch: pytest.MonkeyPatch, world: World) -> None:
    """Neither the key nor the value of the cache tells the tenant."""
    key_without_tenant(patch, world)
    unchecked_envelope(patch, world)


def wide_erasing(patch: pytest.MonkeyPatch, _: World) -> None:
    """Erasing removes whatever begins with the tenant's name."""

    async def entries(self: cached.Cache, tenant_id: str, *, remove: bool) -> int:
        return await self._backend.count(f"tenant:{tenant_id}", remove=remove)

    patch.setattr(cached.Cache, "_entries", entries)


def forgetful_limiter(patch: pytest.MonkeyPatch, _: World) -> None:
    """All tenants take from the same limits."""
    for kind in (MemoryRates, RedisRates):
        take: Any = kind.take

        async def of_all(self: Any, _: str, charge: Any, take: Any = take) -> Any:
            return await take(self, "all", charge)

        patch.setattr(kind, "take", of_all)


def forgetful_keys(patch: pytest.MonkeyPatch, _: World) -> None:
    """Answers are kept by key alone."""
    held: dict[str, Any] = {}

    async def find(_: Any, __: str, key: str) -> Any:
        return held.get(key)

    async def keep(_: Any, __: str, key: str, kept: Any) -> None:
        held[key] = kept

    patch.setattr(IdempotencyKeys, "find", find)
    patch.setattr(IdempotencyKeys, "keep", keep)


def one_bill_for_all(patch: pytest.MonkeyPatch, world: World) -> None:
    """The second tenant pays for everybody."""
    counts, payer = Recorder._counts, world.tenants[1].name
    patch.setattr(Recorder, "_counts", lambda self, _, verb: counts(self, payer, verb))


def unsigned_cursor(patch: pytest.MonkeyPatch, _: World) -> None:
    """A cursor is taken from anybody."""
    patch.setattr(service, "verify", lambda *given: json.loads(cursor._decode(given[-1])[16:]))


def lasting_tenant(patch: pytest.MonkeyPatch, _: World) -> None:
    """A connection keeps its tenant beyond the transaction."""
    patch.setattr(engine, "SET_TENANT", "SELECT set_config('aisdk.tenant_id', $1, false)")


def talkative_error(patch: pytest.MonkeyPatch, world: World) -> None:
    """An error quotes what another tenant has."""
    text = world.tenants[1].mark
    patch.setattr(service, "_missing", lambda: NotFound("There is no such document.", hint=text))


def blind_deleting(patch: pytest.MonkeyPatch, _: World) -> None:
    """A document is deleted whosever it is."""

    async def remove(*_: Any) -> int:
        return 1

    patch.setattr(DocumentStore, "remove", remove)


def mixed_up_search(patch: pytest.MonkeyPatch, world: World) -> None:
    """Everybody searches in the second tenant's documents."""
    theirs = world.tenants[1].name
    for name in ("state", "lexical", "hits"):
        read: Any = getattr(RagStore, name)
        patch.setattr(RagStore, name, lambda self, _, *rest, read=read: read(self, theirs, *rest))


def shared_face(patch: pytest.MonkeyPatch, _: World) -> None:
    """All sessions of a client speak for the tenant of the last one that was made."""
    begin, body, last = Face.__init__, Face._body, {"tenant": ""}

    def begin_and_keep(self: Any, service: Any, portal: Any, tenant_id: str, options: Any) -> None:
        last["tenant"] = tenant_id
        begin(self, service, portal, tenant_id, options)

    def of_last(self: Any, call: Any, _: str, *rest: Any, **named: Any) -> Any:
        return body(self, call, last["tenant"], *rest, **named)

    patch.setattr(Face, "__init__", begin_and_keep)
    patch.setattr(Face, "_body", of_last)


def execute(world: World, *statements: str) -> Any:
    """The value of the last of some statements of the owner of the tables."""
    server = world.client._parts.server
    assert server is not None
    address = server.address("aisdk_owner")

    async def run() -> Any:
        connection = await asyncpg.connect(address)
        for statement in statements[:-1]:
            await connection.execute(statement)
        value = await connection.fetchval(statements[-1])
        await connection.close()
        return value

    return asyncio.run(run())


def no_row_level_security(_: pytest.MonkeyPatch, world: World) -> None:
    """The wall in the database is taken away."""
    execute(world, *(f"ALTER TABLE aisdk.{t} DISABLE ROW LEVEL SECURITY" for t in TABLES))


def rights_on_the_register(_: pytest.MonkeyPatch, world: World) -> None:
    """The role that serves tenants may change what is agreed on with them."""
    execute(world, "GRANT UPDATE ON aisdk.tiers TO aisdk_app")


def simple_foreign_key(_: pytest.MonkeyPatch, world: World) -> None:
    """A chunk may belong to any document."""
    execute(world, "ALTER TABLE aisdk.chunks DROP CONSTRAINT chunks_document")


def careless_function(patch: pytest.MonkeyPatch, world: World) -> None:
    """A function of the schema forgets its tenant, and the wall behind it is gone."""
    no_row_level_security(patch, world)
    execute(
        world,
        """
        CREATE OR REPLACE FUNCTION aisdk.hits(p_tenant text, p_chunks bigint[])
        RETURNS TABLE (
            chunk_id bigint, document_id text, title text, source text, text text,
            start_char int, end_char int, heading text, metadata jsonb
        )
        LANGUAGE sql STABLE SECURITY INVOKER
        AS $$
            SELECT c.chunk_id, '', '', '', c.text, 0, 0, '', '{}'::jsonb
            FROM aisdk.chunks AS c WHERE c.chunk_id = ANY (p_chunks)
        $$
        """,
    )


def careless_listing(patch: pytest.MonkeyPatch, world: World) -> None:
    """A statement forgets its tenant, and the wall behind it is gone."""
    no_row_level_security(patch, world)
    patch.setattr(DocumentStore, "listing", lambda *_: select(*_LISTED))


def careless_jobs(patch: pytest.MonkeyPatch, world: World) -> None:
    """A listing of jobs forgets its tenant, and the wall behind it is gone."""
    no_row_level_security(patch, world)
    patch.setattr(JobStore, "listing", lambda *_: select(*_INFO))


def careless_export(patch: pytest.MonkeyPatch, world: World) -> None:
    """An export forgets its tenant, and the wall behind it is gone."""
    no_row_level_security(patch, world)
    query = moving.READ_CHUNKS.replace("c.tenant_id = $1", "$1 <> ''")
    assert query != moving.READ_CHUNKS
    patch.setattr(moving, "READ_CHUNKS", query)
