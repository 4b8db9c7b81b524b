"""Sessions: the domains of a client bound to one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, Unpack

from aisdk.connect import Client
from aisdk.core.cache.faces import AsyncCache, Cache
from aisdk.core.documents.faces import AsyncDocuments, Documents
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.jobs.faces import AsyncJobs, Jobs
from aisdk.core.jobs.handles import AsyncJob, Job
from aisdk.core.rag.faces import AsyncRag, Rag
from aisdk.core.results.page import Rows
from aisdk.core.runtime.faces import DEFAULT_OPTIONS, spelled
from aisdk.core.runtime.options import CallOptions, Options, changed_options, checked_options
from aisdk.core.runtime.tenancy import checked_tenant
from aisdk.core.usage.faces import AsyncUsage, Usage

__all__ = ["AsyncSession", "Session"]


class Session:
    """A tenant's workbench for notebook cells; every verb waits for its result.

    Made by `aisdk.connect`.

    Attributes:
        tenant_id: The tenant.
        client: What the session works through; other sessions may share it.
        documents: The tenant's documents.
        rag: Search in them.
        jobs: Work that goes on in the background.
        cache: Values of your own, kept for a while.
        usage: What the tenant has used, and what is left.
    """

    def __init__(
        self,
        client: Client,
        tenant_id: str,
        *,
        options: CallOptions = DEFAULT_OPTIONS,
        owns_client: bool = False,
    ) -> None:
        self.tenant_id = checked_tenant(tenant_id)
        self.client = client
        self._options = checked_options(options)
        self._owns_client = owns_client
        self.documents = client.face(Documents, "documents", tenant_id, options)
        self.rag = client.face(Rag, "rag", tenant_id, options)
        self.jobs = client.face(Jobs, "jobs", tenant_id, options)
        self.cache = client.face(Cache, "caching", tenant_id, options)
        self.usage = client.face(Usage, "usage", tenant_id, options)

    @spelled
    def with_options(self, **options: Unpack[Options]) -> Session:
        """The same session, whose calls are made with these options; costs no I/O.

        Args:
            options: ``deadline_s``, ``retries``, ``idempotency_key``; see `CallOptions`.

        Raises:
            InvalidInput: An option is unknown or out of its range.

        Example:
            >>> once = session.with_options(idempotency_key="order-17")
            >>> once.documents.delete("dates")
            1
        """
        return Session(self.client, self.tenant_id, options=changed_options(self._options, options))

    def job(self, job_id: str) -> Job[Any]:
        """A job that this or another process began; costs no I/O.

        Args:
            job_id: Its name, as ``jobs.list`` shows it.
        """
        where = (self.client._portal, self.tenant_id, self._options)  # noqa: SLF001  # its session
        return Job(job_id, self.client._parts.jobs, *where)  # noqa: SLF001  # its session

    def verify_isolation(self) -> Rows[ProbeResult]:
        """Tries every way to reach one tenant's data as another, in throw-away tenants.

        This tenant's own data are not touched.

        Returns:
            One row a probe: probe, tried, leaked, control, passed, milliseconds,
            error.

        Raises:
            ConfigError: This client may not register tenants.

        Example:
            >>> all(probe.passed for probe in session.verify_isolation())
            True
        """
        return self.client.call(lambda: self.client.verify_isolation(self._options))

    def asynchronous(self) -> AsyncSession:
        """The same tenant through the same client, awaited."""
        return AsyncSession(self.client, self.tenant_id, options=self._options)

    def close(self) -> None:
        """Closes the client if the session made it. May be called again."""
        if self._owns_client:
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<aisdk.Session of {self.tenant_id} on {self.client!r}>"


class AsyncSession:
    """A tenant's workbench for asynchronous code, from any event loop.

    Attributes:
        tenant_id: The tenant.
        client: What the session works through; other sessions may share it.
        documents: The tenant's documents.
        rag: Search in them.
        jobs: Work that goes on in the background.
        cache: Values of your own, kept for a while.
        usage: What the tenant has used, and what is left.

    Example:
        >>> async with aisdk.AsyncSession.connect("acme") as session:
        ...     page = await session.rag.query("how do I parse a date?")
    """

    def __init__(
        self, client: Client, tenant_id: str, *, options: CallOptions = DEFAULT_OPTIONS
    ) -> None:
        self.tenant_id = checked_tenant(tenant_id)
        self.client = client
        self._options = checked_options(options)
        self.documents = client.face(AsyncDocuments, "documents", tenant_id, options)
        self.rag = client.face(AsyncRag, "rag", tenant_id, options)
        self.jobs = client.face(AsyncJobs, "jobs", tenant_id, options)
        self.cache = client.face(AsyncCache, "caching", tenant_id, options)
        self.usage = client.face(AsyncUsage, "usage", tenant_id, options)

    @spelled
    def with_options(self, **options: Unpack[Options]) -> AsyncSession:
        """The same session, whose calls are made with these options; costs no I/O.

        Args:
            options: ``deadline_s``, ``retries``, ``idempotency_key``; see `CallOptions`.

        Raises:
            InvalidInput: An option is unknown or out of its range.
        """
        return AsyncSession(
            self.client, self.tenant_id, options=changed_options(self._options, options)
        )

    def job(self, job_id: str) -> AsyncJob[Any]:
        """A job that this or another process began; costs no I/O.

        Args:
            job_id: Its name, as ``jobs.list`` shows it.
        """
        where = (self.client._portal, self.tenant_id, self._options)  # noqa: SLF001  # its session
        return AsyncJob(job_id, self.client._parts.jobs, *where)  # noqa: SLF001  # its session

    async def verify_isolation(self) -> Rows[ProbeResult]:
        """Tries every way to reach one tenant's data as another, in throw-away tenants.

        Returns:
            One row a probe: probe, tried, leaked, control, passed, milliseconds,
            error.

        Raises:
            ConfigError: This client may not register tenants.
        """
        return await self.client.verify_isolation(self._options)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, tenant_id: str, *, client: Client | None = None
    ) -> AsyncIterator[AsyncSession]:
        """A session for an ``async with`` block, which closes the client it made.

        Args:
            tenant_id: 1 to 63 letters, digits, dots, hyphens or underscores.
            client: Share this client instead of making one from the environment.

        Raises:
            TenantRequired: The tenant is missing; also a ``ValueError``.
            ConfigError: The environment or the database is not fit.
            Unavailable: The database cannot be reached.
        """
        checked_tenant(tenant_id)
        used = client or Client()
        try:
            await used.astart()
            used.resume(tenant_id)
            yield cls(used, tenant_id)
        finally:
            if client is None:
                await used.aclose()

    def __repr__(self) -> str:
        return f"<aisdk.AsyncSession of {self.tenant_id} on {self.client!r}>"
