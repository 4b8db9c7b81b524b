"""Where cache entries are kept: Dragonfly or Redis if one is set, else this process's memory."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Final

from aisdk.errors import ConfigError

__all__ = ["MemoryCache", "RedisCache", "RedisServer"]

SLOW_S: Final = 0.25  # how long a reply may take
LOOKS: Final = 5  # so often it is looked for in that time
GONE_S: Final = 1.0  # when a connection without a reply is given up
REST_S: Final = 1.0  # how long a connection may take to close
LARGEST_PIECE: Final = 2**16
CONNECTIONS: Final = 32
OVERHEAD_BYTES: Final = 200


class MemoryCache:
    """A bounded cache in this process: the entry used least recently goes first.

    Args:
        size_bytes: Bytes of values to keep, with some for each entry itself.
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
        self._held += len(value) + OVERHEAD_BYTES
        while self._held > self._size:
            self._drop(next(iter(self._entries)))

    async def delete(self, key: str) -> bool:
        """Removes the entry; whether there was one."""
        held = await self.get(key) is not None
        if held:
            self._drop(key)
        return held

    async def count(self, prefix: str, *, remove: bool) -> int:
        """How many entries begin with the prefix, removed on request."""
        keys = [key for key in self._entries if key.startswith(prefix)]
        held = sum([await self.get(key) is not None for key in keys])
        for key in keys if remove else ():
            if key in self._entries:
                self._drop(key)
        return held

    async def close(self) -> None:
        """Lets go of everything."""
        self.forget()

    def forget(self) -> None:
        """Lets go of everything."""
        self._entries.clear()
        self._held = 0

    def _drop(self, key: str) -> None:
        self._held -= len(self._entries.pop(key)[1]) + OVERHEAD_BYTES


class RedisServer:
    """The connections to a Dragonfly or Redis; the library's own retries are switched off.

    Args:
        url: ``redis://…``, ``rediss://…`` or ``unix://…``.
    """

    def __init__(self, url: str) -> None:
        import redis.asyncio  # else the first command's time would go into it

        try:
            _connected(url).connection_pool.make_connection()  # which connects to nothing yet
        except (TypeError, ValueError, redis.RedisError):
            raise ConfigError(
                "AISDK_DRAGONFLY_URL has an option that is unknown, or a value that is wrong.",
                hint="Take away what stands behind the question mark, or mend it.",
            ) from None
        self._url = url
        self._client: Any = None
        self._asked: set[asyncio.Task[Any]] = set()

    @property
    def client(self) -> Any:
        """The library's client, made on first use."""
        if self._client is None:
            self._client = _connected(self._url)
        return self._client

    async def ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        """The answer to one command.

        A command whose caller leaves goes on until its reply or its time-out, and then gives its
        connection back: ending that would have the next caller make another one while the server
        still has this one.

        While this process stands still, as when a cell keeps the interpreter to itself, the reply
        cannot be seen; such a while counts as one look, however long it is.

        Raises:
            ConnectionError: The server is down, slow or answers nonsense.
        """
        task = asyncio.create_task(self._ask(command, *arguments, **options))
        self._asked.add(task)
        task.add_done_callback(self._answered)
        for _ in range(LOOKS):
            await asyncio.wait([task], timeout=SLOW_S / LOOKS)
            if task.done():
                return task.result()
        raise ConnectionError("slow")

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio need not tell of it where nobody waits any more

    async def _ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        from redis.exceptions import NoScriptError, RedisError

        try:
            return await getattr(self.client, command)(*arguments, **options)
        except NoScriptError:
            raise
        except (RedisError, ValueError) as error:  # the reader of replies lets ValueError through
            raise ConnectionError(type(error).__name__) from None

    async def evalsha(self, digest: str, keys: int, *arguments: str | float) -> Any:
        """The answer of a script that the server knows."""
        return await self.ask("evalsha", digest, keys, *arguments)

    async def eval(self, script: str, keys: int, *arguments: str | float) -> Any:
        """The answer of a script."""
        return await self.ask("eval", script, keys, *arguments)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        for task in (asked := set(self._asked)):
            task.cancel()
        if asked:
            await asyncio.wait(asked)
        if client is not None:
            await client.aclose()

    def forget(self) -> None:
        """After a fork: begins with connections of its own."""
        self._client = None
        self._asked.clear()


def _connected(url: str) -> Any:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=GONE_S,
        socket_connect_timeout=GONE_S,
        max_connections=CONNECTIONS,
        timeout=GONE_S,
        driver_info=None,  # it would cost every new connection two commands more
    )
    pool.connection_class = _polite(pool.connection_class)
    return Redis.from_pool(pool)


def _polite(kind: Any) -> Any:
    """The library's connection, which is over for the client only when it is for the server.

    A command that timed out ends its connection; made anew at once, the server would have more
    of them for a moment than the pool holds.
    """

    class Polite(kind):  # type: ignore[misc]  # known when it runs: TCP, TLS or a Unix socket
        async def disconnect(self, *args: Any, **kwargs: Any) -> None:
            try:
                if self.is_connected and asyncio.current_task() is not None:
                    await _take_leave(self._reader, self._writer)
            finally:
                await super().disconnect(*args, **kwargs)

    return Polite


async def _take_leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says that nothing more comes, and waits a while for the server to say so too."""
    if not writer.can_write_eof():
        return
    with suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(REST_S):
            while await reader.read(LARGEST_PIECE):
                pass


class RedisCache:
    """A shared cache behind the Redis protocol."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def get(self, key: str) -> bytes | None:
        """The value, or ``None``."""
        value = await self._server.ask("get", key)
        if value is not None and not isinstance(value, bytes):
            raise ConnectionError("unreadable reply")
        return value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keeps the value for so many seconds."""
        await self._server.ask("set", key, value, px=max(1, int(ttl_s * 1000)))

    async def delete(self, key: str) -> bool:
        """Removes the entry; whether there was one."""
        return bool(await self._server.ask("delete", key))

    async def count(self, prefix: str, *, remove: bool) -> int:
        """How many entries begin with the prefix, removed on request.

        The prefix holds no sign that means something in a pattern.
        """
        found: set[bytes] = set()
        cursor = 0
        while True:
            cursor, keys = await self._server.ask("scan", cursor, match=f"{prefix}*", count=1000)
            if keys and remove:
                await self._server.ask("delete", *keys)
            found.update(keys)
            if not cursor:
                return len(found)

    async def close(self) -> None:
        """Closes the connections."""
        await self._server.close()

    def forget(self) -> None:
        """After a fork: begins with connections of its own."""
        self._server.forget()
