"""Markdown: its title and front matter."""

from __future__ import annotations

import re
from typing import Final

from aisdk.core.documents.sources import JSON, Parsed

__all__ = ["first_heading", "parse_markdown"]

LONGEST_FRONT: Final = 20_000

_FRONT_MATTER: Final = re.compile(
    r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE
)
_FIELD: Final = re.compile(r"^([A-Za-z_][\w-]{0,99}):[ \t]*(\S.*)$", re.MULTILINE)
_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(\S.{0,199})$", re.MULTILINE)
_NUMBER: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?")
_WORDS: Final[dict[str, JSON]] = {"true": True, "false": False, "null": None, "~": None}


def parse_markdown(text: str, max_chars: int) -> Parsed:
    """Markdown as it is; the front matter's plain fields become metadata, ``title`` the title."""
    del max_chars  # nothing is added
    front = _FRONT_MATTER.match(text, 0, LONGEST_FRONT)
    if front is None:
        return Parsed(text, first_heading(text), {}, "markdown")
    fields = {match[1]: _value(match[2].strip()) for match in _FIELD.finditer(front[1])}
    body = text[front.end() :].lstrip("\r\n")
    title = fields.pop("title", None)
    return Parsed(
        body, title if isinstance(title, str) else first_heading(body), fields, "markdown"
    )


def first_heading(text: str) -> str:
    """The first heading near the beginning of a Markdown text."""
    match = _HEADING.search(text, 0, LONGEST_FRONT)
    return match[1].strip(" #\r") if match else ""


def _value(text: str) -> JSON:
    """A scalar or a list of scalars in YAML's plain notation; anything else stays text."""
    if text[0] == "[" and text[-1] == "]":
        return [_scalar(item.strip()) for item in text[1:-1].split(",") if item.strip()]
    return _scalar(text)


def _scalar(text: str) -> JSON:
    if text[0] in "'\"" and text[-1] == text[0] and len(text) > 1:
        return text[1:-1]
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return float(text) if number[1] else int(text)
