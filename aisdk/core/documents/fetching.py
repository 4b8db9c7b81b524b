"""Fetches over HTTP: bounded in time and size, each connection and redirect checked."""

from __future__ import annotations

import asyncio
import socket
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from aisdk.core.documents.access import Access
from aisdk.core.documents.unreadable import damaged, too_large, unreachable
from aisdk.core.runtime.dependency import Dependency, TryAgain
from aisdk.core.runtime.turns import when_stopped
from aisdk.errors import Unavailable, Unreadable

if TYPE_CHECKING:
    import aiohttp

__all__ = ["WEB", "Web"]

WEB: Final = ("http", "https")
MOST_REDIRECTS: Final = 5
CONNECT_S: Final = 10.0
GONE: Final = (404, 410)
PASSING: Final = (408, 429, 500, 502, 503, 504)
MOST_TURNS: Final = 100  # of the loop; a few are enough


@dataclass(frozen=True, slots=True)
class Web:
    """Files named by http and https, each fetched as a whole.

    Every fetch has a loop, a session and connections of its own, so that no tenant's cookies,
    credentials, connections or slow name servers reach another's; and retries, but no circuit
    breaker, of its own: one tenant's trouble with a server closes it to nobody else. It blocks, for
    ``access.timeout_s`` at most and, if a name server is silent, for as long as the system waits
    for that; it ends at once where nobody waits for it any more.
    """

    access: Access
    max_bytes: int

    def open(self, url: str, mode: str = "rb") -> BytesIO:
        """What a URL names.

        Raises:
            Unreadable: It must not be reached, takes too long, is too large or not there.
        """
        del mode
        try:
            return BytesIO(asyncio.run(self._whole(url)))
        except asyncio.CancelledError:  # nobody waits for it any more
            raise _late() from None

    async def _whole(self, url: str) -> bytes:
        """The body, asked for again where that may help, within the time there is."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101  # asyncio.run makes one
        when_stopped(partial(_cancel, loop, task))
        refused: list[Unreadable] = []

        async def attempt() -> bytes:
            try:
                return await self._fetch(url)
            except _Passing as error:
                refused.append(error.told)
                raise TryAgain(error.told.reason, after_s=error.after_s) from None

        try:
            async with asyncio.timeout(self.access.timeout_s):
                return await Dependency("url").call(attempt)
        except Unavailable:
            raise refused[-1] from None
        except TimeoutError:  # of ours, or the call's deadline
            raise _late() from None

    async def _fetch(self, url: str) -> bytes:
        import aiohttp

        sockets: list[socket.socket] = []
        try:
            async with (
                self._session(sockets) as session,
                session.get(url, max_redirects=MOST_REDIRECTS + 1) as response,
            ):
                return await _body(response, self.max_bytes)
        except aiohttp.ServerTimeoutError as error:
            raise _Passing(unreachable(error)) from None
        except aiohttp.TooManyRedirects:
            raise _redirect_refused(f"more than {MOST_REDIRECTS} times") from None
        except (aiohttp.NonHttpUrlRedirectClientError, aiohttp.InvalidUrlRedirectClientError):
            raise _redirect_refused("to what is no http or https URL") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _NotPublic):
                raise _private() from None
            raise _Passing(unreachable(error)) from None
        finally:
            await _hang_up(sockets)

    def _session(self, sockets: list[socket.socket]) -> aiohttp.ClientSession:
        """Knows no cookies, proxies or passwords of this machine, and unpacks nothing by itself."""
        import aiohttp

        opened = partial(self._socket, sockets)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=opened, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),  # _fetch has the rest
            middlewares=(_Hops(self.access),),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "gzip"},
            auto_decompress=False,
            trust_env=False,
        )

    def _socket(self, sockets: list[socket.socket], info: Any) -> socket.socket:
        """A socket for an address that is about to be connected to.

        All ways lead here: names, with each address that they resolve to, addresses written in
        the URL however oddly, and redirects.
        """
        family, kind, protocol, _, address = info
        if not self.access.allows_address(address[0]):
            raise _NotPublic
        sockets.append(socket.socket(family, kind, protocol))
        return sockets[-1]


async def _hang_up(sockets: list[socket.socket]) -> None:
    """Closes what is left open before the loop ends: TLS waits for the other side's farewell."""
    for each in sockets:
        with suppress(OSError):  # closed already
            each.shutdown(socket.SHUT_RDWR)
    for _ in range(MOST_TURNS):
        if all(each.fileno() < 0 for each in sockets):
            return
        await asyncio.sleep(0)


class _Passing(Exception):
    """An attempt failed in a way that may pass: why, and when to try again."""

    def __init__(self, told: Unreadable, after_s: float | None = None) -> None:
        self.told = told
        self.after_s = after_s
        super().__init__()


class _NotPublic(OSError):
    """Refused as an address that cannot be connected to: the next one of the name is tried."""


class _Hops:
    """Lets the requests of one fetch pass: the first, and one for each redirect."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._is_secure = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        import aiohttp

        url = request.url
        if self._is_secure and url.scheme != "https":
            raise _redirect_refused("from https to what is not encrypted")
        self._is_secure = url.scheme == "https"
        self._access.check_scheme(url.scheme)
        self._access.check_host(url.raw_host or "")
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _Passing(unreachable(error)) from None  # aiohttp would send it once more


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The whole body, unpacked, if it is not larger than allowed."""
    if response.status in PASSING:
        raise _Passing(_status(response.status), _after_s(response.headers.get("Retry-After")))
    if not 200 <= response.status < 300:
        raise _status(response.status)
    if (response.content_length or 0) > most:
        raise too_large()
    packed = response.headers.get("Content-Encoding", "").strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        raise Unreadable(
            "The server packs what it sends in a way that was not asked for.",
            hint="Download it by other means.",
            reason="unknown_encoding",
        )
    gzip = zlib.decompressobj(31) if "gzip" in packed else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += _unpacked(gzip, chunk, most + 1 - len(body)) if gzip else chunk
        if len(body) > most:
            raise too_large()
    if gzip and (not gzip.eof or gzip.unused_data):
        raise damaged()
    return bytes(body)


def _unpacked(gzip: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    try:
        return gzip.decompress(chunk, most)
    except zlib.error:
        raise damaged() from None


def _status(status: int) -> Unreadable:
    return Unreadable(
        f"The server answered with status {status}.",
        hint=(
            "Try again later." if status in PASSING else "Check the URL, and that you may read it."
        ),
        reason="not_found" if status in GONE else "not_readable",
    )


def _after_s(told: str | None) -> float | None:
    """The seconds of a Retry-After header; ``None`` where it has none, or a date."""
    return float(told) if told and told.isdecimal() and len(told) < 6 else None


def _late() -> Unreadable:
    return Unreadable(
        "A source did not arrive in time.",
        hint="Try again later, or raise AISDK_URL_TIMEOUT_S.",
        reason="timeout",
    )


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    with suppress(RuntimeError):  # the loop is closed: it has ended by itself
        loop.call_soon_threadsafe(task.cancel)


def _private() -> Unreadable:
    return Unreadable(
        "A URL leads to an address that is not public.",
        hint="AISDK_URL_PRIVATE=true allows such addresses.",
        reason="private_address",
    )


def _redirect_refused(how: str) -> Unreadable:
    return Unreadable(
        f"The server redirects {how}.",
        hint="Use the URL that it leads to, if you trust it.",
        reason="redirect_refused",
    )
