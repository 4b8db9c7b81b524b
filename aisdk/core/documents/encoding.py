"""The characters of a text file: by its byte order mark, as UTF-8, else by a careful guess."""

from __future__ import annotations

import codecs
import re
from typing import Final

from aisdk.core.documents.unreadable import parser_missing
from aisdk.errors import Unreadable

__all__ = ["decode"]

SAMPLE: Final = 64 * 1024  # bytes looked at for a guess
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
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL_BYTES: Final = bytes([*range(9), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])


def decode(data: bytes, declared: str = "") -> str:
    """The characters of a text file.

    Args:
        data: Its bytes.
        declared: The encoding that the file itself names, tried before a guess.

    Raises:
        Unreadable: It is binary, or of an encoding that cannot be told.
    """
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    wide = _wide(data[:SAMPLE])
    if wide:
        return _checked(data.decode(wide, "replace"))
    for encoding in ("utf-8", declared):
        try:
            return _checked(data.decode(encoding))
        except (UnicodeError, LookupError):
            continue
    text = data.decode("utf-8", "replace")
    if _is_slightly_damaged(text):
        return _checked(text)
    return _checked(data.decode(_guess(data), "replace"))


def _wide(sample: bytes) -> str:
    """UTF-16 without its mark, which shows as NUL in every other byte of Western text."""
    if sample.count(0) * 5 < len(sample):
        return ""
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if min(low, high) * 20 > max(low, high):
        raise _unknown()
    return "utf-16-le" if high > low else "utf-16-be"


def _is_slightly_damaged(text: str) -> bool:
    """Whether wrong bytes are rare among characters that UTF-8 alone explains."""
    wrong = text.count("\ufffd")
    right = len(text.encode("utf-8")) - len(text) - 2 * wrong
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


def _checked(text: str) -> str:
    """The text, unless its beginning has more control characters than text has.

    Raises:
        Unreadable: It is binary.
    """
    head = text[:SAMPLE]
    if len(_CONTROL.findall(head)) * 20 > len(head):
        raise _unknown()
    return text


def _unknown() -> Unreadable:
    return Unreadable(
        "A file is binary, or its encoding cannot be told.",
        hint="Save it as UTF-8.",
        reason="unknown_encoding",
    )
