"""Parsing: every format gives its text, and nothing but Unreadable ever comes out."""

from __future__ import annotations

import io
import json
import sys
import traceback
import zipfile

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aisdk.core.documents.encoding import decode
from aisdk.core.documents.parsing import is_known, parse
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
    assert "one | two" in parsed.text
    assert "```\na  b\n  c\n```" in parsed.text
    assert not {"steal", "secret", "p{}"} & set(parsed.text.split())


def test_parse_html_leaves_out_what_is_not_read() -> None:
    """Navigation and hidden elements are gone, with all that is in them; lists stand close."""
    page = (
        b"<nav><ul><li>menu<br><img></ul></nav><p hidden>no</p><h1>Top\n <i>one</i></h1>intro"
        b"<ul><li><p>a</p></li><li>b</li></ul><p>x<br>y\nz</p>"
    )
    assert parse("a.html", page, OPTIONS).text == "# Top one\n\nintro\n\n- a\n- b\n\nx\ny z"


def test_parse_html_in_a_declared_encoding_is_decoded() -> None:
    """The page's own word counts where it is not UTF-8."""
    page = '<meta charset="iso-8859-2"><p>Zażółć gęślą</p>'.encode("iso-8859-2")
    assert parse("a.html", page, OPTIONS).text == "Zażółć gęślą"


def test_parse_deeply_nested_html_gives_its_text() -> None:
    """A hundred thousand open tags exhaust neither stack nor memory."""
    assert parse("a.html", b"<div>" * 100_000 + b"text", OPTIONS).text == "text"


def test_parse_html_above_the_limit_is_too_large() -> None:
    """One endless block counts as well as many."""
    small = LoadOptions(max_chars=1_000)
    assert reason("a.html", b"x" * 2_000, small) == "too_large"
    assert reason("a.html", b"<p>xy" * 1_000, small) == "too_large"


def test_parse_csv_names_each_value() -> None:
    """A row is a paragraph of column and value."""
    parsed = parse("a.csv", b"name;year\nPump;2020\nValve;2021\n", OPTIONS)
    assert parsed.text == "name: Pump\nyear: 2020\n\nname: Valve\nyear: 2021"


def test_parse_csv_with_one_huge_cell_is_read() -> None:
    """A cell above the csv module's limit is no error."""
    parsed = parse("a.csv", b"name,text\nx," + b"y" * 500_000 + b"\n", OPTIONS)
    assert len(parsed.text) > 500_000


def test_parse_csv_without_names_or_sense_stays_readable() -> None:
    """Numbers are no names; an open quote does not swallow the rest; one column is a table too."""
    assert parse("a.csv", b"1,2\n3,4\n", OPTIONS).text == "1, 2\n\n3, 4"
    quoted = b'name,x\na,"b\n' + b"c,d\n" * 40_000
    assert parse("a.csv", quoted, OPTIONS).text.count("x: ") == 40_001
    assert parse("a.tsv", b"word\npump\n", OPTIONS).text == "word: pump"
    assert parse("a.csv", b"only,names\n", OPTIONS).text == "only, names"


def test_parse_csv_that_expands_is_too_large() -> None:
    """Long names are repeated in every row, up to the limit."""
    data = b"n" * 10_000 + b",b\n" + b"1,2\n" * 1_000
    assert reason("a.csv", data, LoadOptions(max_chars=1_000_000)) == "too_large"


def test_parse_json_with_comments_stays_text() -> None:
    """Settings files often are nearly JSON; endless nesting is no crash."""
    assert parse("a.json", b'{"a": 1, // why\n}', OPTIONS).text.startswith('{"a": 1, // why')
    assert parse("a.json", b"[" * 100_000, OPTIONS).kind == "code"
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    assert parse("a.json", deep, OPTIONS).text.endswith(": 1")
    assert reason("a.json", b"{}") == "empty"


def test_parse_json_tells_the_path_of_each_value() -> None:
    """Also of those that come after a nested one."""
    parsed = parse("a.json", b'{"a": [{"b": 1}, 2, [3, {"c": 4}], 5], "d": 6}', OPTIONS)
    assert parsed.text.split("\n") == ["a.b: 1", "a: 2", "a: 3", "a.c: 4", "a: 5", "d: 6"]


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


