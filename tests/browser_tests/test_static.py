"""The static displays in a browser: hostile texts do nothing, and axe-core finds nothing wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from displays import ITEMS, OURS, RECORDS, displays, marking, record
from payloads import PAYLOADS

from aisdk.core.documents.types import DocumentInfo, SourceOutcome, StoredDocument
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.jobs.types import JobInfo
from aisdk.core.rag.types import Hit, Stage
from aisdk.core.results import html
from aisdk.core.results.frame import columns_of
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.usage.types import LimitInfo, UsageInfo
from aisdk.errors import NotFound, RateLimited
from aisdk.notebook.progress import DisplayProgress

PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Displays</title>
<style>:root {color: %s; background: %s; %s}</style>
<script>var executed = []; alert = confirm = prompt = what => executed.push(what);</script></head>
<body><main>%s</main></body></html>"""
# What JupyterLab's two themes say of the colours that displays ask for.
LAB_LIGHT: Final = """--jp-layout-color0: #fff; --jp-content-font-color1: rgba(0,0,0,.87);
--jp-content-font-color2: rgba(0,0,0,.54); --jp-border-color2: #e0e0e0; --jp-brand-color1: #1976d2;
"""
LAB_DARK: Final = """--jp-layout-color0: #111; --jp-content-font-color1: #fff;
--jp-content-font-color2: rgba(255,255,255,.7); --jp-border-color2: #424242;
--jp-brand-color1: #2196f3;"""
THEMES: Final = {
    "light": ("light", "#1f2328", "#fff", ""),
    "dark": ("dark", "#e6edf3", "#0d1117", ""),
    "jupyter-light": ("dark", "rgba(0,0,0,.87)", "#fff", LAB_LIGHT),
    "jupyter-dark": ("light", "#fff", "#111", LAB_DARK),
}
# Everything that a reader may do by chance to everything that is there.
TOUCH: Final = """
() => {
  const events = ['click', 'mouseover', 'mouseenter', 'pointerenter', 'focus', 'wheel', 'copy',
                  'scroll', 'beforeinput', 'toggle', 'animationstart', 'transitionend'];
  document.querySelectorAll('details').forEach(node => { node.open = true; });
  document.querySelectorAll('main *').forEach(node =>
    events.forEach(name => node.dispatchEvent(new Event(name, {bubbles: true}))));
}
"""
FOUND: Final = """
() => {
  const names = [...document.querySelectorAll('main *')].map(node => node.localName);
  return {executed: executed.length, tags: [...new Set(names)]};
}
"""
AXE: Final = """
async () => {
  document.querySelectorAll('details').forEach(node => { node.open = true; });
  const {violations} = await axe.run();
  return violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 120)}`));
}
"""
HOUR: Final = datetime(2026, 1, 1, 9, tzinfo=UTC)
KEY: Final = "0123abcd-0123-4567-89ab-0123456789ab"
TEXT: Final = "A pump lifts water from the well to the house. " * 20
CHUNK: Final = (TEXT, 0, 940, "Guide > Pumps", {"year": 2020}, "exact", "minilm")
HITS: Final = [
    (n, 1 / n, 9.5 / n, 0.7 / n if n < 4 else None, KEY, f"On pumps {n}", f"docs/{n}.md", *CHUNK)
    for n in range(1, 6)
]
DOCUMENT: Final = (KEY, "docs/1.md", "On pumps", {"year": 2020}, 940, 2)


def shown() -> dict[str, str]:
    """Each display with what it usually holds."""
    added = [("a.md", "added", KEY, 3, 99, 1.5), ("b.pdf", "failed", None, 0, 10, 0.4, "encrypted")]
    limits = [("read", 200, 50, 150, 60.0, 3.0), ("tokens", None, 9, None, None, None)]
    job = (KEY, "documents.add", "running", 30, 1, 90, 100, None, HOUR, HOUR, HOUR, None)
    stages = [("embed", 2.1, None, "minilm"), ("dense", 0.4, 50, "exact"), ("fuse", 0.01, 9, "")]
    listed = (*DOCUMENT, "ready", None, HOUR, HOUR)
    usage = [(HOUR, "rag.query", 12, 0, 40, 18.5), (HOUR, "documents.add", 2, 1, 900, 118.2)]
    probe = ProbeResult(*record(columns_of(ProbeResult), "read by key"))
    values: dict[str, Any] = {
        "hits": AsyncPage(Hit, HITS, cursor="x").from_origin(marking("pump", "water")),
        "hit": Hit(*HITS[0]),
        "documents": Rows(DocumentInfo, [listed] * 3),
        "document": StoredDocument(*DOCUMENT, HOUR, HOUR, TEXT),
        "added": Rows(SourceOutcome, [(*row, None, None)[:8] for row in added]),
        "stages": Rows(Stage, stages),
        "limits": Rows(LimitInfo, limits),
        "usage": Rows(UsageInfo, usage),
        "jobs": Rows(JobInfo, [job] * 2),
        "job": JobInfo(*job),
        "probe": probe,
        "none": Rows(Hit, []),
        "error": NotFound(hint="List what is there: session.documents.list()"),
    }
    progress = DisplayProgress("Adding", "documents", 9)._bundle()["text/html"]
    return {name: value._repr_html_() for name, value in values.items()} | {"progress": progress}


