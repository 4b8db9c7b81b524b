"""The documentation site as people read it: in light and in dark, from this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

PAGES: Final = [
    "docs/index",
    "docs/tutorial",
    "docs/how-to",
    "docs/settings",
    "docs/reference/rag",
    "docs/why",
    "notebooks/01_quickstart",
    "notebooks/02_documents",
]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A window of a reader who prefers these colours."""
    context = browser.new_context(
        color_scheme=request.param, viewport={"width": 1300, "height": 1000}
    )
    yield context.new_page()
    context.close()


class Watch:
    """What a window asks others for, and what it complains of."""

    def __init__(self, page: Any, address: str) -> None:
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self._address = f"{address}/"
        page.on("request", lambda request: self._see(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))

    def _see(self, url: str) -> None:
        if not url.startswith((self._address, "data:")):
            self.strangers.append(url)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


def test_request_to_another_host_is_seen(page: Any, address: str) -> None:
    """The control of the next test."""
    watch = Watch(page, address)
    page.goto(f"{address}/docs/index.html")
    page.evaluate("fetch('http://127.0.0.2:9/').catch(() => {})")
    page.wait_for_timeout(500)
    assert watch.strangers == ["http://127.0.0.2:9/"]
    assert watch.complaints != []


def test_pages_ask_nobody_else_and_complain_of_nothing(
    page: Any, address: str, request: pytest.FixtureRequest
) -> None:
    """Of each kind of page; a picture of each is kept where one is asked for."""
    watch = Watch(page, address)
    pictures = request.config.getoption("--screenshots")
    scheme = request.node.callspec.params["page"]
    for name in PAGES:
        page.goto(f"{address}/{name}.html")
        assert page.locator("h1").count() == 1
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            file = f"site-{name.replace('/', '-')}-{scheme}.png"
            page.screenshot(path=str(pictures / file), full_page=True)
    assert watch.strangers == []
    assert watch.complaints == []


FRAMES: Final = """
() => [...document.querySelectorAll('table.dataframe :is(th, td)')].map(cell => {
  const style = getComputedStyle(cell);
  return [style.textAlign, Math.min(parseFloat(style.paddingLeft), parseFloat(style.paddingRight))];
})
"""


def test_frames_are_in_columns(page: Any, address: str) -> None:
    """Headings stand above their values, to the right as in Jupyter, and no two values touch."""
    page.goto(f"{address}/notebooks/01_quickstart.html")
    cells = page.evaluate(FRAMES)
    assert len(cells) > 50
    assert {align for align, _ in cells} == {"right"}
    assert min(room for _, room in cells) >= 6


def test_hits_fit_beside_the_contents(page: Any, address: str) -> None:
    """All columns of the first table of hits are in view."""
    page.goto(f"{address}/notebooks/01_quickstart.html")
    table = page.locator(".aisdk-rows").first
    assert table.evaluate("box => box.clientWidth") > 0
    assert table.evaluate("box => box.scrollWidth - box.clientWidth") <= 0


def test_search_finds_a_verb(page: Any, address: str) -> None:
    """Without a server behind it."""
    page.goto(f"{address}/search.html?q=query_many")
    found = page.locator("ul.search a", has_text="query_many").first
    found.click()
    assert "/reference/rag.html" in page.url


def test_root_leads_to_the_first_page(page: Any, address: str) -> None:
    """The pages stand in a folder of the site."""
    page.goto(address)
    page.wait_for_url(f"{address}/docs/index.html")
