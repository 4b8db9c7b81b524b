"""``kill -9`` of PostgreSQL and of the ingesting process: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from aftermath import Audit, audit, kill_postgres, make_documents

import aisdk
from aisdk import Document
from aisdk.errors import AisdkError
from aisdk.settings import Settings

Report = Callable[[str, int, int, str], None]

A_KILL: Final = {"short": 400, "full": 2_000}  # documents that are written while the server dies
A_CALL: Final = 100
PAUSE_S: Final = 0.2
CLEAN: Final = Audit(0, 0, 0)
AT_ONCE: Final = 20
DOCUMENTS: Final = 400
WRITER: Final = """
import sys
from pathlib import Path
import aisdk
from aisdk.settings import Settings
from aftermath import make_documents
from test_kills import AT_ONCE, DOCUMENTS

home, tenant, version, early = sys.argv[1:]
client = aisdk.Client(Settings(home=Path(home), embedding="none"))
session = aisdk.connect(tenant, client=client)
for start in range(0, DOCUMENTS, AT_ONCE):
    documents = make_documents(range(start, start + AT_ONCE), int(version))
    if early == "early":
        print(start, flush=True)
    session.documents.add(documents, progress=False)
    if early != "early":
        print(start, flush=True)
"""


DOUBLE_SEGMENT: Final = """
INSERT INTO aisdk.lexical_segments
SELECT tenant_id, gen_random_uuid(), chunk_ids, lengths, chunk_count FROM aisdk.lexical_segments
"""


@dataclass
class Campaign:
    """Adds documents to one tenant while its database is killed.

    Attributes:
        client: Adds.
        tenant: To it.
        acknowledged: Source → the version that was acknowledged last.
        written: How many documents were acknowledged so far, each of its versions counted.
        audits: What was found after each kill.
        killed: How often the server really was.
        cut: Calls that failed and were made again.
    """

    client: aisdk.Client
    tenant: str
    acknowledged: dict[str, int] = field(default_factory=dict)
    written: int = 0
    audits: list[Audit] = field(default_factory=list)
    killed: int = 0
    cut: int = 0
    spent_s: float = 0.5
    chance: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311

    async def round(self, home: Path, numbers: range, version: int) -> None:
        """Adds a version of documents; at a random moment the server is killed."""
        killing = asyncio.create_task(self._kill(home))
        started = time.monotonic()
        for start in range(0, len(numbers), A_CALL):
            await self.add(make_documents(numbers[start : start + A_CALL], version), version)
        self.spent_s = time.monotonic() - started
        await killing
        self.audits.append(await audit(self.client, self.tenant, self.acknowledged))

    async def _kill(self, home: Path) -> None:
        await asyncio.sleep(self.chance.uniform(0, min(self.spent_s, 2.0)))
        self.killed += kill_postgres(home)

    async def add(self, documents: list[Document], version: int) -> None:
        """Adds documents, and again those that were not acknowledged."""
        left = {document.source: document for document in documents}
        while left:
            try:
                result = await self.client.documents.add(
                    self.tenant, list(left.values()), progress=False, raise_on_error=False
                )
            except AisdkError as error:
                if not error.retryable:
                    raise
                self.cut += 1
                await asyncio.sleep(PAUSE_S)
                continue
            for row in result:
                if row.status != "failed" and left.pop(row.source, None):
                    self.acknowledged[row.source] = version
                    self.written += 1

    @property
    def wrong(self) -> int:
        """Everything that was found wrong."""
        return sum(each.wrong for each in self.audits)


@pytest.fixture
def database(short_home: Path) -> Iterator[aisdk.Client]:
    """A client whose database may be killed."""
    with aisdk.Client(Settings(home=short_home, embedding="none")) as client:
        client.start()
        yield client


@pytest.fixture
def campaign(database: aisdk.Client, tenant: str) -> Campaign:
    """Nothing acknowledged yet."""
    return Campaign(database, tenant)


@pytest.fixture
def a_kill(request: pytest.FixtureRequest) -> int:
    """How many documents are added while the server is killed once."""
    return A_KILL[request.config.getoption("--faults")]


async def forgetting_is_caught(client: aisdk.Client, home: Path) -> bool:
    """The control: a server that acknowledges what it has not written to its disk yet."""
    server = client._parts.server
    assert server is not None
    address = server.address("postgres")

    async def command(*statements: str) -> None:
        connection = await asyncpg.connect(address)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    await command(
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER ROLE aisdk_app SET synchronous_commit = off",
        "SELECT pg_reload_conf()",
    )
    async with aisdk.Client(client.settings) as other:
        campaign = Campaign(other, "forgotten")
        for number in range(10):
            await campaign.add(make_documents(range(number, number + 1), 1), 1)
            kill_postgres(home)
            found = await audit(other, "forgotten", campaign.acknowledged)
            if found.lost:
                return True
    return False


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # killed servers leave half-open sockets
async def test_killed_postgres_loses_nothing_acknowledged(
    campaign: Campaign, short_home: Path, kills: int, a_kill: int, report: Report
) -> None:
    """The server is killed while documents are added and replaced, again and again."""
    rounds = 0
    while campaign.killed < kills:
        first = rounds * (a_kill // 4)
        rounds += 1
        await campaign.round(short_home, range(first, first + a_kill), rounds)
    caught = await forgetting_is_caught(campaign.client, short_home)
    report(
        "kill -9 of PostgreSQL",
        campaign.killed,
        campaign.wrong,
        f"{campaign.written:,} documents acknowledged, {campaign.cut} calls failed and were made "
        "again" + "; control: caught" * caught,
    )
    assert set(campaign.audits) == {CLEAN}
    assert campaign.written == rounds * a_kill
    session = campaign.client.session(campaign.tenant)
    hits = await session.rag.query(f"unique{first + 1}", mode="lexical")
    assert hits[0].source == f"s{first + 1}"
    assert len({(hit.document_id, hit.start) for hit in hits}) == len(hits)
    assert caught


def write(
    home: Path, tenant: str, version: int, killed_after_s: float | None, *, early: bool = False
) -> dict[str, int]:
    """What a writing process acknowledged before it was killed, or ended: source → version."""
    command = [sys.executable, "-c", WRITER, str(home), tenant, str(version)]
    folder = str(Path(__file__).parent)
    process = subprocess.Popen(  # noqa: S603  # this interpreter, our own script
        [*command, "early" if early else "late"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])},
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    if killed_after_s is not None:
        time.sleep(killed_after_s)
        process.kill()
    starts = [int(line) for line in (first + process.stdout.read()).split()]
    process.stdout.close()
    assert process.wait() == (0 if killed_after_s is None else -signal.SIGKILL)
    return {f"s{start + number}": version for start in starts for number in range(AT_ONCE)}


async def test_killed_writer_loses_nothing_acknowledged(
    database: aisdk.Client, short_home: Path, tenant: str, kills: int, report: Report
) -> None:
    """A process that adds is killed; the next one does only what is missing."""
    chance = random.Random(6)  # noqa: S311  # not for secrets
    acknowledged: dict[str, int] = {}
    audits, written = [], 0
    for kill in range(kills):
        stored = write(short_home, tenant, kill // 3, chance.uniform(0.0, 0.3))
        acknowledged |= stored
        written += len(stored)
        audits.append(await audit(database, tenant, acknowledged))
    everything = write(short_home, tenant, kills // 3, None)
    audits.append(await audit(database, tenant, acknowledged | everything))
    early = write(short_home, "early", 0, 0.0, early=True)
    caught = (await audit(database, "early", early)).lost > 0
    report(
        "kill -9 of the writer",
        kills,
        sum(each.wrong for each in audits),
        f"{written:,} documents acknowledged before the kills" + "; control: caught" * caught,
    )
    assert set(audits) == {CLEAN}
    assert await database.documents.count(tenant) == DOCUMENTS
    documents = make_documents(range(DOCUMENTS), kills // 3)
    again = await database.documents.add(tenant, documents, progress=False)
    assert {row.status for row in again} == {"unchanged"}
    assert caught


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE aisdk.documents SET source = 'x' WHERE source = 's3'", Audit(1, 0, 0)),
        ("UPDATE aisdk.chunks SET text = replace(text, 'n1', 'n0')", Audit(10, 0, 0)),
        ("DELETE FROM aisdk.chunks WHERE chunk_id = (SELECT min(chunk_id) FROM aisdk.chunks)", 2),
        (DOUBLE_SEGMENT, None),
        ("UPDATE aisdk.stores SET chunk_count = 0", Audit(0, 0, 1)),
        ("UPDATE aisdk.stores SET document_count = document_count + 1", Audit(0, 0, 1)),
        (
            "UPDATE aisdk.chunks SET text = replace(text, 'n1', 'n7') WHERE start_char > 0",
            Audit(0, 0, 1),
        ),
    ],
    ids=[
        "lost document",
        "older version",
        "lost chunk",
        "doubled segment",
        "wrong count of chunks",
        "wrong count of documents",
        "chunks of two versions",
    ],
)
async def test_audit_finds_damage(
    client: aisdk.Client, tenant: str, damage: str, found: Any
) -> None:
    """The control: the audit notices what a kill could have done."""
    campaign = Campaign(client, tenant)
    await campaign.add(make_documents(range(10), 1), 1)
    assert await audit(client, tenant, campaign.acknowledged) == CLEAN

    async def harm() -> None:
        async with client._parts.database.bulk(tenant) as connection:
            await connection.execute(damage)

    await client._portal.hop(harm)
    result = await audit(client, tenant, campaign.acknowledged)
    if isinstance(found, Audit):
        assert result == found
    elif found is None:
        assert result.doubled > 0
    else:
        assert result.astray >= found
