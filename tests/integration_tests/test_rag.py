"""Search against a real database and the real embedding model."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

import aisdk
from aisdk import Document
from aisdk.core.rag.store import RagStore
from aisdk.errors import EmbeddingMismatch, InvalidInput

TEXTS = {
    "dates": "Use strptime to turn a string into a datetime object.",
    "files": "gzip compresses files and decompresses them again.",
    "cats": "The cat sleeps on the sofa all afternoon.",
    "process": "A subprocess runs another program and captures what it prints.",
}


@pytest.fixture
def filled(minilm_session: aisdk.Session) -> aisdk.Session:
    """A tenant with four short documents."""
    documents = [
        Document(text, source=name, metadata={"length": len(text)}) for name, text in TEXTS.items()
    ]
    minilm_session.documents.add(documents, progress=False)
    return minilm_session


@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_query_by_meaning_finds_other_words(filled: aisdk.Session, mode: str) -> None:
    """A question that shares no word with its answer finds it."""
    page = filled.rag.query("how do I parse text as a point in time?", top_k=2, mode=mode)
    assert page[0].source == "dates"
    assert page[0].search == "exact"
    assert page[0].embedding_model == "all-MiniLM-L6-v2/fp32"


def test_query_lexical_matches_stems_only(filled: aisdk.Session) -> None:
    """Words are stemmed; a text without them is no hit."""
    page = filled.rag.query("compressing file", mode="lexical")
    assert [hit.source for hit in page] == ["files"]
    assert page[0].dense_score is None
    assert page[0].search == "none"


def test_query_frame_has_the_same_dtypes_with_and_without_rows(filled: aisdk.Session) -> None:
    """No hit still gives every column."""
    full = filled.rag.query("cat").to_frame()
    empty = filled.rag.query("zzz", mode="lexical").to_frame()
    assert len(full) == 4
    assert len(empty) == 0
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert list(full["rank"]) == [1, 2, 3, 4]


def test_query_dense_is_exact(filled: aisdk.Session) -> None:
    """Scores are the cosines that numpy computes, in its order."""
    generator = np.random.default_rng(7)
    vector = generator.normal(size=384)
    hits = filled.rag.query(vector=vector, top_k=10)
    assert len(hits) == 4
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    alone = filled.rag.query("cat", mode="dense", top_k=1)[0]
    assert alone.score == pytest.approx(alone.dense_score)


def test_query_filter_narrows_and_still_fills_top_k(filled: aisdk.Session) -> None:
    """Filters hold in every mode."""
    longest = max(map(len, TEXTS.values()))
    for mode in ("hybrid", "dense", "lexical"):
        page = filled.rag.query(
            "a file, a cat, a program", where={"length": {">=": longest}}, mode=mode
        )
        assert [hit.source for hit in page] == ["process"]


def test_query_top_k_beyond_the_candidates_gives_all(minilm_session: aisdk.Session) -> None:
    """With more chunks than candidates looked at first, top_k rows still come."""
    many = [Document(f"note {n} about pumps", source=f"n{n}") for n in range(260)]
    minilm_session.documents.add(many, progress=False)
    for options in ({}, {"mode": "dense"}, {"mode": "lexical"}, {"one_per_document": True}):
        assert len(minilm_session.rag.query("pumps", top_k=250, **options)) == 250


def test_query_one_per_document_reaches_past_a_long_document(minilm_session: aisdk.Session) -> None:
    """A document with hundreds of matching chunks leaves room for the others."""
    long = "Pumps move water upward in the valley every day.\n\n" * 3000
    others = [Document(f"Pump number {n}", source=f"o{n}") for n in range(5)]
    minilm_session.documents.add([Document(long, source="long"), *others], progress=False)
    for mode in ("hybrid", "dense", "lexical"):
        page = minilm_session.rag.query(
            "pumps move water", top_k=6, one_per_document=True, mode=mode
        )
        assert len({hit.document_id for hit in page}) == 6


def test_query_weight_and_min_score_are_obeyed(filled: aisdk.Session) -> None:
    """The extremes follow one side; a minimum cuts the tail."""
    words = filled.rag.query("gzip", weight=0.0, top_k=1)[0]
    assert words.source == "files"
    page = filled.rag.query("cat", mode="dense", min_score=0.3)
    assert 0 < len(page) < 4
    assert all(hit.score >= 0.3 for hit in page)


@pytest.mark.parametrize("wrong", ["", float("nan")])
def test_query_many_tells_which_query_is_wrong(filled: aisdk.Session, wrong: Any) -> None:
    """By its place, as ``iloc`` counts: of hundreds in a frame one lacks its text."""
    queries = pd.DataFrame({"text": ["cat", "mole", wrong]}, index=["a", "b", "c"])
    with pytest.raises(InvalidInput, match=r"^queries, place 2 from 0: \w+"):
        filled.rag.query_many(queries)


def test_query_many_keys_hits_by_query(filled: aisdk.Session) -> None:
    """Lists, mappings and frames give the same hits under their keys."""
    frame = pd.DataFrame({"id": ["q1", "q2"], "text": ["cat", "gzip"]})
    for queries in (frame, {"q1": "cat", "q2": "gzip"}):
        found = filled.rag.query_many(queries, top_k=1).to_frame()
        assert list(found["query"]) == ["q1", "q2"]
        assert list(found["source"]) == ["cats", "files"]
    assert list(filled.rag.query_many(["cat"], top_k=1).to_frame()["query"]) == ["cat"]


def test_explain_names_the_stages(filled: aisdk.Session) -> None:
    """Each stage has its time, and the fusion its weight."""
    frame = filled.rag.explain("cat", where={"length": {">": 0}}).to_frame()
    assert set(frame["stage"]) == {"filter", "embed", "lexical", "dense", "fuse", "read"}
    assert (frame["milliseconds"] >= 0).all()
    assert frame.set_index("stage").loc["fuse", "detail"].startswith("weight")


def test_query_vector_of_another_dimension_is_refused(filled: aisdk.Session) -> None:
    """Numbers of another model never come back as scores."""
    with pytest.raises(EmbeddingMismatch):
        filled.rag.query(vector=np.ones(3))


@pytest.mark.parametrize(
    "options",
    [
        {"text": ""},
        {"text": "x" * 100_001},
        {"text": "x", "top_k": 0},
        {"text": "x", "top_k": True},
        {"text": "x", "mode": "magic"},
        {"text": "x", "weight": 2},
        {"text": "x", "where": {"a": {"like": 1}}},
        {"text": "x", "where": "a = 1"},
        {"text": "x", "typo": 1},
        {"vector": [0.0, 0.0]},
        {"vector": ["a"]},
        {"vector": [float("nan")] * 384},
    ],
)
def test_query_bad_input_is_refused(session: aisdk.Session, options: dict[str, object]) -> None:
    """Each is told before anything is searched."""
    with pytest.raises(InvalidInput):
        session.rag.query(**options)


def test_query_without_embedder_searches_words(session: aisdk.Session) -> None:
    """Hybrid falls back to words; dense says what is missing."""
    session.documents.add(["pumps move water"], progress=False)
    assert session.rag.query("pump")[0].lexical_score > 0
    with pytest.raises(InvalidInput, match="AISDK_MINILM_PATH"):
        session.rag.query("pump", mode="dense")


LARGE = [6.02214076e23, 1e20, -1e308, 2.0**63, 2.0**64, -(2.0**64), 2**63 - 1, -(2**63) + 1]


def test_large_numbers_in_metadata_are_found(session: aisdk.Session) -> None:
    """Asked twice, of the store and of the cache, they are what was added; so in listings."""
    session.documents.add([Document("one mole", "d", metadata={"v": LARGE})], progress=False)
    rag = session.rag
    pages: list[Any] = [rag.query("mole"), rag.query("mole"), rag.query_many(["mole"])]
    pages += [session.documents.list(), [session.documents.get("d")]]
    for page in pages:
        values: Any = page[0].metadata["v"]
        assert [(type(value), value) for value in values] == [(type(v), v) for v in LARGE]
    for frame in (page.to_frame() for page in pages[:4]):
        assert frame["metadata"][0] == {"v": LARGE}


def test_hits_that_cannot_be_kept_are_found(
    session: aisdk.Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are searched each time, and the log says so without showing them."""
    session.documents.add([Document("one mole", "d")], progress=False)
    hits = RagStore.hits

    async def odd(*given: Any) -> dict[int, Any]:
        found = await hits(*given)
        return {place: (*tuple(row)[:-1], {"secret": 2**64}) for place, row in found.items()}

    monkeypatch.setattr(RagStore, "hits", odd)
    with caplog.at_level(logging.WARNING, logger="aisdk"):
        for _ in range(2):
            assert session.rag.query("mole")[0].metadata == {"secret": 2**64}
    told = [record for record in caplog.records if record.getMessage() == "cache.not_kept"]
    assert [record.namespace for record in told] == ["rag:query"] * 2  # type: ignore[attr-defined]  # a field of ours
    assert "secret" not in caplog.text
