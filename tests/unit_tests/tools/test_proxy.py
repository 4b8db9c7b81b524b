"""The fault proxy: a client sees each fault as what it is, and nothing where there is none."""

from __future__ import annotations

import gc
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from proxy import FaultProxy

PATIENCE_S: Final = 10.0
Open = Callable[[], socket.socket]


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, until the other side has finished."""

    def handle(self) -> None:
        """One connection."""
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except ConnectionError:
            return


class Tcp(socketserver.ThreadingTCPServer):
    """On a port."""

    daemon_threads = True


class Unix(socketserver.ThreadingUnixStreamServer):
    """On a path."""

    daemon_threads = True


@pytest.fixture(params=["tcp", "unix"])
def echo(request: pytest.FixtureRequest, short_home: Path) -> Iterator[tuple[str, int] | str]:
    """The address of a server that echoes."""
    path = str(short_home / "echo")
    server = Tcp(("127.0.0.1", 0), Echo) if request.param == "tcp" else Unix(path, Echo)
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield path if request.param == "unix" else ("127.0.0.1", server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: tuple[str, int] | str, fault_proxy: Callable[..., FaultProxy]) -> FaultProxy:
    """A proxy before it."""
    return fault_proxy(echo)


@pytest.fixture
def connect(proxy: FaultProxy) -> Iterator[Open]:
    """Opens connections through the proxy, and closes them at the end."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_S))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def asked(client: socket.socket, data: bytes) -> bytes:
    """What comes back for the data."""
    client.sendall(data)
    return received(client, len(data))


def received(client: socket.socket, count: int) -> bytes:
    """So many bytes, or less where the stream ends."""
    data = b""
    while len(data) < count and (part := client.recv(count - len(data))):
        data += part
    return data


def is_silent(client: socket.socket) -> bool:
    """Whether nothing comes for a moment and the connection stays open."""
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_S)
    return False


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds within a while."""
    end = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_proxy_without_a_fault_passes_and_counts(proxy: FaultProxy, connect: Open) -> None:
    """The control: large and small, both ways, on several connections."""
    large = bytes(range(256)) * 2_000
    first, second = connect(), connect()
    assert asked(first, b"ping") == b"ping"
    sender = threading.Thread(target=second.sendall, args=(large,))
    sender.start()
    assert received(second, len(large)) == large
    sender.join()
    assert (proxy.connections, proxy.open) == (2, 2)
    assert proxy.bytes_to_server == proxy.bytes_to_client == len(large) + 4
    first.close()
    assert eventually(lambda: proxy.open == 1)


def test_proxy_passes_the_end_of_a_stream(connect: Open) -> None:
    """A client that has finished sending still gets the rest."""
    client = connect()
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert received(client, 100) == b"last"


def test_delay_holds_back_each_direction(proxy: FaultProxy, connect: Open) -> None:
    """A round trip takes at least twice as long, and less again afterwards."""
    client = connect()
    proxy.delay(100)
    started = time.monotonic()
    assert asked(client, b"ping") == b"ping"
    assert time.monotonic() - started >= 0.19
    proxy.let_pass()
    assert asked(client, b"pong") == b"pong"


def test_cut_ends_after_so_many_bytes(proxy: FaultProxy, connect: Open) -> None:
    """In the middle of a reply; each connection has its own count."""
    proxy.cut(6)
    for _ in range(2):
        client = connect()
        assert asked(client, b"four") == b"four"
        client.sendall(b"four")
        assert received(client, 4) == b"fo"
        assert client.recv(1) == b""
    proxy.cut(0)
    assert asked(connect(), b"four") == b""


def test_freeze_keeps_open_and_goes_on_later(proxy: FaultProxy, connect: Open) -> None:
    """Nothing comes, nothing is lost."""
    client = connect()
    assert asked(client, b"before") == b"before"
    proxy.freeze()
    client.sendall(b"during")
    assert is_silent(client)
    late = connect()
    late.sendall(b"late")
    assert is_silent(late)
    proxy.let_pass()
    assert (received(client, 6), received(late, 4)) == (b"during", b"late")


def test_reset_is_a_reset_for_open_and_new_connections(proxy: FaultProxy, connect: Open) -> None:
    """Not an orderly end."""
    client = connect()
    assert asked(client, b"before") == b"before"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError):
        connect().recv(1)
    proxy.let_pass()
    assert asked(connect(), b"after") == b"after"


def test_half_close_ends_one_direction_only(proxy: FaultProxy, connect: Open) -> None:
    """The client reads the end of the stream, and what it sends still goes through."""
    client = connect()
    assert asked(client, b"before") == b"before"
    proxy.half_close()
    for one in (client, connect()):
        assert one.recv(1) == b""
        sent = proxy.bytes_to_server
        one.sendall(b"more")
        assert eventually(lambda sent=sent: proxy.bytes_to_server == sent + 4)  # type: ignore[misc]


def test_refuse_takes_no_new_connection_and_keeps_the_old(proxy: FaultProxy, connect: Open) -> None:
    """The port is the same afterwards."""
    client = connect()
    assert asked(client, b"before") == b"before"
    proxy.refuse()
    assert asked(client, b"during") == b"during"
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.let_pass()
    assert asked(connect(), b"after") == b"after"
    assert proxy.connections == 2


def test_refuse_among_connecting_clients_loses_no_connection(
    proxy: FaultProxy, connect: Open
) -> None:
    """What was accepted at the last moment is passed on or ended, never left open."""
    ended = threading.Event()

    def connect_again_and_again() -> None:
        while not ended.is_set():
            with suppress(OSError):
                socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_S).close()

    clients = [threading.Thread(target=connect_again_and_again) for _ in range(4)]
    for client in clients:
        client.start()
    for _ in range(40):
        proxy.refuse()
        proxy.let_pass()
    ended.set()
    for client in clients:
        client.join()
    assert asked(connect(), b"after") == b"after"
    gc.collect()  # a lost connection would be told of here


def test_missing_server_ends_the_connection(fault_proxy: Callable[..., FaultProxy]) -> None:
    """As a server does that dies at once."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = unused.getsockname()
    proxy = fault_proxy(address)
    with socket.create_connection((proxy.host, proxy.port), timeout=PATIENCE_S) as client:
        assert client.recv(1) == b""
