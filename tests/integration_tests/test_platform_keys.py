"""The platform's own writes with a key: one effect and one answer, which no erasing takes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

import aisdk
from aisdk import Document, Tier
from aisdk.core.runtime import replay
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.verb import catalogue
from aisdk.core.storage.engine import Database
from aisdk.core.storage.idempotency import Kept, PlatformKeys
from aisdk.core.tenants.faces import ClientTenants
from aisdk.core.tenants.moving import Moving
from aisdk.core.tenants.service import TenantsService
from aisdk.core.tenants.store import TenantStore
from aisdk.errors import (
    Conflict,
    IdempotencyConflict,
    InProgress,
    InternalError,
    InvalidInput,
    NotFound,
    TenantSuspended,
    TenantUnknown,
    Unavailable,
)
from aisdk.settings import Settings

KEPT: Final = "SELECT key, answer FROM aisdk.platform_idempotency WHERE key = $1"
LOOK: Final = "SELECT count(*) FROM aisdk.platform_idempotency"
AGE: Final = """
UPDATE aisdk.platform_idempotency SET created_at = created_at - interval '25 hours'
WHERE key = $1
"""


@dataclass(frozen=True)
class Stage:
    """What a write of the platform is about.

    Attributes:
        client: Through which it is made.
        name: The tenant, and the key.
        folder: An exported tenant with three documents.
    """

    client: aisdk.Client
    name: str
    folder: Path

    @property
    def keyed(self) -> ClientTenants:
        """The register, whose writes bear the key."""
        return self.client.tenants.with_options(idempotency_key=self.name)

    async def on_platform(self, query: str, *arguments: Any) -> list[Any]:
        """The rows of a statement of the platform's role."""

        async def run() -> list[Any]:
            async with self.client._parts.platform_database.bulk("") as connection:
                return list(await connection.fetch(query, *arguments))

        return await self.client._portal.hop(run)

    async def kept(self) -> list[Any]:
        """The rows that are kept under the key."""
        return await self.on_platform(KEPT, f"key:{self.name}")


@dataclass(frozen=True)
class Write:
    """One of the platform's writes.

    Attributes:
        call: Makes it.
        other: Another request of the same verb.
        again: What the same is without a key; ``None`` where it is done once more.
        store: The method that does it.
        there: Whether the tenant is there already.
    """

    call: Callable[[ClientTenants, Stage], Awaitable[Any]]
    other: Callable[[ClientTenants, Stage], Awaitable[Any]]
    again: type[Exception] | None
    store: str
    there: bool = False


def tier(stage: Stage, documents: int) -> Tier:
    """A tier of the test's own."""
    return Tier(f"tier-{stage.name}", None, None, None, None, documents, None, 1.0)


WRITES: Final[dict[str, Write]] = {
    "create": Write(
        lambda t, s: t.create(s.name, tier="standard", settings={"documents": 5, "weight": 0.5}),
        lambda t, s: t.create(f"{s.name}-other", tier="standard"),
        Conflict,
        "enroll",
    ),
    "update": Write(
        lambda t, s: t.update(s.name, settings={"documents": 7}),
        lambda t, s: t.update(s.name, settings={"documents": 8}),
        None,
        "change",
        there=True,
    ),
    "put_tier": Write(
        lambda t, s: t.put_tier(tier(s, 5)), lambda t, s: t.put_tier(tier(s, 6)), None, "put_tier"
    ),
    "erase": Write(
        lambda t, s: t.erase(s.name),
        lambda t, s: t.erase(f"{s.name}-other"),
        TenantUnknown,
        "erase",
        there=True,
    ),
    "import_": Write(
        lambda t, s: t.import_(s.folder, tenant_id=s.name),
        lambda t, s: t.import_(s.folder, tenant_id=f"{s.name}-other"),
        Conflict,
        "change",
    ),
}


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest) -> Write:
    """Each write of the platform."""
    return WRITES[request.param]


@pytest.fixture
async def stage(client: aisdk.Client, tenant: str, tmp_path: Path) -> Stage:
    """A folder to import, and no tenant yet."""
    source = f"{tenant}-source"
    texts = [Document(f"pump {n}", source=f"s{n}") for n in range(3)]
    await client.documents.add(source, texts, progress=False)
    return Stage(client, tenant, await client.tenants.export(source, tmp_path / "out"))


