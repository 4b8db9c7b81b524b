"""An HTTP server that answers byte by byte as a test says, and counts what reaches it."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Answer", "WebServer", "anonymous_tls", "found", "redirect", "serving"]

Answer = Callable[[str], Iterable[bytes]]


def found(body: bytes, *headers: str) -> bytes:
    """A whole answer with a body."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, *headers: str, status: int = 302) -> bytes:
    """A whole answer that leads elsewhere."""
    lines = [f"HTTP/1.1 {status} Found", f"Location: {location}", "Content-Length: 0", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class WebServer:
    """Answers each request with what ``answer`` gives for its path, and closes.

    Attributes:
        host: The address it listens on.
        port: Its port.
        answer: Path → pieces of the answer; nothing closes at once.
        requests: Head of each request, with its path.
        sent_bytes: How much was taken off it.
    """

    host: str
    answer: Answer
    port: int = 0
    requests: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def hits(self) -> int:
        """How many requests reached it."""
        return len(self.requests)

    def url(self, path: str = "/a.txt", host: str = "") -> str:
        """The URL of a path on it."""
        return f"http://{host or self.host}:{self.port}{path}"

    def serve(self, connection: socket.socket) -> None:
        """One request and its answer."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(65_536)
            if not more:
                return
            head += more
        self.requests.append(head.decode("latin-1"))
        for piece in self.answer(head.split(b" ")[1].decode()):
            if self.stopped.is_set():
                return
            connection.sendall(piece)
            self.sent_bytes += len(piece)


@contextmanager
def serving(
    answer: Answer, host: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[WebServer]:
    """A server on an address of this machine."""
    server = WebServer(host, answer)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                if tls is not None:
                    with tls.wrap_socket(self.request, server_side=True) as connection:
                        server.serve(connection)
                else:
                    server.serve(self.request)
            except OSError:
                return  # the other side had enough

    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        allow_reuse_address = True
        block_on_close = True

    with Server((host, port), Handler) as listening:
        server.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            listening.shutdown()
            thread.join()


def anonymous_tls(side: int) -> ssl.SSLContext:
    """TLS without certificates, so that no test needs a key, for a client or a server."""
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH:@SECLEVEL=0")
    return context
