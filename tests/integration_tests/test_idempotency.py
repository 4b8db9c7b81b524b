"""Writes with a key: one effect, one answer, however often and however badly they are sent."""

from __future__ import annotations

import asyncio
import tracemalloc
import uuid
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import aisdk
from aisdk import Document
from aisdk.core.runtime import fingerprint as fingerprinting
from aisdk.core.runtime import replay
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.fingerprint import fingerprint
from aisdk.core.runtime.verb import catalogue
from aisdk.core.storage.engine import Database
from aisdk.core.storage.idempotency import IdempotencyKeys
from aisdk.core.usage.store import UsageStore
from aisdk.errors import (
    DeadlineExceeded,
    IdempotencyConflict,
    InProgress,
    InternalError,
    InvalidInput,
    NotFound,
    Unavailable,
)


def keyed(session: aisdk.Session, key: str = "order 1") -> aisdk.Session:
    """A session whose writes bear a key."""
    return session.with_options(idempotency_key=key)


def fill(session: aisdk.Session, count: int = 5) -> None:
    """Documents ``s0``, ``s1`` and so on."""
    texts = [Document(f"pump {n}", source=f"s{n}") for n in range(count)]
    session.documents.add(texts, progress=False)


async def kept(client: aisdk.Client, tenant: str) -> list[Any]:
    """The rows of a tenant's keys."""

    async def read() -> list[Any]:
        async with client._parts.database.bulk(tenant) as connection:
            return list(await connection.fetch("SELECT * FROM aisdk.idempotency ORDER BY key"))

    return await client._portal.hop(read)


def test_same_request_is_answered_from_the_first(session: aisdk.Session) -> None:
    """Without the key, deleting twice is an error."""
    fill(session)
    once = keyed(session)
    assert once.documents.delete("s0") == 1
    assert once.documents.delete("s0") == 1
    with pytest.raises(NotFound):
        session.documents.delete("s0")
    assert session.documents.count() == 4


@pytest.mark.parametrize(
    "other",
    [
        lambda s: s.documents.delete("s1"),
        lambda s: s.documents.delete(where={}),
        lambda s: s.documents.update("s1", title="x"),
        lambda s: s.documents.add(["text"], progress=False),
    ],
    ids=["another argument", "another way", "another verb", "another bulk verb"],
)
def test_other_request_under_the_key_is_refused(
    session: aisdk.Session, other: Callable[[aisdk.Session], Any]
) -> None:
    """And changes nothing."""
    fill(session)
    once = keyed(session)
    once.documents.delete("s0")
    with pytest.raises(IdempotencyConflict, match="new key"):
        other(once)
    assert session.documents.count() == 4


def test_other_tenant_has_keys_of_its_own(client: aisdk.Client, tenant: str) -> None:
    """The same key and the same request are another's here."""
    one, two = (aisdk.connect(name, client=client) for name in (tenant, f"{tenant}2"))
    fill(one)
    assert keyed(one).documents.delete("s0") == 1
    with pytest.raises(NotFound):
        keyed(two).documents.delete("s0")


def test_failed_request_leaves_the_key_free(session: aisdk.Session) -> None:
    """An error is no answer: after it, the key may serve the request again, or another."""
    once = keyed(session)
    with pytest.raises(NotFound):
        once.documents.delete("s0")
    fill(session)
    assert once.documents.delete("s0") == 1
    assert once.documents.delete("s0") == 1


def test_rows_and_nothing_come_back_as_they_were(session: aisdk.Session) -> None:
    """A table of outcomes, and the answer None."""
    fill(session, 2)
    texts = [Document("valve", source="v"), Document("pump 0", source="s0")]
    first = keyed(session, "add").documents.add(texts, progress=False)
    second = keyed(session, "add").documents.add(texts, progress=False)
    assert [row.status for row in first] == ["added", "unchanged"]
    assert list(second) == list(first)
    assert second.item is first.item
    assert keyed(session, "up").documents.update("v", title="new") is None
    session.documents.update("v", title="newer")
    assert keyed(session, "up").documents.update("v", title="new") is None
    assert session.documents.get("v").title == "newer"


