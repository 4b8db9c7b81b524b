"""Jupyter notebooks: Markdown, code, and the beginning of what the code printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.formats.blocks import Blocks
from aisdk.core.documents.formats.markdown import first_heading
from aisdk.core.documents.sources import Parsed
from aisdk.core.documents.unreadable import damaged

__all__ = ["parse_notebook"]

LONGEST_OUTPUT: Final = 2_000  # characters kept of one output


def parse_notebook(text: str, max_chars: int) -> Parsed:
    """Markdown cells as they are, code cells and their text outputs as fenced blocks.

    Raises:
        Unreadable: It is no notebook.
    """
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise damaged() from error
    if not isinstance(cells, list):
        raise damaged()
    blocks = Blocks(max_chars)
    title = ""
    for cell in cells:
        if isinstance(cell, dict):
            for part in _parts(cell):
                blocks.add(part)
            if not title and cell.get("cell_type") == "markdown":
                title = first_heading(_joined(cell.get("source")))
    return Parsed(blocks.text(), title, {}, "markdown")


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    """A cell's source and its outputs."""
    source = _joined(cell.get("source"))
    if cell.get("cell_type") != "code":
        yield source
        return
    if source.strip():
        yield _fenced("python", source)
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        shown = _shown(output) if isinstance(output, dict) else ""
        if shown.strip():
            yield _fenced("text", shown[:LONGEST_OUTPUT])


def _shown(output: dict[str, Any]) -> str:
    """An output's plain text; images and HTML have another."""
    data = output.get("data")
    return _joined(data.get("text/plain") if isinstance(data, dict) else output.get("text"))


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```"
