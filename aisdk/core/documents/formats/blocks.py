"""The text that a parser puts together, block by block, up to a limit."""

from __future__ import annotations

from aisdk.core.documents.unreadable import too_large

__all__ = ["Blocks"]


class Blocks:
    """Paragraphs, headings and rows in order, a blank line or a line break between them.

    Args:
        max_chars: Longest text that may come out; what would be longer fails with ``too_large``.
    """

    def __init__(self, max_chars: int) -> None:
        self._left = max_chars
        self._parts: list[str] = []

    def add(self, block: str, *, tight: bool = False) -> None:
        """Appends a block, if there is anything in it.

        Args:
            block: Its text; space around it is dropped.
            tight: Whether only a line break parts it from the block before it.

        Raises:
            Unreadable: The text becomes too long.
        """
        block = block.strip()
        if not block:
            return
        if self._parts:
            self._parts.append("\n" if tight else "\n\n")
        self._parts.append(block)
        self._left -= len(block) + 2
        if self._left < 0:
            raise too_large()

    def text(self) -> str:
        """Everything so far."""
        return "".join(self._parts)
