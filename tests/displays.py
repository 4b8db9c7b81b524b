"""Every display of every verb: its rows, its single records, and the forms they are shown in."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

import aisdk.core
from aisdk.core.documents.types import StoredDocument, StoreInfo
from aisdk.core.isolation.types import ProbeResult
from aisdk.core.results.frame import Column, columns_of
from aisdk.core.results.origin import Origin
from aisdk.core.results.page import AsyncPage, Page, Rows
from aisdk.core.runtime.verb import catalogue
from aisdk.core.tenants.types import Receipt
from aisdk.errors import NotFound

__all__ = ["ITEMS", "OURS", "RECORDS", "displays", "marking", "record", "verbs"]

OURS: Final = {
    *("caption", "details", "div", "label", "mark", "p", "progress", "span", "style", "summary"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr"),
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


async def no_text(_: str) -> str:
    """No document is at hand."""
    raise NotFound


def marking(*parts: str) -> Origin:
    """An origin of rows whose texts matched by these parts, wherever they stand."""
    found = re.compile("|".join(map(re.escape, parts)))
    return Origin(no_text, matched=lambda _: lambda text: map(re.Match.span, found.finditer(text)))


def verbs() -> list[tuple[Any, Any]]:
    """Each verb of all domains."""
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
    return list(catalogue(*services))


def items() -> Iterator[type[Any]]:
    """What the rows of each verb's answer are made of."""
    hints = [get_type_hints(function)["return"] for _, function in verbs()]
    found = {get_args(hint)[0] for hint in hints if get_origin(hint) in (Rows, AsyncPage)}
    found |= {verb.rows for verb, _ in verbs() if verb.rows}  # where it returns something else too
    yield from sorted(found - {Any} | {ProbeResult}, key=lambda item: item.__name__)


ITEMS: Final = list(items())
MARKING: Final = marking("script", "<b", 'a"', "&")
RECORDS: Final = sorted(
    {*ITEMS, StoredDocument, StoreInfo, Receipt}, key=lambda item: item.__name__
)


def record(columns: tuple[Column, ...], text: str) -> tuple[Any, ...]:
    """A row with the text wherever one can stand."""
    return tuple(VALUES[column.kind](text) for column in columns)


def displays(item: type[Any], texts: list[str]) -> dict[str, str]:
    """The HTML of each form in which rows of an item are shown."""
    records = [record(columns_of(item), text) for text in texts]
    attrs: Any = {"note": texts[0]}
    page = AsyncPage(item, records, attrs=attrs, cursor=texts[0]).from_origin(MARKING)
    blocking = Page(page, lambda work: asyncio.run(work()))
    widget = blocking.explore()
    rows = Rows(item, records, attrs=attrs)
    rows.origin = MARKING
    return {
        "rows": rows._repr_html_(),
        "awaited page": page._repr_html_(),
        "page": blocking._repr_html_(),
        "saved widget": widget._still()["text/html"],
    }
