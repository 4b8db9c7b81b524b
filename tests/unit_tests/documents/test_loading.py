"""Loading: what a call names becomes sources with stable keys, safely and lazily."""

from __future__ import annotations

import io
import itertools
import os
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.documents import links, loading
from aisdk.core.documents.access import Access
from aisdk.core.documents.cleaning import clean_text
from aisdk.core.documents.loading import count_sources, enumerate_sources
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.documents.sources import Document, LoadOptions, Source
from aisdk.core.documents.urls import without_credentials
from aisdk.errors import InvalidInput, Unreadable

OPTIONS = LoadOptions()
ACCESS = Access(schemes=frozenset({"memory"}))


def sources(what: Any, **options: Any) -> list[Source]:
    """All sources of a call."""
    return list(enumerate_sources(what, LoadOptions(**options), ACCESS))


def counted(what: Any) -> int | None:
    """How many sources a call has, as told before."""
    return count_sources(what, OPTIONS, ACCESS)


def reason(source: Source) -> str:
    """Why a source cannot be read."""
    with pytest.raises(Unreadable) as error:
        source.read()
    return error.value.reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with known, unknown, hidden and nested files."""
    for name in ("b.md", "a.txt", "sub/c.py", "sub/deep/d.txt", "image.png", ".hidden.md"):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    for skipped in (".git", "__pycache__", "env"):
        (tmp_path / "docs" / skipped).mkdir()
        (tmp_path / "docs" / skipped / "x.md").write_text("no")
    (tmp_path / "docs" / "env" / "pyvenv.cfg").write_text("")
    return tmp_path / "docs"


def test_enumerate_folder_gives_known_files_in_order(folder: Path) -> None:
    """Files of a folder come first, by name; hidden ones, caches and environments do not."""
    names = [Path(found.source).relative_to(folder).as_posix() for found in sources(folder)]
    assert names == ["a.txt", "b.md", "sub/c.py", "sub/deep/d.txt"]
    assert [found.source for found in sources(str(folder))] == [
        found.source for found in sources(folder)
    ]


def test_enumerate_relative_path_has_the_same_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another working directory a file is still the same source."""
    absolute = sources(folder / "a.txt")[0].source
    monkeypatch.chdir(folder)
    assert sources("a.txt")[0].source == absolute
    assert sources("./sub/../a.txt")[0].source == absolute


def test_enumerate_glob_matches_recursively(folder: Path) -> None:
    """``**`` reaches every depth; a glob without a match is an error."""
    assert [Path(found.source).name for found in sources(f"{folder}/**/*.txt")] == [
        "a.txt",
        "d.txt",
    ]
    with pytest.raises(InvalidInput):
        sources(f"{folder}/*.nothing")


