"""``kill -9`` of PostgreSQL and of the ingesting process: what was acknowledged is there, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import aisdk
from aisdk import Document
from aisdk.errors import AisdkError, Unavailable
from aisdk.settings import Settings

AT_ONCE: Final = 20
DOCUMENTS: Final = 400
WRITER: Final = """
import sys
from pathlib import Path
import aisdk
from aisdk.settings import Settings
from test_kills import AT_ONCE, DOCUMENTS, make_documents

client = aisdk.Client(Settings(home=Path(sys.argv[1]), embedding="none"))
session = aisdk.connect(sys.argv[2], client=client)
for start in range(0, DOCUMENTS, AT_ONCE):
    session.documents.add(make_documents(int(sys.argv[3]))[start : start + AT_ONCE], progress=False)
    print(start, flush=True)
"""


DOUBLE_SEGMENT: Final = """
INSERT INTO aisdk.lexical_segments
SELECT tenant_id, gen_random_uuid(), chunk_ids, lengths, chunk_count FROM aisdk.lexical_segments
"""


def make_documents(version: int) -> list[Document]:
    """Documents of a few chunks, each with a word of its own."""
    return [
        Document(f"unique{number} version{version} " + "pump valve river gate " * 150, source=name)
        for number in range(DOCUMENTS)
        for name in [f"s{number}"]
    ]


@dataclass(frozen=True)
class Audit:
    """What is wrong in a tenant's store; all zero where nothing is."""

    lost: int
    doubled: int
    astray: int


def audit(client: aisdk.Client, tenant: str, acknowledged: set[str]) -> Audit:
    """Compares acknowledged sources, documents, chunks and the lexical index with each other."""

    async def read() -> tuple[Any, ...]:
        async with client._parts.database.bulk(tenant) as connection:
            documents = await connection.fetch(
                "SELECT source, chunk_count, document_id FROM aisdk.documents WHERE state = 'ready'"
            )
            chunks = await connection.fetch("SELECT chunk_id, document_id FROM aisdk.chunks")
            segments = await connection.fetch("SELECT chunk_ids FROM aisdk.lexical_segments")
            dead = await connection.fetch("SELECT chunk_id FROM aisdk.lexical_tombstones")
            counted = await connection.fetchval("SELECT chunk_count FROM aisdk.stores")
        return documents, chunks, segments, dead, counted

    client.start()
    documents, chunks, segments, dead, counted = _again(lambda: client._portal.call(read))
    sources = Counter(row["source"] for row in documents)
    indexed = Counter(n for row in segments for n in np.frombuffer(row[0], "<i8").tolist())
    alive = indexed - Counter(row[0] for row in dead)
    owners = Counter(row["document_id"] for row in chunks)
    wanted = {row["document_id"]: row["chunk_count"] for row in documents}
    return Audit(
        lost=len(acknowledged - set(sources)),
        doubled=sum(count - 1 for count in (*sources.values(), *indexed.values())),
        astray=(alive != Counter(row["chunk_id"] for row in chunks))
        + (owners != Counter(wanted))
        + (counted != len(chunks)),
    )


def _again(read: Callable[[], Any]) -> Any:
    """What ``read`` gives; it may meet a server that is just dying, and is then asked again."""
    for _ in range(3):
        try:
            return read()
        except Unavailable:
            time.sleep(0.1)
    return read()


def acknowledged_of(session: aisdk.Session, documents: list[Document]) -> set[str]:
    """The sources that one call of add reports as stored; none where it fails as a whole."""
    try:
        result = session.documents.add(documents, progress=False, raise_on_error=False)
    except AisdkError:
        return set()
    return {row.source for row in result if row.status != "failed"}


def kill_postgres(home: Path) -> None:
    """``kill -9`` of the postmaster, if it runs."""
    try:
        pid = int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return


