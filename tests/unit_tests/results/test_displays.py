"""Every display of every verb, filled with hostile texts: none of them becomes HTML."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

import pytest
from displays import ITEMS, OURS, RECORDS, displays, marking, record, verbs
from IPython.lib.pretty import pretty
from markdown_it import MarkdownIt
from nbconvert import MarkdownExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from payloads import MARKDOWN, PAYLOADS

from aisdk import errors
from aisdk.core.rag.types import Hit
from aisdk.core.results import html
from aisdk.core.results.frame import columns_of
from aisdk.core.results.page import Rows
from aisdk.core.results.text import clean_text
from aisdk.notebook.display import render_error
from aisdk.notebook.progress import DisplayProgress

ATTRIBUTES: Final = {
    *("aria-label", "class", "colspan", "max", "role", "scope", "style", "tabindex", "value"),
}


class Seen(HTMLParser):
    """What a browser would make of it: texts, and everything that is not ours."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.text = ""
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Tags and attributes that we write."""
        self.foreign += [] if tag in OURS else [tag]
        self.foreign += [name for name, _ in attrs if name not in ATTRIBUTES]

    def handle_data(self, data: str) -> None:
        """Characters."""
        self.text += data

    def handle_comment(self, data: str) -> None:
        """There are none."""
        self.foreign.append(f"comment {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def in_markdown(*shown: str) -> Seen:
    """What is seen of outputs in a notebook that was converted to Markdown."""
    outputs = [new_output("display_data", {"text/html": text}) for text in shown]
    book = new_notebook(cells=[new_code_cell("", outputs=outputs)])
    text, _ = MarkdownExporter(exclude_input=True).from_notebook_node(book)
    return Seen(MarkdownIt("js-default", {"html": True}).render(text))


def test_payloads_are_many() -> None:
    """At least a hundred, each another."""
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 100


def test_items_are_those_of_all_domains() -> None:
    """Hits, documents, what was added, stages, limits, usage, tenants, probes and the cache."""
    names = {item.__name__ for item in ITEMS}
    assert names >= {"Hit", "QueryHit", "Stage", "DocumentInfo", "SourceOutcome", "ProbeResult"}
    assert names >= {
        "TenantInfo",
        "Tier",
        "Erased",
        "LimitInfo",
        "UsageInfo",
        "CacheInfo",
        "JobInfo",
    }


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.__name__)
def test_display_of_hostile_rows_shows_text(item: type[Any]) -> None:
    """All payloads in all columns: no tag, attribute or comment of theirs, and all their text."""
    for name, shown in displays(item, PAYLOADS).items():
        seen = Seen(shown)
        assert seen.foreign == [], name
        texts = any(column.kind == "text" for column in columns_of(item))
        missing = [text for text in PAYLOADS if clean_text(text) not in seen.text]
        assert missing == [] or not texts, name


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.__name__)
def test_display_in_markdown_shows_text(item: type[Any]) -> None:
    """After ``nbconvert --to markdown``: no heading, picture, link or list of theirs."""
    for name, shown in displays(item, MARKDOWN).items():
        assert in_markdown(shown).foreign == [], name
    columns = columns_of(item)
    many = [[text] for text in MARKDOWN] + [[text] * 2 for text in MARKDOWN]
    rows = [Rows(item, [record(columns, text) for text in texts]) for texts in many]
    assert in_markdown(*(each._repr_html_() for each in rows)).foreign == []


@pytest.mark.parametrize("item", RECORDS, ids=lambda item: item.__name__)
def test_display_of_a_record_in_markdown_shows_text(item: type[Any]) -> None:
    """The same of one item by itself, its texts short and folded."""
    texts = [*MARKDOWN, *(text * 30 for text in MARKDOWN)]
    records = [item(*record(columns_of(item), text)) for text in texts]
    assert in_markdown(*(each._repr_html_() for each in records)).foreign == []


def test_displays_of_errors_and_progress_in_markdown_show_text() -> None:
    """With a total and without, while it runs and when it has ended."""
    shown = [errors.InvalidInput(text, hint=text)._repr_html_() for text in MARKDOWN]
    for text in MARKDOWN:
        for total in (None, 9):
            bar = DisplayProgress(text, text, total)
            shown.append(bar._bundle()["text/html"])
            bar._note, bar._closed = text, True
            shown.append(bar._bundle()["text/html"])
    assert in_markdown(*shown).foreign == []


def pandoc(shown: str) -> Seen:
    """What pandoc makes of it, which reads Markdown inside of HTML tables too."""
    command = shutil.which("pandoc")
    if command is None:
        pytest.skip("THERE IS NO PANDOC: ITS READING OF TABLES WAS NOT SEEN")
    table = shown.rsplit("</style>", maxsplit=1)[-1]
    done = subprocess.run(  # noqa: S603  # pandoc itself
        [command, "--from=markdown", "--to=html"],
        input=table,
        check=True,
        capture_output=True,
        text=True,
    )
    return Seen(done.stdout)


def test_display_read_by_pandoc_shows_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """No link, picture, formula or TeX of a text, short, folded, marked or alone; the control."""
    live = "[x](javascript:alert(1)) ![y](//example.org/y.png) **b** _e_ `c` $z^2$ \\textbf{q}"
    columns = columns_of(Hit)
    rows = Rows(Hit, [record(columns, live), record(columns, live * 9)])
    one = Hit(*record(columns, live))
    for origin in (None, marking("alert", "example")):
        rows.origin = origin
        for shown in (rows, one, errors.InvalidInput(live, hint=live)):
            seen = pandoc(shown._repr_html_())
            assert seen.foreign == []
            assert live in " ".join(seen.text.split())
    monkeypatch.setattr(html, "_SIGNS", {})
    assert {"a", "img", "strong", "em", "code"} <= set(pandoc(one._repr_html_()).foreign)


@pytest.mark.parametrize("text", [text for text in MARKDOWN if text.startswith("\n\n")])
def test_line_breaks_as_they_are_would_be_markdown(text: str) -> None:
    """The control: a text that keeps its lines becomes what it wants to be."""
    shown = f"<style></style><div><table><tr><td>{text}</td></tr></table></div>"
    assert in_markdown(shown).foreign != [] or "|" in text  # tables are ours too


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.__name__)
def test_display_of_one_hostile_row_shows_text(item: type[Any]) -> None:
    """The same row by row, where other columns are shown and none is told in the foot."""
    columns = columns_of(item)
    for text in PAYLOADS:
        assert Seen(Rows(item, [record(columns, text)])._repr_html_()).foreign == []
        assert Seen(Rows(item, [record(columns, text * 30)] * 2)._repr_html_()).foreign == []


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.__name__)
def test_display_of_ten_thousand_rows_stays_below_a_megabyte(item: type[Any]) -> None:
    """Of any kind, with long texts full of what must be escaped."""
    records = [record(columns_of(item), "<&>'\"" * 600)] * 10_000
    rows = Rows(item, records)
    rows.origin = marking("&", "<")
    shown = rows._repr_html_()
    assert len(shown.encode()) <= 1_000_000
    assert "of 10,000 rows shown" in Seen(shown).text


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.__name__)
def test_display_without_escaping_is_caught(
    item: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with escaping removed, each display with a text in it is found out."""
    monkeypatch.setattr(html, "escape", str)
    columns = columns_of(item)
    if any(column.kind in ("text", "texts", "json") for column in columns):
        assert all(Seen(shown).foreign for shown in displays(item, PAYLOADS).values())


