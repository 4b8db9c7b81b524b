"""Malformed inputs of every kind: only errors of ours come out, which show none of it."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from malformed.calls import KINDS, Stage
from malformed.files import FORMATS
from malformed.folders import BOMBS, bomb_folder, changed_folder, crowded_folder, footer_folder
from malformed.footers import FOOTERS
from malformed.heavy import HEAVY
from malformed.mutation import seeded
from malformed.replies import try_replies
from malformed.verdict import Tally, fault_of
from malformed.workshop import Workshop
from misbehaving import EmbeddingServer

import aisdk
from aisdk import Document
from aisdk.errors import AisdkError, TenantUnknown, Unreadable
from aisdk.settings import Settings

LARGEST_GROWTH_MB: Final = 256
GROUP: Final = 500  # files that are parsed in one fork
LIGHT: Final = (
    *("one emoji", "line ends and emoji", "short cells", "wide text", "unique keys", "images"),
    *("attributes", "one attribute", "bomb", "directory", "pages of one stream", "reply of lists"),
)


@dataclass(frozen=True)
class Scale:
    """How many inputs of each kind, and which are the heavy ones.

    Attributes:
        files: Of each format but PDF.
        pdf: Files whose parser is a process of its own.
        calls: Calls of verbs.
        replies: Of an embedding service.
        folders: Of exported tenants.
        heavy: Names of bombs and largest inputs.
        size: Bytes of a heavy one.
    """

    files: int
    pdf: int
    calls: int
    replies: int
    folders: int
    heavy: tuple[str, ...]
    size: int


SCALES: Final = {
    "short": Scale(60, 3, 600, 80, 25, LIGHT, 12 * 2**20),
    "full": Scale(6_000, 300, 25_000, 4_000, 1_500, tuple(HEAVY), 64 * 2**20 - 1),
}


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    """How much to try."""
    return SCALES[request.config.getoption("--faults")]


@pytest.fixture
def canary() -> str:
    """A word that stands in every input and may not stand in any error."""
    return f"cq{secrets.token_hex(6)}"


@pytest.fixture
def stage(
    session: aisdk.Session,
    client: aisdk.Client,
    canary: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """A tenant with documents that filters can find, and with cursors."""
    monkeypatch.chdir(tmp_path)  # odd names of folders may be good ones
    odd = [None, 1.5, True, "x", {"y": 1}, [1, "a"], 10**30]
    documents = [
        Document(f"Pumps move water {n}.", f"s{n}", metadata={"year": n, "tag": ["a"], "n": value})
        for n, value in enumerate(odd)
    ]
    session.documents.add(documents, progress=False)
    aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=client)
    cursors = [session.documents.list(limit=2).cursor, run(client.tenants.list, limit=1).cursor]
    gone = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=client)
    gone.documents.add(documents, progress=False)
    receipt = run(client.tenants.erase, gone.tenant_id)
    return Stage(client, session, [cursor for cursor in cursors if cursor], canary, receipt)


@pytest.fixture
def exported(client: aisdk.Client, home: Path, tmp_path: Path) -> Iterator[list[Path]]:
    """Two folders of exported tenants: one with vectors."""
    server = EmbeddingServer()
    url = f"http://127.0.0.1:{server.port}/v1"
    settings = Settings(home=home, embedding="remote", embedding_url=url, embedding_model="m")
    folders = []
    with server.running(), aisdk.Client(settings) as remote:
        for one in (client, remote):
            session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=one)
            texts = [Document(f"Text {n}", f"s{n}", metadata={"n": n}) for n in range(9)]
            session.documents.add(texts, progress=False)
            path = tmp_path / session.tenant_id
            folders.append(run(one.tenants.export, session.tenant_id, path))
        yield folders


def run(verb: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The answer of an async verb."""

    async def call() -> Any:
        return await verb(*given, **named)

    return asyncio.run(call())


def try_files(scale: Scale, canary: str, tally: Tally) -> None:
    """Has files of every format parsed, and the heavy ones each by itself."""
    with Workshop.open(tally) as workshop:
        for suffix in FORMATS:
            count = scale.pdf if suffix == "pdf" else scale.files
            for start in range(0, count, GROUP):
                size = min(GROUP, count - start)
                workshop.parse(suffix, size, seed=start, canary=canary)
        for name in scale.heavy:
            workshop.parse(name, size=scale.size, canary=canary)


