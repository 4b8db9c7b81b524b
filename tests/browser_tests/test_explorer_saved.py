"""Saved explorers: the static table stands where no kernel answers, with a state of widgets too."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from exploring import CONNECT, PUMPS, is_quiet, rows_of, wait_for
from nbformat.sign import NotebookNotary
from payloads import PAYLOADS

Open = Callable[[str], Any]  # a notebook's name → a notebook in the browser

NOTES: Final = """
from dataclasses import dataclass
from aisdk.core.results.page import Rows
@dataclass(frozen=True, slots=True)
class Note:
    number: int
    name: str
view = Rows(Note, [(n, f"Note {n}") for n in range(120)]).explore()
view
"""
HOSTILE: Final = f"""
from aisdk import Document
evil = {PAYLOADS!r}
documents = [
    Document(f"{{n}} pump {{t}}", source=f"{{n}} {{t}}", title=t, metadata={{t: t}})
    for n, t in enumerate(evil)
]
added = session.documents.add(documents, progress=False, raise_on_error=False)
view = session.rag.query("pump", top_k=len(evil)).explore()
view
"""
UNDRAWN: Final = (
    "NO WIDGETS: A SAVED STATE WAS NOT DRAWN. npm brings what draws it outside of Jupyter."
)
# What a converted page asks a content network for, and where npm's packages have it.
DRAWING: Final = {
    "require.min.js": ("requirejs", "require.js"),
    "embed-amd.js": ("@jupyter-widgets/html-manager", "dist/embed-amd.js"),
    "anywidget": ("anywidget", "dist/index.js"),
}
WATCH: Final = "window.executed = []; alert = confirm = prompt = what => executed.push(what); 0"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook as ``jupyter nbconvert --execute`` leaves it, with the state of its widget."""
    folder = tmp_path_factory.mktemp("executed")
    cells = [nbformat.v4.new_code_cell(NOTES)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notes.ipynb")
    for name in ("once", "twice"):
        convert("--execute", "--to=notebook", f"--output={name}", str(folder / "notes.ipynb"))
    assert "AnyModel" in str(nbformat.read(folder / "once.ipynb", 4).metadata.widgets)
    return folder


def convert(*arguments: str) -> None:
    """``jupyter nbconvert``."""
    command = [sys.executable, "-m", "nbconvert", "--log-level=ERROR", *arguments]
    subprocess.run(command, check=True, timeout=180)  # noqa: S603  # this interpreter, nbconvert


@pytest.fixture(scope="module")
def drawing(from_npm: Callable[[str, str, str], str]) -> dict[str, str]:
    """The scripts that draw widgets in a converted page, from npm."""
    return {asked: from_npm(package, file, UNDRAWN) for asked, (package, file) in DRAWING.items()}


@pytest.fixture
def window(browser: Any) -> Iterator[Any]:
    """A page whose time stands still when told."""
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    yield context.new_page()
    context.close()


def test_notebook_that_is_run_twice_has_the_same_table(executed: Path) -> None:
    """Names of classes are made of the rows, so that nothing differs in the file."""
    tables = [
        [output.data["text/html"] for output in cell.outputs if "text/html" in output.data]
        for name in ("once", "twice")
        for cell in nbformat.read(executed / f"{name}.ipynb", 4).cells
    ]
    assert tables[0] == tables[1]
    assert "aisdk-live-" in tables[0][0]


def test_converted_notebook_shows_the_table_without_a_network(executed: Path, window: Any) -> None:
    """With the state of widgets in it, and nothing that could draw it."""
    convert("--to=html", "--output=plain", str(executed / "once.ipynb"))
    window.route(re.compile("^https?:"), lambda route: route.abort())
    window.goto((executed / "plain.html").as_uri())
    assert "widget-state+json" in window.content()
    assert window.locator(".aisdk-rows tbody tr").count() == 120
    assert window.locator(".aisdk-rows").is_visible()


def test_converted_notebook_shows_the_table_beside_a_view_without_a_kernel(
    executed: Path, window: Any, drawing: dict[str, str]
) -> None:
    """The view is drawn from the saved state, hides nothing, and says what to do."""
    convert("--to=html", "--output=drawn", str(executed / "once.ipynb"))

    def serve(route: Any) -> None:
        found = [text for name, text in drawing.items() if name in route.request.url]
        if found:
            route.fulfill(body=found[0], content_type="text/javascript")
        else:
            route.abort()

    window.route(re.compile("^https?:"), serve)
    window.clock.install()
    window.goto((executed / "drawn.html").as_uri())
    for _ in range(100):
        window.clock.run_for(500)
        if window.locator(".aisdk-explorer").count():
            break
    assert window.locator(".aisdk-explorer").count() == 1
    window.clock.run_for(26_000)
    window.locator(".aisdk-explorer .note:has-text('Run the cell again')").wait_for()
    assert window.locator(".aisdk-rows").is_visible()
    assert not window.locator(".aisdk-explorer .grid").is_visible()


def test_saved_state_in_jupyterlab_hides_no_table(executed: Path, lab: Any, see: Open) -> None:
    """Opened with a new kernel and loaded again, the view is dead and the table there."""
    shutil.copy(executed / "once.ipynb", lab.folder / "explorer-state.ipynb")
    # Only in a notebook that the user trusts are saved widgets drawn.
    notary = NotebookNotary(data_dir=str(lab.folder.parent / "data"))
    notary.sign(nbformat.read(executed / "once.ipynb", 4))
    seen = see("explorer-state.ipynb")
    for again in (False, True):
        if again:
            seen.page.reload()
        seen.page.locator(".aisdk-explorer").wait_for(state="attached", timeout=60_000)
        seen.page.wait_for_timeout(1_000)
        table = seen.page.locator(".jp-OutputArea .aisdk-rows")
        assert [table.count(), table.is_visible()] == [1, True]
        assert not seen.page.locator(".aisdk-explorer .grid").is_visible()
    seen.page.wait_for_selector(
        ".aisdk-explorer .note:has-text('Run the cell again')", timeout=40_000
    )
    seen.keep("explorer_state")
    seen.run_all()
    wait_for(seen, "number", "0")
    assert not seen.page.locator(".jp-OutputArea .aisdk-rows").is_visible()


def test_saved_explorer_shows_the_table_where_its_kernel_is_gone(show: Any, see: Open) -> None:
    """Live, the table is hidden; in the saved file, opened with a new kernel, it is there."""
    seen = show("explorer-saved", CONNECT, PUMPS)
    wait_for(seen, "rank", "1")
    table = seen.page.locator(".jp-OutputArea .aisdk-rows")
    assert [table.count(), table.is_visible()] == [1, False]
    seen.page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    seen.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = see("explorer-saved.ipynb")
    table = again.page.locator(".jp-OutputArea .aisdk-rows")
    table.wait_for(timeout=20_000)
    again.keep("explorer_saved")
    assert table.locator("tbody tr").count() == 30
    assert again.page.locator(".aisdk-explorer .grid:visible").count() == 0


def test_hostile_rows_run_nothing(run_in: Any, lab: Any) -> None:
    """Over a hundred payloads in texts, titles, sources, keys and values of metadata stay text."""
    seen = run_in(lab.write("explorer-hostile", CONNECT, HOSTILE))
    seen.page.evaluate(WATCH)
    wait_for(seen, "rank", "1")
    count = int(seen.page.locator(".grid").get_attribute("aria-rowcount")) - 1
    assert count >= 100
    rows_of(seen).first.focus()
    for _ in range(count):
        seen.page.keyboard.press("Enter")
        seen.page.locator(".aisdk-explorer .details dl").wait_for(timeout=20_000)
        seen.page.evaluate("document.querySelector('.aisdk-explorer .details').focus()")
        seen.page.keyboard.press("Escape")
        seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("Enter")
    seen.page.locator(".aisdk-explorer .document mark.chunk").wait_for(timeout=20_000)
    seen.keep("explorer_hostile")
    assert seen.page.evaluate("executed") == []
    inside = ".aisdk-explorer :is(script, img, svg, iframe, style, a, object, video, b, math, form)"
    assert seen.page.locator(inside).count() == 0
    assert "pump" in seen.page.locator(".aisdk-explorer .document").inner_text()
    assert is_quiet(seen)
