"""Who goes on with a job: whoever has its files, and anybody where it needs none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import aisdk
from aisdk.core.jobs.host import host_of
from aisdk.errors import DeadlineExceeded
from aisdk.settings import Settings


@pytest.fixture
def away(home: Path, session: aisdk.Session) -> Iterator[aisdk.Session]:
    """The tenant as another machine sees it, which never gets to a job."""
    with aisdk.Client(Settings(home=home, embedding="none")) as client:
        client._parts.runner.host = "elsewhere"
        client._parts.runner._slots = asyncio.Semaphore(0)
        yield aisdk.connect(session.tenant_id, client=client)


def test_job_that_needs_files_is_left_to_their_place(
    session: aisdk.Session, away: aisdk.Session, tmp_path: Path
) -> None:
    """Alone or in a list; its paths mean nothing here. Own jobs are done meanwhile."""
    (tmp_path / "a.txt").write_text("a pump")
    for what in (tmp_path, ["a text", tmp_path / "a.txt"]):
        job = away.documents.add(what, wait=False)
        assert session.job(job.job_id).status().state == "waiting"
        with pytest.raises(DeadlineExceeded):
            session.job(job.job_id).result(timeout_s=0.7)
        own = session.documents.add(tmp_path, wait=False)
        assert len(own.result(timeout_s=60)) == 1
        assert job.cancel().state == "cancelled"


def test_job_of_texts_is_gone_on_with_anywhere(session: aisdk.Session, away: aisdk.Session) -> None:
    """By whoever asks for it."""
    job = away.documents.add(["a pump", "a valve"], wait=False)
    rows = session.job(job.job_id).result(timeout_s=60)
    assert [row.status for row in rows] == ["added", "added"]


def test_place_outlives_its_host_name(short_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container with a volume; another folder is another place."""
    name = host_of(short_home / "one")
    monkeypatch.setattr(socket, "gethostname", lambda: "started-again")
    assert host_of(short_home / "one") == name
    assert host_of(short_home / "two") != name
    assert len(name) == 32


def test_place_is_one_although_many_make_it_at_once(short_home: Path) -> None:
    """Whoever comes second takes what is there, and no draft is left."""
    for number in range(20):
        home = short_home / str(number)
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(host_of, [home] * 8))) == 1
        assert [file.name for file in home.iterdir()] == ["place"]


def test_place_is_the_host_where_nothing_can_be_kept(tmp_path: Path) -> None:
    """A job is accepted all the same."""
    (tmp_path / "file").touch()
    assert host_of(tmp_path / "file") == socket.gethostname()
