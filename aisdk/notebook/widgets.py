"""A live view of a page: its table, with buttons that fetch the next and the previous page."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from aisdk.core.results.page import Page
from aisdk.errors import AisdkError, ConfigError

__all__ = ["Browser", "browse"]

T = TypeVar("T")


class Browser(Generic[T]):
    """Shows one page of a listing at a time; pages that were seen are kept.

    Where widgets cannot be shown, as in a saved file or a terminal, the page's static table or
    plain text stands in.

    Attributes:
        page: The page that is shown.
        view: The ``ipywidgets.VBox``, for use inside other widgets.
    """

    def __init__(self, page: Page[T]) -> None:
        widgets = _ipywidgets()
        self._before: list[Page[T]] = []
        self._after: list[Page[T]] = []
        self.page = page
        self._table = widgets.HTML()
        self._previous = widgets.Button(description="Previous", tooltip="The page before")
        self._next = widgets.Button(description="Next", tooltip="The page after")
        self._note = widgets.Label()
        self._previous.on_click(self._go_back)
        self._next.on_click(self._go_on)
        buttons = widgets.HBox([self._previous, self._next, self._note])
        self.view = widgets.VBox([self._table, buttons])
        self._show()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = self.view._repr_mimebundle_(**options)
        return {**bundle, **self._still()}

    def __repr__(self) -> str:
        return repr(self.page)

    def _still(self) -> dict[str, str]:
        return {"text/plain": repr(self.page), "text/html": self._table.value}

    def _go_back(self, _button: object) -> None:
        if self._before:
            self._after.append(self.page)
            self.page = self._before.pop()
            self._show()

    def _go_on(self, _button: object) -> None:
        try:
            page = self._after.pop() if self._after else self.page.next()
        except AisdkError as error:  # a button has no cell in which an error could appear
            self._note.value = str(error)
            return
        self._before.append(self.page)
        self.page = page
        self._show()

    def _show(self) -> None:
        self._table.value = self.page._repr_html_()
        self._note.value = f"Page {len(self._before) + 1}"
        self._previous.disabled = not self._before
        self._next.disabled = not (self._after or self.page.has_more)


def browse(page: Page[T]) -> Browser[T]:
    """The page as a live view, to stand in the last line of a cell.

    Raises:
        ConfigError: The package ``ipywidgets`` is not installed.
    """
    return Browser(page)


def _ipywidgets() -> Any:
    try:
        import ipywidgets
    except ImportError as missing:
        raise ConfigError(
            "Live views need the package ipywidgets.",
            hint="Install it with: pip install 'aisdk[notebook]'",
        ) from missing
    return ipywidgets
