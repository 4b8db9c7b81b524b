"""A job as another display follows it, and a runner that goes on whatever happens."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from surroundings import surrounded
from waiting import wait_for

import aisdk
from aisdk.core.documents.types import SourceOutcome
from aisdk.core.jobs import runner as running
from aisdk.core.jobs import service
from aisdk.core.jobs.runner import Runner
from aisdk.core.jobs.store import JobStore
from aisdk.core.jobs.types import Kind
from aisdk.core.results.page import Rows
from aisdk.core.results.progress import Counted
from aisdk.core.runtime.logging import logger
from aisdk.errors import AddFailed, NotFound

MANY = [f"pump {number}" for number in range(30_000)]


class Watched(Counted):
    """Counts, and keeps what was said at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.note: str | None = None

    def close(self, note: str = "") -> None:
        """Keeps the note."""
        self.note = note


def followed(job: Any) -> Watched:
    """What a display says of a job at its end."""
    watched = Watched()
    job.follow(watched)
    wait_for(lambda: watched.note is not None)
    return watched


def test_display_says_how_a_job_ended(session: aisdk.Session) -> None:
    """With the chunks that were stored, also where it is opened afterwards."""
    long = " ".join(f"pump {number}." for number in range(2_000))
    job = session.documents.add([long, "a valve"], wait=False)
    watched = followed(job)
    chunks = session.documents.info().chunks
    assert (watched.count, watched.note) == ((2, 0, chunks, 2), "done")
    assert chunks > 2
    assert followed(session.job(job.job_id)).count == watched.count
    info = job.status()
    assert info.chunks == chunks
    assert info.created_at <= info.started_at <= info.ended_at
    failing = session.documents.add(["a gate", ""], wait=False)
    assert followed(failing).note == "failed: add_failed, result() says more"


def test_job_counts_the_chunks_of_what_is_unchanged(session: aisdk.Session) -> None:
    """As it counts the documents themselves, so that a job gone on with has those of the whole."""
    long = " ".join(f"pump {number}." for number in range(2_000))
    session.documents.add([long], progress=False)
    chunks = session.documents.info().chunks
    job = session.documents.add([long, "a valve", long], wait=False)
    job.result(timeout_s=60)
    info = job.status()
    assert chunks > 2
    assert (info.done, info.chunks) == (3, chunks + 1)


def test_display_of_a_job_that_has_ended_says_so_at_once(session: aisdk.Session) -> None:
    """Before its cell ends: a notebook may be saved right then."""
    job = session.documents.add(["a pump", "a valve"], wait=False)
    job.result()
    watched = Watched()
    job.follow(watched)
    assert (watched.count, watched.note) == ((2, 0, 2, 2), "done")


def test_display_says_that_a_job_was_cancelled(session: aisdk.Session) -> None:
    """And keeps how far it was."""
    job = session.documents.add(MANY, wait=False)
    watched = Watched()
    job.follow(watched)
    wait_for(lambda: watched.count[0])
    job.cancel()
    wait_for(lambda: watched.note is not None)
    assert watched.note == "cancelled"
    assert 0 < watched.count[0] < len(MANY)


def test_display_outlives_a_failure_that_passes(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database could not be reached for a while."""
    monkeypatch.setattr(service, "AGAIN_S", 0.1)
    client.call(lambda: client.tenants.create(tenant, tier="unlimited"))
    job = aisdk.connect(tenant, client=client).documents.add(MANY, wait=False)
    with surrounded(client, embedding="none") as around:
        watched = Watched()
        aisdk.connect(tenant, client=around.client).job(job.job_id).follow(watched)
        wait_for(lambda: watched.count[0])
        around.postgres.refuse()
        around.postgres.reset()
        time.sleep(2)
        assert watched.note is None
        around.postgres.let_pass()
        job.result(timeout_s=60)
        wait_for(lambda: watched.note is not None)
    assert (watched.count[0], watched.note) == (len(MANY), "done")


def test_display_of_a_client_that_closes_takes_a_last_look(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that has ended since the last one is shown as it ended."""
    monkeypatch.setattr(service, "ASK_S", 60)
    client.call(lambda: client.tenants.create(tenant, tier="unlimited"))
    with surrounded(client, embedding="none") as around:
        session = aisdk.connect(tenant, client=around.client)
        job = session.documents.add(MANY, wait=False)
        watched = Watched()
        job.follow(watched)
        job.result(timeout_s=60)
        assert watched.note is None
    assert (watched.count[0], watched.note) == (len(MANY), "done")


def test_display_of_a_job_that_is_gone_says_so(session: aisdk.Session) -> None:
    """It ends instead of asking for ever."""
    session.documents.count()
    watched = followed(session.job(str(uuid.uuid4())))
    assert watched.note == f"no longer followed: {NotFound.code}"


async def ended(client: aisdk.Client, tenant: str, runner: Runner) -> Any:
    """What is stored at its end of a job that this runner does."""
    await client.documents.info(tenant)  # which registers the tenant
    job_id = uuid.uuid4()

    async def work() -> Any:
        assert await runner._store.submit(tenant, job_id, ("test", b"", runner.host))
        runner.look_after(tenant)
        async with asyncio.timeout(30):
            await asyncio.wait(set(runner._tasks))
        return await runner._store.result(tenant, job_id)

    return await client._portal.hop(work)


async def test_failure_whose_rows_cannot_be_kept_is_told(client: aisdk.Client, tenant: str) -> None:
    """Without them, instead of being begun again and again."""
    outcome = ("a\udcff", "failed", None, 0, 1, 0.0, "unreadable", None)

    async def fail(*_: Any) -> Rows[Any]:
        raise AddFailed("1 of 1", result=Rows(SourceOutcome, [outcome]))

    kinds = {"test": Kind(SourceOutcome, fail)}
    suspended = client._parts.directory.is_suspended
    runner = Runner(JobStore(client._parts.database), kinds, logger(), "here", suspended)
    row = await ended(client, tenant, runner)
    assert (row["state"], AddFailed.code in row["error"], row["answer"]) == ("failed", True, None)


class Stumbling(JobStore):
    """Fails once in a way that nobody has thought of."""

    stumbled = False

    async def next_s(self, tenant_id: str, host: str) -> float | None:
        """After an error, as usual."""
        if not self.stumbled:
            self.stumbled = True
            raise RuntimeError
        return await super().next_s(tenant_id, host)


async def test_runner_goes_on_after_an_unexpected_error(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant's other jobs are still looked after."""
    monkeypatch.setattr(running, "LEASE_S", 0.2)

    async def run(*_: Any) -> Rows[Any]:
        return Rows(SourceOutcome, [])

    store = Stumbling(client._parts.database)
    suspended = client._parts.directory.is_suspended
    runner = Runner(store, {"test": Kind(SourceOutcome, run)}, logger(), "here", suspended)
    await client.documents.info(tenant)
    others = [uuid.uuid4() for _ in range(2)]
    for other in others:
        await client._portal.hop(lambda o=other: store.submit(tenant, o, ("test", b"", "here")))
    await ended(client, tenant, runner)
    rows = [await client._portal.hop(lambda o=other: store.result(tenant, o)) for other in others]
    assert store.stumbled
    assert [row["state"] for row in rows] == ["done", "done"]