def test_enumerate_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """Neither a file nor a folder outside is read through a link; one inside is."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (folder / "out.txt").symlink_to(secret)
    (folder / "outside").symlink_to(tmp_path)
    (folder / "within.txt").symlink_to(folder / "a.txt")
    (folder / "loop").symlink_to(folder)
    found = {Path(each.source).name: each for each in sources(folder)}
    assert reason(found["out.txt"]) == "outside_folder"
    assert reason(found["outside"]) == "outside_folder"
    assert found["within.txt"].read() == b"text of a.txt"
    assert "loop" not in found
    assert [path for path in found if "loop" in path] == []


def test_enumerate_glob_does_not_follow_links(folder: Path, tmp_path: Path) -> None:
    """A glob reports links that leave its fixed part, and endless ones do not matter."""
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "sub" / "up.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "sub" / "again").symlink_to(folder)
    found = {Path(each.source).name: each for each in sources(f"{folder}/**/*.txt")}
    assert sorted(found) == ["a.txt", "d.txt", "up.txt"]
    assert reason(found["up.txt"]) == "outside_folder"


def test_enumerate_link_to_itself_fails_alone(folder: Path) -> None:
    """Links that lead round in a circle are failed sources; the files beside them are read."""
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "there.txt").symlink_to("back.txt")
    (folder / "back.txt").symlink_to("there.txt")
    (folder / "unknown").symlink_to("unknown")
    for what in (folder, f"{folder}/*.txt"):
        found = {Path(each.source).name: each for each in sources(what)}
        assert "unknown" not in found
        assert found["a.txt"].read() == b"text of a.txt"
        for name in ("self.txt", "there.txt", "back.txt"):
            assert reason(found[name]) == "not_readable"
    assert reason(sources(folder / "self.txt")[0]) == "not_readable"


def test_enumerate_link_named_by_itself_is_read(folder: Path, tmp_path: Path) -> None:
    """A single path says what is wanted, so its link is followed; its key is the path given."""
    (tmp_path / "link.txt").symlink_to(folder / "a.txt")
    (found,) = sources(tmp_path / "link.txt")
    assert found.source == (tmp_path / "link.txt").as_posix()
    assert found.read() == b"text of a.txt"


def test_enumerate_linked_folder_has_the_keys_of_its_target(folder: Path, tmp_path: Path) -> None:
    """By whatever way a folder is reached, its files are the same sources."""
    (tmp_path / "docs2").symlink_to(folder)
    keys = [found.source for found in sources(tmp_path / "docs2")]
    assert keys == [found.source for found in sources(folder)]
    assert sources(tmp_path / "docs2" / "a.txt")[0].source == keys[0]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a.txt", "b.md"]),
        ("*.png", ["image.png"]),
        (".*.md", [".hidden.md"]),
        ("**", ["a.txt", "b.md", "c.py", "d.txt"]),
        ("**/**/d.*", ["d.txt"]),
        ("*/c.py", ["c.py"]),
        ("s?b/**/[cd].*", ["c.py", "d.txt"]),
        ("sub/../*.md", ["b.md"]),
    ],
)
def test_enumerate_glob_matches_each_file_once(
    folder: Path, pattern: str, names: list[str]
) -> None:
    """Formats that are unknown count only when their suffix is spelled, hidden names likewise."""
    assert [Path(found.source).name for found in sources(f"{folder}/{pattern}")] == names


def test_enumerate_path_with_glob_characters_is_a_path_first(tmp_path: Path) -> None:
    """A file that is really called so wins over the pattern."""
    (tmp_path / "a[1].txt").write_text("x")
    (tmp_path / "a1.txt").write_text("y")
    assert [Path(each.source).name for each in sources(f"{tmp_path}/a[1].txt")] == ["a[1].txt"]


def test_enumerate_huge_folder_lists_only_what_is_asked_for(tmp_path: Path) -> None:
    """Folders are opened one after the other, not as a whole."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    found = enumerate_sources(tmp_path, OPTIONS, ACCESS)
    assert next(found).read() == b"a"
    (tmp_path / "b" / "y.txt").write_text("late")
    assert [Path(each.source).name for each in found] == ["x.txt", "y.txt"]


def test_enumerate_list_keeps_on_after_what_cannot_be_added(folder: Path) -> None:
    """A wrong item or a missing path fails by itself, not the others."""
    items = ["text", folder / "nothing.txt", 3, Document("x", metadata={"a": object()}), None]
    found = sources([*items, folder / "a.txt"])
    assert found[0].read() is None
    assert [reason(each) for each in found[1:5]] == [
        "not_found",
        "not_a_document",
        "bad_metadata",
        "not_a_document",
    ]
    assert found[5].read() == b"text of a.txt"
    with pytest.raises(Unreadable):
        found[2].parse(None)
    with pytest.raises(Unreadable):
        found[2].content_key(None)
    assert found[2].size_bytes(None) == 0


def test_enumerate_special_files_are_never_opened(folder: Path) -> None:
    """A pipe does not block, a missing file is told."""
    os.mkfifo(folder / "pipe.txt")
    found = {Path(each.source).name: each for each in sources(folder)}
    assert reason(found["pipe.txt"]) == "special_file"
    (folder / "a.txt").unlink()
    assert reason(found["a.txt"]) == "not_found"


def test_read_larger_than_the_limit_is_refused(folder: Path) -> None:
    """One byte too many is too large."""
    (folder / "a.txt").write_bytes(b"x" * 101)
    assert reason(sources(folder / "a.txt", max_bytes=100)[0]) == "too_large"
    assert sources(folder / "a.txt", max_bytes=101)[0].read() == b"x" * 101


def test_enumerate_is_lazy_over_endless_lists() -> None:
    """Only what is asked for is taken."""
    endless = (f"text {number}" for number in itertools.count())
    first = list(itertools.islice(enumerate_sources(endless, OPTIONS, ACCESS), 3))
    assert [found.parse(None).text for found in first] == ["text 0", "text 1", "text 2"]


def test_enumerate_texts_have_keys_of_their_content() -> None:
    """The same text is the same source; a Document keeps its own key."""
    one, two, three = sources(["same", "same", Document("x", source="key", title="T")])
    assert one.source == two.source != three.source
    assert three.source == "key"
    assert three.parse(None).title == "T"


