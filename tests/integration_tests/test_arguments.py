"""Arguments that no verb can use: each is refused with our error, at once and without a trace."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import aisdk
from aisdk import Document
from aisdk.core.runtime import fingerprint as fingerprinting
from aisdk.errors import InvalidInput, NotFound

Use = Callable[[aisdk.Session], Any]

ARRAY: Any = np.zeros(2)
RECORDS: Any = np.zeros(2, "i4,i4")


def laughs() -> list[Any]:
    """A list that is short, and a thousand billion texts written out."""
    items: list[Any] = ["ha"]
    for _ in range(12):
        items = [items] * 10
    return items


REFUSED: dict[str, Use] = {
    "queries-scalar": lambda s: s.rag.query_many(np.array("what?")),
    "vector-nested": lambda s: s.rag.query(vector=laughs()),
    "vector-long": lambda s: s.rag.query(vector=[1.0] * 16_001),
    "vector-huge": lambda s: s.rag.query(vector=[10**400]),
    "vector-complex": lambda s: s.rag.query(vector=np.ones(3, complex)),
    "vector-endless": lambda s: s.rag.query(vector=range(10**30)),
    "weight-huge": lambda s: s.rag.query("a", weight=10**400),
    "score-nan": lambda s: s.rag.query("a", min_score=float("nan")),
    "mode-array": lambda s: s.rag.query("a", mode=np.array(["dense", "x"])),  # type: ignore[typeddict-item]
    "flag-array": lambda s: s.rag.query("a", one_per_document=np.ones(2)),  # type: ignore[typeddict-item]
    "queries-endless": lambda s: s.rag.query_many(itertools.count()),
    "queries-key": lambda s: s.rag.query_many({10**5_000: "a"}),
    "queries-columns": lambda s: s.rag.query_many(pd.DataFrame([["a", "b"]], columns=["text"] * 2)),
    "where-endless": lambda s: s.documents.count(where={"a": {"in": range(10**30)}}),
    "list-option": lambda s: s.documents.list(wehre={"x": 1}),  # type: ignore[call-arg]  # unknown
    "many-option": lambda s: s.rag.query_many([], typo=1),  # type: ignore[call-arg]  # unknown
    "query-value": lambda s: s.rag.query("a", 5),  # type: ignore[misc]  # that is the point: by name only
    "query-option": lambda s: s.rag.query("a", k=5),  # type: ignore[call-arg]  # that is the point
    "get-nothing": lambda s: s.documents.get(),  # type: ignore[call-arg]  # that is the point: no key
    "get-twice": lambda s: s.documents.get("a", key="a"),  # type: ignore[misc]  # that is the point: twice
    "add-option": lambda s: s.documents.add(["a"], typo=1),  # type: ignore[call-overload]  # that is the point
    "order-huge": lambda s: s.documents.list(order=10**5_000),  # type: ignore[typeddict-item]
    "state-array": lambda s: s.documents.list(state=np.ones(2)),  # type: ignore[typeddict-item]
    "cursor-number": lambda s: s.documents.list(cursor=5),  # type: ignore[typeddict-item]
    "cursor-array": lambda s: s.documents.list(cursor=np.ones(2)),  # type: ignore[typeddict-item]
    "key-long": lambda s: s.documents.get("y" * 2**20 + "y"),
    "key-surrogate": lambda s: s.documents.get("\ud800"),
    "language-list": lambda s: s.documents.set_language(["german"]),  # type: ignore[arg-type]
    "column-nested": lambda s: s.documents.add(pd.DataFrame({"a": [1]}), text=laughs()),  # type: ignore[typeddict-item]
    "column-array": lambda s: s.documents.add(pd.DataFrame({"a": [1]}), text=ARRAY),
    "column-record": lambda s: s.documents.add(pd.DataFrame({"a": [1]}), id=RECORDS),
    "cache-nested": lambda s: s.cache.set("k", laughs(), ttl_s=60),
    "replay-nested": lambda s: s.with_options(idempotency_key="k").documents.add(laughs()),
    "replay-huge": lambda s: s.with_options(idempotency_key="k").documents.delete(10**5_000),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED)
def test_unusable_argument_is_refused(
    use: Use, session: aisdk.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of numpy, pandas, the driver or Python comes out instead."""
    monkeypatch.setattr(
        fingerprinting, "MOST_PIECES", 10_000
    )  # millions are allowed, which takes a while
    with pytest.raises(InvalidInput):
        use(session)


def test_name_of_no_tenant_is_refused_before_the_database_is_asked(client: aisdk.Client) -> None:
    """By the check that connecting begins with, too."""
    for name in (["acme"], 5, "a\0b"):
        with pytest.raises(aisdk.errors.AisdkError) as error:
            client.check(name)  # type: ignore[arg-type]
        assert not isinstance(error.value, aisdk.errors.InternalError)


def test_question_with_half_a_surrogate_pair_is_asked(session: aisdk.Session) -> None:
    """It stands in no document, but it may come from a damaged text."""
    session.documents.add([Document("Pumps move water.")], progress=False)
    assert [hit.text for hit in session.rag.query("pumps \ud800")] == ["Pumps move water."]
    many = session.rag.query_many({"\ud83d\ude00": "pumps"})
    assert many.to_frame()["query"].tolist() == ["\N{GRINNING FACE}"]


def test_large_finite_vector_is_no_error(session: aisdk.Session) -> None:
    """It is brought to length 1 without running over."""
    for vector in ([1e300, 1e300], np.full(2, 1e-320), pd.Series([3, 4])):
        assert len(session.rag.query(vector=vector)) == 0


