"""Keeps processes that parse at work, and gathers what they have seen."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from malformed.verdict import Tally

__all__ = ["Workshop"]

WORKER: Final = Path(__file__).with_name("worker.py")
LONGEST_S: Final = 900
ALONE: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a fork wants one thread


class Workshop:
    """A process that parses, and the tally of what it was given."""

    def __init__(self, process: subprocess.Popen[str], tally: Tally) -> None:
        self._process = process
        self._tally = tally

    @classmethod
    @contextmanager
    def open(cls, tally: Tally) -> Iterator[Workshop]:
        """Starts the process, and ends it at last."""
        command = [sys.executable, "-W", "error", str(WORKER)]
        with subprocess.Popen(  # noqa: S603  # our own script
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ALONE | os.environ,
        ) as process:
            try:
                yield cls(process, tally)
            finally:
                process.kill()

    def parse(self, kind: str, count: int = 1, **wanted: Any) -> None:
        """Has a group of inputs parsed and notes what became of them."""
        answer = self._ask({"kind": kind, "count": count, **wanted})
        tally = self._tally
        tally.tried[kind] += count
        tally.accepted[kind] += answer.get("accepted", 0)
        tally.faults += answer["faults"]
        if answer.get("mb", 0.0) > tally.growth_mb:
            tally.growth_mb, tally.grew = answer["mb"], kind

    def _ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps(wanted) + "\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], LONGEST_S)
        line = stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            return {"faults": [f"{wanted['kind']}: no answer within {LONGEST_S} s"]}
        answer: dict[str, Any] = json.loads(line)
        return answer
