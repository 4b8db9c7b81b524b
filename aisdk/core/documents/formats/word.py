"""DOCX: paragraphs, headings, lists and tables, read as a stream with limits on unpacking."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aisdk.core.documents.formats.blocks import LONGEST_BLOCK, Blocks, Pile
from aisdk.core.documents.formats.feeding import Feeding
from aisdk.core.documents.sources import LoadOptions, Parsed
from aisdk.core.documents.unreadable import damaged, parser_missing, too_large
from aisdk.errors import Unreadable

__all__ = ["parse_docx"]

STEP: Final = 64 * 1024
MOST_PARTS: Final = 10_000
LARGEST_DIRECTORY: Final = 4 * 2**20  # bytes of the names in the archive's directory
MOST_STYLES: Final = 10_000
LONGEST_STYLE: Final = 255
LARGEST_RATIO: Final = 200  # unpacked to packed; real documents stay below 60
FREE_BYTES: Final = 2**20  # unpacked without regard to the ratio

OLE: Final = b"\xd0\xcf\x11\xe0"  # how an encrypted document and the old .doc begin
PART: Final = b"PK\x01\x02"  # how a part's entry in the archive's directory begins
ENTRY: Final = 46  # bytes of it before the name
PACKINGS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # that Word knows
DAMAGES: Final = (  # what the reader of archives raises for one that is none
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, NotImplementedError),
    *(OSError, OverflowError, RuntimeError, UnicodeError, ValueError),
)

_LEVEL: Final = re.compile(r"heading ([1-9])")
_UNSEEN: Final = frozenset({"del", "moveFrom", "instrText", "Fallback", "delText"})


def parse_docx(data: bytes, options: LoadOptions) -> Parsed:
    """The text of a Word document; headings become Markdown headings.

    Insertions count as accepted, deletions as gone. Only the parts with text are unpacked, as a
    stream, so memory does not grow with what they unpack to.

    Raises:
        Unreadable: It is damaged, encrypted, or unpacks to more than the limits allow.
    """
    if data.startswith(OLE):
        raise _encrypted()
    if data.count(PART) > MOST_PARTS or _directory_bytes(data) > LARGEST_DIRECTORY:
        raise too_large()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _parse(_Package(archive, options.max_bytes, len(data)), options)
    except Unreadable:
        raise
    except DAMAGES:
        raise damaged() from None  # the cause names parts of the document


def _directory_bytes(data: bytes) -> int:
    """At most how long the names and notes in the archive's directory are."""
    size, place = 0, data.find(PART)
    while 0 <= place <= len(data) - ENTRY:
        size += sum(struct.unpack_from("<3H", data, place + 28))
        place = data.find(PART, place + 1)
    return size


class _Package:
    """The archive of a document, which unpacks no more than it may."""

    def __init__(self, archive: zipfile.ZipFile, max_bytes: int, packed: int) -> None:
        self._archive = archive
        self._left = max(FREE_BYTES, min(4 * max_bytes, LARGEST_RATIO * packed))

    def part(self, name: str) -> Iterator[bytes]:
        """A part's bytes, a bounded block at a time.

        Raises:
            KeyError: There is no such part.
            Unreadable: It is encrypted, or unpacks to too much.
        """
        entry = self._archive.getinfo(name)
        if entry.flag_bits & 1:
            raise _encrypted()
        if entry.compress_type not in PACKINGS:
            raise damaged()
        if entry.file_size > self._left:
            raise too_large()
        with self._archive.open(entry) as stream:
            while block := stream.read(STEP):
                self._left -= len(block)
                if self._left < 0:
                    raise too_large()
                yield block

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return name in self._archive.NameToInfo


def _parse(package: _Package, options: LoadOptions) -> Parsed:
    styles = _Styles()
    if package.has("word/styles.xml"):
        _read(package.part("word/styles.xml"), styles)
    properties = _Properties()
    if package.has("docProps/core.xml"):
        _read(package.part("docProps/core.xml"), properties)
    body = _Body(styles.levels, options.max_chars)
    _read(package.part("word/document.xml"), body)
    title = "".join(properties.title).strip() or body.title
    return Parsed(body.blocks.text(), title, {}, "markdown")


