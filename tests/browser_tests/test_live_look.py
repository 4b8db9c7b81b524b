"""The live view in a bare page: hostile texts do nothing, and its colours are those of the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from displays import record
from live import Live
from payloads import PAYLOADS

from aisdk.core.documents.types import DocumentInfo
from aisdk.core.rag.types import Hit, Stage
from aisdk.core.results.frame import columns_of
from aisdk.core.results.origin import Origin
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.core.results.text import clean_text

# Tags that the view makes itself: no other one may be there.
OURS: Final = {
    *("div", "span", "button", "input", "select", "option", "section", "p"),
    *("dl", "dt", "dd", "mark", "ol", "li", "strong"),
}
# Everything that a reader may do by chance to everything that is there.
TOUCH: Final = """
async () => {
  const events = ['mouseover', 'mouseenter', 'pointerenter', 'wheel', 'copy', 'scroll',
                  'beforeinput', 'toggle', 'animationstart', 'transitionend', 'error', 'load'];
  const nodes = [...document.querySelectorAll('.aisdk-explorer, .aisdk-explorer *')];
  nodes.forEach(node => events.forEach(name => node.dispatchEvent(new Event(name))));
  await new Promise(done => setTimeout(done, 100));
  const handlers = nodes.flatMap(node => node.getAttributeNames())
    .filter(name => name.startsWith('on') || ['href', 'src', 'srcdoc'].includes(name));
  const styles = nodes.map(node => node.getAttribute('style') ?? '')
    .filter(style => /url|fixed|red|behavior/.test(style));
  const tags = [...new Set(nodes.map(node => node.localName))];
  return {executed: executed.length, tags, odd: [...handlers, ...styles]};
}
"""
AXE: Final = """
async () => {
  const {violations} = await axe.run(document.querySelectorAll('.aisdk-explorer'));
  return violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}`));
}
"""
# The control: children that are texts become HTML.
TEXTS: Final = "  node.append(...children);"
AS_HTML: Final = """
  for (const child of children)
    if (typeof child === 'string') node.insertAdjacentHTML('beforeend', child);
    else node.append(child);
"""
# The colours of VS Code's own themes, and those that its page of widgets says for JupyterLab's.
LAB: Final = (
    "--jp-layout-color0: white; --jp-content-font-color1: rgba(0,0,0,.87);"
    "--jp-content-font-color2: rgba(0,0,0,.54); --jp-border-color2: #e0e0e0;"
    "--jp-brand-color1: #1976d2;"
)
CODE_DARK: Final = (
    "--vscode-editor-foreground: #cccccc; --vscode-editor-background: #1f1f1f;"
    "--vscode-descriptionForeground: #9d9d9d; --vscode-panel-border: #2b2b2b;"
    "--vscode-focusBorder: #0078d4; --vscode-editor-findMatchHighlightBackground: #9e6a0377;"
)
CODE_LIGHT: Final = (
    "--vscode-editor-foreground: #3b3b3b; --vscode-editor-background: #ffffff;"
    "--vscode-descriptionForeground: #3b3b3b; --vscode-panel-border: #e5e5e5;"
    "--vscode-focusBorder: #005fb8; --vscode-editor-findMatchHighlightBackground: #ea5c0055;"
)
LAB_DARK: Final = (
    "--jp-layout-color0: #111; --jp-content-font-color1: #fff; --jp-border-color2: #424242;"
    "--jp-content-font-color2: rgba(255,255,255,.7); --jp-brand-color1: #2196f3;"
)
# Name → what the system prefers, what the page says, and the paper that must be seen.
THEMES: Final = {
    "code-dark": ("light", f"background: #1f1f1f; {CODE_DARK}", "rgb(31, 31, 31)"),
    "code-dark-with-lab": ("light", f"background: #1f1f1f; {CODE_DARK}{LAB}", "rgb(31, 31, 31)"),
    "code-light": ("dark", f"background: #fff; {CODE_LIGHT}", "rgb(255, 255, 255)"),
    "lab-light": ("dark", f"background: #fff; {LAB}", "rgb(255, 255, 255)"),
    "lab-dark": ("light", f"background: #111; {LAB_DARK}", "rgb(17, 17, 17)"),
    "system-light": ("light", "background: #fff", "rgb(255, 255, 255)"),
    "system-dark": ("dark", "background: #0d1117", "rgb(13, 17, 23)"),
}
PAPER: Final = "getComputedStyle(document.querySelector('.aisdk-explorer')).backgroundColor"


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    """A page that asks nobody for anything, and keeps what it was made to ask for."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    page = context.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.route("**/*", lambda route: route.abort())
    yield page
    context.close()


async def around(text: str) -> str:
    """A document around the chunk, hostile itself."""
    return f"{PAYLOADS[1]} {text} {PAYLOADS[2]}"


def hostile_hits() -> Page[Hit]:
    """Hits with a payload in every text, one a hit."""
    columns = columns_of(Hit)
    start = len(PAYLOADS[1]) + 1
    rows = []
    for text in PAYLOADS:
        values = dict(zip((c.name for c in columns), record(columns, text), strict=True))
        values.update(document_id=text, start=start, end=start + len(text), metadata={text: text})
        rows.append(tuple(values.values()))

    def run(work: Any, /) -> Any:
        try:  # the document is ready at once
            work().send(None)
        except StopIteration as done:
            return done.value

    return Page(AsyncPage(Hit, rows).from_origin(Origin(around)), run)


def tour(live: Live, rows: int) -> dict[str, Any]:
    """What came of looking at so many rows, their details and the filters, and touching all."""
    live.page.wait_for_selector(".aisdk-explorer .body [role=row] >> nth=2", timeout=20_000)
    sums: dict[str, Any] = {"executed": 0, "tags": set(), "odd": [], "chunks": []}
    live.rows.first.focus()
    for place in range(rows):
        live.page.keyboard.press("Enter")
        live.page.wait_for_selector(".details dl")
        mark = live.page.locator(".details .document mark.chunk")
        sums["chunks"].append(mark.evaluate("node => node.textContent"))
        live.page.evaluate("document.querySelector('.details').focus()")
        live.page.keyboard.press("Escape")
        if place % 8 == 0:
            add(sums, live.page.evaluate(TOUCH))
        live.page.keyboard.press("ArrowDown")
    keys = live.page.get_by_label("Filter by metadata")
    sums["keys"] = keys.locator("option").all_inner_texts()
    keys.select_option(index=5)
    live.page.get_by_label("Value to compare with").fill(PAYLOADS[1])
    live.page.get_by_label("Search in these rows").fill(PAYLOADS[0])
    live.page.wait_for_timeout(600)
    add(sums, live.page.evaluate(TOUCH))
    return sums


def add(sums: dict[str, Any], found: dict[str, Any]) -> None:
    """Adds what was found."""
    sums["executed"] = found["executed"]
    sums["tags"] |= set(found["tags"])
    sums["odd"] += found["odd"]


def test_hostile_rows_do_nothing_in_the_live_view(window: Any) -> None:
    """Over a hundred scripts, styles and attributes: in cells, details, documents and filters."""
    assert len(PAYLOADS) >= 100
    live = Live(window, hostile_hits().explore())
    found = tour(live, len(PAYLOADS))
    assert found["executed"] == 0
    assert found["tags"] <= OURS
    assert found["odd"] == []
    assert found["chunks"] == [clean_text(text) for text in PAYLOADS]
    assert any("onerror" in key for key in found["keys"])
    assert strangers(window) == []


def test_hostile_rows_that_are_not_escaped_are_seen(window: Any) -> None:
    """The control: with texts as HTML, scripts run, foreign tags stand there, files are asked."""
    live = Live(window, hostile_hits().explore(), change=lambda text: text.replace(TEXTS, AS_HTML))
    live.page.wait_for_selector(".aisdk-explorer .body [role=row] >> nth=2", timeout=20_000)
    for row in (20, PAYLOADS.index("<style>@import 'https://example.org/x.css'</style>")):
        live.page.locator(".grid").evaluate(f"node => {{ node.scrollTop = 28 * {row}; }}")
        live.page.wait_for_timeout(500)
    found = live.page.evaluate(TOUCH)
    assert found["executed"] > 0
    assert not set(found["tags"]) <= OURS
    assert found["odd"]
    assert strangers(window)


def strangers(window: Any) -> list[str]:
    """What the page was made to ask for."""
    return [url for url in window.asked if not url.startswith(("blob:", "data:", "about:"))]


def test_hostile_stages_and_titles_do_nothing(window: Any) -> None:
    """Names and details of stages, the title of the grid, and names of columns."""
    stages = Rows(Stage, [(text, 1.0, 5, text) for text in PAYLOADS])
    live = Live(window, stages.explore())
    found = live.page.evaluate(TOUCH)
    assert (found["executed"], found["odd"]) == (0, [])
    assert set(found["tags"]) <= OURS
    names = live.page.locator(".stages strong").all_text_contents()
    assert names == [clean_text(text) for text in PAYLOADS]
    assert strangers(window) == []


@pytest.mark.parametrize("first", range(0, len(PAYLOADS), 30))
def test_hostile_names_of_columns_do_nothing(window: Any, first: int) -> None:
    """What heads a column, and what names the grid."""
    explorer = hostile_hits().explore()
    about = explorer.view.about
    some = PAYLOADS[first : first + 30]
    column = about["columns"][0]
    told = {"columns": [{**column, "name": text} for text in map(clean_text, some)]}
    explorer.view.about = {**about, **told, "title": clean_text("".join(some))}
    live = Live(window, explorer)
    live.page.wait_for_selector(".aisdk-explorer .body [role=row]", timeout=20_000)
    found = live.page.evaluate(TOUCH)
    assert (found["executed"], found["odd"]) == (0, [])
    assert set(found["tags"]) <= OURS
    heads = live.page.locator("[role=columnheader]").all_text_contents()[1:]
    assert heads == [clean_text(text) for text in some]
    assert strangers(window) == []


@pytest.fixture(params=THEMES)
def themed(browser: Any, request: pytest.FixtureRequest) -> Iterator[tuple[Any, str]]:
    """A page on a system of the opposite colours, and the name of its theme."""
    context = browser.new_context(
        color_scheme=THEMES[request.param][0], viewport={"width": 1000, "height": 900}
    )
    yield context.new_page(), request.param
    context.close()


def test_colours_are_those_of_the_host(
    themed: tuple[Any, str], axe: str, request: pytest.FixtureRequest
) -> None:
    """VS Code's, else Jupyter's, else the system's, with enough contrast; details are open."""
    page, theme = themed
    live = Live(page, hits(), theme=THEMES[theme][1])
    live.told("30 rows")
    live.page.locator(".tick").nth(1).click()
    live.rows.nth(2).click()
    live.page.locator(".details mark.chunk").wait_for()
    assert page.evaluate(PAPER) == THEMES[theme][2]
    if pictures := request.config.getoption("--screenshots"):
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(pictures / f"live_{theme}.png"))
    page.evaluate(f"() => {{ {axe} }}")
    assert page.evaluate(AXE) == []


def test_pale_colours_are_found_by_axe(themed: tuple[Any, str], axe: str) -> None:
    """The control: a host whose soft text is as light as its paper."""
    page, theme = themed
    live = Live(page, hits(), theme=THEMES[theme][1])
    live.told("30 rows")
    page.add_style_tag(content=".aisdk-explorer .status {color: #888; background: #999}")
    page.evaluate(f"() => {{ {axe} }}")
    assert {found.split(":")[0] for found in page.evaluate(AXE)} == {"color-contrast"}


def hits() -> Any:
    """An explorer of plain hits."""
    columns = columns_of(Hit)
    rows = []
    for rank in range(1, 31):
        values = dict(zip((c.name for c in columns), record(columns, f"t{rank}"), strict=True))
        values.update(rank=rank, text=f"Pump {rank} lifts water.", metadata={"year": rank})
        rows.append(tuple(values.values()))
    return Rows(Hit, rows).explore()


def test_sources_of_documents_stay_text_in_the_live_view(window: Any) -> None:
    """Titles and sources of a listing, as captions of its rows and in their details."""
    columns = columns_of(DocumentInfo)
    page = Page(AsyncPage(DocumentInfo, [record(columns, t) for t in PAYLOADS]), lambda _: None)
    live = Live(window, page.explore())
    live.page.wait_for_selector(".aisdk-explorer .body [role=row] >> nth=2", timeout=20_000)
    for row in range(0, len(PAYLOADS), 12):
        live.scroll(row)
        found = live.page.evaluate(TOUCH)
        assert (found["executed"], found["odd"]) == (0, [])
        assert set(found["tags"]) <= OURS
    assert strangers(window) == []
