"""The jobs domain's SQL."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Select, Text, case, cast, func, select

from aisdk.core.jobs.types import Claimed
from aisdk.core.results.progress import Count
from aisdk.core.storage.engine import Database, repeated
from aisdk.core.storage.tables import jobs

__all__ = ["MOST_BYTES", "MOST_WAITING", "JobStore"]

MOST_WAITING: Final = 1_000
MOST_BYTES: Final = 64 * 2**20  # of what unfinished jobs were given

# Of two submissions at once the second one sees the first.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('jobs:' || $1::text, 0))"
EXPIRE: Final = """
DELETE FROM aisdk.jobs WHERE tenant_id = $1 AND job_id IN (
    SELECT job_id FROM aisdk.jobs
    WHERE tenant_id = $1 AND ended_at < now() - interval '30 days' LIMIT 100
)
"""
# A job of an idempotency key has a name made from it, and the key is free again after a day.
FREE: Final = """
DELETE FROM aisdk.jobs
WHERE tenant_id = $1 AND job_id = $2 AND ended_at < now() - interval '24 hours'
"""
KNOWN: Final = "SELECT true FROM aisdk.jobs WHERE tenant_id = $1 AND job_id = $2"
UNFINISHED: Final = """
SELECT count(*) AS waiting, coalesce(sum(octet_length(request)), 0)::bigint AS size_bytes
FROM aisdk.jobs WHERE tenant_id = $1 AND ended_at IS NULL
"""
SUBMIT: Final = f"""
INSERT INTO aisdk.jobs (tenant_id, job_id, verb, state, request, host, holder, leased_until)
SELECT $1, $2, $3, 'waiting', $4::bytea, $5, '', now()
FROM ({UNFINISHED}) AS u
WHERE u.waiting < {MOST_WAITING} AND u.size_bytes + octet_length($4::bytea) <= {MOST_BYTES}
RETURNING job_id
"""  # noqa: S608  # nosec B608  # our own numbers
CLAIM: Final = """
UPDATE aisdk.jobs SET state = 'running', holder = $2, attempts = attempts + 1,
       leased_until = now() + make_interval(secs => $4), updated_at = now(), started_at = now(),
       done = 0, failed = 0, chunks = 0
