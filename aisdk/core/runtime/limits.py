"""May this tenant call now? Rates of requests and tokens, and calls at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from aisdk.core.runtime.admission import Admission, QueueFull
from aisdk.core.runtime.deadline import current_scope, remaining_s
from aisdk.core.runtime.dependency import Dependency
from aisdk.core.runtime.guard import Call, Limits, Proceed
from aisdk.core.runtime.rates import Charge, Rate, Verdict
from aisdk.core.runtime.tenancy import current_standing
from aisdk.errors import Busy, DependencyError, RateLimited

__all__ = [
    "LimitStep",
    "Limiter",
    "Rates",
    "requests_charge",
    "tokens_charge",
    "tokens_of",
]

CHARACTERS_A_TOKEN: Final = 4
NO_CAP: Final = 1_000_000


class Rates(Protocol):
    """Where it is kept how much each tenant has used of late."""

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """Takes a charge, or nothing."""
        ...


class Limiter:
    """Charges tenants for what they ask.

    Where the shared store of rates cannot be reached, each client limits by itself.

    Args:
        rates: Where the use is kept.
        fallback: Where it is kept while ``rates`` cannot be reached.
        service: Leaves a failing store alone for a while.
        log: Where failures are told.
        record: Told the tenant, the verb and the tokens it asks models for.

    Attributes:
        running: The calls of limited tenants that run.
    """

    def __init__(
        self,
        rates: Rates,
        fallback: Rates,
        service: Dependency,
        log: structlog.stdlib.BoundLogger,
        record: Callable[[str, str, int], None],
    ) -> None:
        self.running = Admission(slots=NO_CAP)
        self._record = record
        self._rates = rates
        self._fallback = fallback
        self._service = service
        self._log = log

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """Takes a charge, or nothing where it does not fit.

        Raises:
            Busy: Too many calls at once ask for it.
        """
        if self._rates is self._fallback:
            return await self._fallback.take(tenant_id, charge)
        try:
            return await self._service.call(lambda: self._rates.take(tenant_id, charge))
        except Busy:
            raise
        except DependencyError as error:
            self._log.warning("limits.unavailable", error=error.code)
            return await self._fallback.take(tenant_id, charge)

    async def charge(self, call: Call, limits: Limits) -> None:
        """Takes a request of its tenant's.

        Raises:
            RateLimited: It has used up what it may use.
        """
        if limits.requests_per_minute is None:
            return
        charge = requests_charge(limits, reads=call.verb.reads, cost=1)
        verdict = await self.take(call.tenant_id, charge)
        if not verdict.allowed:
            raise refusal(verdict)

    async def spend(self, tenant_id: str, tokens: int) -> None:
        """Takes so many tokens that a model is asked for.

        A call that works through a corpus waits for them, and may take them in pieces.

        Raises:
            RateLimited: There are not so many left, or they would come later than the call ends.
        """
        standing, scope = current_standing(), current_scope()
        rate = None if standing is None else standing.limits.tokens_per_minute
        waits = scope is None or scope.bulk
        left = 0 if rate is None else tokens
        while rate is not None and left > 0:
            piece = min(left, rate) if waits else left
            verdict = await self.take(tenant_id, tokens_charge(rate, piece))
            if verdict.allowed:
                left -= piece
                continue
            left_s = remaining_s()
            if not waits or (left_s is not None and verdict.retry_after_s > left_s):
                raise refusal(verdict)
            await asyncio.sleep(verdict.retry_after_s)
        if scope is not None:
            self._record(tenant_id, scope.verb, tokens)


class LimitStep:
    """Refuses calls beyond the tenant's rates and lets only so many of them run at a time.

    Args:
        limiter: Charges for requests and tokens.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Goes on when it is the tenant's turn."""
        limits = call.standing.limits if call.standing else Limits()
        if call.verb.charged:
            await self._limiter.charge(call, limits)
        if limits.concurrent_calls is None:
            return await proceed(call)
        try:
            async with self._limiter.running.enter(
                call.tenant_id, limits.weight, limits.concurrent_calls
            ):
                return await proceed(call)
        except QueueFull:
            raise Busy(
                "Too many calls of this tenant are waiting.",
                hint="Send less at once, or ask for a larger tier.",
            ) from None


def requests_charge(limits: Limits, *, reads: bool, cost: int) -> Charge:
    """The charge for calls that read, or that write."""
    rate = limits.requests_per_minute or 0
    return Charge("read" if reads else "write", Rate(rate, limits.burst or rate), cost)


def tokens_charge(rate: int, tokens: int) -> Charge:
    """The charge for tokens that a model is asked for."""
    return Charge("tokens", Rate(rate, rate), tokens)


def refusal(verdict: Verdict) -> RateLimited:
    """The error for a verdict that does not allow the call."""
    what = "tokens" if verdict.charge == "tokens" else f"{verdict.charge} requests"
    hint = f"Try again in {verdict.retry_after_s:.1f} s, or ask for a larger tier."
    if math.isinf(verdict.retry_after_s):
        hint = "This call alone is more than that: ask for less at a time, or for a larger tier."
    return RateLimited(
        f"The tenant has used {verdict.used:,} of {verdict.limit:,} {what}.",
        hint=hint,
        limit=verdict.limit,
        used=verdict.used,
        wait_s=(verdict.retry_after_s, verdict.reset_s),
    )


def tokens_of(text: Any) -> int:
    """About how many tokens a text has: one for every four characters, at least one.

    Source: the rule of thumb of model providers for English text; their bills may differ.
    """
    return 1 + len(text) // CHARACTERS_A_TOKEN if isinstance(text, str) else 0
