"""Bytes of a known format become text: by suffix, bounded, and failing in one way only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final, TypeAlias

from aisdk.core.documents.cleaning import clean_text, not_empty
from aisdk.core.documents.encoding import decode
from aisdk.core.documents.formats.html import parse_html
from aisdk.core.documents.formats.markdown import parse_markdown
from aisdk.core.documents.formats.notebook import parse_notebook
from aisdk.core.documents.formats.pdf import parse_pdf
from aisdk.core.documents.formats.record import parse_json, parse_json_lines
from aisdk.core.documents.formats.table import parse_table
from aisdk.core.documents.formats.word import parse_docx
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.documents.sources import Kind, LoadOptions, Parsed
from aisdk.core.documents.unreadable import too_large
from aisdk.errors import Unreadable

__all__ = ["is_known", "parse"]

LONGEST_TITLE: Final = 500

_SOMETHING: Final = re.compile(rb"[^ \t\r\n\0]")

TextFormat: TypeAlias = Callable[[str, int], Parsed]
ByteFormat: TypeAlias = Callable[[bytes, LoadOptions], Parsed]

_BYTES: Final[dict[str, ByteFormat]] = {
    "pdf": parse_pdf,
    "docx": parse_docx,
    "html": parse_html,
    "htm": parse_html,
    "xhtml": parse_html,
}
_TEXT: Final[dict[str, TextFormat]] = {
    "md": parse_markdown,
    "markdown": parse_markdown,
    "csv": parse_table,
    "tsv": parse_table,
    "json": parse_json,
    "jsonl": parse_json_lines,
    "ndjson": parse_json_lines,
    "ipynb": parse_notebook,
}
_PLAIN: Final[dict[str, Kind]] = {
    **dict.fromkeys(("txt", "text", "log", "adoc", "org", "tex"), "prose"),
    **dict.fromkeys(("readme", "license", "changelog", "authors", "notice"), "prose"),
    "rst": "markdown",
    **dict.fromkeys(("py", "pyi"), "python"),
    **dict.fromkeys(
        [
            *("bash", "c", "cc", "cfg", "conf", "cpp", "cs", "css", "cxx", "dart", "ex", "exs"),
            *("fs", "go", "gradle", "groovy", "h", "hpp", "hs", "ini", "java", "jl", "js", "jsx"),
            *("kt", "kts", "less", "lua", "m", "mjs", "ml", "php", "pl", "proto", "ps1", "pyx"),
            *("r", "rb"),
            *("rs", "scala", "scss", "sh", "sql", "swift", "tf", "toml", "ts", "tsx", "vb", "vue"),
            *("xml", "yaml", "yml", "zig", "zsh", "dockerfile", "makefile"),  # two are whole names
        ],
        "code",
    ),
}


def is_known(name: str) -> bool:
    """Whether a file of this name has a format that can be read."""
    suffix = _suffix(name)
    return suffix in _BYTES or suffix in _TEXT or suffix in _PLAIN


def parse(name: str, data: bytes, options: LoadOptions) -> Parsed:
    """The text of a file.

    Args:
        name: Its name; the suffix tells the format. A file of another suffix is read as plain text.
        data: Its bytes.
        options: Limits on pages and characters.

    Returns:
        A text of at least one visible character; the title is the file's name where it has none.

    Raises:
        Unreadable: The format is unknown, the file is damaged, encrypted, empty or too large, or a
            package is missing; ``reason`` tells which.
    """
    if not _SOMETHING.search(data):
        not_empty("")
    parsed = _parsed(_suffix(name), data, options)
    text = not_empty(clean_text(parsed.text))
    if len(text) > options.max_chars:
        raise too_large()
    title = " ".join(clean_text(parsed.title).split()) or clean_text(PurePosixPath(name).stem)
    return Parsed(text, title[:LONGEST_TITLE], checked_metadata(parsed.metadata), parsed.kind)


def _parsed(suffix: str, data: bytes, options: LoadOptions) -> Parsed:
    if suffix in _BYTES:
        return _BYTES[suffix](data, options)
    if suffix in _TEXT:
        return _TEXT[suffix](decode(data), options.max_chars)
    if suffix in _PLAIN:
        return Parsed(decode(data), "", {}, _PLAIN[suffix])
    try:
        return Parsed(decode(data), "", {}, "prose")
    except Unreadable as error:
        raise Unreadable(
            "A file's format is unknown.",
            hint="Known are pdf, docx, html, md, ipynb, csv, json, jsonl, txt and source code.",
            reason="unknown_format",
        ) from error


def _suffix(name: str) -> str:
    """What tells the format: the part after the last dot, or the whole name, in small letters."""
    path = PurePosixPath(name.lower())
    return path.suffix[1:] or path.name
