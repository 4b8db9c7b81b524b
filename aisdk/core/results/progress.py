"""Progress of a long call: a protocol of three methods, with a silent and a terminal form."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias, TypeVar

__all__ = [
    "Count",
    "Counted",
    "Later",
    "Progress",
    "ProgressFactory",
    "Silent",
    "TerminalProgress",
    "fitting",
    "silent",
    "stoppable",
    "terminal",
    "way_on",
]

SOON_S: Final = 0.5

way_on: Final[ContextVar[Callable[[], str] | None]] = ContextVar("aisdk_way_on", default=None)
"""Tells, of an interrupted call, what is done and how to go on. May be asked from any thread."""

Count: TypeAlias = tuple[int, int, int, int | None]
"""Units that ended well, those that did not, chunks, and how many units there are, if known."""


class Progress(Protocol):
    """What a long call tells about itself; may be called from any thread."""

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts ``done`` further units as finished, ``failed`` as given up, and their chunks."""
        ...

    def grow(self, total: int) -> None:
        """Sets how many units there are, which is known by now."""
        ...

    def close(self, note: str = "") -> None:
        """Leaves the final state, with a note; nothing is shown afterwards."""
        ...


ProgressFactory: TypeAlias = Callable[[str, str, int | None], Progress]
"""Begins a progress: title, unit (a plural noun) and total, or None while it is unknown."""


P = TypeVar("P", bound=Progress)


@contextmanager
def stoppable(progress: P, done: Callable[[], str], go_on: str) -> Iterator[P]:
    """Closes a progress at the end of the block, and has it say how to go on after an error.

    An interrupt says the same, and what is done.

    Args:
        progress: What is shown.
        done: Tells how far it is, such as ``3 documents are stored``; asked from any thread.
        go_on: What to do, such as ``add again to go on``.
    """
    before = way_on.get()
    way_on.set(lambda: f"Stopped: {done()}; {go_on}.")
    try:
        yield progress
    except BaseException:  # way_on stays: it is asked when all has ended
        progress.close(f"stopped: {go_on}")
        raise
    progress.close()
    way_on.set(before)


class Silent:
    """Shows nothing."""

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Does nothing with ``done``, ``failed`` and ``chunks``."""

    def grow(self, total: int) -> None:
        """Does nothing with ``total``."""

    def close(self, note: str = "") -> None:
        """Does nothing with ``note``."""


class Counted:
    """Counts, and shows nothing: others ask how far it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = self._failed = self._chunks = 0
        self._total: int | None = None

    @property
    def count(self) -> Count:
        """How far it is."""
        with self._lock:
            return (self._done, self._failed, self._chunks, self._total)

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts further units and their chunks."""
        with self._lock:
            self._done += done
            self._failed += failed
            self._chunks += chunks

    def grow(self, total: int) -> None:
        """Sets how many units there are, which is known by now."""
        with self._lock:
            self._total = total

    def close(self, note: str = "") -> None:
        """Does nothing with ``note``."""


class Later:
    """Shows nothing unless it takes longer than half a second, and then all there is so far.

    Args:
        make: Begins what is shown, given how many seconds ago the work began.
    """

    def __init__(self, make: Callable[[float], Progress]) -> None:
        self._make = make
        self._begun = monotonic()
        self._shown: Progress | None = None
        self._failed = 0
        self.done = 0

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts further units."""
        self.done += done
        self._failed += failed
        age_s = monotonic() - self._begun
        if self._shown is not None:
            self._shown.advance(done, failed=failed, chunks=chunks)
        elif age_s >= SOON_S:
            self._shown = self._make(age_s)
            self._shown.advance(self.done, failed=self._failed)

    def grow(self, total: int) -> None:
        """Sets how many units there are, which is known by now."""
        if self._shown is not None:
            self._shown.grow(total)

    def close(self, note: str = "") -> None:
        """Leaves the final state of what is shown."""
        if self._shown is not None:
            self._shown.close(note)


class TerminalProgress:
    """A bar on standard error that stays there with its final state.

    Args:
        title: What is done.
        unit: What is counted, a plural noun.
        total: How many there are, if known.
        age_s: How long ago the work began, in seconds.
    """

    def __init__(self, title: str, unit: str, total: int | None = None, age_s: float = 0.0) -> None:
        from tqdm import tqdm

        self._failed = self._chunks = 0
        self._bar: Any = tqdm(total=total, desc=title, unit=f" {unit}", file=sys.stderr)
        self._bar.start_t -= age_s

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Moves the bar by all units that ended, well or not."""
        self._failed += failed
        self._chunks += chunks
        counts = {"chunks": self._chunks, "failed": self._failed}
        self._bar.set_postfix({name: n for name, n in counts.items() if n}, refresh=False)
        self._bar.update(done + failed)

    def grow(self, total: int) -> None:
        """Makes the bar as long as ``total`` units."""
        self._bar.total = total
        self._bar.refresh()

    def close(self, note: str = "") -> None:
        """Draws the bar a last time and leaves it."""
        if note:
            self._bar.set_postfix_str(note)
        self._bar.close()


def silent(title: str, unit: str, total: int | None = None, age_s: float = 0.0) -> Progress:
    """A factory that shows nothing, whatever the title, unit, total and age."""
    del title, unit, total, age_s
    return Silent()


def terminal(title: str, unit: str, total: int | None = None, age_s: float = 0.0) -> Progress:
    """A factory that draws a bar when standard error is a terminal, and else shows nothing."""
    return TerminalProgress(title, unit, total, age_s) if sys.stderr.isatty() else Silent()


def fitting(title: str, unit: str, total: int | None = None, age_s: float = 0.0) -> Progress:
    """The progress for where this runs: a notebook's output, a terminal's bar, or nothing."""
    from aisdk.notebook.progress import choose_progress

    return choose_progress()(title, unit, total, age_s)
