"""Builds the documentation site as ``make site`` does, with the network out of reach."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"
OFFLINE: Final = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError("the build asked the network")

sys.addaudithook(refuse)
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def built(docs: Path, site: Path) -> str:
    """Builds ``docs`` in ``site``; what it complains of, which is nothing if it succeeds."""
    flags = ("--quiet", "--fail-on-warning", "--keep-going")
    done = subprocess.run(  # noqa: S603  # this interpreter, Sphinx
        [sys.executable, "-c", OFFLINE, *flags, str(docs), str(site)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr
