"""Judges whether a process that worked for long has kept its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

MOST_MB: Final = 1.0  # more memory in ten minutes than this is a leak
TEN_MINUTES_S: Final = 600.0
LONGEST_WARM_UP_S: Final = 900.0
SHORTEST_S: Final = 180.0  # a shorter time after the warm-up tells nothing about memory
COUNTED: Final = ("tasks", "descriptors", "threads", "connections", "cache_connections")


@dataclass(frozen=True)
class Sample:
    """What a process held at a moment.

    Attributes:
        at_s: The moment, in seconds since the load began.
        memory_mb: Resident memory in MiB, without files: the system takes those out as it likes.
        tasks: Tasks on the client's loop.
        descriptors: Open files and sockets.
        threads: Threads.
        connections: Connections to the database.
        cache_connections: Connections to the shared cache.
    """

    at_s: float
    memory_mb: float
    tasks: int
    descriptors: int
    threads: int
    connections: int
    cache_connections: int


@dataclass(frozen=True)
class Verdict:
    """What is said of one measure.

    Attributes:
        measure: What was measured.
        start: At rest, before the load.
        end: At rest, after it.
        grew: Whether it has grown.
        detail: The figures in words.
    """

    measure: str
    start: float
    end: float
    grew: bool
    detail: str


def judge(start: Sample, under_load: Sequence[Sample], end: Sample) -> list[Verdict]:
    """Memory by its slope under load, everything else by its count at rest.

    The first quarter of the load, at most 15 minutes, is warm-up and does not count. What follows
    is too short to judge memory below three minutes.

    Args:
        start: At rest, when everything had been used once.
        under_load: In the order taken.
        end: At rest again.
    """
    return [_of_memory(start, under_load, end), *(_of_count(name, start, end) for name in COUNTED)]


def slope(samples: Sequence[Sample]) -> float:
    """By how much memory grows in ten minutes, in MiB: the median slope of all pairs of samples.

    Source:
        Sen: Estimates of the regression coefficient based on Kendall's tau. Journal of the
        American Statistical Association, 1968. A single step near either end hardly moves it.
    """
    times = np.array([sample.at_s for sample in samples])
    sizes = np.array([sample.memory_mb for sample in samples])
    first, second = np.triu_indices(len(samples), k=1)
    slopes = (sizes[second] - sizes[first]) / (times[second] - times[first])
    return float(np.median(slopes)) * TEN_MINUTES_S


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples after the warm-up."""
    begins_s = min(LONGEST_WARM_UP_S, samples[-1].at_s / 4)
    return [sample for sample in samples if sample.at_s >= begins_s]


def _of_memory(start: Sample, under_load: Sequence[Sample], end: Sample) -> Verdict:
    counted = settled(under_load)
    if counted[-1].at_s - counted[0].at_s < SHORTEST_S:
        return Verdict("memory", start.memory_mb, end.memory_mb, grew=False, detail="not judged")
    growth = slope(counted)
    detail = f"{growth:+.2f} MB in 10 minutes"
    return Verdict("memory", start.memory_mb, end.memory_mb, growth >= MOST_MB, detail)


def _of_count(name: str, start: Sample, end: Sample) -> Verdict:
    before, after = getattr(start, name), getattr(end, name)
    return Verdict(name, before, after, after > before, f"{before} → {after}")
