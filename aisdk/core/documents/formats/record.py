"""JSON and JSON lines: a record's text where it has an obvious one, else its fields as lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final

from aisdk.core.documents.formats.blocks import LONGEST_BLOCK, Blocks
from aisdk.core.documents.formats.items import items_of, load
from aisdk.core.documents.formats.lines import lines_of
from aisdk.core.documents.sources import Parsed
from aisdk.errors import Unreadable

__all__ = ["parse_json", "parse_json_lines"]

TEXT_FIELDS: Final = ("text", "content", "body", "page_content")
LONGEST_PATH: Final = 200


def parse_json(text: str, max_chars: int) -> Parsed:
    """A list's items or one value, a paragraph each; what is not JSON stays as it is."""
    blocks = Blocks(max_chars)
    try:
        for item in items_of(text):
            _add(blocks, item)
    except Unreadable:
        raise
    except (ValueError, RecursionError):  # JSON with comments, for one
        return Parsed(text, "", {}, "code")
    return Parsed(blocks.text(), "", {}, "table")


def parse_json_lines(text: str, max_chars: int) -> Parsed:
    """One JSON value a line, a paragraph each; a line that is not JSON stays as it is."""
    blocks = Blocks(max_chars)
    for line in lines_of(text):
        try:
            value = load(line) if not line.isspace() else None
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
                title = title.strip() if isinstance(title, str) else ""
                blocks.add(title)
                blocks.add(value[field], tight=bool(title))
                return
    first = True
    for line in _lines(value):
        blocks.add(line, tight=not first)
        first = False


def _lines(value: Any) -> Iterator[str]:
    """``path.to.field: value`` for every scalar, without recursion."""
    waiting: list[Iterator[tuple[str, Any]]] = [iter([("", value)])]
    while waiting:
        path, value = next(waiting[-1], ("", waiting))
        if value is waiting:  # nothing is left in this one
            waiting.pop()
        elif isinstance(value, dict):
            waiting.append(_fields(path, value))
        elif isinstance(value, list):
            waiting.append(zip(repeat(path), value))
        elif isinstance(value, str) and len(value) > LONGEST_BLOCK:  # not to be copied
            yield from (f"{path}:", value) if path else (value,)
        elif value is not None:
            yield f"{path}: {value}" if path else str(value)


def _fields(path: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        yield f"{path}.{key[:LONGEST_PATH]}".strip(".")[:LONGEST_PATH], item
