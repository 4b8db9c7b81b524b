"""Rows as HTML that hostile text cannot leave."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from displays import marking
from hypothesis import given
from hypothesis import strategies as st
from payloads import PAYLOADS

from aisdk.core.lexical import Analyzer, Matcher
from aisdk.core.results import html
from aisdk.core.results.frame import Column
from aisdk.core.results.html import _cell, render_html, render_record
from aisdk.core.results.text import Preview, clean_text

COLUMNS = (Column("text", "text", False), Column("size", "int", True))

ALLOWED: dict[str, dict[str, set[str]]] = {
    "caption": {},
    "details": {},
    "div": {
        "class": {"aisdk-rows tex2jax_ignore mathjax_ignore"},
        "role": {"group"},
        "tabindex": {"0"},
        "aria-label": {"Table"},
    },
    "mark": {},
    "p": {},
    "span": {"class": {"bar"}, "style": {f"background-size:{n}% 100%" for n in range(101)}},
    "style": {},
    "summary": {},
    "table": {},
    "tbody": {},
    "td": {"class": {"number", "long", "long read"}, "colspan": set(map(str, range(20)))},
    "tfoot": {},
    "th": {"class": {"number"}, "scope": {"col", "row"}},
    "thead": {},
    "tr": {},
    "wbr": {},
}


class Found(HTMLParser):
    """Collects what a browser would see: elements with attributes, and character data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"not closed: {tag}" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Only tags and attributes of the list may appear."""
        allowed = ALLOWED.get(tag)
        if allowed is None:
            self.problems.append(f"tag {tag}")
        for name, value in attrs:
            if allowed is None or value not in allowed.get(name, ()):
                self.problems.append(f"attribute {name} of {tag}")
        if tag != "wbr":
            self.open.append(tag)
        if tag in ("td", "p"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        """Tags must nest."""
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"misplaced end of {tag}")

    def handle_data(self, data: str) -> None:
        """Text of a cell, or else of the style sheet or caption."""
        if self.open[-1:] == ["style"]:
            self.problems += ["changed style"] if data != html._STYLE else []
        elif "tbody" in self.open and "th" not in self.open:
            self.cells[-1] += data

    def handle_comment(self, data: str) -> None:
        """There are no comments."""
        self.problems.append(f"comment {data}")

    def handle_decl(self, decl: str) -> None:
        """There are no declarations."""
        self.problems.append(f"declaration {decl}")

    def handle_pi(self, data: str) -> None:
        """There are no processing instructions."""
        self.problems.append(f"instruction {data}")

    def unknown_decl(self, data: str) -> None:
        """There are no unknown declarations."""
        self.problems.append(f"unknown declaration {data}")


def page_html(*texts: str, title: str = "Page[Row]", parts: tuple[str, ...] = ()) -> str:
    """The HTML of one row a text, with these parts marked."""
    records = [(text, 1) for text in texts]
    matched = marking(*parts).matched if parts else None
    return render_html(Preview(title, COLUMNS, records, "page.next()", matched))


def marks(text: str, query: str) -> list[str]:
    """What is marked in a text for a query: first folded, then unfolded."""
    find = Matcher(Analyzer("english"), query).spans
    shown = render_html(Preview("", COLUMNS, [(text, 1)], "", lambda _: find))
    return [unescape(mark) for mark in re.findall("<mark>(.*?)</mark>", shown)]


@pytest.mark.parametrize("repeat", [1, 20], ids=["short", "folded"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_render_hostile_text_stays_text(payload: str, repeat: int) -> None:
    """No element, attribute or comment appears that is not ours, and the text is all there."""
    text = payload * repeat
    found = Found(page_html(text, parts=("script", "alert", "<b", "mark")))
    assert found.problems == []
    assert clean_text(text) in found.cells[:2]


@given(st.text(alphabet=st.characters() | st.sampled_from("<>&\"'/=! -scriptonx"), max_size=300))
def test_render_any_text_stays_text(text: str) -> None:
    """The same for text that nobody thought of, also in the title and as a term."""
    found = Found(page_html(text, title=text, parts=(text,) if text else ()))
    assert found.problems == []


@pytest.mark.parametrize("payload", [text for text in PAYLOADS if re.search("<[a-z/!?]", text)])
def test_render_without_escaping_is_caught(payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: the check of these tests sees every payload when escaping is removed."""
    monkeypatch.setattr(html, "escape", str)
    assert Found(page_html(payload)).problems != []


