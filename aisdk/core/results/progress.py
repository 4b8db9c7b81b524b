"""Progress of a long call: a protocol of three methods, with a silent and a terminal form."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

__all__ = [
    "Count",
    "Counted",
    "Progress",
    "ProgressFactory",
    "Silent",
    "TerminalProgress",
    "fitting",
    "silent",
    "terminal",
]

Count: TypeAlias = tuple[int, int, int | None]
"""Units that ended well, those that did not, and how many there are, if that is known."""


class Progress(Protocol):
    """What a long call tells about itself; may be called from any thread."""

    def advance(self, done: int = 1, *, failed: int = 0) -> None:
        """Counts ``done`` further units as finished, and ``failed`` as given up."""
        ...

    def grow(self, total: int) -> None:
        """Sets how many units are known so far."""
        ...

    def close(self) -> None:
        """Leaves the final state; nothing is shown afterwards."""
        ...


ProgressFactory: TypeAlias = Callable[[str, str, int | None], Progress]
"""Begins a progress: title, unit (a plural noun) and total, or None while it is unknown."""


class Silent:
    """Shows nothing."""

    def advance(self, done: int = 1, *, failed: int = 0) -> None:
        """Does nothing with ``done`` and ``failed``."""

    def grow(self, total: int) -> None:
        """Does nothing with ``total``."""

    def close(self) -> None:
        """Does nothing."""


class Counted:
    """Counts, and shows nothing: others ask how far it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = self._failed = 0
        self._total: int | None = None

    @property
    def count(self) -> Count:
        """How far it is."""
        with self._lock:
            return (self._done, self._failed, self._total)

    def advance(self, done: int = 1, *, failed: int = 0) -> None:
        """Counts further units."""
        with self._lock:
            self._done += done
            self._failed += failed

    def grow(self, total: int) -> None:
        """Sets how many units are known so far."""
        with self._lock:
            self._total = total

    def close(self) -> None:
        """Does nothing."""


class TerminalProgress:
    """A bar on standard error that stays there with its final state."""

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        from tqdm import tqdm

        self._failed = 0
        self._bar: Any = tqdm(total=total, desc=title, unit=f" {unit}", file=sys.stderr)

    def advance(self, done: int = 1, *, failed: int = 0) -> None:
        """Moves the bar by all units that ended, well or not."""
        if failed:
            self._failed += failed
            self._bar.set_postfix(failed=self._failed, refresh=False)
        self._bar.update(done + failed)

    def grow(self, total: int) -> None:
        """Makes the bar as long as ``total`` units."""
        self._bar.total = total
        self._bar.refresh()

    def close(self) -> None:
        """Draws the bar a last time and leaves it."""
        self._bar.close()


def silent(title: str, unit: str, total: int | None = None) -> Progress:
    """A factory that shows nothing, whatever the title, unit and total."""
    del title, unit, total
    return Silent()


def terminal(title: str, unit: str, total: int | None = None) -> Progress:
    """A factory that draws a bar when standard error is a terminal, and else shows nothing."""
    return TerminalProgress(title, unit, total) if sys.stderr.isatty() else Silent()


def fitting(title: str, unit: str, total: int | None = None) -> Progress:
    """The progress for where this runs: a notebook's output, a terminal's bar, or nothing."""
    from aisdk.notebook.progress import choose_progress

    return choose_progress()(title, unit, total)
