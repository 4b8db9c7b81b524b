"""The live view of a page, with real ipywidgets."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from aisdk.core.results.page import AsyncPage, Page
from aisdk.errors import ConfigError, Unavailable
from aisdk.notebook.widgets import Browser

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Word:
    """A row with one word."""

    word: str


async def fetch(cursor: str, limit: int | None) -> AsyncPage[Word]:
    """Three pages of one word, the third of which cannot be reached at first."""
    del limit
    if cursor == "down":
        raise Unavailable(dependency="postgres")
    words = {"0": "zero", "1": "one", "2": "two"}
    after = str(int(cursor) + 1)
    return AsyncPage(
        Word, [(words[cursor],)], cursor=after if after in words else None, fetch=fetch
    )


def run(work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
    """A portal for one call."""
    return asyncio.run(work())


@pytest.fixture
def browser() -> Browser[Word]:
    """A view of the first page."""
    return Page.of(run(lambda: fetch("0", None)), run).explore()


def buttons(browser: Browser[Word]) -> tuple[Any, Any, Any]:
    """Previous, next and note, as a user finds them."""
    previous, following, note = browser.view.children[1].children
    return previous, following, note


def state(browser: Browser[Word]) -> tuple[str, bool, bool, str]:
    """The word shown, which buttons can be pressed, and the note."""
    previous, following, note = buttons(browser)
    return browser.page[0].word, not previous.disabled, not following.disabled, note.value


def test_explore_walks_to_the_end_and_back(browser: Browser[Word]) -> None:
    """Next fetches, previous goes back, and both stop at the ends."""
    previous, following, _ = buttons(browser)
    seen = [state(browser)]
    for button in (following, following, previous, previous):
        button.click()
        seen.append(state(browser))
    assert seen == [
        ("zero", False, True, "Page 1"),
        ("one", True, True, "Page 2"),
        ("two", True, False, "Page 3"),
        ("one", True, True, "Page 2"),
        ("zero", False, True, "Page 1"),
    ]


def test_explore_keeps_the_pages_it_has_seen(browser: Browser[Word]) -> None:
    """Going on after going back shows the page that was fetched before."""
    previous, following, _ = buttons(browser)
    following.click()
    second = browser.page
    previous.click()
    previous.click()
    following.click()
    assert browser.page is second


def test_explore_shows_why_a_page_cannot_be_fetched() -> None:
    """A failing fetch is told beside the buttons, and the page stays."""
    source = AsyncPage(Word, [("zero",)], cursor="down", fetch=fetch)
    browser = Page.of(source, run).explore()
    buttons(browser)[1].click()
    shown = state(browser)
    assert shown[:3] == ("zero", False, True)
    assert "cannot be reached" in shown[3]


def test_explore_saved_shows_the_static_table(browser: Browser[Word]) -> None:
    """Where no widget runs, HTML and plain text stand in."""
    bundle = browser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "<td>zero</td>" in bundle["text/html"]
    assert bundle["text/plain"] == repr(browser) == repr(browser.page)


def test_explore_without_ipywidgets_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    page = Page.of(AsyncPage(Word, []), run)
    with pytest.raises(ConfigError, match=r"aisdk\[notebook\]"):
        page.explore()