def try_calls(scale: Scale, stage: Stage, tally: Tally) -> None:
    """Makes calls with malformed arguments."""
    for kind, (share, make) in KINDS.items():
        rng = seeded(kind)
        for _ in range(scale.calls * share // 100):
            tally.judge(kind, stage.canary, make(rng, stage))


def try_folders(
    scale: Scale, client: aisdk.Client, good: list[Path], tally: Tally, canary: str
) -> None:
    """Imports changed folders and bombs; where that fails nothing is left of the tenant."""
    rng, place = seeded("folders"), good[0].parent
    with Workshop.open(tally) as workshop:
        for number in range(scale.folders):
            folder = changed_folder(rng, rng.choice(good), place / f"{number}", canary)
            tally.judge("folders", canary, lambda folder=folder: run(imported, client, folder))
            workshop.parse("folders", 0, folder=str(folder), canary=canary)
        bombs = [bomb_folder(name, good[0], place / name) for name in BOMBS]
        bombs += [footer_folder(name, good[0], place / f"footer of {name}") for name in FOOTERS]
        bombs.append(crowded_folder(good[0], place / "crowded"))
        for folder in bombs:
            workshop.parse("folders", 0, folder=str(folder), canary=canary)
            tally.judge("folders", canary, lambda folder=folder: run(imported, client, folder))


async def imported(client: aisdk.Client, folder: Path) -> None:
    """Imports a folder, and looks whether all or nothing is there."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    try:
        await client.tenants.import_(folder, tenant_id=name)
    except AisdkError:
        with pytest.raises(TenantUnknown):
            await client.tenants.get(name)
        raise
    await client.tenants.erase(name)


def test_malformed_inputs_raise_errors_of_ours_alone(
    scale: Scale,
    stage: Stage,
    exported: list[Path],
    canary: str,
    report: Callable[[str, int, int, str], None],
) -> None:
    """Files, filters, cursors, arguments, frames, replies and folders, with a canary in each."""
    tally = Tally()
    try_files(scale, canary, tally)
    try_calls(scale, stage, tally)
    try_replies(seeded("replies"), scale.replies, canary, tally)
    try_folders(scale, stage.client, exported, tally, canary)
    kinds = summed(tally)
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    detail = (
        f"{told}; accepted: {sum(tally.accepted.values()):,}; largest growth of one parse "
        f"{tally.growth_mb:.0f} MB ({tally.grew})"
    )
    too_large = tally.growth_mb > LARGEST_GROWTH_MB
    report("malformed inputs", sum(kinds.values()), len(tally.faults) + too_large, detail)
    assert tally.faults == []
    assert tally.growth_mb <= LARGEST_GROWTH_MB
    assert all(tally.accepted[kind] for kind in KINDS)  # each kind gets beyond the first check


def summed(tally: Tally) -> dict[str, int]:
    """How many inputs there were of each kind, the heavy ones together."""
    kinds = {kind: count for kind, count in tally.tried.items() if kind not in HEAVY}
    files = {f"{kind} files": count for kind, count in kinds.items() if kind in FORMATS}
    calls = {kind: count for kind, count in kinds.items() if kind not in FORMATS}
    return files | {"bombs and largest files": sum(tally.tried[name] for name in HEAVY)} | calls


@pytest.mark.parametrize("broken", ["escape", "recurse", "quote", "chain", "crash"])
def test_broken_parser_is_caught(broken: str, canary: str) -> None:
    """Controls: one lets an error through, one quotes the file, one ends the process."""
    tally = Tally()
    with Workshop.open(tally) as workshop:
        workshop.parse("csv", 9, canary=canary, broken=broken)
    assert tally.faults


def test_parser_that_takes_much_memory_is_caught(canary: str) -> None:
    """Control: three hundred megabytes are seen, although they are given back at once."""
    tally = Tally()
    with Workshop.open(tally) as workshop:
        workshop.parse("csv", 1, canary=canary)
        assert tally.growth_mb < 16
        workshop.parse("csv", 1, canary=canary, broken="allocate")
    assert tally.faults == []
    assert tally.growth_mb > LARGEST_GROWTH_MB


def test_footer_that_takes_much_memory_is_caught(
    exported: list[Path], tmp_path: Path, canary: str
) -> None:
    """Control: two kilobytes alone would take hundreds of megabytes if nobody looked first."""
    folder = footer_folder("columns that are not there", exported[0], tmp_path / "footer")
    tally = Tally()
    with Workshop.open(tally) as workshop:
        workshop.parse("folders", folder=str(folder), canary=canary)
        assert tally.growth_mb < 16
        workshop.parse("folders", folder=str(folder), canary=canary, broken="footer")
    assert tally.growth_mb > LARGEST_GROWTH_MB


def test_row_group_of_more_columns_than_there_are_is_refused(
    exported: list[Path], tmp_path: Path, canary: str
) -> None:
    """Asked for one of them, pyarrow ends the process."""
    folder = crowded_folder(exported[0], tmp_path / "crowded")
    tally = Tally()
    with Workshop.open(tally) as workshop:
        workshop.parse("folders", folder=str(folder), canary=canary)
    assert tally.faults == []


def test_error_that_shows_its_input_is_caught(canary: str) -> None:
    """Control: in the message, the hint, or the chain that a traceback shows."""

    def chained() -> None:
        try:
            fail(KeyError(canary))
        except KeyError as error:
            raise Unreadable from error

    shown: list[Callable[[], Any]] = [
        lambda: fail(Unreadable(f"Not {canary}.")),
        lambda: fail(Unreadable(hint=canary)),
        chained,
    ]
    assert all(fault_of(call, canary)[1] for call in shown)
    assert fault_of(lambda: fail(Unreadable()), canary) == (False, "")


def fail(error: Exception) -> None:
    """Raises it."""
    raise error
