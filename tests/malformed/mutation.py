"""Damages bytes the way discs, networks and attackers do; the same seed gives the same damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

__all__ = ["TOKENS", "mutated", "seeded"]

LARGEST: Final = 100_000

# What parsers of one format or another have stumbled over.
TOKENS: Final = [
    *(b"\0", b"\0" * 9, b"\r", b"\n" * 9, b"\t", b"\x1a", b"\x7f", b"\xff\xff\xff\xff"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xed\xa0\x80", b"\xc0\x80"),
    *(b"\xf4\x90\x80\x80", "\u202e".encode(), "\u0301".encode() * 30, "\ufdfa".encode() * 9),
    *(
        b"[" * 300,
        b'{"a":' * 300,
        b"]",
        b"}",
        b'"',
        b"'",
        b"\\",
        b"\\u",
        b"\\ud800",
        b"\\udc00\\ud800",
    ),
    *(b"9" * 5_000, b"-0", b"1e999", b"-1e-999", b"NaN", b"-Infinity", b"1.", b"0x1f", b"1_0"),
    *(b"true", b"null", b"//", b"/*", b"#", b"---\n", b"...\n", b"title: [", b": ", b"- "),
    *(b",", b";" * 99, b"|", b'"""', b'"a""', b"<", b">", b"</", b"/>", b"<!--", b"-->", b"<?xml "),
    *(b"<![CDATA[", b"]]>", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", b"&b;"),
    *(
        b"&#x110000;",
        b"&#xD800;",
        b"&#0;",
        b"&" * 99,
        b"<script>",
        b"</body>",
        b"<title>",
        b"<pre>",
    ),
    *(b"<table><tr><td>", b"<p hidden>", b' a="', b'charset="punycode"', b"encoding='utf-7'"),
    *(
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"\xd0\xcf\x11\xe0",
    ),
    *(b"endobj", b"endstream", b"xref", b"trailer", b"<<", b">>", b"%PDF-", b"/Length -1"),
]

Damage = Callable[[Random, bytearray], bytes]


def seeded(*seed: object) -> Random:
    """A generator that gives the same for the same seed."""
    return Random(" ".join(map(str, seed)))  # noqa: S311  # a test must be reproducible


def mutated(rng: Random, data: bytes, tokens: Sequence[bytes] = TOKENS) -> bytes:
    """The bytes with one to five damages."""
    for _ in range(rng.randint(1, 5)):
        if rng.random() < 0.3:
            data = _insert(rng, bytearray(data), rng.choice(tokens))
        else:
            data = rng.choice(DAMAGES)(rng, bytearray(data))
    return data[:LARGEST]


def _insert(rng: Random, data: bytearray, token: bytes) -> bytes:
    place = rng.randint(0, len(data))
    data[place : place + rng.choice((0, len(token)))] = token
    return bytes(data)


def _flip_bits(rng: Random, data: bytearray) -> bytes:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _truncate(rng: Random, data: bytearray) -> bytes:
    return bytes(data[: rng.randint(0, len(data))])


def _behead(rng: Random, data: bytearray) -> bytes:
    return bytes(data[rng.randint(0, min(len(data), 99)) :])


def _delete(rng: Random, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    del data[start:end]
    return bytes(data)


def _splice(rng: Random, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    place = rng.randint(0, len(data))
    data[place:place] = data[start:end]
    return bytes(data)


def _repeat(rng: Random, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    return bytes(data[:start] + data[start:end] * rng.choice((2, 9, 300)) + data[end:])[:LARGEST]


def _swap(rng: Random, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    return bytes(data[:start] + data[end:] + data[start:end])


def _scatter(rng: Random, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    data[start:end] = rng.randbytes(end - start)
    return bytes(data)


def _overwrite_number(rng: Random, data: bytearray) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    place = rng.randint(0, max(len(data) - width, 0))
    number = rng.choice(
        (0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1)
    )
    data[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))
    return bytes(data)


def _span(rng: Random, data: bytearray) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((1, 2, 7, 40, 400)))


DAMAGES: Final[list[Damage]] = [
    *(_flip_bits, _truncate, _behead, _delete, _splice, _repeat, _swap, _scatter),
    _overwrite_number,
]
