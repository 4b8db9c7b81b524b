"""The explorer in JupyterLab: searched, sorted, opened and selected, with mouse and keyboard."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from accessible import violations
from exploring import CONNECT, MANY, PUMPS, asked, is_quiet, rows_of, texts, told, wait_for
from themes import THEMES

IN_VIEW: Final = """
node => {
  const [all, one] = [node, node.querySelector('mark.chunk')].map(n => n.getBoundingClientRect());
  return node.scrollTop > 0 && one.top >= all.top && one.top < all.bottom - 20;
}
"""
RESTART: Final = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
STATE: Final = "() => jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status"
IDS: Final = """
() => jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === 'code')
  .flatMap(cell => cell.model.outputs.toJSON())
  .map(output => output.data?.['application/vnd.jupyter.widget-view+json']?.model_id)
  .filter(id => id)
"""
SPOIL: Final = """
() => {
  document.querySelector('.aisdk-explorer input').removeAttribute('aria-label');
  document.querySelector('.aisdk-explorer input').removeAttribute('placeholder');
  document.querySelector('.aisdk-explorer .status').style.color = '#eee';
}
"""


def test_hits_are_sorted_by_a_click(show: Any) -> None:
    """Upward, downward, and back to the rank; the header says which."""
    seen = show("explorer-sort", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    heads = seen.page.locator(".aisdk-explorer [role=columnheader]")
    head = heads.filter(has_text="title")
    head.get_by_role("button").click()
    wait_for(seen, "title", "House 1")
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    wait_for(seen, "title", "House 9")
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    wait_for(seen, "rank", "1")
    assert head.get_attribute("aria-sort") is None
    assert is_quiet(seen)


def test_hits_are_searched_and_filtered(show: Any) -> None:
    """Words narrow the rows, so does a condition on their metadata, and both are told."""
    seen = show("explorer-search", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    search = seen.page.get_by_label("Search in these rows")
    search.fill("house-07")
    told(seen, "1 row")
    assert texts(seen, "title") == ["House 7"]
    search.fill("nothing of the kind")
    told(seen, "0 rows")
    search.fill("")
    told(seen, "30 rows")
    seen.page.get_by_label("Filter by metadata").select_option("year")
    seen.page.get_by_label("Comparison").select_option(">=")
    seen.page.get_by_label("Value to compare with").fill("2029")
    told(seen, "2 rows")
    assert set(texts(seen, "title")) == {"House 29", "House 30"}
    assert is_quiet(seen)


def test_hit_is_shown_inside_its_document(show: Any) -> None:
    """A click opens it: the chunk, marked and in view with its matched words, in its document."""
    seen = show("explorer-open", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    rows_of(seen).nth(2).click()
    mark = seen.page.locator(".aisdk-explorer .document mark.chunk")
    mark.wait_for(timeout=20_000)
    seen.keep("explorer_details")
    assert mark.text_content() == json.loads(asked(seen, "Text(view.rows[2].text)"))
    assert mark.locator("mark").all_text_contents() == ["pump"] * 29
    assert set(rows_of(seen).first.locator("mark").all_text_contents()) == {"pump"}
    document = seen.page.locator(".aisdk-explorer .document")
    whole = json.loads(asked(seen, "Text(session.documents.get(view.rows[2].document_id).text)"))
    assert document.text_content() == whole
    assert document.evaluate(IN_VIEW)
    assert "house-29" in seen.page.locator(".aisdk-explorer .details dl").inner_text()
    seen.page.get_by_role("button", name="Close").click()
    assert not document.is_visible()
    assert is_quiet(seen)


def test_hits_are_selected_by_mouse(show: Any) -> None:
    """A click on the box selects, another one lets go, and Python has rows and a frame."""
    seen = show("explorer-mouse", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    tick = seen.page.locator(".aisdk-explorer .body .tick")
    for place in (0, 1, 3):
        tick.nth(place).click()
    tick.nth(1).click()
    told(seen, "2 selected")
    seen.keep("explorer_selected")
    assert asked(seen, "[hit.rank for hit in view.selected]") == "[1, 4]"
    assert asked(seen, "list(view.selected.to_frame()['title'])") == "['House 28', 'House 27']"
    tick.nth(2).click(modifiers=["Shift"])
    told(seen, "4 selected")
    assert asked(seen, "sorted(hit.rank for hit in view.selected)") == "[1, 2, 3, 4]"
    seen.page.get_by_role("button", name="Select none").click()
    seen.page.wait_for_function("!document.querySelector('.aisdk-explorer [aria-selected=true]')")
    assert asked(seen, "len(view.selected)") == "0"
    assert not seen.page.locator(".aisdk-explorer .details").is_visible()
    assert is_quiet(seen)


def test_everything_works_by_keyboard(show: Any) -> None:
    """Arrows, pages, ends, selection and details, with the focus where one sees it."""
    seen = show("explorer-keys", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    press = seen.page.keyboard.press
    focused = "document.activeElement.getAttribute('aria-rowindex') - 1"
    seen.page.locator(".aisdk-explorer [role=columnheader] button").last.focus()
    press("Tab")
    places = []
    keys = [
        "ArrowDown",
        "ArrowDown",
        "ArrowUp",
        "End",
        "ArrowUp",
        "Home",
        "PageDown",
        "PageUp",
        "ArrowUp",
    ]
    for key in keys:
        press(key)
        places.append(seen.page.evaluate(focused))
    assert places[:6] == [2, 3, 2, 30, 29, 1]
    assert 8 <= places[6] <= 16
    assert places[7:] == [1, 1]
    press("Space")
    press("Shift+ArrowDown")
    told(seen, "2 selected")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert seen.page.evaluate(outline) == "solid"
    press("Enter")
    seen.page.locator(".aisdk-explorer .document mark.chunk").wait_for(timeout=20_000)
    assert seen.page.evaluate("document.activeElement.className") == "details"
    press("Escape")
    assert seen.page.evaluate(focused) == 2
    assert asked(seen, "[hit.rank for hit in view.selected]") == "[1, 2]"
    press("Space")
    told(seen, "1 selected")
    for key in ("a", "b", "x", "d", "d"):  # in JupyterLab they would add and delete cells
        press(key)
    seen.page.get_by_label("Search in these rows").press_sequentially("bad house-07")
    told(seen, "0 rows")
    assert seen.page.locator(".jp-Notebook .jp-Cell").count() == 2
    assert is_quiet(seen)


def test_rows_are_sorted_searched_and_selected_by_keyboard(show: Any) -> None:
    """Enter and Space on a header, letters in the field, Space on a row; the focus stays."""
    seen = show("explorer-typed", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    press = seen.page.keyboard.press
    head = seen.page.locator(".aisdk-explorer [role=columnheader]").filter(has_text="title")
    field = seen.page.get_by_label("Search in these rows")
    field.focus()
    for _ in range(20):
        press("Tab")
        if seen.page.evaluate("document.activeElement.textContent") == "title":
            break
    orders = [("Enter", "House 1", "ascending"), ("Space", "House 9", "descending")]
    for key, first, order in orders:
        press(key)
        wait_for(seen, "title", first)
        assert head.get_attribute("aria-sort") == order
        assert seen.page.evaluate("document.activeElement.textContent") == "title"
        assert (
            seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        )
    press("Enter")
    wait_for(seen, "rank", "1")
    assert head.get_attribute("aria-sort") is None
    for _ in range(20):
        press("Shift+Tab")
        if seen.page.evaluate("document.activeElement.type") == "search":
            break
    seen.page.keyboard.type("house-07")
    told(seen, "1 row")
    assert texts(seen, "title") == ["House 7"]
    for _ in range(20):
        press("Tab")
        if seen.page.evaluate("document.activeElement.role") == "row":
            break
    press("Space")
    told(seen, "1 selected")
    assert asked(seen, "[hit.title for hit in view.selected]") == "['House 7']"
    assert seen.page.evaluate("document.activeElement.ariaSelected") == "true"
    press("Space")
    seen.page.wait_for_function("document.activeElement.ariaSelected === 'false'")
    assert asked(seen, "len(view.selected)") == "0"
    assert seen.page.locator(".jp-Notebook .jp-Cell").count() == 2
    assert is_quiet(seen)


def test_page_that_is_loaded_again_has_its_rows(show: Any) -> None:
    """With the kernel alive the view goes on, its selection with it."""
    seen = show("explorer-reload", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    seen.page.locator(".aisdk-explorer .body .tick").first.click()
    told(seen, "1 selected")
    seen.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    seen.page.reload()
    seen.page.wait_for_selector(".aisdk-explorer .body [role=row]", timeout=60_000)
    told(seen, "30 rows · 1 selected")
    rows_of(seen).nth(2).click()
    seen.page.locator(".aisdk-explorer .document mark.chunk").wait_for(timeout=20_000)
    assert is_quiet(seen)


def test_view_is_live_after_each_new_run(show: Any) -> None:
    """The cells again, a new kernel with the ids of the first, and the page loaded again.

    The same rows are shown alone, once more, and beside themselves: each view selects for itself.
    """
    twice = "other = view.rows.explore()\nother"
    boxed = "both = view.rows.explore(beside=view.rows)\nboth"
    seen = show("explorer-again", CONNECT, PUMPS, twice, boxed)
    first = live_apart(seen)
    seen.run_all()
    assert not set(live_apart(seen)) & set(first)
    seen.page.evaluate(RESTART)
    seen.page.wait_for_function(f"({STATE})() === 'idle'", timeout=60_000)
    seen.run_all()
    assert live_apart(seen) == first
    seen.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    seen.page.reload()
    assert live_apart(seen) == first
    assert is_quiet(seen)


def test_restarted_kernel_gives_the_table_back(show: Any) -> None:
    """Whatever is clicked says so at once; no row is selected that Python does not have."""
    seen = show("explorer-restart", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    tick = seen.page.locator(".aisdk-explorer .body .tick")
    tick.first.click()
    told(seen, "1 selected")
    for _ in range(50):  # the change goes another way than the question for it
        if asked(seen, "len(view.selected)") == "1":
            break
        seen.page.wait_for_timeout(200)
    assert asked(seen, "len(view.selected)") == "1"
    seen.page.evaluate(RESTART)
    seen.page.wait_for_function(f"({STATE})() === 'idle'", timeout=60_000)
    assert not seen.page.locator(".aisdk-rows").is_visible()
    tick.nth(2).click()
    told(seen, "30 rows · No kernel answers. Run the cell again")
    assert seen.page.locator(".aisdk-rows").is_visible()
    assert seen.page.locator(".aisdk-explorer [aria-selected=true]").count() == 0
    rows_of(seen).nth(2).click()
    seen.page.wait_for_selector(".aisdk-explorer .details:has-text('Run the cell again')")
    seen.keep("explorer_restarted")
    assert is_quiet(seen)


def live_apart(seen: Any) -> list[str]:
    """The ids of the outputs' views, after a row was selected in each of the four."""
    views = seen.page.locator(".aisdk-explorer")
    seen.page.wait_for_function(
        "document.querySelectorAll('.aisdk-explorer .body').length === 4", timeout=60_000
    )
    for place in range(4):
        views.nth(place).locator(".body .tick").nth(place).click()
        views.nth(place).locator(".status:has-text('1 selected')").wait_for(timeout=20_000)
    every = "(view, other, both, both.beside)"
    picked = f"[[hit.rank for hit in one.selected] for one in {every}]"
    assert asked(seen, picked) == "[[1], [2], [3], [4]]"
    for place in range(4):  # as it was before
        views.nth(place).get_by_role("button", name="Select none").click()
    ids: list[str] = seen.page.evaluate(IDS)
    return ids


