"""Parsing: every format gives its text, and nothing but Unreadable ever comes out."""

from __future__ import annotations

import io
import json
import zipfile

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aisdk.core.documents.parsing import decode, is_known, parse
from aisdk.core.documents.sources import LoadOptions
from aisdk.errors import Unreadable

OPTIONS = LoadOptions()
SUFFIXES = ["txt", "md", "html", "csv", "tsv", "json", "jsonl", "ipynb", "py", "docx", "toml"]


def word(*paragraphs: str) -> bytes:
    """A DOCX file."""
    document = docx.Document()
    document.add_heading("Report", 1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    table = document.add_table(1, 2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def reason(name: str, data: bytes, options: LoadOptions = OPTIONS) -> str:
    """Why a file cannot be read."""
    with pytest.raises(Unreadable) as error:
        parse(name, data, options)
    assert error.value.hint
    return error.value.reason


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES),
    data=st.one_of(
        st.binary(max_size=400), st.text(max_size=400).map(lambda t: t.encode("utf-8", "replace"))
    ),
)
def test_parse_any_bytes_gives_text_or_unreadable(suffix: str, data: bytes) -> None:
    """Whatever the bytes, the outcome is clean text or one kind of error."""
    try:
        parsed = parse(f"file.{suffix}", data, OPTIONS)
    except Unreadable as error:
        assert error.reason  # noqa: PT017  # both outcomes are allowed
    else:
        assert parsed.text.strip()
        assert "\0" not in parsed.text
        parsed.text.encode("utf-8")


def test_parse_markdown_takes_the_title_from_front_matter_or_heading() -> None:
    """Front matter is no text; without it the first heading is the title."""
    parsed = parse("a.md", b"---\ntitle: 'Pumps'\n---\n# Other\n\nText", OPTIONS)
    assert (parsed.title, parsed.text, parsed.kind) == ("Pumps", "# Other\n\nText", "markdown")
    assert parse("a.md", b"intro\n\n# Valves #\n", OPTIONS).title == "Valves"


def test_parse_html_gives_visible_text_with_structure() -> None:
    """Scripts and comments are gone, headings are marked, table cells are apart."""
    page = (
        b"<html><head><title>My page</title><script>steal()</script></head><body><h2>Dates</h2>"
        b"<p>Parse <b>a</b> date.</p><!-- secret --><style>p{}</style>"
        b"<table><tr><td>one</td><td>two</td></tr></table><pre>a  b\n  c</pre></body></html>"
    )
    parsed = parse("a.html", page, OPTIONS)
    assert parsed.title == "My page"
    assert "## Dates" in parsed.text
    assert "Parse a date." in parsed.text
    assert "one two" in parsed.text
    assert not {"steal", "secret", "p{}"} & set(parsed.text.split())


def test_parse_deeply_nested_html_is_readable_or_refused() -> None:
    """A hundred thousand open tags do not exhaust the stack."""
    try:
        parse("a.html", b"<div>" * 100_000 + b"text", OPTIONS)
    except Unreadable as error:
        assert error.reason in ("damaged", "empty")  # noqa: PT017  # both outcomes are allowed


def test_parse_csv_names_each_value() -> None:
    """A row is a paragraph of column and value."""
    parsed = parse("a.csv", b"name;year\nPump;2020\nValve;2021\n", OPTIONS)
    assert parsed.text == "name: Pump\nyear: 2020\n\nname: Valve\nyear: 2021"


def test_parse_csv_with_one_huge_cell_is_read() -> None:
    """A cell above the csv module's limit is no error."""
    parsed = parse("a.csv", b"name,text\nx," + b"y" * 500_000 + b"\n", OPTIONS)
    assert len(parsed.text) > 500_000


def test_parse_json_lines_takes_the_obvious_text() -> None:
    """An object's text is its text; another is flattened."""
    lines = [{"title": "T", "text": "Body"}, {"a": {"b": [1, "x"]}}]
    parsed = parse("a.jsonl", "\n".join(map(json.dumps, lines)).encode(), OPTIONS)
    assert parsed.text == "T\nBody\n\na.b: 1\na.b: x"


def test_parse_notebook_gives_cells_and_bounded_outputs() -> None:
    """Markdown, code and the beginning of text outputs are there."""
    cells = [
        {"cell_type": "markdown", "source": ["# Lesson\n", "Words."]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [{"output_type": "stream", "text": ["z" * 5000]}],
        },
    ]
    parsed = parse("a.ipynb", json.dumps({"cells": cells}).encode(), OPTIONS)
    assert parsed.title == "Lesson"
    assert "```python\nprint(1)\n```" in parsed.text
    assert parsed.text.count("z") == 2000


def test_parse_docx_gives_headings_paragraphs_and_tables() -> None:
    """The blocks come in order."""
    parsed = parse("a.docx", word("First.", "Second."), OPTIONS)
    assert parsed.text == "# Report\n\nFirst.\n\nSecond.\n\nleft | right"


def test_parse_docx_bomb_is_too_large() -> None:
    """A part that unpacks to far more than the file is refused before it is parsed."""
    file = io.BytesIO(word("x"))
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/bomb.xml", b"0" * 80_000_000)
    assert reason("a.docx", file.getvalue()) == "too_large"


def test_parse_docx_that_lies_about_its_size_is_refused() -> None:
    """Parts are counted while they are unpacked, whatever the directory says."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 40_000_000)
    data = file.getvalue().replace((40_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert reason("a.docx", data) in ("too_large", "damaged")


def test_parse_damaged_and_old_files_are_told_apart() -> None:
    """Each failure has its reason."""
    assert reason("a.docx", b"PK\x03\x04 nonsense") == "damaged"
    assert reason("a.docx", b"\xd0\xcf\x11\xe0 old word") == "encrypted"
    assert reason("a.json", b"{not json") == "damaged"
    assert reason("a.ipynb", b"[]") == "damaged"
    assert reason("a.json", b"[" * 100_000) == "damaged"
    assert reason("a.xyz", b"text") == "unknown_format"
    assert reason("a.txt", b"  \n\t ") == "empty"
    assert reason("a.txt", bytes(range(256)) * 20) == "unknown_encoding"
    assert reason("a.txt", b"abc" * 10, LoadOptions(max_chars=5)) == "too_large"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_decode_usual_encodings_gives_the_text(encoding: str) -> None:
    """Byte order marks and UTF-8 are told for sure, others by a sample."""
    text = "Die Übergröße kostet fünf Euro und ist für Jörg äußerst günstig. " * 20
    assert decode(text.encode(encoding)) == text


def test_parse_text_with_nul_and_carriage_returns_is_cleaned() -> None:
    """What PostgreSQL cannot hold is gone."""
    assert parse("a.txt", b"a\0b\r\nc\rd" + b" long enough" * 9, OPTIONS).text.startswith(
        "ab\nc\nd"
    )


def test_is_known_tells_formats_by_name() -> None:
    """Files without a suffix may be known too."""
    assert all(map(is_known, ["a.md", "A.PDF", "Makefile", "b.rs"]))
    assert not any(map(is_known, ["a.png", "archive.zip", "binary"]))
