"""The faces of the documents domain."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Literal, Unpack, overload

from aisdk.core.documents.service import DocumentsService
from aisdk.core.documents.types import AddOptions, SourceOutcome
from aisdk.core.jobs.handles import AsyncJob, Job
from aisdk.core.results.page import Rows
from aisdk.core.runtime.faces import Face, blocking, bound, hosted, spelled

__all__ = ["AsyncDocuments", "ClientDocuments", "Documents"]


class AsyncDocuments(Face[DocumentsService]):
    """A tenant's documents, awaited."""

    __slots__ = ()

    @overload
    async def add(
        self, what: Any, *, wait: Literal[True] = True, **options: Unpack[AddOptions]
    ) -> Rows[SourceOutcome]: ...
    @overload
    async def add(
        self, what: Any, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> AsyncJob[SourceOutcome]: ...
    @spelled
    async def add(  # noqa: D102  # it has the verb's
        self, what: Any, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Rows[SourceOutcome] | AsyncJob[SourceOutcome]:
        done = await self._add(what, wait=wait, **options)
        return done if isinstance(done, Rows) else AsyncJob(done, *_jobs(self))

    _add = bound(DocumentsService.add)
    add.__doc__ = _add.__doc__
    get = bound(DocumentsService.get)
    list = bound(DocumentsService.list)
    count = bound(DocumentsService.count)
    update = bound(DocumentsService.update)
    delete = bound(DocumentsService.delete)
    info = bound(DocumentsService.info)
    set_language = bound(DocumentsService.set_language)


class Documents(Face[DocumentsService]):
    """A tenant's documents, for notebook cells."""

    __slots__ = ()

    @overload
    def add(
        self, what: Any, *, wait: Literal[True] = True, **options: Unpack[AddOptions]
    ) -> Rows[SourceOutcome]: ...
    @overload
    def add(
        self, what: Any, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> Job[SourceOutcome]: ...
    @spelled
    def add(  # noqa: D102  # it has the verb's
        self, what: Any, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Rows[SourceOutcome] | Job[SourceOutcome]:
        __tracebackhide__ = True  # read by IPython, which leaves this frame out
        done = self._add(what, wait=wait, **options)
        return done if isinstance(done, Rows) else Job(done, *_jobs(self))

    _add = blocking(DocumentsService.add)
    add.__doc__ = _add.__doc__
    get = blocking(DocumentsService.get)
    list = blocking(DocumentsService.list)
    count = blocking(DocumentsService.count)
    update = blocking(DocumentsService.update)
    delete = blocking(DocumentsService.delete)
    info = blocking(DocumentsService.info)
    set_language = blocking(DocumentsService.set_language)


class ClientDocuments(Face[DocumentsService]):
    """Any tenant's documents, awaited; the tenant comes first."""

    __slots__ = ()

    @overload
    async def add(
        self,
        tenant_id: str,
        what: Any,
        *,
        wait: Literal[True] = True,
        **options: Unpack[AddOptions],
    ) -> Rows[SourceOutcome]: ...
    @overload
    async def add(
        self, tenant_id: str, what: Any, *, wait: Literal[False], **options: Unpack[AddOptions]
    ) -> AsyncJob[SourceOutcome]: ...
    @spelled
    def add(  # noqa: D102  # it has the verb's
        self,
        tenant_id: str = "",
        what: Any = None,
        *,
        wait: bool = True,
        **options: Unpack[AddOptions],
    ) -> Coroutine[Any, Any, Rows[SourceOutcome] | AsyncJob[SourceOutcome]]:
        return self._awaited(tenant_id, self._add(tenant_id, what, wait=wait, **options))

    async def _awaited(
        self, tenant_id: str, adding: Awaitable[Rows[SourceOutcome] | str]
    ) -> Rows[SourceOutcome] | AsyncJob[SourceOutcome]:
        done = await adding
        return done if isinstance(done, Rows) else AsyncJob(done, *_jobs(self, tenant_id))

    _add = hosted(DocumentsService.add)
    add.__doc__ = _add.__doc__
    get = hosted(DocumentsService.get)
    list = hosted(DocumentsService.list)
    count = hosted(DocumentsService.count)
    update = hosted(DocumentsService.update)
    delete = hosted(DocumentsService.delete)
    info = hosted(DocumentsService.info)
    set_language = hosted(DocumentsService.set_language)


def _jobs(face: Face[DocumentsService], tenant_id: str = "") -> tuple[Any, Any, str, Any]:
    """Where a face's jobs are."""
    where = (face._portal, tenant_id or face._tenant_id, face._options)  # noqa: SLF001  # of a face
    return (face._service.jobs, *where)  # noqa: SLF001  # of a face
