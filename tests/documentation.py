"""Builds the documentation site as ``make site`` does, with the network out of reach."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distributions
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


def site_of(root: Path) -> Path:
    """The site of a repository, built without a complaint; kept in ``build`` until it changes."""
    tested = root / "build" / "tested"
    kept = tested / digest(root)
    if not kept.exists():
        shutil.rmtree(tested, ignore_errors=True)  # what older sources gave
        tested.mkdir(parents=True)
        unfinished = Path(tempfile.mkdtemp(dir=tested))
        complaints = built(root, unfinished / "site")
        assert complaints == "", complaints
        unfinished.rename(kept)
    return kept / "site"


def digest(root: Path) -> str:
    """Stands for all that the site is made of: the sources, and the packages that build it."""
    made = hashlib.sha256(sys.version.encode())
    for name in sorted(f"{found.name} {found.version}" for found in distributions()):
        made.update(f"\0{name}".encode())
    for path in sorted(_sources(root)):
        text = path.read_bytes()
        made.update(f"\0{path.relative_to(root)} {len(text)}\0".encode() + text)
    return made.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    yield from root.glob("*.md")
    for folder in ("aisdk", "docs", "notebooks"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts):
                yield path
