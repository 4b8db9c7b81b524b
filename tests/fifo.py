"""The control of fair turns: one queue for all."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from aisdk.core.runtime.admission import Admission

__all__ = ["Fifo"]


class Fifo(Admission):
    """First come, first served."""

    def enter(self, *_: Any) -> AbstractAsyncContextManager[None]:
        """As if all were one tenant."""
        return super().enter("all", 1.0, self._slots)
