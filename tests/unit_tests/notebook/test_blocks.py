"""Blocks of rows: in memory by search, filter and order; from a listing by the shortest way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from aisdk.core.results.frame import JSON, columns_of
from aisdk.core.results.page import AsyncPage
from aisdk.errors import InvalidInput
from aisdk.notebook.blocks import BLOCK_ROWS, HeldRows, View
from aisdk.notebook.stored import KEPT_BLOCKS, StoredRows


@dataclass(frozen=True, slots=True)
class Note:
    """A row with something of each kind."""

    name: str
    size: float | None
    metadata: Mapping[str, JSON]


NOTES = [
    ("pear", 2.0, '{"year": 2020, "tags": ["a", "b"], "place": "Ulm"}'),
    ("Apple", None, '{"year": 2024, "tags": ["b"]}'),
    ("fig", 10.0, {"year": "2024", "on": True}),
    ("plum", float("nan"), {}),
]


def names(**view: Any) -> list[str]:
    """The names of the rows of a view, in its order."""
    rows = HeldRows(columns_of(Note), NOTES)
    return [record[0] for _, record in rows.block(View.read(view), 0).rows]


@pytest.mark.parametrize(
    ("sort", "descending", "expected"),
    [
        ("", False, ["pear", "Apple", "fig", "plum"]),
        ("name", False, ["Apple", "fig", "pear", "plum"]),
        ("name", True, ["plum", "pear", "fig", "Apple"]),
        ("size", False, ["pear", "fig", "Apple", "plum"]),
        ("size", True, ["fig", "pear", "Apple", "plum"]),
        ("unknown", False, ["pear", "Apple", "fig", "plum"]),
    ],
)
def test_held_rows_are_sorted(sort: str, *, descending: bool, expected: list[str]) -> None:
    """Texts without regard to case, numbers as numbers, and what is missing last."""
    assert names(sort=sort, descending=descending) == expected


@pytest.mark.parametrize(
    ("search", "expected"),
    [("PLUM", ["plum"]), ("ulm 2020", ["pear"]), ("ulm 2024", []), (" ", ["pear", "Apple"])],
)
def test_held_rows_are_searched(search: str, expected: list[str]) -> None:
    """All words must stand somewhere in the row."""
    assert names(search=search)[:2] == expected


@pytest.mark.parametrize(
    ("search", "expected"),
    [("fig", ["fig"]), ("2020", []), ("2.50", ["fig"]), ("1.23", ["pear"]), ("1.234", [])],
)
def test_held_rows_are_searched_where_it_is_seen(search: str, expected: list[str]) -> None:
    """In the columns that are shown, and in numbers as these show them."""
    notes = [("pear", 1.234, {"year": 2020}), ("fig", 12.5, {})]
    rows = HeldRows(columns_of(Note), notes, searched=(0, 1))
    assert [record[0] for _, record in rows.block(View(search=search), 0).rows] == expected


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("year", "=", "2024", ["Apple", "fig"]),
        ("year", "!=", "2024", ["pear", "plum"]),
        ("year", ">=", "2020", ["pear", "Apple"]),
        ("year", "<", "2024", ["pear"]),
        ("place", ">", "Ui", ["pear"]),
        ("tags", "contains", "b", ["pear", "Apple"]),
        ("tags", "contains", "c", []),
        ("on", "=", "true", ["fig"]),
        ("on", "=", "1", []),
        ("on", ">", "0", []),
        ("nothing", "=", "null", ["pear", "Apple", "fig", "plum"]),
        ("year", "=", "NaN", []),
    ],
)
def test_held_rows_are_filtered(key: str, operator: str, value: str, expected: list[str]) -> None:
    """By the rules of ``where``: numbers with numbers, texts with texts."""
    assert names(key=key, operator=operator, value=value) == expected


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"other": 1},
        {"search": 1},
        {"search": "x" * 1_001},
        {"operator": "in"},
        {"descending": 1},
        {"descending": []},
    ],
)
def test_view_that_is_none_is_refused(message: Any) -> None:
    """What the browser side never sends is an error that says what to do."""
    with pytest.raises(InvalidInput, match="Run the cell again"):
        View.read(message)


@pytest.mark.parametrize("key", ["4", "-1", "x", "", "²", "9" * 50])
def test_held_rows_know_no_other_keys(key: str) -> None:
    """A key that is no row's is none, and not an error."""
    assert HeldRows(columns_of(Note), NOTES).record(key) is None


@dataclass(frozen=True, slots=True)
class Item:
    """A row of a listing."""

    document_id: str
    number: int


