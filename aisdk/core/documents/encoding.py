"""The characters of a text file: by its byte order mark, as UTF-8, else by a careful guess."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.unreadable import parser_missing, too_large
from aisdk.core.documents.volume import LARGEST_TEXT, width_of
from aisdk.errors import Unreadable

__all__ = ["decode", "decoded"]

SAMPLE: Final = 64 * 1024  # bytes looked at for a guess
STEP: Final = 64 * 1024  # bytes decoded at a time
NEAR: Final = 0.04  # coherence, from 0 to 1, that makes no difference
BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What files are really written in; a free guess takes German for the code page of a printer.
USUAL: Final = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"),
    *("koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
# Encodings of Python's own that no page is in: they take long, or change what the bytes say.
ODD: Final = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL_BYTES: Final = bytes([*range(9), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])


def decode(data: bytes) -> str:
    """The characters of a text file, with line feeds only and without NUL.

    Raises:
        Unreadable: It is binary, of an encoding that cannot be told, or takes too much memory.
    """
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    parts: list[str] = []
    chars, width = 0, 1
    for piece in decoded(data):
        part = lines.decode(piece).replace("\0", "")
        parts.append(part)
        chars += len(part)
        width = max(width, width_of(part))
        if chars * width > LARGEST_TEXT:
            raise too_large()
    parts.append(lines.decode("", final=True))
    return "".join(parts)


def decoded(data: bytes, declared: str = "") -> Iterator[str]:
    """The characters of a text file, some at a time.

    Args:
        data: Its bytes.
        declared: The encoding that the file itself names, tried before a guess.

    Raises:
        Unreadable: It is binary, or of an encoding that cannot be told.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _pieces(data, encoding, "replace")
    encoding, errors = _told(data, declared)
    return _checked(_pieces(data, encoding, errors))


def _told(data: bytes, declared: str) -> tuple[str, str]:
    """The encoding of a file without a mark, and what to do about wrong bytes."""
    wide = _wide(data[:SAMPLE])
    if wide:
        return wide, "replace"
    for encoding in ("utf-8", _usable(declared)):
        if encoding and _fits(data, encoding):
            return encoding, "strict"
    if _is_slightly_damaged(data):
        return "utf-8", "replace"
    return _guess(data), "replace"


def _pieces(data: bytes, encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for start in range(0, len(data), STEP):
        yield decoder.decode(data[start : start + STEP], start + STEP >= len(data))


def _usable(declared: str) -> str:
    """The name of the encoding, if Python reads texts in it."""
    if not declared:
        return ""
    try:
        found = codecs.lookup(declared)
        b" ".decode(declared)
    except UnicodeError:  # this is no character in it
        pass
    except LookupError:  # unknown, or no encoding of texts
        return ""
    incremental: Any = found.incrementaldecoder
    return declared if incremental is not None and found.name not in ODD else ""


def _fits(data: bytes, encoding: str) -> bool:
    """Whether no byte is wrong in it."""
    try:
        for _ in _pieces(data, encoding, "strict"):
            pass
    except UnicodeError:
        return False
    return True


def _wide(sample: bytes) -> str:
    """UTF-16 without its mark, which shows as NUL in every other byte of Western text."""
    if sample.count(0) * 5 < len(sample):
        return ""
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if min(low, high) * 20 > max(low, high):
        raise _unknown()
    return "utf-16-le" if high > low else "utf-16-be"


def _is_slightly_damaged(data: bytes) -> bool:
    """Whether wrong bytes are rare among characters that UTF-8 alone explains."""
    wrong = right = 0
    for piece in _pieces(data, "utf-8", "replace"):
        lost = piece.count("\ufffd")
        wrong += lost
        right += len(piece.encode("utf-8")) - len(piece) - 2 * lost
    return right > 20 * wrong


def _guess(data: bytes) -> str:
    """The encoding that fits a sample, cut where no character is."""
    sample = data[:SAMPLE]
    if len(sample.translate(None, _CONTROL_BYTES)) * 20 < len(sample) * 19:
        raise _unknown()
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise parser_missing() from error
    cut = max(sample.rfind(b"\n"), sample.rfind(b" ")) if len(data) > SAMPLE else len(sample)
    matches = from_bytes(sample[: cut if cut > 0 else SAMPLE], cp_isolation=USUAL)
    best = matches.best()
    if best is None:
        raise _unknown()
    # Western code pages differ in few letters: the commonest wins where it fits as well.
    as_good = [match for match in matches if match.coherence > best.coherence - NEAR]
    fitting = {name for match in as_good for name in match.could_be_from_charset}
    return "cp1252" if "cp1252" in fitting else str(best.encoding)


def _checked(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces, unless the first has more control characters than text has.

    Raises:
        Unreadable: It is binary.
    """
    for place, piece in enumerate(pieces):
        if place == 0 and len(_CONTROL.findall(piece)) * 20 > len(piece):
            raise _unknown()
        yield piece


def _unknown() -> Unreadable:
    return Unreadable(
        "A file is binary, or its encoding cannot be told.",
        hint="Save it as UTF-8.",
        reason="unknown_encoding",
    )
