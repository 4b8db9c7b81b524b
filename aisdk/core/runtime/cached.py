"""The policy of the cache: who may read what, for how long, and what happens when it fails.

Keys are ``tenant:{tenant_id}:{namespace}:{name}``. Every entry has a time to live, and every value
repeats its tenant and when that was registered, which is checked on reading: neither another tenant
nor one that was erased and made again reads it. A cache that is down, slow or wrong is a miss and a
warning in the log, never an error.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

import msgpack
import structlog

from aisdk.core.runtime.dependency import Dependency
from aisdk.core.runtime.flight import SingleFlight
from aisdk.core.runtime.tenancy import current_standing
from aisdk.errors import DependencyError

__all__ = ["LARGEST_BYTES", "Backend", "Cache", "digest", "key_of"]

MOVED_S: Final = 5.0  # how long an entry lives that was moved for a check
LARGEST_BYTES: Final = 2**20
MOST_TENANTS: Final = 10_000
EAGERNESS: Final = 1.0

Made = TypeVar("Made")
Held = tuple[bytes, float, float]  # the value, when it ends, how many seconds it took to make


class Backend(Protocol):
    """Where entries are kept."""

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None``."""
        ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for so many seconds."""
        ...

    async def delete(self, key: str) -> bool:
        """Removes the entry; whether there was one."""
        ...

    async def count(self, prefix: str, *, remove: bool) -> int:
        """How many entries begin with the prefix, removed on request."""
        ...

    async def close(self) -> None:
        """Gives the connections back."""
        ...

    def forget(self) -> None:
        """Lets go of the connections without closing them."""
        ...


class Cache:
    """Cache-aside over a backend. Used on one event loop.

    Args:
        backend: Where entries are kept.
        log: Where failures are told.
        service: Leaves a failing backend alone for a while.
    """

    def __init__(
        self, backend: Backend, log: structlog.stdlib.BoundLogger, service: Dependency
    ) -> None:
        self._backend = backend
        self._log = log
        self._service = service
        self._flights = SingleFlight()
        self._counts: OrderedDict[str, Counter[tuple[str, str]]] = OrderedDict()

    async def get(self, tenant_id: str, namespace: str, name: str) -> bytes | None:
        """The value, or ``None``."""
        held = await self._held(tenant_id, namespace, name)
        self._count(tenant_id, namespace, "misses" if held is None else "hits")
        return None if held is None else held[0]

    async def put(
        self, tenant_id: str, namespace: str, name: str, value: bytes, ttl_s: float
    ) -> bool:
        """Keeps a value; whether that worked.

        Args:
            tenant_id: The tenant.
            namespace: What kind of value it is, such as ``rag:query``.
            name: Names it among its kind.
            value: At most 1 MiB.
            ttl_s: How long to keep it, above 0; up to a tenth less, so that not all end at once.
        """
        owner = _owner(tenant_id, namespace)
        key = key_of(tenant_id, namespace, name)
        return await self._keep(key, owner, (value, _spread(ttl_s), 0.0))

    async def delete(self, tenant_id: str, namespace: str, name: str) -> bool:
        """Removes an entry; whether there was one."""
        key = key_of(tenant_id, namespace, name)
        return bool(await self._ask(lambda: self._backend.delete(key)))

    async def move(self, tenant_id: str, to: str, place: tuple[str, str], name: str) -> None:
        """Puts an entry, as it is, under another tenant's key: for checks that it is not read."""
        namespace, old = place
        data = await self._ask(lambda: self._backend.get(key_of(tenant_id, namespace, old)))
        if data is not None:
            key = key_of(to, namespace, name)
            await self._ask(lambda: self._backend.set(key, data, MOVED_S))

    async def get_or_make(
        self,
        place: tuple[str, str, str],
        make: Callable[[], Awaitable[Made]],
        *,
        ttl_s: float,
    ) -> Made | bytes:
        """The value at a place, made and kept where it is missing.

        However many callers miss it at once, it is made once in this process. Shortly before it
        ends, some caller makes it anew while the others still read it: the sooner the longer it
        takes to make.

        Args:
            place: Tenant, namespace and name.
            make: Makes the value; what is no bytes is handed out, but not kept.
            ttl_s: How long to keep it, above 0; up to a tenth less, so that not all end at once.

        Source:
            Early recomputation as in Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic
            Cache Stampede Prevention", VLDB 2015.
        """
        tenant_id, namespace, _ = place
        key = key_of(*place)
        held = await self._flights.run(("read", key), lambda: self._held(*place))
        if held is not None and not _is_due(held):
            self._count(tenant_id, namespace, "hits")
            return held[0]
        self._count(tenant_id, namespace, "misses")

        async def load() -> Made:
            self._count(tenant_id, namespace, "loads")
            started = time.monotonic()
            value = await make()
            spent_s = time.monotonic() - started
            if not isinstance(value, bytes):
                self._log.warning("cache.not_kept", namespace=namespace)
                return value
            owner = _owner(tenant_id, namespace)
            await self._keep(key, owner, (value, _spread(ttl_s), spent_s))
            return value

        return await self._flights.run(key, load)

    async def erase(self, tenant_id: str) -> int:
        """Removes all entries of a tenant; how many there were.

        Raises:
            Unavailable: The cache cannot be reached.
        """
        self._counts.pop(tenant_id, None)
        return await self._entries(tenant_id, remove=True)

    async def left(self, tenant_id: str) -> int:
        """How many entries a tenant has.

        Raises:
            Unavailable: The cache cannot be reached.
        """
        return await self._entries(tenant_id, remove=False)

    async def _entries(self, tenant_id: str, *, remove: bool) -> int:
        prefix = f"tenant:{tenant_id}:"
        return await self._service.call(lambda: self._backend.count(prefix, remove=remove))

    def stats(self, tenant_id: str) -> list[tuple[str, int, int, int, int]]:
        """Namespace, hits, misses, loads and failures of a tenant since this client was made."""
        counts = self._counts.get(tenant_id, Counter())
        names = sorted({namespace for namespace, _ in counts})
        kinds = ("hits", "misses", "loads", "failures")
        return [(name, *(counts[name, kind] for kind in kinds)) for name in names]  # type: ignore[misc]  # four kinds

    async def close(self) -> None:
        """Closes the backend."""
        await self._ask(self._backend.close)

    def forget(self) -> None:
        """After a fork: lets go of the parent's connections."""
        self._backend.forget()

    async def _held(self, tenant_id: str, namespace: str, name: str) -> Held | None:
        key = key_of(tenant_id, namespace, name)
        data = await self._ask(lambda: self._backend.get(key))
        if data is None:
            return None
        held = _opened(data, _owner(tenant_id, namespace))
        if held is None:
            self._log.warning("cache.wrong_value", namespace=namespace)
            self._count(tenant_id, namespace, "failures")
            return None
        return held if held[1] > time.time() else None

    async def _keep(self, key: str, owner: Sequence[Any], what: tuple[bytes, float, float]) -> bool:
        value, ttl_s, spent_s = what
        if not ttl_s > 0:
            raise ValueError("A cache entry needs a time to live above 0.")
        if len(value) > LARGEST_BYTES:
            return False
        data = msgpack.packb([owner, time.time() + ttl_s, spent_s, value])

        async def keep() -> bool:
            await self._backend.set(key, data, ttl_s)
            return True

        return bool(await self._ask(keep))

    async def _ask(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result, or ``None`` with a warning where the cache fails or is slow."""
        try:
            return await self._service.call(work)
        except DependencyError as error:
            self._log.warning("cache.unavailable", error=error.code)
            return None

    def _count(self, tenant_id: str, namespace: str, kind: str) -> None:
        counts = self._counts.setdefault(tenant_id, Counter())
        counts[namespace, kind] += 1
        if len(self._counts) > MOST_TENANTS:
            self._counts.popitem(last=False)


def key_of(tenant_id: str, namespace: str, name: str) -> str:
    """The key of an entry: it begins with its tenant, always."""
    return f"tenant:{tenant_id}:{namespace}:{name}"


def digest(*parts: str | bytes) -> str:
    """A short name of any texts, for the end of a key: 32 hexadecimal digits."""
    hashed = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


def _owner(tenant_id: str, namespace: str) -> list[Any]:
    """Whose a value is, and of what kind, as the value repeats it."""
    standing = current_standing()
    return [tenant_id, standing.since if standing else 0.0, namespace]


def _opened(data: bytes, wanted: Sequence[Any]) -> Held | None:
    """The value in an envelope, if it is of this owner and kind."""
    try:
        owner, ends, spent_s, value = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    right = owner == wanted and isinstance(value, bytes)
    right = right and isinstance(ends, float) and isinstance(spent_s, float)
    return (value, ends, spent_s) if right else None


def _is_due(held: Held) -> bool:
    """Whether this caller should make the value anew before it ends."""
    _, ends, spent_s = held
    luck = -math.log(1.0 - random.random())  # noqa: S311  # nosec B311  # guards nothing
    return time.time() + spent_s * EAGERNESS * luck >= ends


def _spread(ttl_s: float) -> float:
    return ttl_s * random.uniform(0.9, 1.0)  # noqa: S311  # nosec B311  # guards nothing
