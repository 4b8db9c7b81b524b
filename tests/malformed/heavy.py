"""Bombs, and the largest inputs that are taken: small recipes for files that want much memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import count, islice
from typing import Final

__all__ = ["HEAVY", "word_file"]

W: Final = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
EMOJI: Final = "\N{GRINNING FACE}".encode()
LATIN: Final = "Größe ".encode("cp1252")

Make = Callable[[int], bytes]


def fill(unit: bytes, head: bytes = b"", tail: bytes = b"") -> Make:
    """A file of any size: the unit again and again between head and tail."""
    rest = len(head) + len(tail)
    return lambda size: head + unit * ((size - rest) // len(unit)) + tail


def unique(form: str, head: bytes = b"", tail: bytes = b"") -> Make:
    """A file of any size in which no unit is like another."""
    width = len(form.format(0)) + 6  # a number has at most seven digits

    def make(size: int) -> bytes:
        units = (form.format(number) for number in islice(count(), size // width))
        return head + "".join(units).encode() + tail

    return make


def word_file(**parts: str | bytes) -> bytes:
    """A DOCX file of these parts, packed as tightly as can be."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return file.getvalue()


def body(unit: str, head: str = "", tail: str = "") -> Make:
    """A DOCX file whose body unpacks to a size; padding keeps the ratio of packing allowed."""
    opened = f"<w:document {W}><w:body>{head}".encode()
    make = fill(unit.encode(), opened, f"{tail}</w:body></w:document>".encode())

    def pack(size: int) -> bytes:
        return padded(word_file(word__document=make(size)), size)

    return pack


def attributes(size: int) -> bytes:
    """A DOCX file with one tag of as many attributes as the XML parser takes."""
    tag = unique('a{}="" ', b"<w:p ", b"/>")(min(size, 9_000_000)).decode()
    return body("<w:t>ab</w:t>", tag)(size)


