"""The words that a query found its hits by, marked wherever hits are shown."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import re
from html import unescape
from typing import Any

import pytest

import aisdk
from aisdk import Document

TOWNS = "Cities grow. The City's walls: city, and a citizen among citizens."
MARKED = ["Cities", "City's", "city"]


@pytest.fixture
def filled(session: aisdk.Session) -> aisdk.Session:
    """A session with a document on cities, and one on pumps."""
    return fill(session)


def fill(session: aisdk.Session) -> aisdk.Session:
    """Adds the documents."""
    pumps = Document("A pumpkin is no pump.", source="pump", title="On pumps and a city")
    towns = Document(TOWNS, source="city", title="Urban life")
    session.documents.add([towns, pumps], progress=False)
    return session


def marks(rows: Any) -> list[str]:
    """What is marked in the display of rows."""
    return [unescape(mark) for mark in re.findall("<mark>(.*?)</mark>", rows._repr_html_())]


def ask(explorer: Any, **question: Any) -> Any:
    """What the browser gets for a question."""
    sent: list[Any] = []
    explorer.view.send = sent.append
    explorer.view._handle_custom_msg({"id": "0.0", **question}, [])
    return sent[0]


def pieces(*cells: Any) -> list[str]:
    """What is marked in cells of the live view."""
    return [piece for cell in cells if isinstance(cell, list) for piece in cell[1::2]]


def elsewhere(value: Any) -> Any:
    """A value as another process gets it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # our own


def test_hits_show_the_words_that_matched(filled: aisdk.Session) -> None:
    """Forms of a word, in titles and texts, and no other word that begins like it."""
    hits = filled.rag.query("city", top_k=1)
    assert marks(hits) == MARKED
    assert marks(filled.rag.query("the pump in a city")) == [
        *("pumps", "city", "pump"),
        *MARKED,
    ]
    assert marks(filled.rag.query("the of and")) == []
    assert marks(filled.documents.list()) == []


def test_hits_from_the_cache_show_them_too(filled: aisdk.Session) -> None:
    """The second answer comes from the cache and looks the same."""
    first, second = filled.rag.query("city"), filled.rag.query("city")
    (kept,) = [row for row in filled.cache.stats() if row.namespace == "rag:query"]
    assert (kept.hits, kept.misses) == (1, 1)
    assert second.records == first.records
    assert marks(second) == marks(first) != []


def test_hits_of_many_queries_show_the_words_of_their_own(filled: aisdk.Session) -> None:
    """Row by row, under any key; of several queries under one key those of all."""
    many = filled.rag.query_many({"a": "citizens", "b": "pumps"})
    assert [(row.query, row.source) for row in many] == [("a", "city"), ("b", "pump")]
    assert marks(many) == ["citizen", "citizens", "pumps", "pump"]
    assert marks(filled.rag.query_many(["city"], top_k=1)) == MARKED
    assert marks(filled.rag.query_many([])) == []
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame({"id": [7, 7], "text": ["pumps", "city"]})
    assert marks(filled.rag.query_many(twice, top_k=1)) == [
        *("pumps", "city", "pump"),
        *MARKED,
    ]


def test_hits_by_meaning_show_no_words(minilm_session: aisdk.Session) -> None:
    """Only where words were searched."""
    rag = fill(minilm_session).rag
    vector = [1.0] * 384
    assert marks(rag.query("city")) == marks(rag.query("city", mode="lexical")) != []
    assert marks(rag.query("city", vector=vector, mode="hybrid")) != []
    for page in (
        rag.query("city", mode="dense"),
        rag.query(vector=vector),
        rag.query("city", vector=vector, where={"none": {"!=": 1}}),
        rag.query_many(["city"], mode="dense"),
    ):
        assert len(page) == 2
        assert marks(page) == []


def test_hits_show_words_of_the_language_of_the_store(session: aisdk.Session) -> None:
    """Of its stems, and not of those of another language."""
    session.documents.set_language("german")
    text = "Die Häuser am Fluss; das Hausboot und ein Haus."
    session.documents.add([Document(text, source="a")], progress=False)
    assert marks(session.rag.query("das Haus")) == ["Häuser", "Haus"]


def test_hostile_text_stays_text_where_it_is_marked(session: aisdk.Session) -> None:
    """In the word, beside it, and in the query."""
    text = "<b>city</b>&city's<img src=x onerror=city> \u202ecities"
    session.documents.add([Document(text, source="a", title="<i>city")], progress=False)
    shown = session.rag.query("<b>city</b>")._repr_html_()
    assert "&lt;<mark>b</mark>&gt;<mark>city</mark>&lt;/<mark>b</mark>&gt;" in shown
    assert "&amp;<mark>city&#x27;s</mark>&lt;img" in shown
    assert "onerror=<mark>city</mark>&gt; \N{REPLACEMENT CHARACTER}<mark>cities</mark>" in shown


def test_words_stay_marked_in_copies_and_whole_pages(filled: aisdk.Session) -> None:
    """And nothing of them travels with a frame."""
    hits = filled.rag.query("city", top_k=1)
    for page in (hits.collect(progress=False), next(hits.pages()), copy.copy(hits)):
        assert marks(page) == MARKED
    assert hits.to_frame().attrs == {"cursor": None}
    assert hits.attrs == {}
    assert elsewhere(hits.to_frame()).attrs == {"cursor": None}


def test_words_are_marked_for_the_async_session(filled: aisdk.Session, client: Any) -> None:
    """Whose pages hop between loops."""

    async def page() -> Any:
        return await client.session(filled.tenant_id).rag.query("city", top_k=1)

    assert marks(asyncio.run(page())) == MARKED


def test_live_view_shows_the_words_that_matched(filled: aisdk.Session) -> None:
    """In its rows, beside another result too, in the details, and in what was selected."""
    hits = filled.rag.query("city", top_k=1)
    for view in (hits.explore(), hits.explore(beside=filled.rag.query("pump"))):
        (row,) = ask(view, do="rows", view={}, start=0)["rows"]
        assert pieces(*row) == MARKED
        opened = ask(view, do="open", key="0")
        assert pieces(opened["chunk"]) == MARKED
        assert "".join(opened["chunk"]) == TOWNS
        view.view.picked = ["0"]
        assert marks(view.selected) == MARKED
        assert len(elsewhere(view.selected)) == 1
        assert marks(elsewhere(view.selected)) == []
    json.dumps(view.view.about)
    named = ask(filled.rag.query_many({"a": "pumps"}).explore(), do="open", key="0")
    assert pieces(*dict(named["fields"]).values()) == ["pumps"]
    assert pieces(named["chunk"]) == ["pump"]


def test_words_of_a_query_are_in_no_log(
    filled: aisdk.Session, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in what a page or its origin tells of itself."""
    caplog.set_level(logging.DEBUG)
    hits = filled.rag.query("citizens")
    assert marks(hits) == ["citizen", "citizens"]
    assert caplog.records
    told = [repr(vars(record)) for record in caplog.records]
    assert not any("citizen" in text for text in [*told, repr(hits.origin.matched)])
