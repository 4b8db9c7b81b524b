"""What a job is given is what the call was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from aisdk import Document
from aisdk.core.documents.access import Access
from aisdk.core.documents.loading import enumerate_sources
from aisdk.core.documents.requests import pack, unpack
from aisdk.core.documents.sources import LoadOptions
from aisdk.core.jobs.store import MOST_BYTES
from aisdk.errors import AisdkError, InvalidInput

ANYWHERE = Access(frozenset(), (), private=False, folders=None, timeout_s=1)
FRAME = pd.DataFrame(
    {
        "text": ["a pump", "a valve", None, "a gate"],
        "key": [1, 2, 3, None],
        "year": pd.to_datetime(["2020-01-01"] * 4),
        "name": ["A", "B", "C", "D"],
    }
)


def described(what: Any, load: LoadOptions) -> list[tuple[Any, ...]]:
    """Each source: its key and content, or why it cannot be read."""
    found: list[tuple[Any, ...]] = []
    for source in enumerate_sources(what, load, ANYWHERE):
        try:
            found.append((source.source, source.content_key(source.read())))
        except AisdkError as error:
            found.append((source.source, error.message, error.hint))
    return found


@pytest.mark.parametrize(
    ("what", "load"),
    [
        (["a pump", "lone \ud800 surrogate", "", 7, "nul \0"], LoadOptions()),
        ([Document("a", "s1", "T", {"n": 2**80, "x": [1.5, None]}), Document("b")], LoadOptions()),
        (Document("alone", "s"), LoadOptions()),
        ((text for text in ["once", "only"]), LoadOptions()),
        (FRAME, LoadOptions(id="key", title="name")),
        (FRAME, LoadOptions(text="name")),
    ],
    ids=["texts", "documents", "document", "iterator", "frame", "frame without ids"],
)
def test_sources_are_those_of_the_call(what: Any, load: LoadOptions) -> None:
    """The same keys, contents and failures, in the same order."""
    given = list(what) if hasattr(what, "__next__") else what
    expected = described(given, load)
    again, _ = unpack(pack(iter(given) if given is not what else what, load, ANYWHERE, {})[0])
    assert described(again, LoadOptions()) == expected


def test_paths_mean_the_same_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative files, folders, globs and lists of paths."""
    (tmp_path / "docs").mkdir()
    for name in ("a.md", "b.md", "ä b.txt"):
        (tmp_path / "docs" / name).write_text(f"text of {name}", "utf-8")
    monkeypatch.chdir(tmp_path)
    whats: list[Any] = ["docs", "docs/", "./docs/a.md", "docs/*.md", Path("docs/ä b.txt")]
    whats += ["file://docs/a.md", [Path("docs/a.md"), "text", Path("docs/no.md")]]
    expected = [described(what, LoadOptions()) for what in whats]
    packed = [pack(what, LoadOptions(), ANYWHERE, {})[0] for what in whats]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [described(unpack(each)[0], LoadOptions()) for each in packed] == expected


def test_options_of_the_work_are_kept_and_those_of_the_display_are_not() -> None:
    """Limits and strictness go along."""
    options = {"max_bytes": 5, "raise_on_error": False, "progress": print, "text": "name"}
    _, kept = unpack(pack(["a"], LoadOptions(), ANYWHERE, options)[0])
    assert kept == {"max_bytes": 5, "raise_on_error": False}


def test_what_add_refuses_is_refused_at_once() -> None:
    """A path that is not there, and what is no document."""
    for what in ("no/such/file", 5, {"a": 1}, ""):
        with pytest.raises(InvalidInput):
            pack(what, LoadOptions(), ANYWHERE, {})


def test_too_much_text_is_refused() -> None:
    """Before it is all held twice."""
    texts = ("x" * 2**20 for _ in range(2 + MOST_BYTES // 2**20))
    with pytest.raises(InvalidInput, match="64 MiB"):
        pack(texts, LoadOptions(), ANYWHERE, {})
