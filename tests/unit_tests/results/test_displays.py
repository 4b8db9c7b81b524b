"""Every display of every verb, filled with hostile texts: none of them becomes HTML."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any, Final, get_args, get_origin, get_type_hints

import pytest
from payloads import PAYLOADS

import aisdk.core
from aisdk import errors
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.results import html
from aisdk.core.results.frame import Column, columns_of
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.core.results.text import clean_text
from aisdk.core.runtime.verb import catalogue
from aisdk.notebook.display import render_error
from aisdk.notebook.progress import DisplayProgress

OURS: Final = {
    *("caption", "details", "div", "label", "mark", "p", "progress", "style", "summary", "table"),
    *("tbody", "td", "tfoot", "th", "thead", "tr", "wbr"),
}
ATTRIBUTES: Final = {
    *("aria-label", "class", "colspan", "max", "role", "scope", "style", "tabindex", "value"),
}
VALUES: Final[dict[str, Callable[[str], Any]]] = {
    "text": str,
    "texts": lambda text: [text, text],
    "json": lambda text: {text: [text, {text: text}]},
    "bytes": lambda text: text.encode("utf-8", "replace"),
    "bool": lambda _: True,
    "int": lambda _: 1,
    "float": lambda _: 0.5,
    "time": lambda _: None,
}


def items() -> Iterator[type[Any]]:
    """What the rows of each verb's answer are made of."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(aisdk.core.__path__, "aisdk.core.")
        if found.name.endswith(".service")
    ]
    services = {
        value
        for module in modules
        for name, value in vars(module).items()
        if name.endswith("Service") and value.__module__ == module.__name__
    }
    verbs = list(catalogue(*services))
    hints = [get_type_hints(function)["return"] for _, function in verbs]
    found = {get_args(hint)[0] for hint in hints if get_origin(hint) in (Rows, AsyncPage)}
    found |= {verb.rows for verb, _ in verbs if verb.rows}  # where it returns something else too
    yield from sorted(found - {Any} | {ProbeResult}, key=lambda item: item.__name__)


ITEMS: Final = list(items())


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


def record(columns: tuple[Column, ...], text: str) -> tuple[Any, ...]:
    """A row with the text wherever one can stand."""
    return tuple(VALUES[column.kind](text) for column in columns)


def displays(item: type[Any], texts: list[str]) -> dict[str, str]:
    """The HTML of each form in which rows of an item are shown."""
    records = [record(columns_of(item), text) for text in texts]
    attrs: Any = {"terms": ["script", "<b", 'a"'], "note": texts[0]}
    page = AsyncPage(item, records, attrs=attrs, cursor=texts[0])
    blocking = Page.of(page, lambda work: asyncio.run(work()))
    widget = blocking.explore()
    return {
        "rows": Rows(item, records, attrs=attrs)._repr_html_(),
        "awaited page": page._repr_html_(),
        "page": blocking._repr_html_(),
        "saved widget": widget._still()["text/html"],
    }


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
def test_display_of_one_hostile_row_shows_text(item: type[Any]) -> None:
    """The same row by row, where other columns are shown and none is told in the foot."""
    columns = columns_of(item)
    for text in PAYLOADS:
        assert Seen(Rows(item, [record(columns, text)])._repr_html_()).foreign == []
        assert Seen(Rows(item, [record(columns, text * 30)] * 2)._repr_html_()).foreign == []


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


def test_errors_are_shown_as_text_without_control() -> None:
    """No error has a display of its own, and the lines that IPython prints cannot steer it."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert not any(hasattr(kind, "_repr_html_") for kind in kinds)
    shell: Any = type("Shell", (), {"InteractiveTB": type("Plain", (), {"mode": "Plain"})})
    for text in [*PAYLOADS, "\x1b[2J", "\x07", "\u202e"]:
        for kind in (errors.InvalidInput, errors.AddFailed, errors.BadReply):
            lines = render_error(shell, kind(text, hint=text))
            assert all(clean_text(line) == line for line in lines)
            assert "\x1b" not in "".join(lines)
