"""JSON and JSON lines: a record's text where it has an obvious one, else its fields as lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.formats.blocks import Blocks
from aisdk.core.documents.sources import Parsed

__all__ = ["parse_json", "parse_json_lines"]

TEXT_FIELDS: Final = ("text", "content", "body", "page_content")
LONGEST_PATH: Final = 200


def parse_json(text: str, max_chars: int) -> Parsed:
    """A list's items or one value, a paragraph each; what is not JSON stays as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # JSON with comments, for one
        return Parsed(text, "", {}, "code")
    blocks = Blocks(max_chars)
    for item in value if isinstance(value, list) else [value]:
        _add(blocks, item)
    return Parsed(blocks.text(), "", {}, "table")


def parse_json_lines(text: str, max_chars: int) -> Parsed:
    """One JSON value a line, a paragraph each; a line that is not JSON stays as it is."""
    blocks = Blocks(max_chars)
    for line in text.split("\n"):
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            value = line
        _add(blocks, value)
    return Parsed(blocks.text(), "", {}, "table")


def _add(blocks: Blocks, value: Any) -> None:
    """One record as a paragraph."""
    if isinstance(value, dict):
        for field in TEXT_FIELDS:
            if isinstance(value.get(field), str):
                title = value.get("title")
                blocks.add(f"{title}\n{value[field]}" if isinstance(title, str) else value[field])
                return
    first = True
    for line in _lines(value):
        blocks.add(line, tight=not first)
        first = False


def _lines(value: Any) -> Iterator[str]:
    """``path.to.field: value`` for every scalar, without recursion."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            below = [
                (f"{path}.{key}".strip(".")[:LONGEST_PATH], item) for key, item in value.items()
            ]
            waiting.extend(reversed(below))
        elif isinstance(value, list):
            waiting.extend((path, item) for item in reversed(value))
        elif value is not None:
            yield f"{path}: {value}" if path else str(value)
