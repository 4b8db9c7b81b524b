"""The values of the jobs domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from aisdk.core.results.page import Rows
from aisdk.core.results.progress import Progress
from aisdk.core.results.record import Shown

__all__ = ["ENDED", "NUMBERS", "Claimed", "JobInfo", "Kind", "State"]

State: TypeAlias = Literal["waiting", "running", "interrupted", "done", "failed", "cancelled"]
ENDED: Final = frozenset({"done", "failed", "cancelled"})
# What an error says beside its text, kept with the job.
NUMBERS: Final = ("limit", "used", "retry_after_s", "reset_s")


@dataclass(frozen=True, slots=True)
class JobInfo(Shown):
    """How a job stands: a row of ``jobs.list``.

    Attributes:
        job_id: Its name.
        verb: What it does, such as ``documents.add``.
        state: ``waiting``, ``running``, ``interrupted`` (its process has gone; who connects as
            the tenant where its files are goes on with it), ``done``, ``failed`` or ``cancelled``.
        done: Units that ended well, such as documents.
        failed: Units that did not.
        chunks: Chunks that those have in the store, unchanged ones too.
        total: How many there are; ``None`` while that is unknown.
        error_code: Why it failed, such as ``add_failed``.
        created_at: When it was accepted.
        started_at: When it was begun, the last time if more than once; ``None`` before.
        updated_at: When it was last heard of.
        ended_at: When it ended; ``None`` before.
    """

    job_id: str
    verb: str
    state: str
    done: int
    failed: int
    chunks: int
    total: int | None
    error_code: str | None
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Kind:
    """A verb whose work can be done by a job.

    Attributes:
        rows: What its answer has rows of.
        run: Tenant, stored request and progress → the answer.
    """

    rows: type[Any]
    run: Callable[[str, bytes, Progress], Awaitable[Rows[Any]]]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours to do.

    Attributes:
        job_id: Its name.
        verb: What it does.
        request: What it was given.
        attempts: How often it was begun, this time included.
    """

    job_id: UUID
    verb: str
    request: bytes
    attempts: int
