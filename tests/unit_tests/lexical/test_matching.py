"""The words of a text that a query found it by, in every language and script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.lexical import Analyzer, Matcher, languages

ANALYZERS = {language: Analyzer(language) for language in languages()}


def found(query: str, text: str, language: str = "english") -> list[str]:
    """The words that are found."""
    spans = Matcher(ANALYZERS[language], query).spans(text)
    assert spans == sorted(spans)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("query", "text", "words"),
    [
        ("city", "Cities of the City, CITY; citizen, citizens", ["Cities", "City", "CITY"]),
        ("pump", "A pumpkin is no pump. It pumps, pumping.", ["pump", "pumps", "pumping"]),
        ("happiness", "happy happily happening", ["happy"]),
        ("easily", "easy easily", ["easily"]),
        ("city", "the city's walls, the city\u2019s, the cities' 'city'", None),
        ("city", "city'state city 's", ["city", "city"]),
        ("the of and", "the end of the rope", []),
        ("the city", "the city", ["city"]),
        ("", "the city", []),
        ("user", "get_user_name(getUserName, useful)", ["get_user_name", "getUserName"]),
        ("getUserName", "a user, a username", ["user"]),
        ("3.11", "Python 3.11, 3.1 and 311", ["3.11"]),
        ("city", "ci\u200bty ci\x00ty city\x00", ["city"]),
    ],
)
def test_words_with_a_term_of_the_query_are_found(
    query: str, text: str, words: list[str] | None
) -> None:
    """Whole words by their stems, with what an apostrophe leaves behind; no stop words."""
    expected = ["city's", "city\u2019s", "cities", "city"] if words is None else words
    assert found(query, text) == expected


@pytest.mark.parametrize(
    ("language", "query", "text", "words"),
    [
        ("german", "Häuser", "Das Haus, Ha\u0308user, häuslich", ["Haus", "Ha\u0308user"]),
        ("french", "l'eau", "L'eau, d\u2019eau, des eaux", ["eau", "eau", "eaux"]),
        ("russian", "города", "Город, городов; горожане", ["Город", "городов"]),
        ("greek", "πόλη", "Πόλεις, ΠΌΛΗ, άνθρωποι", ["Πόλεις", "ΠΌΛΗ"]),
        ("arabic", "مدينة", "المدينة، مدن", ["المدينة"]),
        ("hindi", "हिन्दी", "हिन्दी भाषा", ["हिन्दी"]),
        ("simple", "city", "City's cities", ["City"]),
        ("simple", "東京都", "東京都庁は京都ではない。東大", ["東京都", "京都"]),
        ("simple", "木", "木曜日、木", ["木"]),
        ("english", "PostgreSQL 索引", "PostgreSQLの索引を", ["PostgreSQL", "索引"]),
        ("simple", "น้ำ", "ดื่มน้ำมาก", ["น้ำ"]),
        ("simple", "ガラス", "ｶﾞﾗｽとカ\u3099ラス窓", ["ｶﾞﾗｽ", "カ\u3099ラス"]),
        ("simple", "한국어", unicodedata.normalize("NFD", "한국어 사람"), None),
        ("english", "full fine", "\uff46ull … \ufb01ne, ½ filling", ["\uff46ull", "\ufb01ne"]),
    ],
)
def test_words_are_found_in_any_script(
    language: str, query: str, text: str, words: list[str] | None
) -> None:
    """Spans are those of the text as it is written, however it is normalised for the index."""
    expected = [unicodedata.normalize("NFD", "한국어")] if words is None else words
    assert found(query, text, language) == expected


@pytest.mark.parametrize("language", languages())
def test_a_text_is_found_by_itself_in_every_language(language: str) -> None:
    """Every word of it that is no stop word."""
    text = "Zebra 2024 Straße naïve"
    assert found(text, text, language) == text.split()


@given(st.text(max_size=60), st.text(max_size=20))
def test_spans_lie_apart_in_any_text(text: str, query: str) -> None:
    """Within the text, from left to right, none empty, though a text may be normalised anyhow."""
    spans = Matcher(Analyzer(), f"{query} {text[:30]}").spans(text)
    places = [place for span in spans for place in span]
    assert places == sorted(set(places))
    assert all(0 <= place <= len(text) for place in places)
    assert "".join(text[start:end] for start, end in spans).isspace() is False or not spans


LETTERS = st.text(alphabet="abcsXYZ _9.東京木กาé'\u0301\ufb01", max_size=40)


@given(LETTERS, LETTERS, st.sampled_from(["simple", "english", "french"]))
def test_a_text_has_matches_exactly_if_it_has_terms_of_the_query(
    text: str, query: str, language: str
) -> None:
    """What is found is what the index finds."""
    analyzer = ANALYZERS[language]
    shared = analyzer.analyse(query).keys() & analyzer.analyse(text).keys()
    assert bool(Matcher(analyzer, query).spans(text)) == bool(shared)
