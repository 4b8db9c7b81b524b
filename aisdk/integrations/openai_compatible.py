"""Embeddings from any service that speaks OpenAI's ``/embeddings``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr

from aisdk.core.runtime.dependency import Dependency, TryAgain
from aisdk.core.runtime.turns import Turns
from aisdk.errors import BadReply, ClientClosed, ConfigError
from aisdk.integrations.workers import share_out

if TYPE_CHECKING:
    import aiohttp

__all__ = ["OpenAICompatible", "read_reply"]

DEPENDENCY: Final = "embedding service"
BATCH_TEXTS: Final = 64
PARALLEL_REQUESTS: Final = 4
REPLY_BYTES: Final = 32 * 1024 * 1024  # 64 vectors of 16,000 numbers need about 22 MB
MOST_PARTS: Final = 64  # lists, dicts and fields for each text
MOST_VALUES: Final = 16_064  # for each text
TIMEOUT_S: Final = 30.0

Vectors = NDArray[np.float32]


class OpenAICompatible:
    """Embeds texts by asking a service that is compatible with OpenAI's embeddings endpoint.

    Sends at most 64 texts a request and 4 requests at a time; each request is tried up to four
    times within the deadline of the call.

    Args:
        url: Base URL; requests go to ``{url}/embeddings``.
        model: The model to ask for.
        dimension: Length of its vectors, 1 to 16,000; ``None`` to find out by asking once.
        api_key: Sent as a bearer token.
        timeout_s: How long one attempt may take, in seconds.

    Example:
        >>> embedder = OpenAICompatible(url="https://host/v1", model="m", dimension=768)
        >>> embedder.model
        'm'
    """

    def __init__(
        self,
        *,
        url: str,
        model: str,
        dimension: int | None = None,
        api_key: SecretStr | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model = model
        self._dimension = dimension
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._service = Dependency(DEPENDENCY)
        self._turns = Turns(
            PARALLEL_REQUESTS, "place at the embedding service", dependency=DEPENDENCY
        )
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def model(self) -> str:
        """The name recorded with vectors: that of the service's model."""
        return self._model

    @property
    def dimension(self) -> int:
        """The length of a vector.

        Raises:
            ConfigError: It was not given, and neither ``warm`` nor ``embed`` has asked yet.
        """
        if self._dimension is None:
            raise ConfigError(
                "The dimension of the embedding model is not known yet.",
                hint="Set AISDK_EMBEDDING_DIMENSION.",
            )
        return self._dimension

    async def warm(self) -> None:
        """Finds out the dimension, if it was not given, by embedding one word.

        Raises:
            ConfigError: The service refuses the key, the URL or the model.
            Unavailable: The service cannot be reached.
            BadReply: The service answered something that is not an embedding.
        """
        if self._dimension is None:
            self._dimension = (await self._embed_batch(["dimension"])).shape[1]

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector of length 1 per text, in the order of the texts.

        Args:
            texts: Any number of texts.

        Returns:
            float32 array of shape ``(len(texts), dimension)``, C-contiguous.

        Raises:
            ConfigError: The service refuses the key, the URL or the model.
            Unavailable: The service cannot be reached.
            BadReply: Count, order, dimension or numbers of a reply are wrong.
            DeadlineExceeded: The deadline of the call passed.
            ClientClosed: The embedder is closed.
        """
        await self.warm()
        vectors = np.empty((len(texts), self.dimension), np.float32)

        async def work(start: int) -> None:
            batch = texts[start : start + BATCH_TEXTS]
            vectors[start : start + BATCH_TEXTS] = await self._embed_batch(batch)

        await share_out(work, range(0, len(texts), BATCH_TEXTS), PARALLEL_REQUESTS)
        return vectors

    def forget(self) -> None:
        """After a fork: lets go of the parent's connections without closing them."""
        self._session = None

    async def close(self) -> None:
        """Closes the connections. May be called twice."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _embed_batch(self, texts: Sequence[str]) -> Vectors:
        body = {
            "model": self._model,
            "input": [_acceptable(text) for text in texts],
            "encoding_format": "float",
        }
        async with self._turns.turn():
            content = await self._service.call(lambda: self._post(body), timeout_s=self._timeout_s)
        return await asyncio.to_thread(read_reply, content, len(texts), self._dimension)

    async def _post(self, body: dict[str, Any]) -> bytes:
        """One request; the bytes of a good reply."""
        import aiohttp

        headers = {}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.get_secret_value().strip()}"
        try:
            async with self._connected().post(
                self._url, json=body, headers=headers, allow_redirects=False
            ) as response:
                _check_status(response.status, response.headers.get("Retry-After"))
                return await _read_bounded(response.content)
        except aiohttp.InvalidURL:
            raise ConfigError(
                "AISDK_EMBEDDING_URL is not a URL.", hint="Write https://host/v1."
            ) from None
        except aiohttp.ClientConnectionError as error:
            raise TryAgain("cannot be reached") from error
        except aiohttp.ClientError:
            raise TryAgain("cannot be reached") from None  # the cause quotes the reply
        except ValueError:
            raise ConfigError(
                f"The {DEPENDENCY} cannot be asked with this URL and this key.",
                hint="Write user and password into AISDK_EMBEDDING_URL, or set "
                "AISDK_EMBEDDING_API_KEY, not both; a key is one line.",
            ) from None

    def _connected(self) -> aiohttp.ClientSession:
        """The session, made on the loop that runs the first request."""
        import aiohttp

        if self._closed:
            raise ClientClosed(hint="Connect again.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=PARALLEL_REQUESTS),
                timeout=aiohttp.ClientTimeout(total=None),  # the dependency holds the watch
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def read_reply(content: bytes, count: int, dimension: int | None) -> Vectors:
    """The vectors of a reply in the order of the texts, each of length 1.

    Args:
        content: The body: ``{"data": [{"index": 0, "embedding": [0.1, …]}, …]}``.
        count: How many texts were sent.
        dimension: What every vector must have; ``None`` accepts any that all agree on.

    Raises:
        BadReply: The body is of another shape, count, order or dimension, or its numbers are
            not finite.
    """
    if not _is_light(content, count):
        raise _bad_reply("with much more than one embedding a text")
    try:
        items = json.loads(content)["data"]
        rows = {item["index"]: item["embedding"] for item in items}
        vectors = np.array([rows[index] for index in range(count)], np.float64)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise _bad_reply("with something else than one embedding a text") from None
    if len(items) != count or vectors.ndim != 2 or not vectors.size:
        raise _bad_reply("with another number of embeddings than texts")
    if dimension not in {None, vectors.shape[1]}:
        raise _bad_reply(
            f"with {vectors.shape[1]} numbers an embedding instead of {dimension}",
            hint="Check AISDK_EMBEDDING_MODEL and AISDK_EMBEDDING_DIMENSION.",
        )
    return _of_unit_length(vectors)


def _is_light(content: bytes, count: int) -> bool:
    """Whether a reply has no more values than vectors of so many texts: each takes memory."""
    parts = sum(content.count(mark) for mark in (b"{", b"[", b":"))
    return parts <= MOST_PARTS * (count + 1) and content.count(b",") <= MOST_VALUES * (count + 1)


def _of_unit_length(vectors: NDArray[np.float64]) -> Vectors:
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or not largest.all():
        raise _bad_reply("with numbers that are not finite or all zero")
    scaled = vectors / largest  # so that no square can overflow
    unit: Vectors = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _check_status(status: int, retry_after: str | None) -> None:
    """Passes a success; everything else becomes the error that tells what to do."""
    if status in range(200, 300):
        return
    if status in {408, 425, 429} or status >= 500:
        raise TryAgain(f"answered with status {status}", after_s=_seconds(retry_after))
    if status in {401, 403}:
        raise ConfigError(
            f"The {DEPENDENCY} refused the key with status {status}.",
            hint="Check AISDK_EMBEDDING_API_KEY.",
        )
    if status == 404 or status in range(300, 400):
        raise ConfigError(
            f"The {DEPENDENCY} answered with status {status}.",
            hint="Check AISDK_EMBEDDING_URL (write the final address, redirects are not "
            "followed) and AISDK_EMBEDDING_MODEL.",
        )
    raise _bad_reply(f"with status {status}", hint="Check AISDK_EMBEDDING_MODEL.")


def _seconds(retry_after: str | None) -> float | None:
    """What a ``Retry-After`` header asks for; ``None`` if it asks for nothing readable."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    content = bytearray()
    async for part in stream.iter_any():
        content += part
        if len(content) > REPLY_BYTES:
            raise _bad_reply(f"with more than {REPLY_BYTES} bytes")
    return bytes(content)


def _acceptable(text: str) -> str:
    """The text as services take it: not empty, and without lone surrogates."""
    return text.encode("utf-8", "replace").decode() or " "


def _bad_reply(
    what: str, *, hint: str = "Check that AISDK_EMBEDDING_URL is the right service."
) -> BadReply:
    return BadReply(f"The {DEPENDENCY} answered {what}.", hint=hint, dependency=DEPENDENCY)
