"""The faces of the rag domain."""

from __future__ import annotations

from aisdk.core.rag.service import RagService
from aisdk.core.runtime.faces import Face, blocking, bound, hosted

__all__ = ["AsyncRag", "ClientRag", "Rag"]


class AsyncRag(Face[RagService]):
    """Search in a tenant's documents, awaited."""

    __slots__ = ()

    query = bound(RagService.query)
    query_many = bound(RagService.query_many)
    explain = bound(RagService.explain)


class Rag(Face[RagService]):
    """Search in a tenant's documents, for notebook cells."""

    __slots__ = ()

    query = blocking(RagService.query)
    query_many = blocking(RagService.query_many)
    explain = blocking(RagService.explain)


class ClientRag(Face[RagService]):
    """Search in any tenant's documents, awaited; the tenant comes first."""

    __slots__ = ()

    query = hosted(RagService.query)
    query_many = hosted(RagService.query_many)
    explain = hosted(RagService.explain)
