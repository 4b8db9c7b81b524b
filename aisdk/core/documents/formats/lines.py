"""The lines of a text, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["lines_of"]


def lines_of(text: str) -> Iterator[str]:
    """Each line with its line feed; nothing is held but the text."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end
