"""One record in a notebook: a small table of its fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["Shown"]


class Shown:
    """A dataclass that a notebook shows as a table; its plain text stays that of a dataclass."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from aisdk.core.results.html import render_record

        item: Any = self
        values = [(field.name, getattr(item, field.name)) for field in fields(item)]
        return render_record(type(self).__name__, values)
