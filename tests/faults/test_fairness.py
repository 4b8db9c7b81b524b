"""A quiet tenant beside a noisy one: it hardly notices, where turns are given by weight."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from bench_fairness import Round, compare, first_come_first_served, waiting

import aisdk
from aisdk.settings import Settings

CALLS: Final = {"short": 30, "full": 300}
ROUNDS: Final = {"short": 3, "full": 9}
PERCENTILE: Final = {"short": 90, "full": 99}
CLEARLY: Final = 3.0
MOST: Final = 1.5  # times as long as alone, in the full form: on a machine with nothing else to do


@pytest.fixture
def crowded(home: Path) -> Iterator[aisdk.Client]:
    """A client with eight connections and the two tenants."""
    with aisdk.Client(Settings(home=home, embedding="none", pool_size=8)) as client:
        for tenant in ("quiet", "noisy"):
            aisdk.connect(tenant, client=client)
        yield client


def ratio(rounds: list[Round], share: float) -> float:
    """The median of the rounds: how many times as long as alone."""
    return statistics.median(each.ratio(share) for each in rounds)


def test_quiet_tenant_hardly_notices_a_noisy_one(
    crowded: aisdk.Client,
    request: pytest.FixtureRequest,
    report: Callable[[str, int, int, str], None],
) -> None:
    """By weight; the same watch sees how long it waits where the first to come is served first."""
    scale = request.config.getoption("--faults")
    calls, share = CALLS[scale], PERCENTILE[scale]
    work = waiting(crowded)
    by_weight, by_arrival = [], []
    for _ in range(ROUNDS[scale]):
        by_weight.append(crowded._portal.call(lambda: compare(work, calls)))
        with first_come_first_served(crowded):
            by_arrival.append(crowded._portal.call(lambda: compare(work, calls)))
    kept, lost = ratio(by_weight, share), ratio(by_arrival, share)
    caught = lost >= CLEARLY * kept
    report(
        "quiet tenant",
        calls * len(by_weight),
        int(not caught or (scale == "full" and kept > MOST)),
        f"p{share} beside 64 workers {kept:.2f} times as long as alone, first come first served "
        f"{lost:.1f} times; control: {'caught' if caught else 'not caught'}",
    )
    assert caught
    if scale == "full":
        assert kept <= MOST
