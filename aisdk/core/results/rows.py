"""Rows: the items of one page as a sequence, on their way to frames, Arrow, displays and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from aisdk.core.results.frame import JSON, Record, columns_of, make_item, to_frame, to_table
from aisdk.core.results.origin import Origin
from aisdk.core.results.text import Preview, render_text
from aisdk.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes

    from aisdk.notebook.widgets import Explorer

__all__ = ["Rows"]

T = TypeVar("T")


class Rows(Generic[T]):
    """The rows of one page as a sequence of items: ``len(page)``, ``page[0]``, ``for hit in page``.

    It is no ``collections.abc.Sequence``, or polars would read items one by one instead of Arrow.
    Nothing is converted before it is asked for: items are made one by one, the Arrow table once,
    on the thread of the caller. Treat a page as frozen.

    Attributes:
        item: The dataclass of the rows; its annotations are the columns.
        records: The values of each row in the order of the columns.
        cursor: Where the next page begins, or None after the last one.
        attrs: Small JSON-safe facts about the call; they travel to ``frame.attrs``.
        origin: Where the rows come from, where that is known.
    """

    __slots__ = ("_table", "attrs", "cursor", "item", "origin", "records")

    _more: ClassVar[str] = "page.cursor"

    def __init__(
        self,
        item: type[T],
        records: Sequence[Record],
        *,
        cursor: str | None = None,
        attrs: Mapping[str, JSON] | None = None,
    ) -> None:
        self.item = item
        self.records = records
        self.cursor = cursor
        self.attrs = attrs or {}
        self.origin: Origin | None = None
        self._table: pa.Table | None = None

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return self.cursor is not None

    @property
    def items(self) -> tuple[T, ...]:
        """All rows as items, newly made."""
        return tuple(self)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[T]:
        return (make_item(self.item, record) for record in self.records)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [make_item(self.item, record) for record in self.records[place]]
        return make_item(self.item, self.records[place])

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table with one column a field; built once and kept."""
        if self._table is None:
            self._table = to_table(self.item, self.records)
        return self._table

    def to_frame(self, index: str | None = None) -> pd.DataFrame:
        """The rows as a new DataFrame with the same dtypes whatever the number of rows.

        Args:
            index: A column that becomes the index; by default rows are numbered from 0.

        Returns:
            One row a record and one column a field; ``frame.attrs`` holds ``attrs`` and the cursor.

        Raises:
            InvalidInput: There is no column of the name ``index``.
        """
        frame = to_frame(self.item, self.to_arrow())
        if index is not None:
            frame = frame.set_index(self._column(index))
        attrs: dict[Any, Any] = {**self.attrs, "cursor": self.cursor}
        frame.attrs = attrs
        return frame

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The rows as a plot: hits, stages, documents, usage or limits.

        Args:
            ax: Axes to draw on; by default those of a new figure.

        Returns:
            Plain matplotlib axes, to be restyled at will.

        Raises:
            ConfigError: The package of the ``plots`` extra is not installed.
            InvalidInput: These rows have no plot, or ``ax`` is no axes.
        """
        from aisdk.notebook.plots import plot

        return plot(self, ax)

    def explore(self, *, beside: Rows[Any] | None = None) -> Explorer[T]:
        """The rows as a live view: searched, sorted, filtered, opened and selected.

        A page of a listing shows the whole listing, read from the store as one scrolls; other
        rows are searched and sorted in memory. The stages of ``rag.explain`` become a picture.

        Args:
            beside: Rows to show next to these, such as the hits of another query or setting; the
                column ``beside`` tells the place of a row there.

        Returns:
            The view, to stand in the last line of a cell; ``view.selected`` are the rows chosen.

        Raises:
            ConfigError: The packages of the ``notebook`` extra are not installed.
            InvalidInput: ``beside`` is no rows.

        Example:
            >>> view = session.rag.query("how do I parse a date?").explore()
            >>> chosen = view.selected.to_frame()
        """
        from aisdk.notebook.widgets import explore

        return explore(self, beside)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        table: Any = self.to_arrow()
        return table.__arrow_c_stream__(requested_schema)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        return render_text(self._preview())

    def _repr_html_(self) -> str:
        from aisdk.core.results.html import render_html

        return render_html(self._preview())

    def _preview(self) -> Preview:
        title = f"{type(self).__name__}[{self.item.__name__}]"
        more = self._more if self.has_more else ""
        matched = self.origin.matched if self.origin else None
        return Preview(title, columns_of(self.item), self.records, more, matched)

    def _column(self, name: str) -> str:
        names = [column.name for column in columns_of(self.item)]
        if name in names:
            return name
        raise InvalidInput("There is no such column.", hint=f"Choose one of {', '.join(names)}.")
