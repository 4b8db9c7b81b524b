"""Parsing: what bounds the memory that a file may take, and leaves usual files alone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable

import pytest

from aisdk.core.documents.formats.blocks import Blocks, Pile
from aisdk.core.documents.parsing import parse
from aisdk.core.documents.sources import LoadOptions
from aisdk.core.documents.volume import width_of
from aisdk.errors import Unreadable

OPTIONS = LoadOptions()
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def reason(name: str, data: bytes) -> str:
    """Why a file cannot be read."""
    with pytest.raises(Unreadable) as error:
        parse(name, data, OPTIONS)
    return error.value.reason


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 1), ("abc", 1), ("ü", 1), ("漢", 2), ("\ud800", 2), ("x" * 2**21 + "\U0001f600", 4)],
)
def test_width_is_that_of_the_widest_character(text: str, width: int) -> None:
    """Python keeps all characters of a text as wide as the widest one."""
    assert width_of(text) == width


def test_pile_gives_its_pieces_in_order() -> None:
    """Short and long ones, once."""
    pile, pieces = Pile(), [*map(str, range(9_999)), "x" * 70_000, "y", "ü" * 70_000]
    for piece in pieces:
        pile.add(piece)
    assert pile.chars == len("".join(pieces))
    assert pile.take() == "".join(pieces)
    assert (pile.chars, pile.take()) == (0, "")


def joined(parts: Iterable[str]) -> str:
    """The blocks as one text."""
    blocks = Blocks(50_000_000)
    for part in parts:
        blocks.add(part)
    return blocks.text()


@pytest.mark.parametrize("wide", [0, 49, 99])
def test_blocks_that_take_too_much_memory_are_too_large(wide: int) -> None:
    """Wherever the wide character stands that makes them so."""
    with pytest.raises(Unreadable) as error:
        joined("x" * 150_000 + "\N{GRINNING FACE}" * (number == wide) for number in range(100))
    assert error.value.reason == "too_large"
    assert len(joined("x" * 150_000 for _ in range(100))) == 100 * 150_002 - 2


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_parse_docx_packed_as_word_does_not_is_damaged(packing: int) -> None:
    """Packings that unpack without a limit are not tried."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("word/document.xml", f"<w:document {W}/>")
    assert reason("a.docx", file.getvalue()) == "damaged"


def test_parse_docx_with_endless_names_is_too_large() -> None:
    """They would be read as a whole."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}".ljust(60_000, "x"), "")
    assert reason("a.docx", file.getvalue()) == "too_large"


def test_parse_html_with_endless_tags_is_too_large() -> None:
    """A tag of a million attributes, and one that is a picture of twenty megabytes."""
    attributes = "".join(f"a{number}=1 " for number in range(300_000))
    assert reason("a.html", f"<p {attributes}>x".encode()) == "too_large"
    assert reason("a.html", b"<p title='" + b"x" * 20_000_000 + b"'>x") == "too_large"
    picture = b"<img src='data:" + b"iVBORw0KGgo/" * 200_000 + b"'>x"
    assert parse("a.html", picture, OPTIONS).text == "x"


def test_parse_html_deeper_than_a_million_tags_is_damaged() -> None:
    """No page is."""
    assert reason("a.html", b"<b>" * 1_000_001) == "damaged"


@pytest.mark.parametrize("name", ["punycode", "hex", "unicode_escape", "nothing", "utf-7"])
def test_parse_html_in_an_odd_encoding_is_guessed(name: str) -> None:
    """Python knows encodings that no page is in."""
    page = f'<meta charset="{name}"><p>{"Zażółć gęślą jaźń, proszę państwa. " * 9}</p>'.encode(
        "cp1250"
    )
    assert "gęślą" in parse("a.html", page, OPTIONS).text


def test_parse_html_paragraph_of_millions_of_characters_is_cut() -> None:
    """Nothing is lost where one is ended by itself."""
    page = b"<p>" + b"word<br>" * 300_000
    assert parse("a.html", page, OPTIONS).text.count("word") == 300_000


def test_parse_csv_with_too_many_cells_stays_as_it_is() -> None:
    """A row of a million cells is no row, whether it is one line or many."""
    assert parse("a.csv", b"ab," * 300_000, OPTIONS).kind == "prose"
    assert parse("a.csv", b'"a\n",' * 300_000, OPTIONS).text.startswith('"a')


def test_parse_json_of_many_records_is_the_same_as_of_few() -> None:
    """A long list is read an item at a time; one that is damaged, or too heavy, stays as it is."""
    records = [
        {"n": number, "text": f"Pump {number}, \N{GRINNING FACE}"} for number in range(9_999)
    ]
    for indent in (None, 1):
        whole = json.dumps(records, indent=indent, ensure_ascii=False).encode()
        expected = "\n\n".join(str(record["text"]) for record in records)
        assert parse("a.json", whole, OPTIONS).text == expected
        for damaged in (whole[:-1], whole + b"]", whole[:-1] + b",]", whole.replace(b"}", b"", 1)):
            assert parse("a.json", damaged, OPTIONS).kind == "code"
    assert parse("a.json", b"[" + b" " * 300_000, OPTIONS).kind == "code"
    assert reason("a.json", b"[" + b" " * 300_000 + b"]") == "empty"
    assert parse("a.json", b"[[" + b"[]," * 900_000 + b"[]],1]", OPTIONS).kind == "code"
    large = b'[{"text": "' + b"word " * 900_000 + b'"}]'
    assert len(parse("a.json", large, OPTIONS).text) == 4_499_999


def test_parse_text_that_takes_too_much_memory_is_too_large() -> None:
    """One wide character widens all others."""
    assert reason("a.txt", b"words " * 4_000_000 + "\N{GRINNING FACE}".encode()) == "too_large"
    assert reason("a.ipynb", b'{"cells": [' + b"[]," * 900_000 + b"[]]}") == "too_large"
