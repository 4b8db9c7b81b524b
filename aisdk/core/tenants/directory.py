"""How tenants stand, remembered for a few seconds: every call asks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic_core import from_json

from aisdk.core.runtime.flight import SingleFlight
from aisdk.core.runtime.guard import Call, Limits, Proceed, Standing
from aisdk.core.storage.engine import Database
from aisdk.core.storage.translation import UNKNOWN_HINT
from aisdk.errors import TenantUnknown

__all__ = ["LIMITS", "Directory", "standing_of"]

REMEMBERED_S: Final = 5.0
UNKNOWN_S: Final = 1.0
MOST: Final = 20_000
LIMITS: Final = tuple(field.name for field in fields(Limits))
STANDING: Final = f"""
SELECT tier, state, settings::text AS settings, created_at, {", ".join(LIMITS)}
FROM aisdk.tenant($1)
"""  # noqa: S608  # nosec B608  # the names of our own fields


class Directory:
    """Finds out how a tenant stands.

    A change is seen at once by the client that made it, and by others within five seconds.

    Args:
        database: The app role's.
        enroll: Registers a tenant that is not known yet; ``None`` where that is not for us to do.
    """

    def __init__(
        self, database: Database, enroll: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        self._database = database
        self._enroll = enroll
        self._held: OrderedDict[str, tuple[float, Standing | None]] = OrderedDict()
        self._flights = SingleFlight()
        self._changes = 0

    async def find(self, tenant_id: str) -> Standing:
        """How the tenant stands, registered now where that is for us to do.

        Raises:
            TenantUnknown: It is not registered.
        """
        return _known(await self._standing(tenant_id, enroll=self._enroll is not None))

    async def again(self, tenant_id: str) -> Standing:
        """How a tenant stands that was found before.

        Raises:
            TenantUnknown: It was erased meanwhile, and is not registered again.
        """
        return _known(await self._standing(tenant_id, enroll=False))

    async def is_suspended(self, tenant_id: str) -> bool:
        """Whether the tenant is registered and not served."""
        standing = await self._standing(tenant_id, enroll=False)
        return standing is not None and not standing.active

    async def _standing(self, tenant_id: str, *, enroll: bool) -> Standing | None:
        held = self._held.get(tenant_id)
        if held is not None and held[0] >= time.monotonic() and not (enroll and held[1] is None):
            return held[1]
        key = (tenant_id, enroll, self._changes)  # whoever asked before a change is not joined
        return await self._flights.run(key, lambda: self._look_up(tenant_id, enroll))

    def since(self, tenant_id: str) -> float | None:
        """When the tenant was registered that was found last, where that is remembered."""
        _, standing = self._held.get(tenant_id, (0.0, None))
        return None if standing is None else standing.since

    def forget(self, tenant_id: str | None = None) -> None:
        """Asks again next time, about one tenant or about all."""
        self._changes += 1
        if tenant_id is None:
            self._held.clear()
        else:
            self._held.pop(tenant_id, None)

    async def renew(self, call: Call, proceed: Proceed) -> Any:
        """A step: after a write of the platform asks again, also where nobody knows its outcome."""
        try:
            return await proceed(call)
        finally:
            if not call.verb.reads:
                self.forget(call.tenant_id or None)

    async def _look_up(self, tenant_id: str, enroll: bool) -> Standing | None:
        changes = self._changes
        standing = await self._read(tenant_id)
        if standing is None and enroll and self._enroll is not None:
            await self._enroll(tenant_id)
            standing = await self._read(tenant_id)
        if changes != self._changes:
            return standing
        lasts_s = UNKNOWN_S if standing is None else REMEMBERED_S
        self._held.pop(tenant_id, None)
        self._held[tenant_id] = (time.monotonic() + lasts_s, standing)
        if len(self._held) > MOST:
            self._held.popitem(last=False)
        return standing

    async def _read(self, tenant_id: str) -> Standing | None:
        rows = await self._database.fetch(STANDING, tenant_id)
        return standing_of(rows[0]) if rows else None


def _known(standing: Standing | None) -> Standing:
    if standing is None:
        raise TenantUnknown(hint=UNKNOWN_HINT)
    return standing


def standing_of(row: Mapping[str, Any]) -> Standing:
    """The standing in a row: the tenant's own limits come before those of its tier."""
    settings = from_json(row["settings"])
    return Standing(
        tier=row["tier"],
        active=row["state"] == "active",
        limits=Limits(**{name: settings.get(name, row[name]) for name in LIMITS}),
        language=settings.get("language"),
        since=row["created_at"].timestamp(),
    )
