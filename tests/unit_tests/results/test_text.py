"""Rows as plain text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unicodedata import combining

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.results.frame import Column
from aisdk.core.results.text import (
    Preview,
    cell_text,
    clean_text,
    render_text,
    shared_decimals,
)

COLUMNS = (Column("id", "text", False), Column("size", "int", False), Column("text", "text", True))


def preview(*records: tuple[Any, ...], more: str = "") -> Preview:
    """A preview of rows in the usual columns."""
    return Preview("Page[Row]", COLUMNS, records, more)


def test_render_rows_are_aligned() -> None:
    """Text stands left, numbers right, a missing value is a dash."""
    text = render_text(preview(("a", 5, "one"), ("bcd", 12_345, None)), 80)
    assert text.splitlines() == [
        "Page[Row]",
        "id     size  text",
        "a         5  one",
        "bcd  12,345  -",
        "2 rows",
    ]


def test_render_many_rows_shows_ten_and_counts_all() -> None:
    """The foot tells what is not shown and how to get more."""
    lines = render_text(preview(*[("a", 1, "b")] * 1_234, more="page.next()"), 80).splitlines()
    assert len(lines) == 13
    assert lines[-1] == "10 of 1,234 rows shown, more: page.next()"


@pytest.mark.parametrize(("rows", "foot"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_render_few_rows_counts_them(rows: int, foot: str) -> None:
    """Counts read as English."""
    assert render_text(preview(*[("a", 1, "b")] * rows), 80).splitlines()[-1] == foot


def test_render_narrow_terminal_names_the_hidden_columns() -> None:
    """Columns that do not fit are dropped from the right and named."""
    text = render_text(preview(("a" * 40, 1, "b" * 40)), 16)
    assert text.splitlines()[-1] == "columns not shown: text"


@given(
    st.lists(st.tuples(st.text(), st.integers(), st.none() | st.text()), max_size=12),
    st.integers(8, 120),
)
def test_render_any_rows_keeps_one_line_a_row(records: list[Any], width: int) -> None:
    """No text breaks a line, is wider than the terminal, or holds a control character."""
    lines = render_text(preview(*records), width).splitlines()
    table = lines[1 : 2 + min(len(records), 10)]
    assert all(sum(not combining(letter) for letter in line) <= width for line in table)
    assert all(line.isprintable() or "\u200c" in line or "\u200d" in line for line in table)
    assert lines[2 + min(len(records), 10)].endswith(("row", "rows", "shown"))


def test_render_wide_letters_count_as_two_columns() -> None:
    """Chinese text keeps the columns behind it aligned."""
    lines = render_text(preview(("日本", 1, "x"), ("abcd", 1, "x")), 80).splitlines()
    assert lines[2].index("1") + 2 == lines[3].index("1")


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x9b31m", "\u202eabc", "\x00", "\ud800", "\u2066", "\x07", "\ufeff"]
)
def test_clean_text_shows_what_could_control_a_display(text: str) -> None:
    """Escape sequences, direction marks, NUL and lone surrogates become visible."""
    cleaned = clean_text(text)
    assert text[0] not in cleaned
    assert "\N{REPLACEMENT CHARACTER}" in cleaned
    cleaned.encode()


@pytest.mark.parametrize("text", ["plain", "a\nb\tc", "naïve 日本 العربية", "👩‍💻", "می‌خواهم"])
def test_clean_text_keeps_ordinary_text(text: str) -> None:
    """Line breaks, every script and joined emoji stay as they are."""
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.123456, "0.1235"),
        (True, "True"),
        (7, "7"),
        (-1_234_567, "-1,234,567"),
        (float("nan"), "nan"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05Z"),
        (b"12345", "5 bytes"),
        (["a", "b"], "a, b"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_cell_text_of_every_kind_is_short_and_plain(value: Any, text: str) -> None:
    """Each kind of value has one way to be shown."""
    assert cell_text(value) == text


def test_render_numbers_line_up_at_the_point() -> None:
    """All floats of a column have the same decimals, also a zero; a missing one is a dash."""
    columns = (Column("score", "float", True), Column("milliseconds", "float", True))
    records = [(0.61224, 39.844), (0.0, 3.4361), (None, 2.026)]
    assert render_text(Preview("", columns, records), 80).splitlines()[2:5] == [
        "0.6122         39.84",
        "0.0000          3.44",
        "     -          2.03",
    ]


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([0.61224, 0.05], 4),
        ([0.08152, 0.0373], 5),
        ([0.5, 0.25, None], 2),
        ([3.0, -12.0], 0),
        ([1_234_567.8], 0),
        ([0.9, 0.00001], None),
        ([1e-9], None),
        ([1e300], None),
        ([float("inf"), 1.5], 1),
        ([float("nan"), 1.5], 1),
        ([float("nan")], None),
        ([0.0], None),
        ([None, "text", 3], None),
        ([], None),
    ],
)
def test_shared_decimals_keep_four_digits_of_the_largest(
    values: list[Any], decimals: int | None
) -> None:
    """No trailing zeros, and no form that would turn a number into zero or into a row of digits."""
    assert shared_decimals(values) == decimals


@given(st.lists(st.floats() | st.none(), max_size=6))
def test_shared_decimals_of_any_floats_hide_no_number(values: list[float | None]) -> None:
    """Only a zero is shown as zero, whatever stands beside it."""
    decimals = shared_decimals(values)
    for value in values:
        if value:
            assert cell_text(value, decimals).strip("-0.,") != ""
