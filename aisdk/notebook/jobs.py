"""A job in a notebook: a display that follows it until it ends."""

from __future__ import annotations

import sys
from typing import Any

from aisdk.core.results.progress import terminal
from aisdk.notebook.progress import choose_progress

__all__ = ["show_job"]


def show_job(job: Any) -> None:
    """Shows how far a job is, live in a notebook's output; elsewhere its name.

    Args:
        job: A ``Job``.
    """
    factory = choose_progress()
    if factory is terminal:
        sys.stdout.write(f"{job!r}\n")
        return
    info = job.status()
    job.follow(factory(f"{info.verb} in the background", info.verb.partition(".")[0], info.total))