WHERE tenant_id = $1 AND job_id = (
    SELECT job_id FROM aisdk.jobs
    WHERE tenant_id = $1 AND ended_at IS NULL AND host IN ($3, '') AND leased_until <= now()
    ORDER BY created_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING job_id, verb, request, attempts
"""
NEXT: Final = """
SELECT extract(epoch FROM min(leased_until) - now())::float8 FROM aisdk.jobs
WHERE tenant_id = $1 AND ended_at IS NULL AND host IN ($2, '')
"""
HELD: Final = """
WHERE tenant_id = $1 AND job_id = $2 AND holder = $3 AND state = 'running'
"""
BEAT: Final = f"""
UPDATE aisdk.jobs SET done = $4, failed = $5, chunks = $6, total = $7, updated_at = now(),
       leased_until = now() + make_interval(secs => $8)
{HELD} RETURNING true
"""  # noqa: S608  # nosec B608  # our own condition
RELEASE: Final = f"""
UPDATE aisdk.jobs SET state = 'waiting', updated_at = now(),
       leased_until = now() + make_interval(secs => $4)
{HELD}
"""  # noqa: S608  # nosec B608  # our own condition
END: Final = f"""
UPDATE aisdk.jobs SET state = $4, answer = $5, error = $6::jsonb, done = $7, failed = $8,
       chunks = $9, total = $10, request = NULL, ended_at = now(), updated_at = now(),
       leased_until = now()
{HELD}
"""  # noqa: S608  # nosec B608  # our own condition
CANCEL: Final = """
UPDATE aisdk.jobs SET state = 'cancelled', request = NULL, ended_at = now(), updated_at = now()
WHERE tenant_id = $1 AND job_id = $2 AND ended_at IS NULL
"""
RESULT: Final = """
SELECT verb, state, answer, error::text FROM aisdk.jobs WHERE tenant_id = $1 AND job_id = $2
"""

_GONE: Final = (jobs.c.state == "running") & (jobs.c.leased_until < func.now())
_INFO: Final = (
    cast(jobs.c.job_id, Text).label("job_id"),
    jobs.c.verb,
    case((_GONE, "interrupted"), else_=jobs.c.state).label("state"),
    jobs.c.done,
    jobs.c.failed,
    jobs.c.chunks,
    jobs.c.total,
    jobs.c.error["code"].astext.label("error_code"),
    jobs.c.created_at,
    jobs.c.started_at,
    jobs.c.updated_at,
    jobs.c.ended_at,
)


class JobStore:
    """Reads and writes a tenant's jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def submit(self, tenant_id: str, job_id: UUID, what: tuple[str, bytes, str]) -> bool:
        """Keeps a job of this verb, request and host (``""``: any); whether there was room.

        One of this name that is kept already stays as it is.
        """

        async def submit() -> bool:
            async with self._database.bulk(tenant_id) as connection:
                await connection.execute(LOCK, tenant_id)
                await connection.execute(EXPIRE, tenant_id)
                await connection.execute(FREE, tenant_id, job_id)
                return bool(
                    await connection.fetchval(KNOWN, tenant_id, job_id)
                    or await connection.fetchval(SUBMIT, tenant_id, job_id, *what)
                )

        return await self._database.exactly_once(tenant_id, submit)

    @repeated
    async def unfinished(self, tenant_id: str) -> tuple[int, int]:
        """How many jobs have not ended, and bytes of what they were given."""
        async with self._database.bulk(tenant_id) as connection:
            return tuple(await connection.fetchrow(UNFINISHED, tenant_id))

    async def claim(self, tenant_id: str, holder: str, host: str, lease_s: float) -> Claimed | None:
        """Takes the oldest job of this host, or of any, that nobody works on."""

        async def claim() -> Claimed | None:
            async with self._database.bulk(tenant_id) as connection:
                row = await connection.fetchrow(CLAIM, tenant_id, holder, host, lease_s)
                return None if row is None else Claimed(*row)

        return await self._database.exactly_once(tenant_id, claim)

    @repeated
    async def next_s(self, tenant_id: str, host: str) -> float | None:
        """In how many seconds a job of this host, or of any, may be free; ``None``: never."""
        async with self._database.bulk(tenant_id) as connection:
            seconds: float | None = await connection.fetchval(NEXT, tenant_id, host)
        return seconds

    @repeated
    async def beat(self, tenant_id: str, held: tuple[UUID, str], count: Count, s: float) -> bool:
        """Notes how far a job is and keeps it for so many seconds; whether it is still held."""
        async with self._database.bulk(tenant_id) as connection:
            return bool(await connection.fetchval(BEAT, tenant_id, *held, *count, s))

    @repeated
    async def release(self, tenant_id: str, held: tuple[UUID, str], wait_s: float) -> None:
        """Gives a job back; nobody takes it for so many seconds."""
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(RELEASE, tenant_id, *held, wait_s)

    @repeated
    async def end(
        self,
        tenant_id: str,
        held: tuple[UUID, str],
        count: Count,
        answer: bytes | None,
        error: dict[str, Any] | None,
    ) -> None:
        """Keeps what came of a job that is still held."""
        state = "done" if error is None else "failed"
        told = None if error is None else to_json(error).decode()
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(END, tenant_id, *held, state, answer, told, *count)

    @repeated
    async def cancel(self, tenant_id: str, job_id: UUID) -> None:
        """Ends a job that has not ended; who works on it notices within a second."""
        async with self._database.bulk(tenant_id) as connection:
            await connection.execute(CANCEL, tenant_id, job_id)

    @repeated
    async def result(self, tenant_id: str, job_id: UUID) -> Any:
        """Verb, state, answer and error of a job."""
        async with self._database.bulk(tenant_id) as connection:
            return await connection.fetchrow(RESULT, tenant_id, job_id)

    @repeated
    async def page(self, tenant_id: str, query: Select[Any]) -> list[Any]:
        """The rows of a listing."""
        async with self._database.transaction(tenant_id) as connection:
            return list((await connection.execute(query)).all())

    def listing(self, tenant_id: str) -> Select[Any]:
        """The columns of a ``JobInfo`` for all jobs of a tenant, to be narrowed and ordered."""
        return select(*_INFO).where(jobs.c.tenant_id == tenant_id)
