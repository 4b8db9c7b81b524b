"""Where a text has the words of a query, by the terms that the index finds it by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from aisdk.core.lexical.analysis import UNSPACED_RUN, WORD, Analyzer

__all__ = ["Matcher"]

Span = tuple[int, int]

REMEMBERED_WORDS: Final = 10_000
APOSTROPHES: Final = ("'", "\u2019")

_TOKEN: Final = re.compile(r"\s+|\S+")
_CHARACTER: Final = re.compile(".[\u3099\u309a\uff9e\uff9f]?", re.DOTALL)  # kana with their marks


class Matcher:
    """Finds the words of texts that have a term in common with a query; may be shared by threads.

    A word counts as a whole, an identifier too; in scripts without spaces its pairs of characters
    do. Stop words have no term and are never found.

    Args:
        analyzer: That of the texts' language.
        query: The query.

    Example:
        >>> Matcher(Analyzer("english"), "city").spans("Citizens of cities")
        [(12, 18)]
    """

    def __init__(self, analyzer: Analyzer, query: str) -> None:
        self._analyzer = analyzer
        self._terms = frozenset(analyzer.words(query))
        self._within = lru_cache(REMEMBERED_WORDS)(self._found)

    def spans(self, text: str) -> list[Span]:
        """Where the words begin and end, from left to right, apart from each other.

        The stump that an apostrophe leaves behind belongs to its word, as in ``city's``.
        """
        if not self._terms:
            return []
        normal, starts, ends = _normalised(text)
        spans: list[Span] = []
        for match in WORD.finditer(normal):
            word, start = match[0], match.start()
            if within := self._within(word):
                spans += [(start + first, start + last) for first, last in within]
            elif spans and spans[-1][1] == start - 1 and self._is_stump(word, normal[start - 1]):
                spans[-1] = (spans[-1][0], match.end())
        return _joined([(starts[first], ends[last - 1]) for first, last in spans])

    def _found(self, word: str) -> list[Span]:
        """Where in a word a term of the query stands: all of it, or pairs in unspaced scripts."""
        spans: list[Span] = []
        start = 0
        for number, part in enumerate(UNSPACED_RUN.split(word)):  # every second one is of these
            end = start + len(part)
            if number % 2:
                size = min(len(part), 2)
                places = range(start, end - size + 1)  # a pair is a term as it is
                spans += [(n, n + size) for n in places if word[n : n + size] in self._terms]
            elif not self._terms.isdisjoint(self._analyzer.words(part)):
                spans.append((start, end))
            start = end
        return spans

    def _is_stump(self, word: str, before: str) -> bool:
        """Whether it stands behind an apostrophe and has no term."""
        return before in APOSTROPHES and not self._analyzer.words(word)


def _normalised(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """The text as it is analysed, and where each of its characters begins and ends in ``text``."""
    if unicodedata.is_normalized("NFKC", text):
        return text, range(len(text)), range(1, len(text) + 1)
    normal: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _pieces(text):
        written = text[start:end]
        normal.append(unicodedata.normalize("NFKC", written))
        if normal[-1] == written:
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            starts += [start] * len(normal[-1])
            ends += [end] * len(normal[-1])
    return "".join(normal), starts, ends


def _pieces(text: str) -> Iterator[Span]:
    """Tokens that are normal, and the characters of the others."""
    for token in _TOKEN.finditer(text):
        if unicodedata.is_normalized("NFKC", token[0]):
            yield token.span()
        else:
            yield from (found.span() for found in _CHARACTER.finditer(text, *token.span()))


def _joined(spans: list[Span]) -> list[Span]:
    """The spans, those that overlap or touch as one."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
