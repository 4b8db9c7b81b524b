"""``connect`` and ``Client``: where every use of aisdk begins."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aisdk.core.runtime.loop import LoopThread
from aisdk.core.runtime.tenancy import checked_tenant
from aisdk.wiring import Parts

if TYPE_CHECKING:
    from aisdk.core.cache.faces import ClientCache
    from aisdk.core.documents.faces import ClientDocuments
    from aisdk.core.isolation.types import ProbeResult
    from aisdk.core.jobs.faces import ClientJobs
    from aisdk.core.rag.faces import ClientRag
    from aisdk.core.results.page import Rows
    from aisdk.core.runtime.faces import Face
    from aisdk.core.runtime.options import CallOptions
    from aisdk.core.tenants.faces import ClientTenants
    from aisdk.core.usage.faces import ClientUsage
    from aisdk.session import AsyncSession, Session
    from aisdk.settings import Settings

__all__ = ["Client", "connect"]

F = TypeVar("F", bound="Face[Any]")
R = TypeVar("R")


def connect(tenant_id: str, *, client: Client | None = None) -> Session:
    """A blocking session of one tenant, ready to use in the next cell.

    Args:
        tenant_id: 1 to 63 letters, digits, dots, hyphens or underscores.
        client: Share this client; by default the session gets one of its own, made from the
            environment (``AISDK_…``), which closes with the session or with the process.

    Returns:
        The session.

    Raises:
        TenantRequired: The tenant is missing; also a ``ValueError``.
        ConfigError: The environment or the database is not fit; the message says what mends it.
        TenantUnknown: A database of your own does not know the tenant.
        Unavailable: The database cannot be reached.

    Example:
        >>> session = aisdk.connect("acme")
        >>> session.close()
    """
    from aisdk.session import Session

    checked_tenant(tenant_id)
    owner = client is None
    client = client or Client()
    try:
        client.start()
        client.check(tenant_id)
        client.resume(tenant_id)
    except BaseException:
        if owner:
            client.close()
        raise
    return Session(client, tenant_id, owns_client=owner)


class Client:
    """Owns the scarce things: connections, cache, loop thread and embedding model.

    One is enough for a process, however many tenants it serves. Making one costs no I/O; the first
    call does what is needed. It may be used from any thread and any event loop.

    Args:
        settings: By default read from the environment.

    Raises:
        ConfigError: A setting is missing or wrong.

    Example:
        >>> client = aisdk.Client()
        >>> page = await client.rag.query("acme", "how do I parse a date?")
        >>> await client.aclose()
    """

    def __init__(self, settings: Settings | None = None) -> None:
        from aisdk.settings import load_settings

        self.settings = settings or load_settings()
        self._portal = LoopThread()
        self._parts = Parts(self.settings, self._portal)
        self._finalizer = weakref.finalize(self, _close_later, self._parts)
        self._finalizer.atexit = False
        _close_at_exit(self._parts)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forgetting(weakref.ref(self._parts)))

    @cached_property
    def documents(self) -> ClientDocuments:
        """Documents of any tenant, awaited."""
        from aisdk.core.documents.faces import ClientDocuments

        return self.face(ClientDocuments, "documents")

    @cached_property
    def rag(self) -> ClientRag:
        """Search of any tenant, awaited."""
        from aisdk.core.rag.faces import ClientRag

        return self.face(ClientRag, "rag")

    @cached_property
    def jobs(self) -> ClientJobs:
        """Work of any tenant that goes on in the background, awaited."""
        from aisdk.core.jobs.faces import ClientJobs

        return self.face(ClientJobs, "jobs")

    @cached_property
    def cache(self) -> ClientCache:
        """Cached values of any tenant, awaited."""
        from aisdk.core.cache.faces import ClientCache

        return self.face(ClientCache, "caching")

    @cached_property
    def usage(self) -> ClientUsage:
        """What any tenant has used, awaited."""
        from aisdk.core.usage.faces import ClientUsage

        return self.face(ClientUsage, "usage")

    @cached_property
    def tenants(self) -> ClientTenants:
        """The register of tenants, awaited; for whoever runs the platform.

        Raises:
            ConfigError: This client may not register tenants.
        """
        from aisdk.core.tenants.faces import ClientTenants

        return self.face(ClientTenants, "tenants")

    async def verify_isolation(self, options: CallOptions | None = None) -> Rows[ProbeResult]:
        """Tries every way to reach one tenant's data as another, in throw-away tenants.

        Args:
            options: How the call is to be made; a session gives its own.

        Returns:
            One row a probe: probe, tried, leaked, control, passed, milliseconds,
            error.

        Raises:
            ConfigError: This client may not register tenants.
        """
        from aisdk.core.isolation.faces import ClientIsolation

        return await self.face(ClientIsolation, "isolation", options=options).verify()

    def face(
        self,
        face: type[F],
        domain: str,
        tenant_id: str = "",
        options: CallOptions | None = None,
    ) -> F:
        """One domain of this client through a face, for a tenant where one is given."""
        from aisdk.core.runtime.options import CallOptions

        service = getattr(self._parts, domain)
        return face(service, self._portal, tenant_id, options or CallOptions())

    def call(self, make: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Waits for a coroutine that is made and run on the client's own loop. Blocking."""
        return self._portal.call(make)

    def check(self, tenant_id: str) -> None:
        """Refuses a tenant that is not known. Blocking.

        Raises:
            InvalidInput: It is no name of a tenant.
            TenantUnknown: A database of your own does not know it.
        """
        checked_tenant(tenant_id)
        self._portal.call(lambda: self._parts.directory.find(tenant_id))

    def resume(self, tenant_id: str) -> None:
        """Goes on with a tenant's jobs whose process has gone; returns at once."""
        runner = self._parts.runner
        self._portal.loop().call_soon_threadsafe(runner.look_after, checked_tenant(tenant_id))

    def session(self, tenant_id: str) -> AsyncSession:
        """A tenant's view of this client; costs no I/O and need not be closed."""
        from aisdk.session import AsyncSession

        return AsyncSession(self, tenant_id)

    def start(self) -> None:
        """Starts, checks or migrates the database now instead of with the first call. Blocking.

        Raises:
            ConfigError: It is not fit; the message says what mends it.
            Unavailable: It cannot be reached.
        """
        self._portal.loop()  # refuses when closed, before anything is started
        self._parts.start_server_early()
        self._portal.call(self._parts.ready)

    async def astart(self) -> None:
        """The same as ``start``, awaited."""
        await self._portal.hop(self._parts.ready)

    def close(self) -> None:
        """Stops taking calls, lets running ones finish, then closes everything. Blocking.

        Calls that run longer than ``AISDK_SHUTDOWN_S`` are cancelled. May be called again.
        """
        self._finalizer.detach()
        self._parts.close()

    async def aclose(self) -> None:
        """The same as ``close``, awaited."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = "embedded PostgreSQL" if self.settings.database_url is None else "PostgreSQL"
        return f"<aisdk.Client on {where}>"


def _close_later(parts: Parts) -> None:
    """Closes the parts of a client that nobody holds any more.

    The garbage collector may call this on any thread, the portal's included.
    """
    threading.Thread(target=parts.close, name="aisdk-close").start()


def _close_at_exit(parts: Parts) -> None:
    """Closes before the interpreter shuts down its thread pools: ``atexit`` is too late."""
    held = weakref.ref(parts)

    def close() -> None:
        alive = held()
        if alive is not None:
            alive.close()

    register = getattr(threading, "_register_atexit", atexit.register)
    register(close)


def _forgetting(held: weakref.ref[Parts]) -> Callable[[], None]:
    def forget() -> None:
        alive = held()
        if alive is not None:
            alive.forget()

    return forget
