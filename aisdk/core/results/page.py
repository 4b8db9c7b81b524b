"""A page: rows that listing and search verbs return, with the way to the pages that follow."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from aisdk.core.results.frame import JSON, Record
from aisdk.core.results.origin import Origin
from aisdk.core.results.progress import Progress, ProgressFactory, fitting, silent, stoppable
from aisdk.core.results.rows import Rows
from aisdk.errors import InvalidInput, NotFound

__all__ = ["AsyncPage", "Call", "Fetch", "Hop", "Page", "Rows"]

T = TypeVar("T")
R = TypeVar("R")

_COLLECT_ROWS = 5_000  # rows that collect() asks for at once: few round trips, bounded memory
_GO_ON = "the rows are not kept, collect again, or take them as they come with pages()"


class Call(Protocol):
    """Runs a coroutine function where its connections live, and blocks until it is done."""

    def __call__(self, work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
        """The result of ``work``."""
        ...


class Hop(Protocol):
    """Runs a coroutine function where its connections live, awaited from any event loop."""

    def __call__(self, work: Callable[[], Coroutine[Any, Any, R]], /) -> Awaitable[R]:
        """An awaitable for the result of ``work``."""
        ...


class AsyncPage(Rows[T]):
    """A page whose further pages are awaited; iterating over it gives its own rows."""

    __slots__ = ("_fetch", "_hop")

    _more: ClassVar[str] = "await page.next() or cursor=page.cursor"

    def __init__(
        self,
        item: type[T],
        records: Sequence[Record],
        *,
        cursor: str | None = None,
        attrs: Mapping[str, JSON] | None = None,
        fetch: Fetch[T] | None = None,
    ) -> None:
        """Makes a page.

        Args:
            item: The dataclass of the rows.
            records: The rows: values in the order of the fields.
            cursor: Where the next page begins; None says that this is the last one.
            attrs: Small JSON-safe facts about the call.
            fetch: Continues at a cursor with at most so many rows, None meaning as many as here.
        """
        super().__init__(item, records, cursor=cursor, attrs=attrs)
        self._fetch = fetch
        self._hop: Hop = _stay

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it has its rows, and nobody to ask for more of them."""
        records = list(map(tuple, self.records))
        return _lone, (self.item, records, self.cursor, dict(self.attrs))

    def hopping(self, hop: Hop) -> AsyncPage[T]:
        """The same page, whose next pages are fetched through ``hop``."""
        page = AsyncPage(
            self.item, self.records, cursor=self.cursor, attrs=self.attrs, fetch=self._fetch
        )
        page._hop, page.origin = hop, self.origin
        return page

    def from_origin(self, origin: Origin | None) -> AsyncPage[T]:
        """The same page, from an origin that displays may ask."""
        page = AsyncPage(
            self.item, self.records, cursor=self.cursor, attrs=self.attrs, fetch=self._fetch
        )
        page.origin = origin
        return page

    async def next(self) -> AsyncPage[T]:
        """The page after this one.

        Raises:
            NotFound: This is the last page.
        """
        page = await self._hop(self._continue)
        return page.hopping(self._hop)

    async def pages(self) -> AsyncIterator[AsyncPage[T]]:
        """This page and all that follow, each fetched when it is its turn."""
        page = self
        yield page
        while page.has_more:
            page = await page.next()
            yield page

    async def collect(
        self, *, max_rows: int = 100_000, progress: ProgressFactory | None = None
    ) -> AsyncPage[T]:
        """The rows of this page and of all that follow, as one page.

        Args:
            max_rows: Where to stop, at least 1. When there are more rows, the result still has a
                cursor: ``has_more`` is true, the display says so, and ``next()`` goes on there.
            progress: Shows the rows as they come; by default nothing is shown.

        Returns:
            A page of at most ``max_rows`` rows (or of this page's rows, when they are more).
        """
        _check_max_rows(max_rows)
        shown = (progress or silent)("Collecting", "rows", None)
        page = await self._hop(lambda: self._gather(max_rows, shown))
        return page.hopping(self._hop)

    async def _continue(self, limit: int | None = None) -> AsyncPage[T]:
        if self.cursor is None:
            raise NotFound("This is the last page.", hint="Ask page.has_more before page.next().")
        if self._fetch is None:
            raise _lost()
        return await self._fetch(self.cursor, limit)

    async def _gather(self, max_rows: int, progress: Progress) -> AsyncPage[T]:
        records = list(self.records)
        last = self
        if self._fetch is None and self.has_more and len(records) < max_rows:
            raise _lost()  # before there is anything to stop
        with stoppable(progress, lambda: f"{len(records):,} rows had come", _GO_ON):
            progress.advance(len(records))
            while last.has_more and len(records) < max_rows:
                last = await last._continue(min(max_rows - len(records), _COLLECT_ROWS))
                records.extend(last.records)
                progress.advance(len(last))
        page = AsyncPage(
            self.item, records, cursor=last.cursor, attrs=self.attrs, fetch=self._fetch
        )
        return page.from_origin(self.origin and replace(self.origin, listing=None))


