"""Calls with malformed arguments: one maker a kind, which gives a call for a seed."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

import aisdk
from aisdk import Document, Receipt
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.storage.filters import compile_where
from malformed import values
from malformed.mutation import mutated
from malformed.values import nested, number, odd, text

__all__ = ["KINDS", "Stage"]

OPERATORS: Final = [
    *("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "exists"),
    *("like", "", "=\0", "IN", "; drop table"),
]
KEYS: Final = ["year", "tag", "n", "a.b", "a'b", 'a"b', "$.a", "a\\", "ü", "\N{GRINNING FACE}"]

Call = Callable[[], Any]


@dataclass(frozen=True)
class Stage:
    """What calls are made on.

    Attributes:
        client: Without an embedding model.
        session: Of a tenant with some documents.
        cursors: Good ones, of the documents and of the tenants.
        canary: What no error may show.
        receipt: A good one.
    """

    client: aisdk.Client
    session: aisdk.Session
    cursors: list[str]
    canary: str
    receipt: Receipt


def where_of(rng: Random, canary: str) -> Any:
    """A filter, more often nearly right than not."""
    if rng.random() < 0.15:
        return odd(rng, canary)
    return {
        rng.choice([*KEYS, values.key_of(rng, canary)]): test_of(rng, canary)
        for _ in range(rng.choice((0, 1, 1, 2, 9)))
    }


def test_of(rng: Random, canary: str) -> Any:
    """What a key is compared with."""
    if rng.random() < 0.3:
        return odd(rng, canary)
    operator: Any = rng.choice([*OPERATORS, *OPERATORS[:11], None, 1])
    value = [odd(rng, canary) for _ in range(rng.choice((0, 2, 3)))]
    if rng.random() < 0.01:
        value *= 500
    return {operator: rng.choice((value, odd(rng, canary), number(rng, canary), text(rng, canary)))}


def filters(rng: Random, stage: Stage) -> Call:
    """A filter that is compiled, and asked of the database where that works."""
    where = where_of(rng, stage.canary)
    documents = stage.session.documents
    execute = rng.choice(
        (lambda: documents.count(where=where), lambda: documents.list(where=where))
    )

    def call() -> Any:
        compile_where(where)
        return execute()

    return call


def listings(rng: Random, stage: Stage) -> Call:
    """Order, state, limit and cursor of the documents."""
    given: dict[str, Any] = {
        "order": rng.choice(("source", "-created_at", "title")),
        "state": rng.choice(("ready", "failed", "all")),
        "limit": rng.choice((1, 50, True, 10**30)),
    }
    for name in rng.sample(("order", "state", "limit", "cursor", "none"), 1):
        given[name] = odd(rng, stage.canary)
    if given.pop("none", None) is None and rng.random() < 0.5:
        given["cursor"] = cursor_of(rng, stage)
    return lambda: stage.session.documents.list(**given)


def tenants(rng: Random, stage: Stage) -> Call:
    """Cursor, tier and state of the tenants."""
    given = {
        name: odd(rng, stage.canary)
        for name in rng.sample(("tier", "state", "limit", "cursor"), rng.randint(0, 2))
    }
    if rng.random() < 0.5:
        given["cursor"] = cursor_of(rng, stage)
    return lambda: awaited(stage.client.tenants.list, **given)


def cursor_of(rng: Random, stage: Stage) -> Any:
    """A cursor that was changed, or is none."""
    good = rng.choice(stage.cursors)
    place = rng.randrange(len(good))
    return rng.choice(
        [
            *(good[:place], good + "=", good + "\n", good + good, good.upper(), f" {good}", good),
            good[:place] + rng.choice("Az09-_+/= \0é\ud800") + good[place + 1 :],
            base64.urlsafe_b64encode(rng.randbytes(place)).decode().rstrip("="),
            base64.urlsafe_b64encode(bytes(16) + stage.canary.encode()).decode(),
            *(good * 200, good.encode(), [good], {"cursor": good}, odd(rng, stage.canary)),
        ]
    )


def metadata(rng: Random, stage: Stage) -> Call:
    """Metadata as ``add`` and ``update`` check it; some are stored and found again."""
    given = rng.choice((nested, odd))(rng, stage.canary)
    if rng.random() < 0.7:
        given = {text(rng, "key"): odd(rng, stage.canary) for _ in range(3)}
    store, session = rng.random() < 0.2, stage.session

    def call() -> Any:
        checked_metadata(given)
        if store:
            document = Document(stage.canary, "metadata", metadata=given)
            session.documents.add([document], progress=False)
            session.rag.query(stage.canary)

    return call


def documents(rng: Random, stage: Stage) -> Call:
    """Documents that are added, changed, looked up and deleted."""
    canary, verbs = stage.canary, stage.session.documents
    one, other = odd(rng, canary), odd(rng, canary)
    document = Document(
        rng.choice((canary, one)), rng.choice((None, text(rng, canary), one)), text(rng, canary), {}
    )
    fields = {text(rng, "key"): other}
    choices: list[Call] = [
        lambda: verbs.add([document], progress=False),
        lambda: verbs.add([Document(canary, "odd", metadata=fields)], progress=False),
        lambda: verbs.add([Document(canary, metadata=one)], progress=False),
        lambda: verbs.add([[one], {}, b"a"], progress=False),
        lambda: verbs.add([canary], progress=False, **{text(rng, "option"): other}),
        lambda: verbs.add([canary], progress=False, max_pages=one),
        *(lambda: verbs.get(one), lambda: verbs.get(text(rng, canary)), lambda: verbs.delete(one)),
        *(lambda: verbs.update("a", metadata=fields), lambda: verbs.update("a", metadata=one)),
        *(lambda: verbs.update("a", title=one), lambda: verbs.update(one, title="b")),
        *(lambda: verbs.set_language(one), lambda: verbs.delete(where=[one])),
    ]
    return rng.choice(choices)


def frames(rng: Random, stage: Stage) -> Call:
    """DataFrames with odd columns."""
    made = values.frame(rng, stage.canary)
    names: dict[str, Any] = {}
    for name in rng.sample(("text", "id", "source", "title"), rng.randint(0, 2)):
        names[name] = rng.choice(("text", "id", "title", odd(rng, "name")))
    return lambda: stage.session.documents.add(made, progress=False, **names)


def searches(rng: Random, stage: Stage) -> Call:
    """Arguments of a search."""
    canary, rag = stage.canary, stage.session.rag
    question = rng.choice((canary, "pumps", text(rng, canary), odd(rng, canary)))
    names = ("top_k", "where", "mode", "vector", "min_score", "one_per_document", "weight")
    given = {name: argument(name, rng, canary) for name in rng.sample(names, rng.randint(0, 3))}
    many = rng.choice(
        (
            [question, canary],
            {canary: question, values.key_of(rng, canary): canary},
            odd(rng, canary),
            values.frame(rng, canary),
        )
    )
    choices: list[Call] = [
        lambda: rag.query(question, **given),
        lambda: rag.query(question, **given),
        lambda: rag.explain(question, **given),
        lambda: rag.query_many(many, **given),
    ]
    return rng.choice(choices)


def argument(name: str, rng: Random, canary: str) -> Any:
    """An argument of a search, nearly right or odd."""
    if name == "where":
        return where_of(rng, canary)
    if name == "vector":
        size = rng.choice((0, 1, 3, 384, 16_001))
        vector = [rng.choice((0.0, 1.0, 1e300, number(rng, canary))) for _ in range(min(size, 9))]
        return rng.choice((vector, [1.0] * size, [vector], odd(rng, canary)))
    if name == "mode":
        return rng.choice(("hybrid", "dense", "lexical", odd(rng, canary)))
    return rng.choice((number, odd))(rng, canary)


def names(rng: Random, stage: Stage) -> Call:
    """Names of tenants, and their tiers and settings."""
    canary, register = stage.canary, stage.client.tenants
    one, other = odd(rng, canary), odd(rng, canary)
    name = rng.choice((text(rng, canary), one))
    settings = {rng.choice(("language", "weight", "documents", canary)): other}
    choices: list[Call] = [
        lambda: awaited(stage.client.documents.count, name),
        lambda: awaited(stage.client.rag.query, name, canary),
        lambda: stage.client.check(name),
        lambda: awaited(register.get, name),
        lambda: awaited(register.update, stage.session.tenant_id, tier=one),
        lambda: awaited(register.update, stage.session.tenant_id, state=one),
        lambda: awaited(register.update, stage.session.tenant_id, settings=other),
        lambda: awaited(register.update, stage.session.tenant_id, settings=settings),
        lambda: awaited(register.create, "no-such-tenant", tier=one, settings=settings),
        *(lambda: awaited(register.put_tier, one), lambda: awaited(register.verify_erased, one)),
        *(lambda: awaited(register.export, name, one), lambda: awaited(register.import_, one)),
    ]
    return rng.choice(choices)


def receipts(rng: Random, stage: Stage) -> Call:
    """Receipts of erasures of which something was changed, as values and as text."""
    canary, register, good = stage.canary, stage.client.tenants, stage.receipt
    field = rng.choice(("tenant_id", "erased_at", "counts", "digest"))
    value = rng.choice((odd(rng, canary), text(rng, canary), {text(rng, canary): odd(rng, canary)}))
    changed: Any = replace(good, **{field: value})
    written = good.to_json().encode()
    spoiled = rng.choice(
        [
            mutated(rng, written, [canary.encode(), b"[" * 100_000, b"9" * 5_000, b"\xff"]),
            json.dumps({**json.loads(written), field: canary}),
            *(odd(rng, canary), text(rng, canary), written, written),
        ]
    )
    choices: list[Call] = [
        lambda: awaited(register.verify_erased, changed),
        lambda: awaited(register.verify_erased, changed),
        lambda: Receipt.from_json(spoiled),
        lambda: awaited(register.verify_erased, Receipt.from_json(spoiled)),
    ]
    return rng.choice(choices)


def options(rng: Random, stage: Stage) -> Call:
    """Deadlines, retries and idempotency keys."""
    canary = stage.canary
    given = {
        name: rng.choice((number, text, odd))(rng, canary)
        for name in rng.sample(("deadline_s", "retries", "idempotency_key"), rng.randint(1, 2))
    }
    if rng.random() < 0.1:
        given[canary] = 1
    write = rng.random() < 0.3

    def call() -> Any:
        session = stage.session.with_options(**given)
        if write:
            return session.documents.delete(where={"nothing": canary})
        return session.documents.count()

    return call


def caching(rng: Random, stage: Stage) -> Call:
    """Keys, values and times of the cache; what is kept must come back."""
    cache, canary = stage.session.cache, stage.canary
    key = rng.choice((canary, text(rng, canary), odd(rng, canary)))
    value = rng.choice((nested, odd))(rng, canary)
    ttl_s = rng.choice((60, 60, number(rng, canary), odd(rng, canary)))

    def call() -> Any:
        if cache.set(key, value, ttl_s=ttl_s):
            cache.get(key)
        return cache.delete(key)

    return call


def awaited(verb: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
    """The answer of an async verb."""

    async def call() -> Any:
        return await verb(*given, **named)

    return asyncio.run(call())


# Kind, its share of a hundred, and its maker.
KINDS: Final[dict[str, tuple[int, Callable[[Random, Stage], Call]]]] = {
    "filters": (20, filters),
    "listings": (10, listings),
    "cursors of tenants": (8, tenants),
    "metadata": (16, metadata),
    "documents": (8, documents),
    "frames": (6, frames),
    "searches": (10, searches),
    "names": (6, names),
    "receipts": (4, receipts),
    "options": (6, options),
    "cache": (6, caching),
}
