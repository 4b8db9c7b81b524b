"""The explorer's kernel side, with real widgets: questions, answers, selection, saved displays."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

import nbformat
import pytest
from nbconvert import HTMLExporter
from payloads import PAYLOADS

from aisdk.core.rag.types import Hit, QueryHit, Stage
from aisdk.core.results.frame import JSON
from aisdk.core.results.origin import Origin
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.core.results.text import clean_text
from aisdk.errors import ConfigError, InvalidInput, Unavailable
from aisdk.notebook import widgets
from aisdk.notebook.pane import PARTS
from aisdk.notebook.widgets import Explorer, explore

R = TypeVar("R")

BEFORE, CHUNK, AFTER = "Rain falls. " * 3_000, "A pump lifts it.", " Wheels turn." * 3_000
HITS = [
    (
        *(rank, 1.0 / rank, None, None, f"d{rank}", f"Title {rank}", f"s{rank}", CHUNK),
        *(len(BEFORE), len(BEFORE) + len(CHUNK), "", {"year": 2000 + rank}, "none", None),
    )
    for rank in range(1, 451)
]


async def text_of(document_id: str) -> str:
    """A document around the chunk, another one, or none that can be read."""
    if document_id == "d2":
        return "Something else stands here now."
    if document_id == "d3":
        raise Unavailable(dependency="database")
    if document_id == "d4":
        raise KeyError("secret")
    if document_id == "d5":
        raise KeyboardInterrupt
    if document_id == "d6":
        await asyncio.sleep(30)
    return BEFORE + CHUNK + AFTER


def run(work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
    """A portal for one call."""
    return asyncio.run(work())


def page_of(records: list[Any]) -> Page[Hit]:
    """A blocking page of hits whose documents can be read."""
    return Page(AsyncPage(Hit, records).from_origin(Origin(text_of)), run)


@pytest.fixture
def view() -> Explorer[Hit]:
    """An explorer of 450 hits."""
    return page_of(HITS).explore()


def ask(view: Explorer[Any], question: Any) -> dict[str, Any]:
    """What the browser gets for a message."""
    sent: list[Any] = []
    view.view.send = sent.append
    view.view._handle_custom_msg(question, [])
    (answer,) = sent
    found: dict[str, Any] = answer
    return found


def rows(start: int = 0, **view: Any) -> dict[str, Any]:
    """The question for a block."""
    return {"id": "0.1", "do": "rows", "view": view, "start": start}


def test_explorer_answers_in_blocks(view: Explorer[Hit]) -> None:
    """At most 200 rows, each with its key and the texts of its cells."""
    first, last = ask(view, rows()), ask(view, rows(400))
    assert (first["id"], first["total"], len(first["rows"])) == ("0.1", 450, 200)
    assert first["rows"][0][:3] == ["0", "1", "1.000"]
    assert [line[0] for line in last["rows"]] == [str(place) for place in range(400, 450)]
    assert ask(view, rows(1_000))["rows"] == []
    assert all(isinstance(cell, str) for line in first["rows"] for cell in line)


def test_explorer_tells_the_browser_little_ahead(view: Explorer[Hit]) -> None:
    """The columns that say something and the keys of the metadata; no row is in a saved state."""
    about = view.view.about
    assert "Title" not in str(about)
    assert [column["name"] for column in about["columns"]] == [
        *("rank", "score", "title", "source", "metadata")
    ]
    assert about["keys"] == ["year"]
    assert about["refreshes"] is False


def test_explorer_sorts_and_filters_by_message(view: Explorer[Hit]) -> None:
    """The order and the filter of the question hold for the whole result."""
    found = ask(view, rows(sort="rank", descending=True, key="year", operator="<=", value="2003"))
    assert [line[1] for line in found["rows"]] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [("title 27", [27]), ("d7", []), (f"{len(BEFORE):,}", []), ("none", []), ("2.007 7", [7])],
)
def test_explorer_searches_what_it_shows(search: str, expected: list[int]) -> None:
    """Ids, positions in the document and values that every row has are on no screen."""
    records = [(record[0], 2 + record[0] / 1_000, *record[2:]) for record in HITS[:30]]
    for view in (page_of(records).explore(), page_of(records).explore(beside=Rows(Stage, []))):
        shown = {column["name"] for column in view.view.about["columns"]}
        assert not shown & {"document_id", "start", "embedding_model"}
        found = ask(view, rows(search=search))["rows"]
        assert [int(line[1]) for line in found] == expected


@pytest.mark.parametrize(
    "question",
    [
        None,
        "rows",
        [],
        {},
        {"do": "drop"},
        {"do": "open", "key": 1},
        rows(-200),
        rows(1),
        {**rows(), "start": "0"},
        {**rows(), "start": True},
        {**rows(), "view": None},
        rows(unknown=1),
    ],
)
def test_explorer_refuses_what_is_no_question(view: Explorer[Hit], question: Any) -> None:
    """The answer says what to do; nothing is raised."""
    assert "Run the cell again" in ask(view, question)["error"]


def test_explorer_shows_a_chunk_inside_its_document(view: Explorer[Hit]) -> None:
    """The chunk, 20,000 characters on each side, and how many more there are."""
    found = ask(view, {"id": "0.2", "do": "open", "key": "0"})
    assert found["chunk"] == CHUNK
    assert found["before"] == BEFORE[-20_000:]
    assert found["after"] == AFTER[:20_000]
    assert found["note"].startswith(f"{len(BEFORE + AFTER) - 40_000:,} more characters")
    assert ["title", "Title 1"] in found["fields"]
    assert "text" not in dict(found["fields"])


def test_explorer_says_where_a_document_has_changed(view: Explorer[Hit]) -> None:
    """The chunk is shown by itself."""
    found = ask(view, {"id": "0.2", "do": "open", "key": "1"})
    assert (found["before"], found["chunk"], found["after"]) == ("", CHUNK, "")
    assert "changed" in found["note"]


def test_explorer_shows_a_row_whose_document_cannot_be_read(view: Explorer[Hit]) -> None:
    """Its values and its chunk are there, with the reason."""
    found = ask(view, {"id": "0.2", "do": "open", "key": "2"})
    assert found["chunk"] == CHUNK
    assert "cannot be reached" in found["note"]


def test_explorer_answers_with_every_error(
    view: Explorer[Hit], capfd: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw and an interrupt are told, without a traceback or the error's text."""
    broken = ask(view, {"id": "0.2", "do": "open", "key": "3"})
    stopped = ask(view, {"id": "0.3", "do": "open", "key": "4"})
    gone = ask(view, {"id": "0.4", "do": "open", "key": "1000"})
    assert broken == {"id": "0.2", "error": "The view has failed (KeyError). Run the cell again."}
    assert stopped["error"].startswith("Interrupted")
    assert gone["error"] == "This row is no longer at hand. Run the cell again."
    assert not any("Refresh" in answer["error"] for answer in (broken, stopped, gone))
    assert "secret" not in "".join(capfd.readouterr())


