"""Origin: what a live view may ask of the verbs behind a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Listing", "Origin"]


class Listing(Protocol):
    """A whole listing, of which a page is a part, in any of its orders and narrowed further."""

    @property
    def order(self) -> str:
        """The column by which the page was ordered, with ``-`` in front descending."""
        ...

    @property
    def orders(self) -> tuple[str, ...]:
        """The columns by which the listing can be ordered."""
        ...

    def count(self, where: Mapping[str, Any]) -> Awaitable[int]:
        """How many rows meet these conditions too."""
        ...

    def page(
        self, where: Mapping[str, Any], order: str, limit: int, cursor: str | None
    ) -> Awaitable[Any]:
        """An `AsyncPage` of at most ``limit`` of them, from the beginning or from a cursor."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows of a page come from.

    Attributes:
        text: A document_id → the document's text.
        listing: The whole listing; ``None`` where a page is all there is.
    """

    text: Callable[[str], Awaitable[str]]
    listing: Listing | None = None
