"""Tenants of one client, each with a mark of its own, and a watch on what they see."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import aisdk
from aisdk import Document
from aisdk.core.runtime.limits import tokens_of

__all__ = ["LIMITS", "Tenant", "Watch", "World", "names"]

MARKS: Final = re.compile(r"mark[0-9a-f]{12}x")
ENDS: Final = (".b", "-b", "_b", "0", "--", ".b.c")
LIMITS: Final = {"requests_per_minute": 60, "burst": 10**6}


@dataclass(eq=False)
class Tenant:
    """One tenant.

    Attributes:
        name: Its name.
        mark: A word in all its texts, and in nobody else's.
        held: Its documents, source → id.
        calls: What it has called, by verb.
        maybe: Of these, what was cancelled and perhaps never began.
        questions: What it has asked by meaning; each is embedded once, or again when forgotten.
        doubtful: Of these, what was cancelled and perhaps never embedded.
        reads: Calls that count against its rate of reads.
    """

    name: str
    mark: str = field(default_factory=lambda: f"mark{uuid.uuid4().hex[:12]}x")
    held: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    maybe: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    doubtful: set[str] = field(default_factory=set)
    reads: int = 0

    def forget(self) -> None:
        """After it was erased: the next of its name has nothing and owes nothing."""
        self.mark = f"mark{uuid.uuid4().hex[:12]}x"
        self.held.clear()
        self.calls.clear()
        self.maybe.clear()
        self.questions.clear()
        self.doubtful.clear()

    @property
    def tokens(self) -> tuple[int, int]:
        """How many its questions cost at least and at most."""
        sure = sum(tokens_of(text) for text in self.questions.keys() - self.doubtful)
        return sure, sum(times * tokens_of(text) for text, times in self.questions.items())


class Watch:
    """Counts what was tried, by kind, and what leaked."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.leaks = 0

    @property
    def probes(self) -> int:
        """How many in all."""
        return self.tried.total()

    def see(self, kind: str, own: Tenant, value: object) -> None:
        """One probe whose answer may hold the own tenant's mark only."""
        strange = set(MARKS.findall(str(value))) - {own.mark}
        self.that(kind, not strange, "another tenant's text was read")

    def that(self, kind: str, holds: object, otherwise: str) -> None:
        """One probe after which something must hold."""
        self.tried[kind] += 1
        if not holds:
            self.leaks += 1
            raise AssertionError(f"leak: {otherwise} ({kind})")

    def told(self, ways: int) -> str:
        """What was tried, in a line."""
        sql = sum(self.tried[kind] for kind in ("SQL", "register", "functions"))
        return (
            f"{ways} ways, with a cache in memory and with a shared one: {sql:,} by SQL, "
            f"{self.probes - sql:,} by calls, keys, files and bills"
        )


def names() -> list[str]:
    """Fresh names that are easily taken for each other: beginnings of others, or other case."""
    base = f"t{uuid.uuid4().hex[:10]}"
    return [base, base.upper(), *(base + end for end in ENDS)]


class World:
    """A client and its tenants; all methods run on the client's loop.

    Args:
        client: The client.
        watch: Counts.
        tenants: Their names.
    """

    def __init__(self, client: aisdk.Client, watch: Watch, tenants: Iterable[str]) -> None:
        self.client = client
        self.watch = watch
        self.tenants = [Tenant(name) for name in tenants]
        self.numbers = iter(range(10**9))
        embedder = client._parts.embedder
        self.modes = ("lexical", "hybrid", "dense") if embedder else ("lexical",)

    @property
    def backend(self) -> Any:
        """What holds cached values."""
        return self.client._parts.cache._backend

    async def begin(self) -> None:
        """Registers everybody and gives each two documents."""
        for tenant in self.tenants:
            await self.client.tenants.create(tenant.name, tier="unlimited", settings=LIMITS)
            await self.add(tenant, "s0", "s1")

    async def ask(
        self, tenant: Tenant, verb: str, *arguments: Any, key: str | None = None, **named: Any
    ) -> Any:
        """What a verb answers, for which the tenant will be billed."""
        return await self.begun(tenant, verb, *arguments, key=key, **named)

    def begun(
        self, tenant: Tenant, verb: str, *arguments: Any, key: str | None = None, **named: Any
    ) -> Any:
        """The same, to be awaited."""
        self.bill(tenant, verb, arguments, named.get("mode"))
        session = self.client.session(tenant.name).with_options(idempotency_key=key)
        domain, name = verb.split(".")
        return getattr(getattr(session, domain), name)(*arguments, **named)

    def bill(
        self, tenant: Tenant, verb: str, arguments: tuple[Any, ...] = (), mode: str | None = None
    ) -> None:
        """Notes a call."""
        tenant.calls[verb] += 1
        tenant.reads += 1
        if verb == "rag.query" and mode != "lexical" and len(self.modes) > 1:
            tenant.questions[arguments[0]] += 1

    def doubt(self, tenant: Tenant, verb: str, arguments: tuple[Any, ...] = ()) -> None:
        """Notes that a call was cancelled."""
        tenant.maybe[verb] += 1
        if verb == "rag.query":
            tenant.doubtful.add(arguments[0])

    def document(self, tenant: Tenant, source: str) -> Document:
        """A document of the words that everybody's have, and the mark."""
        number = int(source[1:])
        text = f"The pump and the valve {number} of {tenant.mark}."
        about: dict[str, Any] = {"year": 2000 + number % 20, "owner": "a", "mark": tenant.mark}
        return Document(text, source=source, title=tenant.mark, metadata=about)

    async def add(self, tenant: Tenant, *sources: str, key: str | None = None) -> Any:
        """Adds documents; what became of them."""
        documents = [self.document(tenant, source) for source in sources]
        rows = await self.ask(tenant, "documents.add", documents, progress=False, key=key)
        tenant.held |= {row.source: row.document_id for row in rows}
        return rows

    async def raw_keys(self) -> list[str]:
        """Every key of the cache, whoever wrote it."""
        if hasattr(self.backend, "_entries"):
            return list(self.backend._entries)
        return [key.decode() for key in await self.backend._server.client.keys("*")]

    async def registered(self) -> set[str]:
        """The names in the register, read by the platform."""
        async with self.client._parts.platform_database.bulk("") as connection:
            return {row[0] for row in await connection.fetch("SELECT tenant_id FROM aisdk.tenants")}

    async def settle(self) -> None:
        """Everybody has what they added, as it was, and nothing else."""
        for tenant in self.tenants:
            page = await self.ask(tenant, "documents.list", limit=1_000)
            found = {row.source: row.document_id for row in page}
            self.watch.that("holdings", found == tenant.held, "documents were changed")
            self.watch.that(
                "holdings", all(row.title == tenant.mark for row in page), "titles were changed"
            )
