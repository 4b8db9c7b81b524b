"""Text to terms: words are split, folded to lower case, stemmed and hashed to 64 bits.

A word of a program (``get_user_name``, ``parseHTTPHeader``) is found by its parts and as a whole.
Text written without spaces (Chinese, Japanese, Korean, Thai …) is found by its pairs of characters.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import cast

import numpy as np
import Stemmer
from numpy.typing import NDArray

from aisdk.core.lexical.stop_words import stop_words
from aisdk.errors import InvalidInput

__all__ = ["ANALYZER_VERSION", "Analyzer", "TermCounts", "languages"]

ANALYZER_VERSION = 1
"""Changes whenever the same text would give other terms; stored with what was analysed."""

_PLAIN = "simple"
_CACHED_WORDS = 100_000
LONGEST_WORD = 64

# Letters, digits and underscores, with the marks of scripts that write vowels as marks; and numbers
# with their separators, so that 3.11 stays one word.
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0971-\u0eff"
WORD = re.compile(rf"\d+(?:[.,]\d+)+|[\w{_MARKS}]+")

# Where the words of an identifier meet: parse|HTTP|Header, utf|8, get_|name; but not in mRNAs.
_PART_BORDER = re.compile(
    r"_+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])"
)

# Scripts that put no space between words.
UNSPACED_RUN = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
    "\uac00-\ud7af\U00020000-\U0003ffff]+)"
)


def languages() -> tuple[str, ...]:
    """The languages an `Analyzer` knows, sorted; ``simple`` means words as they are written."""
    return tuple(sorted([*Stemmer.algorithms(), _PLAIN]))


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each term occurs in each text: one entry a (term, text), sorted by term, then text.

    Attributes:
        terms: uint64, hash of the term.
        rows: int32, position of the text among those analysed.
        counts: int32, occurrences, at least 1.
        lengths: int32, shape (number of texts,): terms in each text, repetitions counted.
    """

    terms: NDArray[np.uint64]
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    lengths: NDArray[np.int32]


class Analyzer:
    """Turns texts of one language into terms; may be shared by threads.

    The words met last are remembered with their terms, at most 100,000 of them.

    Args:
        language: One of `languages`, e.g. ``english``; ``simple`` keeps every word unstemmed.

    Raises:
        InvalidInput: The language is unknown.

    Example:
        >>> Analyzer("english").words("Parsing the dates")
        ['pars', 'date']
    """

    def __init__(self, language: str = "english") -> None:
        if language not in languages():
            raise InvalidInput(
                "The language of the lexical index is unknown.",
                hint=f"Use one of: {', '.join(languages())}.",
            )
        self.language = language
        self._stop_words = stop_words(language)
        self._stemmer = None if language == _PLAIN else Stemmer.Stemmer(language, 0)
        self._stemming = threading.Lock()  # a stemmer must not be entered twice
        self._known: dict[str, tuple[int, ...]] = {}

    def words(self, text: str) -> list[str]:
        """The terms of a text before hashing, in order: for showing what is searched."""
        with self._stemming:
            return [term for word in _split(text) for term in self._terms(word)]

    def analyse(self, text: str) -> dict[int, int]:
        """The terms of one text, a query for example.

        Returns:
            64-bit hash of each term → how often it occurs, in order of first occurrence.
        """
        return dict(Counter(chain.from_iterable(self._hashed(_split(text)))))

    def analyse_many(self, texts: Sequence[str]) -> TermCounts:
        """The terms of many texts at once, as columns ready for `build_segment`.

        Needs about 100 bytes of memory a word: give it a few thousand chunks at a time.
        """
        words = [_split(text) for text in texts]
        sizes = np.fromiter(map(len, words), np.int64, len(words))
        numbers = {word: number for number, word in enumerate(dict.fromkeys(chain(*words)))}
        occurrences = np.fromiter(map(numbers.__getitem__, chain(*words)), np.int64, sizes.sum())
        rows = np.repeat(np.arange(len(texts)), sizes)
        return _count(self._hashed(list(numbers)), occurrences, rows, len(texts))

    def _hashed(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The hashed terms of each word, remembered where the word is of usual length."""
        known = self._known
        hashed = [known.get(word) for word in words]
        if None not in hashed:
            return cast("list[tuple[int, ...]]", hashed)
        with self._stemming:
            fresh = {
                word: tuple(map(_hash, self._terms(word)))
                for word, terms in zip(words, hashed, strict=True)
                if terms is None
            }
        self._remember({word: fresh[word] for word in fresh if len(word) <= LONGEST_WORD})
        return [
            fresh[word] if terms is None else terms
            for word, terms in zip(words, hashed, strict=True)
        ]

    def _remember(self, fresh: Mapping[str, tuple[int, ...]]) -> None:
        """Adds to the known words; starts anew when they would be too many."""
        if len(self._known) + len(fresh) > _CACHED_WORDS:
            self._known = dict(islice(fresh.items(), _CACHED_WORDS))
        else:
            self._known.update(fresh)

    def _terms(self, word: str) -> list[str]:
        """The terms of one word: its longer parts, and the whole when it has several."""
        kept = [part for part in map(str.lower, _parts(word)) if part not in self._stop_words]
        return kept if self._stemmer is None else self._stemmer.stemWords(kept)


def _split(text: str) -> list[str]:
    return WORD.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))


def _parts(word: str) -> list[str]:
    if len(word) > 1 and UNSPACED_RUN.search(word):
        runs = UNSPACED_RUN.split(word)  # every second run is of the unspaced scripts
        return [*chain(*map(_parts, runs[::2])), *chain(*map(_pairs, runs[1::2]))]
    if len(word) > LONGEST_WORD:
        return [word]
    parts = [part for part in _PART_BORDER.split(word) if part]
    if len(parts) < 2:
        return parts
    return [*(part for part in parts if len(part) > 1), "".join(parts)]


def _pairs(run: str) -> list[str]:
    return [run[start : start + 2] for start in range(max(1, len(run) - 1))]


def _hash(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")


def _count(
    vocabulary: Sequence[tuple[int, ...]],
    occurrences: NDArray[np.int64],
    rows: NDArray[np.int64],
    size: int,
) -> TermCounts:
    """Counts (term, row) pairs, given the word number and the row of each word in the texts."""
    widths = np.fromiter(map(len, vocabulary), np.int64, len(vocabulary))
    hashes = np.fromiter(chain.from_iterable(vocabulary), np.uint64, widths.sum())
    terms, numbers = np.unique(hashes, return_inverse=True)
    firsts = np.cumsum(widths) - widths
    repeats = widths[occurrences]
    ends = np.cumsum(repeats)
    places = np.arange(repeats.sum()) + np.repeat(firsts[occurrences] - ends + repeats, repeats)
    owners = np.repeat(rows, repeats)
    pairs, counts = np.unique(numbers[places] * max(size, 1) + owners, return_counts=True)
    of_term, of_row = np.divmod(pairs, max(size, 1))
    return TermCounts(
        terms=terms[of_term],
        rows=of_row.astype(np.int32),
        counts=counts.astype(np.int32),
        lengths=np.bincount(owners, minlength=size).astype(np.int32),
    )