def hostile() -> dict[str, str]:
    """Each display with all payloads wherever a text can stand."""
    made = {
        f"{item.__name__}, {form}": text
        for item in ITEMS
        for form, text in displays(item, PAYLOADS).items()
    }
    for item in RECORDS:
        texts = [item(*record(columns_of(item), text))._repr_html_() for text in PAYLOADS]
        made[item.__name__] = "".join(texts)
    errors = [RateLimited(text, hint=text)._repr_html_() for text in PAYLOADS]
    bars = [DisplayProgress(text, text, 9)._bundle()["text/html"] for text in PAYLOADS]
    return made | {"errors": "".join(errors), "progress": "".join(bars)}


@pytest.fixture(params=THEMES)
def themed(browser: Any, request: pytest.FixtureRequest) -> Iterator[tuple[Any, str, str]]:
    """A window, the name of its theme, and a page in which a display can stand."""
    scheme, *colours = THEMES[request.param]
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1000, "height": 800})
    yield context.new_page(), request.param, PAGE % (*colours, "%s")
    context.close()


class Windows:
    """Some windows that ask nobody for anything, and keep what they were made to ask for."""

    def __init__(self, context: Any) -> None:
        self.asked: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.route("**/*", lambda route: route.abort())
        self._pages = [context.new_page() for _ in range(12)]

    def touched(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What came of showing each text in a window of its own and touching all of it."""
        for start in range(0, len(texts), len(self._pages)):
            pages = list(zip(self._pages, texts[start:], strict=False))
            for page, text in pages:
                page.set_content(PAGE % (*THEMES["light"][1:], text), wait_until="domcontentloaded")
                page.evaluate(TOUCH)
            self._pages[0].wait_for_timeout(300)  # what was touched may take a while to run
            yield from (page.evaluate(FOUND) for page, _ in pages)


@pytest.fixture
def windows(browser: Any) -> Iterator[Windows]:
    """Closed after the test."""
    context = browser.new_context()
    yield Windows(context)
    context.close()


def test_hostile_texts_in_every_display_do_nothing(windows: Windows) -> None:
    """No script runs, no tag is theirs, nothing is asked for."""
    texts = hostile()
    for name, found in zip(texts, windows.touched(list(texts.values())), strict=True):
        assert found["executed"] == 0, name
        assert set(found["tags"]) <= OURS, name
    assert windows.asked == []


def test_hostile_texts_that_are_not_escaped_are_seen(
    windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without escaping they run, and ask for files, in every window."""
    monkeypatch.setattr(html, "escape", str)
    images = [text for text in PAYLOADS if text.startswith(("<script>", "<img", "<svg"))]
    shown_raw = "".join(NotFound(text)._repr_html_() for text in images)
    for found in windows.touched([shown_raw] * 13):
        assert found["executed"] > 0
        assert not set(found["tags"]) <= OURS
    list(windows.touched([NotFound("<img src=http://example.org/x>")._repr_html_()]))
    assert "http://example.org/x" in windows.asked


def test_displays_are_accessible_in_every_theme(
    themed: tuple[Any, str, str], axe: str, request: pytest.FixtureRequest
) -> None:
    """axe-core finds nothing, folded texts opened, all in one page as in a notebook."""
    page, theme, frame = themed
    outputs = [f"<h2>{name}</h2>{text}" for name, text in shown().items()]
    page.set_content(frame % f"<h1>Displays</h1>{''.join(outputs)}")
    if pictures := request.config.getoption("--screenshots"):
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(pictures / f"static_{theme}.png"), full_page=True)
    page.evaluate(f"() => {{ {axe} }}")
    assert page.evaluate(AXE) == []


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize(
    ("body", "scheme"),
    [
        ("data-jp-theme-light=true", "light"),
        ("data-jp-theme-light=false", "dark"),
        ("class=vscode-light", "light"),
        ("class=vscode-dark", "dark"),
        ("class=none", "light dark"),
    ],
)
def test_bar_is_drawn_in_the_colours_of_the_notebook(
    browser: Any, system: str, body: str, scheme: str
) -> None:
    """Not in those of the system, where the notebook has its own; an empty bar shows which."""
    context = browser.new_context(color_scheme=system)
    page = context.new_page()
    bar = DisplayProgress("Adding", "documents", 9)._bundle()["text/html"]
    page.set_content(f"<!doctype html><body {body}>{bar}")
    seen = page.locator("progress")
    assert seen.evaluate("node => getComputedStyle(node).colorScheme") == scheme
    context.close()


def test_faults_of_a_display_are_found_by_axe(themed: tuple[Any, str, str], axe: str) -> None:
    """The control: pale text, a table that the keyboard cannot scroll, a picture without a text."""
    page, _, frame = themed
    page.set_content(frame % f"<h1>Displays</h1>{shown()['hits']}<img src='data:,'>")
    page.add_style_tag(content=".aisdk-rows.aisdk-rows tbody td.number {color: #777 !important}")
    page.add_style_tag(content=".aisdk-rows tbody td.number {background: #888 !important}")
    page.evaluate(f"() => {{ {axe} }}")
    assert {found.split(":")[0] for found in page.evaluate(AXE)} >= {"image-alt", "color-contrast"}
