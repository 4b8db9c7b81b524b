"""How a file is given to a parser of tags: by and by, so that no single tag takes much memory."""

from __future__ import annotations

from typing import Any, Final, Protocol

from aisdk.core.documents.unreadable import too_large

__all__ = ["Feeding", "Target"]

LARGEST_TAG: Final = 16 * 2**20  # bytes of one tag: a picture that is written into it
MOST_PARTS: Final = 250_000  # separators in one tag: each may begin an attribute
SEPARATORS: Final = b" \t\r\n\f/'\""


class Target(Protocol):
    """What receives the tags.

    Attributes:
        events: How many tags and texts it has received.
    """

    events: int


class Feeding:
    """Feeds a parser and watches how much it holds back: what it does not pass on, it keeps.

    Args:
        parser: An lxml parser.
        target: Its target.
    """

    def __init__(self, parser: Any, target: Target) -> None:
        self._parser = parser
        self._target = target
        self._held = 0
        self._parts = 0
        self._begun = False

    def feed(self, data: bytes) -> None:
        """Gives the parser some bytes.

        Raises:
            Unreadable: It holds back a tag that is too large, or has too many attributes.
        """
        if not data:
            return
        before = self._target.events
        self._begun = True
        self._parser.feed(data)
        if self._target.events != before:
            self._held = self._parts = 0
        self._held += len(data)
        self._parts += len(data) - len(data.translate(None, SEPARATORS))
        if self._held > LARGEST_TAG or self._parts > MOST_PARTS:
            raise too_large()

    def close(self) -> None:
        """Tells the parser that this was all."""
        if self._begun:
            self._parser.close()
