"""The tenants domain: register, change, export and erase tenants. For the platform alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from aisdk.core.results.cursor import sign, verify
from aisdk.core.results.frame import JSON, make_item
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.runtime.ending import current_ending
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.options import check_page_size
from aisdk.core.runtime.tenancy import checked_tenant
from aisdk.core.runtime.verb import platform_verb
from aisdk.core.storage.tables import tenants
from aisdk.core.storage.translation import UNKNOWN_HINT
from aisdk.core.tenants.arguments import (
    check_limit,
    checked_name,
    checked_path,
    checked_state,
)
from aisdk.core.tenants.directory import LIMITS
from aisdk.core.tenants.receipts import is_genuine, receipt_of
from aisdk.core.tenants.store import TenantStore
from aisdk.core.tenants.types import Erased, Receipt, State, TenantInfo, Tier
from aisdk.errors import Conflict, DependencyError, InvalidInput, TenantUnknown

__all__ = ["Begin", "Finish", "Moving", "TenantsService", "Traces"]

LISTING: Final = "tenants.list"

# Registers a tenant by its name, tier and settings.
Begin: TypeAlias = Callable[[str, str, Mapping[str, JSON]], Coroutine[Any, Any, None]]
# Gives a tenant its state, and tells how it stands then.
Finish: TypeAlias = Callable[[str, str], Coroutine[Any, Any, TenantInfo]]


class Traces(Protocol):
    """What the client holds of tenants outside the database."""

    def forget(self, tenant_id: str | None = None) -> None:
        """Has this client ask the register again, about one tenant or about all."""
        ...

    async def erase(self, tenant_id: str) -> dict[str, int]:
        """Removes cache entries and limits of a tenant; how many of each kind."""
        ...

    async def left(self, tenant_id: str) -> dict[str, int]:
        """How many of each kind there are."""
        ...


class Moving(Protocol):
    """Writes tenants into folders and reads them back."""

    async def export(self, tenant_id: str, folder: Path) -> Path:
        """Writes the tenant; the folder."""
        ...

    async def import_(
        self, folder: Path, tenant_id: str | None, begin: Begin, finish: Finish
    ) -> TenantInfo:
        """Makes the tenant, registered by ``begin``; what ``finish`` tells of it."""
        ...


@dataclass(frozen=True, slots=True)
class TenantsService:
    """The platform's register of tenants.

    Attributes:
        guard: The steps around every verb.
        store: Its SQL.
        traces: What is held of tenants outside the database.
        analyzer: Language → its analyzer; raises for an unknown one.
        secret: Signs cursors and receipts.
        moving: Exports and imports.
    """

    guard: Guard
    store: TenantStore
    traces: Traces
    analyzer: Callable[[str], Any]
    secret: bytes
    moving: Moving

    @platform_verb("tenants.create", reads=False, rows=TenantInfo)
    async def create(
        self,
        tenant_id: str,
        *,
        tier: str = "free",
        settings: Mapping[str, JSON] | None = None,
    ) -> TenantInfo:
        """Registers a tenant.

        Args:
            tenant_id: 1 to 63 letters, digits, dots, hyphens or underscores.
            tier: One of `tiers`.
            settings: The tenant's own limits, under the names of a tier's, and its ``language``.

        Raises:
            Conflict: There is such a tenant.
            InvalidInput: The name, the tier or a setting is not acceptable.

        Example:
            >>> (await client.tenants.create("globex", tier="standard")).state
            'active'
        """
        checked_tenant(tenant_id)
        settings = self._checked_settings(settings or {})
        await self._check_tier(tenant_id, tier)
        if not await self.store.enroll(tenant_id, tier, settings):
            raise Conflict("There is such a tenant.", hint="Change it with tenants.update.")
        return await self._info(tenant_id)

    @platform_verb("tenants.get", reads=True)
    async def get(self, tenant_id: str) -> TenantInfo:
        """One tenant: tier, state, settings and how much it stores.

        Raises:
            TenantUnknown: There is no such tenant.

        Example:
            >>> (await client.tenants.get(session.tenant_id)).documents
            2
        """
        return await self._info(checked_tenant(tenant_id))

    @platform_verb("tenants.list", reads=True)
    async def list(
        self,
        *,
        limit: int = 50,
        tier: str | None = None,
        state: State | None = None,
        cursor: str | None = None,
    ) -> AsyncPage[TenantInfo]:
        """A page of tenants, in the order of their names.

        Args:
            limit: Rows in a page, 1 to 10,000.
            tier: Those of this tier only.
            state: Those that are ``active``, or ``suspended``, only.
            cursor: Where an earlier page ended.

        Raises:
            InvalidInput: A limit, state or cursor is not acceptable.
        """
        check_page_size(limit)
        query = self.store.listing().order_by(tenants.c.tenant_id).limit(limit + 1)
        if tier is not None:
            query = query.where(tenants.c.tier == checked_name(tier))
        if state is not None:
            query = query.where(tenants.c.state == checked_state(state))
        if cursor is not None:
            (after,) = verify(self.secret, "", LISTING, cursor)
            query = query.where(tenants.c.tenant_id > after)
        rows = await self.store.page(query)
        more = len(rows) > limit
        return AsyncPage(
            TenantInfo,
            rows[:limit],
            cursor=sign(self.secret, "", LISTING, [rows[limit - 1][0]]) if more else None,
            fetch=partial(self._next, limit, tier, state),
        )

    async def _next(
        self, limit: int, tier: str | None, state: State | None, cursor: str, size: int | None
    ) -> AsyncPage[TenantInfo]:
        return await self.list(limit=size or limit, tier=tier, state=state, cursor=cursor)

    @platform_verb("tenants.update", reads=False, rows=TenantInfo)
    async def update(
        self,
        tenant_id: str,
        *,
        tier: str | None = None,
        state: State | None = None,
        settings: Mapping[str, JSON] | None = None,
    ) -> TenantInfo:
        """Changes a tenant's tier, state, settings (as a whole), or several of them.

        Other clients act on it within five seconds; this one at once.

        Args:
            tenant_id: The tenant.
            tier: One of `tiers`.
            state: ``suspended`` refuses its calls and has jobs wait, ``active`` serves it again.
            settings: The tenant's own limits, under the names of a tier's, and its ``language``,
                which counts when its store is made.

        Raises:
            TenantUnknown: There is no such tenant.
            InvalidInput: Nothing is given, or something is not acceptable.

        Example:
            >>> (await client.tenants.update(session.tenant_id, settings={"documents": 9})).settings
            {'documents': 9}
        """
        checked_tenant(tenant_id)
        values: dict[str, Any] = {}
        if tier is not None:
            await self._check_tier(tenant_id, tier)
            values["tier"] = tier
        if state is not None:
            values["state"] = checked_state(state)
        if settings is not None:
            values["settings"] = self._checked_settings(settings)
        if not values:
            raise InvalidInput(
                "There is nothing to update.", hint="Give tier=, state= or settings=."
            )
        if not await self.store.change(tenant_id, values):
            raise TenantUnknown(hint=UNKNOWN_HINT)
        return await self._info(tenant_id)

    @platform_verb("tenants.tiers", reads=True)
    async def tiers(self) -> Rows[Tier]:
        """What tenants of each tier may use: its limits a minute, at once and stored, its weight.

        Example:
            >>> "free" in (await client.tenants.tiers()).to_frame()["tier"].tolist()
            True
        """
        return Rows(Tier, await self.store.tiers())

    @platform_verb("tenants.put_tier", reads=False)
    async def put_tier(self, tier: Tier) -> None:
        """Makes a tier, or changes the one of that name for all its tenants.

        Raises:
            InvalidInput: A limit is not a whole number above 0 (documents and bytes: 0 or more), or
                the weight below 0.001.
        """
        if not isinstance(tier, Tier):
            raise InvalidInput("put_tier takes a Tier.", hint="tiers() shows those there are.")
        values = asdict(tier)
        checked_name(tier.tier)
        for name in LIMITS:
            check_limit(name, values[name])
        await self.store.put_tier(values)

    @platform_verb("tenants.erase", reads=False, bulk=True, rows=Receipt)
    async def erase(self, tenant_id: str) -> Receipt:
        """Removes a tenant for good: documents, vectors, indexes, cache, keys and usage.

        Rows go in one transaction; a write of the tenant that runs meanwhile ends before it or
        fails with ``TenantUnknown``. What other clients cache in their own memory can be read no
        more within five seconds. Backups of the database are not ours to reach.

        A receipt that did not arrive comes back when the call bore an idempotency key and is made
        again with it; without one it is lost.

        Returns:
            A receipt to keep, for ``verify_erased``.

        Raises:
            TenantUnknown: There is no such tenant.
            Unavailable: The database or the cache cannot be reached; the tenant is still there.
        """
        checked_tenant(tenant_id)
        traces = await self.traces.erase(tenant_id)

        async def delete() -> Receipt:
            counts, erased_at = await self.store.erase(tenant_id)
            if not counts["tenants"]:
                raise TenantUnknown(hint=UNKNOWN_HINT)
            return receipt_of(self.secret, tenant_id, erased_at, counts | traces)

        receipt: Receipt = await current_ending().keep(tenant_id, delete)
        self.traces.forget(tenant_id)
        with suppress(DependencyError):  # what was kept meanwhile; it would end by itself
            await self.traces.erase(tenant_id)
        return receipt

    @platform_verb("tenants.verify_erased", reads=True)
    async def verify_erased(self, receipt: Receipt) -> Rows[Erased]:
        """Counts again what a receipt says was removed: ``left`` is 0 in every row if it is.

        Rows are counted by the tenant's name. ``recreated`` tells whether a tenant of that name
        was registered after the erasure, whose own rows are counted then.

        Args:
            receipt: What ``erase`` returned.

        Raises:
            InvalidInput: It is no receipt of this installation, or it was changed.
        """
        if not is_genuine(self.secret, receipt):
            raise InvalidInput(
                "This is no receipt of this installation, or it was changed.",
                hint="Pass what tenants.erase returned, with the same AISDK_SECRET_KEY.",
            )
        row = await self.store.one(receipt.tenant_id)
        recreated = row is not None and make_item(TenantInfo, row).created_at > receipt.erased_at
        left = await self.store.left(receipt.tenant_id) | await self.traces.left(receipt.tenant_id)
        return Rows(
            Erased,
            [(kind, count, left.get(kind, 0), recreated) for kind, count in receipt.counts.items()],
        )

    @platform_verb("tenants.export", reads=True, bulk=True)
    async def export(self, tenant_id: str, path: str | Path) -> Path:
        """Writes a tenant into a folder: a manifest, its documents and its chunks with vectors.

        Sources that failed, jobs, keys and usage are left out. All of it is of one moment. Files
        are Parquet; the manifest holds their SHA-256. Only the owner can read them. They are
        written beside the folder, which is there when all is done, and not at all where that fails.

        Args:
            tenant_id: The tenant.
            path: A folder that is not there yet, or is empty.

        Returns:
            The folder.

        Raises:
            TenantUnknown: There is no such tenant.
            InvalidInput: The folder cannot be written or is not empty.
        """
        await self._info(checked_tenant(tenant_id))
        return await self.moving.export(tenant_id, checked_path(path))

    @platform_verb("tenants.import_", reads=False, bulk=True, rows=TenantInfo)
    async def import_(self, path: str | Path, *, tenant_id: str | None = None) -> TenantInfo:
        """Makes a tenant from a folder that ``export`` wrote.

        The tenant is suspended until everything is there; if that fails it is erased again, for
        which it takes up to a minute after its deadline. One whose process was killed is left
        suspended, and in the way of the same import until it is erased.

        Args:
            path: The folder; its files are regular ones, or links to such that stay in it.
            tenant_id: Another name for the tenant; by default the one it had.

        Raises:
            Conflict: There is such a tenant.
            InvalidInput: The folder is not what ``export`` wrote, or a file was changed.
        """
        steps = self._begin_import, self._finish_import
        return await self.moving.import_(checked_path(path), tenant_id, *steps)

    async def _begin_import(self, tenant_id: str, tier: str, settings: Mapping[str, JSON]) -> None:
        checked_tenant(tenant_id)
        hint = "Make it with tenants.put_tier; manifest.json names it."
        await self._check_tier(tenant_id, tier, hint)
        checked = self._checked_settings(settings)
        if not await self.store.enroll(tenant_id, tier, checked, "suspended"):
            raise Conflict(
                "There is such a tenant.", hint="Erase it first, or give another tenant_id=."
            )

    async def _finish_import(self, tenant_id: str, state: str) -> TenantInfo:
        await self.store.change(tenant_id, {"state": state})
        return await self._info(tenant_id)

    async def _info(self, tenant_id: str) -> TenantInfo:
        row = await self.store.one(tenant_id)
        if row is None:
            raise TenantUnknown(hint=UNKNOWN_HINT)
        return make_item(TenantInfo, row)

    async def _check_tier(self, tenant_id: str, tier: Any, hint: str = "Use one of: {}.") -> None:
        known = [row[0] for row in await self.store.tiers(tenant_id)]
        if not isinstance(tier, str) or tier not in known:
            raise InvalidInput("There is no such tier.", hint=hint.format(", ".join(known)))

    def _checked_settings(self, settings: Any) -> dict[str, JSON]:
        if not isinstance(settings, Mapping):
            raise InvalidInput("settings is not a dict.", hint='Write {"documents": 5000}.')
        for name, value in settings.items():
            if name == "language":
                self.analyzer(value if isinstance(value, str) else "")
            elif name in LIMITS:
                check_limit(name, value)
            else:
                raise InvalidInput(
                    "A tenant has no such setting.", hint=f"Use language, {', '.join(LIMITS)}."
                )
        return dict(settings)