class Numbers:
    """A listing of numbers; it counts the rows that it gives."""

    order = "number"
    orders = ("number",)

    def __init__(self, count: int) -> None:
        self.total = count
        self.given: list[int] = []
        self.counts = 0

    async def count(self, where: Mapping[str, Any]) -> int:
        """How many there are."""
        self.counts += 1
        return sum(1 for _ in self._numbers(where))

    def _numbers(self, where: Mapping[str, Any]) -> list[int]:
        return [n for n in range(self.total) if not where or n % 2]

    async def page(
        self, where: Mapping[str, Any], order: str, limit: int, cursor: str | None
    ) -> AsyncPage[Item]:
        """Numbers after the one that the cursor names."""
        numbers = self._numbers(where)
        if order == "-number":
            numbers.reverse()
        start = 0 if cursor is None else numbers.index(int(cursor)) + 1
        shown = numbers[start : start + limit]
        self.given.append(len(shown))
        more = str(shown[-1]) if start + limit < len(numbers) else None
        return AsyncPage(Item, [(f"d{n}", n) for n in shown], cursor=more)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """The result of a coroutine function."""

    async def ready() -> Any:
        return await work()

    return asyncio.run(ready())


def numbers_of(rows: StoredRows, view: View, start: int) -> list[int]:
    """The numbers in a block."""
    block = rows.block(view, start)
    assert block is not None
    assert [key for key, _ in block.rows] == [f"d{record[1]}" for _, record in block.rows]
    return [record[1] for _, record in block.rows]


def test_stored_rows_are_those_of_the_place() -> None:
    """From both ends, in the middle, in both orders and filtered, whatever the way there."""
    rows = StoredRows(Item, Numbers(25_050), run)
    for start in (0, 25_000, 12_400, 12_600, 0, 24_800, 5_000, 20_000):
        expected = list(range(start, min(start + BLOCK_ROWS, 25_050)))
        assert numbers_of(rows, View(), start) == expected
        down = View(sort="number", descending=True)
        assert numbers_of(rows, down, start) == [25_049 - n for n in expected]
    odd = View(key="odd", operator="=", value="1")
    assert numbers_of(rows, odd, 12_400) == list(range(24_801, 25_050, 2))
    assert numbers_of(rows, odd, 12_600) == []


def test_stored_rows_at_the_end_are_read_from_the_end() -> None:
    """The last block costs its own rows, and each block is counted once and read once."""
    listing = Numbers(100_000)
    rows = StoredRows(Item, listing, run)
    numbers_of(rows, View(), 0)
    numbers_of(rows, View(), 99_800)
    numbers_of(rows, View(), 99_600)
    numbers_of(rows, View(), 99_800)
    assert listing.given == [200, 200, 200]
    assert listing.counts == 1


def test_stored_rows_far_away_come_in_strides() -> None:
    """A way longer than one answer may take goes on with the next question."""
    listing = Numbers(300_000)
    rows = StoredRows(Item, listing, run)
    assert rows.block(View(), 150_000) is None
    answers = [rows.block(View(), 150_000) for _ in range(6)]
    found = next(block for block in answers if block is not None)
    assert found.rows[0][1][1] == 150_000
    assert max(listing.given) == 5_000


def test_stored_rows_keep_a_few_blocks() -> None:
    """What was looked at long ago is let go; a row of it is read again when it is asked for."""
    listing = Numbers(100_000)
    rows = StoredRows(Item, listing, run)
    for start in range(0, BLOCK_ROWS * (KEPT_BLOCKS + 5), BLOCK_ROWS):
        rows.block(View(), start)
    read = len(listing.given)
    assert rows.record(f"d{BLOCK_ROWS * KEPT_BLOCKS}") is not None
    assert len(listing.given) == read
    for number in (0, BLOCK_ROWS - 1, BLOCK_ROWS * 3):
        assert rows.record(f"d{number}") == (f"d{number}", number)
    assert listing.given[read:] == [BLOCK_ROWS, BLOCK_ROWS]
    assert rows.record("d99999") is None


def test_stored_rows_of_the_view_before_are_at_hand() -> None:
    """They are still seen, and clicked, until the rows of the next view have come."""
    rows = StoredRows(Item, Numbers(10_000), run)
    rows.block(View(), 0)
    rows.block(View(sort="number", descending=True), 0)
    assert rows.record("d7") == ("d7", 7)
    assert rows.record("d9999") == ("d9999", 9_999)
    rows.renew()
    assert rows.record("d9999") == ("d9999", 9_999)
    rows.block(View(), 0)
    rows.renew()
    rows.block(View(), 400)
    assert rows.record("d9999") is None


def test_two_windows_on_stored_rows_both_arrive() -> None:
    """Each goes on where its last question ended, although the other asked between."""
    rows = StoredRows(Item, Numbers(300_000), run)
    views = (View(), View(sort="number", descending=True))
    for _ in range(7):
        blocks = [rows.block(view, 150_000) for view in views]
    assert [block.rows[0][1][1] for block in blocks if block] == [150_000, 149_999]


def test_stored_rows_that_vanished_leave_a_short_block() -> None:
    """A listing that has become shorter gives what there is, and all of it when renewed."""
    listing = Numbers(10_000)
    rows = StoredRows(Item, listing, run)
    rows.block(View(), 0)
    listing.total = 300
    assert numbers_of(rows, View(), 200) == list(range(200, 300))
    assert numbers_of(rows, View(), 4_800) == []
    rows.renew()
    block = rows.block(View(), 200)
    assert block is not None
    assert (block.total, len(block.rows)) == (300, 100)
