"""Rows as static, escaped HTML: a table for notebooks in which a document's text stays text.

In a notebook a script in an output is code execution, so everything that comes from a record
becomes character data: no link, no attribute and no style is ever made from it. The table needs no
script and no other file, has no ids, and reads well where styles are stripped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from aisdk.core.results.frame import Column
from aisdk.core.results.text import Preview, cell_text

__all__ = ["render_html"]

_MOST_ROWS = 200
_MOST_BYTES = 500_000
_SUMMARY = 120  # characters of a cell that are shown before it is unfolded
_MOST_TEXT = 2_000  # characters of a cell that are kept at all

# Colours: those of VS Code, else those of Jupyter, else our own for a light or dark system.
_STYLE = """
.aisdk-rows{--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--paper:#fff;--mark:#fff1b8;overflow:auto}
@media(prefers-color-scheme:dark){
.aisdk-rows{--ink:#e6edf3;--soft:#9aa4af;--line:#3d444d;--paper:#0d1117;--mark:#5c4a00}}
.aisdk-rows table{border-collapse:collapse;font-size:.9em;text-align:left;
color:var(--vscode-editor-foreground,var(--jp-content-font-color1,var(--ink)));
background:var(--vscode-editor-background,var(--jp-layout-color0,var(--paper)))}
.aisdk-rows caption,.aisdk-rows tfoot td{text-align:left;padding:.3em .6em;
color:var(--vscode-descriptionForeground,var(--jp-content-font-color2,var(--soft)))}
.aisdk-rows th,.aisdk-rows tbody td{padding:.3em .6em;text-align:left;vertical-align:top;
max-width:36em;overflow-wrap:anywhere;
border-bottom:1px solid var(--vscode-panel-border,var(--jp-border-color2,var(--line)))}
.aisdk-rows .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.aisdk-rows details p{white-space:pre-wrap;margin:.3em 0}
.aisdk-rows mark{color:inherit;
background:var(--vscode-editor-findMatchHighlightBackground,var(--jp-warn-color3,var(--mark)))}
"""


def render_html(preview: Preview) -> str:
    """The rows as one HTML table, at most about half a megabyte however many there are.

    Long texts are folded into ``details`` and kept up to 2,000 characters; rows beyond 200, or
    beyond the size, are counted in the foot and not shown.
    """
    heads = "".join(_head(column) for column in preview.columns)
    rows = list(_rows(preview))
    foot = escape(preview.count(len(rows)))
    return (
        f"<style>{_STYLE}</style>"
        # The class names keep MathJax from typesetting what stands between two dollar signs.
        '<div class="aisdk-rows tex2jax_ignore mathjax_ignore"><table>'
        f"<caption>{escape(preview.title)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
        f'<tfoot><tr><td colspan="{len(preview.columns)}">{foot}</td></tr></tfoot>'
        "</table></div>"
    )


def _head(column: Column) -> str:
    return f'<th scope="col"{_class(column)}>{escape(column.name)}</th>'


def _class(column: Column) -> str:
    return ' class="number"' if column.kind in ("float", "int") else ""


def _rows(preview: Preview) -> Iterator[str]:
    """The table rows, as many as are shown."""
    marks = _marks(preview.terms)
    size = 0
    for record in preview.records[:_MOST_ROWS]:
        cells = zip(preview.columns, record, strict=True)
        row = "".join(f"<td{_class(column)}>{_cell(value, marks)}</td>" for column, value in cells)
        size += len(row.encode())
        if size > _MOST_BYTES:
            return
        yield f"<tr>{row}</tr>"


def _cell(value: object, marks: re.Pattern[str] | None) -> str:
    if isinstance(value, str):
        value, cut = value[:_MOST_TEXT], len(value) - _MOST_TEXT
    else:
        cut = 0
    text = cell_text(value)
    if len(text) <= _SUMMARY:
        return _marked(text, marks)
    beyond = f" … {cut:,} more characters" if cut > 0 else ""
    summary = _marked(text[:_SUMMARY].rstrip(), marks)
    return (
        f"<details><summary>{summary}…</summary>"
        f"<p>{_marked(text[:_MOST_TEXT], marks)}{beyond}</p></details>"
    )


def _marks(terms: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds the words that begin with one of the terms."""
    if not terms:
        return None
    stems = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    return re.compile(rf"\b(?:{stems})\w*", re.IGNORECASE)


def _marked(text: str, marks: re.Pattern[str] | None) -> str:
    """The text escaped, with the matched words marked."""
    if marks is None:
        return escape(text)
    parts, place = [], 0
    for match in marks.finditer(text):
        parts += [escape(text[place : match.start()]), f"<mark>{escape(match[0])}</mark>"]
        place = match.end()
    return "".join([*parts, escape(text[place:])])