@pytest.fixture
def database(short_home: Path) -> Iterator[aisdk.Client]:
    """A client whose database may be killed."""
    with aisdk.Client(Settings(home=short_home, embedding="none")) as client:
        yield client


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # killed servers leave half-open sockets
def test_killed_postgres_loses_nothing_acknowledged(
    database: aisdk.Client, short_home: Path, tenant: str, kills: int
) -> None:
    """The server is killed while documents are added and replaced, again and again."""
    chance = random.Random(5)  # noqa: S311  # not for secrets
    session = aisdk.connect(tenant, client=database)
    acknowledged: set[str] = set()
    for kill in range(kills):
        timer = threading.Timer(chance.uniform(0.01, 0.6), kill_postgres, [short_home])
        timer.start()
        documents = make_documents(kill // 3)
        for start in range(0, DOCUMENTS, AT_ONCE * 4):
            acknowledged |= acknowledged_of(session, documents[start : start + AT_ONCE * 4])
        timer.join()
        assert audit(database, tenant, acknowledged) == Audit(0, 0, 0)
    assert acknowledged == {document.source for document in documents}
    hits = session.rag.query("unique123", mode="lexical")
    assert hits[0].source == "s123"
    assert len({(hit.document_id, hit.start) for hit in hits}) == len(hits)


def write(home: Path, tenant: str, version: int, killed_after_s: float | None) -> set[str]:
    """The sources that a writing process acknowledged before it was killed, or ended."""
    command = [sys.executable, "-c", WRITER, str(home), tenant, str(version)]
    folder = str(Path(__file__).parent)
    process = subprocess.Popen(  # noqa: S603  # this interpreter, our own script
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": folder}
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    if killed_after_s is not None:
        time.sleep(killed_after_s)
        process.kill()
    starts = [int(line) for line in (first + process.stdout.read()).split()]
    process.stdout.close()
    assert process.wait() == (0 if killed_after_s is None else -signal.SIGKILL)
    return {f"s{start + number}" for start in starts for number in range(AT_ONCE)}


def test_killed_writer_loses_nothing_acknowledged(
    short_home: Path, tenant: str, kills: int
) -> None:
    """A process that adds is killed; the next one does only what is missing."""
    chance = random.Random(6)  # noqa: S311  # not for secrets
    acknowledged: set[str] = set()
    for kill in range(kills):
        acknowledged |= write(short_home, tenant, kill // 3, chance.uniform(0.0, 0.3))
        with aisdk.Client(Settings(home=short_home, embedding="none")) as client:
            assert audit(client, tenant, acknowledged) == Audit(0, 0, 0)
    everything = write(short_home, tenant, kills // 3, None)
    with aisdk.Client(Settings(home=short_home, embedding="none")) as client:
        assert audit(client, tenant, acknowledged | everything) == Audit(0, 0, 0)
        session = aisdk.connect(tenant, client=client)
        assert session.documents.count() == DOCUMENTS
        again = session.documents.add(make_documents(kills // 3), progress=False)
        assert {row.status for row in again} == {"unchanged"}


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE aisdk.documents SET source = 'x' WHERE source = 's3'", Audit(1, 0, 0)),
        ("DELETE FROM aisdk.chunks WHERE chunk_id = (SELECT min(chunk_id) FROM aisdk.chunks)", 2),
        (DOUBLE_SEGMENT, None),
        ("UPDATE aisdk.stores SET chunk_count = 0", 1),
    ],
    ids=["lost document", "lost chunk", "doubled segment", "wrong count"],
)
def test_audit_finds_damage(
    client: aisdk.Client, session: aisdk.Session, tenant: str, damage: str, found: Any
) -> None:
    """The control: the audit notices what a kill could have done."""
    documents = make_documents(0)[:10]
    acknowledged = acknowledged_of(session, documents)
    assert audit(client, tenant, acknowledged) == Audit(0, 0, 0)

    async def harm() -> None:
        async with client._parts.database.bulk(tenant) as connection:
            await connection.execute(damage)

    client._portal.call(harm)
    result = audit(client, tenant, acknowledged)
    if isinstance(found, Audit):
        assert result == found
    elif found is None:
        assert result.doubled > 0
    else:
        assert result.astray >= found - 1 > -1
        assert result != Audit(0, 0, 0)