def padded(data: bytes, unpacked: int) -> bytes:
    """The archive behind as many bytes as the limit on its ratio asks for."""
    return bytes(max(0, unpacked // 200 - len(data)) + 1) + data


def styles(size: int) -> bytes:
    """A DOCX file of nothing but heading styles."""
    form = "<w:style w:styleId='{}'><w:name w:val='heading 1'/></w:style>"
    part = unique(form, f"<w:styles {W}>".encode(), b"</w:styles>")(size)
    text = f"<w:document {W}><w:body><w:p><w:r><w:t>x</w:t></w:r></w:p></w:body></w:document>"
    return padded(word_file(word__document=text, word__styles=part), len(part))


def directory(size: int) -> bytes:
    """A DOCX file with parts of the longest names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(size // 130_000):
            archive.writestr(f"{number}\N{GRINNING FACE}".ljust(65_000, "x"), "")
    return file.getvalue()


def pages(size: int) -> bytes:
    """A PDF with one stream that unpacks to a thousand times its size."""
    import zlib

    stream = zlib.compress(b"BT /F1 12 Tf 20 100 Td (a) Tj ET " * (size // 33), 9)
    head = (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Count 1 /Kids [3 0 R] >>\nendobj\n"
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> "
        b">>\nendobj\n4 0 obj\n<< /Filter /FlateDecode /Length "
    )
    return (
        head + b"%d >>\nstream\n" % len(stream) + stream + b"\nendstream\nendobj\n"
        b"trailer << /Size 5 /Root 1 0 R >>\n%%EOF\n"
    )


HEAVY: Final[dict[str, tuple[str, Make]]] = {
    # text of every width, and every way to be cleaned or guessed
    "ascii": ("txt", fill(b"words ")),
    "one emoji": ("txt", fill(b"words ", tail=EMOJI)),
    "emoji first": ("txt", fill(b"words ", head=EMOJI)),
    "emoji only": ("txt", fill(EMOJI)),
    "chinese": ("txt", fill("漢".encode())),
    "umlauts": ("txt", fill("ü".encode())),
    "carriage returns": ("txt", fill(b"a\r")),
    "line ends and emoji": ("txt", fill(b"a\r\nb\r", tail=EMOJI)),
    "few nuls": ("txt", fill(b"word" * 30 + b"\0")),
    "utf-16": ("txt", fill("aö".encode("utf-16-le"), b"\xff\xfe")),
    "utf-16 without mark": ("txt", fill("ab".encode("utf-16-le"))),
    "utf-32": ("txt", fill("a".encode("utf-32-le"), b"\xff\xfe\0\0")),
    "latin": ("txt", fill(LATIN)),
    "damaged utf-8": ("txt", fill("ü".encode() * 40 + b"\xff")),
    "late damage": ("txt", fill(b"words ", tail=b"\xff\xfe\xfd")),
    "big5": ("txt", fill("中文 ".encode("big5"))),
    "spaces": ("txt", fill(b" ")),
    "line feeds": ("md", fill(b"\n", tail=b"x")),
    "headings": ("md", fill(b"# \t\t\t\t")),
    "code": ("py", fill(b"x = 1\n")),
    # tables
    "commas": ("csv", fill(b",")),
    "short cells": ("csv", fill(b"ab,")),
    "unique cells": ("csv", unique("{},")),
    "one row in quotes": ("csv", fill(b'"a\n",')),
    "open quotes": ("csv", fill(b'"a""')),
    "short rows": ("csv", fill(b"a\n")),
    "unique names": ("csv", unique("n{},", tail=b"\n" + b"1," * 100_000)),
    "long names": ("csv", fill(b"1,2\n", b"n" * 100_000 + b"," + b"m" * 100_000 + b"\n")),
    "tabs": ("tsv", fill(b"\t")),
    "bars": ("csv", fill(b"|a|\xc3\xbc\n")),
    # JSON
    "lists": ("json", fill(b"[],", b"[", b"[]]")),
    "dicts": ("json", fill(b"{},", b"[", b"{}]")),
    "small dicts": ("json", fill(b'{"a":1},', b"[", b"{}]")),
    "numbers": ("json", fill(b"1.5,", b"[", b"1]")),
    "unique keys": ("json", unique('"{}":1,', b"{", b'"a":1}')),
    "short texts": ("json", fill(b'"ab",', b"[", b'""]')),
    "one text": ("json", fill(b"words ", b'"', b'"')),
    "wide text": ("json", fill(b"words ", b'"', b'\\ud83d\\ude00"')),
    "escapes": ("json", fill(b"\\u6f22", b'"', b'"')),
    "depth": ("json", fill(b"[")),
    "deep keys": ("json", fill(b'{"a":')),
    "records": ("json", fill(b'{"name": "Pump", "text": "It moves water."},', b"[", b"{}]")),
    "short lines": ("jsonl", fill(b"1\n")),
    "empty lines": ("jsonl", fill(b"\n", tail=b"1")),
    "one line": ("jsonl", fill(b"[],", b"[", b"[]]")),
    "record lines": ("jsonl", fill(b'{"text": "It moves water."}\n')),
    # notebooks
    "cells": ("ipynb", fill(b"{},", b'{"cells":[', b"{}]}")),
    "sources": ("ipynb", fill(b'"ab",', b'{"cells":[{"source":[', b'""]}]}')),
    "images": ("ipynb", fill(b"iVBORw0KGgo", b'{"cells":[{"source":"x\\u6f22","png":"', b'"}]}')),
    "images and emoji": (
        "ipynb",
        fill(b"iVBORw0KGgo", b'{"cells":[{"source":"x' + EMOJI + b'","png":"', b'"}]}'),
    ),
    # pages
    "open tags": ("html", fill(b"<div>")),
    "nested paragraphs": ("html", fill(b"<p>ab")),
    "inline tags": ("html", fill(b"ab<b>")),
    "breaks": ("html", fill(b"<br>", tail=b"x")),
    "attributes": ("html", unique("a{}=1 ", b"<p ", b">x")),
    "bare attributes": ("html", unique("a{}/", b"<p ", b">x")),
    "one attribute": ("html", fill(b"ab cd ", b"<p title='" + EMOJI, b"'>x")),
    "image": (
        "html",
        fill(b"iVBOR/w0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAA", b"<img src='", b"'>x"),
    ),
    "comment": ("html", fill(b"x ", b"<!--", b"-->x")),
    "script": ("html", fill(b"x ", b"<script>", b"</script>x")),
    "hidden": ("html", fill(b"<i>x</i>", b"<p hidden>", b"</p>x")),
    "fences": ("html", fill(b"a\n", b"<pre>", b"</pre>")),
    "entities": ("html", fill(b"&amp;")),
    "titles": ("html", fill(b"words ", b"<title>", b"</title>x")),
    "cells of tables": ("html", fill(b"<td>a", b"<table><tr>")),
    "page of one emoji": ("html", fill(b"words <p>", tail=EMOJI)),
    "wide page": ("html", fill("<p>a".encode("utf-16-le"), b"\xff\xfe")),
    "latin page": ("html", fill(LATIN + b"<p>")),
    # Word documents: the size is what they unpack to
    "bomb": ("docx", lambda size: word_file(word__document=bytes(size))),
    "paragraphs": ("docx", body("<w:p><w:r><w:t>ab</w:t></w:r></w:p>")),
    "runs": ("docx", body("<w:t>ab</w:t>")),
    "words": ("docx", body("ab ", "<w:t>", "</w:t>")),
    "tabs of Word": ("docx", body("<w:tab/>")),
    "wide runs": ("docx", body("<w:t>a\N{GRINNING FACE}</w:t>")),
    "cells of Word": ("docx", body("<w:tbl><w:p><w:t>a</w:t></w:p></w:tbl>")),
    "attributes of Word": ("docx", attributes),
    "styles": ("docx", styles),
    "directory": ("docx", directory),
    "pages of one stream": ("pdf", pages),
    # what an embedding service may answer
    "reply of numbers": ("reply", fill(b"1.5,", b'{"data":[{"index":0,"embedding":[', b"1]}]}")),
    "reply of lists": ("reply", fill(b"[],", b'{"data":[', b"[]]}")),
    "reply of keys": ("reply", unique('"{}":1,', b"{", b'"data":[]}')),
}
