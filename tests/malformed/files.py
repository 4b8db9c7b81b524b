"""Malformed files of every format: a good one with a canary in its text, then damaged."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from random import Random
from typing import Final

from malformed.mutation import mutated

__all__ = ["FORMATS", "malformed_file", "small_pdf"]

W: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DEEPEST: Final = 20_000

Sample = Callable[[Random, str], bytes]
ENCODINGS: Final = ("utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "cp1252", "utf-16-le")


def malformed_file(rng: Random, suffix: str, canary: str) -> bytes:
    """A damaged file of a format; one of ten is a bomb of its kind, some are of another format."""
    kind = suffix if rng.random() < 0.95 else rng.choice(list(FORMATS))
    if rng.random() < 0.1 and kind in BOMBS:
        head, unit, tail = rng.choice(BOMBS[kind])
        whole = head + unit * rng.choice((9, 300, DEEPEST)) + canary + rng.choice((tail, ""))
        data = whole.encode()
        return word(rng, data) if kind == "docx" else data
    good = FORMATS[kind](rng, canary)
    if kind == "docx" and rng.random() < 0.5:
        return good  # one of its parts is damaged
    return mutated(rng, good)


def encoded(rng: Random, text: str) -> bytes:
    """The text in one of the usual encodings."""
    return text.encode(rng.choice(ENCODINGS), "replace")


def prose(rng: Random, canary: str) -> bytes:
    """Words in several scripts."""
    words = [canary, "Größe", "漢字", "\N{GRINNING FACE}", "Привет", "word", "e\u0301", "שלום"]
    return encoded(rng, " ".join(rng.choices(words, k=rng.randint(1, 60))))


def markdown(rng: Random, canary: str) -> bytes:
    """Front matter, headings, a table and code."""
    front = f"---\ntitle: '{canary}'\nyear: 2020\ntags: [a, '{canary}']\ndraft: ~\n---\n"
    body = f"# {canary} #\n\nText\n\n| a | b |\n|---|---|\n| 1 | {canary} |\n\n```\ncode\n```\n"
    return encoded(rng, rng.choice((front, "")) + body)


def code(rng: Random, canary: str) -> bytes:
    """A function."""
    return encoded(rng, f"def f(x):\n    '''{canary}'''\n    return x + 1  # {canary}\n")


def table(rng: Random, canary: str) -> bytes:
    """Rows with quotes."""
    mark = rng.choice(",;\t|")
    rows = [["name", "year", canary], ["Pump", "2020", f'"a {canary}\nb"'], ["Valve", "", '""']]
    return encoded(rng, "\n".join(mark.join(row) for row in rows * rng.randint(1, 4)))


def record(rng: Random, canary: str) -> bytes:
    """Nested values."""
    value = {"text": canary, "a": [1, 2.5, None, {canary: [True, "\ud83d"]}], "n": 10**18}
    items = [value, [value, value], {"title": canary, "body": 1}, canary]
    return encoded(rng, json.dumps(rng.choice(items), indent=rng.choice((None, 1))))


def records(rng: Random, canary: str) -> bytes:
    """A value a line."""
    return b"\n".join(record(rng, canary) for _ in range(rng.randint(1, 5)))


def notebook(rng: Random, canary: str) -> bytes:
    """Cells with outputs."""
    output = {"output_type": "stream", "text": [canary, "\n"]}
    shown = {"output_type": "display_data", "data": {"text/plain": canary, "image/png": "iVBO"}}
    cells = [
        {"cell_type": "markdown", "source": [f"# {canary}\n", "Words."]},
        {"cell_type": "code", "source": f"print('{canary}')", "outputs": [output, shown]},
    ]
    cells[rng.randrange(2)][rng.choice(("source", "outputs", "cell_type"))] = rng.choice(
        [None, 5, {}, [[]], [{canary: 1}], canary, [None, canary], True]
    )
    return encoded(rng, json.dumps({"cells": cells, "nbformat": 4}))


def page(rng: Random, canary: str) -> bytes:
    """A page with head, table and code."""
    return encoded(
        rng,
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{canary}</title><style>p{{}}"
        f"</style><script>f('{canary}')</script></head><body><nav>menu</nav><h1 id={canary}>Top"
        f"</h1><p hidden>no</p><p>A<br>b &amp; &#8364; {canary}</p><!-- {canary} --><ul><li>x</ul>"
        "<table><tr><th>a<td>b</table><pre>a\n b</pre><img src='data:,x' alt=''></body></html>",
    )


def word(rng: Random, body: bytes | str | None = None, canary: str = "") -> bytes:
    """A DOCX file, packed or not, with these bytes as its body or a good one."""
    styles = (
        f"<w:styles {W}><w:style w:styleId='H'><w:name w:val='heading 1'/></w:style></w:styles>"
    )
    core = f"<p xmlns:d='x'><d:title>{canary}</d:title></p>"
    good = (
        f"<w:document {W}><w:body><w:p><w:pPr><w:pStyle w:val='H'/></w:pPr><w:r><w:t>{canary}"
        f"</w:t></w:r></w:p><w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>a</w:t><w:tab/><w:t>{canary}"
        f"</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>{canary}</w:t></w:r></w:p></w:tc>"
        "</w:tr></w:tbl></w:body></w:document>"
    )
    parts = {
        "word/document.xml": body if body is not None else good,
        "word/styles.xml": styles,
        "docProps/core.xml": core,
        f"word/{canary}ü.xml": "<a/>",
    }
    damaged = rng.choice([*parts, "none", "none"])
    file = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in parts.items():
            data = content.encode() if isinstance(content, str) else content
            archive.writestr(name, mutated(rng, data) if name == damaged else data)
    return file.getvalue()


def small_pdf(rng: Random, canary: str) -> bytes:
    """A PDF of one page."""
    stream = f"BT /F1 12 Tf 20 100 Td ({canary}) Tj ET".encode()
    title = rng.choice((canary, "x" * 5_000, "\\200\\377"))
    return (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Count 1 /Kids [3 0 R] >>\nendobj\n"
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> "
        b">>\nendobj\n4 0 obj\n<< /Length "
        + str(len(stream)).encode()
        + b" >>\nstream\n"
        + stream
        + b"\nendstream\nendobj\n5 0 obj\n<< /Title ("
        + title.encode()
        + b") >>\nendobj\ntrailer << /Size 6 /Root 1 0 R /Info 5 0 R >>\n%%EOF\n"
    )


FORMATS: Final[dict[str, Sample]] = {
    "txt": prose,
    "odd": prose,  # no known suffix
    "md": markdown,
    "rst": markdown,
    "py": code,
    "toml": code,
    "csv": table,
    "tsv": table,
    "json": record,
    "jsonl": records,
    "ipynb": notebook,
    "html": page,
    "docx": lambda rng, canary: word(rng, None, canary),
    "pdf": small_pdf,
}

# Head, what is said again and again, and tail.
BOMBS: Final[dict[str, list[tuple[str, str, str]]]] = {
    "md": [("---\n", "a: [b, c]\n", "---\n"), ("", "# \t\t", ""), ("", "> - 1. ", "")],
    "csv": [("", ",", "\n"), ("", '"a\n",', ""), ("", 'a,"', ""), ("a,b\n", '""', "")],
    "tsv": [("", "\t", "\n"), ("a\tb\n", "1\t2\n", "")],
    "json": [("", "[", "]"), ("", '{"a":', "}"), ("[", "[[]],", "1]"), ('"', "\\ud83d", '"')],
    "jsonl": [("", "[\n", ""), ("", '{"a":1}\n', ""), ("", "\n", "1")],
    "ipynb": [
        ('{"cells":', "[", "]"),
        ('{"cells":[', '{"source":["a"]},', "{}]}"),
        ('{"cells":[{"cell_type":"code","outputs":[', '{"data":', "}]}]}"),
    ],
    "html": [
        ("", "<div>", ""),
        ("", "<p a=1 b='", "'>"),
        ("<p ", "a=1 ", ">"),
        ("<table>", "<tr><td>", ""),
        ("", "<script>", ""),
        ("<ul>", "<li>x", ""),
        ("", "&lt;&#x41;", ""),
        ("<select>", "<option>", ""),
    ],
    "docx": [
        (f"<w:document {W}>", "<w:tbl>", ""),
        (f"<w:document {W}>", "<w:t>a</w:t>", "</w:document>"),
        (f"<w:document {W} ", "a='' ", "/>"),
        ("<!DOCTYPE a [", "<!ENTITY b 'c'>", "]><a>&b;</a>"),
        (f"<w:document {W}><w:t>", "&#65;", "</w:t></w:document>"),
        ("<?xml version='1.0' encoding='", "utf-16", "'?><a/>"),
    ],
}
