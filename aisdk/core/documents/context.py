"""What is embedded and indexed of a chunk: its text, under what its document is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from aisdk.core.documents.types import ChunkRow, DocumentRow

__all__ = ["searchable", "searchable_texts"]

_OPENING: Final = re.compile(r"\s*(\S.{19,199}?[.!?\u3002\uff01\uff1f])(?:\s|$)", re.DOTALL)
_LONGEST_OPENING: Final = 120  # characters of a beginning that has no short sentence


def searchable(title: str, heading: str, text: str) -> str:
    """A chunk's text under its document's title and its own heading."""
    above = " > ".join(part for part in (title, heading) if part)
    return f"{above}\n{text}" if above else text


def searchable_texts(documents: Sequence[DocumentRow], chunks: Sequence[ChunkRow]) -> list[str]:
    """The searchable text of each chunk of whole documents.

    A chunk from the middle of a document rarely says what the document is about. Where there is
    no title to say so, the document's first sentence does, in every chunk but the first.
    """
    openings = {chunk.document: _opening(chunk.text) for chunk in chunks if chunk.start == 0}
    return [
        searchable(
            documents[chunk.document].title or (openings[chunk.document] if chunk.start else ""),
            chunk.heading,
            chunk.text,
        )
        for chunk in chunks
    ]


def _opening(text: str) -> str:
    """The first sentence, or the beginning where that is long."""
    sentence = _OPENING.match(text)
    return " ".join((sentence[1] if sentence else text[:_LONGEST_OPENING]).split())
