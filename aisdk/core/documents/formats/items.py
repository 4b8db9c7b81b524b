"""JSON, one value at a time, and none that would take much memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json import JSONDecoder
from typing import Any, Final

from aisdk.core.documents.volume import width_of

__all__ = ["items_of", "load", "weight_of"]

WINDOW: Final = 2**18  # characters looked at together; no value of so few is too heavy
HEAVIEST: Final = 96 * 2**20  # bytes that a value may take
# Bytes that values take in Python beside their texts, told by the marks that go with them.
MARKS: Final = {"{": 200, "[": 110, ":": 250, ",": 64}

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_TEXT: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)


def load(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is none, or would take too much memory.
        RecursionError: It is nested too deeply.
    """
    if len(text) > WINDOW and weight_of(text) > HEAVIEST:
        raise ValueError
    return json.loads(text)


def weight_of(text: str) -> int:
    """About how many bytes the value of a JSON text takes, at most."""
    size = len(text) * width_of(text)
    size += sum(bytes_each * text.count(mark) for mark, bytes_each in MARKS.items())
    if "\\u" in text and size <= HEAVIEST < 4 * size:
        # A character that is written as an escape may widen all others of its text.
        size += sum(3 * len(found[0]) for found in _TEXT.finditer(text) if "\\u" in found[0])
    return size


def items_of(text: str) -> Iterator[Any]:
    """The items of a list, or the one value that the text is.

    Raises:
        ValueError: The text is no JSON, or an item would take too much memory.
        RecursionError: It is nested too deeply.
    """
    place = _skip(text, 0)
    if text[place : place + 1] != "[" or len(text) <= WINDOW:
        value = load(text)
        return iter(value if isinstance(value, list) else [value])
    return _items(text, _skip(text, place + 1))


def _items(text: str, place: int) -> Iterator[Any]:
    """The items of the list that begins before a place: those that end in a window, then on."""
    size, closed = WINDOW, text[place : place + 1] == "]"
    place += closed
    while not closed:
        window = text[place : place + size]
        if size > WINDOW and weight_of(window) > HEAVIEST // 2:
            raise ValueError
        used = 0
        for item, used, closed in _whole(window):  # noqa: B007  # used after the loop
            yield item
        if used == 0 and place + size >= len(text):
            raise ValueError
        size = WINDOW if used else 8 * size
        place += used
    if _skip(text, place) != len(text):
        raise ValueError


def _whole(window: str) -> Iterator[tuple[Any, int, bool]]:
    """The items that end in a window, where each one's comma or bracket ends, and which it is."""
    decoder, place, mark = JSONDecoder(), 0, ","
    while mark == ",":
        try:
            item, end = decoder.raw_decode(window, _skip(window, place))
        except ValueError:  # it ends beyond the window, or is none
            return
        end = _skip(window, end)
        mark = window[end : end + 1]
        if mark not in (",", "]"):
            return
        place = end + 1
        yield item, place, mark == "]"


def _skip(text: str, place: int) -> int:
    """Where the next character that is no space stands."""
    found = _SPACE.match(text, place)
    return found.end() if found else place
