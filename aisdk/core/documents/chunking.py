"""Cuts a text into chunks at its own borders: headings, paragraphs, lines, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHUNKER_VERSION", "TARGET_TOKENS", "Span", "estimate_tokens", "split"]

CHUNKER_VERSION: Final = 2
TARGET_TOKENS: Final = 200
"""Estimated word pieces of a chunk at most; a title and headings are added before embedding."""

BLOCK: Final = 200_000  # characters looked at together: bounds memory on texts of any length
LONGEST: Final = 8  # a chunk never has more than this many characters a token of its limit

# Strength of a border. A stronger one is preferred wherever the chunk may end.
SECTION, PARAGRAPH, LINE, SENTENCE, WORD = 5, 4, 3, 2, 1

# English word pieces: short words are one piece, long ones about one a four further letters;
# characters of other scripts are a piece each. Measured against MiniLM's own tokenizer.
_LATIN: Final = re.compile(r"[A-Za-z0-9\u00c0-\u024f]+")
_OTHER: Final = re.compile(r"[^\sA-Za-z0-9\u00c0-\u024f]")
_SHORT: Final = 7
_LETTERS_A_PIECE: Final = 4.0

_HEADING: Final = re.compile(r"^(#{1,6})[ \t]+(\S.{0,199})$", re.MULTILINE)
_DEFINITION: Final = re.compile(
    r"^((?:    |\t)?)(?:async[ ]+)?(?:def|class)[ ]+(\w{1,100})", re.MULTILINE
)
_TOP_LEVEL: Final = re.compile(r"^(?=[^\s)\]}#])", re.MULTILINE)
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n\s*")
_LINE: Final = re.compile(r"\n")
_SENTENCE: Final = re.compile(r"[.!?]['\")\]]*\s+|[\u3002\uff01\uff1f]")
_WORD: Final = re.compile(r"\s+")
_DECORATED: Final = re.compile(r"(?:^[ \t]*(?:@|#).*\n)+\Z", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk's place in its text: characters ``start`` to ``end``, under a path of headings."""

    start: int
    end: int
    heading: str


def split(text: str, *, kind: str = "prose", target_tokens: int = TARGET_TOKENS) -> list[Span]:
    """The chunks of a text, which cover it without gap or overlap.

    A text within the limit is one chunk. A longer one is cut into chunks of about equal size, each
    at the strongest border in reach. Takes time linear in the text, whatever its lines are like.

    Args:
        text: Any text; an empty one has no chunks.
        kind: ``markdown``, ``html`` and ``notebook`` are cut at headings, ``python`` at
            definitions; anything else at paragraphs, lines and sentences.
        target_tokens: Estimated word pieces of a chunk at most, at least 8.

    Returns:
        Spans in order; ``heading`` is such as ``Guide > Dates``.
    """
    outline = _outline(text, kind)
    return [
        Span(start, end, outline.path(start)) for start, end in _pieces(text, kind, target_tokens)
    ]


def estimate_tokens(text: str) -> float:
    """About how many word pieces MiniLM's tokenizer makes of a text."""
    return float(_tokens(text, 0, len(text))[1].sum())


