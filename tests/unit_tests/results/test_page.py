"""Pages: rows, continuation, collecting, and their blocking twins."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.results.frame import JSON
from aisdk.core.results.page import AsyncPage, Page
from aisdk.core.results.progress import Progress, way_on
from aisdk.errors import InvalidInput, NotFound

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row:
    """A numbered row."""

    number: int
    metadata: Mapping[str, JSON]


class Listing:
    """A listing of ``total`` rows in pages of ``size``; remembers what was asked of it."""

    def __init__(self, total: int, size: int) -> None:
        self.total, self.size = total, size
        self.limits: list[int | None] = []

    def page(self, start: int = 0, limit: int | None = None) -> AsyncPage[Row]:
        """The rows from ``start``."""
        end = min(start + (limit or self.size), self.total)
        records = [
            (number, '{"odd": true}' if number % 2 else '{"odd": false}')
            for number in range(start, end)
        ]
        cursor = str(end) if end < self.total else None
        attrs: dict[str, JSON] = {"request_id": f"r{start}"}
        return AsyncPage(Row, records, cursor=cursor, attrs=attrs, fetch=self.fetch)

    async def fetch(self, cursor: str, limit: int | None) -> AsyncPage[Row]:
        """Continues at a cursor."""
        self.limits.append(limit)
        return self.page(int(cursor), limit)


class Portal:
    """Runs work in a loop of its own and counts how often it was entered."""

    def __init__(self) -> None:
        self.entered = 0

    def call(self, work: Callable[[], Coroutine[Any, Any, R]], /) -> R:
        """Blocks until the work is done."""
        self.entered += 1
        return asyncio.run(work())

    def hop(self, work: Callable[[], Coroutine[Any, Any, R]], /) -> Awaitable[R]:
        """Awaits the work."""
        self.entered += 1
        return work()


class Tally:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str, int | None]] = []
        self.done = 0
        self.closed = 0
        self.note = ""

    def start(self, title: str, unit: str, total: int | None) -> Progress:
        """The factory."""
        self.started.append((title, unit, total))
        return self

    def advance(self, done: int = 1, *, failed: int = 0, chunks: int = 0) -> None:
        """Counts."""
        del chunks
        self.done += done + failed

    def grow(self, total: int) -> None:
        """Nothing to grow."""

    def close(self, note: str = "") -> None:
        """Counts how often it was closed, and keeps what was said."""
        self.closed += 1
        self.note = note


def numbers(page: AsyncPage[Row] | Page[Row]) -> list[int]:
    """The numbers of the rows."""
    return [row.number for row in page]


def test_rows_are_a_sequence_of_items() -> None:
    """Length, places from both ends, slices and iteration give items with decoded JSON."""
    page = Listing(10, 4).page()
    assert len(page) == 4
    assert page[1] == Row(1, {"odd": True})
    assert page[-1].number == 3
    assert [row.number for row in page[1:3]] == [1, 2]
    assert page.items == tuple(page)
    assert 9 not in numbers(page)


def test_rows_place_beyond_the_end_raises_index_error() -> None:
    """A page fails as a list does."""
    with pytest.raises(IndexError):
        Listing(1, 1).page()[1]


def test_empty_page_is_false_and_has_no_more() -> None:
    """``if page:`` asks whether there are rows."""
    page = Listing(0, 5).page()
    assert not page
    assert not page.has_more


def test_to_frame_carries_attrs_and_cursor() -> None:
    """The frame knows which call it came from, as plain JSON."""
    frame = Listing(10, 4).page().to_frame()
    assert frame["number"].tolist() == [0, 1, 2, 3]
    assert frame.attrs == {"request_id": "r0", "cursor": "4"}


def test_to_frame_with_index_takes_that_column() -> None:
    """A column may become the index."""
    frame = Listing(10, 4).page().to_frame(index="number")
    assert frame.index.tolist() == [0, 1, 2, 3]
    assert list(frame.columns) == ["metadata"]


def test_to_frame_with_unknown_index_names_the_choices() -> None:
    """The error lists the columns there are."""
    with pytest.raises(InvalidInput, match="number, metadata"):
        Listing(1, 1).page().to_frame(index="nubmer")


def test_to_frame_twice_gives_frames_of_their_own() -> None:
    """Changing one frame changes neither the page nor the next frame."""
    page = Listing(3, 3).page()
    frame = page.to_frame()
    frame.loc[0, "number"] = 99
    assert page.to_frame()["number"].tolist() == [0, 1, 2]


def test_to_arrow_is_built_once() -> None:
    """The table is kept."""
    page = Listing(3, 3).page()
    assert page.to_arrow() is page.to_arrow()


def test_arrow_stream_is_read_by_pyarrow_and_polars() -> None:
    """Other libraries take a page as it is, through Arrow and with its types."""
    page = Listing(3, 3).page()
    assert pa.table(page) == page.to_arrow()
    assert pl.DataFrame(page).schema == {"number": pl.Int64, "metadata": pl.String}


async def test_next_gives_the_page_after() -> None:
    """A page leads to the next, with as many rows."""
    listing = Listing(10, 4)
    page = await listing.page().next()
    assert numbers(page) == [4, 5, 6, 7]
    assert listing.limits == [None]


async def test_next_on_the_last_page_raises_not_found() -> None:
    """There is nothing after the last page, and the error says how to ask."""
    with pytest.raises(NotFound, match="has_more"):
        await Listing(3, 4).page().next()


async def test_next_without_a_way_says_to_call_the_verb_again() -> None:
    """A page rebuilt from stored values still has its cursor."""
    with pytest.raises(NotFound, match=r"cursor=page\.cursor"):
        await AsyncPage(Row, [], cursor="5").next()


async def test_pages_begins_with_this_page() -> None:
    """All pages from here on, none twice."""
    pages = [numbers(page) async for page in Listing(10, 4).page().pages()]
    assert pages == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_collect_gives_all_rows_as_one_page() -> None:
    """Everything there is, without a cursor, keeping the facts of the first call."""
    whole = await Listing(10, 4).page().collect()
    assert numbers(whole) == list(range(10))
    assert not whole.has_more
    assert whole.attrs == {"request_id": "r0"}


async def test_collect_asks_for_large_pages() -> None:
    """Small display pages do not make a hundred thousand rows slow."""
    listing = Listing(12_000, 10)
    await listing.page().collect(max_rows=11_000)
    assert listing.limits == [5_000, 5_000, 990]


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 50))
def test_collect_to_any_limit_loses_no_row(total: int, size: int, max_rows: int) -> None:
    """What is collected and what follows its cursor are all rows, once and in order."""

    async def run() -> None:
        whole = await Listing(total, size).page().collect(max_rows=max_rows)
        assert len(whole) == min(total, max(max_rows, size))
        assert whole.has_more == (len(whole) < total)
        rest = [number async for page in whole.pages() for number in numbers(page)]
        assert rest == list(range(total))

    asyncio.run(run())


async def test_collect_cut_short_says_so() -> None:
    """The display of a cut result tells that there is more, and how to get it."""
    whole = await Listing(10, 4).page().collect(max_rows=6)
    assert "6 rows, more: await page.next() or cursor=page.cursor" in repr(whole)


@pytest.mark.parametrize("max_rows", [0, -1])
async def test_collect_with_a_useless_limit_is_refused(max_rows: int) -> None:
    """A limit below one is a mistake."""
    with pytest.raises(InvalidInput, match="max_rows"):
        await Listing(10, 4).page().collect(max_rows=max_rows)


async def test_collect_shows_and_closes_its_progress() -> None:
    """Every row is counted once, and the progress is closed."""
    tally = Tally()
    await Listing(10, 4).page().collect(progress=tally.start)
    assert tally.started == [("Collecting", "rows", None)]
    assert (tally.done, tally.closed) == (10, 1)


async def test_collect_that_fails_closes_its_progress() -> None:
    """A failing fetch leaves no open bar behind, and none that looks as if all had come."""

    async def fail(cursor: str, limit: int | None) -> AsyncPage[Row]:
        del cursor, limit
        raise NotFound

    tally = Tally()
    with pytest.raises(NotFound):
        await AsyncPage(Row, [], cursor="1", fetch=fail).collect(progress=tally.start)
    assert tally.closed == 1
    assert tally.note.startswith("stopped: ")


async def test_hopping_page_runs_all_its_fetches_through_the_hop() -> None:
    """Pages that come from a hopping page hop too; collecting hops once."""
    portal = Portal()
    page = Listing(10, 2).page().hopping(portal.hop)
    second = await page.next()
    await second.next()
    assert portal.entered == 2
    assert len(await page.collect()) == 10
    assert portal.entered == 3


def test_blocking_page_has_the_same_rows_and_facts() -> None:
    """The twin shows what its source shows."""
    source = Listing(10, 4).page()
    page = Page(source, Portal().call)
    assert numbers(page) == numbers(source)
    assert (page.cursor, page.attrs) == (source.cursor, source.attrs)
    assert "more: page.next() or cursor=page.cursor" in repr(page)


def test_blocking_pages_follow_each_other() -> None:
    """``next()`` and ``pages()`` work in a cell without await."""
    page = Page(Listing(10, 4).page(), Portal().call)
    assert numbers(page.next()) == [4, 5, 6, 7]
    assert [len(each) for each in page.pages()] == [4, 4, 2]


def test_blocking_next_on_the_last_page_raises_not_found() -> None:
    """The blocking twin fails as the async page does."""
    with pytest.raises(NotFound):
        Page(Listing(3, 4).page(), Portal().call).next()


def test_blocking_collect_enters_the_portal_once() -> None:
    """One call, however many pages."""
    portal, tally = Portal(), Tally()
    whole = Page(Listing(100, 3).page(), portal.call, tally.start).collect(max_rows=50)
    assert numbers(whole) == list(range(50))
    assert whole.has_more
    assert (portal.entered, tally.done, tally.closed) == (1, 50, 1)
    assert numbers(whole.next())[0] == 50


def test_blocking_collect_without_progress_shows_none() -> None:
    """Progress can be switched off for one call."""
    tally = Tally()
    Page(Listing(9, 3).page(), Portal().call, tally.start).collect(progress=False)
    assert tally.started == []


def elsewhere(value: Any) -> Any:
    """A value as another process gets it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # our own


def test_page_goes_to_another_process_with_its_rows() -> None:
    """Blocking and awaited; what would fetch the next page stays, and the page says so."""
    portal = Portal()
    page: Page[Row] = Page(Listing(5, 2).page(), portal.call)
    there = elsewhere(page)
    assert (list(there), there.cursor, there.attrs) == (list(page), page.cursor, page.attrs)
    assert there.to_frame().equals(page.to_frame())
    for ask in (there.next, there.collect):
        with pytest.raises(NotFound, match=r"cursor=page\.cursor"):
            ask()
    whole = elsewhere(page.collect())
    assert len(whole.collect()) == 5
    awaited = elsewhere(Listing(5, 2).page().hopping(portal.hop))
    assert (type(awaited), list(awaited)) == (AsyncPage, list(page))
    with pytest.raises(NotFound, match=r"cursor=page\.cursor"):
        asyncio.run(awaited.next())
    assert way_on.get() is None  # else a later interrupt told of this


def test_copy_of_a_page_keeps_the_way_on() -> None:
    """It is frozen, so it is the page itself."""
    page: Page[Row] = Page(Listing(5, 2).page(), Portal().call)
    assert len(copy.copy(page).next()) == len(copy.deepcopy(page).next()) == 2