def test_enumerate_frame_takes_columns() -> None:
    """Text, id and title columns are named; the rest becomes JSON metadata."""
    frame = pd.DataFrame(
        {
            "body": ["one", "two"],
            "key": [7, 8],
            "head": ["A", None],
            "year": [2020, np.nan],
            "when": pd.to_datetime(["2024-01-02", None]),
            "flag": np.array([True, False]),
        }
    )
    first, second = sources(frame, text="body", id="key", title="head")
    assert (first.source, first.parse(None).title) == ("7", "A")
    assert first.parse(None).metadata == {
        "year": 2020.0,
        "when": "2024-01-02T00:00:00",
        "flag": True,
    }
    assert second.parse(None).metadata == {"year": None, "when": None, "flag": False}


def test_enumerate_frame_with_bad_columns_is_refused() -> None:
    """A missing column is told with those that are there."""
    frame = pd.DataFrame({"text": ["a", "b"], "key": ["x", None]})
    with pytest.raises(InvalidInput, match="text, key"):
        sources(frame, id="nothing")
    with pytest.raises(InvalidInput):
        sources(frame, id="key", source="key")


def test_enumerate_frame_rows_fail_by_themselves() -> None:
    """A row without id or text, or with what JSON lacks, does not stop the others."""
    frame = pd.DataFrame(
        {
            "text": ["a", "b", None, "d", ""],
            "key": [1.0, np.nan, 3.0, 4.0, 5.0],
            "note": ["x", "x", "x", object(), "x"],
        }
    )
    found = sources(frame, id="key")
    assert [each.source for each in found] == ["1", "row:1", "3", "4", "5"]
    assert found[0].read() is None
    assert [reason(each) for each in found[1:4]] == ["no_id", "empty", "bad_metadata"]
    with pytest.raises(Unreadable) as error:
        found[4].parse(None)
    assert error.value.reason == "empty"


def test_enumerate_frame_values_become_json() -> None:
    """Every usual dtype has JSON values that compare as one expects."""
    frame = pd.DataFrame(
        {
            "text": ["a"],
            "i": pd.array([None], dtype="Int64"),
            "b": pd.array([True], dtype="boolean"),
            "f": np.array([np.inf]),
            "c": pd.Categorical(["red"]),
            "t": pd.to_datetime(["2024-01-02 03:04"], utc=True),
            "d": pd.to_timedelta(["1 day"]),
            "a": [np.array([1, 2])],
            "n": [np.float32(0.5)],
            "o": [pd.NA],
        }
    )
    assert sources(frame)[0].parse(None).metadata == {
        "i": None,
        "b": True,
        "f": None,
        "c": "red",
        "t": "2024-01-02T03:04:00+00:00",
        "d": "1 days 00:00:00",
        "a": [1, 2],
        "n": 0.5,
        "o": None,
    }


def test_enumerate_frame_of_many_rows_keeps_their_order() -> None:
    """Rows are taken in parts, which must join exactly."""
    frame = pd.DataFrame({"text": [f"t{n}" for n in range(2_501)], "id": range(2_501), "n": 1})
    found = sources(frame, id="id")
    assert [each.source for each in found] == [str(n) for n in range(2_501)]
    assert found[2_500].parse(None).text == "t2500"
    assert sources(frame.iloc[:0], id="id") == []


def test_enumerate_url_of_any_file_system_works() -> None:
    """Fsspec's memory file system stands for all; credentials are not in the key."""
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/a.txt", b"alpha")
    files.pipe("/bucket/sub/b.md", b"beta")
    found = sources("memory://bucket")
    assert [each.source for each in found] == [
        "memory:///bucket/a.txt",
        "memory:///bucket/sub/b.md",
    ]
    assert found[0].read() == b"alpha"
    assert found[1].parse(b"beta").kind == "markdown"
    assert found[1].size_bytes(b"beta") == 4
    assert found[0].content_key(b"x") != found[0].content_key(b"y")
    assert [each.source for each in sources("memory://bucket/**/*.md")] == [found[1].source]
    assert reason(sources("memory://bucket/nothing.txt")[0]) == "not_found"
    assert reason(sources("memory://bucket/a.txt", max_bytes=4)[0]) == "too_large"
    with pytest.raises(InvalidInput) as error:
        sources("s3+nothing://user:password@host/x")
    assert "password" not in str(error.value)


