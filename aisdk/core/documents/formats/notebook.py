"""Jupyter notebooks: Markdown, code, and the beginning of what the code printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.formats.blocks import Blocks, Pile
from aisdk.core.documents.formats.items import HEAVIEST, load, weight_of
from aisdk.core.documents.formats.markdown import LONGEST_FRONT, first_heading
from aisdk.core.documents.sources import Parsed
from aisdk.core.documents.unreadable import damaged, too_large
from aisdk.core.documents.volume import LARGEST_RESULT

__all__ = ["parse_notebook"]

LONGEST_OUTPUT: Final = 2_000  # characters kept of one output
LONGEST_CELL: Final = 4 * 2**20  # characters of code in one cell


def parse_notebook(text: str, max_chars: int) -> Parsed:
    """Markdown cells as they are, code cells and their text outputs as fenced blocks.

    Raises:
        Unreadable: It is no notebook, or too large a one.
    """
    if weight_of(text) > HEAVIEST:
        raise too_large()
    try:
        cells = load(text)["cells"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise damaged() from None
    if not isinstance(cells, list):
        raise damaged()
    del text  # all of it is in the cells
    blocks = Blocks(max_chars)
    title = ""
    for cell in cells:
        if isinstance(cell, dict):
            for part in _parts(cell):
                blocks.add(part)
            if not title and cell.get("cell_type") == "markdown":
                title = first_heading(_joined(cell.get("source"), LONGEST_FRONT))
    return Parsed(blocks.text(), title, {}, "markdown")


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    """A cell's source and its outputs."""
    source = _joined(cell.get("source"), LARGEST_RESULT)
    if cell.get("cell_type") != "code":
        yield source
        return
    if source.strip():
        yield _fenced("python", source)
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        shown = _shown(output) if isinstance(output, dict) else ""
        if shown.strip():
            yield _fenced("text", shown)


def _shown(output: dict[str, Any]) -> str:
    """The beginning of an output's plain text; images and HTML have another."""
    data = output.get("data")
    text = data.get("text/plain") if isinstance(data, dict) else output.get("text")
    return _joined(text, LONGEST_OUTPUT)


def _joined(source: Any, most: int) -> str:
    """A text that may be written as a list of its lines; its first characters."""
    if not isinstance(source, list):
        return source[:most] if isinstance(source, str) else ""
    pile = Pile()
    for part in source:
        if isinstance(part, str):
            pile.add(part)
            if pile.chars > most:
                break
    return pile.take()[:most]


def _fenced(language: str, text: str) -> str:
    if len(text) > LONGEST_CELL:
        raise too_large()
    return f"```{language}\n{text.strip(chr(10))}\n```"
