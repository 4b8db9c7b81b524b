"""The postings of the terms whose hashes begin alike, as one compact, immutable payload.

Layout of version 1, all numbers little-endian::

    header     version uint8, bytes a row uint8 (2 | 4), bytes a count uint8 (1 | 2),
               unused uint8, number of terms uint32, number of postings uint32
    terms      uint64 each, ascending
    ends       uint32 each: where the postings of the term end, and those of the next begin
    rows       uint16 or uint32 each: position of the chunk in its segment
    counts     uint8 or uint16 each: occurrences of the term in the chunk, at most 65,535
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aisdk.errors import DamagedSegment

__all__ = [
    "Bucket",
    "bucket_label",
    "bucket_labels",
    "choose_fanout",
    "damaged",
    "read_bucket",
]

_VERSION = 1
_HEADER = struct.Struct("<BBBxII")

# Into how many buckets a segment is divided, and the most postings it may have for that. A bucket
# is then some kilobytes: quick to read for one term, and few enough rows to write.
_MOST_POSTINGS: Final = {1: 2_000, 16: 32_000, 64: 256_000, 256: 4_000_000, 4096: 2**32}


def damaged() -> DamagedSegment:
    """The error for a piece of the index that is not as it was written."""
    return DamagedSegment(hint="Restore the database, or delete and add the documents again.")


def choose_fanout(postings: int) -> int:
    """The number of buckets for a segment with so many postings: 1, 16, 64, 256 or 4096."""
    return next(fanout for fanout, most in _MOST_POSTINGS.items() if postings <= most)


def bucket_label(term: int, fanout: int) -> int:
    """The label of the bucket of a term in a segment of ``fanout`` buckets.

    The labels of ``fanout`` buckets run from ``fanout`` to ``2 * fanout - 1`` in the terms' order.
    """
    return fanout + (term * fanout >> 64)


def bucket_labels(terms: Iterable[int]) -> list[int]:
    """The labels of all buckets that may hold one of these terms, whatever the segment's size."""
    return sorted({bucket_label(term, fanout) for term in terms for fanout in _MOST_POSTINGS})


@dataclass(frozen=True, slots=True)
class Bucket:
    """Postings sorted by term: ``rows[ends[i - 1]:ends[i]]`` are the chunks with ``terms[i]``."""

    terms: NDArray[np.uint64]
    ends: NDArray[np.integer]
    rows: NDArray[np.integer]
    counts: NDArray[np.integer]

    def find(self, term: int) -> slice:
        """Where the postings of a term lie; an empty slice when it is not here."""
        place = int(self.terms.searchsorted(np.uint64(term)))
        if place == len(self.terms) or self.terms[place] != term:
            return slice(0, 0)
        return slice(int(self.ends[place - 1]) if place else 0, int(self.ends[place]))

    def write(self) -> bytes:
        """The bucket as one payload, in the narrowest columns that hold its numbers."""
        rows = self.rows.astype("<u2" if self.rows.max(initial=0) < 2**16 else "<u4")
        counts = np.minimum(self.counts, 2**16 - 1)
        counts = counts.astype("<u1" if counts.max(initial=0) < 2**8 else "<u2")
        widths = rows.itemsize, counts.itemsize
        header = _HEADER.pack(_VERSION, *widths, len(self.terms), len(rows))
        columns = self.terms.astype("<u8"), self.ends.astype("<u4"), rows, counts
        return header + b"".join(column.tobytes() for column in columns)


def read_bucket(payload: bytes, chunks: int) -> Bucket:
    """Reads one bucket of a segment of ``chunks`` chunks, without copying.

    Raises:
        DamagedSegment: The payload is of another version, cut short or contradicts itself.
    """
    if len(payload) < _HEADER.size:
        raise damaged()
    version, row_bytes, count_bytes, terms, postings = _HEADER.unpack_from(payload)
    ends_at = _HEADER.size + 8 * terms
    rows_at = ends_at + 4 * terms
    counts_at = rows_at + row_bytes * postings
    whole = counts_at + count_bytes * postings == len(payload)
    if version != _VERSION or row_bytes not in (2, 4) or count_bytes not in (1, 2) or not whole:
        raise damaged()
    bucket = Bucket(
        terms=np.frombuffer(payload, "<u8", terms, _HEADER.size),
        ends=np.frombuffer(payload, "<u4", terms, ends_at),
        rows=np.frombuffer(payload, f"<u{row_bytes}", postings, rows_at),
        counts=np.frombuffer(payload, f"<u{count_bytes}", postings, counts_at),
    )
    if postings and (bucket.ends[-1] != postings or bucket.rows.max() >= chunks):
        raise damaged()
    return bucket
