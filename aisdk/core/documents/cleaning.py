"""Text as it can be stored and embedded."""

from __future__ import annotations

from aisdk.core.documents.volume import pieces
from aisdk.errors import Unreadable

__all__ = ["clean_text", "not_empty"]


def clean_text(text: str) -> str:
    """The text as it can be stored: no NUL, U+FFFD for lone surrogates, line feeds only.

    Nothing else is changed. In particular composed and decomposed characters stay as they are
    (no NFC), so that what is shown is what was given; the embedder and the lexical index make
    them equal for themselves.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii() or not _has_surrogates(text):
        return text
    # pairs of surrogates become their character, lone ones U+FFFD
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def not_empty(text: str) -> str:
    """The text, if there is any.

    Raises:
        Unreadable: It is empty or white space only.
    """
    if not text or text.isspace():
        raise Unreadable(
            "A source has no text.", hint="Leave it out, or give it a text.", reason="empty"
        )
    return text


def _has_surrogates(text: str) -> bool:
    """Whether it cannot be encoded, seen a piece at a time."""
    try:
        for piece in pieces(text):
            piece.encode()
    except UnicodeEncodeError:
        return True
    return False
