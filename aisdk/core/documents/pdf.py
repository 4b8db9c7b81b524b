"""PDF: parsed in a child process with bounded memory and time, since parsers meet hostile files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from aisdk.core.documents.sources import LoadOptions, Parsed, damaged, parser_missing, too_large
from aisdk.errors import Unreadable

__all__ = ["parse_pdf"]

TIMEOUT_S: Final = 120
MEMORY_BYTES: Final = 2 * 2**30
CHILD: Final = str(Path(__file__).with_name("pdf_child.py"))


def parse_pdf(data: bytes, options: LoadOptions) -> Parsed:
    """The text of a PDF, a paragraph a page.

    Raises:
        Unreadable: It is damaged, encrypted, has too many pages, holds no text (a scan), or the
            parser crashed or took too long.
    """
    if b"%PDF-" not in data[:1024]:
        raise damaged()
    found = _in_child(data, options)
    reason = found.get("reason")
    if reason:
        raise _failure(str(reason))
    return Parsed(str(found["text"]), str(found["title"]), {"pages": found["pages"]}, "prose")


def _in_child(data: bytes, options: LoadOptions) -> dict[str, Any]:
    """What the child says of the file."""
    limits = (options.max_pages, options.max_chars, MEMORY_BYTES, TIMEOUT_S)
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603  # our own interpreter and file
            [sys.executable, "-I", CHILD, *map(str, limits)],
            input=data,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={"PATH": os.defpath},
        )
    except subprocess.TimeoutExpired:
        return {"reason": "timeout"}
    if done.returncode:
        return {"reason": "parser_crashed"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _failure(reason: str) -> Unreadable:
    if reason == "parser_missing":
        return parser_missing()
    if reason == "too_large":
        return too_large()
    if reason == "damaged":
        return damaged()
    message, hint = _FAILURES[reason]
    return Unreadable(message, hint=hint, reason=reason)


_FAILURES: Final = {
    "encrypted": ("A PDF is encrypted.", "Save it without a password."),
    "no_text": ("A PDF has no text: it may be a scan.", "Run text recognition over it first."),
    "timeout": ("A PDF took too long to read.", "Split it, or print it to a new PDF."),
    "parser_crashed": ("A PDF crashed its parser.", "Print it to a new PDF."),
}
