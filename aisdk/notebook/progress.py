"""Progress in a notebook: one output, updated in place, that is saved in its final state."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from html import escape
from time import monotonic
from typing import Any

from aisdk.core.results.progress import Progress, terminal
from aisdk.core.results.text import clean_text, counted

__all__ = ["DisplayProgress", "choose_progress", "has_kernel"]

_EVERY_S = 0.1  # ten updates a second are all that an eye or a saved file needs
_SURE_S = 2.0  # before, the time left is a guess
_STYLE = "font-variant-numeric:tabular-nums"  # digits of one width: the text does not tremble
# A bar is drawn by the browser in the colours of the system, which the notebook's may not be.
_SCHEME = (
    "<style>.aisdk-bar progress{color-scheme:light dark}"
    ":is([data-jp-theme-light=true],.vscode-light) .aisdk-bar progress{color-scheme:light}"
    ":is([data-jp-theme-light=false],.vscode-dark,.vscode-high-contrast:not(.vscode-light))"
    " .aisdk-bar progress{color-scheme:dark}</style>"
)


class DisplayProgress:
    """Shows what is done, failed and how fast, as HTML and as plain text.

    Every method may be called from any thread. The output begins in the cell that is running.

    Args:
        title: What is done.
        unit: What is counted, a plural noun.
        total: How many there are, if known.
        age_s: How long ago the work began, in seconds.
    """

    def __init__(self, title: str, unit: str, total: int | None = None, age_s: float = 0.0) -> None:
        import IPython.display

        display: Any = IPython.display.display
        self._title, self._unit, self._total = title, unit, total
        self._done = self._failed = self._chunks = 0
        self._note = ""
        self._shown = monotonic()
        self._started = self._shown - age_s
        self._closed = False
        self._lock = threading.Lock()
        self._handle: Any = display(self._bundle(), raw=True, display_id=True)

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts further units; shows them when the last update is a tenth of a second ago."""
        with self._lock:
            self._done += done
            self._failed += failed
            self._chunks += chunks
            self._show()

    def grow(self, total: int) -> None:
        """Sets how many units there are, which is known by now."""
        with self._lock:
            self._total = total
            self._show()

    def close(self, note: str = "") -> None:
        """Shows the final state; later calls change nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._note = note
                self._handle.update(self._bundle(), raw=True)

    def _show(self) -> None:
        moment = monotonic()
        if not self._closed and moment - self._shown >= _EVERY_S:
            self._shown = moment
            self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        text, bar = self._text(), self._bar()
        return {
            "text/plain": text,
            # The bar stands first, so that it does not move when the text grows. In Markdown, all
            # behind a style is HTML, up to the end of the line.
            "text/html": f'{_SCHEME}<label class="aisdk-bar" style="{_STYLE}">'
            f"{bar}{escape(text)}</label>",
        }

    def _bar(self) -> str:
        if self._total:
            value = min(self._done + self._failed, self._total)
            return f'<progress max="{self._total}" value="{value}"></progress> '
        return "" if self._closed else "<progress></progress> "

    def _text(self) -> str:
        seconds = monotonic() - self._started
        count = f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,}"
        chunks = f", {counted(self._chunks, 'chunk')}" if self._chunks else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        rate = f", {_rate(self._done / seconds)} {self._unit}/s" if seconds > _EVERY_S else ""
        spent = _duration(seconds)
        end = f"; {self._note}" if self._note else self._left(seconds)
        text = f"{self._title}: {count} {self._unit}{chunks}{failed}, {spent}{rate}{end}"
        return clean_text(text).replace("\n", " ")

    def _left(self, seconds: float) -> str:
        ended = self._done + self._failed
        if self._closed or not (self._total and ended) or seconds < _SURE_S:
            return ""
        left = seconds / ended * (self._total - ended)
        return f", about {_duration(left, digits=0)} left" if left >= 1 else ""


def _rate(each_second: float) -> str:
    return f"{each_second:,.0f}" if each_second >= 10 else f"{each_second:.1f}"


def _duration(seconds: float, digits: int = 1) -> str:
    """Such as ``1.7 s``, ``2 min 41 s`` or ``1 h 5 min``; digits are of less than a minute."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.{digits}f} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def choose_progress() -> Callable[[str, str, int | None, float], Progress]:
    """The progress for where this runs: a notebook's output, a terminal's bar, or else nothing."""
    return DisplayProgress if has_kernel() else terminal


def has_kernel() -> bool:
    """Whether this runs in a kernel, whose outputs are more than text.

    It does not import IPython: where a kernel runs, that has happened long ago.
    """
    ipython: Any = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython else None, "kernel")