def _read(blocks: Iterator[bytes], target: _Receiver) -> None:
    """Feeds a part to what receives its tags; entities are not expanded, nothing is fetched."""
    try:
        from lxml import etree
    except ImportError as error:
        raise parser_missing() from error
    parser = etree.XMLParser(
        target=target, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    feeding = Feeding(parser, target)
    try:
        for block in blocks:
            feeding.feed(block)
        parser.close()  # fails where nothing was fed
    except etree.LxmlError:
        raise damaged() from None  # the cause quotes the document


class _Receiver:
    """What every receiver of tags has; names come without their namespace."""

    events = 0

    def doctype(self, *_: Any) -> None:
        """Refuses a document type, which Word never writes: it could define entities."""
        raise damaged()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.events += 1
        local = {name.rpartition("}")[2]: value for name, value in attributes.items()}
        self.begin(tag.rpartition("}")[2], local)

    def end(self, tag: str) -> None:
        self.events += 1
        self.finish(tag.rpartition("}")[2])

    def data(self, text: str) -> None:
        self.events += 1
        self.write(text)

    def begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        """A tag begins."""

    def finish(self, tag: str) -> None:
        """A tag ends."""

    def write(self, text: str) -> None:
        """Characters between tags."""

    def close(self) -> None:
        """The part ends."""


class _Styles(_Receiver):
    """Which paragraph styles are headings, and of which level."""

    def __init__(self) -> None:
        self.levels: dict[str, int] = {}
        self._style = ""

    def begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        value = attributes.get("val", "")[:LONGEST_STYLE]
        if tag == "style":
            style = attributes.get("styleId", "")
            fits = len(style) <= LONGEST_STYLE and len(self.levels) < MOST_STYLES
            self._style = style if fits else ""
        elif tag == "name" and self._style:
            level = _LEVEL.fullmatch(value.lower())
            if level or value.lower() == "title":
                self.levels[self._style] = int(level[1]) if level else 1
        elif tag == "outlineLvl" and self._style and value in tuple("012345678"):
            self.levels.setdefault(self._style, int(value) + 1)


class _Properties(_Receiver):
    """The title among the document's properties."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self._inside = False

    def begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        del attributes
        self._inside = tag == "title"

    def finish(self, tag: str) -> None:
        del tag
        self._inside = False

    def write(self, text: str) -> None:
        if self._inside and len(self.title) < 1_000:
            self.title.append(text[:1_000])


class _Body(_Receiver):
    """The document's text."""

    def __init__(self, levels: Mapping[str, int], max_chars: int) -> None:
        self.blocks = Blocks(max_chars)
        self.title = ""
        self._levels = levels
        self._left = max_chars
        self._words = Pile()
        self._cells = Pile()
        self._tables = 0
        self._mark = ""
        self._in_text = False
        self._was_tight = False
        self._hidden = 0

    def begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._hidden or tag in _UNSEEN:
            self._hidden += 1
        elif tag in _BEGIN:
            _BEGIN[tag](self, attributes)

    def finish(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
        elif tag in _FINISH:
            _FINISH[tag](self)

    def write(self, text: str) -> None:
        if self._in_text and not self._hidden:
            self.put(text)

    def put(self, text: str) -> None:
        """Adds to the paragraph; one without end is ended.

        Raises:
            Unreadable: There has been too much text.
        """
        self._words.add(text)
        self._left -= len(text)
        if self._left < 0:
            raise too_large()
        if self._words.chars > LONGEST_BLOCK:
            self.end_paragraph()

    def set_in_text(self, *, inside: bool) -> None:
        """Whether characters are text now."""
        self._in_text = inside

    def set_style(self, attributes: Mapping[str, str]) -> None:
        """A paragraph's style may make it a heading."""
        level = self._levels.get(attributes.get("val", ""))
        if level and not self._tables:
            self._mark = "#" * min(level, 6) + " "

    def set_item(self) -> None:
        """The paragraph is numbered or has a bullet."""
        self._mark = self._mark or "- "

    def end_paragraph(self) -> None:
        """A paragraph ends; in a table it is a part of its row."""
        text = self._words.take().strip()
        mark, self._mark = self._mark, ""
        if not text:
            return
        if self._tables:
            self._cells.add(" | " if self._cells.chars else "")
            self._cells.add(" ".join(text.split()))
            if self._cells.chars > LONGEST_BLOCK:
                self.end_row()
            return
        if mark.startswith("#"):
            text = " ".join(text.split())
            self.title = self.title or text
        self._add(mark + text, tight=mark == "- ")

    def change_tables(self, by: int) -> None:
        """A table begins or ends, perhaps within another."""
        self.end_paragraph()
        self._tables += by

    def end_row(self) -> None:
        """A row ends; a table within a cell has ended its own rows before."""
        self._add(self._cells.take(), tight=True)

    def _add(self, block: str, *, tight: bool) -> None:
        """Items of a list and rows of a table stand close together."""
        self.blocks.add(block, tight=tight and self._was_tight)
        self._was_tight = tight


_BEGIN: Final[Mapping[str, Callable[[_Body, Mapping[str, str]], None]]] = {
    "p": lambda body, _: body.end_paragraph(),
    "t": lambda body, _: body.set_in_text(inside=True),
    "tab": lambda body, _: body.put("\t"),
    "br": lambda body, _: body.put("\n"),
    "cr": lambda body, _: body.put("\n"),
    "noBreakHyphen": lambda body, _: body.put("-"),
    "pStyle": lambda body, attributes: body.set_style(attributes),
    "numPr": lambda body, _: body.set_item(),
    "tbl": lambda body, _: body.change_tables(1),
}
_FINISH: Final[Mapping[str, Callable[[_Body], None]]] = {
    "p": lambda body: body.end_paragraph(),
    "t": lambda body: body.set_in_text(inside=False),
    "tr": lambda body: body.end_row(),
    "tbl": lambda body: body.change_tables(-1),
}


def _encrypted() -> Unreadable:
    return Unreadable(
        "A document is encrypted, or of an older format of Word.",
        hint="Save it as DOCX without a password.",
        reason="encrypted",
    )
