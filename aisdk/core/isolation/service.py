"""The isolation domain: plants marks in throw-away tenants and tries to reach them as another."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import func, text

from aisdk.core.isolation.probes import Probe, probes
from aisdk.core.isolation.subjects import Subjects, Victim, plant
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.results.page import Rows
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.together import to_its_end
from aisdk.core.runtime.verb import platform_verb
from aisdk.core.storage.tables import tenants
from aisdk.core.tenants.directory import LIMITS
from aisdk.errors import AisdkError

__all__ = ["IsolationService"]

PREFIX: Final = "verify-isolation-"
OURS: Final = re.compile(rf"{PREFIX}[0-9a-f]{{12}}(-b)?")
PLANTED: Final = 3  # documents of one of our tenants, at most
LEFT: Final = text("interval '1 hour'")  # a run takes seconds
NO_LIMITS: Final = {name: None for name in LIMITS if name != "weight"}


@dataclass(frozen=True, slots=True)
class IsolationService:
    """Probes of a client's walls.

    Attributes:
        guard: The steps around every verb of the platform.
        register: The tenants service.
        subjects: What is probed.
        log: Where it is told what could not be removed.
    """

    guard: Guard
    register: Any
    subjects: Subjects
    log: structlog.stdlib.BoundLogger

    @platform_verb("isolation.verify", reads=True, bulk=True)
    async def verify(self) -> Rows[ProbeResult]:
        """Tries every way to reach one tenant's data as another, on this very installation.

        Two throw-away tenants are made for it and erased afterwards, however it ends; those of a
        run that was killed are erased by the next one, an hour later. Each probe is also made as
        the tenant whose data it is after: a probe that does not find them then proves nothing, and
        is reported as not passed.

        Returns:
            One row a probe, what has not passed first: probe, tried, leaked, control, passed,
            milliseconds, error.

        Raises:
            ConfigError: This client may not register tenants.

        Example:
            >>> all(probe.passed for probe in await client.verify_isolation())
            True
        """
        await self._erase(await self._left_behind())
        async with self._throw_away() as (attacker, owner):
            await plant(self.subjects, attacker)
            victim = await plant(self.subjects, owner)
            results = [
                await _probed(name, probe, attacker, victim)
                for name, probe in probes(self.subjects)
            ]
        results.sort(key=lambda result: result.passed)
        return Rows(ProbeResult, [_record(result) for result in results])

    @asynccontextmanager
    async def _throw_away(self) -> AsyncIterator[tuple[str, str]]:
        """Two tenants for the block, the second one's name beginning with the first one's."""
        name = PREFIX + secrets.token_hex(6)
        names = (name, f"{name}-b")
        tier = (await self.register.tiers())[0].tier
        try:
            for each in names:
                await self.register.create(each, tier=tier, settings=NO_LIMITS)
            yield names
        finally:
            await to_its_end(self._erase(names))

    async def _erase(self, names: Iterable[str]) -> None:
        """Removes tenants past the guard, which lets nobody in while the client closes."""
        for name in names:
            try:
                await self.register.store.erase(name)
                await self.register.traces.erase(name)
                self.register.traces.forget(name)
            except AisdkError as error:
                self.log.warning("isolation.left_behind", tenant_id=name, error=error.code)

    async def _left_behind(self) -> list[str]:
        """Our tenants that runs which were killed have left."""
        query = self.register.store.listing().where(
            tenants.c.tenant_id.startswith(PREFIX), tenants.c.created_at < func.now() - LEFT
        )
        rows = await self.register.store.page(query)
        return [row.tenant_id for row in rows if OURS.fullmatch(row.tenant_id) and _is_ours(row)]


def _is_ours(row: Any) -> bool:
    """Whether a tenant of such a name holds no more than we plant."""
    return bool(row[4] <= PLANTED)


async def _probed(name: str, probe: Probe, attacker: str, victim: Victim) -> ProbeResult:
    started = time.perf_counter()
    tried = leaked = aimed = found = 0
    code = None
    try:
        tried, leaked = await probe(attacker, victim)
        aimed, found = await probe(victim.tenant_id, victim)
    except Exception as error:  # noqa: BLE001  # one probe's failure is told and the others go on
        code = error.code if isinstance(error, AisdkError) else type(error).__name__
    caught = 0 < aimed == found
    spent = round((time.perf_counter() - started) * 1000, 3)
    control = "caught" if caught else "missed"
    return ProbeResult(name, tried, leaked, control, caught and not leaked, spent, code)


def _record(result: ProbeResult) -> tuple[Any, ...]:
    return tuple(getattr(result, name) for name in ProbeResult.__slots__)
