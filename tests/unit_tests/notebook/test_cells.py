"""Cells of a live view: one line each, cut, with matched words as pieces."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.lexical import Analyzer, Matcher
from aisdk.core.results.frame import Column
from aisdk.notebook.cells import Cell, context, fields, lines

COLUMNS = tuple(Column(name, "text", False) for name in ("source", "text"))
CITY = Matcher(Analyzer("english"), "city").spans


def cell(text: str) -> Cell:
    """A text as it is sent to the browser."""
    ((key, source, cell),) = lines(COLUMNS, [("0", ("city", text))], lambda _: CITY)
    assert (key, source) == ("0", "city")
    return cell


def test_cell_is_in_pieces_where_words_matched() -> None:
    """Every second one is marked; a text without any is one text."""
    assert cell(" In \n the City's\n\ncities  ") == ["In the ", "City's", " ", "cities"]
    assert cell("city") == ["", "city"]
    assert cell(" No \n citizen ") == "No citizen"
    assert lines(COLUMNS, [("0", ("city", "a city"))]) == [["0", "city", "a city"]]
    assert lines(COLUMNS, []) == []


def test_cell_of_json_has_the_form_of_other_displays() -> None:
    """Whether the row holds it as text or not."""
    columns = [Column("metadata", "json", False)]
    rows: list[Any] = [("0", ('{"year":2024}',)), ("1", ({"year": 2024},))]
    assert [cell for _, cell in lines(columns, rows)] == ['{"year": 2024}'] * 2


def test_cell_is_cut_where_it_would_be_without_marks() -> None:
    """A word that is cut is marked as what it is, also where spaces made room for it."""
    dots = ". ".rjust(296, ".")
    assert cell(f"{dots}cities and more") == [dots, "citi"]
    assert cell(f"{dots}citizens and more") == f"{dots}citi"
    assert cell(f"{dots}more city") == f"{dots}more"
    spaces = "a" + " " * 1_195
    assert cell(f"{spaces}cities") == ["a ", "citi"]
    assert cell(f"{spaces}citizens") == "a citi"


@given(st.text(alphabet="city s'\n<\u202e", max_size=700))
def test_cell_has_the_same_text_with_marks_and_without(text: str) -> None:
    """Whatever is marked, nothing is lost or added."""
    plain: Any = lines(COLUMNS, [("0", ("city", text))])[0][2]
    assert "".join(cell(text)) == plain


def test_details_are_in_pieces_too() -> None:
    """The chunk whole, and the title; no other field."""
    values = {"title": "A city", "source": "city", "text": "city\ncities", "start": 4, "end": 15}
    assert fields(values, CITY)[:2] == [["title", ["A ", "city", ""]], ["source", "city"]]
    found = context(values, "The city\ncities.", CITY)
    assert found["chunk"] == ["", "city", "\n", "cities", ""]
    assert (found["before"], found["after"]) == ("The ", ".")