def _pieces(text: str, kind: str, limit: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = _block_end(text, start)
        yield from _cut(text, start, end, (kind, limit))
        start = end


def _block_end(text: str, start: int) -> int:
    """Where a part ends that can be cut by itself: at a paragraph, line or word if there is one."""
    end = start + BLOCK
    if end >= len(text):
        return len(text)
    for border in ("\n\n", "\n", " "):
        place = text.rfind(border, start + BLOCK // 2, end)
        if place >= 0:
            return place + len(border)
    return end


def _cut(text: str, start: int, end: int, how: tuple[str, int]) -> Iterator[tuple[int, int]]:
    kind, limit = how
    positions, weights = _tokens(text, start, end)
    sizes = np.concatenate([[0.0], np.cumsum(weights)])
    places, strengths = _borders(text, start, end, kind)
    before = sizes[np.searchsorted(positions, places, side="left")]
    here, left = start, float(sizes[-1])
    done = 0.0
    while left - done > limit or end - here > limit * LONGEST:
        parts = max(2.0, np.ceil((left - done) / limit))
        ideal = min((left - done) / parts, float(limit))
        place = _choose(places, strengths, before - done, (here, ideal, float(limit)))
        if place is None:
            place = _forced(positions, sizes, here, (done + limit, end, limit * LONGEST))
        if place >= end:
            break
        yield here, place
        here = place
        done = float(sizes[np.searchsorted(positions, place, side="left")])
    yield here, end


def _choose(
    places: NDArray[np.int64],
    strengths: NDArray[np.float64],
    sizes: NDArray[np.float64],
    how: tuple[int, float, float],
) -> int | None:
    """The best border for a chunk that begins at ``here``: strong, and near the ideal size."""
    here, ideal, limit = how
    first = max(
        int(np.searchsorted(sizes, 0.5 * ideal)), int(np.searchsorted(places, here, side="right"))
    )
    last = int(np.searchsorted(sizes, limit, side="right"))
    last = min(last, int(np.searchsorted(places, here + limit * LONGEST, side="right")))
    if first >= last:
        return None
    worth = strengths[first:last] - 4.0 * np.abs(sizes[first:last] - ideal) / limit
    return int(places[first + int(np.argmax(worth))])


def _forced(
    positions: NDArray[np.int64],
    sizes: NDArray[np.float64],
    here: int,
    how: tuple[float, int, int],
) -> int:
    """Where to cut a run without any border: before the token that would be too much."""
    full, end, longest = how
    number = int(np.searchsorted(sizes, full, side="right")) - 1
    place = int(positions[number]) if number < len(positions) else end
    return min(max(place, here + 1), here + longest, end)


def _tokens(text: str, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where the tokens of a part begin, and the word pieces that each is estimated to make."""
    spans = np.fromiter(
        (number for match in _LATIN.finditer(text, start, end) for number in match.span()),
        np.int64,
    ).reshape(-1, 2)
    lengths = spans[:, 1] - spans[:, 0]
    pieces = 1.0 + np.maximum(0, lengths - _SHORT) / _LETTERS_A_PIECE
    others = np.fromiter((match.start() for match in _OTHER.finditer(text, start, end)), np.int64)
    positions = np.concatenate([spans[:, 0], others])
    weights = np.concatenate([pieces, np.ones(len(others))])
    order = np.argsort(positions, kind="stable")
    return positions[order], weights[order]


def _borders(
    text: str, start: int, end: int, kind: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places where a chunk may end, ascending, each with its strength."""
    found: list[tuple[list[int], float]] = []
    if kind == "python":
        found.append(([m.start() for m in _TOP_LEVEL.finditer(text, start, end)], PARAGRAPH))
        found.append((_definitions(text, start, end), SECTION))
    elif kind in ("markdown", "html", "notebook"):
        found.append(([m.start() for m in _HEADING.finditer(text, start, end)], SECTION))
    for pattern, strength in (
        (_PARAGRAPH, PARAGRAPH),
        (_LINE, LINE),
        (_SENTENCE, SENTENCE),
        (_WORD, WORD),
    ):
        found.append(([m.end() for m in pattern.finditer(text, start, end)], strength))
    places = np.concatenate([np.array(some, np.int64) for some, _ in found])
    strengths = np.concatenate([np.full(len(some), strength, float) for some, strength in found])
    inside = (places > start) & (places < end)
    order = np.lexsort((-strengths[inside], places[inside]))
    places, strengths = places[inside][order], strengths[inside][order]
    first = np.concatenate([[True], places[1:] != places[:-1]]) if len(places) else inside[:0]
    return places[first], strengths[first]


def _definitions(text: str, start: int, end: int) -> list[int]:
    """Where functions and classes begin, the decorators and comments above them included."""
    places = []
    for match in _DEFINITION.finditer(text, start, end):
        above = text[max(start, match.start() - 400) : match.start()]
        decorated = _DECORATED.search(above)
        places.append(match.start() - (len(above) - decorated.start() if decorated else 0))
    return places


class _Outline:
    """The headings of a text, for the path at any place. Places must be asked in order."""

    def __init__(self, headings: list[tuple[int, int, str]]) -> None:
        self._headings = headings
        self._next = 0
        self._open: list[tuple[int, str]] = []

    def path(self, place: int) -> str:
        """The titles of the headings that ``place`` is under, outermost first."""
        while self._next < len(self._headings) and self._headings[self._next][0] < place:
            _, level, title = self._headings[self._next]
            while self._open and self._open[-1][0] >= level:
                self._open.pop()
            self._open.append((level, title))
            self._next += 1
        return " > ".join(title for _, title in self._open)


def _outline(text: str, kind: str) -> _Outline:
    if kind == "python":
        return _Outline([(m.start(), 2 if m[1] else 1, m[2]) for m in _DEFINITION.finditer(text)])
    if kind in ("markdown", "html", "notebook"):
        return _Outline([(m.start(), len(m[1]), m[2].strip(" #")) for m in _HEADING.finditer(text)])
    return _Outline([])
