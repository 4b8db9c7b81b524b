"""The values of the usage domain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aisdk.core.results.record import Shown

__all__ = ["LimitInfo", "UsageInfo"]


@dataclass(frozen=True, slots=True)
class LimitInfo(Shown):
    """A row of ``usage.limits``.

    Attributes:
        limit: What is limited: ``read`` and ``write`` requests, ``tokens``, ``concurrent_calls``,
            ``documents``, ``size_bytes``.
        most: How much the tenant may use, at once or in all; ``None`` is no limit.
        used: How much of it is used now.
        left: What is left now; ``None`` where there is no limit.
        per_minute: How much comes back each minute; ``None`` where nothing comes back by itself.
        reset_s: Until nothing is used any more, in seconds; ``None`` likewise.
    """

    limit: str
    most: int | None
    used: int
    left: int | None
    per_minute: float | None
    reset_s: float | None


@dataclass(frozen=True, slots=True)
class UsageInfo(Shown):
    """A row of ``usage.list``: one verb in one hour.

    Attributes:
        hour: When the hour began, in UTC.
        verb: What was called, such as ``rag.query``.
        calls: How often.
        failures: How many of these calls ended with an error.
        tokens: Tokens that models were asked for, about.
        duration_ms: Time spent in all these calls, in milliseconds.
    """

    hour: datetime
    verb: str
    calls: int
    failures: int
    tokens: int
    duration_ms: float
