"""The soak itself, for some seconds: it runs, and finds what leaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

SCRIPT: Final = Path(__file__).with_name("soak.py")
MINUTES: Final = 0.05


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    """What the script prints and ends with."""
    return subprocess.run(  # noqa: S603  # this interpreter, our own script
        [sys.executable, str(SCRIPT), "--minutes", f"{MINUTES}", *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )


def measures(printed: str, ending: str) -> set[str]:
    """Of which measures the last lines say so."""
    return {line.split()[0] for line in printed.splitlines() if line.endswith(ending)}


def test_soak_finds_a_leak() -> None:
    """The control: tasks that are kept; some seconds say nothing of the rest."""
    done = soak("--leak")
    assert done.returncode == 1, done.stderr
    assert "tasks" in measures(done.stdout, " GREW")
    assert "threads" in measures(done.stdout, " kept")


def test_soak_passes_what_keeps_its_size(request: pytest.FixtureRequest) -> None:
    """In the long form only."""
    if request.config.getoption("--faults") == "short":
        pytest.skip("make soak does the same for an hour")
    done = soak()
    assert done.returncode == 0, done.stdout + done.stderr
    assert measures(done.stdout, " GREW") == set()
