"""A TCP proxy with real faults, switched while connections run."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

__all__ = ["FaultProxy"]

CHUNK: Final = 2**16
NO_LINGER: Final = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN


@dataclass(frozen=True)
class Fault:
    """What is done to the connections."""

    delay_s: float = 0.0
    cut_after: int | None = None
    frozen: bool = False
    reset: bool = False
    halved: bool = False
    refused: bool = False


@dataclass(eq=False)
class Link:
    """A client's connection and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    passed: int = 0
    halved: bool = False

    def reset(self) -> None:
        """Ends it with RST at the client."""
        self.client.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER
        )
        self.abort()

    def halve(self) -> None:
        """Shuts down writing to the client, which may go on sending."""
        if not self.halved and not self.client.is_closing():
            self.halved = True
            self.client.write_eof()

    def close(self) -> None:
        """Ends it, after what was written has been sent."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.close()

    def abort(self) -> None:
        """Ends it at once."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


class FaultProxy:
    """Passes bytes between clients and a server, or fails them in one of the ways of a network.

    It runs in a thread and a loop of its own, so that blocking clients may use it too. Each method
    that chooses a fault replaces the one before, for open and for new connections.

    Args:
        server: ``(host, port)``, or the path of a Unix socket.

    Attributes:
        host: Where it listens.
        port: Where it listens; the same as long as it lives.
        connections: How many were accepted so far.
        bytes_to_server: How many were taken from clients.
        bytes_to_client: How many were taken from the server.
    """

    def __init__(self, server: tuple[str, int] | str) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.connections = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self._server = server
        self._fault = Fault()
        self._changed = asyncio.Event()
        self._links: dict[Link, asyncio.Task[Any]] = {}
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def let_pass(self) -> None:
        """No fault; what was frozen goes on."""
        self._run(self._switch(Fault()))

    def delay(self, milliseconds: float) -> None:
        """Holds every piece back for so long, in each direction."""
        self._run(self._switch(Fault(delay_s=milliseconds / 1000)))

    def cut(self, after: int) -> None:
        """Closes a connection once so many further bytes of the server's were passed on."""
        self._run(self._switch(Fault(cut_after=after)))

    def freeze(self) -> None:
        """Passes nothing on and keeps the connections open."""
        self._run(self._switch(Fault(frozen=True)))

    def reset(self) -> None:
        """Ends open and new connections with RST."""
        self._run(self._switch(Fault(reset=True), Link.reset))

    def half_close(self) -> None:
        """Clients see the end of the stream, but may go on sending."""
        self._run(self._switch(Fault(halved=True), Link.halve))

    def refuse(self) -> None:
        """Takes no new connections; open ones go on."""
        self._run(self._switch(Fault(refused=True)))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _deafen(self) -> None:
        if self._listener is not None:
            for sock in self._listener.sockets:
                self._loop.remove_reader(sock.fileno())
            await asyncio.sleep(0)  # asyncio loses connections accepted just before the end
            self._listener.close()
            self._listener = None

    async def _switch(self, fault: Fault, act: Callable[[Link], None] | None = None) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        for link in self._links:
            link.passed = 0
            if act is not None:
                act(link)
        if fault.refused:
            await self._deafen()
        elif self._listener is None:
            await self._listen()

    async def _stop(self) -> None:
        await self._deafen()
        tasks = list(self._links.values())
        for link, task in self._links.items():
            link.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close with the loop's next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = Link(writer)
        if self._fault.reset:
            link.reset()
            return
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            await self._join(link, reader)
        except (OSError, asyncio.CancelledError):
            link.abort()
        finally:
            link.close()
            del self._links[link]

    async def _join(self, link: Link, from_client: asyncio.StreamReader) -> None:
        if isinstance(self._server, str):
            from_server, link.server = await asyncio.open_unix_connection(self._server)
        else:
            from_server, link.server = await asyncio.open_connection(*self._server)
        if self._fault.halved:
            link.halve()
        pumps = (self._to_server(link, from_client), self._to_client(link, from_server))
        await asyncio.gather(*pumps)

    async def _to_server(self, link: Link, reader: asyncio.StreamReader) -> None:
        assert link.server is not None
        while data := await reader.read(CHUNK):
            self.bytes_to_server += len(data)
            await self._hold()
            link.server.write(data)
            await link.server.drain()
        with suppress(OSError):
            link.server.write_eof()

    async def _to_client(self, link: Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            self.bytes_to_client += len(data)
            await self._hold()
            if link.halved:
                continue
            left = self._fault.cut_after
            part = data if left is None else data[: max(0, left - link.passed)]
            link.passed += len(part)
            link.client.write(part)
            await link.client.drain()
            if left is not None and link.passed >= left:
                link.close()
                return
        link.halve()

    async def _hold(self) -> None:
        """Waits as long as the fault asks for."""
        while self._fault.frozen:
            await self._changed.wait()
        if self._fault.delay_s:
            await asyncio.sleep(self._fault.delay_s)