def test_hundred_thousand_documents_scroll_without_being_loaded(show: Any) -> None:
    """To the end, into the middle and back: a few blocks are sent, a few rows are drawn."""
    seen = show("explorer-many", CONNECT, MANY)
    wait_for(seen, "source", "s000000")
    rows_of(seen).first.focus()
    seen.page.keyboard.press("End")
    seen.page.wait_for_selector("text=s099999", timeout=20_000)
    seen.keep("explorer_many")
    assert texts(seen, "source")[-1] == "s099999"
    grid = seen.page.locator(".aisdk-explorer .grid")
    for row in (50_000, 25_000, 75_100):
        grid.evaluate(f"node => {{ node.scrollTop = {row} * 28; }}")
        wait_for(seen, "source", f"s{row:06}")
    seen.page.keyboard.press("Home")
    wait_for(seen, "source", "s000000")
    assert rows_of(seen).count() <= 40
    assert seen.page.locator(".aisdk-explorer .grid").get_attribute("aria-rowcount") == "100001"
    assert int(asked(seen, "max(sent)")) <= 200
    assert int(asked(seen, "sum(sent)")) <= 3_000
    assert is_quiet(seen)


def test_documents_are_ordered_filtered_and_selected_in_the_store(show: Any) -> None:
    """Columns that the store can order have a button; a filter narrows; rows come back."""
    seen = show("explorer-store", CONNECT, MANY)
    wait_for(seen, "source", "s000000")
    heads = seen.page.locator(".aisdk-explorer [role=columnheader] button")
    assert heads.all_inner_texts() == ["title", "source", "created_at"]
    heads.nth(1).click()
    told(seen, "100,000 rows")
    heads.nth(1).click()
    wait_for(seen, "source", "s099999")
    seen.page.get_by_label("Filter by metadata").select_option("half")
    seen.page.get_by_label("Value to compare with").fill("0")
    wait_for(seen, "source", "s049999")
    told(seen, "50,000 rows")
    seen.page.locator(".aisdk-explorer .body .tick").first.click()
    told(seen, "1 selected")
    assert asked(seen, "list(view.selected.to_frame()['source'])") == "['s049999']"
    grid = seen.page.locator(".aisdk-explorer .grid")
    for row in range(1_000, 15_000, 1_000):  # more blocks than the kernel keeps
        grid.evaluate(f"node => {{ node.scrollTop = {row} * 28; }}")
        wait_for(seen, "source", f"s{49_999 - row:06}")
        grid.evaluate("node => { node.scrollTop = 0; }")
        wait_for(seen, "source", "s049999")
    for place in (1, 4):
        seen.page.locator(".aisdk-explorer .body .tick").nth(place).click()
    told(seen, "3 selected")
    for _ in range(50):  # JupyterLab sends one change after the other has been taken
        if asked(seen, "len(view.selected)") == "3":
            break
        seen.page.wait_for_timeout(200)
    assert asked(seen, "[row.source[4:] for row in view.selected]") == "['999', '998', '995']"
    told(seen, "3 selected")
    assert is_quiet(seen)


