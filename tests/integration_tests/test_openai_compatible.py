"""A real HTTP service that behaves and misbehaves, asked for embeddings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from pydantic import SecretStr

from aisdk.core.runtime.deadline import DeadlineStep
from aisdk.core.runtime.guard import Call, Verb
from aisdk.errors import BadReply, ClientClosed, ConfigError, DeadlineExceeded, Unavailable
from aisdk.integrations import openai_compatible
from aisdk.integrations.openai_compatible import OpenAICompatible

Answer = Callable[[web.Request, list[str]], Awaitable[web.StreamResponse]]
DIMENSION = 8


def vector(text: str) -> list[float]:
    """A vector that depends on the text alone."""
    return [byte + 1.0 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSION]]


def reply(texts: list[str]) -> web.Response:
    """What a good service answers, shuffled."""
    items = [{"index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
    return web.json_response({"object": "list", "data": items[::-1], "model": "m"})


async def good(_: web.Request, texts: list[str]) -> web.StreamResponse:
    """A service that behaves."""
    return reply(texts)


@dataclass
class Peer:
    """The service, with what it saw."""

    url: str = ""
    answer: Answer = good
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Counts the request and answers it."""
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self.answer(request, body["input"])
        finally:
            self.running -= 1


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A service on a free port of this machine."""
    made = Peer()
    application = web.Application(client_max_size=2**26)
    application.router.add_post("/v1/embeddings", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield made
    await runner.cleanup()


@pytest.fixture
async def embedder(peer: Peer) -> AsyncIterator[OpenAICompatible]:
    """An embedder that knows its dimension."""
    made = OpenAICompatible(
        url=peer.url, model="m", dimension=DIMENSION, api_key=SecretStr("s3cret-key\n")
    )
    yield made
    await made.close()


def status(code: int, *, times: int = 1000, **headers: str) -> Answer:
    """Answers with this status so many times, then well."""
    left = times

    async def answer(request: web.Request, texts: list[str]) -> web.StreamResponse:
        nonlocal left
        left -= 1
        if left < 0:
            return reply(texts)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, headers=named, text=f"echo {texts}")

    return answer


async def test_embed_many_texts_gives_unit_vectors_in_order_in_bounded_batches(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """A thousand texts travel 64 at a time, four requests at most, and come back in order."""

    async def slow(_: web.Request, texts: list[str]) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return reply(texts)

    peer.answer = slow
    texts = [f"text {number}" for number in range(1_000)]
    vectors = await embedder.embed(texts)
    expected = np.array([vector(text) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(vectors, expected, atol=1e-6)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert max(len(body["input"]) for body in peer.bodies) == 64
    assert len(peer.bodies) == 16
    assert peer.most_running == 4
    assert peer.headers[0]["Authorization"] == "Bearer s3cret-key"
    assert peer.bodies[0]["model"] == embedder.model == "m"


async def test_embed_empty_and_broken_texts_are_sent_in_an_acceptable_form(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """Services refuse empty strings and lone surrogates, so neither is sent."""
    assert (await embedder.embed(["", "half \ud83d pair"])).shape == (2, DIMENSION)
    assert peer.bodies[0]["input"] == [" ", "half ? pair"]


async def test_embed_nothing_asks_nothing(peer: Peer, embedder: OpenAICompatible) -> None:
    """No texts, no request."""
    assert (await embedder.embed([])).shape == (0, DIMENSION)
    assert peer.bodies == []


async def test_warm_without_dimension_asks_once(peer: Peer) -> None:
    """The dimension is unknown, then asked for, then known."""
    embedder = OpenAICompatible(url=f"{peer.url}/", model="m")
    with pytest.raises(ConfigError, match="AISDK_EMBEDDING_DIMENSION"):
        _ = embedder.dimension
    await embedder.warm()
    await embedder.warm()
    assert embedder.dimension == DIMENSION
    assert len(peer.bodies) == 1
    assert "Authorization" not in peer.headers[0]
    await embedder.close()


@pytest.mark.parametrize("code", [408, 429, 500, 503])
async def test_embed_passing_failure_is_tried_again(
    peer: Peer, embedder: OpenAICompatible, code: int
) -> None:
    """Three failures are forgiven."""
    peer.answer = status(code, times=3, Retry_After="0")
    assert (await embedder.embed(["text"])).shape == (1, DIMENSION)
    assert len(peer.bodies) == 4


async def test_embed_lasting_failure_raises_unavailable_after_four_requests(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """Counted at the peer, a request is sent four times and never more."""
    peer.answer = status(503, Retry_After="0")
    with pytest.raises(Unavailable, match="status 503; tried 4 times") as caught:
        await embedder.embed(["a text of the tenant"])
    assert len(peer.bodies) == 4
    assert "tenant" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "named"),
    [
        (401, ConfigError, "AISDK_EMBEDDING_API_KEY"),
        (403, ConfigError, "AISDK_EMBEDDING_API_KEY"),
        (404, ConfigError, "AISDK_EMBEDDING_URL"),
        (302, ConfigError, "redirects are not followed"),
        (400, BadReply, "status 400"),
        (422, BadReply, "status 422"),
    ],
)
async def test_embed_refused_raises_at_once_without_telling_secrets(
    peer: Peer, embedder: OpenAICompatible, code: int, error: type[Exception], named: str
) -> None:
    """What the user must mend is not tried again; neither key nor text is in the message."""
    peer.answer = status(code, Location="/elsewhere")
    with pytest.raises(error, match=named) as caught:
        await embedder.embed(["a text of the tenant"])
    assert len(peer.bodies) == 1
    assert "s3cret" not in str(caught.value)
    assert "tenant" not in str(caught.value)


async def test_embed_asked_to_wait_beyond_the_deadline_gives_up_at_once(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """A Retry-After longer than the time left ends the attempts, in seconds or as a date."""
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for retry_after in ("3600", later):
        peer.bodies.clear()
        peer.answer = status(429, Retry_After=retry_after)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(embed_within(20, embedder), 10)
        assert len(peer.bodies) == 1


async def test_embed_hanging_service_ends_with_the_deadline(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """A service that never answers costs no more than the deadline."""

    async def hang(_: web.Request, __: list[str]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    peer.answer = hang
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(embed_within(0.2, embedder), 10)


async def test_embed_hanging_service_is_tried_four_times(peer: Peer) -> None:
    """Each attempt has a timeout of its own."""

    async def hang(_: web.Request, __: list[str]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    peer.answer = hang
    embedder = OpenAICompatible(url=peer.url, model="m", dimension=8, timeout_s=0.05)
    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        await embedder.embed(["text"])
    assert len(peer.bodies) == 4
    await embedder.close()


async def test_embed_cut_connection_is_tried_four_times(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """A connection cut in the middle of a reply is no reply; aiohttp adds no tries of its own."""

    async def cut(request: web.Request, _: list[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"data": [')
        assert request.transport
        request.transport.abort()
        return response

    peer.answer = cut
    with pytest.raises(Unavailable, match="cannot be reached; tried 4 times"):
        await embedder.embed(["text"])
    assert len(peer.bodies) == 4


async def test_embed_nobody_listens_raises_unavailable() -> None:
    """A refused connection says so."""
    embedder = OpenAICompatible(url="http://127.0.0.1:9/v1", model="m", dimension=8)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await embedder.embed(["text"])
    await embedder.close()


def nonsense(content: bytes) -> Answer:
    """Answers 200 with these bytes."""

    async def answer(_: web.Request, __: list[str]) -> web.StreamResponse:
        return web.Response(body=content, content_type="application/json")

    return answer


@pytest.mark.parametrize(
    "content",
    [
        b"<html>sign in</html>",
        b'{"data": []}',
        json.dumps({"data": [{"index": 0, "embedding": [1.0] * 9}]}).encode(),
        json.dumps({"data": [{"index": 1, "embedding": [1.0] * 8}]}).encode(),
        b'{"data": [{"index": 0, "embedding": [NaN, 1, 1, 1, 1, 1, 1, 1]}]}',
    ],
    ids=["html", "count", "dimension", "order", "nan"],
)
async def test_embed_nonsense_raises_bad_reply_at_once(
    peer: Peer, embedder: OpenAICompatible, content: bytes
) -> None:
    """An answer that cannot be believed is an error and is not asked for again."""
    peer.answer = nonsense(content)
    with pytest.raises(BadReply):
        await embedder.embed(["text"])
    assert len(peer.bodies) == 1


async def test_embed_huge_reply_raises_bad_reply_before_it_is_read(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """An endless reply is left after its bound."""
    sent = 0

    async def endless(request: web.Request, _: list[str]) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 2**30:
            await response.write(b" " * 2**20)
            sent += 2**20
        return response

    peer.answer = endless
    with pytest.raises(BadReply, match=str(openai_compatible.REPLY_BYTES)):
        await embedder.embed(["text"])
    assert sent < 4 * openai_compatible.REPLY_BYTES


async def test_embed_one_bad_batch_fails_all_and_leaves_nothing_running(
    peer: Peer, embedder: OpenAICompatible
) -> None:
    """The first error ends the call and its other requests."""

    async def mixed(_: web.Request, texts: list[str]) -> web.StreamResponse:
        if texts[0] == "text 0":
            return web.Response(status=400)
        await asyncio.Event().wait()
        raise AssertionError

    peer.answer = mixed
    with pytest.raises(BadReply):
        await embedder.embed([f"text {number}" for number in range(640)])
    assert len(peer.bodies) <= 4


async def test_embed_closed_raises_client_closed(embedder: OpenAICompatible) -> None:
    """After close, twice or once, nothing is sent."""
    await embedder.close()
    await embedder.close()
    with pytest.raises(ClientClosed):
        await embedder.embed(["too late"])


async def test_embed_url_that_is_none_raises_config_error_without_showing_it() -> None:
    """A wrong URL may hold a password, so the error names the setting only."""
    embedder = OpenAICompatible(url="http://user:hunter2@[bad/v1", model="m", dimension=8)
    with pytest.raises(ConfigError, match="AISDK_EMBEDDING_URL") as caught:
        await embedder.embed(["text"])
    assert "hunter2" not in str(caught.value)
    await embedder.close()


async def embed_within(deadline_s: float, embedder: OpenAICompatible) -> Any:
    """Embeds a text as a verb with this deadline would."""
    step = DeadlineStep(call_s=deadline_s, bulk_s=deadline_s)

    async def proceed(_: Call) -> Any:
        return await embedder.embed(["text"])

    return await step(Call(Verb("test.embed", reads=True), "acme", "request"), proceed)
