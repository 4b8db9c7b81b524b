"""The cache domain: values of your own, kept for a while under your own keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgpack

from aisdk.core.cache.types import CacheInfo
from aisdk.core.results.page import Rows
from aisdk.core.runtime.cached import LARGEST_BYTES, Cache
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.verb import verb
from aisdk.errors import InvalidInput

__all__ = ["CacheService"]

LONGEST_KEY: Final = 512
LONGEST_S: Final = 30 * 24 * 3600
NAMESPACE: Final = "cache"
LONG: Final = (bytes, dict, list, str)  # takes a byte for each of its parts


@dataclass(frozen=True, slots=True)
class CacheService:
    """Cached values of any tenant; every verb takes ``tenant_id`` first.

    A cache may forget at any time: while it is down, slow or full, ``get`` finds nothing and
    ``set`` keeps nothing, and neither fails.

    Attributes:
        guard: The steps around every verb.
        cache: Where values are kept.
    """

    guard: Guard
    cache: Cache

    @verb("cache.get", reads=True)
    async def get(self, tenant_id: str, key: str, *, default: Any = None) -> Any:
        """The value under a key.

        Args:
            tenant_id: The tenant.
            key: 1 to 512 printable characters.
            default: What to return where there is none.

        Raises:
            InvalidInput: The key is not acceptable.

        Example:
            >>> session.cache.get("prices", default={})
            {}
        """
        packed = await self.cache.get(tenant_id, NAMESPACE, _checked_key(key))
        return default if packed is None else _unpacked(packed)

    @verb("cache.set", reads=False, stored=False)
    async def set(
        self, tenant_id: str, key: str, value: Any, *, ttl_s: float | None = None
    ) -> bool:
        """Keeps a value for a while.

        Args:
            tenant_id: The tenant.
            key: 1 to 512 printable characters.
            value: None, a truth value, a number below 2**64, text, bytes, a datetime with a time
                zone, or lists and dicts of these; at most 1 MiB.
            ttl_s: For how long, in seconds, above 0, at most 30 days; there is no default. Up to a
                tenth less, so that values set together do not all end at once.

        Returns:
            Whether it is kept.

        Raises:
            InvalidInput: The key, the value or the time is not acceptable.

        Example:
            >>> session.cache.set("prices", {"pump": 12.5}, ttl_s=3600)
            True
        """
        key = _checked_key(key)
        seconds = _checked_ttl(ttl_s)
        return await self.cache.put(tenant_id, NAMESPACE, key, _packed(value), seconds)

    @verb("cache.delete", reads=False, stored=False)
    async def delete(self, tenant_id: str, key: str) -> bool:
        """Removes the value under a key; whether there was one.

        Args:
            tenant_id: The tenant.
            key: 1 to 512 printable characters.

        Raises:
            InvalidInput: The key is not acceptable.

        Example:
            >>> session.cache.delete("prices")
            False
        """
        return await self.cache.delete(tenant_id, NAMESPACE, _checked_key(key))

    @verb("cache.stats", reads=True)
    async def stats(self, tenant_id: str) -> Rows[CacheInfo]:
        """How often the tenant's values were found in the cache by this client, by namespace.

        Returns:
            One row a namespace: namespace, hits, misses, loads, failures.

        Example:
            >>> frame = session.cache.stats().to_frame()
        """
        return Rows(CacheInfo, self.cache.stats(tenant_id))


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise InvalidInput(
            f"key must be text of 1 to {LONGEST_KEY} printable characters.",
            hint="Shorten it, or use a hash of it.",
        )
    return key


def _checked_ttl(ttl_s: Any) -> float:
    number = isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool)
    if not number or not 0 < ttl_s <= LONGEST_S:
        raise InvalidInput(
            "ttl_s must be a number of seconds above 0, at most 30 days.",
            hint="Every value is kept for a while only: set(key, value, ttl_s=3600).",
        )
    return float(ttl_s)


def _packed(value: Any) -> bytes:
    if _least_size(value) > LARGEST_BYTES:
        raise _too_large(LARGEST_BYTES)
    try:
        packed: bytes = msgpack.packb(value, datetime=True, strict_types=True)
        _unpacked(packed)  # not all that can be written can be read
    except (TypeError, ValueError, OverflowError, RecursionError, msgpack.UnpackException):
        raise InvalidInput(
            "The value is of a kind that cannot be cached.",
            hint="Use None, numbers, text, bytes, datetimes with a time zone, lists and dicts.",
        ) from None
    if len(packed) > LARGEST_BYTES:
        raise _too_large(len(packed))
    return packed


def _unpacked(packed: bytes) -> Any:
    return msgpack.unpackb(packed, timestamp=3, strict_map_key=False)


def _least_size(value: Any) -> int:
    """How many bytes a value takes at least, or a few more than are cached.

    A list may hold itself, or another many times: that is not to be written out.
    """
    size, waiting = 0, [value]
    while waiting and size <= LARGEST_BYTES:
        each = waiting.pop()
        size += len(each) if isinstance(each, LONG) else 0
        if isinstance(each, dict):
            waiting += [part for part in (*each, *each.values()) if isinstance(part, LONG)]
        elif isinstance(each, list):
            waiting += [part for part in each if isinstance(part, LONG)]
    return size


def _too_large(size: int) -> InvalidInput:
    return InvalidInput(
        f"The value has at least {size:,} bytes.", hint=f"At most {LARGEST_BYTES:,} are cached."
    )