def test_explorer_waits_no_longer_than_its_deadline(
    view: Explorer[Hit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is free again, and the view says why there is no document."""
    monkeypatch.setattr("aisdk.notebook.widgets.DEADLINE_S", 0.05)
    found = ask(view, {"id": "0.2", "do": "open", "key": "5"})
    assert found["chunk"] == CHUNK
    assert "no answer within" in found["note"]
    assert found["note"].endswith("Open the row again.")


def test_selected_rows_come_back_as_items_and_as_a_frame(view: Explorer[Hit]) -> None:
    """In the order in which they were selected, and none that does not exist."""
    assert len(view.selected) == 0
    view.view.picked = ["7", "2", "1000", "x"]
    assert [hit.rank for hit in view.selected] == [8, 3]
    assert list(view.selected.to_frame()["title"]) == ["Title 8", "Title 3"]
    view.view.picked = ["2"]
    assert [hit.rank for hit in view.selected] == [3]
    view.view.picked = [str(place % 450) for place in range(2_000)]
    assert len(view.selected) == 450


def test_selection_is_heard(view: Explorer[Hit]) -> None:
    """The browser asks whether anybody has it; the answer alone says so."""
    assert ask(view, {"id": "0.2", "do": "picked"}) == {"id": "0.2"}


def test_rows_that_cannot_be_selected_are_told_and_taken_back(view: Explorer[Hit]) -> None:
    """Those that are gone, those that are too many, and those that cannot be read."""
    sent: list[Any] = []
    view.view.send = sent.append
    view.view.picked = ["7", "450", "2"]
    assert view.view.picked == ["7", "2"]
    told = sent.pop()["note"]
    assert told == "Rows that are no longer there were not selected. Run the cell again."
    large = page_of([HITS[0]] * 1_200).explore()
    large.view.send = sent.append
    large.view.picked = [str(place) for place in range(1_100)]
    assert (len(large.selected), len(large.view.picked)) == (1_000, 1_000)
    assert sent.pop()["note"] == "At most 1,000 rows can be selected."
    view._source = Unread(view._source)
    view.view.picked = ["2", "7", "3"]
    assert [hit.rank for hit in view.selected] == [3, 8]
    assert view.view.picked == ["2", "7"]
    assert "cannot be reached" in sent.pop()["note"]
    assert sent == []


class Unread:
    """Rows of which none can be read any more."""

    def __init__(self, rows: Any) -> None:
        self.columns = rows.columns

    def record(self, _key: str) -> Any:
        """None is."""
        raise Unavailable(dependency="database")


def test_explorer_beside_another_tells_the_places_there() -> None:
    """The column ``beside`` has the place of the same chunk, and nothing where it is missing."""
    left, right = page_of(HITS[:3]), page_of([HITS[2], HITS[0]])
    view = left.explore(beside=right)
    assert view.view.about["columns"][1]["name"] == "beside"
    assert [line[2] for line in ask(view, rows())["rows"]] == ["2", "-", "1"]
    assert [line[1] for line in ask(view, rows(sort="beside"))["rows"]] == ["3", "1", "2"]
    view.view.picked = ["0"]
    assert list(view.selected) == [left[0]]
    bundle = view._still()
    assert bundle["text/html"].count("<table>") == 2
    assert bundle["text/plain"] == f"{left!r}\n\n{right!r}"


def test_rows_of_many_queries_beside_others_tell_the_place_for_their_query() -> None:
    """The same chunk under another key is another row; it has the place of its own query."""
    here, there = (
        Rows(QueryHit, [(query, *HITS[place]) for query, place in rows])
        for rows in ([("a", 0), ("a", 1), ("b", 0)], [("a", 1), ("b", 2), ("b", 0), ("a", 0)])
    )
    found = ask(here.explore(beside=there), rows())
    assert [line[2] for line in found["rows"]] == ["2", "1", "2"]
    one = ask(page_of(HITS[:3]).explore(beside=there), rows())
    assert [line[2] for line in one["rows"]] == ["2", "1", "1"]


def test_rows_without_documents_stand_beside_others_without_a_place() -> None:
    """Nothing makes a row the same there, so no column says that it is."""
    limits = Rows(Stage, [("lexical", 1.5, 30, "BM25"), ("read", 0.5, None, "")])
    notes = Rows(Plain, [(n,) for n in range(3)])
    view = notes.explore(beside=notes)
    assert [column["name"] for column in view.view.about["columns"]] == ["number"]
    assert len(limits.explore(beside=limits)._live()) > 1
    assert "beside" not in str(page_of(HITS).explore(beside=notes).view.about["columns"])


@dataclass(frozen=True, slots=True)
class Plain:
    """A row without a document."""

    number: int


def test_keys_that_are_not_offered_are_told() -> None:
    """Those of rows that were not read yet, and more than a list can hold."""
    many = Rows(Evil, [(f"d{n}", "", {f"k{n:02}": 1}) for n in range(60)]).explore().view.about
    assert (len(many["keys"]), many["keys_note"]) == (50, "the first 50 of 60 keys")
    few = page_of(HITS).explore().view.about
    assert (few["keys"], few["keys_note"]) == (["year"], "")


def test_stages_become_a_picture() -> None:
    """Their names, times and candidates go to the browser as numbers."""
    view = Rows(Stage, [("lexical", 1.5, 30, "BM25"), ("read", 0.5, None, "")]).explore()
    assert view.view.about["stages"][0] == {
        "stage": "lexical",
        "milliseconds": 1.5,
        "candidates": 30,
        "detail": "BM25",
    }
    assert "lexical" in view._still()["text/html"]


def test_awaited_pages_and_empty_ones_can_be_explored() -> None:
    """Their own rows, without documents; none at all is no error."""
    view = AsyncPage(Hit, HITS).explore()
    assert ask(view, {"id": "0.2", "do": "open", "key": "0"})["before"] == ""
    empty = ask(page_of([]).explore(), rows())
    assert (empty["total"], empty["rows"]) == (0, [])


def test_saved_explorer_is_a_static_table(view: Explorer[Hit]) -> None:
    """The file and nbconvert show the rows without widgets; so does a terminal."""
    live, still = view._live(), view._still()
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "text/html" not in live
    assert still["text/plain"] == repr(view) == repr(view.rows)
    outputs = [nbformat.v4.new_output("display_data", data) for data in (live, still)]
    cell = nbformat.v4.new_code_cell("view", outputs=outputs, execution_count=1)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert page.count("Title 1</td>") == 1
    assert live["text/plain"] in page
    assert 'type="application/vnd.jupyter.widget-view+json"' not in page


def test_static_table_hides_beside_its_own_live_view(view: Explorer[Hit]) -> None:
    """The class that the rule waits for is that of this table and of no other."""
    mark = view.view.about["mark"]
    assert f":has(.{mark}) div.{mark}-still" in view._still()["text/html"]
    assert mark != page_of(HITS[:9]).explore().view.about["mark"]


def test_saved_table_is_the_same_whenever_the_rows_are(view: Explorer[Hit]) -> None:
    """A notebook that is run again changes nothing in its file."""
    assert page_of(HITS).explore()._still() == view._still()


@dataclass(frozen=True, slots=True)
class Evil:
    """A row of which everything may be hostile."""

    document_id: str
    text: str
    metadata: Mapping[str, JSON]


def test_hostile_rows_stay_text() -> None:
    """Messages carry cleaned text, and the saved table is escaped."""
    records = [(text, text, {text: text}) for text in PAYLOADS]
    view = Page(AsyncPage(Evil, records), run).explore()
    told = [ask(view, {"id": "0.1", "do": "open", "key": str(n)}) for n in range(len(PAYLOADS))]
    assert [found["chunk"] for found in told] == [clean_text(text) for text in PAYLOADS]
    for message in (*told, ask(view, rows()), view.view.about):
        assert not set("\x00\x1b\u202e\ud800") & set(texts_in(message))
    assert "<script>alert" not in view._still()["text/html"]


def texts_in(message: Any) -> str:
    """All texts in a message."""
    if isinstance(message, dict):
        message = [*message, *message.values()]
    return "".join(map(texts_in, message)) if isinstance(message, list) else str(message)


@pytest.mark.parametrize("file", [*PARTS, "explorer.css"])
def test_browser_side_makes_no_html_and_asks_nobody(file: str) -> None:
    """No way to make elements of text, no address, and no import."""
    source = (files("aisdk.notebook") / file).read_text("utf-8")
    ways = ("innerHTML", "outerHTML", "AdjacentHTML", "document.write", "eval(", "DOMParser")
    assert [way for way in (*ways, "http", "import", "url(", "fetch(") if way in source] == []
    assert len(source) > 1_000


def test_explore_without_anywidget_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ConfigError, match=r"aisdk\[notebook\]"):
        explore(Rows(Hit, []))


@pytest.mark.parametrize("kernel", [True, False])
def test_view_in_a_terminal_is_the_table_alone(
    view: Explorer[Hit], monkeypatch: pytest.MonkeyPatch, *, kernel: bool
) -> None:
    """Only a kernel has a live view."""
    shown: list[str] = []

    def display(bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        shown.append(bundle["text/plain"])

    monkeypatch.setattr(widgets, "has_kernel", lambda: kernel)
    monkeypatch.setattr("IPython.display.display", display)
    view._ipython_display_()
    live = ["Run the cell for the live view of these rows."] if kernel else []
    assert shown == [*live, repr(view)]


def test_beside_what_is_no_rows_is_refused() -> None:
    """Before anything is made of it."""
    for beside in ("x", 3, []):
        with pytest.raises(InvalidInput, match="beside= takes rows"):
            page_of(HITS).explore(beside=beside)  # type: ignore[arg-type]  # refused at runtime
