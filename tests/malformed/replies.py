"""Malformed replies of an embedding service, over a real connection."""

from __future__ import annotations

import asyncio
import gzip
import json
from random import Random
from typing import Any, Final

from misbehaving import EmbeddingServer, Reply

from aisdk.integrations.openai_compatible import OpenAICompatible
from malformed.mutation import TOKENS, mutated
from malformed.verdict import Tally

__all__ = ["try_replies"]

TEXTS: Final = 3
NUMBERS: Final[list[Any]] = [
    *(0, 1, 1.5, -1e308, 1e308, 10**400, 10**30, True, None, "1.5", "x", [], {}, [1.0], 2**63),
    *(5e-324, -0.0),
]
HEADERS: Final[list[dict[str, str]]] = [
    *({}, {}, {}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}),
    *({"Content-Encoding": "zstd"}, {"Content-Type": "text/html; charset=punycode"}),
    *({"Retry-After": "9" * 400}, {"Retry-After": "Mon, 01 Jan 99999 99:99:99 GMT"}),
    *(
        {"Retry-After": "-1"},
        {"Retry-After": "Mon, 99 Jan 0000 00:00:00 +9999"},
        {"Location": "//"},
    ),
    *({"X": "a" * 9_000}, {"Set-Cookie": "=;\x01"}, {"Transfer-Encoding": "chunked"}),
]


def try_replies(rng: Random, count: int, canary: str, tally: Tally) -> None:
    """Asks so many times, and is answered with something else each time."""
    server = EmbeddingServer()
    with server.running():
        for _ in range(count):
            answer = reply(rng, canary)
            server.answer = lambda _texts, _key, answer=answer: answer
            url = f"http://127.0.0.1:{server.port}/v1"
            dimension = rng.choice((None, 4))
            tally.judge(
                "replies",
                canary,
                lambda dimension=dimension, url=url: asyncio.run(ask(url, dimension)),
            )


async def ask(url: str, dimension: int | None) -> None:
    """Embeds some texts; each time with an embedder that has not failed yet."""
    embedder = OpenAICompatible(url=url, model="m", dimension=dimension)
    embedder._service.retries = 0
    try:
        await embedder.embed(["a", "b", "c"])
    finally:
        await embedder.close()


def reply(rng: Random, canary: str) -> Reply:
    """A status, a body and headers, most of them wrong."""
    status = rng.choice((200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 429, 500, 599))
    headers = rng.choice(HEADERS)
    body = json.dumps(value(rng, canary)).encode()
    kind = rng.randrange(4)
    if kind == 0:
        body = mutated(rng, body, [*TOKENS, canary.encode()])
    elif kind == 1:
        body = rng.choice(
            (b"[" * 50_000, b'{"data":' * 9_999, b'{"data":[' + b"{}," * 9_999 + b"{}]}")
        )
    if headers.get("Content-Encoding") == "gzip" and rng.random() < 0.5:
        body = gzip.compress(rng.choice((body, bytes(4 * 2**20))))
    return status, body, headers


def value(rng: Random, canary: str) -> Any:
    """Nearly a reply."""
    data: Any = [
        {"index": place, "embedding": [1.0, 2.0, 3.0, 4.0], "object": canary}
        for place in range(TEXTS)
    ]
    item = rng.choice(data)
    if rng.random() < 0.2:
        return {"data": data}
    if rng.random() < 0.4:
        item["embedding"] = [rng.choice(NUMBERS) for _ in range(rng.choice((0, 1, 4, 5)))]
    elif rng.random() < 0.5:
        item[rng.choice(("index", "embedding"))] = rng.choice([*NUMBERS, canary, -1, 3])
    else:
        data = rng.choice(
            [data[:2], data * 2, None, canary, {"0": data}, [canary] * 3, [[]] * 3, 5]
        )
    return rng.choice([{"data": data}] * 5 + [data, {"error": canary}, {canary: data}])
