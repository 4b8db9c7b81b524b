"""The widget of a live view: its files, and what it shares with the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

__all__ = ["PARTS", "Pane"]

HERE: Final = Path(__file__).parent
# One module for the browser, which loads no other: each part uses those before it.
PARTS: Final = ("explorer_base.js", "explorer_grid.js", "explorer.js")


class Pane(anywidget.AnyWidget):
    """Rows that the browser asks for in messages.

    Attributes:
        about: What the view is told once: title, columns, first rows.
        picked: The keys of the selected rows, set by the browser.
    """

    _esm = "\n".join((HERE / part).read_text("utf-8") for part in PARTS)
    _css = HERE / "explorer.css"
    about: Any = traitlets.Dict().tag(sync=True)
    picked: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
