"""Answers of writes under the keys that their callers gave them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeVar

from aisdk.core.storage.engine import Database, repeated

__all__ = ["IdempotencyKeys", "Kept", "PlatformKeys"]

T = TypeVar("T")

# Held until the transaction ends, however it ends: nothing is left behind by a killed process.
LOCK: Final = "SELECT pg_try_advisory_xact_lock($1)"
FIND: Final = """
SELECT verb, fingerprint, holder, answer,
       greatest(0, extract(epoch FROM leased_until - now()))::float8 AS leased_s
FROM aisdk.{table}
WHERE tenant_id = $1 AND key = $2 AND created_at > now() - interval '24 hours'
FOR UPDATE
"""
KEEP: Final = """
INSERT INTO aisdk.{table} (tenant_id, key, verb, fingerprint, holder, leased_until, answer)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7)
ON CONFLICT (tenant_id, key) DO UPDATE
SET verb = excluded.verb, fingerprint = excluded.fingerprint, holder = excluded.holder,
    leased_until = excluded.leased_until, answer = excluded.answer, created_at = now()
"""
# A row that is locked is being answered or asked about: renewing does not wait for that.
RENEW: Final = """
UPDATE aisdk.{table} SET leased_until = now() + make_interval(secs => $4)
WHERE tenant_id = $1 AND key = (
    SELECT key FROM aisdk.{table}
    WHERE tenant_id = $1 AND key = $2 AND holder = $3 AND answer IS NULL FOR UPDATE SKIP LOCKED
)
"""
RELEASE: Final = """
DELETE FROM aisdk.{table}
WHERE tenant_id = $1 AND key = $2 AND holder = $3 AND answer IS NULL
"""
EXPIRE: Final = """
DELETE FROM aisdk.{table} WHERE tenant_id = $1 AND key IN (
    SELECT key FROM aisdk.{table}
    WHERE tenant_id = $1 AND created_at < now() - interval '24 hours' LIMIT 100
)
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is remembered of a key.

    Attributes:
        verb: What was called.
        fingerprint: Of what it was given.
        holder: The request that did or does it.
        answer: What came of it; ``None`` while it runs.
        leased_s: For how long the holder still has the key to itself, in seconds.
    """

    verb: str
    fingerprint: bytes
    holder: str
    answer: bytes | None
    leased_s: float


class IdempotencyKeys:
    """Reads and writes a tenant's idempotency keys."""

    _table = "idempotency"

    def __init__(self, database: Database) -> None:
        self._database = database

    def _owner(self, tenant_id: str, /) -> str:
        """Whose the keys are that are used in a transaction of the tenant."""
        return tenant_id

    def _sql(self, statement: str) -> str:
        return statement.format(table=self._table)

    def unit(self, tenant_id: str) -> AbstractAsyncContextManager[Any]:
        """A transaction for a write and its answer."""
        return self._database.unit(tenant_id)

    async def once(self, tenant_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """The result of a write that is one transaction and bears no key."""
        return await self._database.exactly_once(tenant_id, work)

    async def lock(self, tenant_id: str, key: str) -> bool:
        """Takes the key for the rest of the unit; whether it was free."""
        async with self._database.bulk(tenant_id) as connection:
            return bool(await connection.fetchval(LOCK, _number(self._owner(tenant_id), key)))

    async def find(self, tenant_id: str, key: str) -> Kept | None:
        """What is remembered of the key, if it is younger than 24 hours; locked for the unit."""
        async with self._database.bulk(tenant_id) as connection:
            row = await connection.fetchrow(self._sql(FIND), self._owner(tenant_id), key)
        return None if row is None else Kept(*row)

    async def keep(self, tenant_id: str, key: str, kept: Kept) -> None:
        """Remembers a key, and forgets some that are older than 24 hours."""
        owner = self._owner(tenant_id)
        values = (kept.verb, kept.fingerprint, kept.holder, kept.leased_s, kept.answer)
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(self._sql(EXPIRE), owner)
            await connection.execute(self._sql(KEEP), owner, key, *values)

    @repeated
    async def renew(self, tenant_id: str, key: str, holder: str, lease_s: float) -> None:
        """Gives the holder the key for so many seconds from now."""
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(self._sql(RENEW), self._owner(tenant_id), key, holder, lease_s)

    @repeated
    async def release(self, tenant_id: str, key: str, holder: str) -> None:
        """Gives the key back that was not answered."""
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(self._sql(RELEASE), self._owner(tenant_id), key, holder)


class PlatformKeys(IdempotencyKeys):
    """Reads and writes the platform's own keys, whichever tenant a transaction is about.

    No tenant has them, so they are there when it is gone.
    """

    _table = "platform_idempotency"

    def _owner(self, _: str, /) -> str:
        """Nobody."""
        return ""


def _number(tenant_id: str, key: str) -> int:
    """Stands for a tenant's key; nobody can find a key that has the number of another's."""
    name = f"idempotency:{tenant_id}:{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
