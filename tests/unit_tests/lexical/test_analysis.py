"""Text becomes the same terms everywhere, whole words and parts of identifiers alike."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.lexical import analysis
from aisdk.core.lexical.analysis import Analyzer, languages
from aisdk.core.lexical.stop_words import stop_words
from aisdk.errors import InvalidInput

ENGLISH = Analyzer("english")


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Parsing the dates", ["pars", "date"]),
        ("don't", []),
        ("get_user_name", ["get", "user", "name", "getusernam"]),
        ("getUserName", ["get", "user", "name", "getusernam"]),
        ("HTTPServer", ["http", "server", "httpserver"]),
        ("sha256 utf8", ["sha", "256", "sha256", "utf", "utf8"]),
        ("mRNAs x_1", ["rnas", "mrnas", "x1"]),
        ("__init__", ["init"]),
        ("____", []),
        ("Python 3.11, 2,500 rows.", ["python", "3.11", "2,500", "row"]),
        ("\uff46ull \ufb01ne", ["full", "fine"]),
        ("na\u0069\u0308ve", ["naïv"]),
        ("हिन्दी", ["हिन्दी"]),
        ("東京都", ["東京", "京都"]),
        ("木", ["木"]),
        ("PostgreSQLの索引", ["postgr", "sql", "postgresql", "の索", "索引"]),
        ("a\x00b \ud800 c", ["b", "c"]),
        ("", []),
    ],
)
def test_words_of_a_text_are_the_expected_terms(text: str, terms: list[str]) -> None:
    """Words are folded, stemmed, split where identifiers are, and stop words are left out."""
    assert ENGLISH.words(text) == terms


def test_words_of_the_plain_language_are_only_folded() -> None:
    """Without a language nothing is stemmed and no word is left out."""
    assert Analyzer("simple").words("The Dates") == ["the", "dates"]


@pytest.mark.parametrize("language", languages())
def test_analyzer_for_every_language_keeps_a_number(language: str) -> None:
    """Every language that is offered can be used."""
    assert Analyzer(language).words("2024") == ["2024"]


def test_analyzer_with_an_unknown_language_is_refused() -> None:
    """The error names what would be right."""
    with pytest.raises(InvalidInput, match="english"):
        Analyzer("klingon")


def test_stop_words_are_lower_case_words_that_the_splitter_yields() -> None:
    """A listed word that could never occur as a word would be a mistake."""
    for language in languages():
        for word in stop_words(language):
            assert analysis._split(word) == [word.lower()]


def test_analyse_gives_hashes_that_never_change() -> None:
    """Hashes are stored, so they must be the same in every process and release."""
    date, pars = 17_165_501_197_683_669_625, 4_086_910_370_041_335_029
    assert ENGLISH.analyse("dates parse dates") == {date: 2, pars: 1}


@given(st.lists(st.text(alphabet="abcXYZ _9.東京é", max_size=30), max_size=6))
def test_analyse_many_gives_the_counts_of_each_text(texts: list[str]) -> None:
    """The batch form is the single form, sorted by term and text."""
    counted = ENGLISH.analyse_many(texts)
    expected = sorted(
        (term, row, count)
        for row, text in enumerate(texts)
        for term, count in ENGLISH.analyse(text).items()
    )
    found = zip(counted.terms, counted.rows, counted.counts, strict=True)
    assert [tuple(map(int, entry)) for entry in found] == expected
    totals = [sum(ENGLISH.analyse(text).values()) for text in texts]
    assert counted.lengths.tolist() == totals


def test_analyse_beyond_the_cache_stays_right_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More words than are remembered cost time, never correctness or memory."""
    monkeypatch.setattr(analysis, "_CACHED_WORDS", 10)
    analyzer = Analyzer("english")
    texts = [f"word{number} again{number % 3} " + "x" * 100 for number in range(40)]
    for text in texts:
        assert analyzer.analyse(text) == ENGLISH.analyse(text)
        assert len(analyzer._known) <= 10
    assert np.array_equal(analyzer.analyse_many(texts).terms, ENGLISH.analyse_many(texts).terms)
    assert len(analyzer._known) <= 10


def test_analyse_in_many_threads_gives_the_same_terms() -> None:
    """One analyzer serves all threads of a client."""
    texts = [f"running runner{number % 50} tests number{number}" for number in range(400)]
    shared = Analyzer("english")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(shared.analyse, texts))
    assert found == [Counter(Analyzer("english").analyse(text)) for text in texts]
