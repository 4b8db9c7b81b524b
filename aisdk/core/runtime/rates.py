"""How often a tenant may do what: rate limits in this process or shared through Redis.

A bucket holds what was taken of a limit and leaks at the limit's rate; what would make it
overflow is refused. Levels are counted in parts of a unit, as many as a minute has microseconds,
so a bucket of r per minute leaks r parts a microsecond and the sums are exact.

Source:
    The generic cell rate algorithm in its form as a continuous-state leaky bucket,
    ITU-T I.371, 2004, annex A.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final

__all__ = ["TAKE", "Charge", "MemoryRates", "Rate", "RedisRates", "Verdict"]

UNIT: Final = 60_000_000  # parts of one unit
LEAST: Final = 1e-6
MOST: Final = 10**8  # so many units are still counted exactly
FEWEST_SWEPT: Final = 1024

# KEYS: the bucket, which is "level time". ARGV: rate, burst and cost.
# Returns 1 or 0, then the level; as text, since numbers are cut.
TAKE: Final = """
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]) * 6e7, tonumber(ARGV[3]) * 6e7
local clock = redis.call('TIME')
local now, level = tonumber(clock[1]) * 1e6 + tonumber(clock[2]), 0
local was, since = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if was then
  now = math.max(now, tonumber(since))
  level = math.ceil(math.max(0, tonumber(was) - (now - tonumber(since)) * rate))
end
local fits = cost == 0 or level + cost <= burst
if fits and cost > 0 then
  level = level + cost
  local lives = string.format('%.0f', math.ceil(level / rate / 1e3) + 1)
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', level, now), 'PX', lives)
end
return {fits and '1' or '0', string.format('%.0f', level)}
"""
DIGEST: Final = sha1(TAKE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit.

    Attributes:
        per_minute: Units a minute in the long run, 1e-6 to 1e8.
        burst: Units that may be taken at once, 1 to 1e8.
    """

    per_minute: float
    burst: int

    def __post_init__(self) -> None:
        if not LEAST <= self.per_minute <= MOST or not 1 <= self.burst <= MOST:
            raise ValueError("A rate needs 1e-6 to 1e8 a minute and a burst of 1 to 1e8.")


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call takes of a limit.

    Attributes:
        name: Which limit.
        rate: How much of it there is.
        cost: Units to take; 0 only looks.
    """

    name: str
    rate: Rate
    cost: int

    def __post_init__(self) -> None:
        if self.cost < 0:
            raise ValueError("A charge costs 0 or more.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a charge was taken, and how it stands with its limit.

    Attributes:
        allowed: It was taken.
        charge: The limit.
        limit: Its burst.
        used: How much of the burst is taken now, 0 to ``limit``.
        retry_after_s: When the same would be allowed, in seconds; infinite for more than a burst.
        reset_s: When nothing is taken any more, in seconds.
    """

    allowed: bool
    charge: str
    limit: int
    used: int
    retry_after_s: float
    reset_s: float


class MemoryRates:
    """Limits of this process, for one event loop; a bucket that has leaked empty is forgotten.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._sweep_at = FEWEST_SWEPT

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """Takes a charge of a tenant's limit, or nothing where it does not fit."""
        now_us = round(self._clock() * 1e6)
        level = self._level(tenant_id, charge, now_us)
        allowed = _fits(charge, level)
        if allowed and charge.cost:
            level += charge.cost * UNIT
            self._keep(tenant_id, charge, _Bucket(level, now_us, charge.rate.per_minute))
        return _verdict(charge, level, allowed=allowed)

    def forget(self, tenant_id: str) -> None:
        """Lets a tenant begin anew."""
        self._buckets = {key: each for key, each in self._buckets.items() if key[0] != tenant_id}

    def _level(self, tenant_id: str, charge: Charge, now_us: int) -> int:
        bucket = self._buckets.get((tenant_id, charge.name))
        if bucket is None:
            return 0
        leaked = (now_us - bucket.at_us) * charge.rate.per_minute
        return math.ceil(max(0.0, bucket.level - leaked))

    def _keep(self, tenant_id: str, charge: Charge, bucket: _Bucket) -> None:
        self._buckets[tenant_id, charge.name] = bucket
        if len(self._buckets) >= self._sweep_at:
            now_us = bucket.at_us
            self._buckets = {k: b for k, b in self._buckets.items() if b.empty_at_us > now_us}
            self._sweep_at = max(FEWEST_SWEPT, 2 * len(self._buckets))


class RedisRates:
    """Limits shared by all processes with the same Redis or Dragonfly, by the server's clock.

    Args:
        redis: An asyncio client; its errors pass as they are.
    """

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self._knows = False  # whether the server has been given the script

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """Takes a charge of a tenant's limit, or nothing where it does not fit.

        Raises:
            redis.exceptions.RedisError: The server could not be asked; perhaps it has taken it.
        """
        key = f"tenant:{tenant_id}:limit:{charge.name}"
        numbers = (float(charge.rate.per_minute), charge.rate.burst, charge.cost)
        allowed, level = map(int, await self._run(1, key, *numbers))
        return _verdict(charge, level, allowed=bool(allowed))

    async def _run(self, *arguments: str | float) -> Any:
        from redis.exceptions import NoScriptError

        if self._knows:
            try:
                return await self._redis.evalsha(DIGEST, *arguments)
            except NoScriptError:  # it was restarted
                pass
        answer = await self._redis.eval(TAKE, *arguments)
        self._knows = True
        return answer


@dataclass(frozen=True, slots=True)
class _Bucket:
    level: int
    at_us: int
    per_minute: float

    @property
    def empty_at_us(self) -> float:
        return self.at_us + self.level / self.per_minute


def _fits(charge: Charge, level: int) -> bool:
    return charge.cost == 0 or level + charge.cost * UNIT <= charge.rate.burst * UNIT


def _verdict(charge: Charge, level: int, *, allowed: bool) -> Verdict:
    limit = charge.rate.burst
    return Verdict(
        allowed=allowed,
        charge=charge.name,
        limit=limit,
        used=min(limit, math.ceil(level / UNIT)),
        retry_after_s=0.0 if allowed else _wait_s(charge, level),
        reset_s=level / charge.rate.per_minute / 1e6,
    )


def _wait_s(charge: Charge, level: int) -> float:
    if charge.cost > charge.rate.burst:
        return math.inf
    excess = level + (charge.cost - charge.rate.burst) * UNIT
    return math.ceil(excess / charge.rate.per_minute) / 1e6
