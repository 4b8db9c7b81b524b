"""Formats that are text: plain, Markdown, HTML, tables, JSON, notebooks and source code."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aisdk.core.documents.sources import Parsed, damaged, parser_missing

__all__ = [
    "code",
    "html",
    "json_document",
    "json_lines",
    "markdown",
    "notebook",
    "plain",
    "python",
    "table",
]

LONGEST_CELL: Final = 10_000
LONGEST_OUTPUT: Final = 2_000
DEEPEST: Final = 50
TEXT_KEYS: Final = ("text", "content", "body", "page_content")

_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*['\"]?(.*?)['\"]?[ \t]*$", re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(\S.*)$", re.MULTILINE)
_NOISE: Final = ("script", "style", "noscript", "template", "nav", "svg", "iframe", "head")
_BLOCKS: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tr",
        "ul",
    ]
)
_SPACES: Final = re.compile(r"[ \t\f\v\xa0]+")
_LINES: Final = re.compile(r" ?\n ?")
_GAPS: Final = re.compile(r"\n{3,}")


def plain(text: str) -> Parsed:
    """Text as it is."""
    return Parsed(text, "", {}, "prose")


def code(text: str) -> Parsed:
    """Source code of any language."""
    return Parsed(text, "", {}, "code")


def python(text: str) -> Parsed:
    """Python source, cut at its functions and classes."""
    return Parsed(text, "", {}, "python")


def markdown(text: str) -> Parsed:
    """Markdown as it is, its title from the front matter or the first heading."""
    front = _FRONT_MATTER.match(text)
    title = _FRONT_TITLE.search(front[1]) if front else None
    body = text[front.end() :] if front else text
    heading = _HEADING.search(body)
    found = title[1] if title else heading[1].strip(" #") if heading else ""
    return Parsed(body, found, {}, "markdown")


def html(text: str) -> Parsed:
    """The visible text of a page; headings become Markdown headings."""
    try:
        from bs4 import BeautifulSoup
    except ImportError as error:
        raise parser_missing() from error
    try:
        page = BeautifulSoup(text, "lxml")
        title = page.title.get_text(" ", strip=True) if page.title else ""
        for noise in page(_NOISE):
            noise.decompose()
        visible = "".join(_visible(page))
    except (RecursionError, ValueError, AssertionError) as error:
        raise damaged() from error
    visible = _LINES.sub("\n", _SPACES.sub(" ", visible))
    return Parsed(_GAPS.sub("\n\n", visible).strip(), title, {}, "html")


def _visible(page: Any) -> Iterator[str]:
    """The text nodes of a page, with line breaks around blocks; without recursion."""
    from bs4.element import NavigableString, Tag

    for node in page.descendants:
        if isinstance(node, Tag):
            if re.fullmatch(r"h[1-6]", node.name):
                yield "\n\n" + "#" * int(node.name[1]) + " "
            elif node.name in ("td", "th"):
                yield " "
            elif node.name in _BLOCKS:
                yield "\n\n" if node.name in ("p", "section", "article", "table") else "\n"
        elif type(node) is NavigableString:  # not a comment, which is a kind of it
            yield _flow(node)


def _flow(node: Any) -> str:
    """A text node; white space counts in ``pre`` only."""
    if node.find_parent("pre") is not None:
        return str(node)
    words = " ".join(str(node).split())
    if not words:
        return " "
    return f"{' ' if node[:1].isspace() else ''}{words}{' ' if node[-1:].isspace() else ''}"


def table(text: str) -> Parsed:
    """Rows as lines of ``column: value``, one paragraph a row."""
    try:
        dialect: Any = csv.Sniffer().sniff(text[:8192], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel_tab if "\t" in text[:8192] else csv.excel
    limit = csv.field_size_limit(max(len(text) + 1, 131_072))
    try:
        rows = csv.reader(io.StringIO(text, newline=""), dialect)
        names = [name.strip() for name in next(rows, [])]
        body = "\n\n".join(_row(names, row) for row in rows if any(cell.strip() for cell in row))
    except csv.Error as error:
        raise damaged() from error
    finally:
        csv.field_size_limit(limit)
    return Parsed(body or ", ".join(names), "", {}, "table")


def _row(names: list[str], row: list[str]) -> str:
    named = [*names, *("" for _ in range(len(row) - len(names)))]
    pairs = zip(named, row, strict=False)
    return "\n".join(f"{n}: {v.strip()}" if n else v.strip() for n, v in pairs if v.strip())


def json_document(text: str) -> Parsed:
    """A JSON value as ``key: value`` lines."""
    value = _loaded(text)
    items = value if isinstance(value, list) else [value]
    return Parsed("\n\n".join(map(_readable, items)), "", {}, "table")


def json_lines(text: str) -> Parsed:
    """One JSON value a line, each a paragraph; its text where it has an obvious one."""
    lines = [line for line in text.split("\n") if line.strip()]
    return Parsed("\n\n".join(_readable(_loaded(line)) for line in lines), "", {}, "table")


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged() from error


def _readable(value: Any) -> str:
    """A JSON value for reading and searching."""
    if isinstance(value, dict):
        for key in TEXT_KEYS:
            if isinstance(value.get(key), str):
                title = value.get("title")
                return f"{title}\n{value[key]}" if isinstance(title, str) and title else value[key]
    return "\n".join(_flattened("", value, 0))


def _flattened(path: str, value: Any, depth: int) -> Iterator[str]:
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = (("", item) for item in value)
    elif value is not None:
        yield f"{path}: {value}" if path else str(value)
    if depth < DEEPEST:
        for key, item in children:
            yield from _flattened(f"{path}.{key}".strip("."), item, depth + 1)


def notebook(text: str) -> Parsed:
    """Markdown and code cells of a notebook, with the beginning of their text outputs."""
    value = _loaded(text)
    cells = value.get("cells") if isinstance(value, dict) else None
    if not isinstance(cells, list):
        raise damaged()
    parts = [part for cell in cells if isinstance(cell, dict) for part in _cell(cell)]
    body = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    heading = _HEADING.search(body)
    return Parsed(body, heading[1].strip(" #") if heading else "", {}, "notebook")


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell.get("source"))
    if cell.get("cell_type") != "code":
        yield source
        return
    yield f"```python\n{source}\n```" if source.strip() else ""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        if isinstance(output, dict):
            data = output.get("data")
            shown = data.get("text/plain") if isinstance(data, dict) else output.get("text")
            yield _joined(shown)[:LONGEST_OUTPUT]


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""
