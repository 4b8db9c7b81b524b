"""The rows of a listing for a live view: read from the store where one scrolls to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from aisdk.core.results.frame import Record, columns_of
from aisdk.core.results.origin import Listing
from aisdk.notebook.blocks import BLOCK_ROWS, Block, View

__all__ = ["KEPT_BLOCKS", "StoredRows"]

KEPT_BLOCKS: Final = 12  # of a view
KEPT_VIEWS: Final = 3  # two windows on one notebook may show two, and the last one is still clicked
STRIDE_ROWS: Final = 5_000  # passed over in one call on the way to a block
MOST_STRIDES: Final = 5  # in the answer to one question: the kernel does nothing else meanwhile

Wait: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Any]


class StoredRows:
    """The rows of a listing, read where they are looked at; the last blocks are kept.

    A block is reached by the cursors of the listing: from the nearest place that is known, from
    the beginning or from the end, with long strides whose rows are not kept.

    Attributes:
        columns: The columns.
        orders: Those by which the store can order.
        searches: No.
        refreshes: Yes.
    """

    searches = False
    refreshes = True

    def __init__(self, item: type[Any], listing: Listing, wait: Wait) -> None:
        self.columns = columns_of(item)
        self.orders = listing.orders
        self._listing = listing
        self._wait = wait
        self._key = next(n for n, column in enumerate(self.columns) if column.name == "document_id")
        self._readings: OrderedDict[View, _Reading] = OrderedDict()
        self._retired: list[_Reading] = []

    def block(self, view: View, start: int) -> Block | None:
        """The rows from ``start`` on, from memory or from the store."""
        if view not in self._readings:
            self._readings[view] = _Reading(self._listing, view, self._key)
            if len(self._readings) > KEPT_VIEWS:
                self._readings.popitem(last=False)
        self._readings.move_to_end(view)
        return self._of(self._readings[view], start)

    def record(self, key: str) -> Record | None:
        """A row by its key, if one of the last views had it; read again if it was let go."""
        readings = [*reversed(self._readings.values()), *self._retired]
        for reading in readings:
            if (record := reading.at_hand(key)) is not None:
                return record
        for reading in readings:
            start = reading.places.get(key)
            if start is not None and self._of(reading, start) is not None:
                return reading.at_hand(key)
        return None

    def renew(self) -> None:
        """Forgets what was read; the rows that are still in view can be selected until then."""
        self._retired = list(self._readings.values())[-1:]
        self._readings.clear()

    def _of(self, reading: _Reading, start: int) -> Block | None:
        if start not in reading.blocks:
            records = self._wait(lambda: reading.read(start))
            if records is None:
                return None
            reading.keep(start, records)
        reading.blocks.move_to_end(start)
        return Block(reading.total or 0, reading.blocks[start])


class _Reading:
    """What was read of a listing in one view.

    Attributes:
        total: How many rows there are; ``None`` before they are counted.
        blocks: The last blocks, by the place where they begin.
        places: The block of every row that was in one.
    """

    def __init__(self, listing: Listing, view: View, key: int) -> None:
        order = view.sort if view.sort in listing.orders else listing.order
        if view.sort in listing.orders and view.descending:
            order = f"-{order}"
        self.total: int | None = None
        self.blocks: OrderedDict[int, list[tuple[str, Record]]] = OrderedDict()
        self.places: dict[str, int] = {}
        self._listing, self._where, self._key = listing, view.where, key
        self._forth = _Way(listing, view.where, order)
        self._back = _Way(listing, view.where, _turned(order))

    def keep(self, start: int, records: list[Record]) -> None:
        """Keeps a block, and lets the one go that was not asked for for longest."""
        self.blocks[start] = [(str(record[self._key]), record) for record in records]
        self.places.update((key, start) for key, _ in self.blocks[start])
        if len(self.blocks) > KEPT_BLOCKS:
            self.blocks.popitem(last=False)

    def at_hand(self, key: str) -> Record | None:
        """A row by its key, if its block is kept."""
        rows = self.blocks.get(self.places.get(key, -1), ())
        return next((record for known, record in rows if known == key), None)

    async def read(self, start: int) -> list[Record] | None:
        """The rows by the shorter way; from the end they come in reverse."""
        if self.total is None:
            self.total = await self._listing.count(self._where)
        size = min(BLOCK_ROWS, self.total - start)
        if size <= 0:
            return []
        forth, back = self._forth, self._back
        after = self.total - start - size
        if forth.distance(start) <= back.distance(after):
            return await forth.read(start, size)
        records = await back.read(after, size)
        return None if records is None else records[::-1]


class _Way:
    """A listing in one order, and the cursors of the places that were passed."""

    def __init__(self, listing: Listing, where: Mapping[str, Any], order: str) -> None:
        self._listing, self._where, self._order = listing, where, order
        self._cursors: dict[int, str | None] = {0: None}

    def _nearest(self, start: int) -> int:
        return max(place for place in self._cursors if place <= start)

    def distance(self, start: int) -> int:
        """Rows to pass over on the way."""
        return start - self._nearest(start)

    async def read(self, start: int, size: int) -> list[Record] | None:
        """The rows from there on, fewer where the listing ends; ``None`` while still on the way."""
        for _ in range(MOST_STRIDES):
            place = self._nearest(start)
            limit = min(start - place, STRIDE_ROWS) or size
            page = await self._listing.page(self._where, self._order, limit, self._cursors[place])
            if page.has_more:
                self._cursors[place + len(page)] = page.cursor
            if place == start:
                return list(page.records)
            if not page.has_more:
                return []
        return None


def _turned(order: str) -> str:
    return order[1:] if order.startswith("-") else f"-{order}"
