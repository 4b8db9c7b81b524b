"""The judge of a soak: what has grown is found, and what only breathes is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from steadiness import COUNTED, Sample, judge, slope

AT_REST = Sample(0, 300, 3, 50, 20, 9, 33)


def hour(grown_mb: Callable[[float], float], seconds: int = 3_600) -> list[Sample]:
    """A sample every five seconds; memory goes up and down by a MiB beside what it grows."""
    chance = random.Random(1)  # noqa: S311  # not for secrets
    return [
        replace(AT_REST, at_s=at_s, memory_mb=300 + chance.uniform(0, 1) + grown_mb(at_s))
        for at_s in range(0, seconds, 5)
    ]


def memory_grew(samples: list[Sample]) -> bool:
    """What is said of memory."""
    return judge(AT_REST, samples, AT_REST)[0].grew


@pytest.mark.parametrize(
    ("grown_mb", "grew"),
    [
        (lambda _: 0, False),
        (lambda at_s: at_s / 30, True),
        (lambda at_s: 1.3 * at_s / 600, True),
        (lambda at_s: 0.7 * at_s / 600, False),
        (lambda at_s: 10 * (at_s // 900), True),
        (lambda at_s: 30 * min(at_s, 800) / 800, False),
        (lambda at_s: 5 * (at_s > 1_300), False),
        (lambda at_s: -at_s / 60, False),
    ],
    ids=["steady", "leak", "slow leak", "within", "stairs", "warm-up", "one step", "shrinks"],
)
def test_memory_is_judged_by_its_slope(grown_mb: Callable[[float], float], grew: bool) -> None:
    """After the warm-up, and whatever a single step does."""
    assert memory_grew(hour(grown_mb)) is grew


def test_slope_is_told_in_ten_minutes() -> None:
    """Of memory that grows by a tenth of a MiB a second."""
    samples = [replace(AT_REST, at_s=at_s, memory_mb=at_s / 10) for at_s in range(100)]
    assert slope(samples) == pytest.approx(60)


def test_short_time_says_nothing_of_memory() -> None:
    """Three minutes after the warm-up are needed."""
    leaking = hour(lambda at_s: at_s, seconds=200)
    verdict = judge(AT_REST, leaking, AT_REST)[0]
    assert (verdict.grew, verdict.detail) == (False, "not judged")
    assert memory_grew(hour(lambda at_s: at_s, seconds=300))


@pytest.mark.parametrize("name", COUNTED)
def test_count_that_stays_up_is_found(name: str) -> None:
    """One more at rest is enough; fewer are fine, and so is any number under load."""
    busy = [replace(sample, **{name: 500}) for sample in hour(lambda _: 0)]
    assert [each.measure for each in judge(AT_REST, busy, AT_REST) if each.grew] == []
    more = replace(AT_REST, **{name: getattr(AT_REST, name) + 1})
    assert [each.measure for each in judge(AT_REST, busy, more) if each.grew] == [name]
    fewer = replace(AT_REST, **{name: getattr(AT_REST, name) - 1})
    assert [each.measure for each in judge(AT_REST, busy, fewer) if each.grew] == []
