"""Cold start: a new process, a stopped server, an existing store, up to the first hit.

Run with ``python benchmarks/bench_start.py``. Prints medians of new processes in seconds; beside
them what the same process spends on starting Python with the drivers and the server alone.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 7
IMPORT = """
import json, time
started = time.perf_counter()
import aisdk
print(json.dumps(time.perf_counter() - started))
"""
FILL = """
import aisdk
session = aisdk.connect("acme")
texts = [f"The {word} of pump {n} was replaced." for n in range(50) for word in ("valve", "gate")]
session.documents.add(texts, progress=False)
"""
QUERY = """
import json, sys, time
started = time.perf_counter()
import aisdk
session = aisdk.connect("acme")
page = session.rag.query("which pump got a new gate?", top_k=3, mode=sys.argv[1])
assert len(page) == 3
print(json.dumps(time.perf_counter() - started))
"""


def run(code: str, home: Path, *arguments: str) -> Any:
    """What a new process prints last, as JSON; ``None`` if it prints nothing."""
    done = subprocess.run(  # noqa: S603  # this interpreter, our own scripts
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "AISDK_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def main() -> None:
    """Prints the table."""
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    try:
        run(FILL, home)
        rows = {
            "import aisdk": [run(IMPORT, home) for _ in range(ROUNDS)],
            "first hit, lexical": [run(QUERY, home, "lexical") for _ in range(ROUNDS)],
            "first hit, hybrid": [run(QUERY, home, "hybrid") for _ in range(ROUNDS)],
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for name, seconds in rows.items():
        print(f"{name:20} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