def test_render_needs_nothing_from_outside() -> None:
    """No script, link, image, import or id, so two outputs in one notebook cannot collide."""
    shown = page_html("see https://example.org/ and javascript:alert(1)")
    assert re.search(r"<(script|link|img|a|iframe|object)\b|\bid=|url\(|@import", shown) is None


def test_render_is_a_table_for_a_screen_reader() -> None:
    """A caption, column headings with their scope, and a foot with count and what comes next."""
    shown = page_html("one", "two")
    assert "<caption>Page[Row]</caption>" in shown
    assert '<th scope="col">text</th>' in shown
    assert ">2 rows, more: page.next()</td></tr></tfoot>" in shown


def test_render_reads_well_without_styles() -> None:
    """With the style sheet stripped, all that a reader needs is text."""
    plain = re.sub(r"<style>.*?</style>", "", page_html("one"), flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", " ", plain).split()
    assert words == ["Page[Row]", "text", "size", "one", "1", "1", "row,", "more:", "page.next()"]


def test_render_follows_the_themes_of_its_hosts() -> None:
    """Colours come from VS Code or Jupyter, and follow the system elsewhere."""
    shown = page_html("one")
    for variable in ("--vscode-editor-foreground", "--jp-content-font-color1"):
        assert f"var({variable}," in shown
    assert "prefers-color-scheme:dark" in shown


def test_render_long_text_is_folded_and_cut_with_a_count() -> None:
    """A long text opens on request, and says how much of it is left out."""
    shown = page_html("a" * 5_000)
    assert f"<summary>{'a' * 120}…</summary>" in shown
    assert f"<p>{'a' * 2_000} … 3,000 more characters</p>" in shown


def test_render_keeps_the_lines_of_a_text_in_one_line_of_html() -> None:
    """Unfolded they are lines; what is folded is one line, whose breaks are spaces."""
    text = "one\n\ntwo &#10; " + "word " * 40
    shown = page_html("a\nb", text, title="c\nd", parts=("one",))
    assert "\n" not in shown
    assert "<td>a&#10;b</td>" in shown
    assert "<caption>c&#10;d</caption>" in shown
    assert "<summary><mark>one</mark>  two &amp;#10; word" in shown
    assert "<p><mark>one</mark>&#10;&#10;two &amp;#10; word" in shown
    assert "a a a…</summary><p>a&#10;a&#10;a" in page_html("a\n" * 70)


def test_render_long_values_are_cut_with_a_count_too() -> None:
    """Metadata as well as text."""
    assert " more characters</p>" in _cell({"key": "a" * 5_000})
    assert " more characters</p>" not in _cell({"key": "a" * 500})


def test_render_marks_whole_words_that_matched() -> None:
    """Forms of the word and what its apostrophe leaves, and nothing within other words."""
    assert marks("City's cities, not citizens", "city") == ["City's", "cities"]
    assert marks("A pumpkin is no pump", "pumps") == ["pump"]


def test_render_marks_only_columns_that_are_searched() -> None:
    """Titles, headings and texts; no source, no metadata."""
    names = ("title", "heading", "text", "source", "search")
    columns = [*(Column(name, "text", False) for name in names), Column("metadata", "json", False)]
    find = Matcher(Analyzer("english"), "exact").spans
    row = (*["exact"] * 5, {"exact": "exact"})
    shown = render_html(Preview("", tuple(columns), [row], "", lambda _: find))
    assert shown.count("<td><mark>exact</mark></td>") == shown.count("<mark>") == 3


def test_render_marks_a_word_that_is_cut_as_the_word_it_is() -> None:
    """Where a text is folded and where it ends: what is left of "citizen" looks like "citi"."""
    for most in (120, 2_000):
        before = ". ".rjust(most - 4, ".")  # so that four letters of the word are shown
        assert set(marks(before + "citizen" + " and" * 30, "city")) == set()
        assert "citi" in marks(before + "cities" + " and" * 30, "city")
        assert "City" in marks(before + "City's" + " and" * 30, "city")


def test_render_escapes_what_is_marked() -> None:
    """Around a word, and inside of it."""
    shown = page_html("<b>city</b>", "a<b", parts=("<b", "city"))
    assert "<mark>&lt;b</mark>&gt;<mark>city</mark>&lt;/b&gt;" in shown
    assert "a<mark>&lt;b</mark>" in shown
    assert marks("<i>city's</i> \u202ecity\u202c", "city") == ["city's", "city"]


@pytest.mark.parametrize("text", ["x", "<&>'\"" * 1_000, "語" * 3_000])
def test_render_ten_thousand_rows_stays_below_a_megabyte(text: str) -> None:
    """However long the texts, the output is bounded and counts what it leaves out."""
    shown = page_html(*[text] * 10_000)
    assert len(shown.encode()) <= 1_000_000
    rows = shown.count("<tr><td") - 1
    assert 0 < rows <= 200
    assert f"{rows:,} of 10,000 rows shown" in shown
    assert Found(shown).problems == []


@pytest.mark.parametrize("value", [None, ["<b>"], {"<b>": "<i>"}, b"<b>", 0.5])
def test_render_any_kind_of_value_is_escaped(value: Any) -> None:
    """Not only text goes through the same door."""
    assert Found(render_html(Preview("", COLUMNS, [(value, None)]))).problems == []


def wide(rows: int, **columns: Any) -> str:
    """The HTML of a table of nine columns and these."""
    named = {f"c{number}": number for number in range(9)} | columns
    kinds: dict[type, Any] = {int: "int"}
    made = tuple(Column(name, kinds.get(type(v), "text"), True) for name, v in named.items())
    return render_html(Preview("", made, [tuple(named.values())] * rows))


def test_render_leaves_empty_columns_out() -> None:
    """A column in which no row has a value tells nobody anything."""
    columns = (*COLUMNS, Column("error_code", "text", True))
    shown = render_html(Preview("", columns, [("a", 0, None), ("", 1, "")]))
    assert "error_" not in shown
    assert '<td colspan="2">' in shown
    assert "error_<wbr>code" in render_html(Preview("", columns, [("a", 0, None), ("b", 1, "x")]))
    assert "error_<wbr>code" in render_html(Preview("", columns, []))


def test_render_leaves_places_for_programs_out_of_a_wide_table() -> None:
    """Where a chunk begins and ends: told in the foot, and shown in a narrow table."""
    places = [Column(name, "int", nullable=False) for name in ("start", "end")]
    others = [Column(f"column{number}", "int", nullable=False) for number in range(8)]
    shown = render_html(Preview("", [*others, *places], [tuple(range(10)), tuple(range(10))]))
    assert ">start</th>" not in shown
    assert "2 rows · in to_frame() too: start, end</td>" in shown
    assert ">start</th>" in render_html(Preview("", places, [(0, 1), (2, 3)]))


def test_render_leaves_places_for_programs_out_of_one_row_too() -> None:
    """They would push what is read out of view; what a single row says is no repetition."""
    shown = wide(1, document_id="d1", start=0, end=9, search="exact")
    assert ">start</th>" not in shown
    assert '<th scope="col">search</th>' in shown
    assert "1 row · in to_frame() too: document_id, start, end</td>" in shown


def test_render_json_with_spaces_and_gives_the_text_the_room() -> None:
    """Lines of metadata break between words; the text that is read is wider than they are."""
    columns = (Column("metadata", "json", False), Column("text", "text", False))
    for value in ({"area": "power", "year": 2023}, '{"area":"power","year":2023}'):
        shown = unescape(render_html(Preview("", columns, [(value, "word " * 9)])))
        assert '<td class="long">{"area": "power", "year": 2023}</td>' in shown
        assert '<td class="long read">word ' in shown


def test_render_tells_what_all_rows_of_a_wide_table_share_in_its_foot() -> None:
    """Short texts only, and never of a single row or a narrow table."""
    assert "2 rows · search: exact</td>" in wide(2, search="exact")
    assert '<th scope="col">search</th>' not in wide(2, search="exact")
    assert '<th scope="col">search</th>' in wide(1, search="exact")
    assert '<th scope="col">search</th>' in wide(2, search="e" * 25)
    assert ">text</th>" in page_html("same", "same")


def test_render_shows_the_beginning_of_an_id() -> None:
    """Of a UUID in a column of ids; a text that only looks alike is shown whole."""
    key = "0123abcd-0123-4567-89ab-0123456789ab"
    assert "<td>0123abcd…</td>" in wide(1, tenant_id=key)
    assert key in wide(1, source=key)
    assert f"{key}<" in wide(1, tenant_id=f"x{key}")


def test_render_keeps_short_texts_on_a_line_and_numbers_to_the_right() -> None:
    """Long texts alone may wrap."""
    columns = (*COLUMNS, Column("long", "text", True))
    shown = render_html(Preview("", columns, [("a", 1, "word " * 10)]))
    assert '<td>a</td><td class="number">1</td><td class="long">word' in shown


def test_render_lets_a_long_name_of_a_column_wrap() -> None:
    """A narrow column does not become wide by its name, which stays one word when copied."""
    columns = (Column("lexical_score", "float", True), Column("<b>_<i>", "text", True))
    shown = render_html(Preview("", columns, [(0.5, "a")]))
    assert '<th scope="col" class="number">lexical_<wbr>score</th>' in shown
    assert Found(shown).problems == []


def test_render_numbers_line_up_at_the_point() -> None:
    """All floats of a column have the same decimals; whole numbers have their thousands apart."""
    columns = (Column("score", "float", True), Column("size_bytes", "int", True))
    shown = render_html(Preview("", columns, [(0.61224, 1_234_567), (0.0, 5), (None, None)]))
    cells = re.findall(r'<td class="number">([^<]*)<', shown)
    assert cells == ["0.6122", "1,234,567", "0.0000", "5", "-", "-"]


def bars(shown: str) -> list[int]:
    """The lengths of the bars, in percent."""
    return [int(percent) for percent in re.findall(r'style="background-size:(\d+)% 100%"', shown)]


def test_render_scores_have_bars_beside_the_largest_of_their_column() -> None:
    """Each kind by itself; the number stands there without the bar, and none is made of nothing."""
    columns = tuple(Column(name, "float", True) for name in ("score", "dense_score", "size"))
    shown = render_html(Preview("", columns, [(0.5, -0.2, 9.0), (0.25, 0.4, 3.0), (0.0, None, 1)]))
    assert bars(shown) == [100, 50, 100]
    assert '0.50<span class="bar"' in shown
    assert Found(shown).problems == []


def test_render_used_has_a_bar_of_the_most() -> None:
    """A limit that is not there, or of nothing, has no bar; what is used beyond it fills it."""
    columns = tuple(Column(name, "int", True) for name in ("used", "most"))
    shown = render_html(Preview("", columns, [(5, 20), (7, None), (0, 9), (3, 0), (30, 20)]))
    assert bars(shown) == [25, 100]


@pytest.mark.parametrize("score", ["9<b>", float("nan"), float("inf"), "", None, b"9", [9]])
def test_render_makes_no_bar_of_what_is_no_number(score: Any) -> None:
    """Whatever a record holds where a score should be."""
    columns = (Column("score", "float", True), Column("used", "int", True), *COLUMNS)
    columns = (*columns, Column("most", "int", True))
    shown = render_html(Preview("", columns, [(score, score, "a", 1, score)] * 2))
    assert bars(shown) == []
    assert Found(shown).problems == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_render_record_of_hostile_text_stays_text(payload: str) -> None:
    """In a value, folded, in a name, in the title."""
    shown = render_record(payload, [("text", payload), ("long", payload * 20), (payload, 1)])
    found = Found(shown)
    assert found.problems == []
    assert "".join(found.cells).startswith(clean_text(payload))


def test_render_record_is_a_table_for_a_screen_reader() -> None:
    """A caption, and a heading for each row; an id is shown whole."""
    key = "0123abcd-0123-4567-89ab-0123456789ab"
    shown = render_record("Thing", [("document_id", key), ("score", 0.5), ("note", None)])
    assert "<caption>Thing</caption>" in shown
    assert f'<th scope="row">document_<wbr>id</th><td class="long">{key}</td>' in shown
    plain = re.sub(r"<style>.*?</style>", "", shown, flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", " ", plain.replace("<wbr>", "")).split()
    assert words == ["Thing", "document_id", key, "score", "0.5", "note", "-"]
