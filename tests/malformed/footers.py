"""Parquet files of nothing but a footer that makes its reader take much memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["FOOTERS", "crowded", "footer_file", "many_groups"]

# Kinds of values in Thrift's compact form.
INT32, INT64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
END: Final = b"\0"
ZERO: Final = b"\0"
MB: Final = 2**20


def footer_file(footer: bytes) -> bytes:
    """A file with this footer."""
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def varint(value: int) -> bytes:
    """A number as Thrift writes it."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def number(value: int) -> bytes:
    """The same of one that may be negative."""
    return varint(2 * value)


def text(value: bytes) -> bytes:
    """A text with its length."""
    return varint(len(value)) + value


def field(step: int, kind: int, value: bytes) -> bytes:
    """The field that comes so many after the one before."""
    return bytes([step << 4 | kind]) + value


def structures(count: int, body: bytes) -> bytes:
    """A list that says to have so many structures."""
    return bytes([0xF0 | STRUCT]) + varint(count) + body


def footer(schema: bytes, groups: bytes, pairs: bytes = structures(0, b"")) -> bytes:
    """A footer of the second version, for no rows."""
    version, rows = field(1, INT32, number(1)), field(1, INT64, ZERO)
    lists = field(1, LIST, groups) + field(1, LIST, pairs)
    return version + field(1, LIST, schema) + rows + lists + END


def columns(count: int) -> bytes:
    """A schema of so many columns of numbers."""
    root = field(4, BINARY, text(b"schema")) + field(1, INT32, number(count)) + END
    kind = field(1, INT32, number(1)) + field(2, INT32, number(1))
    names = (field(1, BINARY, text(b"c%d" % place)) for place in range(count))
    return structures(count + 1, root + b"".join(kind + name + END for name in names))


def group(count: int, held: int) -> bytes:
    """A row group that says to have so many columns, and has some."""
    column = field(2, INT64, ZERO) + END
    sizes = field(1, INT64, ZERO) + field(1, INT64, ZERO)
    return field(1, LIST, structures(count, column * held)) + sizes + END


def many_groups(count: int) -> bytes:
    """A footer of so many row groups with a column each."""
    return footer(columns(1), structures(count, group(1, 1) * count))


def pair(value: bytes) -> bytes:
    """Something said about the file."""
    return field(1, BINARY, text(b"k")) + field(1, BINARY, text(value)) + END


def crowded(empty: bytes) -> bytes:
    """A file without rows, of nine columns, with a row group of ten."""
    footer = empty[-8 - int.from_bytes(empty[-8:-4], "little") : -8]
    rows = field(1, INT64, ZERO) + bytes([1 << 4 | LIST])
    before, after = footer.split(rows + bytes([STRUCT]))
    return footer_file(before + rows + structures(1, group(10, 10)) + after)


EMPTY: Final = structures(0, b"")
FOOTERS: Final[dict[str, Callable[[], bytes]]] = {
    "columns": lambda: footer(columns(350_000), EMPTY),
    "groups": lambda: many_groups(300_000),
    "columns of groups": lambda: footer(columns(1), structures(100_000, group(9, 9) * 100_000)),
    "columns that are not there": lambda: footer(columns(1), structures(1, group(999_000, 0))),
    "pairs": lambda: footer(columns(1), EMPTY, structures(900_000, pair(b"") * 900_000)),
    "long text": lambda: footer(columns(1), EMPTY, structures(1, pair(b"v" * 90 * MB))),
}
