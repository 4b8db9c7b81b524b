"""Documents against a real database: adding is idempotent, resumable and honest about failures."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pandas as pd
import pytest

import aisdk
from aisdk import Document
from aisdk.core.results.progress import Silent
from aisdk.errors import (
    AddFailed,
    Conflict,
    EmbeddingMismatch,
    InvalidInput,
    NotFound,
    TenantMismatch,
)


def statuses(session: aisdk.Session, what: object, **options: object) -> dict[str, str]:
    """Source → status of one call."""
    result = session.documents.add(what, progress=False, raise_on_error=False, **options)
    return {row.source: row.status for row in result}


def test_add_again_is_unchanged_and_changed_is_updated(session: aisdk.Session) -> None:
    """The same content is left alone; other content replaces the chunks."""
    first = [Document("red pump " * 300, source="a"), Document("blue valve", source="b")]
    assert statuses(session, first) == {"a": "added", "b": "added"}
    assert statuses(session, first) == {"a": "unchanged", "b": "unchanged"}
    before = session.documents.get("a")
    assert statuses(session, [Document("green gate", source="a"), first[1]]) == {
        "a": "updated",
        "b": "unchanged",
    }
    after = session.documents.get("a")
    assert (after.text, after.document_id) == ("green gate", before.document_id)
    assert session.documents.info().chunks == 2
    assert len(session.rag.query("pump", mode="lexical")) == 0


def test_add_text_comes_back_exactly(session: aisdk.Session) -> None:
    """A document's chunks join to its text, and a hit's span finds its chunk there."""
    text = "".join(f"Sentence number {n} tells of pumps and valves.\n\n" for n in range(200))
    session.documents.add([Document(text, source="long", title="Pumps")], progress=False)
    stored = session.documents.get("long")
    assert stored.text == text
    assert stored.chunks > 5
    for hit in session.rag.query("valves", mode="lexical", top_k=5):
        assert text[hit.start : hit.end] == hit.text


@pytest.mark.parametrize("wait", [True, False])
def test_add_file_whose_name_is_no_text(session: aisdk.Session, tmp_path: Path, wait: bool) -> None:
    """Each stands for itself under a name that can be read; frames and jobs take it."""
    for name, text in ((b"a\xff.txt", "a red pump"), (b"a\xfe.txt", "a valve")):
        (tmp_path / os.fsdecode(name)).write_text(text)
    added = session.documents.add(tmp_path, progress=False, wait=wait)
    frame = (added if wait else added.result()).to_frame()
    assert frame["status"].tolist() == ["added"] * 2
    names = {name.rpartition("a\\")[2]: name for name in frame["source"]}
    assert sorted(names) == ["udcfe.txt", "udcff.txt"]
    assert session.documents.get(names["udcff.txt"]).text == "a red pump"


def test_add_key_that_is_too_long_fails_alone(session: aisdk.Session) -> None:
    """It is kept under the beginning of its key, and the others are stored."""
    found = session.documents.add(
        [Document("one", source="s" * 3_000), Document("two", source="b")],
        progress=False,
        raise_on_error=False,
    )
    assert [(row.status, row.error_code) for row in found] == [
        ("failed", "source_too_long"),
        ("added", None),
    ]
    (failed,) = session.documents.list(state="failed")
    assert (failed.source, failed.error_code) == ("s" * 2_000, "source_too_long")


class Recorder(Silent):
    """Progress that keeps how many chunks each step brought."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Keeps the step where it brought chunks."""
        del done, failed
        self.steps += [chunks] if chunks else []


