"""The explorer: rows as a live view, whose browser side asks for blocks of rows and for details."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any, Final, Generic, TypeVar

from aisdk.core.results.frame import Column, Record, columns_of
from aisdk.core.results.page import Page, Rows
from aisdk.core.results.text import clean_text
from aisdk.errors import AisdkError, ConfigError, DeadlineExceeded, InvalidInput, NotFound
from aisdk.notebook.blocks import BLOCK_ROWS, HeldRows, Source, View
from aisdk.notebook.cells import (
    LOOKED_AT,
    Cell,
    context,
    fields,
    keys,
    lines,
    offered,
    shown_columns,
    stages,
)
from aisdk.notebook.progress import has_kernel
from aisdk.notebook.stored import StoredRows

__all__ = ["Explorer", "explore"]

T = TypeVar("T")
R = TypeVar("R")

DEADLINE_S: Final = 20.0  # of one question: the kernel does nothing else meanwhile
MOST_PICKED: Final = 1_000
IDENTITY: Final = ("query", "document_id", "start")
_NAMED: Final[defaultdict[str, count[int]]] = defaultdict(count)  # widgets of each name so far


class Explorer(Generic[T]):
    """Rows that are searched, sorted, filtered, opened and selected with mouse or keyboard.

    Shown, it is the live view and, below it, the static table, which hides itself where a kernel
    answers the live view: in a saved file, without a kernel or in a terminal the table is there.

    Attributes:
        rows: The rows, or the page of the listing.
        view: The widget, for use inside others; its trait ``picked`` changes with the selection.
        beside: The explorer of the rows next to these, or ``None``.
    """

    def __init__(self, rows: Rows[T], beside: Rows[Any] | None = None) -> None:
        self.rows = rows
        self.beside = None if beside is None else Explorer(beside)
        self._source = _source(rows, beside)
        self._chosen: dict[str, Record] = {}
        self._known = keys(columns_of(rows.item), rows.records)
        # A class that the live view has while it is answered: the same whenever the table is.
        self._tables = "".join(shown._repr_html_() for shown in self._shown())
        self._mark = f"aisdk-live-{sha256(self._tables.encode()).hexdigest()[:16]}"
        layout = {"flex": "1 1 20em", "min_width": "20em"}
        self.view = _widget(_pane(), self._mark, layout, about=self._about())
        self.view.on_msg(self._answer)
        self.view.observe(self._choose, "picked")

    @property
    def selected(self) -> Rows[T]:
        """The rows that are selected, in the order in which they were; ``to_frame()`` works."""
        chosen = Rows(self.rows.item, list(self._chosen.values()), attrs=self.rows.attrs)
        chosen.origin = self.rows.origin and replace(self.rows.origin, listing=None)
        return chosen

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self._shown()))

    def _shown(self) -> list[Rows[Any]]:
        return [self.rows] if self.beside is None else [self.rows, self.beside.rows]

    def _ipython_display_(self) -> None:
        import IPython.display

        display: Any = IPython.display.display
        if has_kernel():
            display(self._live(), raw=True)
        display(self._still(), raw=True)

    def _live(self) -> dict[str, Any]:
        """The widget, and a line for where it cannot be shown."""
        live: Any = self.view
        if self.beside is not None:
            import ipywidgets

            layout = {"flex_flow": "row wrap", "grid_gap": "1em"}
            panes = [self.view, self.beside.view]
            live = _widget(ipywidgets.HBox, f"{self._mark} box", layout, children=panes)
        made = live._repr_mimebundle_()
        bundle: dict[str, Any] = made[0] if isinstance(made, tuple) else made
        return {**bundle, "text/plain": "Run the cell for the live view of these rows."}

    def _still(self) -> dict[str, str]:
        """The static table, hidden where the output, or the page, has the live view."""
        # JupyterLab has several notebooks in one page, of which one may have no kernel.
        outputs = ".jp-OutputArea"
        places = (outputs, f"body:not(:has({outputs}))")
        hide = ",".join(f"{place}:has(.{self._mark}) div.{self._mark}-still" for place in places)
        html = (
            f"<style>{hide}{{display:none}}</style>"
            f'<div class="{self._mark}-still">{self._tables}</div>'
        )
        return {"text/plain": repr(self), "text/html": html}

    def _about(self) -> dict[str, Any]:
        """What the browser is told once."""
        source, records = self._source, self.rows.records
        title = f"{type(self.rows).__name__} of {self.rows.item.__name__}"
        if self.rows.item.__name__ == "Stage":
            return {"title": title, "mark": self._mark, "stages": stages(records)}
        if isinstance(source, HeldRows):
            records = [record for _, record in source.block(View(), 0).rows]
        return {
            "title": title,
            "mark": self._mark,
            "searches": source.searches,
            "refreshes": source.refreshes,
            "columns": shown_columns(source.columns, source.orders, records),
            **self._offered(),
        }

    def _offered(self) -> dict[str, Any]:
        """The keys of metadata to filter by."""
        looked_at_all = isinstance(self._source, HeldRows) and len(self.rows) <= LOOKED_AT
        return offered(self._known, all_known=looked_at_all)

    def _choose(self, change: Any) -> None:
        """Keeps the rows that the browser has selected, and tells it of those that it cannot."""
        wanted = list(dict.fromkeys(change["new"]))
        chosen: dict[str, Record] = {}
        note = (
            "" if len(wanted) <= MOST_PICKED else f"At most {MOST_PICKED:,} rows can be selected."
        )
        try:
            for key in wanted[:MOST_PICKED]:
                record = self._chosen.get(key) or self._raw(key)
                if record is not None:
                    chosen[key] = record
        except AisdkError as error:
            chosen = {key: self._chosen[key] for key in wanted if key in self._chosen}
            note = clean_text(str(error))
        self._chosen = chosen
        if len(chosen) < len(wanted):
            note = note or f"Rows that are no longer there were not selected. {self._anew}."
            self.view.picked = list(chosen)
            self.view.send({"id": None, "note": note})

    @property
    def _anew(self) -> str:
        """How to have the rows read anew."""
        return "Press Refresh" if self._source.refreshes else "Run the cell again"

    def _raw(self, key: str) -> Record | None:
        """A row as the page has it, without the column of the place beside."""
        record = self._source.record(key)
        if record is not None and isinstance(self._source, HeldRows):
            return self.rows.records[int(key)]
        return record

    def _answer(self, _view: object, question: Any, _buffers: object) -> None:
        """Answers a message of the browser; an error is an answer, as there is no cell for it."""
        try:
            answer = self._found(question)
        except AisdkError as error:
            answer = {"error": clean_text(str(error))}
        except KeyboardInterrupt:
            answer = {"error": f"Interrupted. {self._anew} to go on."}
        except Exception as error:  # noqa: BLE001  # nobody is there to catch it
            answer = {"error": f"The view has failed ({type(error).__name__}). Run the cell again."}
        number = question.get("id") if isinstance(question, Mapping) else None
        self.view.send({"id": number, **answer})

    def _found(self, question: Any) -> dict[str, Any]:
        """The answer to a question: ``{"do": "rows", "open" or "picked", …}``."""
        asked = question if isinstance(question, Mapping) else {}
        if asked.get("do") == "picked":  # whether anybody is there to have the selection
            return {}
        if asked.get("do") == "open" and isinstance(asked.get("key"), str):
            return self._opened(asked["key"])
        start = asked.get("start")
        if asked.get("do") != "rows" or type(start) is not int or start < 0 or start % BLOCK_ROWS:
            raise InvalidInput("The view asked for something unknown.", hint="Run the cell again.")
        if asked.get("fresh") is True:
            self._source.renew()
        block = self._source.block(View.read(asked.get("view")), start)
        if block is None:
            return {"again": True}
        self._known |= keys(self._source.columns, [record for _, record in block.rows])
        found = {"total": block.total, "start": start, "rows": self._lines(block.rows)}
        return {**found, **self._offered()}

    def _lines(self, rows: Sequence[tuple[str, Record]]) -> list[list[Cell]]:
        matched = self.rows.origin.matched if self.rows.origin else None
        return lines(self._source.columns, rows, matched)

    def _opened(self, key: str) -> dict[str, Any]:
        """The fields of a row, and its chunk inside its document."""
        record = self._raw(key)
        if record is None:
            raise NotFound("This row is no longer at hand.", hint=f"{self._anew}.")
        names = [column.name for column in columns_of(self.rows.item)]
        values = dict(zip(names, record, strict=True))
        document, failed = None, {}
        origin = self.rows.origin
        find = origin.matched(record) if origin and origin.matched else None
        if origin is not None and isinstance(self.rows, Page) and "document_id" in values:
            try:
                document = _wait(
                    self.rows,
                    lambda: origin.text(str(values["document_id"])),
                    hint="Open the row again.",
                )
            except AisdkError as error:  # the row's own values can be shown all the same
                failed = {"note": clean_text(str(error))}
        return {"fields": fields(values, find), **context(values, document, find), **failed}


def explore(rows: Rows[T], beside: Rows[Any] | None = None) -> Explorer[T]:
    """The rows as a live view; see `Rows.explore`.

    Raises:
        ConfigError: The package ``anywidget`` is not installed.
        InvalidInput: ``beside`` is no rows.
    """
    if not isinstance(beside, Rows | None):
        raise InvalidInput(
            "beside= takes rows.", hint="Pass a result, such as that of another rag.query()."
        )
    return Explorer(rows, beside)


def _pane() -> Any:
    try:
        import anywidget  # noqa: F401  # to tell its absence from other errors
    except ImportError as missing:
        raise ConfigError(
            "Live views need the packages ipywidgets and anywidget.",
            hint="Install them with: pip install 'aisdk[notebook]'",
        ) from missing
    from aisdk.notebook.pane import Pane

    return Pane


def _widget(kind: Any, name: str, layout: Mapping[str, str], **traits: Any) -> Any:
    """A widget whose ids, and those of its layout, are the same in each run of a notebook."""
    from ipywidgets import Layout

    laid = Layout(model_id=_model_id(f"{name} layout"), **layout)
    return kind(model_id=_model_id(name), layout=laid, **traits)


def _model_id(name: str) -> str:
    """Made of the name and of how often it was there before: no two of a process are the same."""
    return sha256(f"{name} {next(_NAMED[name])}".encode()).hexdigest()[:32]


def _source(rows: Rows[Any], beside: Rows[Any] | None) -> Source:
    """The whole listing of a page that is a part of one, else the rows themselves."""
    listing = rows.origin.listing if isinstance(rows, Page) and rows.origin else None
    if listing is not None and beside is None:
        return StoredRows(rows.item, listing, lambda work: _wait(rows, work, "Press Refresh."))
    columns, records = columns_of(rows.item), rows.records
    if beside is None:
        return _held(columns, records)
    names = _shared(rows, beside)
    if not names:
        return _held(columns, records)
    there = _places(beside, names)
    places = [there.get(identity) for identity in _identities(rows, names)]
    return _held(
        (columns[0], Column("beside", "int", nullable=True), *columns[1:]),
        [(record[0], place, *record[1:]) for record, place in zip(records, places, strict=True)],
    )


def _held(columns: tuple[Column, ...], records: Sequence[Record]) -> HeldRows:
    """Rows in memory, searched in the columns that are shown."""
    shown = shown_columns(columns, (), records[:BLOCK_ROWS])
    return HeldRows(columns, records, [column["place"] for column in shown])


def _shared(rows: Rows[Any], beside: Rows[Any]) -> list[str]:
    """What makes a row the same in two results: its document, where in it, and for which query.

    Empty for rows without a document, of which none is the same.
    """
    both = [{column.name for column in columns_of(some.item)} for some in (rows, beside)]
    shared = [name for name in IDENTITY if all(name in names for names in both)]
    return shared if "document_id" in shared else []


def _identities(rows: Rows[Any], names: list[str]) -> list[tuple[Any, ...]]:
    columns = [column.name for column in columns_of(rows.item)]
    places = [columns.index(name) for name in names]
    return [tuple(record[place] for place in places) for record in rows.records]


def _places(rows: Rows[Any], names: list[str]) -> dict[tuple[Any, ...], int]:
    """Identity → place from 1 on, counted for each query anew; the first where there are many."""
    queries = [column.name for column in columns_of(rows.item) if column.name == "query"]
    counts: Counter[tuple[Any, ...]] = Counter()
    there: dict[tuple[Any, ...], int] = {}
    for query, identity in zip(_identities(rows, queries), _identities(rows, names), strict=True):
        counts[query] += 1
        there.setdefault(identity, counts[query])
    return there


def _wait(rows: Rows[Any], work: Callable[[], Awaitable[R]], hint: str) -> R:
    """The result of the work, or an error within the deadline."""
    assert isinstance(rows, Page)  # noqa: S101  # only its rows come from elsewhere

    async def bounded() -> R:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await work()
        except TimeoutError as late:
            if isinstance(late, AisdkError):
                raise
            raise DeadlineExceeded(
                f"There was no answer within {DEADLINE_S:.0f} seconds.", hint=hint
            ) from None

    return rows.wait(bounded)
