"""How fast MiniLM embeds, beside sentence-transformers with PyTorch on the same passages.

``pytest benchmarks/bench_embedding.py`` times one query and one batch. To compare::

    AISDK_BENCH_ST_PYTHON=/path/to/python python benchmarks/bench_embedding.py

where the other Python has sentence-transformers. Both take turns on slices of the same 1,000
passages of about 240 word pieces, so that whatever else the machine does hits both alike.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import os
import pkgutil
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from aisdk.integrations.minilm import MiniLM, find_weights

PASSAGES = int(os.environ.get("AISDK_BENCH_PASSAGES", "1000"))
SLICE = 50
WORDS = 150  # of English and code, about 240 word pieces
QUERY = "how do I parse a date?"
WORKER = """
import json, sys, time
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
model.encode(["warm"] * 4)
print("ready", flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    start = time.perf_counter()
    model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    print(time.perf_counter() - start, flush=True)
"""


def passages(count: int) -> list[str]:
    """The docstrings of the standard library, cut into passages of equally many words."""
    words = itertools.cycle([word for text in _docstrings() for word in text.split()])
    return [" ".join(itertools.islice(words, WORDS)) for _ in range(count)]


def _docstrings() -> Iterator[str]:
    package_names = ("asyncio", "collections", "concurrent.futures", "email", "http", "json")
    single_names = (
        "argparse",
        "datetime",
        "decimal",
        "inspect",
        "pathlib",
        "statistics",
        "zipfile",
    )
    for name in (*package_names, *single_names, "random", "shutil", "socket", "string", "tarfile"):
        module = import_module(name)
        inside = [
            import_module(f"{name}.{entry.name}")
            for entry in pkgutil.iter_modules(getattr(module, "__path__", []))
            if not entry.name.startswith("__") and not entry.name.startswith("windows")
        ]
        for part in (module, *inside):
            yield inspect.getdoc(part) or ""
            for _, member in inspect.getmembers(part, callable):
                yield inspect.getdoc(member) or ""


@pytest.fixture(scope="module")
def embedder() -> Iterator[MiniLM]:
    """A loaded MiniLM."""
    weights = find_weights(None)
    if weights is None:
        pytest.skip("MiniLM's weights are not on this machine")
    with tempfile.TemporaryDirectory() as home:
        yield _warmed(weights, Path(home))


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all rounds."""
    with asyncio.Runner() as opened:
        yield opened


def test_query(benchmark: Any, embedder: MiniLM, runner: asyncio.Runner) -> None:
    """One question of six words."""
    vectors = benchmark(lambda: runner.run(embedder.embed([QUERY])))
    assert vectors.shape == (1, 384)
    benchmark.extra_info["peak_rss_mb"] = _peak_mb()


def test_batch(benchmark: Any, embedder: MiniLM, runner: asyncio.Runner) -> None:
    """64 passages of about 240 word pieces."""
    texts = passages(64)
    vectors = benchmark.pedantic(lambda: runner.run(embedder.embed(texts)), rounds=3)
    assert vectors.shape == (64, 384)
    benchmark.extra_info["passages_per_s"] = round(64 / benchmark.stats.stats.median, 1)
    benchmark.extra_info["peak_rss_mb"] = _peak_mb()


def _warmed(weights: Path, home: Path, **options: Any) -> MiniLM:
    embedder = MiniLM(weights=weights, home=home, **options)
    asyncio.run(embedder.warm())
    return embedder


def _peak_mb() -> float:
    """The most memory that this process has held, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _ours(embedder: MiniLM, runner: asyncio.Runner) -> Callable[[list[str]], float]:
    def seconds(texts: list[str]) -> float:
        start = time.perf_counter()
        runner.run(embedder.embed(texts))
        return time.perf_counter() - start

    return seconds


def _theirs(worker: subprocess.Popen[str]) -> Callable[[list[str]], float]:
    def ask(texts: list[str]) -> float:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(json.dumps(texts) + "\n")
        worker.stdin.flush()
        return float(worker.stdout.readline())

    return ask


def compare(other_python: str, weights: Path) -> None:
    """Prints passages a second of each way and the ratios."""
    with (
        tempfile.TemporaryDirectory() as home,
        asyncio.Runner() as runner,
        subprocess.Popen(  # noqa: S603 - whoever runs this names the other Python
            [other_python, "-c", WORKER, str(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        ) as worker,
    ):
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
        ways = {
            "sentence-transformers": _theirs(worker),
            "fp32": _ours(_warmed(weights, Path(home)), runner),
            "int8": _ours(_warmed(weights, Path(home), precision="int8"), runner),
        }
        _print_table(_take_turns(ways, passages(PASSAGES)))


def _take_turns(
    ways: dict[str, Callable[[list[str]], float]], texts: list[str]
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for start in range(0, len(texts), SLICE):
        for name, way in ways.items():
            seconds[name].append(way(texts[start : start + SLICE]))
    return seconds


def _print_table(seconds: dict[str, list[float]]) -> None:
    base = seconds["sentence-transformers"]
    print(f"{PASSAGES} passages, {len(os.sched_getaffinity(0))} cores")
    print(f"{'':24}{'total s':>9}{'passages/s':>12}{'ratio':>8}{'median ratio of slices':>25}")
    for name, spent in seconds.items():
        ratio = sum(base) / sum(spent)
        slices = median(theirs / ours for theirs, ours in zip(base, spent, strict=True))
        print(f"{name:24}{sum(spent):9.1f}{PASSAGES / sum(spent):12.1f}{ratio:8.2f}{slices:25.2f}")


if __name__ == "__main__":
    found = find_weights(None)
    other = os.environ.get("AISDK_BENCH_ST_PYTHON")
    if found is None or other is None:
        sys.exit("Needs MiniLM's weights and AISDK_BENCH_ST_PYTHON.")
    compare(other, found)