@pytest.mark.parametrize("theme", THEMES)
def test_explorer_is_accessible_in_both_themes(show: Any, axe: str, theme: str) -> None:
    """axe-core finds nothing with details open and rows selected, beside another, or in stages."""
    beside = "session.rag.query('house', top_k=30).explore(beside=view.rows)"
    stages = "session.rag.explain('pump').explore()"
    name = theme.rsplit(maxsplit=1)[-1].lower()
    seen = show(f"explorer-{name}", CONNECT, PUMPS, beside, stages, theme=theme)
    wait_for(seen, "rank", "1")
    seen.page.locator(".aisdk-explorer .tick").nth(1).click()
    rows_of(seen).nth(2).click()
    seen.page.locator(".aisdk-explorer .document mark.chunk").wait_for(timeout=20_000)
    seen.page.wait_for_timeout(500)
    seen.keep(f"explorer_{name}")
    assert violations(seen, axe, ".aisdk-explorer") == []
    assert is_quiet(seen)


def test_faults_are_found_by_axe(show: Any, axe: str) -> None:
    """The control: a field without a name and pale text in an explorer are seen."""
    seen = show("explorer-fault", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    seen.page.evaluate(SPOIL)
    assert {found.split(":")[0] for found in violations(seen, axe, ".aisdk-explorer")} >= {
        "label",
        "color-contrast",
    }


def test_failing_questions_are_told_in_the_view(show: Any) -> None:
    """With the client closed, rows and details say why they are not there."""
    listing = "view = session.documents.list(limit=5).explore()\nview"
    seen = show("explorer-fails", CONNECT, PUMPS, listing)
    wait_for(seen, "rank", "1")
    before = len(seen.lab.log.read_text())  # the server tells of pages that others have closed
    asked(seen, "session.close()")
    seen.page.locator(".aisdk-explorer button:has-text('Refresh')").last.click()
    told(seen, "closed")
    rows_of(seen).first.click()
    seen.page.wait_for_selector(".aisdk-explorer .note:has-text('closed')", timeout=20_000)
    seen.keep("explorer_fails")
    assert is_quiet(seen)
    assert "Traceback" not in seen.lab.log.read_text()[before:]
