"""The live view in a bare page: without a kernel, beyond what is at hand, and where focus is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from live import Live

from aisdk.core.results.page import Rows

Draw = Callable[..., Live]

NUMBERED: Final = 3_000
TOUCHED: Final = {
    "search": "input[type=search]",
    "header": ".head button",
    "row": ".body .row > :last-child",
    "tick": ".body .tick",
}


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row of a long result."""

    number: int
    name: str


def numbered(count: int) -> Any:
    """An explorer of so many rows."""
    return Rows(Numbered, [(n, f"row {n}") for n in range(count)]).explore()


@pytest.fixture
def draw(browser: Any) -> Iterator[Draw]:
    """Draws explorers, each in a page of its own whose time stands still when told."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})

    def drawn(explorer: Any, *, frozen: bool = False, **how: Any) -> Live:
        page = context.new_page()
        if frozen:
            page.clock.install()
        return Live(page, explorer, **how)

    yield drawn
    context.close()


@pytest.mark.parametrize("outputs", ["jp-OutputArea", "output"])
def test_table_stays_until_the_kernel_has_answered(draw: Draw, outputs: str) -> None:
    """A view that nobody answers says so after a while, and draws nothing else."""
    live = draw(numbered(300), frozen=True, gone=True, outputs=outputs)
    assert live.table.is_visible()
    live.page.clock.run_for(24_000)
    assert live.page.locator("text=Run the cell again").count() == 0
    live.page.clock.run_for(2_000)
    assert live.page.locator(".note:has-text('Run the cell again')").is_visible()
    assert live.table.is_visible()
    assert not live.page.locator(".grid").is_visible()
    live.page.evaluate("host.back()")
    live.told("300 rows")
    assert not live.table.is_visible()
    assert live.page.locator("text=Run the cell again").count() == 0


@pytest.mark.parametrize("what", ["header", "row", "tick"])
def test_table_comes_back_when_the_kernel_is_gone(draw: Draw, what: str) -> None:
    """A question without an answer shows the table again, until there is one."""
    live = draw(numbered(300), frozen=True)
    live.told("300 rows")
    assert not live.table.is_visible()
    live.page.evaluate("host.gone = true")
    live.page.locator(TOUCHED[what]).first.click()
    live.page.clock.run_for(24_000)
    assert not live.table.is_visible()
    live.page.clock.run_for(2_000)
    live.told("Run the cell again")
    assert live.table.is_visible()
    assert "selected" not in live.page.locator(".status").inner_text()
    live.page.evaluate("host.back()")
    live.page.wait_for_function("!document.querySelector('.status').textContent.includes('Run')")
    assert not live.table.is_visible()


@pytest.mark.parametrize("what", TOUCHED)
def test_table_comes_back_when_the_kernel_was_restarted(draw: Draw, what: str) -> None:
    """That is told at once, and no row is selected that Python does not have."""
    live = draw(numbered(30), frozen=True)
    live.told("30 rows")
    live.page.locator(TOUCHED["tick"]).nth(3).click()
    live.told("1 selected")
    live.page.evaluate("host.restarted = true")
    if what == "search":
        live.page.locator(TOUCHED[what]).fill("row 7")
    else:
        live.page.locator(TOUCHED[what]).nth(1).click()
    live.page.clock.run_for(1_000)
    live.told("30 rows · No kernel answers. Run the cell again for the live view.")
    assert live.table.is_visible()
    assert live.page.locator("[aria-selected=true]").count() == 0
    if what == "row":
        details = live.page.locator(".details [role=alert]")
        assert details.inner_text().startswith("No kernel answers. Run the cell again")


def test_table_stays_when_nothing_can_be_sent(draw: Draw) -> None:
    """A view that is drawn after a restart of the kernel says so at once."""
    live = draw(numbered(30), frozen=True, restarted=True)
    assert live.page.locator(".note:has-text('Run the cell again')").is_visible()
    assert live.table.is_visible()
    assert not live.page.locator(".grid").is_visible()


def test_table_of_another_output_stays(draw: Draw) -> None:
    """JupyterLab has many notebooks in one page: the same table elsewhere may have no kernel."""
    live = draw(numbered(30), outputs="jp-OutputArea")
    live.told("30 rows")
    still = live.explorer._still()["text/html"]
    live.page.evaluate(
        "html => document.body.insertAdjacentHTML('beforeend',"
        " `<div class='jp-OutputArea' id='other'>${html}</div>`)",
        still,
    )
    assert not live.table.is_visible()
    assert live.page.locator("#other .aisdk-rows").is_visible()


def test_first_answer_that_is_an_error_leaves_the_table(draw: Draw) -> None:
    """The view says what is wrong; the rows are in the table."""
    explorer = numbered(30)
    explorer._source = None
    live = draw(explorer)
    live.told("The view has failed")
    assert live.table.is_visible()


def test_rows_that_stay_as_they_are_have_no_refresh(draw: Draw) -> None:
    """Those of a result; what a listing shows can be read anew."""
    live = draw(numbered(30))
    live.told("30 rows")
    buttons = live.page.locator(".bar button")
    assert buttons.all_inner_texts() == ["Select none"]


def test_rows_stand_in_the_page_as_they_are_seen(draw: Draw) -> None:
    """After scrolling down, up, and to a place far away, for readers and for the Tab key."""
    live = draw(numbered(NUMBERED))
    live.told("3,000 rows")
    for row in (40, 30, 10, 2_000, 1_990, 3):
        live.scroll(row)
        assert (places := live.places) == sorted(places)
    live.rows.nth(4).focus()
    for key in ("PageDown", "PageUp", "ArrowUp", "End", "ArrowUp", "Home"):
        live.page.keyboard.press(key)
        assert (places := live.places) == sorted(places)


def test_more_rows_than_can_be_scrolled_to_are_told(draw: Draw) -> None:
    """The number is the real one, and the last rows can be reached in another order."""
    live = draw(numbered(600_000))
    live.told("600,000 rows")
    live.told("the first 500,000 can be scrolled to")
    assert live.page.locator(".grid").get_attribute("aria-rowcount") == "600001"
    live.rows.first.focus()
    live.page.keyboard.press("End")
    live.page.wait_for_selector("text='row 499999'")
    assert live.focused == 500_000
    head = live.page.locator("[role=columnheader]").filter(has_text="number").get_by_role("button")
    head.click()
    head.click()
    live.page.wait_for_selector("text='row 599999'")


def test_range_is_selected_across_blocks_that_are_not_at_hand(draw: Draw) -> None:
    """All rows between the two clicks, though the view has let those between go."""
    live = draw(numbered(NUMBERED))
    live.told("3,000 rows")
    live.page.locator(".body .tick").nth(3).click()
    live.scroll(900)
    at = "[...document.querySelectorAll('.body [role=row]')].find(r => r.ariaRowIndex == 902)"
    row = live.page.evaluate_handle(at).as_element()
    row.query_selector(".tick").click(modifiers=["Shift"])
    live.told("898 selected")
    assert [one.number for one in live.explorer.selected] == list(range(3, 901))


def test_selection_that_is_too_large_is_told(draw: Draw) -> None:
    """A thousand rows from where the range began, and a word about the others."""
    live = draw(numbered(NUMBERED))
    live.told("3,000 rows")
    live.rows.first.focus()
    live.page.keyboard.press("Space")
    live.page.keyboard.press("Shift+End")
    live.told("1,000 selected")
    live.told("At most 1,000 rows can be selected")
    assert [one.number for one in live.explorer.selected] == list(range(1_000))


def test_selected_rows_that_are_gone_are_told(draw: Draw) -> None:
    """The kernel takes them back and says why."""
    live = draw(numbered(30))
    live.told("30 rows")
    live.page.evaluate("host.state.picked = ['3', '99']")
    live.page.locator(".body .tick").first.click()
    live.told("2 selected")
    live.told("no longer there")
    assert [one.number for one in live.explorer.selected] == [3, 0]


def test_two_windows_do_not_take_each_others_answers(draw: Draw) -> None:
    """The same view twice, as in two windows on a notebook: each shows its own order."""
    live = draw(numbered(300), windows=2)
    live.page.wait_for_function("document.querySelectorAll('.body [role=row]').length > 20")
    roots = live.page.locator(".aisdk-explorer")
    search = "Search in these rows"
    live.page.evaluate("host.gone = true")
    roots.nth(0).get_by_label(search).fill("row 77")
    roots.nth(1).get_by_label(search).fill("row 29")
    live.page.wait_for_function("host.held.length === 2")
    live.page.evaluate("host.back()")
    for place, count in ((0, "3 rows"), (1, "13 rows")):
        roots.nth(place).locator(f".status:has-text('{count}')").wait_for()
    firsts = [roots.nth(n).locator(".body [role=row]").first.inner_text() for n in (0, 1)]
    assert ["row 77" in firsts[0], "row 29" in firsts[1]] == [True, True]
    asked: list[str] = live.page.evaluate("host.questions.map(question => question.id)")
    assert len(asked) == len(set(asked)) >= 4


def test_escape_while_reading_keeps_the_details_closed(draw: Draw) -> None:
    """The answer that comes later opens nothing, and the focus stays on the row."""
    live = draw(numbered(30))
    live.told("30 rows")
    live.page.evaluate("host.gone = true")
    live.rows.nth(2).click()
    details = live.page.locator(".details")
    assert details.is_visible()
    live.page.keyboard.press("Escape")
    assert not details.is_visible()
    live.page.evaluate("host.back()")
    live.page.wait_for_timeout(300)
    assert not details.is_visible()
    assert live.focused == 3


def test_details_that_come_late_do_not_take_the_focus(draw: Draw) -> None:
    """Who has gone on to the search field goes on writing there."""
    live = draw(numbered(30))
    live.told("30 rows")
    live.page.evaluate("host.gone = true")
    live.rows.nth(2).click()
    live.page.get_by_label("Search in these rows").focus()
    live.page.evaluate("host.back()")
    live.page.locator(".details dl").wait_for()
    assert live.page.evaluate("document.activeElement.type") == "search"


def test_focus_stays_in_the_grid(draw: Draw) -> None:
    """When other rows come while a row has the focus, and when details close over none."""
    live = draw(numbered(30))
    live.told("30 rows")
    search = live.page.get_by_label("Search in these rows")
    for words, place in (("row 2", 1), ("nothing", 0)):
        search.fill(words)
        live.rows.nth(1).focus()
        live.told("12 rows" if place else "0 rows")
        assert live.focused == place
        assert live.page.evaluate("!!document.activeElement.closest('.grid')")
    search.fill("")
    live.told("30 rows")
    live.rows.nth(1).click()
    live.page.locator(".details dl").wait_for()
    search.fill("nothing")
    live.told("0 rows")
    live.page.get_by_role("button", name="Close").click()
    assert live.page.evaluate("!!document.activeElement.closest('.grid')")


def test_keys_of_later_rows_are_offered(draw: Draw) -> None:
    """They come with the rows; a choice made before stays."""
    records = [(n, {"late" if n >= 1_000 else "early": n}) for n in range(1_400)]
    live = draw(Rows(Noted, records).explore())
    live.told("1,400 rows")
    key = live.page.get_by_label("Filter by metadata")
    assert key.locator("option").all_inner_texts() == [
        *("all metadata", "early", "keys of the rows read so far")
    ]
    key.select_option("early")
    live.scroll(1_300)
    assert key.locator("option").all_inner_texts()[1:3] == ["early", "late"]
    assert key.input_value() == "early"


def test_filter_by_what_a_list_holds_says_so(draw: Draw) -> None:
    """It finds no part of a text, and its name promises none."""
    records = [(1, {"tags": ["Jane", "Joe"]}), (2, {"tags": "Jane Miller"}), (3, {"tags": ["Joe"]})]
    live = draw(Rows(Noted, records).explore())
    live.told("3 rows")
    live.page.get_by_label("Filter by metadata").select_option("tags")
    live.page.get_by_label("Comparison").select_option(label="list contains")
    live.page.get_by_label("Value to compare with").fill("Jane")
    live.told("1 row")
    assert live.rows.count() == 1
    assert live.page.evaluate("host.questions.at(-1).view.operator") == "contains"


@dataclass(frozen=True, slots=True)
class Noted:
    """A row with metadata."""

    number: int
    metadata: dict[str, Any]