def test_every_write_takes_a_key(session: aisdk.Session) -> None:
    """Each verb that is not a read, called twice with its own key."""
    fill(session)
    calls: dict[str, Callable[[aisdk.Session], Any]] = {
        "documents.add": lambda s: list(s.documents.add(["x"], progress=False)),
        "documents.update": lambda s: s.documents.update("s1", title="x"),
        "documents.delete": lambda s: s.documents.delete("s2"),
        "documents.set_language": lambda s: s.documents.set_language("english"),
        "cache.set": lambda s: s.cache.set("k", 1, ttl_s=60),
        "cache.delete": lambda s: s.cache.delete("k2"),
        "jobs.cancel": lambda s: s.jobs.cancel(job.job_id),
    }
    job = session.documents.add(["y"], wait=False)
    domains = [part for part in vars(session).values() if isinstance(part, Face)]
    services = {type(domain._service) for domain in domains}
    assert len(services) == 5
    writes = {verb.name for verb, _ in catalogue(*services) if not verb.reads}
    assert writes == set(calls)
    for name, call in calls.items():
        assert call(keyed(session, name)) == call(keyed(session, name))
        with pytest.raises(IdempotencyConflict):
            keyed(session, name).documents.delete("s3")


async def test_job_whose_answer_was_not_kept_is_found_again(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same request is the same job; another under the key that is free again is another."""
    session = client.session(tenant).with_options(idempotency_key="job")
    keep = IdempotencyKeys.keep

    async def lost(self: Any, tenant_id: str, key: str, kept: Any) -> None:
        if kept.answer is not None:
            raise Unavailable
        await keep(self, tenant_id, key, kept)

    for texts in (["a"], ["b"]):
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(IdempotencyKeys, "keep", lost)
                with pytest.raises(Unavailable):
                    await session.documents.add(texts, wait=False)
    job = await session.documents.add(["b"], wait=False)
    jobs = [info.job_id for info in await session.jobs.list()]
    assert len(jobs) == 2
    assert job.job_id == jobs[0]


async def test_key_of_a_job_is_free_after_a_day(client: aisdk.Client, tenant: str) -> None:
    """The same request is a new job then, though it has the name of the one that has ended."""
    session = client.session(tenant).with_options(idempotency_key="daily")
    first = await session.documents.add(["a"], wait=False)
    assert [row.status for row in await first.result(timeout_s=60)] == ["added"]

    async def pass_a_day() -> None:
        async with client._parts.database.bulk(tenant) as connection:
            for change in (
                "idempotency SET created_at = created_at - interval '25 hours'",
                "jobs SET ended_at = ended_at - interval '25 hours'",
            ):
                await connection.execute(f"UPDATE aisdk.{change}")

    await client._portal.hop(pass_a_day)
    again = await session.documents.add(["a"], wait=False)
    assert [row.status for row in await again.result(timeout_s=60)] == ["unchanged"]


async def test_twenty_at_once_have_one_effect(client: aisdk.Client, tenant: str) -> None:
    """All get the answer, or are told to ask again; asking again gets the answer."""
    session = client.session(tenant)
    await session.documents.add(
        [Document(f"p {n}", source=f"s{n}") for n in range(10)], progress=False
    )

    async def delete(number: int) -> int:
        once = session.with_options(idempotency_key=f"k{number}")
        while True:
            try:
                return await once.documents.delete(f"s{number}")
            except InProgress as error:
                await asyncio.sleep(error.retry_after_s / 10)

    answers = await asyncio.gather(*(delete(number) for number in range(10) for _ in range(20)))
    assert answers == [1] * 200
    assert await session.documents.count() == 0


async def test_without_keys_twenty_at_once_have_one_effect_and_many_errors(
    client: aisdk.Client, tenant: str
) -> None:
    """The control: the same without a key is not the same answer to all."""
    session = client.session(tenant)
    await session.documents.add([Document("p", source="s")], progress=False)
    calls = [session.documents.delete("s") for _ in range(20)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count(1) == 1
    assert sum(isinstance(answer, NotFound) for answer in answers) == 19


async def test_running_request_is_said_to_run_and_its_lease_ends_with_it(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long add holds its key; cancelled, it gives it back, and the next one does the work."""
    session = client.session(tenant).with_options(idempotency_key="long")
    store = client._parts.documents.store
    original, reached, go_on = store.put, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(reached.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
        return await original(*arguments)

    monkeypatch.setattr(store, "put", slow)
    running = asyncio.ensure_future(session.documents.add(["text"], progress=False))
    await reached.wait()
    with pytest.raises(InProgress) as caught:
        await session.documents.add(["text"], progress=False)
    assert 0 < caught.value.retry_after_s <= 60
    running.cancel()
    await asyncio.wait([running])
    for _ in range(100):
        if not await kept(client, tenant):
            break
        await asyncio.sleep(0.02)
    assert await kept(client, tenant) == []
    monkeypatch.setattr(store, "put", original)
    assert [row.status for row in await session.documents.add(["text"], progress=False)] == [
        "added"
    ]
    go_on.set()


async def test_request_that_ran_out_of_time_gives_its_lease_back(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, although the call has no time left: the next one does the work."""
    await client.documents.add(tenant, ["warm up"], progress=False)
    session = client.session(tenant).with_options(idempotency_key="late")
    store = client._parts.documents.store
    original, reached = store.put, asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(*arguments: Any) -> Any:
        loop.call_soon_threadsafe(reached.set)
        await asyncio.sleep(30)

    monkeypatch.setattr(store, "put", slow)
    with pytest.raises(DeadlineExceeded):
        await session.with_options(deadline_s=4).documents.add(["text"], progress=False)
    assert reached.is_set()
    assert await kept(client, tenant) == []
    monkeypatch.setattr(store, "put", original)
    assert [row.status for row in await session.documents.add(["text"], progress=False)] == [
        "added"
    ]


async def test_long_request_renews_its_lease(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease outlives its first end while the work goes on; without renewing it would not."""
    monkeypatch.setattr(replay, "LEASE_S", 0.3)
    session = client.session(tenant).with_options(idempotency_key="long")
    store = client._parts.documents.store
    original = store.put

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(1.0)
        return await original(*arguments)

    monkeypatch.setattr(store, "put", slow)
    running = asyncio.ensure_future(session.documents.add(["text"], progress=False))
    await asyncio.sleep(0.7)
    with pytest.raises(InProgress):
        await session.documents.add(["text"], progress=False)
    assert [row.status for row in await running] == ["added"]


async def test_two_who_held_the_key_after_each_other_give_the_first_answer(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was so slow that its lease ended and another did the work meanwhile."""
    monkeypatch.setattr(replay, "LEASE_S", 0.2)
    monkeypatch.setattr(replay.ReplayStep, "_renew", lambda *_: asyncio.sleep(60))
    session = client.session(tenant).with_options(idempotency_key="slow")
    store = client._parts.documents.store
    original, both = store.put, asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        put = await original(*arguments)
        await both.wait()
        return put

    monkeypatch.setattr(store, "put", slow)
    first = asyncio.ensure_future(session.documents.add(["text"], progress=False))
    await asyncio.sleep(1.0)
    monkeypatch.setattr(store, "put", original)
    second = await session.documents.add(["text"], progress=False)
    client._portal.loop().call_soon_threadsafe(both.set)
    assert [row.status for row in second] == ["unchanged"], "the work was done by the first"
    assert list(await first) == list(second)
    assert list(await session.documents.add(["text"], progress=False)) == list(second)


async def test_lease_of_a_killed_process_ends_by_itself(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes after its end does the work."""
    monkeypatch.setattr(replay, "LEASE_S", 0.4)
    monkeypatch.setattr(
        replay.ReplayStep, "_held", lambda *_: __import__("contextlib").nullcontext()
    )
    session = client.session(tenant).with_options(idempotency_key="dead")
    store = client._parts.documents.store
    original = store.put

    async def die(*_: Any) -> Any:
        raise SystemError

    monkeypatch.setattr(store, "put", die)
    with pytest.raises(SystemError):
        await session.documents.add(["text"], progress=False)
    monkeypatch.setattr(store, "put", original)
    with pytest.raises(InProgress):
        await session.documents.add(["text"], progress=False)
    await asyncio.sleep(0.5)
    rows = await session.documents.add(["text"], progress=False)
    assert [row.status for row in rows] == ["added"]


class Losing:
    """Loses the connection of a tenant's first unit: before its COMMIT, or before the answer."""

    def __init__(self, patch: pytest.MonkeyPatch, when: str, tenant: str) -> None:
        self.lost = 0
        self.when = when
        self.tenant = tenant
        self.original = Database.unit

        def unit(database: Database, tenant_id: str) -> Any:
            return self.unit(database, tenant_id)

        patch.setattr(Database, "unit", unit)

    @asynccontextmanager
    async def unit(self, database: Database, tenant_id: str) -> AsyncIterator[Any]:
        """A unit that ends badly once."""
        lose = self.lost == 0 and tenant_id == self.tenant
        self.lost += tenant_id == self.tenant
        async with self.original(database, tenant_id) as connection:
            yield connection
            if lose and self.when == "before":
                driver = (await connection.get_raw_connection()).driver_connection
                driver.terminate()
        if lose and self.when == "after":
            raise Unavailable(dependency="database")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("key", [None, "order 1"])
async def test_lost_commit_is_found_by_the_repetition(
    client: aisdk.Client, tenant: str, key: str | None, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is answered from that, what was not is done again."""
    session = client.session(tenant)
    texts = [Document(f"p{n}", source=f"s{n}") for n in range(3)]
    await session.documents.add(texts, progress=False)
    await client._portal.hop(client._parts.recorder.flush)  # a unit of its own
    losing = Losing(monkeypatch, when, tenant)
    assert await session.with_options(idempotency_key=key).documents.delete(where={}) == 3
    assert losing.lost == (1 if when == "after" and key is None else 2)
    assert await session.documents.count() == 0


async def test_lost_commit_that_nobody_asks_about_is_found(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the repetition then finds nothing to delete."""
    session = client.session(tenant)
    await session.documents.add([Document("p", source="s")], progress=False)
    Losing(monkeypatch, "after", tenant)

    async def believe_it_lost(*_: Any) -> bool:
        return False

    monkeypatch.setattr(Database, "_was_committed", believe_it_lost)
    with pytest.raises(NotFound):
        await session.documents.delete("s")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_commit_of_the_platform_is_found_too(
    client: aisdk.Client, tenant: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant is made once, and erasing it leaves a receipt of what was there."""
    with monkeypatch.context() as patch:
        Losing(patch, when, tenant)
        assert (await client.tenants.create(tenant)).tier == "free"
    await client.documents.add(tenant, ["text"], progress=False)
    with monkeypatch.context() as patch:
        Losing(patch, when, tenant)
        receipt = await client.tenants.erase(tenant)
    assert (receipt.counts["documents"], receipt.counts["tenants"]) == (1, 1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_usage_is_counted_once_although_the_answer_was_lost(
    client: aisdk.Client, tenant: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a tenant is billed by."""
    for _ in range(3):
        await client.documents.count(tenant)
    losing = Losing(monkeypatch, when, tenant)
    rows = {row.verb: row.calls for row in await client.usage.list(tenant)}
    assert losing.lost
    assert rows["documents.count"] == 3


async def test_usage_is_held_while_the_database_is_away(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stored when it is back, once."""

    async def away(*_: Any) -> None:
        raise Unavailable(dependency="database")

    with monkeypatch.context() as patch:
        patch.setattr(UsageStore, "add", away)
        await client.documents.count(tenant)
        await client._portal.hop(lambda: client._parts.recorder.flush(tenant))
        await client.documents.count(tenant)
        await client._portal.hop(lambda: client._parts.recorder.flush(tenant))
    rows = {row.verb: row.calls for row in await client.usage.list(tenant)}
    assert rows["documents.count"] == 2
    rows = {row.verb: row.calls for row in await client.usage.list(tenant)}
    assert rows["documents.count"] == 2


async def test_unit_of_one_tenant_is_not_joined_by_another(
    client: aisdk.Client, tenant: str
) -> None:
    """A mistake of ours would else read one tenant's rows as another; its own may join."""
    await client.documents.add(tenant, ["text"], progress=False)
    query = "SELECT count(*) FROM aisdk.documents"

    async def mix() -> tuple[int, int]:
        database, platform = client._parts.database, client._parts.platform_database
        async with database.unit(tenant):
            async with database.bulk(tenant) as connection:
                own = await connection.fetchval(query)
            async with platform.bulk(f"{tenant}2") as connection:
                other = await connection.fetchval(query)
            with pytest.raises(InternalError, match="another tenant"):
                async with database.bulk(f"{tenant}2"):
                    pass
        return own, other

    assert await client._portal.hop(mix) == (1, 0)


async def test_transaction_that_has_not_ended_is_not_begun_again(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not know of the loss yet: doing the work again might do it twice."""
    session = client.session(tenant)
    await session.documents.add([Document("p", source="s")], progress=False)
    original, held = Database.unit, AsyncExitStack()

    @asynccontextmanager
    async def hanging(database: Database, tenant_id: str) -> AsyncIterator[Any]:
        if tenant_id != tenant:  # usage of others is stored meanwhile
            async with original(database, tenant_id) as connection:
                yield connection
            return
        yield await held.enter_async_context(original(database, tenant_id))
        raise Unavailable(dependency="database")

    async def delete() -> None:
        monkeypatch.setattr(Database, "unit", hanging)
        with pytest.raises(Unavailable, match="not ended an earlier attempt"):
            await session.with_options(retries=1).documents.delete("s")
        await held.aclose()

    await client._portal.hop(delete)
    monkeypatch.undo()
    assert await session.documents.count() == 0


async def test_old_keys_are_forgotten(client: aisdk.Client, tenant: str) -> None:
    """After 24 hours the key is free, and its row goes with the next write."""
    session = client.session(tenant)
    await session.documents.add(
        [Document("p", source="a"), Document("q", source="b")], progress=False
    )
    assert await session.with_options(idempotency_key="old").documents.delete("a") == 1

    async def age() -> None:
        async with client._parts.database.bulk(tenant) as connection:
            await connection.execute(
                "UPDATE aisdk.idempotency SET created_at = now() - interval '25 hours'"
            )

    await client._portal.hop(age)
    assert await session.with_options(idempotency_key="old").documents.delete("b") == 1
    assert [row["key"] for row in await kept(client, tenant)] == ["key:old"]


@pytest.mark.parametrize("key", ["", "k" * 256, "line\nbreak", 7, b"k"])
def test_unfit_key_is_refused(session: aisdk.Session, key: Any) -> None:
    """When the session is made."""
    with pytest.raises(InvalidInput, match="idempotency_key"):
        session.with_options(idempotency_key=key)


@pytest.mark.parametrize(
    "options",
    [
        {"deadline_s": 0},
        {"deadline_s": -1},
        {"deadline_s": True},
        {"deadline_s": "1"},
        {"retries": 4},
        {"retries": -1},
        {"retries": True},
        {"retries": 1.5},
        {"colour": "red"},
    ],
    ids=repr,
)
def test_unfit_option_is_refused(session: aisdk.Session, options: dict[str, Any]) -> None:
    """With the range, or the names there are."""
    with pytest.raises(InvalidInput):
        session.with_options(**options)


def test_options_add_up_and_reach_the_async_session(session: aisdk.Session) -> None:
    """Later ones change those they name."""
    changed = session.with_options(deadline_s=5).with_options(retries=0)
    assert (changed._options.deadline_s, changed._options.retries) == (5, 0)
    assert changed.asynchronous()._options == changed._options
    assert changed.asynchronous().with_options(retries=2)._options.retries == 2
    assert session._options.deadline_s is None


def test_iterator_has_no_fixed_content(session: aisdk.Session) -> None:
    """It could be read only once: a list is asked for."""
    with pytest.raises(InvalidInput, match="list"):
        keyed(session).documents.add((text for text in ["a"]), progress=False)


def frame_of(*names: str) -> pd.DataFrame:
    """Two rows under these names, which may be alike."""
    return pd.DataFrame(
        [[f"{name} {n} {row}" for n, name in enumerate(names)] for row in (0, 1)], columns=[*names]
    )


SAME: list[tuple[Any, Any]] = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([1, "x", None], (1, "x", None)),
    ({1, 2, 3}, {3, 2, 1}),
    (Document("x", source="s"), Document("x", source="s")),
    (pd.DataFrame({"text": ["a"]}), pd.DataFrame({"text": ["a"]})),
    (Path("a/b"), Path("a/b")),
    (frozenset([frozenset([0, 8]), frozenset([1])]), {frozenset([8, 0]), frozenset([1])}),
    (uuid.UUID(int=1), uuid.UUID(int=1)),
    (Decimal("1.50"), Decimal("1.50")),
    ([timedelta(1), pd.Timedelta(1), time(1)], [timedelta(1), pd.Timedelta(1), time(1)]),
    ([pd.NA, pd.NaT], (pd.NA, pd.NaT)),
    (
        pd.DataFrame({"n": [1, None]}).convert_dtypes(),
        pd.DataFrame({"n": [1, None]}, dtype="Int64"),
    ),
]
OTHER: list[tuple[Any, Any]] = [
    (1, True),
    (1, "1"),
    ("1", b"1"),
    (["ab", "c"], ["a", "bc"]),
    ([["a"], "b"], [["a", "b"]]),
    ({"a": {"b": 1}}, {"a": 1}),
    (None, "None"),
    (Document("x", source="s"), Document("x", source="t")),
    (pd.DataFrame({"text": ["a"]}), pd.DataFrame({"text": ["b"]})),
    (pd.DataFrame({"text": ["a"]}), pd.DataFrame({"other": ["a"]})),
    (uuid.UUID(int=1), uuid.UUID(int=2)),
    (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (Decimal("1.5"), Decimal("1.50")),
    (Decimal(1), 1),
    (timedelta(1), timedelta(2)),
    (pd.Timedelta(1), pd.Timedelta(2)),
    (time(1), time(2)),
    (pd.NA, None),
    (pd.NA, pd.NaT),
    ({1}, {2}),
    ({1}, {1, 2}),
    (frame_of("text", "text"), frame_of("text", "other")),
    (frame_of("text", "text"), frame_of("text", "text").iloc[:, ::-1]),
    (frame_of("a", "b"), frame_of("a", "b").set_index("a", drop=False)),
    (frame_of("a", "b").set_index("a"), frame_of("a", "b").set_index("b")),
    (frame_of("a", "b"), frame_of("a", "b").iloc[::-1].reset_index(drop=True)),
    (frame_of("a", "b"), frame_of("a", "b").iloc[:1]),
    (
        pd.DataFrame({"x": pd.to_timedelta([1], "s")}),
        pd.DataFrame({"x": pd.to_timedelta([2], "s")}),
    ),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_same_content_has_the_same_fingerprint(one: Any, two: Any) -> None:
    """However it is held."""
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_other_content_has_another_fingerprint(one: Any, two: Any) -> None:
    """However alike it looks."""
    assert fingerprint(one) != fingerprint(two)


ODD: dict[str, Callable[[int], Any]] = {
    "uuid": lambda n: uuid.UUID(int=n),
    "decimal": Decimal,
    "timedelta": timedelta,
    "time": lambda n: time(hour=n),
    "missing": lambda n: [pd.NA, n],
    "keys": lambda n: {uuid.UUID(int=n): {1, "a"}},
}
FRAMES: dict[str, Callable[[int], pd.DataFrame]] = {
    "durations": lambda n: pd.DataFrame({"text": ["a"], "n": pd.to_timedelta([n], unit="s")}),
    "missing": lambda n: pd.DataFrame({"text": ["a", "b"], "n": [n, None]}).convert_dtypes(),
    "index of a column": lambda n: pd.DataFrame({"text": ["a"], "n": [n]}).set_index(
        "n", drop=False
    ),
    "index called as a column": lambda n: pd.DataFrame({"text": ["a"], "index": [n]}),
    "columns alike": lambda n: pd.DataFrame([["a", 1, n]], columns=["text", "n", "n"]),
    "rows of several labels": lambda n: pd.DataFrame({"text": ["a"], "b": n}).set_index(
        ["b", "text"], drop=False
    ),
}


@pytest.mark.parametrize(
    "make",
    [
        *(lambda n, odd=odd: [Document("a", "s", metadata={"x": odd(n)})] for odd in ODD.values()),
        *FRAMES.values(),
    ],
    ids=[*(f"metadata: {name}" for name in ODD), *(f"frame: {name}" for name in FRAMES)],
)
def test_what_is_added_without_a_key_is_added_with_one(
    session: aisdk.Session, make: Callable[[int], Any]
) -> None:
    """The same is the same request, and anything else another."""
    once = keyed(session)
    named = {"text": "text"} if isinstance(make(1), pd.DataFrame) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = once.documents.add(make(1), progress=False, **named)
        assert {row.status for row in first} == {"added"}
        assert list(once.documents.add(make(1), progress=False, **named)) == list(first)
        with pytest.raises(IdempotencyConflict):
            once.documents.add(make(2), progress=False, **named)


def test_request_with_too_much_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to do; of other things without a fixed content too."""
    monkeypatch.setattr(fingerprinting, "MOST_PIECES", 10)
    with pytest.raises(InvalidInput, match=r"10 values.*in parts"):
        fingerprint(list(range(20)))
    for odd in (object(), pd.Period("2024-01"), 1j, iter([1])):
        with pytest.raises(InvalidInput, match=r"list instead of an iterator.*as text"):
            fingerprint(odd)


@pytest.mark.parametrize("text", ["y" * 2**25, b"y" * 2**25], ids=["text", "bytes"])
def test_long_text_is_fingerprinted_in_pieces(text: Any) -> None:
    """None of which keeps other threads waiting; all of it counts."""
    tracemalloc.start()
    whole = fingerprint(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(text) // 4
    pieces = [text[start : start + 2**20] for start in range(0, len(text), 2**20)]
    others = (text[:-1] + text[:1].upper(), text[1:], text + text[:1], pieces)
    assert all(fingerprint(other) != whole for other in others)


def test_keys_survive_in_new_sessions(client: aisdk.Client, tenant: str) -> None:
    """They are kept in the database, not in the session."""
    key = str(uuid.uuid4())
    fill(aisdk.connect(tenant, client=client))
    for _ in range(3):
        session = aisdk.connect(tenant, client=client)
        assert keyed(session, key).documents.delete(where={}) == 5


def test_same_request_written_in_another_way_is_the_same(session: aisdk.Session) -> None:
    """By position or by name, with defaults or without, shown or not."""
    fill(session)
    once = keyed(session)
    assert once.documents.delete("s0") == once.documents.delete(key="s0", where=None) == 1
    adding = keyed(session, "order 2")
    first = adding.documents.add(["a pump"], progress=False)
    assert list(adding.documents.add(what=["a pump"], wait=True)) == list(first)
    with pytest.raises(IdempotencyConflict):
        adding.documents.add(["a pump"], max_bytes=5)


async def test_faces_of_a_client_take_keys(client: aisdk.Client, tenant: str) -> None:
    """The tenant given with each call."""
    documents = client.documents.with_options(idempotency_key="k")
    first = await documents.add(tenant, ["a pump"], progress=False)
    assert list(await documents.add(tenant, ["a pump"], progress=False)) == list(first)
    with pytest.raises(IdempotencyConflict):
        await documents.add(tenant, ["a valve"], progress=False)