def packed(**parts: str | bytes) -> bytes:
    """An archive with these parts of a Word document."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", content)
    return file.getvalue()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_parse_docx_follows_changes_and_nested_parts() -> None:
    """Deleted text is gone, inserted text and text in controls and boxes is there."""
    body = (
        f"<w:document {W}><w:body><w:p><w:r><w:t>keep </w:t></w:r><w:del><w:r><w:t>gone</w:t>"
        "</w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p><w:sdt><w:sdtContent><w:p>"
        "<w:pPr><w:numPr/></w:pPr><w:r><w:t>item</w:t><w:tab/><w:t>x</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt><w:p><w:pPr><w:pStyle w:val='H'/></w:pPr><w:r><w:t>Head</w:t>"
        "</w:r></w:p></w:body></w:document>"
    )
    styles = (
        f"<w:styles {W}><w:style w:styleId='H'><w:name w:val='Heading 2'/></w:style></w:styles>"
    )
    parsed = parse("a.docx", packed(document=body, styles=styles), OPTIONS)
    assert parsed.text == "keep new\n\n- item\tx\n\n## Head"
    assert parsed.title == "Head"


def test_parse_docx_bomb_is_too_large() -> None:
    """A part that unpacks to far more than the file is refused before it is unpacked."""
    assert reason("a.docx", packed(document=b"0" * 80_000_000)) == "too_large"


def test_parse_docx_of_too_many_parts_is_too_large() -> None:
    """An archive's directory is not read when it is endless."""
    assert reason("a.docx", b"PK\x01\x02" + bytes(42) + b"PK\x01\x02" * 20_000) == "too_large"


def test_parse_docx_with_entities_is_damaged() -> None:
    """Word writes no document type: none is read, nothing is expanded or fetched."""
    bomb = '<!DOCTYPE a [<!ENTITY x "haha"><!ENTITY y "&x;&x;&x;">]><a>&y;</a>'
    assert reason("a.docx", packed(document=bomb)) == "damaged"


@settings(max_examples=50, deadline=None)
@given(place=st.integers(0, 40_000), data=st.binary(min_size=1, max_size=60))
def test_parse_docx_that_is_damaged_gives_text_or_unreadable(place: int, data: bytes) -> None:
    """Whatever is overwritten, there is one kind of error."""
    whole = bytearray(word("First."))
    place %= len(whole)
    whole[place : place + len(data)] = data
    try:
        assert parse("a.docx", bytes(whole), OPTIONS).text
    except Unreadable as error:
        assert error.reason  # noqa: PT017  # both outcomes are allowed


def test_parse_docx_that_lies_about_its_size_is_refused() -> None:
    """Parts are counted while they are unpacked, whatever the directory says."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 40_000_000)
    data = file.getvalue().replace((40_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert reason("a.docx", data) in ("too_large", "damaged")


def test_parse_docx_with_a_name_that_is_no_utf8_is_damaged() -> None:
    """In the directory and before the part alike."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/ü.xml", "")
        archive.writestr("word/document.xml", "<a/>")
    for name in ("word/ü.xml".encode(), b"word/document.xml"):
        for place in (file.getvalue().find(name), file.getvalue().rfind(name)):
            data = bytearray(file.getvalue())
            data[place] = 0xFF
            data[data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 1) + 9] |= 8  # all in UTF-8
            assert reason("a.docx", bytes(data)) in ("damaged", "empty")


