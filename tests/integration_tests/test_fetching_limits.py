"""Fetching over HTTP: answers that are slow, endless, packed or broken, from a real server."""

from __future__ import annotations

import gc
import gzip
import ssl
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest
from webfetch import MIB, OPEN, fetch, fetch_naively, reason
from webserver import anonymous_tls, found, redirect, serving

from aisdk.core.documents import fetching


def endless(head: bytes, piece: bytes, pause: Callable[[], Any] = bool) -> Iterator[bytes]:
    """A head, and then the same for ever."""
    yield head
    while True:
        pause()
        yield piece


OK: Final = b"HTTP/1.1 200 OK\r\n"
TICK: Final = threading.Event()  # never set: waiting for it is a pause


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"\r\n", b"x"),
        (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65_536),
        (OK + b"X: ", b"x"),
        (b"HTTP/1.1 ", b""),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99, mtime=0)[:12], b""),
    ],
)
def test_fetch_answer_that_drips_ends_in_time(head: bytes, piece: bytes) -> None:
    """Each piece comes soon enough, and the whole never."""
    with serving(lambda _: endless(head, piece, lambda: TICK.wait(0.02))) as server:
        assert reason(server.url(), replace(OPEN, timeout_s=0.5)) == "timeout"
        assert server.hits == 1


def test_fetch_answer_that_is_slow_arrives() -> None:
    """The control: slowness alone is no failure."""
    pieces = [OK + b"\r\n", *[b"x"] * 20]
    with serving(lambda _: (piece for piece in pieces if not TICK.wait(0.02))) as server:
        assert fetch(server.url()) == b"x" * 20


def test_fetch_over_tls_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS says farewell; a server that does not answer it is not waited for, nor left connected."""
    trusting = anonymous_tls(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    tls = anonymous_tls(ssl.PROTOCOL_TLS_SERVER)

    async def let_be(_: object) -> None:
        """The control's: hangs nothing up."""

    def leaks(url: str) -> bool:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert fetch(url.replace("http", "https", 1)) == b"safe"
            gc.collect()
        return any(issubclass(each.category, ResourceWarning) for each in seen)

    def stay(_: str) -> Iterator[bytes]:
        return endless(found(b"safe"), b"", lambda: TICK.wait(0.02))

    with serving(stay, tls=tls) as server:
        assert not leaks(server.url())
        monkeypatch.setattr(fetching, "_hang_up", let_be)
        assert leaks(server.url())  # the control


def test_fetch_redirects_that_are_slow_end_in_time() -> None:
    """The time is that of all steps together."""
    with serving(lambda _: [redirect("/on")] if not TICK.wait(0.1) else []) as server:
        assert reason(server.url(), replace(OPEN, timeout_s=0.25)) == "timeout"
        assert reason(server.url()) == "redirect_refused"  # the control


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"\r\n", b"x" * 65_536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (OK + b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65_536),
    ],
)
def test_fetch_body_without_end_is_refused(head: bytes, piece: bytes) -> None:
    """Little more than the limit is read, and the connection closed."""
    with serving(lambda _: endless(head, piece)) as server:
        assert reason(server.url()) == "too_large"
        assert server.sent_bytes < 32 * MIB  # what fits into the buffers of two sockets


def test_fetch_body_that_is_told_to_be_too_large_is_not_waited_for() -> None:
    """Its length is enough, before a byte of it has come; a smaller one is waited for."""
    answer = {"/more": f"{MIB + 1}", "/less": f"{MIB}"}

    def heads(path: str) -> Iterator[bytes]:
        head = OK + b"Content-Length: " + answer[path].encode() + b"\r\n\r\n"
        return endless(head, b"", lambda: TICK.wait(0.02))

    with serving(heads) as server:
        assert reason(server.url("/more")) == "too_large"
        assert reason(server.url("/less"), replace(OPEN, timeout_s=0.5)) == "timeout"


def test_fetch_body_of_exactly_the_limit_arrives() -> None:
    """One byte more does not, whether its length is told or not."""
    with serving(lambda path: [found(b"x" * int(path[1:]))]) as server:
        assert len(fetch(server.url("/1000"), max_bytes=1000)) == 1000
        assert reason(server.url("/1001"), max_bytes=1000) == "too_large"
    with serving(lambda path: [OK + b"\r\n" + b"x" * int(path[1:])]) as server:
        assert len(fetch(server.url("/1000"), max_bytes=1000)) == 1000
        assert reason(server.url("/1001"), max_bytes=1000) == "too_large"


