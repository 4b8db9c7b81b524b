"""Loading: what a call names becomes sources with stable keys, safely and lazily."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.documents.loading import enumerate_sources
from aisdk.core.documents.sources import (
    Document,
    LoadOptions,
    Source,
    checked_metadata,
    clean_text,
)
from aisdk.errors import InvalidInput, Unreadable

OPTIONS = LoadOptions()


def sources(what: Any, **options: Any) -> list[Source]:
    """All sources of a call."""
    return list(enumerate_sources(what, LoadOptions(**options)))


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
    assert reason(found["loop"]) in ("special_file", "not_readable")


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
    first = list(itertools.islice(enumerate_sources(endless, OPTIONS), 3))
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
    """A missing column is named with those that are there; an empty id is told."""
    frame = pd.DataFrame({"text": ["a", "b"], "key": ["x", None]})
    with pytest.raises(InvalidInput, match="text, key"):
        sources(frame, id="nothing")
    with pytest.raises(InvalidInput, match="no id"):
        sources(frame, id="key")
    with pytest.raises(InvalidInput):
        sources(frame, id="key", source="key")


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
    with pytest.raises(InvalidInput) as error:
        sources("s3+nothing://user:password@host/x")
    assert "password" not in str(error.value)


@pytest.mark.parametrize(
    "what", [42, b"bytes", {"a": 1}, "no such file", "two\nlines", [1, 2], None]
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
