"""The faces of the jobs domain."""

from __future__ import annotations

from aisdk.core.jobs.service import JobsService
from aisdk.core.runtime.faces import Face, blocking, bound, hosted

__all__ = ["AsyncJobs", "ClientJobs", "Jobs"]


class AsyncJobs(Face[JobsService]):
    """A tenant's jobs, awaited."""

    __slots__ = ()

    list = bound(JobsService.list)
    get = bound(JobsService.get)
    result = bound(JobsService.result)
    cancel = bound(JobsService.cancel)


class Jobs(Face[JobsService]):
    """A tenant's jobs, for notebook cells."""

    __slots__ = ()

    list = blocking(JobsService.list)
    get = blocking(JobsService.get)
    result = blocking(JobsService.result)
    cancel = blocking(JobsService.cancel)


class ClientJobs(Face[JobsService]):
    """Any tenant's jobs, awaited; the tenant comes first."""

    __slots__ = ()

    list = hosted(JobsService.list)
    get = hosted(JobsService.get)
    result = hosted(JobsService.result)
    cancel = hosted(JobsService.cancel)
