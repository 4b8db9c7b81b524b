"""The errors that more than one reader of sources raises."""

from __future__ import annotations

from aisdk.errors import Unreadable

__all__ = ["damaged", "parser_missing", "too_large", "unreachable"]


def too_large() -> Unreadable:
    """The error for a source above a limit."""
    return Unreadable(
        "A source is larger than the limit, or unpacks to more.",
        hint="Split it, or raise max_bytes or max_pages.",
        reason="too_large",
    )


def damaged() -> Unreadable:
    """The error for a file that is not what its name says."""
    return Unreadable(
        "A file is damaged, or not of the format its name tells.",
        hint="Open and save it again, or correct its suffix.",
        reason="damaged",
    )


def parser_missing() -> Unreadable:
    """The error for a format whose package is not installed."""
    return Unreadable(
        "The package for this format is not installed.",
        hint='Run `pip install "aisdk[files]"`.',
        reason="parser_missing",
    )


def unreachable(error: BaseException) -> Unreadable:
    """The error for what cannot be opened; it tells the kind of the cause, never its message."""
    gone = isinstance(error, FileNotFoundError)
    return Unreadable(
        f"A source cannot be opened ({type(error).__name__}).",
        hint="Check that it is there and that you may read it.",
        reason="not_found" if gone else "not_readable",
    )
