"""The text that a parser puts together, block by block, up to a limit."""

from __future__ import annotations

from typing import Final

from aisdk.core.documents.unreadable import too_large
from aisdk.core.documents.volume import LARGEST_RESULT, width_of

__all__ = ["LONGEST_BLOCK", "Blocks", "Pile"]

LONGEST_BLOCK: Final = 2**20  # characters after which a parser ends a paragraph by itself
MOST_PARTS: Final = 4_096
MOST_CHARS: Final = 2**16


class Pile:
    """A text that grows by pieces, however short they are, and takes little more than itself.

    Attributes:
        chars: How long it is.
        width: Bytes that each of its characters takes, as far as it is packed.
    """

    __slots__ = ("_loose", "_packed", "_parts", "chars", "width")

    def __init__(self) -> None:
        self.chars = 0
        self.width = 1
        self._parts: list[str] = []
        self._loose = 0
        self._packed: list[str] = []

    def add(self, text: str) -> None:
        """Appends a piece."""
        self.chars += len(text)
        if len(text) >= MOST_CHARS and self._parts:
            self._pack()  # so that a long piece is not copied
        self._parts.append(text)
        self._loose += len(text)
        if len(self._parts) >= MOST_PARTS or self._loose >= MOST_CHARS:
            self._pack()

    def take(self) -> str:
        """Everything so far; the pile is empty afterwards."""
        if not self._packed:
            text = "".join(self._parts)
        else:
            self._pack()
            text = "".join(self._packed)
            self._packed = []
        self._parts, self._loose, self.chars, self.width = [], 0, 0, 1
        return text

    def _pack(self) -> None:
        packed = "".join(self._parts)
        self._packed.append(packed)
        self.width = max(self.width, width_of(packed))
        self._parts, self._loose = [], 0


class Blocks:
    """Paragraphs, headings and rows in order, a blank line or a line break between them.

    Args:
        max_chars: Longest text that may come out; what would be longer, or take more than 48 MiB
            of memory, fails with ``too_large``.
    """

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._pile = Pile()

    def add(self, block: str, *, tight: bool = False) -> None:
        """Appends a block, if there is anything in it.

        Args:
            block: Its text; space around it is dropped.
            tight: Whether only a line break parts it from the block before it.

        Raises:
            Unreadable: The text becomes too long.
        """
        pile = self._pile
        after = pile.chars + len(block)
        if after > self._max_chars or after * pile.width > LARGEST_RESULT:
            raise too_large()
        block = block.strip()
        if not block:
            return
        if pile.chars:
            pile.add("\n" if tight else "\n\n")
        pile.add(block)

    def text(self) -> str:
        """Everything; nothing can be added afterwards.

        Raises:
            Unreadable: It is too large after all, by the width of its last characters.
        """
        if self._pile.chars * self._pile.width > LARGEST_RESULT:
            raise too_large()
        return self._pile.take()
