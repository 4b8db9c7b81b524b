"""Jobs: done in the background, seen from everywhere, and gone on with after a crash."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic_core import to_json
from waiting import wait_for

import aisdk
from aisdk.core.documents.types import SourceOutcome
from aisdk.core.jobs import runner as running
from aisdk.core.jobs.runner import Runner, _told
from aisdk.core.jobs.service import _error
from aisdk.core.jobs.store import JobStore
from aisdk.core.jobs.types import NUMBERS, Kind
from aisdk.core.results.page import Rows
from aisdk.core.results.progress import Progress
from aisdk.core.runtime.logging import logger
from aisdk.errors import (
    AddFailed,
    AisdkError,
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    InProgress,
    InternalError,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Unavailable,
)
from aisdk.settings import Settings

MANY: Final = [f"pump {number}" for number in range(30_000)]
SCRIPT: Final = """
import sys, time
import aisdk
from aisdk.core.jobs import runner
from aisdk.settings import Settings
runner.LEASE_S = 2.0
client = aisdk.Client(Settings(home=sys.argv[1], embedding="none"))
session = aisdk.connect(sys.argv[2], client=client)
job = session.documents.add([f"pump {number}" for number in range(30_000)], wait=False)
while not job.status().done:
    time.sleep(0.01)
