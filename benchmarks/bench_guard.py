"""What the guard costs a call: a verb with an empty body in all its steps, beside the bare body.

``pytest benchmarks/bench_guard.py`` times a hundred calls of each. ``python
benchmarks/bench_guard.py`` prints both side by side, with the memory of a call. The tenant is
known and limited in requests and in calls at a time; the rates are kept in this process.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aisdk
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.verb import verb
from aisdk.settings import Settings

TENANT = "acme"
LIMITS = {
    "requests_per_minute": 10**8,
    "burst": 10**8,
    "concurrent_calls": 100,
}
ROUNDS = 50
CALLS = 200
MOST_US = 150  # of the guard's own, at the median

Make = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Idle:
    """A service that does nothing."""

    guard: Guard

    @verb("bench.nothing", reads=True)
    async def nothing(self, tenant_id: str) -> None:
        """The empty body, guarded."""

    async def bare(self, tenant_id: str) -> None:
        """The same without a guard."""


def idle(client: aisdk.Client) -> Idle:
    """The service behind a client's guard, with a tenant that has limits."""
    client.start()
    client.check(TENANT)
    client._portal.call(lambda: client.tenants.update(TENANT, settings=LIMITS))
    return Idle(client._parts.guard)


@pytest.mark.parametrize("name", ["bare", "nothing"])
def test_hundred_calls(benchmark: Any, client: aisdk.Client, name: str) -> None:
    """On the client's own loop."""
    call = getattr(idle(client), name)

    async def hundred() -> None:
        for _ in range(100):
            await call(TENANT)

    benchmark(lambda: client._portal.call(hundred))
    benchmark.extra_info["per_call_us"] = benchmark.stats.stats.median * 1e6 / 100


def test_memory(client: aisdk.Client) -> None:
    """A call gives back what it took."""
    service = idle(client)
    peak, kept = client._portal.call(lambda: memory(lambda: service.nothing(TENANT)))
    assert kept < 100
    assert peak < 50_000


async def times(make: Make, count: int) -> list[float]:
    """Microseconds of each of so many calls."""
    spent = []
    for _ in range(count):
        started = time.perf_counter()
        await make()
        spent.append((time.perf_counter() - started) * 1e6)
        await asyncio.sleep(0)  # the loop tidies its timers up
    return spent


async def memory(make: Make) -> tuple[float, float]:
    """Bytes that a call takes at its peak, at the median, and that it leaves behind."""
    tracemalloc.start()
    try:
        await times(make, CALLS)
        peaks = [await _peak(make) for _ in range(CALLS)]
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(CALLS):
            await _peak(make)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return statistics.median(peaks), kept / CALLS


async def _peak(make: Make) -> int:
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    await make()
    peak = tracemalloc.get_traced_memory()[1] - before
    await asyncio.sleep(0)
    return peak


async def compare(service: Idle) -> None:
    """Prints the table, and fails where the guard costs too much."""
    sides = {
        "bare body": lambda: service.bare(TENANT),
        "in the guard": lambda: service.nothing(TENANT),
    }
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, make in sides.items():
            spent[name] += await times(make, CALLS)
    print(f"{'':14} {'p50 µs':>8} {'p90 µs':>8} {'p99 µs':>8} {'peak bytes':>11} {'kept':>6}")
    for name, make in sides.items():
        p50, p90, p99 = (np.percentile(spent[name], share) for share in (50, 90, 99))
        peak, kept = await memory(make)
        print(f"{name:14} {p50:8.1f} {p90:8.1f} {p99:8.1f} {peak:11,.0f} {kept:6.0f}")
    bare, guarded = (statistics.median(each) for each in spent.values())
    assert guarded - bare <= MOST_US, f"the guard costs {guarded - bare:.0f} µs"


def main() -> None:
    """Measures on a database of its own."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    try:
        with aisdk.Client(Settings(home=home, embedding="none")) as client:
            service = idle(client)
            client._portal.call(lambda: compare(service))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
