"""One record in a notebook or a terminal: its fields below each other."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from aisdk.core.results.text import render_fields

__all__ = ["Shown"]

LONGEST: Final = 60  # characters of a value on the one line of a record


class Shown:
    """A dataclass that IPython shows field by field: a table in a notebook, lines in a terminal."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from aisdk.core.results.html import render_record

        return render_record(type(self).__name__, self._fields())

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Of the class itself: the __repr__ of a dataclass comes before what it inherits.
        own: Any = cls
        own._repr_pretty_ = Shown._pretty

    def _pretty(self, printer: Any, cycle: bool) -> None:  # as IPython calls it
        """In lines, if it is all that is shown; on one line within a list or a dict."""
        del cycle
        name, values = type(self).__name__, self._fields()
        if len(printer.stack) == 1:
            printer.text(render_fields(name, values))
        else:
            printer.text(f"{name}({', '.join(f'{key}={_short(value)}' for key, value in values)})")

    def _fields(self) -> list[tuple[str, Any]]:
        item: Any = self
        return [(field.name, getattr(item, field.name)) for field in fields(item)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
