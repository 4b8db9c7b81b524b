"""The isolation domain: plants marks in throw-away tenants and tries to reach them as another."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aisdk.core.isolation.probes import Probe, Subjects, Victim, plant, probes
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.results.page import Rows
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.verb import platform_verb
from aisdk.errors import AisdkError

__all__ = ["IsolationService"]


@dataclass(frozen=True, slots=True)
class IsolationService:
    """Probes of a client's walls.

    Attributes:
        guard: The steps around every verb of the platform.
        register: The tenants service.
        subjects: What is probed.
    """

    guard: Guard
    register: Any
    subjects: Subjects

    @platform_verb("isolation.verify", reads=False, bulk=True)
    async def verify(self) -> Rows[ProbeResult]:
        """Tries every way to reach one tenant's data as another, on this very installation.

        Two throw-away tenants are made for it and erased afterwards. Each probe is also made as
        the tenant whose data it is after: a probe that does not find them then proves nothing, and
        is reported as not passed.

        Returns:
            One row a probe: probe, tried, leaked, control, passed, milliseconds.

        Raises:
            ConfigError: This client may not register tenants.

        Example:
            >>> session.verify_isolation().to_frame()["passed"].all()  # doctest: +SKIP
        """
        async with self._throw_away() as attacker, self._throw_away() as owner:
            await plant(self.subjects, attacker, _mark())
            victim = await plant(self.subjects, owner, _mark())
            rows = [
                await _probed(name, probe, attacker, victim)
                for name, probe in probes(self.subjects)
            ]
        return Rows(ProbeResult, rows)

    @asynccontextmanager
    async def _throw_away(self) -> AsyncIterator[str]:
        tenant_id = f"verify-isolation-{secrets.token_hex(6)}"
        await self.register.create(tenant_id, tier="unlimited")
        try:
            yield tenant_id
        finally:
            with suppress(AisdkError):
                await self.register.erase(tenant_id)


def _mark() -> str:
    """A word that no other text holds."""
    return "canary" + "".join(secrets.choice("abcdefghij") for _ in range(16))


async def _probed(name: str, probe: Probe, attacker: str, victim: Victim) -> tuple[Any, ...]:
    started = time.perf_counter()
    tried, leaked = await probe(attacker, victim)
    _, found = await probe(victim.tenant_id, victim)
    spent = round((time.perf_counter() - started) * 1000, 3)
    control = "caught" if found else "missed"
    return (name, tried, leaked, control, not leaked and bool(found), spent)
