"""A listing of documents as a live view reads it: counted, in any order, narrowed further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aisdk.core.documents.types import ORDERS, DocumentInfo
from aisdk.core.results.page import AsyncPage
from aisdk.core.storage.filters import Where
from aisdk.errors import InvalidInput

if TYPE_CHECKING:
    from aisdk.core.documents.service import DocumentsService

__all__ = ["DocumentListing"]


@dataclass(frozen=True, slots=True)
class DocumentListing:
    """What ``documents.list`` was called with, to be called again with more.

    Attributes:
        service: The verbs.
        tenant_id: The tenant.
        where: The conditions of the first call.
        order: Its order.
        state: Its state.
    """

    service: DocumentsService
    tenant_id: str
    where: Where | None
    order: Any
    state: Any

    @property
    def orders(self) -> tuple[str, ...]:
        """The columns by which documents can be ordered."""
        return ORDERS

    async def text(self, document_id: str) -> str:
        """The document's text."""
        return (await self.service.get(self.tenant_id, document_id)).text

    async def count(self, where: Mapping[str, Any]) -> int:
        """How many documents meet these conditions too."""
        return await self.service.count(self.tenant_id, where=self._both(where), state=self.state)

    async def page(
        self, where: Mapping[str, Any], order: Any, limit: int, cursor: str | None
    ) -> AsyncPage[DocumentInfo]:
        """A page of them."""
        place: Any = {} if cursor is None else {"cursor": cursor}
        return await self.service.list(
            self.tenant_id,
            limit=limit,
            where=self._both(where),
            order=order,
            state=self.state,
            **place,
        )

    def _both(self, where: Mapping[str, Any]) -> Where:
        first = self.where or {}
        if first.keys() & where.keys():
            raise InvalidInput(
                "The listing is filtered by this key already.", hint="List without where= first."
            )
        return {**first, **where}
