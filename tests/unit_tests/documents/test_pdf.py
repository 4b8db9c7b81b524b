"""PDF: text from a child process, and a reason for every failure."""

from __future__ import annotations

import io
from pathlib import Path

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aisdk.core.documents.formats import pdf
from aisdk.core.documents.parsing import parse
from aisdk.core.documents.sources import LoadOptions
from aisdk.errors import Unreadable


def document(*pages: str) -> bytes:
    """A small PDF with one line a page, written by hand."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for line in pages:
        stream = f"BT /F1 12 Tf 20 100 Td ({line}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents %d 0 R "
            b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> "
            b">> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), b" ".join(kids))
    file = io.BytesIO(b"%PDF-1.4\n")
    file.seek(0, 2)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.writelines(b"%010d 00000 n \n" % place for place in places)
    file.write(b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    file.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return file.getvalue()


def reason(data: bytes, options: LoadOptions | None = None) -> str:
    """Why a PDF cannot be read."""
    with pytest.raises(Unreadable) as error:
        parse("a.pdf", data, options or LoadOptions())
    return error.value.reason


def test_parse_pdf_gives_a_paragraph_a_page() -> None:
    """Text and number of pages come back."""
    parsed = parse("a.pdf", document("Pumps move water.", "Valves stop it."), LoadOptions())
    assert parsed.text == "Pumps move water.\n\nValves stop it."
    assert parsed.metadata == {"pages": 2}


def test_parse_pdf_failures_have_reasons() -> None:
    """Damaged, without text, and with too many pages."""
    assert reason(b"no pdf") == "damaged"
    assert reason(b"%PDF-1.7 nonsense") == "damaged"
    assert reason(document("")) == "no_text"
    assert reason(document("a", "b", "c"), LoadOptions(max_pages=2)) == "too_large"
    assert reason(document("long " * 20), LoadOptions(max_chars=20)) == "too_large"


def test_parse_pdf_encrypted_is_told() -> None:
    """A file whose password is not the empty one."""
    locked = document("secret").replace(
        b"/Root 1 0 R",
        b"/Root 1 0 R /ID [<00><00>] /Encrypt << /Filter /Standard /V 1 /R 2 /Length 40 /P -4 "
        b"/O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>",
    )
    assert reason(locked) == "encrypted"


def test_parse_pdf_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of this process stays here."""
    monkeypatch.setenv("AISDK_DATABASE_URL", "postgresql://user:secret@host/db")
    child = tmp_path / "child.py"
    child.write_text(
        "import json, os\n"
        "print(json.dumps({'title': '', 'pages': 1}))\n"
        "print(sorted(os.environ))"
    )
    monkeypatch.setattr(pdf, "CHILD", child)
    parsed = parse("a.pdf", document("text"), LoadOptions())
    assert "PATH" in parsed.text
    assert "AISDK" not in parsed.text


def test_parse_pdf_with_a_damaged_page_gives_the_others() -> None:
    """One page that cannot be drawn does not cost the whole document."""
    whole = document("first page", "second page")
    assert (
        "second page"
        in parse("a.pdf", whole.replace(b"(first page) Tj", b"(first page Tj "), LoadOptions()).text
    )


@settings(max_examples=8, deadline=None)
@given(place=st.integers(0, 700), data=st.binary(min_size=1, max_size=40))
def test_parse_pdf_that_is_damaged_gives_text_or_unreadable(place: int, data: bytes) -> None:
    """Whatever is overwritten, there is one kind of error."""
    whole = bytearray(document("Pumps move water."))
    whole[place : place + len(data)] = data
    try:
        assert parse("a.pdf", bytes(whole), LoadOptions()).text
    except Unreadable as error:
        assert error.reason  # noqa: PT017  # both outcomes are allowed


def test_parse_pdf_crash_of_the_child_is_one_failed_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that may hold next to no memory dies, and its parent tells so."""
    monkeypatch.setattr(pdf, "MEMORY_BYTES", 2**20)
    assert reason(document("text")) in ("parser_crashed", "too_large")


def test_parse_pdf_child_that_dies_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that is killed by the system says nothing."""
    child = tmp_path / "child.py"
    child.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(pdf, "CHILD", child)
    assert reason(document("text")) == "parser_crashed"


def test_parse_pdf_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock bounds the child."""
    monkeypatch.setattr(pdf, "TIMEOUT_S", 0.001)
    monkeypatch.setattr(pdf, "CHILD", Path(__file__))
    assert reason(document("text")) == "timeout"


def test_document_of_this_test_is_a_pdf() -> None:
    """The hand-written file opens in the library itself."""
    opened = pypdfium2.PdfDocument(document("x"))
    assert len(opened) == 1
    opened.close()
