"""Servers that do what no server should: they echo secrets, and refuse with the words they got."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["EmbeddingServer", "Reply", "answer_well", "refusing_postgres"]

Reply = tuple[int, bytes, dict[str, str]]


def answer_well(texts: list[str], _: str) -> Reply:
    """One vector a text."""
    data = [{"index": place, "embedding": [1.0, 2.0, 3.0, 4.0]} for place in range(len(texts))]
    return 200, json.dumps({"data": data}).encode(), {}


class EmbeddingServer:
    """Answers requests for embeddings with what ``answer`` gives for texts and key."""

    def __init__(self) -> None:
        self.answer: Callable[[list[str], str], Reply] = answer_well
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = self.headers.get("Authorization", "")
                status, content, headers = outer.answer(body["input"], key)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serves in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@contextmanager
def refusing_postgres(state: str, words: str) -> Iterator[int]:
    """The port of a PostgreSQL that ends each connection with an error in these words."""
    fields = {"S": "FATAL", "V": "FATAL", "C": state, "M": words, "D": words, "H": words}
    body = b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0"

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            first = self.request.recv(4096)
            if first[4:8] == struct.pack("!I", 80877103):  # asks for TLS
                self.request.sendall(b"N")
                self.request.recv(4096)
            self.request.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
