"""The usage domain: what a tenant has used, and what is left."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from aisdk.core.results.page import Rows
from aisdk.core.runtime.guard import Guard, Limits
from aisdk.core.runtime.limits import Limiter, requests_charge, tokens_charge
from aisdk.core.runtime.options import is_whole
from aisdk.core.runtime.rates import Charge
from aisdk.core.runtime.tenancy import current_standing
from aisdk.core.runtime.verb import verb
from aisdk.core.usage.recorder import Recorder
from aisdk.core.usage.store import UsageStore
from aisdk.core.usage.types import LimitInfo, UsageInfo
from aisdk.errors import InvalidInput

__all__ = ["UsageService"]

LONGEST_DAYS: Final = 366
MOST_ROWS: Final = 100_000

Limit = tuple[str, int | None, int, int | None, float | None, float | None]


@dataclass(frozen=True, slots=True)
class UsageService:
    """Usage of any tenant; every verb takes ``tenant_id`` first.

    Attributes:
        guard: The steps around every verb.
        store: Its SQL.
        limiter: Knows the rates.
        recorder: Holds what is not stored yet.
        stored: Tenant → how many documents it stores, and bytes of them.
    """

    guard: Guard
    store: UsageStore
    limiter: Limiter
    recorder: Recorder
    stored: Callable[[str], Awaitable[tuple[int, int]]]

    @verb("usage.limits", reads=True, charged=False)
    async def limits(self, tenant_id: str) -> Rows[LimitInfo]:
        """What the tenant may use, how much of it is used, and what is left.

        Args:
            tenant_id: The tenant.

        Returns:
            One row a limit: limit, most, used, left, per_minute, reset_s. Concurrent calls are
            those of this client, this one included; 0 where they have no limit.

        Example:
            >>> [row.limit for row in session.usage.limits()]
            ['read', 'write', 'tokens', 'concurrent_calls', 'documents', 'size_bytes']
        """
        standing = current_standing()
        limits = Limits() if standing is None else standing.limits
        rows = [
            await self._rate(tenant_id, "read", limits.requests_per_minute, limits),
            await self._rate(tenant_id, "write", limits.requests_per_minute, limits),
            await self._rate(tenant_id, "tokens", limits.tokens_per_minute, limits),
        ]
        running = self.limiter.running.running(tenant_id)
        rows.append(_quota("concurrent_calls", limits.concurrent_calls, running))
        documents, size_bytes = await self.stored(tenant_id)
        rows.append(_quota("documents", limits.documents, documents))
        rows.append(_quota("size_bytes", limits.size_bytes, size_bytes))
        return Rows(LimitInfo, rows)

    @verb("usage.list", reads=True, charged=False)
    async def list(self, tenant_id: str, *, days: int = 1) -> Rows[UsageInfo]:
        """What the tenant has called, by hour and verb, the newest first.

        Args:
            tenant_id: The tenant.
            days: How far back to look, 1 to 366.

        Returns:
            One row an hour and verb: hour, verb, calls, failures, tokens, duration_ms; those of
            other clients are up to ten seconds behind.

        Raises:
            InvalidInput: ``days`` is out of its range.

        Example:
            >>> frame = session.usage.list(days=7).to_frame()
        """
        if not is_whole(days, 1, LONGEST_DAYS):
            raise InvalidInput(
                f"days must be a whole number from 1 to {LONGEST_DAYS}.",
                hint="Leave it out for the default.",
            )
        await self.recorder.flush(tenant_id)
        start = datetime.now(UTC) - timedelta(days=days)
        return Rows(UsageInfo, await self.store.since(tenant_id, start, MOST_ROWS))

    async def _rate(self, tenant_id: str, name: str, rate: int | None, limits: Limits) -> Limit:
        if rate is None:
            return (name, None, 0, None, None, None)
        verdict = await self.limiter.take(tenant_id, _look(name, rate, limits))
        left = max(0, verdict.limit - verdict.used)
        reset_s = verdict.reset_s if math.isfinite(verdict.reset_s) else None
        return (name, verdict.limit, verdict.used, left, float(rate), reset_s)


def _look(name: str, rate: int, limits: Limits) -> Charge:
    if name == "tokens":
        return tokens_charge(rate, 0)
    return requests_charge(limits, reads=name == "read", cost=0)


def _quota(name: str, most: int | None, used: int) -> Limit:
    return (name, most, used, None if most is None else max(0, most - used), None, None)
