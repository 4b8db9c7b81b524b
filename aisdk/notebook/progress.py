"""Progress in a notebook: one output, updated in place, that is saved in its final state."""

from __future__ import annotations

import sys
import threading
from html import escape
from time import monotonic
from typing import Any

from aisdk.core.results.progress import ProgressFactory, terminal
from aisdk.core.results.text import clean_text

__all__ = ["DisplayProgress", "choose_progress"]

_EVERY_S = 0.1  # ten updates a second are all that an eye or a saved file needs


class DisplayProgress:
    """Shows what is done, failed and how fast, as HTML and as plain text.

    Every method may be called from any thread. The output begins in the cell that is running.
    """

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        import IPython.display

        display: Any = IPython.display.display
        self._title, self._unit, self._total = title, unit, total
        self._done = self._failed = 0
        self._started = self._shown = monotonic()
        self._closed = False
        self._lock = threading.Lock()
        self._handle: Any = display(self._bundle(), raw=True, display_id=True)

    def advance(self, done: int = 1, *, failed: int = 0) -> None:
        """Counts further units; shows them when the last update is a tenth of a second ago."""
        with self._lock:
            self._done += done
            self._failed += failed
            self._show()

    def grow(self, total: int) -> None:
        """Sets how many units are known so far."""
        with self._lock:
            self._total = total
            self._show()

    def close(self) -> None:
        """Shows the final state; later calls change nothing."""
        with self._lock:
            if not self._closed:
                self._show(now=True)
                self._closed = True

    def _show(self, *, now: bool = False) -> None:
        moment = monotonic()
        if self._closed or not (now or moment - self._shown >= _EVERY_S):
            return
        self._shown = moment
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        text = self._text()
        bar = ""
        if self._total:
            value = min(self._done + self._failed, self._total)
            bar = f' <progress max="{self._total}" value="{value}"></progress>'
        return {"text/plain": text, "text/html": f"<label>{escape(text)}{bar}</label>"}

    def _text(self) -> str:
        seconds = monotonic() - self._started
        count = f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,}"
        failed = f", {self._failed:,} failed" if self._failed else ""
        rate = f", {self._done / seconds:,.0f} {self._unit}/s" if seconds > _EVERY_S else ""
        return clean_text(f"{self._title}: {count} {self._unit}{failed}, {seconds:.1f} s{rate}")


def choose_progress() -> ProgressFactory:
    """The progress for where this runs: a notebook's output, a terminal's bar, or else nothing.

    It does not import IPython: where a kernel runs, that has happened long ago.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return DisplayProgress if hasattr(shell, "kernel") else terminal