def test_add_shows_early_that_it_goes_on(
    session: aisdk.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunks are stored soon; batches then grow, so that the work is not slowed."""
    seen = Recorder()
    monkeypatch.setattr("aisdk.notebook.progress.choose_progress", lambda: lambda *_: seen)
    session.documents.add([f"note {number}" for number in range(1_200)])
    assert seen.steps == [64, 128, 256, 512, 240]


class Totals(Silent):
    """Keeps the totals in the order in which they were told, and the count at each."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, int]] = []
        self.done = 0

    def start(self, _title: str, _unit: str, total: int | None) -> Totals:
        """The factory."""
        self.told.append((total, 0))
        return self

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts."""
        del chunks
        self.done += done + failed

    def grow(self, total: int) -> None:
        """Keeps the total."""
        self.told.append((total, self.done))


def test_add_knows_the_total_of_a_folder_from_the_start(
    session: aisdk.Session, tmp_path: Path
) -> None:
    """And so does its job: the time left can be told."""
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"pump {number}")
    for what in (tmp_path, str(tmp_path), f"{tmp_path}/*.txt", [tmp_path]):
        totals = Totals()
        session.documents.add(what, progress=totals.start)
        assert totals.told[0] == (5, 0)
    assert session.documents.add(tmp_path, wait=False).result()
    assert [job.total for job in session.jobs.list()] == [5]


@pytest.mark.parametrize("count", [20, 25])
def test_add_tells_a_total_as_soon_as_no_source_is_left(
    session: aisdk.Session, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Of an iterator before its last group is stored; until then there is none."""
    monkeypatch.setattr("aisdk.core.documents.adding.GROUP_SOURCES", 10)
    session.documents.add([f"pump {n}" for n in range(count)])
    totals = Totals()
    session.documents.add((f"pump {n}" for n in range(count)), progress=totals.start)
    assert totals.told == [(None, 0), (count, 20)]


def test_add_failing_sources_do_not_stop_the_others(session: aisdk.Session, tmp_path: Path) -> None:
    """The good ones are stored, the bad ones have a reason, and the error holds the table."""
    (tmp_path / "good.txt").write_text("a good text")
    (tmp_path / "empty.txt").write_text("  ")
    (tmp_path / "broken.docx").write_bytes(b"PK nonsense")
    with pytest.raises(AddFailed) as error:
        session.documents.add(tmp_path, progress=False)
    frame = error.value.result.to_frame()
    found = {
        Path(source).name: code for source, code in zip(frame.source, frame.error_code, strict=True)
    }
    assert found["empty.txt"] == "empty"
    assert found["broken.docx"] == "damaged"
    assert pd.isna(found["good.txt"])
    assert session.documents.count() == 1
    failed = session.documents.list(state="failed")
    assert sorted(row.error_code or "" for row in failed) == ["damaged", "empty"]
    (tmp_path / "empty.txt").write_text("now with text")
    (tmp_path / "broken.docx").unlink()
    result = {Path(k).name: v for k, v in statuses(session, tmp_path).items()}
    assert result == {"empty.txt": "added", "good.txt": "unchanged"}


def test_add_failure_keeps_what_was_stored(session: aisdk.Session, tmp_path: Path) -> None:
    """A file that became unreadable keeps its last good content."""
    file = tmp_path / "a.txt"
    file.write_text("precious words")
    session.documents.add(file, progress=False)
    file.write_bytes(bytes(range(256)) * 4)
    assert list(statuses(session, file).values()) == ["failed"]
    assert session.documents.get(file.as_posix()).text == "precious words"
    assert len(session.rag.query("precious", mode="lexical")) == 1


def test_add_same_id_twice_in_one_call_is_told(session: aisdk.Session) -> None:
    """Equal rows are one document; different rows under one id are an error for the second."""
    frame = pd.DataFrame({"id": ["x", "x", "y", "y"], "text": ["same", "same", "one", "two"]})
    result = session.documents.add(frame, id="id", progress=False, raise_on_error=False)
    assert [row.status for row in result] == ["added", "unchanged", "added", "failed"]
    assert result[3].error_code == "duplicate_source"
    assert session.documents.get("y").text == "one"


def test_add_same_id_several_times_fails_each_after_the_first(session: aisdk.Session) -> None:
    """All failures of one call are noted together, also where they are of one source."""
    frame = pd.DataFrame({"id": ["x"] * 4, "text": ["one", "two", "three", "one"]})
    result = session.documents.add(frame, id="id", progress=False, raise_on_error=False)
    assert [row.status for row in result] == ["added", "failed", "failed", "unchanged"]
    assert session.documents.get("x").text == "one"


def test_document_is_found_by_a_source_that_looks_like_an_id(session: aisdk.Session) -> None:
    """As by its own id; it is deleted by it, and the others stay."""
    source = "0b9ae1b2-5a2c-4d7e-9f6a-1c2d3e4f5a6b"
    session.documents.add([Document("one", source=source), Document("two")], progress=False)
    assert session.documents.get(source).text == "one"
    assert session.documents.get(session.documents.get(source).document_id).source == source
    session.documents.delete(source)
    assert session.documents.count() == 1


async def test_add_one_source_from_two_tasks_gives_one_document(
    client: aisdk.Client, tenant: str
) -> None:
    """Concurrent adds of the same sources store each once."""
    many = [Document(f"text number {n}", source=f"s{n}") for n in range(40)]
    results = await asyncio.gather(
        *(client.documents.add(tenant, many, progress=False) for _ in range(4))
    )
    added = [row.source for result in results for row in result if row.status == "added"]
    assert sorted(added) == sorted(document.source or "" for document in many)
    assert (await client.documents.info(tenant)).chunks == 40
    page = await client.rag.query(tenant, "number", mode="lexical", top_k=100)
    assert len(page) == 40


def test_list_pages_cover_everything_once_in_every_order(session: aisdk.Session) -> None:
    """Keyset pages neither lose nor repeat a row, up and down."""
    many = [Document(f"text {n}", source=f"s{n:03}", title=f"T{n % 7}") for n in range(53)]
    session.documents.add(many, progress=False)
    for order in ("source", "-source", "created_at", "-created_at", "title", "-title"):
        pages = list(session.documents.list(limit=10, order=order).pages())
        rows = [row.source for page in pages for row in page]
        assert [len(page) for page in pages] == [10, 10, 10, 10, 10, 3]
        assert sorted(rows) == [document.source for document in many]
    collected = session.documents.list(limit=7).collect(max_rows=30, progress=False)
    assert len(collected) == 30
    assert collected.has_more
    assert len(collected.next()) > 0


def test_list_cursor_of_another_tenant_is_refused(
    session: aisdk.Session, client: aisdk.Client
) -> None:
    """A cursor works for its tenant and listing only."""
    session.documents.add([f"text {n}" for n in range(3)], progress=False)
    cursor = session.documents.list(limit=1).cursor
    other = aisdk.connect(f"{session.tenant_id}-b", client=client)
    with pytest.raises(TenantMismatch):
        other.documents.list(limit=1, cursor=cursor)
    with pytest.raises(TenantMismatch):
        session.documents.list(limit=1, cursor=cursor, order="title")
    with pytest.raises(InvalidInput):
        session.documents.list(limit=1, cursor="nonsense")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"year": 2020}, "a"),
        ({"year": {">=": 2020}}, "ab"),
        ({"year": {">": 2019, "<": 2024}}, "a"),
        ({"year": {"!=": 2020}}, "bcd"),
        ({"year": {"in": [2020, 2024]}}, "ab"),
        ({"year": {"not in": [2020]}}, "bcd"),
        ({"tags": {"contains": "x"}}, "b"),
        ({"flag": True}, "c"),
        ({"year": {"exists": False}}, "d"),
        ({"note": None}, "abcd"),
        ({"year": {">=": "2020"}}, "c"),
        ({"year": {"in": []}}, ""),
        ({}, "abcd"),
    ],
)
def test_list_filters_compare_like_with_like(
    session: aisdk.Session, where: dict[str, object], expected: str
) -> None:
    """Operators hold for values of the same kind; what is missing is not equal."""
    session.documents.add(
        [
            Document("one", source="a", metadata={"year": 2020}),
            Document("two", source="b", metadata={"year": 2024, "tags": ["x", "y"]}),
            Document("three", source="c", metadata={"year": "2022", "flag": True}),
            Document("four", source="d"),
        ],
        progress=False,
    )
    assert "".join(row.source for row in session.documents.list(where=where)) == expected
    assert session.documents.count(where=where) == len(expected)