Fetch: TypeAlias = Callable[[str, int | None], Awaitable[AsyncPage[T]]]
"""Continues a listing: a cursor, and the most rows wanted (None: as many as before)."""


class Page(Rows[T]):
    """A page whose further pages are fetched by blocking calls, for notebook cells and scripts.

    Iterating over it gives its own rows; ``pages()`` iterates over pages.
    """

    __slots__ = ("_call", "_progress", "_source")

    _more: ClassVar[str] = "page.next() or cursor=page.cursor"

    def __init__(
        self, source: AsyncPage[T], call: Call, progress: ProgressFactory = fitting
    ) -> None:
        """Makes the blocking twin of a page.

        Args:
            source: The page, not hopping.
            call: Runs a coroutine function on the loop of the connections.
            progress: How ``collect()`` shows its progress; by default what fits the place.
        """
        super().__init__(source.item, source.records, cursor=source.cursor, attrs=source.attrs)
        self.origin = source.origin
        self._source = source
        self._call = call
        self._progress = progress

    def __reduce__(self) -> tuple[Any, ...]:
        """Elsewhere it has its rows, and nobody to ask for more of them."""
        return Page, (self._source, _at_once)

    def next(self) -> Page[T]:
        """The page after this one.

        Raises:
            NotFound: This is the last page.
        """
        return Page(self._call(self._source.next), self._call, self._progress)

    def pages(self) -> Iterator[Page[T]]:
        """This page and all that follow, each fetched when it is its turn."""
        page = self
        yield page
        while page.has_more:
            page = page.next()
            yield page

    def collect(self, *, max_rows: int = 100_000, progress: bool = True) -> Page[T]:
        """The rows of this page and of all that follow, as one page, in one blocking call.

        Args:
            max_rows: Where to stop, at least 1. When there are more rows, the result still has a
                cursor: ``has_more`` is true, the display says so, and ``next()`` goes on there.
            progress: Whether to show the rows as they come.

        Returns:
            A page of at most ``max_rows`` rows (or of this page's rows, when they are more).

        Example:
            >>> frame = session.documents.list().collect().to_frame()
        """
        shown = self._progress if progress else silent
        source = self._source
        whole = self._call(lambda: source.collect(max_rows=max_rows, progress=shown))
        return Page(whole, self._call, self._progress)

    def wait(self, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """The result of a coroutine function run on the loop of the connections."""
        return self._call(work)


def _lone(
    item: type[T], records: list[Record], cursor: str | None, attrs: dict[str, JSON]
) -> AsyncPage[T]:
    return AsyncPage(item, records, cursor=cursor, attrs=attrs)


def _at_once(work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
    """The result of work that waits for nothing, as that of a page which has lost its way on."""
    try:
        work().send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the coroutine returns
    raise _lost()


def _lost() -> NotFound:
    return NotFound(
        "This page has lost the way to the next one.",
        hint="Call the verb again with cursor=page.cursor.",
    )


async def _stay(work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
    return await work()


def _check_max_rows(max_rows: Any) -> None:
    if isinstance(max_rows, bool) or not isinstance(max_rows, Integral) or max_rows < 1:
        raise InvalidInput(
            "max_rows must be a whole number, at least 1.", hint="Leave it out for 100,000 rows."
        )