def test_progress_with_a_hostile_title_shows_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Title and unit; and the control."""
    for text in PAYLOADS:
        assert Seen(DisplayProgress(text, text, 9)._bundle()["text/html"]).foreign == []
    monkeypatch.setattr("aisdk.notebook.progress.escape", str)
    assert Seen(DisplayProgress("<b>", "x", 9)._bundle()["text/html"]).foreign == ["b"]


@pytest.mark.parametrize("item", RECORDS, ids=lambda item: item.__name__)
def test_display_of_a_hostile_record_shows_text(
    item: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One item by itself, all its fields; and the control."""
    columns = columns_of(item)
    texts = any(column.kind == "text" for column in columns)
    for text in PAYLOADS:
        seen = Seen(item(*record(columns, text))._repr_html_())
        assert seen.foreign == []
        assert clean_text(text) in seen.text or not texts
    monkeypatch.setattr(html, "escape", str)
    assert Seen(item(*record(columns, "<b>"))._repr_html_()).foreign or not texts


def test_verbs_return_nothing_without_a_display() -> None:
    """Each class of values that a verb returns is among those that these tests show."""
    found = {get_type_hints(function)["return"] for _, function in verbs()}
    plain = {int, bool, str, Any, Path, type(None)}
    alone = {hint for hint in found if get_origin(hint) is None} - plain
    assert alone
    assert {hint for hint in alone if hint not in RECORDS} == set()


@pytest.mark.parametrize("kind", [errors.InvalidInput, errors.RateLimited, errors.AddFailed])
def test_display_of_a_hostile_error_shows_text(
    kind: type[errors.AisdkError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error as the value of a cell tells message and hint; and the control."""
    for text in PAYLOADS:
        seen = Seen(kind(text, hint=text)._repr_html_())
        assert seen.foreign == []
        assert seen.text.count(clean_text(text)) >= 2
    monkeypatch.setattr(html, "escape", str)
    assert Seen(kind("<b>", hint="<i>")._repr_html_()).foreign == ["b", "i"]


def test_repr_of_an_error_has_its_hint() -> None:
    """In Python's own prompt, in IPython's, and in lists."""
    error = errors.InvalidInput("That is no year.", hint="Write 2024.")
    assert repr(error) == pretty(error) == "InvalidInput('That is no year.', hint='Write 2024.')"
    assert repr([errors.NotFound("Gone.")]) == "[NotFound('Gone.')]"


def test_errors_are_shown_as_text_without_control() -> None:
    """The lines that IPython prints of a raised error cannot steer it."""
    shell: Any = type("Shell", (), {"InteractiveTB": type("Plain", (), {"mode": "Plain"})})
    for text in [*PAYLOADS, "\x1b[2J", "\x07", "\u202e"]:
        for kind in (errors.InvalidInput, errors.AddFailed, errors.BadReply):
            lines = render_error(shell, kind(text, hint=text))
            assert all(clean_text(line) == line for line in lines)
            assert "\x1b" not in "".join(lines)