def test_update_and_delete_touch_one_document(session: aisdk.Session) -> None:
    """Metadata and title change without a new version; deleting takes the words along."""
    session.documents.add(
        [Document("alpha", source="a"), Document("beta", source="b")], progress=False
    )
    session.documents.update("a", title="New", metadata={"k": [1, None]})
    changed = session.documents.get("a")
    assert (changed.title, dict(changed.metadata)) == ("New", {"k": [1, None]})
    assert session.documents.delete("a") == 1
    assert len(session.rag.query("alpha", mode="lexical")) == 0
    for call in (
        lambda: session.documents.get("a"),
        lambda: session.documents.update("a", title="x"),
        lambda: session.documents.delete("a"),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(InvalidInput):
        session.documents.delete()
    assert session.documents.delete(where={}) == 1
    assert session.documents.info().chunks == 0


def test_set_language_only_while_empty(session: aisdk.Session) -> None:
    """German stems are found in a German store; a filled store keeps its language."""
    session.documents.set_language("german")
    session.documents.add(["Die Häuser stehen am Fluss"], progress=False)
    assert len(session.rag.query("Haus", mode="lexical")) == 1
    with pytest.raises(Conflict):
        session.documents.set_language("english")
    with pytest.raises(InvalidInput):
        session.documents.set_language("klingon")


def test_add_with_another_model_is_refused(
    minilm_session: aisdk.Session, client: aisdk.Client
) -> None:
    """A store with vectors takes no documents without them."""
    minilm_session.documents.add(["with a vector"], progress=False)
    without = aisdk.connect(minilm_session.tenant_id, client=client)
    with pytest.raises(EmbeddingMismatch):
        without.documents.add(["without one"], progress=False)


@pytest.mark.parametrize("limit", [0, -1, 10_001, True, 1.5, "5"])
def test_list_limit_out_of_range_is_refused(session: aisdk.Session, limit: object) -> None:
    """Limits are whole numbers within bounds."""
    with pytest.raises(InvalidInput):
        session.documents.list(limit=limit)
