"""The usage domain's SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from aisdk.core.storage.connection import affected
from aisdk.core.storage.engine import Database, repeated
from aisdk.core.storage.tables import usage

__all__ = ["Row", "UsageStore"]

Row = tuple[datetime, str, int, int, int, float, float | None]

# What was used by an erased tenant is not the next one's of its name.
ADD: Final = """
INSERT INTO aisdk.usage (tenant_id, hour, verb, calls, failures, tokens, duration_ms)
SELECT $1, u.hour, u.verb, sum(u.calls)::bigint, sum(u.failures)::bigint, sum(u.tokens)::bigint,
       sum(u.duration_ms)
FROM unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[],
            $8::float8[]) AS u (hour, verb, calls, failures, tokens, duration_ms, since)
LEFT JOIN aisdk.tenants AS t ON t.tenant_id = $1
WHERE u.since IS NULL OR t.tenant_id IS NULL
   OR u.since = EXTRACT(epoch FROM t.created_at)::float8
GROUP BY u.hour, u.verb
ON CONFLICT (tenant_id, hour, verb) DO UPDATE
SET calls = usage.calls + excluded.calls, failures = usage.failures + excluded.failures,
    tokens = usage.tokens + excluded.tokens,
    duration_ms = usage.duration_ms + excluded.duration_ms
"""


class UsageStore:
    """Adds up and reads what a tenant has used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, rows: Sequence[Row]) -> int:
        """Adds to what is there.

        Args:
            tenant_id: The tenant.
            rows: Hour, verb, calls, failures, tokens, milliseconds, and when the tenant that used
                it was registered, in seconds of Unix time; ``None`` where that is not known.

        Returns:
            How many hours of verbs were added to; those of another tenant of that name are not.
        """

        async def add() -> int:
            async with self._database.bulk(tenant_id) as connection:
                done = await connection.execute(ADD, tenant_id, *map(list, zip(*rows, strict=True)))
            return affected(done)

        return await self._database.exactly_once(tenant_id, add)

    @repeated
    async def since(self, tenant_id: str, start: datetime, most: int) -> list[Any]:
        """The hours since a moment, the newest first."""
        query = (
            select(*(usage.c[name] for name in COLUMNS))
            .where(usage.c.tenant_id == tenant_id, usage.c.hour >= start)
            .order_by(usage.c.hour.desc(), usage.c.verb)
            .limit(most)
        )
        async with self._database.transaction(tenant_id) as connection:
            return list((await connection.execute(query)).all())


COLUMNS: Final = ("hour", "verb", "calls", "failures", "tokens", "duration_ms")
