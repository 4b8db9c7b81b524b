"""The child process that reads a PDF: a script that imports no more than it needs."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

__all__ = ["main"]


def main(max_pages: int, max_chars: int, memory_bytes: int, cpu_s: int) -> None:
    """Reads a PDF from standard input and writes what it found as JSON to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = _extract(sys.stdin.buffer.read(), max_pages, max_chars)
    sys.stdout.write(json.dumps(answer))


def _extract(data: bytes, max_pages: int, max_chars: int) -> dict[str, Any]:
    try:
        import pypdfium2
    except ImportError:
        return {"reason": "parser_missing"}
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        return {"reason": "encrypted" if "password" in str(error).lower() else "damaged"}
    if len(document) > max_pages:
        return {"reason": "too_large"}
    pages: list[str] = []
    left = max_chars
    for page in document:
        pages.append(page.get_textpage().get_text_bounded().replace("\r\n", "\n").strip())
        left -= len(pages[-1])
        if left < 0:
            return {"reason": "too_large"}
        page.close()
    text = "\n\n".join(page for page in pages if page)
    if not text.strip():
        return {"reason": "no_text"}
    title = document.get_metadata_dict().get("Title", "")
    return {"text": text, "title": title, "pages": len(pages)}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
