"""Sessions: the domains of a client bound to one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aisdk.connect import Client
from aisdk.core.documents.faces import AsyncDocuments, Documents
from aisdk.core.rag.faces import AsyncRag, Rag
from aisdk.core.runtime.tenancy import checked_tenant

__all__ = ["AsyncSession", "Session"]


class Session:
    """A tenant's workbench for notebook cells; every verb waits for its result.

    Made by `aisdk.connect`.

    Attributes:
        tenant_id: The tenant.
        client: What the session works through; other sessions may share it.
        documents: The tenant's documents.
        rag: Search in them.
    """

    def __init__(self, client: Client, tenant_id: str, *, owns_client: bool = False) -> None:
        self.tenant_id = checked_tenant(tenant_id)
        self.client = client
        self._owns_client = owns_client
        self.documents = client.face(Documents, "documents", tenant_id)
        self.rag = client.face(Rag, "rag", tenant_id)

    def asynchronous(self) -> AsyncSession:
        """The same tenant through the same client, awaited."""
        return AsyncSession(self.client, self.tenant_id)

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

    Example:
        >>> async with aisdk.AsyncSession.connect("acme") as session:  # doctest: +SKIP
        ...     page = await session.rag.query("how do I parse a date?")
    """

    def __init__(self, client: Client, tenant_id: str) -> None:
        self.tenant_id = checked_tenant(tenant_id)
        self.client = client
        self.documents = client.face(AsyncDocuments, "documents", tenant_id)
        self.rag = client.face(AsyncRag, "rag", tenant_id)

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
            yield cls(used, tenant_id)
        finally:
            if client is None:
                await used.aclose()

    def __repr__(self) -> str:
        return f"<aisdk.AsyncSession of {self.tenant_id} on {self.client!r}>"
