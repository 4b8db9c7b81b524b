"""HTML: what a reader of the page sees, with its headings, lists, tables and code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from aisdk.core.documents.encoding import decoded
from aisdk.core.documents.formats.blocks import LONGEST_BLOCK, Blocks, Pile
from aisdk.core.documents.formats.feeding import Feeding
from aisdk.core.documents.sources import LoadOptions, Parsed
from aisdk.core.documents.unreadable import damaged, parser_missing

__all__ = ["parse_html"]

LONGEST_TITLE: Final = 2_000
MOST_DEPTH: Final = 1_000_000

_DECLARED: Final = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z0-9_.:-]{2,40})""")
_SPACE: Final = re.compile(r"\s+")
_UNSEEN: Final = frozenset(
    [
        *("script", "style", "noscript", "template", "nav", "svg", "math", "iframe", "object"),
        *("dialog", "select", "datalist"),
    ]
)
_TIGHT: Final = frozenset(["li", "tr", "dt", "dd"])
_BLOCKS: Final = _TIGHT | frozenset(
    [
        *("address", "article", "aside", "blockquote", "body", "caption", "details", "div", "dl"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("header", "hr", "main", "ol", "p", "pre", "section", "summary", "table", "tbody"),
        *("tfoot", "thead", "ul"),
    ]
)
_MARKS: Final[Mapping[str, str]] = {"li": "- ", **{f"h{n}": "#" * n + " " for n in range(1, 7)}}


def parse_html(data: bytes, options: LoadOptions) -> Parsed:
    """The visible text of a page; headings become Markdown headings, ``pre`` a fenced block.

    The page is read as a stream, so memory does not grow with its depth or number of tags.
    """
    try:
        from lxml import etree
    except ImportError as error:
        raise parser_missing() from error
    declared = _DECLARED.search(data[:2048])
    page = _Page(options.max_chars)
    parser = etree.HTMLParser(target=page, encoding="utf-8", huge_tree=True)
    feeding = Feeding(parser, page)
    try:
        for piece in decoded(data, declared[1].decode() if declared else ""):
            feeding.feed(piece.encode("utf-8", "replace"))
        feeding.close()
    except etree.LxmlError:
        raise damaged() from None
    title = " ".join("".join(page.title).split())
    return Parsed(page.blocks.text(), title, {}, "markdown")


class _Page:
    """Receives the tags and characters of a page in their order."""

    def __init__(self, max_chars: int) -> None:
        self.blocks = Blocks(max_chars)
        self.title: list[str] = []
        self.events = 0
        self._longest = min(max_chars, LONGEST_BLOCK)
        self._words = Pile()
        self._depth = 0
        self._mark = ""
        self._tag = ""
        self._hidden = 0
        self._pre = 0
        self._in_title = False
        self._was_tight = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.events += 1
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise damaged()
        if self._hidden or _is_unseen(tag, attributes):
            self._hidden += 1
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._put("\n")
        elif tag in ("td", "th"):
            self._put(" | " if self._words.chars else "")
        elif tag in _BLOCKS:
            self._end_block()
            self._tag = tag
            self._mark = _MARKS.get(tag, self._mark)
            self._pre += tag == "pre"

    def end(self, tag: str) -> None:
        self.events += 1
        self._depth -= 1
        if self._hidden:
            self._hidden -= 1
        elif tag == "title":
            self._in_title = False
        elif tag in _BLOCKS:
            self._end_block()
            self._mark = ""
            self._pre -= tag == "pre"

    def data(self, text: str) -> None:
        self.events += 1
        if self._hidden:
            return
        if self._in_title:
            if len(self.title) < LONGEST_TITLE:
                self.title.append(text[:LONGEST_TITLE])
            return
        self._put(text if self._pre else _SPACE.sub(" ", text))

    def close(self) -> None:
        self._end_block()

    def _put(self, text: str) -> None:
        """Adds to the block; one without end is ended."""
        self._words.add(text)
        if self._words.chars > self._longest:
            self._end_block()

    def _end_block(self) -> None:
        text = self._words.take()
        if not text.strip():
            return
        tight = False
        if self._pre:
            self.blocks.add("```\n" + text.strip("\n") + "\n```")
        else:
            lines = (" ".join(line.split()) for line in text.split("\n"))
            flow = (" " if self._mark else "\n").join(line for line in lines if line)
            tight = self._mark == "- " or self._tag in _TIGHT
            self.blocks.add(self._mark + flow, tight=tight and self._was_tight)
        self._was_tight = tight
        self._mark = ""


def _is_unseen(tag: str, attributes: Mapping[str, Any]) -> bool:
    return tag in _UNSEEN or "hidden" in attributes or attributes.get("role") == "navigation"