def test_enumerate_archive_gives_its_files(tmp_path: Path) -> None:
    """A chained URL names a file within an archive, and says so in the key."""
    with zipfile.ZipFile(tmp_path / "docs.zip", "w") as archive:
        archive.writestr("in/a.md", "alpha")
        archive.writestr("b.txt", "beta")
    found = sources(f"zip://**/*.md::file://{tmp_path}/docs.zip")
    assert [each.source for each in found] == [f"zip://in/a.md::file://{tmp_path}/docs.zip"]
    assert found[0].read() == b"alpha"


def tarred(files: dict[str, bytes], path: Path, mode: Literal["w", "w:gz", "w:xz"] = "w") -> Path:
    """A tar of some files."""
    with tarfile.open(path, mode) as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return path


@pytest.mark.parametrize(("mode", "suffix"), [("w", "tar"), ("w:gz", "tar.gz"), ("w:xz", "tar.xz")])
def test_enumerate_tar_gives_its_files(
    tmp_path: Path, mode: Literal["w", "w:gz", "w:xz"], suffix: str
) -> None:
    """Packed or not, named by path or URL, and within another archive."""
    path = tarred({"in/a.md": b"alpha", "b.txt": b"beta"}, tmp_path / f"docs.{suffix}", mode)
    for last in (f"file://{path}", str(path), f"LOCAL://{path}"):
        found = sources(f"tar://**::{last}")
        assert [each.read() for each in found] == [b"beta", b"alpha"]
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(path, f"inner.{suffix}")
    (found,) = sources(f"tar://in/a.md::zip://inner.{suffix}::{tmp_path}/outer.zip")
    assert found.read() == b"alpha"
    assert found.source == f"tar://in/a.md::zip://inner.{suffix}::{tmp_path}/outer.zip"


def test_read_archived_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    """What is packed counts as what it unpacks to."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(100_000))
    url = f"zip://a.txt::{tmp_path}/a.zip"
    assert reason(sources(url, max_bytes=99_999)[0]) == "too_large"
    assert sources(url, max_bytes=100_000)[0].read() == bytes(100_000)


def test_enumerate_packed_tar_that_never_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tar is unpacked to be listed, up to a limit."""
    path = tarred({"zeros.txt": bytes(300_000), "b.txt": b"x"}, tmp_path / "bomb.tar.gz", "w:gz")
    url = f"tar://**::{path}"
    assert [Path(each.source).name for each in sources(url)] != []
    monkeypatch.setattr(links, "MOST_UNPACKED", 200_000)
    with pytest.raises(Unreadable) as error:
        sources(url)
    assert error.value.reason == "too_large"


def test_read_archived_files_in_threads_keeps_them_apart(tmp_path: Path) -> None:
    """Two threads read one tar, whose files share a position; without turns they mix them up."""
    bodies = {f"{letter}.txt": letter.encode() * 200_000 for letter in "abcdefgh"}
    path = tarred(bodies, tmp_path / "a.tar")
    found = {each.path: each for each in sources(f"tar://**::{path}")}

    def mixed(name: str) -> bool:
        return found[name].read() != bodies[name]

    def mixed_plainly(name: str) -> bool:
        try:
            return plain.open(name).read() != bodies[name]
        except tarfile.ReadError:
            return True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool, path.open("rb") as file:
            plain = fsspec.filesystem("tar", fo=file)
            assert sum(sum(pool.map(mixed, bodies)) for _ in range(50)) == 0
            assert any(any(pool.map(mixed_plainly, bodies)) for _ in range(1_000))  # the control
    finally:
        sys.setswitchinterval(interval)


def test_enumerate_file_url_is_the_file(folder: Path) -> None:
    """A file has one key, named by path or by URL."""
    assert sources(f"file://{folder}/a.txt")[0].source == sources(folder / "a.txt")[0].source


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("s3://key:secret@bucket/a.txt", "s3://bucket/a.txt"),
        ("sftp://user@host/a.txt", "sftp://host/a.txt"),
        ("https://u:p@ss@host/a?page=2&token=x&X-Amz-Signature=y", "https://host/a?page=2"),
        ("https://host/a?sig=x", "https://host/a"),
        ("https://host/@user/a.txt", "https://host/@user/a.txt"),
        ("github://org:repo@main/a.md", "github://org:repo@main/a.md"),
    ],
)
def test_without_credentials_keeps_what_names_the_file(url: str, kept: str) -> None:
    """User, password and signatures go; path and other parameters stay."""
    assert without_credentials(url) == kept


