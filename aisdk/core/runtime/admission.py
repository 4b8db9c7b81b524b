"""placeholder"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class QueueFull(Exception): ...


class Admission:
    def __init__(self, slots: int) -> None: ...
    @asynccontextmanager
    async def enter(self, tenant_id: str, weight: float, most: int) -> AsyncIterator[None]:
        yield
