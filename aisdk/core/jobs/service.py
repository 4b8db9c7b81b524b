"""The jobs domain: list, get, cancel, and the result of work that goes on in the background."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgpack
from sqlalchemy import tuple_

from aisdk import errors
from aisdk.core.jobs.runner import Runner
from aisdk.core.jobs.store import MOST_BYTES, MOST_WAITING, JobStore
from aisdk.core.jobs.types import ENDED, NUMBERS, JobInfo
from aisdk.core.results.cursor import sign, verify
from aisdk.core.results.frame import make_item
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.results.progress import Progress
from aisdk.core.runtime.cached import digest
from aisdk.core.runtime.deadline import current_scope
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.options import check_page_size
from aisdk.core.runtime.verb import verb
from aisdk.core.storage.tables import jobs
from aisdk.errors import AisdkError, Conflict, InProgress, InvalidInput, NotFound, QuotaExceeded

__all__ = ["JobsService"]

LONGEST_ID: Final = 100  # characters
LISTING: Final = "jobs.list"
ASK_S: Final = 0.5
AGAIN_S: Final = 2.0  # after a failure that may pass
LAST_S: Final = 0.5  # for a last look


@dataclass(frozen=True, slots=True)
class JobsService:
    """Jobs of any tenant; every verb takes ``tenant_id`` first.

    Attributes:
        guard: The steps around every verb.
        store: Its SQL.
        runner: Works on them.
        cursor_key: Signs cursors.
    """

    guard: Guard
    store: JobStore
    runner: Runner
    cursor_key: bytes

    @verb("jobs.list", reads=True)
    async def list(
        self,
        tenant_id: str,
        *,
        limit: int = 50,
        unfinished: bool = False,
        cursor: str | None = None,
    ) -> AsyncPage[JobInfo]:
        """A page of the tenant's jobs, the newest first, whichever client began them.

        Args:
            tenant_id: The tenant.
            limit: Rows in a page, 1 to 10,000.
            unfinished: Only those that have not ended.
            cursor: Where an earlier page ended.

        Returns:
            One row a job: job_id, verb, state, done, failed, chunks, total, error_code,
            created_at, started_at, updated_at, ended_at.

        Raises:
            InvalidInput: A limit or cursor is not acceptable.
            TenantMismatch: The cursor is of another tenant or listing.

        Example:
            >>> session.jobs.list(unfinished=True).to_frame()["job_id"].tolist()
            []
        """
        check_page_size(limit)
        key = tuple_(jobs.c.created_at, jobs.c.job_id)
        query = self.store.listing(tenant_id).limit(limit + 1)
        query = query.order_by(jobs.c.created_at.desc(), jobs.c.job_id.desc())
        if unfinished:
            query = query.where(jobs.c.ended_at.is_(None))
        if cursor is not None:
            moment, job_id = verify(self.cursor_key, tenant_id, LISTING, cursor)
            query = query.where(key < (datetime.fromisoformat(str(moment)), UUID(str(job_id))))
        rows = await self.store.page(tenant_id, query)
        more = len(rows) > limit
        return AsyncPage(
            JobInfo,
            rows[:limit],
            cursor=self._cursor(tenant_id, rows[limit - 1]) if more else None,
            fetch=partial(self._next, tenant_id, limit, unfinished),
        )

    async def _next(
        self, tenant_id: str, limit: int, unfinished: bool, cursor: str, size: int | None
    ) -> AsyncPage[JobInfo]:
        return await self.list(tenant_id, limit=size or limit, unfinished=unfinished, cursor=cursor)

    @verb("jobs.get", reads=True, charged=False)
    async def get(self, tenant_id: str, job_id: str) -> JobInfo:
        """How a job stands.

        Args:
            tenant_id: The tenant.
            job_id: Its name.

        Raises:
            NotFound: There is no such job.
        """
        return await self._info(tenant_id, job_id)

    @verb("jobs.result", reads=True, charged=False)
    async def result(self, tenant_id: str, job_id: str) -> Rows[Any]:
        """What a job's verb returned; a `Job` waits for it.

        Args:
            tenant_id: The tenant.
            job_id: Its name.

        Returns:
            The rows that the verb returns.

        Raises:
            NotFound: There is no such job.
            InProgress: It has not ended; ``retry_after_s`` says when to ask again.
            Conflict: It was cancelled.
            AisdkError: What the verb raised, such as ``AddFailed`` with ``error.result``.
        """
        row = await self.store.result(tenant_id, _number(job_id))
        if row is None:
            raise _missing()
        if row["state"] == "cancelled":
            raise Conflict("The job was cancelled.", hint="Call the verb again to go on.")
        if row["state"] not in ENDED:
            raise InProgress("The job has not ended.", hint="Wait for it.", retry_after_s=ASK_S)
        records = msgpack.unpackb(row["answer"]) if row["answer"] is not None else []
        rows = Rows(self.runner.kinds[row["verb"]].rows, [tuple(record) for record in records])
        if row["error"] is not None:
            raise _error(json.loads(row["error"]), rows)
        return rows

    @verb("jobs.cancel", reads=False, rows=JobInfo)
    async def cancel(self, tenant_id: str, job_id: str) -> JobInfo:
        """Ends a job; what it has stored stays. One that has ended is left as it is.

        Who works on it stops within about a second.

        Args:
            tenant_id: The tenant.
            job_id: Its name.

        Raises:
            NotFound: There is no such job.
        """
        await self.store.cancel(tenant_id, _number(job_id))
        return await self._info(tenant_id, job_id)

    async def submit(self, tenant_id: str, verb: str, request: bytes, *, here: bool) -> str:
        """Keeps a job and begins to work on it; its name. Part of a verb of another domain.

        Args:
            tenant_id: The tenant.
            verb: What it does.
            request: What it was given.
            here: Whether it needs files of this place, so that no other may go on with it.

        Raises:
            QuotaExceeded: Too much is waiting already.
        """
        job_id = _job_id(tenant_id, verb, request)
        host = self.runner.host if here else ""
        if not await self.store.submit(tenant_id, job_id, (verb, request, host)):
            raise await self._full(tenant_id)
        self.runner.look_after(tenant_id)
        return str(job_id)

    async def _full(self, tenant_id: str) -> QuotaExceeded:
        """What to raise when a job was refused for want of room."""
        waiting, held = await self.store.unfinished(tenant_id)
        by_count = waiting >= MOST_WAITING
        limit, used = (MOST_WAITING, waiting) if by_count else (MOST_BYTES, held)
        what = "jobs that have not ended" if by_count else "bytes that such jobs may hold"
        return QuotaExceeded(
            f"The tenant has {used:,} of {limit:,} {what}.",
            hint="Wait for some of them, cancel some, or add files by their path.",
            limit=limit,
            used=used,
        )

    async def follow(self, tenant_id: str, job_id: str, progress: Progress) -> None:
        """Shows how far a job is now, and until it ends in the background."""
        watched = _Watched(progress)
        wait_s = await self._look(tenant_id, job_id, watched)
        if wait_s is None:
            progress.close(watched.note)
        else:
            self.runner.keep(self._follow(tenant_id, job_id, watched, wait_s))

    async def _follow(
        self, tenant_id: str, job_id: str, watched: _Watched, wait_s: float | None
    ) -> None:
        try:
            while wait_s is not None:
                await asyncio.sleep(wait_s)
                wait_s = await self._look(tenant_id, job_id, watched)
        except asyncio.CancelledError:  # the client closes, and the job may have ended just now
            with suppress(AisdkError, TimeoutError):
                async with asyncio.timeout(LAST_S):
                    watched.show(await self._info(tenant_id, job_id))
            raise
        finally:
            watched.progress.close(watched.note)

    async def _look(self, tenant_id: str, job_id: str, watched: _Watched) -> float | None:
        """Shows how far a job is; when to look again, or None where there is nothing to see."""
        try:
            ended = watched.show(await self._info(tenant_id, job_id))
        except AisdkError as error:
            if error.retryable:
                return AGAIN_S
            watched.note = f"no longer followed: {error.code}"  # such as a tenant that was erased
            return None
        return None if ended else ASK_S

    async def _info(self, tenant_id: str, job_id: str) -> JobInfo:
        query = self.store.listing(tenant_id).where(jobs.c.job_id == _number(job_id))
        rows = await self.store.page(tenant_id, query)
        if not rows:
            raise _missing()
        info = make_item(JobInfo, rows[0])
        if info.state in ("waiting", "interrupted"):  # what runs is looked after by whoever does it
            self.runner.look_after(tenant_id)
        return info

    def _cursor(self, tenant_id: str, row: Any) -> str:
        return sign(self.cursor_key, tenant_id, LISTING, [row.created_at.isoformat(), row.job_id])


class _Watched:
    """What a display has shown of a job so far.

    Attributes:
        note: How it ended.
        progress: What shows it.
    """

    def __init__(self, progress: Progress) -> None:
        self.note = "no longer followed, show the job again"
        self.progress = progress
        self._counted = (0, 0, 0)

    def show(self, info: JobInfo) -> bool:
        """Shows how it stands; whether it has ended."""
        if info.total is not None:
            self.progress.grow(info.total)
        counted = (info.done, info.failed, info.chunks)
        done, failed, chunks = (new - old for new, old in zip(counted, self._counted, strict=True))
        self.progress.advance(done, failed=failed, chunks=chunks)
        self._counted = counted
        if info.state in ENDED:
            self.note = _end_of(info)
        return info.state in ENDED


def _number(job_id: Any) -> UUID:
    if isinstance(job_id, str) and len(job_id) > LONGEST_ID:
        raise InvalidInput("This job_id is too long.", hint="jobs.list() shows those there are.")
    try:
        return UUID(job_id)
    except (TypeError, ValueError, AttributeError):
        raise InvalidInput(
            "A job is named by its job_id.", hint="jobs.list() shows those there are."
        ) from None


def _job_id(tenant_id: str, verb: str, request: bytes) -> UUID:
    """A new one, but the same for the same request under the same idempotency key."""
    scope = current_scope()
    if scope is None or scope.key is None:
        return uuid.uuid4()
    return UUID(digest(tenant_id, verb, scope.key, request))


def _end_of(info: JobInfo) -> str:
    """What a display says of a job that has ended."""
    return f"failed: {info.error_code}, result() says more" if info.error_code else info.state


def _missing() -> NotFound:
    return NotFound("There is no such job.", hint="jobs.list() shows those there are.")


def _error(told: dict[str, Any], rows: Rows[Any]) -> AisdkError:
    """The error that the verb raised, made again."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    kind = next((kind for kind in kinds if kind.code == told["code"]), AisdkError)
    error: AisdkError = kind(told["message"], hint=told["hint"])
    for name in NUMBERS:
        if name in told:
            value = told[name]
            setattr(error, name, float(value) if isinstance(value, str) else value)
    if hasattr(error, "result"):
        setattr(error, "result", rows)  # noqa: B010  # only some errors have one
    return error
