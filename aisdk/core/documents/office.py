"""DOCX: paragraphs, headings and tables, with limits on what may be unpacked."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.sources import LoadOptions, Parsed, damaged, parser_missing, too_large
from aisdk.errors import Unreadable

__all__ = ["parse_docx"]

LARGEST_RATIO: Final = 200
MOST_PARTS: Final = 10_000
FREE_BYTES: Final = 2**20


def parse_docx(data: bytes, options: LoadOptions) -> Parsed:
    """The text of a Word document; headings become Markdown headings.

    Raises:
        Unreadable: It is damaged, encrypted, or unpacks to more than the limits allow.
    """
    try:
        import docx
    except ImportError as error:
        raise parser_missing() from error
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable(
            "A document is encrypted or of an old format.",
            hint="Save it as DOCX without a password.",
            reason="encrypted",
        )
    _check_expansion(data, options)
    try:
        document = docx.Document(io.BytesIO(data))
        text = "\n\n".join(part for part in _parts(document) if part.strip())
        title = document.core_properties.title or ""
    except Unreadable:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise damaged() from error
    return Parsed(text, title, {}, "markdown")


def _check_expansion(data: bytes, options: LoadOptions) -> None:
    """Unpacks every part once, counting, before a parser sees the file."""
    most = max(FREE_BYTES, min(options.max_bytes * 4, len(data) * LARGEST_RATIO))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > most:
                raise too_large()
            for part in parts:
                most -= _unpacked(archive, part, most)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise damaged() from error
    except (ValueError, zlib.error) as error:
        if isinstance(error, Unreadable):
            raise
        raise damaged() from error


def _unpacked(archive: zipfile.ZipFile, part: zipfile.ZipInfo, most: int) -> int:
    """How many bytes a part really has."""
    size = 0
    with archive.open(part) as stream:
        while block := stream.read(2**16):
            size += len(block)
            if size > most:
                raise too_large()
    return size


def _parts(document: Any) -> Iterator[str]:
    """Paragraphs and tables in the order of the document."""
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield "\n".join(
                " | ".join(cell.text.strip() for cell in row.cells) for row in block.rows
            )
        else:
            yield _heading(block) + block.text


def _heading(paragraph: Any) -> str:
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    if style == "Title":
        return "# "
    level = style.removeprefix("Heading ")
    return "#" * min(int(level), 6) + " " if level.isdigit() and level != "0" else ""