def test_frame_with_odd_names_of_columns_is_added(session: aisdk.Session) -> None:
    """Names with NUL or half a surrogate pair are cleaned like all text."""
    frame = pd.DataFrame([["words", 1, 2, 3]], columns=["text", "a\0b", "\ud800", 10**5_000])
    session.documents.add(frame, progress=False)
    (document,) = session.documents.list()
    assert document.metadata == {"ab": 1, "\ufffd": 2, "": 3}


def test_cached_dict_with_numbers_as_keys_comes_back(session: aisdk.Session) -> None:
    """What can be written can be read."""
    session.cache.set("k", {1: "a", 2.5: [{3: None}]}, ttl_s=60)
    assert session.cache.get("k") == {1: "a", 2.5: [{3: None}]}


def test_missing_date_in_a_filter_is_none(session: aisdk.Session) -> None:
    """As it is in metadata; times of numpy are dates, not their nanoseconds."""
    documents = [
        Document("a", metadata={"t": pd.NaT}),
        Document("b", metadata={"t": datetime(9999, 12, 31, tzinfo=UTC)}),
    ]
    session.documents.add(documents, progress=False)
    assert session.documents.count(where={"t": pd.NaT}) == 1
    before = np.datetime64("2024-01-01T00:00:00.000000000")
    assert session.documents.count(where={"t": {">": before}}) == 1


def test_hint_of_an_unknown_option_names_those_that_are_taken(session: aisdk.Session) -> None:
    """Each verb's own."""
    rag: Any = session.rag
    with pytest.raises(InvalidInput) as one:
        rag.query("pump", progress=False)
    assert one.value.hint == (
        "It takes text, and by name: "
        "top_k, where, mode, min_score, one_per_document, weight, vector."
    )
    with pytest.raises(InvalidInput) as many:
        rag.query_many(["pump"], typo=1)
    assert many.value.hint == (
        "It takes queries, and by name: "
        "top_k, where, mode, min_score, one_per_document, weight, progress."
    )
    with pytest.raises(InvalidInput) as none:
        session.documents.info(1)  # type: ignore[call-arg]  # that is the point
    assert str(none.value) == "info() was given too many values. It takes no value."
    with pytest.raises(InvalidInput, match=r"query_many\(\) has no such option"):
        rag.query_many(["pump"], vector=[1.0])


async def test_tier_or_path_that_is_none_is_refused(client: aisdk.Client, tenant: str) -> None:
    """The register asks the database with texts only."""
    aisdk.connect(tenant, client=client)
    register: Any = client.tenants
    for call in (
        lambda: register.list(tier=5),
        lambda: register.list(tier="\0"),
        lambda: register.list(state=np.ones(2)),
        lambda: register.update(tenant, tier=np.ones(2)),
        lambda: register.update(tenant, settings={"weight": [1]}),
        lambda: register.update(tenant, settings={"language": [1]}),
        lambda: register.export(tenant, 5),
        lambda: register.export(tenant, "a\0b"),
        lambda: register.import_(None),
    ):
        with pytest.raises(InvalidInput):
            await asyncio.wait_for(call(), 30)


def test_names_too_long_that_begin_alike_fail_each(session: aisdk.Session) -> None:
    """They are kept under one name, for what is kept of them is the same."""
    alike = [Document("a pump", source=f"{'x' * 2_000}{end}") for end in "ab"]
    result = session.documents.add(alike, progress=False, raise_on_error=False)
    assert [row.status for row in result] == ["failed"] * 2
    (kept,) = session.documents.list(state="failed")
    assert kept.source == "x" * 2_000


LONG = "\0" * (2**20 + 1)  # refused by its length before anyone looks into it
LONG_NAMES: dict[str, Use] = {
    "get": lambda s: s.documents.get(LONG),
    "update": lambda s: s.documents.update(LONG, title="x"),
    "delete": lambda s: s.documents.delete(LONG),
    "add": lambda s: s.documents.add(LONG),
    "add in the background": lambda s: s.documents.add(LONG, wait=False),
    "job": lambda s: s.jobs.get(LONG),
}


@pytest.mark.parametrize("use", LONG_NAMES.values(), ids=LONG_NAMES.keys())
def test_name_that_is_too_long_is_refused_by_its_length(session: aisdk.Session, use: Use) -> None:
    """It is scanned, encoded or copied nowhere."""
    with pytest.raises(InvalidInput, match="too long") as error:
        use(session)
    assert error.value.hint


def test_key_that_is_long_is_looked_for(session: aisdk.Session) -> None:
    """Control: it may be that of a path."""
    with pytest.raises(NotFound):
        session.documents.get("y" * 2**20)


def test_sources_that_are_too_long_do_not_stop_the_others(session: aisdk.Session) -> None:
    """They fail, named by how they begin, with and without waiting."""
    long = "y" * (2**20 + 1)
    rows = pd.DataFrame({"text": ["a pump", "a valve"], "id": [long, "row"]})
    many = [Document("a pump", long), Path(f"/{long}"), Document("a tap", "tap")]
    for what, options in ((many, {}), (rows, {"id": "id"})):
        some: Any = {**options, "progress": False, "raise_on_error": False}
        for result in (
            session.documents.add(what, **some),
            session.documents.add(what, wait=False, **some).result(),
        ):
            *failed, last = result
            assert {row.error_code for row in failed} == {"source_too_long"}
            assert {len(row.source) for row in failed} == {2_000}
            assert last.error_code is None
