"""The values of the cache domain."""

from __future__ import annotations

from dataclasses import dataclass

from aisdk.core.results.record import Shown

__all__ = ["CacheInfo"]


@dataclass(frozen=True, slots=True)
class CacheInfo(Shown):
    """A row of ``cache.stats``, since this client was made.

    Attributes:
        namespace: What kind of values: ``cache`` for your own, ``rag:query``, ``rag:embedding``.
        hits: How often a value was there.
        misses: How often it was not.
        loads: How often it was made then; fewer than misses where callers shared the work.
        failures: How often a value was there that may not be read.
    """

    namespace: str
    hits: int
    misses: int
    loads: int
    failures: int