def test_parse_damaged_and_old_files_are_told_apart() -> None:
    """Each failure has its reason."""
    assert reason("a.docx", b"PK\x03\x04 nonsense") == "damaged"
    assert reason("a.docx", b"\xd0\xcf\x11\xe0 old word") == "encrypted"
    assert reason("a.ipynb", b"[]") == "damaged"
    assert reason("a.ipynb", b"[" * 100_000) == "damaged"
    assert reason("a.xyz", bytes(range(256))) == "unknown_format"
    assert reason("a.txt", b"  \n\t ") == "empty"
    assert reason("a.txt", bytes(range(256)) * 20) == "unknown_encoding"
    assert reason("a.txt", b"abc" * 10, LoadOptions(max_chars=5)) == "too_large"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_decode_usual_encodings_gives_the_text(encoding: str) -> None:
    """Byte order marks and UTF-8 are told for sure, others by a sample."""
    text = "Die Übergröße kostet fünf Euro und ist für Jörg äußerst günstig. " * 20
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет, мир: это простой текст на русском языке. "),
        ("cp1250", "Zażółć gęślą jaźń, proszę państwa. "),
        ("shift_jis", "これは日本語のテキストです。漢字も含みます。"),
        ("gb18030", "这是一个中文文本的例子用来测试编码。"),
        ("cp1252", "El niño comió piñas en la montaña, ¿verdad? "),
        ("cp1254", "Şu işte güzel bir Türkçe cümle, ağaç ve ışık. "),  # noqa: RUF001  # Turkish
        ("utf-16-le", "plain words without a mark\n"),
        ("utf-16-be", "plain words without a mark\n"),
    ],
)
def test_decode_other_encodings_are_told_from_a_sample(encoding: str, text: str) -> None:
    """Languages of other scripts, and UTF-16 without its mark."""
    assert decode((text * 9).encode(encoding)) == text * 9


def test_decode_utf8_with_a_wrong_byte_stays_utf8() -> None:
    """One damaged character does not change the encoding of all others."""
    data = ("Übergröße und Äußerung. " * 20).encode() + b"\xff end"
    assert decode(data).startswith("Übergröße")
    assert decode(data).endswith("\ufffd end")


def test_parse_unknown_suffix_of_text_is_plain_text() -> None:
    """A file that is named by itself is read if it is text."""
    parsed = parse("NOTES.abc", b"words", OPTIONS)
    assert (parsed.text, parsed.kind, parsed.title) == ("words", "prose", "NOTES")


def test_parse_markdown_front_matter_becomes_metadata() -> None:
    """Plain fields keep their types, for filters; nested ones are left out."""
    front = b"title: T\nyear: 2020\nscore: 0.5\ndraft: false\ntags: [a, 'b']\nx:\n  y: 1\n"
    parsed = parse("a.md", b"---\n" + front + b"---\nText", OPTIONS)
    assert parsed.metadata == {"year": 2020, "score": 0.5, "draft": False, "tags": ["a", "b"]}
    assert (parsed.title, parsed.text) == ("T", "Text")


def test_parse_messages_hold_no_text_of_the_document() -> None:
    """Errors may be logged; what a document says may not."""
    for name, data in (
        ("a.docx", packed(document="<a>topsecret")),
        ("a.docx", packed(document="<topsecret></a>")),
        ("a.docx", packed(topsecret="<a/>").replace(b"topsecret", b"topsecres", 1)),
        ("a.ipynb", b'{"topsecret"'),
        ("a.pdf", b"%PDF-topsecret"),
        ("a.txt", b"topsecret" + bytes(200)),
    ):
        with pytest.raises(Unreadable) as error:
            parse(name, data, OPTIONS)
        told = "".join(traceback.format_exception(error.value))
        assert "topsecret" not in f"{told} {error.value!r} {error.value.hint}"


@pytest.mark.parametrize("module", ["lxml", "charset_normalizer"])
def test_parse_without_the_files_extra_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing package is a reason with a remedy, not an ImportError."""
    monkeypatch.setitem(sys.modules, module, None)
    name, data = ("a.html", b"<p>x") if module == "lxml" else ("a.txt", "Größe".encode("cp1252"))
    with pytest.raises(Unreadable, match="aisdk\\[files\\]") as error:
        parse(name, data, OPTIONS)
    assert error.value.reason == "parser_missing"


def test_parse_text_with_nul_and_carriage_returns_is_cleaned() -> None:
    """What PostgreSQL cannot hold is gone."""
    assert parse("a.txt", b"a\0b\r\nc\rd" + b" long enough" * 9, OPTIONS).text.startswith(
        "ab\nc\nd"
    )


def test_is_known_tells_formats_by_name() -> None:
    """Files without a suffix may be known too."""
    assert all(map(is_known, ["a.md", "A.PDF", "Makefile", "b.rs"]))
    assert not any(map(is_known, ["a.png", "archive.zip", "binary"]))