print(job.job_id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(home: Path) -> Iterator[aisdk.Client]:
    """Another client of the same database, as another kernel has it."""
    with aisdk.Client(Settings(home=home, embedding="none")) as made:
        yield made


def test_job_returns_what_add_would_have(session: aisdk.Session) -> None:
    """At once, then its rows, and the documents are there."""
    job = session.documents.add(["a pump", "a valve"], wait=False)
    rows = job.result(timeout_s=60)
    assert [row.status for row in rows] == ["added", "added"]
    assert session.documents.count() == 2
    info = job.status()
    assert (info.state, info.done, info.failed, info.total) == ("done", 2, 0, 2)
    assert info.created_at <= info.ended_at
    assert job.job_id in repr(job)


def test_job_in_a_terminal_tells_its_state(
    session: aisdk.Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how many documents are done, when it is shown."""
    job = session.documents.add(["a pump", ""], wait=False, raise_on_error=False)
    job.result(timeout_s=60)
    job._ipython_display_()
    assert capsys.readouterr().out == f"{job!r}: done, 1 of 2 documents, 1 failed\n"
    session.asynchronous().job(job.job_id)._ipython_display_()
    assert capsys.readouterr().out == f"{job!r}: done, 1 of 2 documents, 1 failed\n"


def test_job_fails_as_add_would_have(session: aisdk.Session) -> None:
    """With the rows, and a state that says so."""
    job = session.documents.add(["a pump", ""], wait=False)
    with pytest.raises(AddFailed, match="1 of 2") as caught:
        job.result(timeout_s=60)
    assert [row.status for row in caught.value.result] == ["added", "failed"]
    info = job.status()
    assert (info.state, info.failed, info.error_code) == ("failed", 1, "add_failed")
    lenient = session.documents.add(["a gate", ""], wait=False, raise_on_error=False)
    assert [row.status for row in lenient.result(timeout_s=60)] == ["added", "failed"]


async def test_quota_of_a_job_tells_its_numbers(client: aisdk.Client, tenant: str) -> None:
    """The error is the one that add raises."""
    await client.tenants.create(tenant, tier="unlimited", settings={"documents": 1})
    job = await client.documents.add(tenant, ["a", "b"], wait=False)
    with pytest.raises(QuotaExceeded) as caught:
        await job.result(timeout_s=60)
    assert (caught.value.limit, caught.value.used) == (1, 1)
    assert [row.status for row in caught.value.result] == ["added", "failed"]


def test_bad_input_is_refused_before_there_is_a_job(session: aisdk.Session) -> None:
    """As without waiting."""
    with pytest.raises(InvalidInput, match="no such file"):
        session.documents.add("no/such/folder", wait=False)
    with pytest.raises(InvalidInput, match="no such option"):
        session.documents.add(["a"], wait=False, typo=1)  # type: ignore[call-overload]  # that is the point
    assert len(session.jobs.list()) == 0


def test_jobs_are_seen_and_ended_from_another_client(
    session: aisdk.Session, other: aisdk.Client
) -> None:
    """What was stored before stays; the answer says that it was cancelled."""
    job = session.documents.add(MANY, wait=False)
    elsewhere = aisdk.connect(session.tenant_id, client=other)
    wait_for(lambda: job.status().done)
    (row,) = elsewhere.jobs.list(unfinished=True)
    assert (row.job_id, row.state, row.verb) == (job.job_id, "running", "documents.add")
    with pytest.raises(InProgress):
        elsewhere.jobs.result(job.job_id)
    with pytest.raises(DeadlineExceeded, match="goes on"):
        elsewhere.job(job.job_id).result(timeout_s=0.01)
    assert elsewhere.job(job.job_id).cancel().state == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        job.result(timeout_s=5)
    runner = session.client._parts.runner
    wait_for(lambda: session.tenant_id not in runner._wanted, 5)
    stored = session.documents.count()
    assert 0 < stored < len(MANY)
    time.sleep(0.3)
    assert session.documents.count() == stored
    assert len(elsewhere.jobs.list(unfinished=True)) == 0


def test_jobs_are_listed_newest_first_page_by_page(session: aisdk.Session) -> None:
    """With cursors."""
    names = [session.documents.add([f"t{n}"], wait=False).job_id for n in range(5)]
    for name in names:
        session.job(name).result(timeout_s=60)
    page = session.jobs.list(limit=2)
    assert page.has_more
    assert [row.job_id for row in page.collect()] == names[::-1]
    with pytest.raises(InvalidInput, match="limit"):
        session.jobs.list(limit=0)


def test_unknown_job_is_not_found(session: aisdk.Session) -> None:
    """Whatever is asked."""
    for verb in (session.jobs.get, session.jobs.result, session.jobs.cancel):
        with pytest.raises(NotFound, match="no such job"):
            verb(str(uuid.uuid4()))
        with pytest.raises(InvalidInput, match="job_id"):
            verb("x")


def test_killed_process_s_job_is_gone_on_with(
    home: Path, client: aisdk.Client, tenant: str
) -> None:
    """By the next who connects; nothing is lost or doubled."""
    client.start()
    process = subprocess.Popen(  # noqa: S603  # this interpreter, our own script
        [sys.executable, "-c", SCRIPT, str(home), tenant], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    job_id = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    process.wait()
    session = aisdk.Session(client, tenant)
    before = session.documents.count()
    assert 0 < before < len(MANY)
    wait_for(lambda: session.jobs.list()[0].state == "interrupted")
    time.sleep(0.5)  # nobody looks after it
    assert session.jobs.list()[0].state == "interrupted"
    resumed = aisdk.connect(tenant, client=client)
    rows = resumed.job(job_id).result(timeout_s=120)
    states = [row.status for row in rows]
    assert len(rows) == session.documents.count() == len(MANY)
    assert states.count("unchanged") >= before
    assert states.count("added") == len(MANY) - states.count("unchanged")
    info = resumed.job(job_id).status()
    assert (info.done, info.chunks) == (len(MANY), session.documents.info().chunks)
    process.stdout.close()


def test_closed_client_gives_its_jobs_back_at_once(
    home: Path, session: aisdk.Session, tenant: str
) -> None:
    """The next one does not wait for the lease."""
    with aisdk.Client(Settings(home=home, embedding="none")) as closing:
        job = aisdk.connect(tenant, client=closing).documents.add(MANY, wait=False)
        wait_for(lambda: job.status().done)
    assert session.jobs.list()[0].state == "waiting"
    assert len(session.job(job.job_id).result(timeout_s=120)) == len(MANY)


def test_jobs_that_wait_hold_a_bounded_amount(home: Path, tenant: str) -> None:
    """The first one over it is refused, and what to do is said."""
    with aisdk.Client(Settings(home=home, embedding="none")) as busy:
        busy._parts.runner._slots = asyncio.Semaphore(0)
        session = aisdk.connect(tenant, client=busy)
        large = ["x" * 40 * 2**20]
        first = session.documents.add(large, wait=False)
        with pytest.raises(QuotaExceeded, match="Wait for some") as caught:
            session.documents.add(large, wait=False)
        error = caught.value
        assert (error.limit, error.used // 2**20) == (64 * 2**20, 40)
        first.cancel()
        session.documents.add(large, wait=False).cancel()


def test_repeated_request_is_the_same_job(session: aisdk.Session) -> None:
    """Under an idempotency key."""
    once = session.with_options(idempotency_key=uuid.uuid4().hex)
    first = once.documents.add(["a"], wait=False)
    assert once.documents.add(["a"], wait=False).job_id == first.job_id
    assert len(session.jobs.list()) == 1
    first.result(timeout_s=60)


async def test_erasing_takes_jobs_along(client: aisdk.Client, tenant: str) -> None:
    """One that runs ends; the receipt counts them."""
    await client.tenants.create(tenant, tier="unlimited")
    session = aisdk.Session(client, tenant)
    job = session.documents.add(MANY, wait=False)
    wait_for(lambda: job.status().done)
    receipt = await client.tenants.erase(tenant)
    assert receipt.counts["jobs"] == 1
    wait_for(lambda: tenant not in client._parts.runner._wanted)
    assert set((await client.tenants.verify_erased(receipt)).to_frame()["left"]) == {0}


@pytest.mark.parametrize(
    "error",
    [
        RateLimited(limit=9, used=8, wait_s=(1.5, 60.0)),
        QuotaExceeded(limit=3, used=3),
        CircuitOpen(dependency="embedding service", retry_after_s=7.0),
    ],
    ids=lambda error: error.code,
)
def test_error_of_a_job_keeps_its_numbers(error: AisdkError) -> None:
    """Also those that are infinite, which JSON does not know."""
    told = json.loads(to_json(_told(error)))
    again = _error(told, Rows(SourceOutcome, []))
    assert type(again) is type(error)
    names = [name for name in NUMBERS if hasattr(error, name)]
    assert len(names) >= 1
    assert [getattr(again, name) for name in names] == [getattr(error, name) for name in names]


@pytest.fixture
def made(client: aisdk.Client) -> Callable[[Any], Runner]:
    """Makes a runner whose jobs of one verb do as they are told."""
    store = JobStore(client._parts.database)
    suspended = client._parts.directory.is_suspended
    return lambda run: Runner(
        store, {"test": Kind(SourceOutcome, run)}, logger(), "here", suspended
    )


async def submitted(client: aisdk.Client, tenant: str, runner: Runner) -> uuid.UUID:
    """A job of it."""
    await client.documents.info(tenant)  # which registers the tenant
    job_id = uuid.uuid4()
    what = ("test", b"", runner.host)
    assert await client._portal.hop(lambda: runner._store.submit(tenant, job_id, what))
    return job_id


async def idle(*runners: Runner, tenant: str) -> None:
    """Waits until nobody looks after the tenant any more."""
    async with asyncio.timeout(60):
        tasks = {task for runner in runners for task in runner._tasks}
        if tasks:
            await asyncio.wait(tasks)
    assert not any(tenant in runner._wanted for runner in runners)


async def ended(client: aisdk.Client, tenant: str, runner: Runner, job_id: uuid.UUID) -> Any:
    """What is stored of it at its end."""

    async def work() -> Any:
        runner.look_after(tenant)
        await idle(runner, tenant=tenant)
        return await runner._store.result(tenant, job_id)

    return await client._portal.hop(work)


async def test_failure_that_may_pass_is_waited_for(
    client: aisdk.Client, tenant: str, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that does not end is given up."""
    monkeypatch.setattr(running, "BEAT_S", 0.02)
    tries = 0

    async def twice(_: str, __: bytes, ___: Progress) -> Rows[Any]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable
        return Rows(SourceOutcome, [])

    runner = made(twice)
    job_id = await submitted(client, tenant, runner)
    assert (await ended(client, tenant, runner, job_id))["state"] == "done"
    assert tries == 3

    async def never(*_: Any) -> Rows[Any]:
        raise Unavailable

    runner = made(never)
    job_id = await submitted(client, tenant, runner)
    row = await ended(client, tenant, runner, job_id)
    assert (row["state"], Unavailable.code in row["error"]) == ("failed", True)


async def test_unexpected_error_is_told_by_the_job(
    client: aisdk.Client, tenant: str, made: Any
) -> None:
    """Without its text, which may be a tenant's."""

    async def wrong(*_: Any) -> Rows[Any]:
        raise KeyError("a tenant's text")

    runner = made(wrong)
    job_id = await submitted(client, tenant, runner)
    row = await ended(client, tenant, runner, job_id)
    assert row["state"] == "failed"
    assert InternalError.code in row["error"]
    assert "KeyError" in row["error"]
    assert "text" not in row["error"]


async def test_job_that_kills_its_process_is_given_up(
    client: aisdk.Client, tenant: str, made: Any
) -> None:
    """After ten beginnings."""
    runs = 0

    async def run(*_: Any) -> Rows[Any]:
        nonlocal runs
        runs += 1
        return Rows(SourceOutcome, [])

    runner = made(run)
    job_id = await submitted(client, tenant, runner)
    claimed = (tenant, "gone", runner.host, 0.0)
    for _ in range(10):
        assert await client._portal.hop(lambda: runner._store.claim(*claimed))
    row = await ended(client, tenant, runner, job_id)
    assert (row["state"], runs) == ("failed", 0)
    assert "too often" in row["error"]


async def test_two_clients_do_a_job_once(client: aisdk.Client, tenant: str, made: Any) -> None:
    """Whoever has the lease; the other one finds nothing, or the next job."""
    runs = 0

    async def run(*_: Any) -> Rows[Any]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        return Rows(SourceOutcome, [])

    runners = [made(run), made(run)]
    for _ in range(10):
        await submitted(client, tenant, runners[0])

    async def work() -> None:
        for runner in runners:
            runner.look_after(tenant)
        await idle(*runners, tenant=tenant)

    await client._portal.hop(work)
    assert runs == 10


def test_forked_child_leaves_the_parent_s_jobs_alone(session: aisdk.Session) -> None:
    """It has no task of theirs."""
    job = session.documents.add(MANY[:5_000], wait=False)
    child = os.fork()
    if not child:
        os._exit(bool(session.client._parts.runner._tasks))
    assert os.waitpid(child, 0)[1] == 0
    assert len(job.result(timeout_s=60)) == 5_000


async def test_answer_that_cannot_be_kept_ends_the_job(
    client: aisdk.Client, tenant: str, made: Any
) -> None:
    """At once, instead of being begun again and again."""
    outcome = ("a\udcff", "added", None, 1, 1, 0.0, None, None)

    async def odd(*_: Any) -> Rows[Any]:
        return Rows(SourceOutcome, [outcome])

    runner = made(odd)
    job_id = await submitted(client, tenant, runner)
    row = await ended(client, tenant, runner, job_id)
    assert row["state"] == "failed"
    assert "UnicodeEncodeError" in row["error"]
