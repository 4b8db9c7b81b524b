"""The faces of the cache domain."""

from __future__ import annotations

from typing import Any

from aisdk.core.cache.service import CacheService
from aisdk.core.runtime.faces import Face, blocking, bound, hosted

__all__ = ["AsyncCache", "Cache", "ClientCache"]


class AsyncCache(Face[CacheService]):
    """A tenant's cached values, awaited."""

    __slots__ = ()

    get = bound(CacheService.get)
    set = bound(CacheService.set)
    delete = bound(CacheService.delete)
    stats = bound(CacheService.stats)


class Cache(Face[CacheService]):
    """A tenant's cached values, for notebook cells."""

    __slots__ = ()

    def get(self, key: str, *, default: Any = None) -> Any:  # noqa: D102  # it has the verb's
        __tracebackhide__ = True  # read by IPython, which leaves this frame out
        return self._get(key, default=default)  # type: ignore[no-untyped-call]  # a value is of any type

    _get = blocking(CacheService.get)
    get.__doc__ = _get.__doc__
    set = blocking(CacheService.set)
    delete = blocking(CacheService.delete)
    stats = blocking(CacheService.stats)


class ClientCache(Face[CacheService]):
    """Any tenant's cached values, awaited; the tenant comes first."""

    __slots__ = ()

    get = hosted(CacheService.get)
    set = hosted(CacheService.set)
    delete = hosted(CacheService.delete)
    stats = hosted(CacheService.stats)
