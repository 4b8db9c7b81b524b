"""Rows as static, escaped HTML: a table for notebooks in which a document's text stays text.

In a notebook a script in an output is code execution, so everything that comes from a record
becomes character data: no link, no attribute and no style is ever made from it. The table needs no
script and no other file, has no ids, and reads well where styles are stripped. It is one line, so
that in Markdown, where an empty line ends HTML, texts stay texts too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from aisdk.core.results.frame import Column, Record
from aisdk.core.results.origin import Find
from aisdk.core.results.text import (
    LOOKED_AT,
    SEARCHED,
    SHORT,
    Preview,
    arrange,
    cell_text,
    decoded,
    in_frame,
    marked_pieces,
    shared_decimals,
)

__all__ = ["render_html", "render_record"]

_MOST_BYTES = 500_000
_SUMMARY = 120  # characters of a cell that are shown before it is unfolded
_MOST_TEXT = 2_000  # characters of a cell that are kept at all

_BREAK = "&#10;"  # a line break that is none in the file
# Signs that pandoc reads as Markdown or TeX inside of tables too; as numbers they are characters.
_SIGNS = {ord(sign): f"&#{ord(sign)};" for sign in "\\`*_~^$[]@|"}
_MANY_COLUMNS = 8  # above, columns that say little are told in the foot
# Numbers with a bar: beside the largest of their column, or beside another column of their row.
_BARS = frozenset({"score", "lexical_score", "dense_score", "milliseconds"})
_WHOLES: Final[Mapping[str, str]] = {"used": "most", "done": "total"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# Colours: those of VS Code, else those of Jupyter, else our own for a light or dark system.
# Marks let the paper through, as Jupyter's pale colours are the same in its dark theme.
# The doubled class outweighs what Jupyter says of all tables: fixed layout, text to the right.
_SHEET = """
.aisdk-rows{--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--paper:#fff;--bar:#0969da;
overflow:auto;max-height:40em}
@media(prefers-color-scheme:dark){
.aisdk-rows{--ink:#e6edf3;--soft:#9aa4af;--line:#3d444d;--paper:#0d1117;
--bar:#4493f8}}
.aisdk-rows.aisdk-rows table{border-collapse:separate;border-spacing:0;font-size:.9em;
table-layout:auto;margin:0;color:var(--vscode-editor-foreground,var(--jp-content-font-color1,
var(--ink)))}
.aisdk-rows.aisdk-rows :is(table,thead th,tfoot td){
background:var(--vscode-editor-background,var(--jp-layout-color0,var(--paper)))}
.aisdk-rows.aisdk-rows :is(caption,tfoot td){text-align:left;padding:.3em .35em;
color:var(--vscode-descriptionForeground,var(--jp-content-font-color2,var(--soft)))}
.aisdk-rows.aisdk-rows :is(th,tbody td){padding:.3em .35em;text-align:left;vertical-align:top;
max-width:36em;min-width:0;white-space:nowrap;
border-bottom:1px solid var(--vscode-panel-border,var(--jp-border-color2,var(--line)))}
.aisdk-rows.aisdk-rows :is(thead th,tfoot td){position:sticky;top:0;bottom:0;z-index:1}
.aisdk-rows.aisdk-rows th{white-space:normal;vertical-align:bottom}
.aisdk-rows.aisdk-rows tbody th{vertical-align:top;font-weight:600}
.aisdk-rows .bar{--fill:var(--vscode-progressBar-background,var(--jp-brand-color1,var(--bar)));
display:block;height:.2em;min-width:3em;margin-top:.1em;
background:linear-gradient(var(--fill),var(--fill)) no-repeat
var(--vscode-panel-border,var(--jp-border-color2,var(--line)))}
.aisdk-rows.aisdk-rows tbody td.long{white-space:normal;overflow-wrap:anywhere;min-width:12em}
.aisdk-rows.aisdk-rows tbody td.read{min-width:13em}
.aisdk-rows.aisdk-rows :is(th,tbody td).number{text-align:right;font-variant-numeric:tabular-nums}
.aisdk-rows details p{white-space:pre-wrap;margin:.3em 0}
.aisdk-rows mark{color:inherit;
background:var(--vscode-editor-findMatchHighlightBackground,rgba(255,160,0,.35))}
"""
_STYLE = " ".join(_SHEET.split())


def render_html(preview: Preview) -> str:
    """The rows as one HTML table, at most about half a megabyte however many there are.

    Long texts are folded into ``details`` and kept up to 2,000 characters; ids are shown by their
    first digits; rows beyond 200, or beyond the size, are counted in the foot and not shown.
    Columns without any value are left out. In a wide table those with the same text in every row
    and those for programs, such as ids, are told in the foot: it should fit beside a file browser.
    """
    shown, alike, hidden = arrange(preview, lambda places: len(places) > _MANY_COLUMNS)
    heads = "".join(_head(preview.columns[place]) for place in shown)
    rows = list(_rows(preview, shown))
    foot = " · ".join([preview.count(len(rows)), *alike, *in_frame(hidden)])
    return _framed(
        preview.title,
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
        f'<tfoot><tr><td colspan="{len(shown)}">{_text(foot)}</td></tr></tfoot>',
    )


def render_record(title: str, fields: Iterable[tuple[str, Any]]) -> str:
    """One record as a table of two columns: the names of its fields and their values.

    Long texts are folded into ``details`` and kept up to 2,000 characters; ids are shown whole.
    """
    rows = "".join(
        f'<tr><th scope="row">{_named(name)}</th>{_cell(value)}</tr>' for name, value in fields
    )
    return _framed(title, f"<tbody>{rows}</tbody>")


def _framed(title: str, content: str) -> str:
    """A table that brings its style and can be scrolled from the keyboard."""
    return (
        f"<style>{_STYLE}</style>"
        # The class names keep MathJax from typesetting what stands between two dollar signs.
        '<div class="aisdk-rows tex2jax_ignore mathjax_ignore" role="group" tabindex="0" '
        f'aria-label="Table"><table><caption>{_text(title)}</caption>{content}</table></div>'
    )


def _head(column: Column) -> str:
    kind = ' class="number"' if _is_number(column) else ""
    return f'<th scope="col"{kind}>{_named(column.name)}</th>'


def _named(name: str) -> str:
    return _text(name).replace("_", "_<wbr>")


def _is_number(column: Column) -> bool:
    return column.kind in ("float", "int")


def _rows(preview: Preview, shown: list[int]) -> Iterator[str]:
    """The table rows, as many as are shown."""
    records = preview.records[:LOOKED_AT]
    decimals = {place: shared_decimals(record[place] for record in records) for place in shown}
    wholes = _wholes(preview.columns, records)
    none = [None] * len(records)
    size = 0
    for number, record in enumerate(records):
        find = preview.matched(record) if preview.matched else None
        row = "".join(
            (
                _number(record[place], decimals[place], wholes.get(place, none)[number])
                if _is_number(preview.columns[place])
                else _column_cell(preview.columns[place], record[place], find)
            )
            for place in shown
        )
        size += len(row.encode())
        if size > _MOST_BYTES:
            return
        yield f"<tr>{row}</tr>"


def _wholes(columns: Sequence[Column], records: Sequence[Record]) -> dict[int, list[Any]]:
    """What the bar of a number is a part of, row by row, for each column that has bars."""
    places = {column.name: place for place, column in enumerate(columns)}
    wholes: dict[int, list[Any]] = {}
    for name in _BARS & places.keys():
        amounts = [r[places[name]] for r in records if _is_amount(r[places[name]])]
        wholes[places[name]] = [max(amounts, default=0)] * len(records)
    for name, whole in _WHOLES.items():
        if name in places and whole in places:
            wholes[places[name]] = [record[places[whole]] for record in records]
    return wholes


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: object, decimals: int | None, whole: object) -> str:
    return f'<td class="number">{_text(cell_text(value, decimals))}{_bar(value, whole)}</td>'


def _bar(value: Any, whole: Any) -> str:
    """A bar of so much of the whole, or nothing; made of numbers only."""
    if not (_is_amount(value) and _is_amount(whole) and value > 0 < whole):
        return ""
    percent = min(round(100 * value / whole), 100)
    return f'<span class="bar" style="background-size:{percent:d}% 100%"></span>'


def _column_cell(column: Column, value: object, find: Find | None) -> str:
    name = column.name
    if name.endswith("_id") and isinstance(value, str) and _UUID.fullmatch(value):
        return f"<td>{value[:8]}…</td>"
    find = find if name in SEARCHED else None
    return _cell(decoded(column, value), find, "long read" if name == "text" else "long")


def _cell(value: object, find: Find | None = None, long: str = "long") -> str:
    """A cell; ``long`` are the classes of one that may have several lines."""
    text = value if isinstance(value, str) else cell_text(value)
    if len(text) <= SHORT:
        return f"<td>{_marked(text, SHORT, find)}</td>"
    if len(text) <= _SUMMARY:
        return f'<td class="{long}">{_marked(text, _SUMMARY, find)}</td>'
    summary = _marked(text, _SUMMARY, find).replace(_BREAK, " ").rstrip()
    cut = len(text) - _MOST_TEXT
    beyond = f" … {cut:,} more characters" if cut > 0 else ""
    return (
        f'<td class="{long}"><details><summary>{summary}…</summary>'
        f"<p>{_marked(text, _MOST_TEXT, find)}{beyond}</p></details></td>"
    )


def _text(text: str) -> str:
    """The text escaped, in one line."""
    return escape(text).replace("\n", _BREAK)


def _said(text: str) -> str:
    """What a record says, without a sign of Markdown or TeX."""
    return _text(text).translate(_SIGNS)


def _marked(text: str, most: int, find: Find | None) -> str:
    """The first characters escaped, with the matched words marked."""
    return "".join(
        f"<mark>{_said(piece)}</mark>" if number % 2 else _said(piece)
        for number, piece in enumerate(marked_pieces(text, most, find))
    )
