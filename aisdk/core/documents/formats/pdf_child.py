"""The child process that reads a PDF: a script that imports no more than it needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["main"]

LIMIT_OF_ALL: Final = 8
LONGEST_TITLE: Final = 2_000


def main(packages: str, *numbers: str) -> None:
    """Reads a PDF from standard input; writes a line of JSON and its text to standard output.

    Args:
        packages: The folder that pypdfium2 is installed in.
        numbers: Most pages, most characters, most bytes of them, bytes of memory, seconds of
            computing.
    """
    max_pages, max_chars, max_bytes, memory_bytes, cpu_s = map(int, numbers)
    _limit(memory_bytes, cpu_s)
    sys.path.append(packages)
    try:
        answer, text = _extract(sys.stdin.buffer.read(), max_pages, max_chars, max_bytes)
    except MemoryError:
        answer, text = {"reason": "too_large"}, ""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + text.encode("utf-8", "replace"))


def _limit(memory_bytes: int, cpu_s: int) -> None:
    """Bounds memory and computing time where the system can."""
    try:
        import resource
    except ImportError:  # Windows; the parent's timeout remains
        return
    wanted = (
        (resource.RLIMIT_DATA, memory_bytes),  # without the files that are mapped
        (resource.RLIMIT_AS, LIMIT_OF_ALL * memory_bytes),  # where the first is not kept
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, value in wanted:
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def _extract(
    data: bytes, max_pages: int, max_chars: int, max_bytes: int
) -> tuple[dict[str, Any], str]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        return {"reason": "encrypted" if "password" in str(error).lower() else "damaged"}, ""
    if len(document) > max_pages:
        return {"reason": "too_large"}, ""
    pages: list[str] = []
    chars, width = 0, 1
    for page in _pages(document):
        pages.append(page)
        chars += len(page)
        width = max(width, _width(page))
        if chars > max_chars or chars * width > max_bytes:
            return {"reason": "too_large"}, ""
    text = "\n\n".join(page for page in pages if page)
    if not text:
        return {"reason": "no_text" if pages else "damaged"}, ""
    title = document.get_metadata_dict().get("Title", "")[:LONGEST_TITLE]
    return {"title": title, "pages": len(document)}, text


def _width(text: str) -> int:
    """Bytes that Python takes for each character."""
    largest = max(text, default="")
    return 1 if largest <= "\xff" else 2 if largest <= "\uffff" else 4


def _pages(document: Any) -> Iterator[str]:
    """The text of each page; a damaged page has none."""
    import pypdfium2

    for number in range(len(document)):
        try:
            page = document[number]
            text: str = page.get_textpage().get_text_bounded()
            page.close()
        except pypdfium2.PdfiumError:
            yield ""
            continue
        # Pdfium marks a hyphen at a line's end, where a word goes on in the next line.
        whole = text.replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "")
        yield whole.replace("\x02\n", "").replace("\x02", "").strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
