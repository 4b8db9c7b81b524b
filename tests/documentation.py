"""Builds the documentation site as ``make site`` does, with the network out of reach."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
OFFLINE: Final = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError("the build asked the network")

sys.addaudithook(refuse)
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def built(root: Path, site: Path) -> str:
    """Builds the site of the repository at ``root``; what it complains of, if it fails."""
    flags = ("--quiet", "--fail-on-warning", "--keep-going")
    done = subprocess.run(  # noqa: S603  # this interpreter, Sphinx
        [sys.executable, "-c", OFFLINE, *flags, "-c", str(root / "docs"), str(root), str(site)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr
