"""Waits for what happens elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["wait_for"]


def wait_for(condition: Callable[[], Any], within_s: float = 30) -> Any:
    """What the condition gives as soon as it is true."""
    until = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return value
