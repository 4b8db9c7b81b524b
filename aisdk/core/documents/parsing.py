"""Bytes of a known format become text: by suffix, bounded, and with one error only."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from aisdk.core.documents import formats, office, pdf
from aisdk.core.documents.sources import (
    LoadOptions,
    Parsed,
    clean_text,
    not_empty,
    parser_missing,
    too_large,
)
from aisdk.errors import Unreadable

__all__ = ["decode", "is_known", "parse"]

SAMPLE: Final = 64 * 1024
BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CODE: Final = frozenset(
    [
        "c",
        "cc",
        "cpp",
        "cs",
        "css",
        "go",
        "h",
        "hpp",
        "java",
        "js",
        "jsx",
        "kt",
        "lua",
        "m",
        "php",
        "pl",
        "r",
        "rb",
        "rs",
        "scala",
        "sh",
        "sql",
        "swift",
        "ts",
        "tsx",
        "bash",
        "cfg",
        "ini",
        "toml",
        "yaml",
        "yml",
        "xml",
        "tex",
        "proto",
        "dockerfile",
        "makefile",
    ]
)

TextFormat: TypeAlias = Callable[[str], Parsed]
ByteFormat: TypeAlias = Callable[[bytes, LoadOptions], Parsed]

_TEXT: Final[dict[str, TextFormat]] = {
    "txt": formats.plain,
    "text": formats.plain,
    "log": formats.plain,
    "rst": formats.plain,
    "md": formats.markdown,
    "markdown": formats.markdown,
    "html": formats.html,
    "htm": formats.html,
    "xhtml": formats.html,
    "csv": formats.table,
    "tsv": formats.table,
    "json": formats.json_document,
    "jsonl": formats.json_lines,
    "ndjson": formats.json_lines,
    "ipynb": formats.notebook,
    "py": formats.python,
    "pyi": formats.python,
}
_BYTES: Final[dict[str, ByteFormat]] = {"pdf": pdf.parse_pdf, "docx": office.parse_docx}


def is_known(name: str) -> bool:
    """Whether a file of this name has a format that can be read."""
    suffix = _suffix(name)
    return suffix in _TEXT or suffix in _BYTES or suffix in CODE


def parse(name: str, data: bytes, options: LoadOptions) -> Parsed:
    """The text of a file.

    Args:
        name: Its name; the suffix tells the format.
        data: Its bytes.
        options: Limits on pages and characters.

    Raises:
        Unreadable: The format is unknown, the file is damaged, encrypted, empty or too large, or a
            package is missing; ``reason`` tells which.
    """
    suffix = _suffix(name)
    if suffix in _BYTES:
        parsed = _BYTES[suffix](data, options)
    elif suffix in _TEXT:
        parsed = _TEXT[suffix](decode(data))
    elif suffix in CODE:
        parsed = formats.code(decode(data))
    else:
        raise Unreadable(
            "A file's format is unknown.",
            hint=f"Known are: {', '.join(sorted({*_TEXT, *_BYTES}))} and source code.",
            reason="unknown_format",
        )
    text = not_empty(clean_text(parsed.text))
    if len(text) > options.max_chars:
        raise too_large()
    title = clean_text(parsed.title).strip() or PurePosixPath(name).stem
    return Parsed(text, title[:500], parsed.metadata, parsed.kind)


def decode(data: bytes) -> str:
    """The characters of a text file: by its byte order mark, as UTF-8, else by a careful guess.

    Raises:
        Unreadable: It is binary, or of an encoding that cannot be told.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decoded(data, _guess(data))
    if text.count("\0") * 20 > len(text):
        raise _unknown_encoding()
    return text


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise _unknown_encoding() from None


def _guess(data: bytes) -> str:
    """The encoding that fits a sample of the bytes."""
    sample = data[:SAMPLE]
    if sample.count(b"\0") * 20 > len(sample):
        raise _unknown_encoding()
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise parser_missing() from error
    best = from_bytes(sample).best()
    if best is None:
        raise _unknown_encoding()
    return str(best.encoding)


def _unknown_encoding() -> Unreadable:
    return Unreadable(
        "A file is binary, or its encoding cannot be told.",
        hint="Save it as UTF-8.",
        reason="unknown_encoding",
    )


def _suffix(name: str) -> str:
    lowered = name.lower()
    return PurePosixPath(lowered).suffix[1:] or lowered  # Makefile and Dockerfile have none