@pytest.mark.parametrize(
    "what", [42, b"bytes", {"a": 1}, "no such file", "two\nlines", "x" * 5_000, "nul\0", "", None]
)
def test_enumerate_what_is_nothing_of_the_kind_is_refused(what: Any) -> None:
    """The error says what can be added."""
    with pytest.raises(InvalidInput) as error:
        sources(what)
    assert error.value.hint


def test_content_key_follows_content_only() -> None:
    """Text, title and metadata count; the key does not."""
    base = sources([Document("a", source="1", title="t", metadata={"x": 1})])[0]
    same = sources([Document("a", source="2", title="t", metadata={"x": 1})])[0]
    assert base.content_key(None) == same.content_key(None)
    for other in (
        Document("b", title="t", metadata={"x": 1}),
        Document("a", title="u", metadata={"x": 1}),
        Document("a", title="t", metadata={"x": 2}),
        Document("ta", title="", metadata={"x": 1}),
    ):
        assert sources([other])[0].content_key(None) != base.content_key(None)


@given(text=st.text() | st.text(alphabet=st.characters(categories=["Cs"])))
def test_clean_text_any_text_can_be_stored(text: str) -> None:
    """What comes out is UTF-8 without NUL or carriage return; cleaning it again does nothing."""
    cleaned = clean_text(text)
    cleaned.encode("utf-8")
    assert not {"\0", "\r"} & set(cleaned)
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize(
    "metadata", [{1: "x"}, {"a": object()}, {"a": "x" * 300_000}, [1], {"a": b"bytes"}]
)
def test_checked_metadata_that_json_lacks_is_refused(metadata: Any) -> None:
    """The reason is stable."""
    with pytest.raises(Unreadable) as error:
        checked_metadata(metadata)
    assert error.value.reason == "bad_metadata"


def test_checked_metadata_of_python_values_is_json() -> None:
    """Dates, decimals and sets have a JSON form; missing numbers are None."""
    values = {
        "day": date(2024, 1, 2),
        "price": Decimal("1.50"),
        "tags": {"b", "a"},
        "nan": float("nan"),
        "big": 2**70,
        "deep": {"x": [1, (2, None)]},
        "bad\0": "\ud800",
    }
    assert checked_metadata(values) == {
        "day": "2024-01-02",
        "price": "1.50",
        "tags": ["a", "b"],
        "nan": None,
        "big": str(2**70),
        "deep": {"x": [1, [2, None]]},
        "bad": "\ufffd",
    }
    assert checked_metadata(None) == {}


def test_load_options_out_of_range_are_refused() -> None:
    """Limits have limits."""
    for wrong in ({"max_bytes": 0}, {"max_bytes": 2**40}, {"max_pages": True}):
        with pytest.raises(InvalidInput):
            LoadOptions(**wrong)


def test_count_of_local_sources_is_that_of_what_is_enumerated(folder: Path) -> None:
    """Of a file, a folder, a glob, a list in which folders stand, and a frame."""
    whole = [folder, str(folder), f"file://{folder}", f"{folder}/**/*.txt", f"{folder}/a.txt"]
    lists = [["a", "b"], ["a", folder, Document("b"), 3], [folder / "missing.md", folder]]
    for what in [*whole, *lists]:
        assert counted(what) == len(sources(what)) > 0
    assert counted(pd.DataFrame({"text": ["a", "b"]})) == 2


def test_count_of_what_is_far_away_or_used_up_by_counting_is_unknown(folder: Path) -> None:
    """Nothing is asked for, and an iterator keeps its items."""
    once = (text for text in ("a", "b"))
    assert counted("memory://bucket/folder") is None
    assert counted(once) is None
    assert len(sources(once)) == 2
    assert counted([]) is None
    (folder / "empty").mkdir()
    assert counted(folder / "empty") == 0


def test_count_of_very_many_files_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep the work from beginning."""
    monkeypatch.setattr(loading, "MOST_COUNTED", 4)
    assert counted(folder) == 4
    monkeypatch.setattr(loading, "MOST_COUNTED", 3)
    assert counted(folder) is None


def test_title_is_cut_before_it_is_looked_into() -> None:
    """Its first 2,000 characters are stored."""
    long = "y" * 2**21
    frame = pd.DataFrame({"text": ["a"], "title": [long]})
    found = [*sources([Document("a", "s", long)]), *sources(frame, title="title")]
    assert [len(getattr(source, "title", "")) for source in found] == [2**20] * 2
