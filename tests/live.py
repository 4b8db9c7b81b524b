"""An explorer in a bare page: its own files, its own kernel side, and no notebook between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aisdk.notebook.pane import Pane

__all__ = ["Live"]

FRAME: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Live</title>
<style>:root {%s}</style>
<script>var executed = []; alert = confirm = prompt = what => executed.push(what);</script></head>
<body><main><h1>Live</h1><div class="%s"><div id="el"></div><div>%s</div></div></main></body></html>
"""
# What anywidget gives a view. A kernel's answers go to every window, as those of a comm do.
HOST: Final = """
async ([source, style, about, windows, gone, restarted]) => {
  const state = {about, picked: []};
  const listeners = {};
  window.host = {
    gone, restarted, held: [], questions: [], state,
    fire(name, value) { for (const heard of [...(listeners[name] ?? [])]) heard(value); },
    async pass(work) {
      if (host.gone) { host.held.push(work); return; }
      const {messages, picked} = await work();
      if (picked) {  // the kernel has another selection than it was given
        state.picked = picked;
        host.fire('change:picked');
      }
      for (const message of messages) host.fire('msg:custom', message);
    },
    async back() {
      host.gone = false;
      for (const work of host.held.splice(0)) await host.pass(work);
    },
  };
  const model = {
    get: name => state[name],
    set(name, value) { state[name] = value; host.fire(`change:${name}`); },
    save_changes() { if (!host.restarted) host.pass(() => toKernel(null, state.picked)); },
    send(question) {
      if (host.restarted) throw new Error('Cannot send');  // as JupyterLab does
      host.questions.push(question);
      host.pass(() => toKernel(question, state.picked));
    },
    on(name, heard) { (listeners[name] ??= new Set()).add(heard); },
    off(name, heard) { listeners[name]?.delete(heard); },
  };
  document.head.append(Object.assign(document.createElement('style'), {textContent: style}));
  for (let n = 0; n < windows; n++) {
    const file = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
    const {default: view} = await import(file);
    const el = document.createElement('div');
    document.getElementById('el').append(el);
    view.render({model, el});
  }
}
"""


class Live:
    """An explorer that is drawn in a page.

    Attributes:
        page: The page.
        explorer: Its kernel side.
    """

    def __init__(self, page: Any, explorer: Any, **how: Any) -> None:
        """Draws it.

        Args:
            page: A fresh page.
            explorer: What ``explore()`` gave.
            how: ``gone``: nobody answers at first; ``restarted``: nothing can be sent, as after a
                restart of the kernel; ``windows``: how many show it; ``theme``: what the page says
                of colours; ``outputs``: the class of what the outputs stand in; ``change``: makes
                another source of the browser's.
        """
        self.page, self.explorer = page, explorer
        self._sent: list[Any] = []
        explorer.view.send = self._sent.append
        change: Callable[[str], str] = how.get("change", str)
        page.expose_function("toKernel", self._take)
        page.set_content(
            FRAME % (how.get("theme", ""), how.get("outputs", ""), explorer._still()["text/html"])
        )
        about, windows = explorer.view.about, how.get("windows", 1)
        source, style = change(str(explorer.view._esm)), str(explorer.view._css)
        lost = [how.get(name, False) for name in ("gone", "restarted")]
        page.evaluate(HOST, [source, style, about, windows, *lost])

    def _take(self, question: Any, picked: list[str]) -> dict[str, Any]:
        view: Pane = self.explorer.view
        self._sent.clear()
        if question is None:
            view.picked = picked
        else:
            view._handle_custom_msg(question, [])
        changed = view.picked if question is None and view.picked != picked else None
        return {"messages": list(self._sent), "picked": changed}

    def told(self, text: str) -> None:
        """Waits until the status says it."""
        self.page.wait_for_selector(f".aisdk-explorer .status:has-text('{text}')", timeout=20_000)

    @property
    def rows(self) -> Any:
        """The rows that are drawn."""
        return self.page.locator(".aisdk-explorer .body [role=row]")

    @property
    def places(self) -> list[int]:
        """Their places from 1 on, in the order of the page's elements."""
        nodes = "nodes => nodes.map(node => node.ariaRowIndex - 1)"
        found: list[int] = self.rows.evaluate_all(nodes)
        return found

    @property
    def table(self) -> Any:
        """The static table."""
        return self.page.locator(".aisdk-rows").first

    def scroll(self, row: int) -> None:
        """Scrolls to a row and waits until it is there."""
        self.page.locator(".grid").evaluate("(node, top) => { node.scrollTop = top; }", row * 28)
        self.page.wait_for_function(
            "place => [...document.querySelectorAll('.body [role=row]')]"
            ".some(row => row.ariaRowIndex == place && row.lastChild.textContent !== '…')",
            arg=row + 2,
        )

    @property
    def focused(self) -> int:
        """The place of the row that has the focus, 0 for none."""
        found = self.page.evaluate("Number(document.activeElement.ariaRowIndex ?? 1) - 1")
        return int(found)
