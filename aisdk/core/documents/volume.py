"""How much memory a text takes: one, two or four bytes a character, by its widest one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["LARGEST_RESULT", "LARGEST_TEXT", "pieces", "width_of"]

LARGEST_TEXT: Final = 80 * 2**20  # bytes of a file's text while it is parsed
LARGEST_RESULT: Final = 48 * 2**20  # bytes of the text that comes out of it
STEP: Final = 2**20


def width_of(text: str) -> int:
    """Bytes that Python takes for each character of the text: 1, 2 or 4."""
    return 1 if text.isascii() else max(map(_width, pieces(text)), default=1)


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of a million characters; a short one is its own piece."""
    return (text[start : start + STEP] for start in range(0, len(text), STEP))


def _width(text: str) -> int:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return 2 if len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text) else 4
    return 1
