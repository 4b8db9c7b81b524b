"""The tenants domain's SQL, run by the platform's own role."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Text, cast, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from aisdk.core.runtime.deadline import remaining_s
from aisdk.core.storage.connection import affected, unhurried
from aisdk.core.storage.engine import Database, repeated
from aisdk.core.storage.tables import (
    chunk_vectors,
    chunks,
    documents,
    idempotency,
    jobs,
    lexical_postings,
    lexical_segments,
    lexical_tombstones,
    stores,
    tenants,
    tiers,
    usage,
)

__all__ = ["KINDS", "TenantStore"]

# What a tenant has, in the order in which it can be deleted.
KINDS: Final = {
    "vectors": chunk_vectors,
    "lexical_tombstones": lexical_tombstones,
    "lexical_postings": lexical_postings,
    "lexical_segments": lexical_segments,
    "chunks": chunks,
    "documents": documents,
    "idempotency_keys": idempotency,
    "usage": usage,
    "jobs": jobs,
    "stores": stores,
    "tenants": tenants,
}
LOCK: Final = """
SELECT FROM aisdk.tenants AS t WHERE t.tenant_id = $1 FOR UPDATE
"""
NOW: Final = "SELECT clock_timestamp()"
LOCK_STORE: Final = "SELECT FROM aisdk.stores WHERE tenant_id = $1 FOR UPDATE"
_INFO: Final = (
    tenants.c.tenant_id,
    tenants.c.tier,
    tenants.c.state,
    cast(tenants.c.settings, Text).label("settings"),
    func.coalesce(stores.c.document_count, 0),
    func.coalesce(stores.c.chunk_count, 0),
    func.coalesce(stores.c.size_bytes, 0),
    tenants.c.created_at,
    tenants.c.updated_at,
)


class TenantStore:
    """Reads and writes the register of tenants, and removes what a tenant has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enroll(
        self, tenant_id: str, tier: str, settings: Mapping[str, Any], state: str = "active"
    ) -> bool:
        """Registers a tenant; whether it was new."""
        statement = upsert(tenants).values(
            tenant_id=tenant_id, tier=tier, settings=dict(settings), state=state
        )

        async def enroll() -> bool:
            async with self._database.transaction(tenant_id) as connection:
                done = await connection.execute(statement.on_conflict_do_nothing())
                return bool(done.rowcount)

        return await self._database.exactly_once(tenant_id, enroll)

    @repeated
    async def one(self, tenant_id: str) -> tuple[Any, ...] | None:
        """The columns of a ``TenantInfo``."""
        query = self.listing().where(tenants.c.tenant_id == tenant_id)
        async with self._database.transaction(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else tuple(row)

    @repeated
    async def page(self, query: Select[Any]) -> list[Any]:
        """The rows of a listing over all tenants."""
        async with self._database.transaction("") as connection:
            return list((await connection.execute(query)).all())

    def listing(self) -> Select[Any]:
        """The columns of a ``TenantInfo`` for all tenants, to be narrowed and ordered."""
        return select(*_INFO).select_from(
            tenants.outerjoin(stores, stores.c.tenant_id == tenants.c.tenant_id)
        )

    @repeated
    async def change(self, tenant_id: str, values: Mapping[str, Any]) -> bool:
        """Sets columns of a tenant; whether it exists."""
        statement = (
            update(tenants)
            .where(tenants.c.tenant_id == tenant_id)
            .values(**values, updated_at=func.now())
        )
        async with self._database.transaction(tenant_id) as connection:
            return bool((await connection.execute(statement)).rowcount)

    @repeated
    async def tiers(self, tenant_id: str = "") -> list[tuple[Any, ...]]:
        """The columns of every ``Tier``, seen in a transaction of the tenant, if of any."""
        async with self._database.transaction(tenant_id) as connection:
            rows = await connection.execute(select(*tiers.c).order_by(tiers.c.weight, tiers.c.tier))
            return [tuple(row) for row in rows]

    @repeated
    async def put_tier(self, values: Mapping[str, Any]) -> None:
        """Makes a tier, or changes the one of that name."""
        statement = upsert(tiers).values(**values)
        statement = statement.on_conflict_do_update(index_elements=["tier"], set_=dict(values))
        async with self._database.transaction("") as connection:
            await connection.execute(statement)

    async def erase(
        self, tenant_id: str, within_s: float | None = None
    ) -> tuple[dict[str, int], datetime]:
        """Deletes everything of a tenant in one transaction; how many rows of each kind, and when.

        A write that runs meanwhile ends before, or finds no tenant any more. One statement may
        take as long as the call, for a tenant may be large.

        Args:
            tenant_id: The tenant.
            within_s: How long it may take, in seconds; by default what the call has left.
        """

        async def delete() -> tuple[dict[str, int], datetime]:
            left_s = remaining_s() if within_s is None else within_s
            async with self._database.bulk(tenant_id) as connection, unhurried(connection, left_s):
                return await _delete(connection, tenant_id)

        return await self._database.exactly_once(tenant_id, delete)

    @repeated
    async def left(self, tenant_id: str) -> dict[str, int]:
        """How many rows of each kind a tenant has."""
        async with self._database.transaction(tenant_id) as connection:
            return {
                kind: int(
                    (
                        await connection.execute(
                            select(func.count())
                            .select_from(table)
                            .where(table.c.tenant_id == tenant_id)
                        )
                    ).scalar_one()
                )
                for kind, table in KINDS.items()
            }


async def _delete(connection: Any, tenant_id: str) -> tuple[dict[str, int], datetime]:
    await connection.execute(LOCK_STORE, tenant_id)
    await connection.execute(LOCK, tenant_id)
    counts = {
        kind: affected(
            await connection.execute(
                f"DELETE FROM aisdk.{table.name} WHERE tenant_id = $1",  # noqa: S608  # nosec B608  # our own names
                tenant_id,
            )
        )
        for kind, table in KINDS.items()
    }
    return counts, await connection.fetchval(NOW)
