"""A circuit breaker: a dependency that keeps failing is left alone for a while, then probed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Self

__all__ = ["LONGEST_OPEN_S", "Breaker", "Open", "Permit", "State"]

LONGEST_OPEN_S: Final = 60.0
BUCKETS: Final = 10  # a window is counted in so many steps
WHILE_PROBING_S: Final = 1.0  # what a caller is told to wait while another one probes

State = Literal["closed", "open", "half_open"]


class Open(Exception):
    """The dependency is left alone at the moment.

    Args:
        dependency: What would have been called.
        retry_after_s: When to ask again, in seconds.
    """

    def __init__(self, dependency: str, retry_after_s: float) -> None:
        super().__init__(f"The {dependency} is left alone after too many failures.")
        self.dependency = dependency
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Bucket:
    number: int
    calls: int = 0
    failures: int = 0


class Permit:
    """The right to make one call; the first of its three ends counts.

    As a context manager it ends as neutral where nothing else was said, so a cancelled or
    forgotten call never keeps the place of the probe.
    """

    __slots__ = ("_breaker", "_ended", "generation")

    def __init__(self, breaker: Breaker, generation: int) -> None:
        self._breaker = breaker
        self._ended = False
        self.generation: Final = generation

    def succeeded(self) -> None:
        """The dependency answered."""
        self._end(failed=False)

    def failed(self) -> None:
        """The dependency failed."""
        self._end(failed=True)

    def neutral(self) -> None:
        """The call says nothing about the dependency: it was cancelled, or not its fault."""
        self._end(failed=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.neutral()

    def _end(self, *, failed: bool | None) -> None:
        if not self._ended:
            self._ended = True
            self._breaker._settle(self, failed=failed)  # noqa: SLF001  # two halves of one thing


@dataclass(eq=False, slots=True)
class Breaker:
    """Refuses calls of one dependency after too many failures; used on one event loop.

    Closed, it lets calls through and counts them. A failure that brings the rate of failures
    within the window to ``failure_rate`` opens it. Open, it refuses all calls. When the open
    time is over it is half open: one call at a time goes through as a probe. Its success closes
    the breaker with an empty window, its failure opens it for twice as long, and a neutral
    end leaves the place to the next caller. Calls let through before the breaker opened or
    closed no longer count.

    Args:
        dependency: What is called, as users know it: "embedding service".
        window_s: How far back results count, in seconds; up to a tenth less.
        minimum: Calls in the window, at least 1, below which the breaker stays closed.
        failure_rate: The share of failures that opens it, above 0 and at most 1.
        open_s: The first open time in seconds, above 0; doubles up to 60 s until a probe succeeds.
        clock: Seconds that never go back.
    """

    dependency: str
    window_s: float = 10.0
    minimum: int = 10
    failure_rate: float = 0.5
    open_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _window: deque[_Bucket] = field(default_factory=lambda: deque(maxlen=BUCKETS), init=False)
    _generation: int = field(default=0, init=False)
    _open_for_s: float = field(default=0.0, init=False)  # the present open time, 0 while closed
    _open_until: float = field(default=0.0, init=False)
    _probe: Permit | None = field(default=None, init=False)

    @property
    def state(self) -> State:
        """What the next caller meets."""
        if not self._open_for_s:
            return "closed"
        return "open" if self.clock() < self._open_until else "half_open"

    def enter(self) -> Permit:
        """The right to make one call.

        Raises:
            Open: The dependency is left alone, or another call is probing it.
        """
        permit = Permit(self, self._generation)
        if self._open_for_s:
            self._enter_as_probe(permit)
        return permit

    def _enter_as_probe(self, permit: Permit) -> None:
        left_s = self._open_until - self.clock()
        if left_s > 0:
            raise Open(self.dependency, left_s)
        if self._probe is not None:
            raise Open(self.dependency, WHILE_PROBING_S)
        self._probe = permit

    def _settle(self, permit: Permit, *, failed: bool | None) -> None:
        if permit.generation != self._generation:
            return
        if permit is self._probe:
            self._probe = None
            self._settle_probe(failed=failed)
        elif failed is not None:
            self._count(failed=failed)

    def _settle_probe(self, *, failed: bool | None) -> None:
        if failed:
            self._open(min(2 * self._open_for_s, LONGEST_OPEN_S))
        elif failed is not None:
            self._generation += 1
            self._open_for_s = 0.0

    def _count(self, *, failed: bool) -> None:
        number = int(self.clock() * BUCKETS / self.window_s)
        while self._window and self._window[0].number <= number - BUCKETS:
            self._window.popleft()
        if not self._window or self._window[-1].number != number:
            self._window.append(_Bucket(number))
        self._window[-1].calls += 1
        self._window[-1].failures += failed
        if failed and self._fails_too_often():
            self._open(self.open_s)

    def _fails_too_often(self) -> bool:
        calls = sum(bucket.calls for bucket in self._window)
        failures = sum(bucket.failures for bucket in self._window)
        return calls >= self.minimum and failures / calls >= self.failure_rate

    def _open(self, for_s: float) -> None:
        self._generation += 1
        self._window.clear()
        self._open_for_s = for_s
        self._open_until = self.clock() + for_s
