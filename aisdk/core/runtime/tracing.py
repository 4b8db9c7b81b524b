"""Spans and measurements of calls, for whatever collects them; by default nothing does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

from aisdk.core.runtime.guard import Call, Proceed
from aisdk.errors import AisdkError

__all__ = ["NoTelemetry", "Span", "Telemetry", "TraceStep", "traced"]

CALLS: Final = "aisdk.calls"
DURATION: Final = "aisdk.call.duration"
ATTEMPTS: Final = "aisdk.dependency.attempts"

Attributes: TypeAlias = Mapping[str, str | int]
T = TypeVar("T")


class Span(Protocol):
    """A piece of work that is being timed."""

    def end(self, outcome: str) -> None:
        """Notes how the work ended: ``ok``, ``cancelled``, or a stable code of the error."""
        ...


class Telemetry(Protocol):
    """What collects spans and measurements. Its methods must neither wait nor fail."""

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """A span below the current one, current itself while the block runs."""
        ...

    def count(self, name: str, attributes: Attributes) -> None:
        """Adds one to a counter."""
        ...

    def record(self, name: str, seconds: float, attributes: Attributes) -> None:
        """Adds a time to a histogram."""
        ...


class NoTelemetry:
    """Collects nothing; its own span, for a call should cost little."""

    def span(self, name: str, attributes: Attributes) -> Self:
        """Nothing around the block."""
        del name, attributes
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def end(self, outcome: str) -> None:
        """Nothing."""

    def count(self, name: str, attributes: Attributes) -> None:
        """Nothing."""

    def record(self, name: str, seconds: float, attributes: Attributes) -> None:
        """Nothing."""


_NONE: Final = NoTelemetry()
_telemetry: Final[ContextVar[Telemetry]] = ContextVar("aisdk_telemetry", default=_NONE)


class TraceStep:
    """One span a call, counted and timed by verb and outcome; not by tenant, of whom are many."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Runs the rest of the call inside its span."""
        identity = {"aisdk.tenant_id": call.tenant_id, "aisdk.request_id": call.request_id}
        started = time.perf_counter()
        token = _telemetry.set(self._telemetry)
        try:
            with self._telemetry.span(call.verb.name, identity) as span, _Ending(span) as ended:
                return await proceed(call)
        finally:
            _telemetry.reset(token)
            measured = {"aisdk.verb": call.verb.name, "aisdk.outcome": ended.outcome}
            self._telemetry.count(CALLS, measured)
            self._telemetry.record(DURATION, time.perf_counter() - started, measured)


def traced(work: Callable[[], Awaitable[T]], dependency: str) -> Callable[[], Awaitable[T]]:
    """``work`` with a span around each of its runs, which are numbered from 1.

    Args:
        work: Makes one attempt at using the dependency.
        dependency: What is called, as users know it: "embedding service".
    """
    number = 0

    async def run() -> T:
        nonlocal number
        number += 1
        telemetry = _telemetry.get()
        attributes: Attributes = {"aisdk.dependency": dependency, "aisdk.attempt": number}
        try:
            with telemetry.span(dependency, attributes) as span, _Ending(span) as ended:
                return await work()
        finally:
            measured = {"aisdk.dependency": dependency, "aisdk.outcome": ended.outcome}
            telemetry.count(ATTEMPTS, measured)

    return run


class _Ending:
    """Tells a span how its block ends."""

    __slots__ = ("_span", "outcome")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.outcome = "ok"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.outcome = _outcome(error)
        self._span.end(self.outcome)


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return error.code if isinstance(error, AisdkError) else "internal"
