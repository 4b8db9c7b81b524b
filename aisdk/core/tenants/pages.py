"""What reading a Parquet file would take: its footer, and its pages by their own headers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

__all__ = ["is_footer_small", "unpacked_size"]

MAGIC: Final = b"PAR1"
LARGEST_FOOTER: Final = 2 * 2**20  # bytes
MOST_PARTS: Final = 100_000  # structures and texts in its lists; one takes up to 1,700 bytes
LONGEST_TEXT: Final = 2**14  # bytes; one may be a schema that refers to its parts many times

LONGEST_HEADER: Final = 2**16  # bytes; one holds the least and greatest value, if they are short
MOST_PAGES: Final = 10_000  # of one column in one row group
# Both unpack to some twenty times their size at most.
CODECS: Final = ("SNAPPY", "UNCOMPRESSED")
A_VALUE: Final = 8  # bytes beside its own: runs of levels stand for any number of values
# Fields of a page's header, and of those within it how many values there are.
SIZE, PACKED_SIZE = 2, 3
VALUES: Final = (5_01, 7_01, 8_01)
MOST_FIELDS: Final = 100
DEEPEST: Final = MOST_FIELDS**3
# Kinds of values in the compact form of Thrift.
TRUE, FALSE, BYTE, INT16, INT32, INT64, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
LONGEST_NUMBER: Final = 70  # bits, seven in a byte


def is_footer_small(file: BinaryIO) -> bool:
    """Whether a reader takes the footer in without much memory: room is made for what it counts.

    Args:
        file: The file.

    Raises:
        ValueError: It is no footer of a Parquet file.
        LookupError: It ends too early.
    """
    end = file.seek(-len(MAGIC) - 4, os.SEEK_END)
    length, magic = int.from_bytes(file.read(4), "little"), file.read()
    if magic != MAGIC or length > end:
        raise ValueError("no footer")
    if length > LARGEST_FOOTER:
        return False
    file.seek(end - length)
    footer = _Header(file.read(length))
    try:
        footer.pass_over(STRUCT)
    except OverflowError:
        return False
    return True


def unpacked_size(file: BinaryIO, column: Any) -> int:
    """How many bytes the pages of a column in a row group are, dictionary and all.

    Args:
        file: The file.
        column: What its footer says of the column.

    Raises:
        ValueError: They are packed in a way that exports are not, or cannot be followed.
    """
    if column.compression not in CODECS:
        raise ValueError("packed in another way")
    start = column.data_page_offset
    if column.has_dictionary_page:
        start = min(start, column.dictionary_page_offset or start)
    end, size = start + column.total_compressed_size, 0
    if not 0 <= start <= end:
        raise ValueError("no place in a file")
    for _ in range(MOST_PAGES):
        if start >= end:
            return size
        file.seek(start)
        header = _Header(file.read(min(LONGEST_HEADER, end - start)))
        page = dict(header.fields())
        told = (page[SIZE], page[PACKED_SIZE], *(page.get(field, 0) for field in VALUES))
        if min(told) < 0:
            raise ValueError("a negative size")
        size += page[SIZE] + A_VALUE * sum(told[2:])
        start += header.place + page[PACKED_SIZE]
    raise ValueError("too many pages")


class _Header:
    """A structure in Thrift's compact form.

    Attributes:
        place: How many bytes were read.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = 0
        self.place = 0

    def fields(self, parent: int = 0) -> Iterator[tuple[int, int]]:
        """Its numbers of 32 bits by their fields; what else is there is passed over.

        Those of a structure within it follow its own field: 5_01 is the first of the fifth.
        """
        field = 0
        while kind := self._byte():
            step, kind = divmod(kind, 16)
            field = field + step if step else self._number()
            # Other readers could take one that is out of range for another.
            if not 0 < field < MOST_FIELDS or parent > DEEPEST:
                raise ValueError("a field that is none")
            if kind == STRUCT:
                yield from self.fields(parent * MOST_FIELDS + field)
            elif kind == INT32:
                yield parent * MOST_FIELDS + field, self._number()
            else:
                self.pass_over(kind)

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, LONGEST_NUMBER, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number that is too long")

    def _number(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def pass_over(self, kind: int) -> None:
        """Passes over a value.

        Raises:
            OverflowError: A text is too long, or the lists have too many parts together.
        """
        if kind == STRUCT:
            for _ in self.fields():
                pass
        elif kind == LIST:
            self._pass_list()
        elif kind in (INT16, INT32, INT64):
            self._number()
        elif kind == BINARY:
            length = self._varint()
            if length > LONGEST_TEXT:
                raise OverflowError("too long a text")
            self.place += length
        elif kind in (BYTE, DOUBLE):
            self.place += 1 if kind == BYTE else 8
        elif kind not in (TRUE, FALSE):
            raise ValueError("of another kind")

    def _pass_list(self) -> None:
        count, kind = divmod(self._byte(), 16)
        count = self._varint() if count == 15 else count
        self._parts += count if kind in (STRUCT, BINARY) else 0
        if self._parts > MOST_PARTS:
            raise OverflowError("too many parts")
        for _ in range(count):
            self.pass_over(BYTE if kind in (TRUE, FALSE) else kind)
