"""Rows as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unicodedata import combining

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from aisdk.core.rag.types import Hit
from aisdk.core.results.frame import Column, columns_of
from aisdk.core.results.record import Shown
from aisdk.core.results.text import (
    Preview,
    _width,
    cell_text,
    clean_text,
    render_text,
    shared_decimals,
)

COLUMNS = (Column("id", "text", False), Column("size", "int", False), Column("text", "text", True))


@dataclass(frozen=True, slots=True)
class Note(Shown):
    """A record."""

    number: int
    text: str
    metadata: dict[str, int]
    title: str


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
    """Columns that do not fit are dropped from the right and named; the text stays."""
    text = render_text(preview(("a" * 40, 1, "b" * 40)), 16)
    assert text.splitlines()[1:] == [
        *("text", "b" * 15 + "…", "1 row", "in to_frame()", "too: id, size"),
    ]


def hits(**same: Any) -> Preview:
    """Two hits, with these values in both."""
    values = {"rank": 1, "score": 0.5, "lexical_score": 1_234_567.5, "dense_score": 0.25}
    values |= {"document_id": "0123abcd-0123-4567-89ab-0123456789ab", "title": "About pumps"}
    values |= {"source": "", "text": LONG, "start": 0, "end": 90}
    values |= {"heading": "", "metadata": "{}", "search": "exact", "embedding_model": None}
    each = [{"rank": n, "title": f"Pumps {n}", "source": f"/data/pumps-{n}.md"} for n in (1, 2)]
    records = [tuple((values | same | one).values()) for one in each]
    return Preview("Page[Hit]", columns_of(Hit), records)


LONG = "A pump moves water by mechanical action, and a valve lets it through or holds it back. " * 3


@pytest.mark.parametrize(("width", "least"), [(80, 25), (100, 25), (120, 45), (400, 150)])
def test_render_gives_the_text_of_hits_the_room(width: int, least: int) -> None:
    """Ids, positions and what says nothing leave it; the foot names them within the width."""
    lines = render_text(hits(metadata='{"year":2024}', heading="Guide"), width).splitlines()
    assert max(map(len, lines)) <= width
    shown = lines[2][lines[1].index("text") :].partition("…")[0]
    assert LONG.startswith(shown[:least])
    assert len(shown) >= least - 1
    assert "1,234,567.5" in lines[2] or "1,234,568" in lines[2]


def test_render_leaves_out_of_hits_what_says_nothing() -> None:
    """As the table in a notebook does."""
    assert render_text(hits(), 80).splitlines() == [
        "Page[Hit]",
        "rank  score  lexical_…  dense_sc…  title    source     text",
        "   1    0.5  1,234,568       0.25  Pumps 1  /data/pu…  A pump moves water by me…",
        "   2    0.5  1,234,568       0.25  Pumps 2  /data/pu…  A pump moves water by me…",
        "2 rows",
        "search: exact · in to_frame() too: document_id, start, end",
    ]


def test_render_of_a_table_that_fits_leaves_only_empty_columns_out() -> None:
    """Ids are shown where there is room."""
    columns = (
        *(Column(name, "text", True) for name in ("document_id", "hint")),
        Column("metadata", "json", nullable=False),
    )
    text = render_text(Preview("", columns, [("d1", None, "{}"), ("d1", "", {})]), 80)
    assert text.splitlines()[1:] == ["document_id", "d1", "d1", "2 rows"]


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
    foot = lines[2 + min(len(records), 10) :]
    assert max(map(len, foot)) <= width
    counted = preview(*records).count(min(len(records), 10))
    assert "".join(foot).replace(" ", "").startswith(counted.replace(" ", ""))


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
        ({"a": 1, "b": ["é", 2 / 3]}, '{"a": 1, "b": ["é", 0.6666666666666666]}'),
        ({"a": datetime(2026, 1, 2, tzinfo=UTC)}, '{"a": "2026-01-02 00:00:00+00:00"}'),
        ({"\ud800": 1}, '{"\N{REPLACEMENT CHARACTER}": 1}'),
    ],
)
def test_cell_text_of_every_kind_is_short_and_plain(value: Any, text: str) -> None:
    """Each kind of value has one way to be shown."""
    assert cell_text(value) == text


@pytest.mark.parametrize(
    "value", [{"a": 1, "b": ["x"]}, '{"a":1,"b":["x"]}', '{"a": 1, "b": ["x"]}']
)
def test_render_json_has_one_form(value: Any) -> None:
    """With spaces, where a line may break, whether a record holds it as a text or not."""
    columns = (Column("metadata", "json", False), Column("source", "text", False))
    shown = render_text(Preview("", columns, [(value, '{"a":1}')]), 80)
    assert shown.splitlines()[2] == '{"a": 1, "b": ["x"]}  {"a":1}'


@pytest.mark.parametrize("value", ["{", "", "<b>", None])
def test_render_what_is_no_json_as_it_is(value: str | None) -> None:
    """A display does not fail."""
    columns = (Column("metadata", "json", True), Column("n", "int", False))
    assert render_text(Preview("", columns, [(value, 1), ({"a": 1}, 2)]), 80).splitlines()[2] == (
        f"{'-' if value is None else value:8}  1"
    )


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


NOTE = Note(1, "a \x1b[31mpump " * 500, {f"key {n}": n for n in range(300)}, "猫" * 300)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_record_in_a_terminal_is_a_few_lines_that_fit(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field a line, long ones folded; nothing that the terminal obeys."""
    monkeypatch.setenv("COLUMNS", str(width))
    title, *lines = pretty(NOTE).splitlines()
    assert title == "Note"
    assert len(lines) == 1 + 12 + 3 + 3
    assert max(map(_width, lines)) <= width
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "number    1"
    assert lines[12].endswith(" …")


def test_record_within_a_list_is_one_short_line() -> None:
    """Several are no wall of text; Python's own form keeps everything."""
    (line,) = pretty([NOTE]).splitlines()
    assert line.startswith("[Note(number=1, text='a \\x1b[31mpump ")
    assert len(line) < 300
    assert eval(repr(NOTE)) == NOTE  # noqa: S307  # a text of ours
