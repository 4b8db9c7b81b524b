"""The cache: Dragonfly or Redis where one is configured, else this process's memory.

Keys begin with ``tenant:{tenant_id}:``, every entry has a time to live, and every value repeats
its tenant, which is checked on reading. A cache that is down or slow is a miss, never an error.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, Final, Protocol

import structlog

__all__ = ["Cache", "MemoryCache", "RedisCache", "open_cache"]

SLOW_S: Final = 0.25
LARGEST_BYTES: Final = 2**20


class Backend(Protocol):
    """Where entries are kept."""

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None``."""
        ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for so many seconds."""
        ...

    async def close(self) -> None:
        """Gives the connections back."""
        ...

    def forget(self) -> None:
        """Lets go of the connections without closing them."""
        ...


class MemoryCache:
    """A bounded cache in this process: the entry used least recently goes first.

    Args:
        size_bytes: Bytes of values to keep.
    """

    def __init__(self, size_bytes: int = 64 * 2**20) -> None:
        self._size = size_bytes
        self._held = 0
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None`` where there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value, letting go of others where the cache is full."""
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (time.monotonic() + ttl_s, value)
        self._held += len(value)
        while self._held > self._size:
            self._drop(next(iter(self._entries)))

    async def close(self) -> None:
        """Lets go of everything."""
        self.forget()

    def forget(self) -> None:
        """Lets go of everything."""
        self._entries.clear()
        self._held = 0

    def _drop(self, key: str) -> None:
        self._held -= len(self._entries.pop(key)[1])


class RedisCache:
    """A shared cache behind the Redis protocol; the library's own retries are switched off."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis: Any = self._connected()

    def forget(self) -> None:
        """After a fork: begins with connections of its own."""
        self._redis = self._connected()

    def _connected(self) -> Any:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis.from_url(
            self._url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=SLOW_S,
            socket_connect_timeout=SLOW_S,
            max_connections=32,
        )

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None``."""
        value = await self._ask("get", key)
        if value is not None and not isinstance(value, bytes):
            raise ConnectionError("unreadable reply")
        return value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for so many seconds."""
        await self._ask("set", key, value, px=max(1, int(ttl_s * 1000)))

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        from redis.exceptions import RedisError

        try:
            return await getattr(self._redis, command)(*arguments, **options)
        except (RedisError, ValueError) as error:  # the reader of replies lets ValueError through
            raise ConnectionError(type(error).__name__) from error


class Cache:
    """Cache-aside over a backend, one tenant a key."""

    def __init__(self, backend: Backend, log: structlog.stdlib.BoundLogger) -> None:
        self._backend = backend
        self._log = log

    @staticmethod
    def digest(*parts: str) -> str:
        """A short name of any texts, for the end of a key."""
        joined = "\0".join(parts).encode("utf-8", "surrogatepass")
        return blake2b(joined, digest_size=16).hexdigest()

    async def get_or_make(
        self, tenant_id: str, name: str, make: Callable[[], Awaitable[bytes]], *, ttl_s: float
    ) -> bytes:
        """The value under this name, made and kept where it is missing.

        Args:
            tenant_id: The tenant.
            name: Namespace and what follows, such as ``rag:embedding:…``.
            make: Makes the value.
            ttl_s: How long to keep it, above 0; up to a tenth less, so that not all end at once.
        """
        if ttl_s <= 0:
            raise ValueError("A cache entry needs a time to live above 0.")
        key, mark = f"tenant:{tenant_id}:{name}", tenant_id.encode() + b"\0"
        held = await self._try(self._backend.get(key))
        if held is not None and held.startswith(mark):
            return bytes(held[len(mark) :])
        value = await make()
        if len(value) <= LARGEST_BYTES:
            spread = random.uniform(0.9, 1.0)  # noqa: S311  # nosec B311  # guards nothing
            await self._try(self._backend.set(key, mark + value, ttl_s * spread))
        return value

    async def close(self) -> None:
        """Closes the backend."""
        await self._try(self._backend.close())

    def forget(self) -> None:
        """After a fork: lets go of the parent's connections."""
        self._backend.forget()

    async def _try(self, work: Awaitable[Any]) -> Any:
        """The result, or ``None`` with a warning in the log where the cache fails or is slow."""
        try:
            async with asyncio.timeout(2 * SLOW_S):
                return await work
        except (OSError, TimeoutError) as error:
            self._log.warning("cache.unavailable", error=type(error).__name__)
            return None


def open_cache(url: str | None, log: structlog.stdlib.BoundLogger) -> Cache:
    """The shared cache at ``url``, or one in this process."""
    return Cache(RedisCache(url) if url else MemoryCache(), log)
