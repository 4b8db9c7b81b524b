"""Origin: what displays and live views may ask of the verbs behind a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from aisdk.core.results.frame import Record

__all__ = ["Find", "Listing", "Origin"]

Find: TypeAlias = Callable[[str], Iterable[tuple[int, int]]]
"""Where a text has matched words: their beginnings and ends, from left to right, apart."""


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
    """Where the rows of a page come from; it stays in its process, pickled it is ``None``.

    Attributes:
        text: A document_id → the document's text.
        listing: The whole listing; ``None`` where a page is all there is.
        matched: A row → what finds the words in its title, heading and text that it was found by;
            ``None`` where words were not searched.
    """

    text: Callable[[str], Awaitable[str]]
    listing: Listing | None = None
    matched: Callable[[Record], Find] | None = None

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
