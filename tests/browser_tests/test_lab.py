"""The notebooks as people see them: run, displayed, interrupted, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Open = Callable[[str], Any]  # a notebook's name → a notebook in the browser

HOSTILE: Final = """
from aisdk import Document
evil = [
    "<script>window.__ran = 1</script> pump",
    "<img src=x onerror='window.__ran = 2'> pump",
    "<a href='javascript:window.__ran=3'>pump</a>",
    "<svg onload='window.__ran = 4'></svg> pump",
    "<style>body {display: none}</style> pump $x^2$ pump",
]
session.documents.add(
    [Document(t, source=t, title=t, metadata={"tag": t}) for t in evil], progress=False
)
"""
CONNECT: Final = """
%load_ext aisdk
import os
os.environ["AISDK_EMBEDDING"] = "none"
import aisdk
session = aisdk.connect("browser")
"""
CONTRAST: Final = """
(theme) => {
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(
      v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const behind = node => {
    for (let n = node; n; n = n.parentElement) {
      const c = numbers(getComputedStyle(n).backgroundColor);
      if (c.length === 3 || c[3] > 0.5) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const where = '.jp-OutputArea .aisdk-rows td, .jp-OutputArea .aisdk-rows th';
  const cells = [...document.querySelectorAll(where)];
  return cells.map(cell => {
    const ink = light(numbers(getComputedStyle(cell).color).slice(0, 3));
    const paper = light(behind(cell));
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
}
"""


def test_hits_are_a_table_that_can_be_read_in_both_themes(see: Open, lab: Any) -> None:
    """Rows, a caption, column headers, and a contrast of at least 4.5 to 1."""
    hits = "session.documents.add(['the red pump', 'the pump house'], progress=False)"
    seen = see(lab.write("themes", CONNECT, hits, "session.rag.query('pumps')"))
    seen.run_all()
    table = seen.page.locator(".jp-OutputArea .aisdk-rows table").last
    assert table.locator("tbody tr").count() == 2
    assert table.locator("thead th[scope='col']").count() > 3
    assert table.locator("caption").count() == 1
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        seen.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        seen.page.wait_for_timeout(1_500)
        seen.keep(theme.lower().replace(" ", "_"))
        contrasts = seen.page.evaluate(CONTRAST, theme)
        assert len(contrasts) > 10
        assert min(contrasts) >= 4.5


def test_hostile_documents_run_nothing(see: Open, lab: Any) -> None:
    """Scripts, handlers and styles in texts, titles, sources and metadata stay text."""
    seen = see(
        lab.write(
            "hostile", CONNECT, HOSTILE, "session.rag.query('pump')", "session.documents.list()"
        )
    )
    seen.run_all()
    seen.keep("hostile")
    assert seen.page.evaluate("window.__ran") is None
    assert "window.__ran = 1" in seen.page.locator(".jp-OutputArea").all_inner_texts().__str__()
    assert seen.page.evaluate("getComputedStyle(document.body).display") != "none"
    assert seen.cell_errors() == []


def test_page_that_does_wrong_is_noticed(see: Open, lab: Any) -> None:
    """The control: a script that runs and a request that leaves are seen."""
    wrong = """
from IPython.display import HTML
HTML("<script>window.__ran = 1; fetch('http://127.0.0.2:9/away').catch(() => 0)</script>")
"""
    seen = see(lab.write("wrong", wrong, "1 / 0"))
    seen.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    error = seen.wait_for_error(60)
    seen.page.wait_for_function("window.__ran === 1")
    assert seen.strangers() == ["http://127.0.0.2:9/away"]
    assert "ZeroDivisionError" in error


def test_error_is_short_and_names_the_way_out(see: Open, lab: Any) -> None:
    """Four lines with the hint, and not a screenful of frames."""
    seen = see(lab.write("error", CONNECT, "session.rag.query('x', top_k=0)"))
    seen.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    shown = seen.wait_for_error(60)
    seen.keep("error")
    assert "top_k must be a whole number" in shown
    assert len([line for line in shown.splitlines() if line.strip()]) <= 6