@pytest.fixture
async def set_up(stage: Stage, write: Write) -> Stage:
    """The same, with a tenant where the write needs one."""
    if write.there:
        await stage.client.documents.add(stage.name, ["a text"], progress=False)
        await stage.client.cache.set(stage.name, "k", 1, ttl_s=600)
    return stage


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    """The answer, asked for again while the first request runs."""
    while True:
        try:
            return await call()
        except InProgress as error:
            await asyncio.sleep(error.retry_after_s / 10)


def test_every_write_takes_a_key() -> None:
    """None of the register's is left out here."""
    writes = {spec.name for spec, _ in catalogue(TenantsService) if not spec.reads}
    assert writes == {f"tenants.{name}" for name in WRITES}
    assert issubclass(ClientTenants, Face)


async def test_same_request_is_answered_from_the_first(set_up: Stage, write: Write) -> None:
    """Without the key the same is an error, or done again."""
    first = await write.call(set_up.keyed, set_up)
    assert await write.call(set_up.keyed, set_up) == first
    if write.again is not None:
        with pytest.raises(write.again):
            await write.call(set_up.client.tenants, set_up)
    elif first is not None:
        assert await write.call(set_up.client.tenants, set_up) != first, "the control"
    assert await write.call(set_up.keyed, set_up) == first


async def test_other_request_under_the_key_is_refused(set_up: Stage, write: Write) -> None:
    """Of the same verb or of another; nothing changes."""
    await write.call(set_up.keyed, set_up)
    register = set_up.client.tenants
    before = [*await register.list(limit=10_000)], [*await register.tiers()]
    with pytest.raises(IdempotencyConflict, match="new key"):
        await write.other(set_up.keyed, set_up)
    with pytest.raises(IdempotencyConflict, match="new key"):
        await set_up.keyed.put_tier(tier(set_up, 99))
    assert ([*await register.list(limit=10_000)], [*await register.tiers()]) == before


