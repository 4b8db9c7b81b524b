"""What a call returns whose work goes on as a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeAlias, TypeVar

from aisdk.core.jobs.service import JobsService
from aisdk.core.jobs.types import ENDED, JobInfo
from aisdk.core.results.page import Rows
from aisdk.core.results.progress import Progress, Silent, stoppable
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.loop import LoopThread
from aisdk.core.runtime.options import CallOptions
from aisdk.errors import DeadlineExceeded

__all__ = ["AsyncJob", "Job"]

SOON_S: Final = 0.05
LATER_S: Final = 0.5
GO_ON: Final = "the job goes on, result() waits again and cancel() ends it"

R = TypeVar("R")
T = TypeVar("T")

Where: TypeAlias = tuple[LoopThread, str, CallOptions]  # portal, tenant and options of a face


class AsyncJob(Face[JobsService], Generic[T]):
    """Work that goes on in the background, awaited. In a notebook it shows how far it is.

    Attributes:
        job_id: Its name, with which another process finds it: ``session.job(job_id)``.
    """

    def __init__(self, job_id: str, service: JobsService, *where: *Where) -> None:
        super().__init__(service, *where)
        self.job_id = job_id

    async def status(self) -> JobInfo:
        """How it stands.

        Raises:
            NotFound: There is no such job any more.
        """
        return await self._ask(JobsService.get)

    async def result(self, *, timeout_s: float | None = None) -> Rows[T]:
        """What the verb returns, as soon as it has ended.

        Args:
            timeout_s: How long to wait, in seconds; by default until it ends.

        Raises:
            DeadlineExceeded: It has not ended within ``timeout_s``; it goes on.
            Conflict: It was cancelled.
            AisdkError: What the verb raised, such as ``AddFailed`` with ``error.result``.
        """
        seen: list[JobInfo] = []
        try:
            with stoppable(Silent(), lambda: _standing(seen), GO_ON):
                async with asyncio.timeout(timeout_s):
                    await self._end(seen)
        except TimeoutError as error:
            if isinstance(error, DeadlineExceeded):
                raise
            raise DeadlineExceeded(
                f"The job has not ended within {timeout_s:g} s; it goes on.",
                hint="Ask again, or leave timeout_s= out.",
            ) from None
        return await self._ask(JobsService.result)

    async def _end(self, seen: list[JobInfo]) -> None:
        """Waits for it, and keeps in ``seen`` how it stands."""
        wait_s = SOON_S
        while True:
            seen[:] = [await self.status()]
            if seen[0].state in ENDED:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LATER_S)

    async def cancel(self) -> JobInfo:
        """Ends it, if it has not ended; what it has stored stays."""
        return await self._ask(JobsService.cancel)

    async def _ask(self, verb: Callable[[JobsService, str, str], Coroutine[Any, Any, R]]) -> R:
        result: R = await self._hop(self._body(verb, self._tenant_id, self.job_id))
        return result

    def _ipython_display_(self) -> None:
        where = (self._portal, self._tenant_id, self._options)
        Job(self.job_id, self._service, *where)._ipython_display_()

    def __repr__(self) -> str:
        return f"<aisdk.{type(self).__name__} {self.job_id}>"


def _standing(seen: list[JobInfo]) -> str:
    if not seen:
        return "nothing is known yet"
    info = seen[0]
    total = "" if info.total is None else f" of {info.total:,}"
    return f"{info.done:,}{total} done, {info.failed:,} failed"


class Job(Face[JobsService], Generic[T]):
    """Work that goes on in the background; its methods wait. In a notebook it shows how far it is.

    Attributes:
        job_id: Its name, with which another process finds it: ``session.job(job_id)``.
    """

    def __init__(self, job_id: str, service: JobsService, *where: *Where) -> None:
        super().__init__(service, *where)
        self._twin: AsyncJob[T] = AsyncJob(job_id, service, *where)
        self.job_id = job_id

    def status(self) -> JobInfo:
        """How it stands.

        Raises:
            NotFound: There is no such job any more.
        """
        return self._portal.call(self._twin.status)

    def result(self, *, timeout_s: float | None = None) -> Rows[T]:
        """What the verb returns, as soon as it has ended. An interrupt ends the waiting alone.

        Args:
            timeout_s: How long to wait, in seconds; by default until it ends.

        Raises:
            DeadlineExceeded: It has not ended within ``timeout_s``; it goes on.
            Conflict: It was cancelled.
            AisdkError: What the verb raised, such as ``AddFailed`` with ``error.result``.
        """
        return self._portal.call(lambda: self._twin.result(timeout_s=timeout_s))

    def cancel(self) -> JobInfo:
        """Ends it, if it has not ended; what it has stored stays."""
        return self._portal.call(self._twin.cancel)

    def follow(self, progress: Progress) -> None:
        """Shows how far it is until it ends, in the background."""
        self._portal.call(lambda: self._service.follow(self._tenant_id, self.job_id, progress))

    def _ipython_display_(self) -> None:
        from aisdk.notebook.jobs import show_job

        show_job(self)

    def __repr__(self) -> str:
        return f"<aisdk.{type(self).__name__} {self.job_id}>"
