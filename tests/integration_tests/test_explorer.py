"""The explorer on a real store: the listing in blocks, in its orders, narrowed, with its texts."""

from __future__ import annotations

from typing import Any

import pytest

import aisdk
from aisdk.errors import InvalidInput
from aisdk.notebook.stored import KEPT_BLOCKS


@pytest.fixture
def filled(session: aisdk.Session) -> aisdk.Session:
    """A session with 450 documents."""
    documents = [
        aisdk.Document(f"Note {n} about pumps.", source=f"s{n:03}", metadata={"odd": n % 2})
        for n in range(450)
    ]
    session.documents.add(documents, progress=False)
    return session


def ask(explorer: Any, **question: Any) -> dict[str, Any]:
    """What the browser gets for a question."""
    sent: list[Any] = []
    explorer.view.send = sent.append
    explorer.view._handle_custom_msg({"id": "0.0", **question}, [])
    found: dict[str, Any] = sent[0]
    return found


def sources(view: Any, start: int, **how: Any) -> list[str]:
    """The sources in a block."""
    found = ask(view, do="rows", view=how, start=start)
    return [line[2] for line in found["rows"]]


def test_explore_reads_the_whole_listing(filled: aisdk.Session) -> None:
    """Block by block, from either end, though the page has few rows."""
    view = filled.documents.list(limit=5).explore()
    expected = [f"s{n:03}" for n in range(450)]
    assert sources(view, 400) == expected[400:]
    assert sources(view, 0) == expected[:200]
    assert sources(view, 200) == expected[200:400]
    assert sources(view, 0, sort="source", descending=True) == expected[:-201:-1]
    assert ask(view, do="rows", view={}, start=0)["total"] == 450


def test_explore_reads_every_order(filled: aisdk.Session) -> None:
    """Each order of the store, from the end as from the beginning."""
    view = filled.documents.list(limit=5).explore()
    for order in ("source", "created_at", "title"):
        listed = filled.documents.list(limit=450, order=order)
        expected = [document.source for document in listed]
        assert sources(view, 400, sort=order) == expected[400:]
        assert sources(view, 0, sort=order) == expected[:200]


def test_explore_filters_in_the_store(filled: aisdk.Session) -> None:
    """By metadata, on top of the listing's own filter."""
    view = filled.documents.list(limit=5).explore()
    odd = sources(view, 200, key="odd", operator="=", value="1")
    assert odd == [f"s{n:03}" for n in range(401, 450, 2)]
    narrowed = filled.documents.list(limit=5, where={"odd": 1}).explore()
    assert ask(narrowed, do="rows", view={}, start=0)["total"] == 225
    twice = {"key": "odd", "operator": "=", "value": "0"}
    assert "filtered by this key" in ask(narrowed, do="rows", view=twice, start=0)["error"]


def test_explore_opens_and_selects_documents(filled: aisdk.Session) -> None:
    """The text comes from the store, and the row comes back."""
    view = filled.documents.list(limit=5).explore()
    key = ask(view, do="rows", view={}, start=400)["rows"][-1][0]
    assert ask(view, do="open", key=key)["after"] == "Note 449 about pumps."
    view.view.picked = [key]
    assert [document.source for document in view.selected] == ["s449"]
    assert list(view.selected.to_frame()["source"]) == ["s449"]


def test_explore_selects_rows_that_were_let_go(filled: aisdk.Session) -> None:
    """More blocks are looked at than are kept: the rows are read again, and none is dropped."""
    more = [aisdk.Document(f"Rest {n}.", source=f"t{n:04}") for n in range(2_400)]
    filled.documents.add(more, progress=False)
    view = filled.documents.list(limit=5).explore()
    blocks = [ask(view, do="rows", view={}, start=start)["rows"] for start in range(0, 2_850, 200)]
    assert len(blocks) > KEPT_BLOCKS
    picked = [blocks[0][3], blocks[14][7], blocks[1][199], blocks[2][0]]
    view.view.picked = [line[0] for line in picked]
    assert [document.source for document in view.selected] == [line[2] for line in picked]
    filled.documents.delete("s005")
    for _ in range(2):  # rows are at hand until those read anew have come
        ask(view, do="rows", view={}, start=0, fresh=True)
    gone = blocks[0][5][0]
    sent: list[Any] = []
    view.view.send = sent.append
    view.view.picked = [*view.view.picked, gone, "none"]
    assert len(view.selected) == 4
    assert "no longer there" in sent[0]["note"]
    assert sent[0]["note"].endswith("Press Refresh.")


def test_explore_offers_the_keys_of_rows_as_they_are_read(filled: aisdk.Session) -> None:
    """Those of the page at first, and then those of each block."""
    rest = [aisdk.Document(f"Rest {n}.", source=f"t{n}", metadata={"new": n}) for n in range(3)]
    filled.documents.add(rest, progress=False)
    view = filled.documents.list(limit=5).explore()
    assert view.view.about["keys"] == ["odd"]
    assert view.view.about["keys_note"]
    assert ask(view, do="rows", view={}, start=400)["keys"] == ["new", "odd"]


def test_explore_opens_hits_in_their_documents(filled: aisdk.Session) -> None:
    """Of one query and of many."""
    for page in (filled.rag.query("pumps", top_k=3), filled.rag.query_many(["pumps"], top_k=3)):
        found = ask(page.explore(), do="open", key="0")
        assert found["before"] + "".join(found["chunk"]) + found["after"] == page[0].text


def test_explore_keeps_to_the_rows_of_a_whole_page(filled: aisdk.Session) -> None:
    """A page without another one, and a collected one, are searched and sorted in memory."""
    collected = filled.documents.list(limit=100).collect(max_rows=300, progress=False)
    assert ask(collected.explore(), do="rows", view={}, start=0)["total"] == 300
    whole = filled.documents.list(limit=450).explore()
    assert ask(whole, do="rows", view={"search": "s449"}, start=0)["total"] == 1


def test_explore_refresh_sees_what_was_added(filled: aisdk.Session) -> None:
    """Rows are read anew when the browser asks for fresh ones."""
    view = filled.documents.list(limit=5).explore()
    assert view.view.about["refreshes"]
    assert ask(view, do="rows", view={}, start=0)["total"] == 450
    filled.documents.add([aisdk.Document("New.", source="s000a")], progress=False)
    assert ask(view, do="rows", view={}, start=0)["total"] == 450
    fresh = ask(view, do="rows", view={}, start=0, fresh=True)
    assert fresh["total"] == 451
    assert fresh["rows"][1][2] == "s000a"


def test_count_takes_the_state(session: aisdk.Session) -> None:
    """As the listing does."""
    session.documents.add(["/nowhere/at/all.txt"], progress=False, raise_on_error=False)
    counts: list[int] = [session.documents.count(state=s) for s in ("ready", "failed", "all")]
    listed = [len(session.documents.list(state=s)) for s in ("ready", "failed", "all")]
    assert counts == listed
    with pytest.raises(InvalidInput, match="state is unknown"):
        session.documents.count(state="lost")  # type: ignore[arg-type]  # on purpose