async def test_failed_request_leaves_the_key_free(
    set_up: Stage, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is no answer."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise InvalidInput

    with monkeypatch.context() as patch:
        patch.setattr(TenantStore, write.store, fail)
        with pytest.raises(InvalidInput):
            await write.call(set_up.keyed, set_up)
    assert await set_up.kept() == []
    await write.call(set_up.keyed, set_up)
    assert len(await set_up.kept()) == 1


async def test_running_request_is_said_to_run(
    set_up: Stage, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time to wait; then the answer is that of the first."""
    original = getattr(TenantStore, write.store)
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(*given: Any, **named: Any) -> Any:
        loop.call_soon_threadsafe(reached.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
        return await original(*given, **named)

    monkeypatch.setattr(TenantStore, write.store, slow)
    running = asyncio.ensure_future(write.call(set_up.keyed, set_up))
    await reached.wait()
    with pytest.raises(InProgress) as caught:
        await write.call(set_up.keyed, set_up)
    assert 0 < caught.value.retry_after_s <= 60
    go_on.set()
    first = await running
    assert await write.call(set_up.keyed, set_up) == first


async def test_twenty_at_once_have_one_effect(
    set_up: Stage, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All get the answer of the one that did it."""
    original, done = getattr(TenantStore, write.store), []

    async def counted(*given: Any, **named: Any) -> Any:
        done.append(given)
        return await original(*given, **named)

    monkeypatch.setattr(TenantStore, write.store, counted)
    calls = [insist(lambda: write.call(set_up.keyed, set_up)) for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert len(done) == 1
    assert answers == [answers[0]] * 20


async def test_effect_without_its_answer_is_undone(
    set_up: Stage, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are one transaction: what cannot be remembered did not happen."""
    keep, register = PlatformKeys.keep, set_up.client.tenants

    async def fail(*given: Any) -> None:
        await keep(*given)
        if given[-1].answer is not None:
            raise InvalidInput

    async def state() -> Any:
        found = [row for row in await register.list(limit=10_000) if row.tenant_id == set_up.name]
        return found, [*await register.tiers()]

    before = await state()
    with monkeypatch.context() as patch:
        patch.setattr(PlatformKeys, "keep", fail)
        with pytest.raises(InvalidInput):
            await write.call(set_up.keyed, set_up)
    assert await state() == before
    assert await set_up.kept() == []
    await write.call(set_up.keyed, set_up)
    assert await state() != before, "the control"


class Losing:
    """Loses the connection of the first unit that keeps an answer.

    Attributes:
        lost: How often it did.
    """

    def __init__(self, patch: pytest.MonkeyPatch, when: str) -> None:
        self.lost = 0
        self._when = when
        self._keeper: asyncio.Task[Any] | None = None  # others' units end meanwhile
        self._unit, self._keep = Database.unit, PlatformKeys.keep

        def unit(database: Database, tenant_id: str) -> Any:
            return self.unit(database, tenant_id)

        def keep(keys: PlatformKeys, tenant_id: str, key: str, kept: Any) -> Any:
            return self.keep(keys, tenant_id, key, kept)

        patch.setattr(Database, "unit", unit)
        patch.setattr(PlatformKeys, "keep", keep)

    async def keep(self, keys: PlatformKeys, tenant_id: str, key: str, kept: Any) -> None:
        """Notes that an answer is kept."""
        await self._keep(keys, tenant_id, key, kept)
        if kept.answer is not None and not self.lost:
            self._keeper = asyncio.current_task()

    @asynccontextmanager
    async def unit(self, database: Database, tenant_id: str) -> AsyncIterator[Any]:
        """A unit that ends badly once."""
        async with self._unit(database, tenant_id) as connection:
            yield connection
            if self._keeps() and self._when == "before":
                self._lose()
                driver = (await connection.get_raw_connection()).driver_connection
                driver.terminate()
        if self._keeps():
            self._lose()
            raise Unavailable(dependency="database") if self._when == "after" else SystemError

    def _keeps(self) -> bool:
        return self._keeper is not None and self._keeper is asyncio.current_task()

    def _lose(self) -> None:
        self.lost, self._keeper = self.lost + 1, None


@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_commit_is_found_by_the_repetition(
    set_up: Stage, write: Write, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is answered from that, what was not is done again."""
    with monkeypatch.context() as patch:
        losing = Losing(patch, when)
        first = await write.call(set_up.keyed, set_up)
    assert losing.lost == 1
    assert await write.call(set_up.keyed, set_up) == first
    assert len(await set_up.kept()) == 1


async def test_answer_that_nobody_got_comes_when_asked_for_again(
    set_up: Stage, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effect is there, and not undone; who asks without the key is told no more than that."""
    with monkeypatch.context() as patch:
        losing = Losing(patch, "for good")
        with pytest.raises(SystemError):
            await write.call(set_up.keyed, set_up)
    assert losing.lost == 1
    if write.again is not None:
        with pytest.raises(write.again):
            await write.call(set_up.client.tenants, set_up)
    first = await write.call(set_up.keyed, set_up)
    assert await write.call(set_up.keyed, set_up) == first
    assert (first is None) == (write.store == "put_tier")


async def test_lost_receipt_comes_back_and_is_genuine(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant is gone, of which it is the proof."""
    client = stage.client
    await client.documents.add(stage.name, ["one", "two"], progress=False)
    await client.cache.set(stage.name, "k", 1, ttl_s=600)
    with monkeypatch.context() as patch:
        Losing(patch, "for good")
        with pytest.raises(SystemError):
            await stage.keyed.erase(stage.name)
    with pytest.raises(TenantUnknown):
        await client.tenants.get(stage.name)
    receipt = await stage.keyed.erase(stage.name)
    counts = receipt.counts
    assert (counts["documents"], counts["tenants"], counts["cache_entries"]) == (2, 1, 1)
    rows = await client.tenants.verify_erased(receipt)
    assert {(row.left, row.recreated) for row in rows} == {(0, False)}
    with pytest.raises(InvalidInput):
        await client.tenants.verify_erased(replace(receipt, tenant_id="other"))


async def test_import_whose_answer_was_lost_is_there_and_active(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not erased by the failure; one that failed before its last step is."""
    client = stage.client
    with monkeypatch.context() as patch:
        Losing(patch, "for good")
        with pytest.raises(SystemError):
            await stage.keyed.import_(stage.folder, tenant_id=stage.name)
    assert await client.documents.count(stage.name) == 3
    made = await stage.keyed.import_(stage.folder, tenant_id=stage.name)
    assert (made.state, made.documents) == ("active", 3)
    assert await client.tenants.get(stage.name) == made

    async def fail(*_: Any) -> Any:
        raise InvalidInput

    other = replace(stage, name=f"{stage.name}-2")
    with monkeypatch.context() as patch:
        patch.setattr(PlatformKeys, "find", fail_once_kept(PlatformKeys.find, fail))
        with pytest.raises(InvalidInput):
            await other.keyed.import_(stage.folder, tenant_id=other.name)
    with pytest.raises(TenantUnknown):
        await client.tenants.get(other.name)
    assert (await other.keyed.import_(stage.folder, tenant_id=other.name)).documents == 3


async def test_import_under_the_name_in_the_folder_takes_a_key(stage: Stage) -> None:
    """The key is held before it is known which tenant the call is about."""
    name = f"{stage.name}-source"
    await stage.client.tenants.erase(name)
    made = await stage.keyed.import_(stage.folder)
    assert (made.tenant_id, made.documents) == (name, 3)
    assert await stage.keyed.import_(stage.folder) == made
    with pytest.raises(IdempotencyConflict):
        await stage.keyed.import_(stage.folder, tenant_id=name)


def fail_once_kept(find: Any, fail: Any) -> Any:
    """Looking up a key, which fails the second time: in the last transaction of an import."""
    calls: list[int] = []

    async def found(*given: Any) -> Any:
        calls.append(1)
        return await (fail if len(calls) == 2 else find)(*given)

    return found


async def test_import_that_was_killed_is_not_begun_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tenant is left suspended: asked again, it is said to be there, until it is erased."""
    monkeypatch.setattr(replay, "LEASE_S", 0.2)

    async def die(*_: Any) -> Any:
        raise SystemError

    async def leave(*_: Any) -> None:
        """Does nothing, as a process that is not there any more."""

    with monkeypatch.context() as patch:
        patch.setattr(TenantStore, "change", die)
        patch.setattr(Moving, "_erase", leave)
        patch.setattr(PlatformKeys, "release", leave)
        with pytest.raises(SystemError):
            await stage.keyed.import_(stage.folder, tenant_id=stage.name)

    def ask() -> Awaitable[Any]:
        return stage.keyed.import_(stage.folder, tenant_id=stage.name)

    with pytest.raises(Conflict, match="Erase it first"):
        await insist(ask)
    assert (await stage.client.tenants.get(stage.name)).state == "suspended"
    await stage.client.tenants.erase(stage.name)
    assert (await insist(ask)).state == "active"


async def test_answer_is_not_about_the_next_tenant_of_the_name(stage: Stage) -> None:
    """What was done once is not done to who came after."""
    client, name = stage.client, stage.name
    creating = client.tenants.with_options(idempotency_key=f"{name}-create")
    made = await creating.create(name)
    receipt = await stage.keyed.erase(name)
    assert await creating.create(name) == made
    with pytest.raises(TenantUnknown):
        await client.tenants.get(name)
    await client.tenants.create(name, tier="unlimited")
    await client.cache.set(name, "k", "mine", ttl_s=600)
    assert await stage.keyed.erase(name) == receipt
    assert await client.cache.get(name, "k") == "mine"
    assert {row.recreated for row in await client.tenants.verify_erased(receipt)} == {True}


async def test_what_changed_counts_at_once(stage: Stage) -> None:
    """This client does not go by what it remembers of the tenant."""
    client, name = stage.client, stage.name
    await client.documents.count(name)
    await stage.keyed.update(name, state="suspended")
    with pytest.raises(TenantSuspended):
        await client.documents.count(name)


async def test_old_keys_are_forgotten(set_up: Stage, write: Write) -> None:
    """After 24 hours the key is free for another request, and old rows go with it."""
    await write.call(set_up.keyed, set_up)
    old = replace(set_up, name=f"{set_up.name}-old")
    await old.keyed.put_tier(tier(old, 1))
    for each in (set_up, old):
        await each.on_platform(AGE, f"key:{each.name}")
    made = await set_up.keyed.create(f"{set_up.name}-next")
    assert made.tenant_id == f"{set_up.name}-next"
    assert len(await set_up.kept()) == 1
    assert await old.kept() == []


async def test_key_outlives_its_client(stage: Stage, home: Path) -> None:
    """Another client, as of another process, gets the answer; so does a blocking caller."""
    first = await stage.keyed.create(stage.name)
    async with aisdk.Client(Settings(home=home, embedding="none")) as other:
        assert await replace(stage, client=other).keyed.create(stage.name) == first
    answer = await asyncio.to_thread(
        lambda: stage.client.call(lambda: stage.keyed.create(stage.name))
    )
    assert answer == first


async def test_keys_of_tenants_and_of_the_platform_are_apart(stage: Stage) -> None:
    """The same key names a request of each; an erased tenant takes its own keys alone."""
    client, name = stage.client, stage.name
    await client.documents.add(name, [Document("p", source="s")], progress=False)
    session = client.session(name).with_options(idempotency_key=name)
    info = await stage.keyed.update(name, tier="standard")
    assert await session.documents.delete("s") == 1
    assert await session.documents.delete("s") == 1
    assert await stage.keyed.update(name, tier="standard") == info
    receipt = await client.tenants.erase(name)
    assert receipt.counts["idempotency_keys"] == 1
    assert len(await stage.kept()) == 1
    with pytest.raises(NotFound):
        await session.documents.delete("s")


async def test_tenants_role_sees_no_key_of_the_platform(stage: Stage) -> None:
    """It has no right to the table, and where it is given one the wall is left.

    The control: the platform's role sees the key; it sees no tenant's, which the tenant does.
    """
    client, name = stage.client, stage.name
    await stage.keyed.create(name, tier="unlimited")
    await client.session(name).with_options(idempotency_key=name).cache.set("k", 1, ttl_s=60)
    assert len(await stage.kept()) == 1
    assert await stage.on_platform("SELECT key FROM aisdk.idempotency") == []

    async def look(tenant_id: str, query: str) -> Any:
        async with client._parts.database.bulk(tenant_id) as connection:
            return await connection.fetchval(query)

    own = "SELECT count(*) FROM aisdk.idempotency"
    assert await client._portal.hop(lambda: look(name, own)) == 1
    for tenant_id in ("", name):
        with pytest.raises(InternalError, match="42501"):
            await client._portal.hop(lambda tenant_id=tenant_id: look(tenant_id, LOOK))
    server = client._parts.server
    assert server is not None
    owner = await asyncpg.connect(server.address("aisdk_owner", "aisdk"))
    try:
        await owner.execute("GRANT SELECT ON aisdk.platform_idempotency TO aisdk_app")
        for tenant_id in ("", name):
            seen = await client._portal.hop(lambda tenant_id=tenant_id: look(tenant_id, LOOK))
            assert seen == 0
        await owner.execute("ALTER TABLE aisdk.platform_idempotency DISABLE ROW LEVEL SECURITY")
        assert await client._portal.hop(lambda: look(name, LOOK)) > 0, "the control"
    finally:
        await owner.execute("ALTER TABLE aisdk.platform_idempotency ENABLE ROW LEVEL SECURITY")
        await owner.execute("REVOKE ALL ON aisdk.platform_idempotency FROM aisdk_app")
        await owner.close()


async def test_lease_is_not_waited_for_where_its_row_is_held(stage: Stage) -> None:
    """Renewing passes by while the answer is being kept; the control: before that it counts."""
    keys, row = PlatformKeys(stage.client._parts.platform_database), f"key:{stage.name}"

    async def renew(lease_s: float) -> None:
        async with asyncio.timeout(10):
            await keys.renew("", row, "holder", lease_s)

    async def lease() -> float:
        async with keys.unit(""):
            kept = await keys.find("", row)
        assert kept is not None
        return kept.leased_s

    async def leases() -> tuple[float, float]:
        async with keys.unit(""):
            await keys.keep("", row, Kept("tenants.erase", b"", "holder", None, 1.0))
        await renew(30)
        before = await lease()
        async with keys.unit(""):
            await keys.find("", row)
            await asyncio.create_task(renew(60), context=Context())
        return before, await lease()

    before, after = await stage.client._portal.hop(leases)
    assert 1 < after <= before <= 30


async def test_reads_and_probes_leave_the_key_alone(stage: Stage) -> None:
    """As in sessions: what changes nothing needs none."""
    await stage.client.tenants.create(stage.name)
    assert (await stage.keyed.get(stage.name)).tenant_id == stage.name
    assert len(await stage.keyed.tiers()) >= 4
    session = stage.client.session(stage.name).with_options(idempotency_key=stage.name)
    assert all(probe.passed for probe in await session.verify_isolation())
    assert await stage.kept() == []
