"""A job in a notebook: a display that follows it until it ends."""

from __future__ import annotations

import sys
from typing import Any

from aisdk.core.results.progress import terminal
from aisdk.notebook.progress import choose_progress

__all__ = ["show_job"]


def show_job(job: Any) -> None:
    """Shows how far a job is: live in a notebook's output; elsewhere as it stands now.

    Args:
        job: A ``Job``.
    """
    factory = choose_progress()
    info = job.status()
    unit = info.verb.partition(".")[0]
    if factory is terminal:
        total = "" if info.total is None else f" of {info.total:,}"
        failed = f", {info.failed:,} failed" if info.failed else ""
        sys.stdout.write(f"{job!r}: {info.state}, {info.done:,}{total} {unit}{failed}\n")
        return
    # By the database's clock alone: that of this machine may be another one.
    end = info.ended_at or info.updated_at
    age_s = (end - (info.started_at or end)).total_seconds()
    job.follow(factory(f"{info.verb} in the background", unit, info.total, age_s))