def test_fetch_bomb_is_not_unpacked_beyond_the_limit() -> None:
    """A hundred MiB packed into a hundredth are not held; without the limit they arrive."""
    bomb = gzip.compress(bytes(100 * MIB))
    with serving(lambda _: [found(bomb, "Content-Encoding: gzip")]) as server:
        tracemalloc.start()
        try:
            assert reason(server.url()) == "too_large"
            peak = tracemalloc.get_traced_memory()[1]
            assert peak < 10 * MIB
            tracemalloc.reset_peak()
            assert len(fetch(server.url(), max_bytes=100 * MIB)) == 100 * MIB
            assert tracemalloc.get_traced_memory()[1] > 100 * MIB  # the control
        finally:
            tracemalloc.stop()


def test_fetch_packed_body_is_unpacked() -> None:
    """It is asked for gzip, and gets it whole, cut, doubled, or in some other way."""
    packed = gzip.compress(b"text" * 1000, mtime=0)
    answers = {
        "/gzip": found(packed, "Content-Encoding: gzip"),
        "/GZIP": found(packed, "Content-Encoding: GZIP"),
        "/identity": found(b"text" * 1000, "Content-Encoding: identity"),
        "/cut": found(packed[:-9], "Content-Encoding: gzip"),
        "/more": found(packed + b"tail", "Content-Encoding: gzip"),
        "/none": found(b"text", "Content-Encoding: gzip"),
        "/br": found(packed, "Content-Encoding: br"),
        "/twice": found(gzip.compress(packed, mtime=0), "Content-Encoding: gzip, gzip"),
    }
    with serving(lambda path: [answers[path]]) as server:
        for path in ("/gzip", "/GZIP", "/identity"):
            assert fetch(server.url(path)) == b"text" * 1000
        for path in ("/cut", "/more", "/none"):
            assert reason(server.url(path)) == "damaged"
        for path in ("/br", "/twice"):
            assert reason(server.url(path)) == "unknown_encoding"
        assert "Accept-Encoding: gzip\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: endless(OK, b"X-Header: " + b"x" * 1_000 + b"\r\n"),
        lambda: endless(OK + b"X-Header: ", b"x" * 65_536),
        lambda: endless(b"", b"x" * 65_536),
    ],
)
def test_fetch_head_without_end_is_refused(answer: Callable[[], Iterator[bytes]]) -> None:
    """Headers are limited by themselves."""
    with serving(lambda _: answer()) as server:
        assert reason(server.url()) == "not_readable"
        assert server.sent_bytes < 32 * MIB


def test_fetch_head_of_some_size_is_read() -> None:
    """The control: headers as large as they come are no failure."""
    headers = [f"X-Header-{place}: {'x' * 1_000}" for place in range(40)]
    with serving(lambda _: [found(b"text", *headers)]) as server:
        assert fetch(server.url()) == b"text"


@pytest.mark.parametrize(
    ("answer", "why", "attempts"),
    [
        (b"", "not_readable", 4),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\ntext", "not_readable", 4),
        (b"HTTP/1.1 429 Slowly\r\nRetry-After: 0\r\n\r\n", "not_readable", 4),
        (b"nonsense\r\n\r\n", "not_readable", 1),
        (OK + b"Content-Length: 10\r\n\r\nx", "not_readable", 1),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "not_found", 1),
        (b"HTTP/1.1 410 Gone\r\n\r\n", "not_found", 1),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "not_readable", 1),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\ntext", "not_readable", 1),
    ],
)
def test_fetch_is_tried_again_where_that_may_help(answer: bytes, why: str, attempts: int) -> None:
    """Three times at most, and then told."""
    with serving(lambda _: [answer]) as server:
        assert reason(server.url()) == why
        assert server.hits == attempts


def test_fetch_that_failed_first_arrives() -> None:
    """After as long as the server asked for."""
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    answers = iter([busy, found(b"text")])
    started = time.monotonic()
    with serving(lambda _: [next(answers)]) as server:
        assert fetch(server.url()) == b"text"
    assert time.monotonic() - started >= 1


def test_fetch_is_not_tried_again_beyond_its_time() -> None:
    """Which is that of all attempts together."""
    with serving(lambda _: [b""]) as server:
        started = time.monotonic()
        assert reason(server.url(), replace(OPEN, timeout_s=0.05)) in ("timeout", "not_readable")
        assert time.monotonic() - started < 2


def test_fetch_naively_asks_twice() -> None:
    """The control: aiohttp itself repeats a request whose connection is lost."""
    with serving(lambda _: [b""]) as server:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            fetch_naively(server.url())
        assert server.hits == 2
