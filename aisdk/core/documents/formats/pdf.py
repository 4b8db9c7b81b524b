"""PDF: parsed in a child process with bounded memory and time, since parsers meet hostile files."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from aisdk.core.documents.sources import LoadOptions, Parsed
from aisdk.core.documents.unreadable import damaged, parser_missing, too_large
from aisdk.core.documents.volume import LARGEST_RESULT
from aisdk.errors import Unreadable

__all__ = ["parse_pdf"]

TIMEOUT_S: Final = 120
MEMORY_BYTES: Final = 256 * 2**20  # for a file of the usual limit of 64 MiB
USUAL_BYTES: Final = 64 * 2**20
CHILD: Final = Path(__file__).with_name("pdf_child.py")
HEAD: Final = 1024  # bytes in which the format's mark has to stand

_FAILURES: Final = {
    "encrypted": ("A PDF is encrypted.", "Save it without a password."),
    "no_text": ("A PDF has no text: it may be a scan.", "Run text recognition over it first."),
    "timeout": ("A PDF took too long to read.", "Split it, or print it to a new PDF."),
    "parser_crashed": ("A PDF crashed its parser.", "Print it to a new PDF."),
}


def parse_pdf(data: bytes, options: LoadOptions) -> Parsed:
    """The text of a PDF, a paragraph a page, with the number of ``pages`` as metadata.

    Raises:
        Unreadable: It is damaged, encrypted, has too many pages, holds no text (a scan), or the
            parser crashed or took too long.
    """
    if b"%PDF-" not in data[:HEAD]:
        raise damaged()
    answer, text = _ask_child(data, options)
    if reason := answer.get("reason"):
        raise _failure(str(reason))
    pages = int(answer["pages"])
    return Parsed(text, str(answer["title"]), {"pages": pages}, "prose")


def _ask_child(data: bytes, options: LoadOptions) -> tuple[dict[str, Any], str]:
    """What the child says of the file, and its text.

    The child sees nothing of this process's environment, which holds secrets, and none of its
    interrupts: Ctrl-C must not look like a crash of the parser.
    """
    spec = importlib.util.find_spec("pypdfium2")
    if spec is None or spec.origin is None:
        return {"reason": "parser_missing"}, ""
    packages = str(Path(spec.origin).parents[1])
    memory_bytes = MEMORY_BYTES + max(0, len(data) - USUAL_BYTES)
    limits = (options.max_pages, options.max_chars, LARGEST_RESULT, memory_bytes, TIMEOUT_S)
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603  # our own interpreter and file
            [sys.executable, "-I", str(CHILD), packages, *map(str, limits)],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
            env={name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return {"reason": "timeout"}, ""
    head, _, text = done.stdout.partition(b"\n")
    try:
        answer = json.loads(head)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):  # it died, or its parser wrote to standard output
        return {"reason": "parser_crashed"}, ""
    return answer, text.decode("utf-8", "replace")


def _failure(reason: str) -> Unreadable:
    others = {"parser_missing": parser_missing, "too_large": too_large, "damaged": damaged}
    if reason in others:
        return others[reason]()
    message, hint = _FAILURES[reason]
    return Unreadable(message, hint=hint, reason=reason)
