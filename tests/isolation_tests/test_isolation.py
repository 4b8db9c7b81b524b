"""Tenants try to reach each other's data by every way there is, in random order."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import aisdk
from aisdk import Document
from aisdk.core.storage.tables import metadata
from aisdk.core.storage.vectors import vectors_as_binary
from aisdk.errors import AisdkError, NotFound, TenantMismatch
from aisdk.settings import Settings

PROBES: Final = 10_000
TABLES: Final = [table.name for table in metadata.sorted_tables]
TENANTS: Final = st.integers(0, 2)
MODES: Final = st.sampled_from(["hybrid", "dense", "lexical"])
WHERES: Final = st.sampled_from(
    [
        None,
        {},
        {"year": {">=": 2000}},
        {"owner": {"in": ["a", "b", "c"]}},
        {"tenant_id": "other"},
        {"owner": "' OR tenant_id IS NOT NULL --"},
    ]
)
THOROUGH: Final = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


class Watch:
    """Counts what was tried and remembers what leaked."""

    def __init__(self) -> None:
        self.probes = 0

    def see(self, own: str, value: object) -> None:
        """One probe whose answer may hold the own tenant's marks only."""
        self.probes += 1
        strange = set(re.findall(r"mark-(t-[0-9a-f]+)", str(value))) - {own}
        assert not strange, "leak: another tenant's text was read"

    def count(self, rows: int, what: str) -> None:
        """One probe that may reach no row."""
        self.probes += 1
        assert rows == 0, f"leak: {what} reached {rows} rows of another tenant"


def rows_of(status: str) -> int:
    """The count in the tag of a finished command, such as ``UPDATE 3``."""
    return int(status.rsplit(maxsplit=1)[-1])


async def statement_rows(connection: Any, query: str, *arguments: Any) -> int:
    """Rows that a statement changed, then undone; 0 where it was refused."""
    undo = connection.transaction()
    await undo.start()
    try:
        return rows_of(await connection.execute(query, *arguments))
    except asyncpg.PostgresError:
        return 0
    finally:
        await undo.rollback()


async def probe_table(connection: Any, watch: Watch, table: str, own: str, other: str) -> None:
    """Reads, changes, deletes, takes and plants rows of another tenant."""
    name = f"aisdk.{table}"
    everything = f"SELECT count(*) FROM {name} WHERE tenant_id <> $1"
    watch.count(await connection.fetchval(everything, own), f"a scan of {table}")
    for query in (
        f"UPDATE {name} SET tenant_id = tenant_id WHERE tenant_id = $2 AND $1 <> ''",
        f"UPDATE {name} SET tenant_id = $1 WHERE tenant_id = $2",
        f"UPDATE {name} SET tenant_id = $2 WHERE tenant_id = $1",
        f"DELETE FROM {name} WHERE tenant_id = $2 AND $1 <> ''",
    ):
        watch.count(await statement_rows(connection, query, own, other), query[:6])


async def probe_database(client: aisdk.Client, watch: Watch, own: str, other: str) -> None:
    """The SQL of an app that forgets the tenant or names another, with the tenant set."""
    async with client._parts.database.bulk(own) as connection:
        for table in TABLES:
            await probe_table(connection, watch, table, own, other)
        plant = "INSERT INTO aisdk.stores (tenant_id, language) VALUES ($1, 'simple')"
        watch.count(await statement_rows(connection, plant, f"{other}0"), "an insert")
        link = """
        INSERT INTO aisdk.chunks (tenant_id, chunk_id, document_id, start_char, end_char, heading,
                                  text)
        SELECT $1, nextval('aisdk.chunk_ids'), $2, 0, 1, '', 'x'
        """
        key = await foreign_document(client, other)
        if key is not None:
            watch.count(await statement_rows(connection, link, own, key), "a foreign key")
    async with client._parts.database.driver() as connection:
        for table in TABLES:
            query = f"SELECT count(*) FROM aisdk.{table}"
            watch.count(await connection.fetchval(query), f"{table} without a tenant")


async def foreign_document(client: aisdk.Client, tenant: str) -> Any:
    """The key of a document of a tenant, read as itself; ``None`` if it has none."""
    async with client._parts.database.bulk(tenant) as connection:
        return await connection.fetchval("SELECT document_id FROM aisdk.documents LIMIT 1")


async def probe_functions(client: aisdk.Client, watch: Watch, own: str, other: str) -> None:
    """The search functions with the own tenant and another's chunk ids."""
    async with client._parts.database.bulk(other) as connection:
        rows = await connection.fetch("SELECT chunk_id FROM aisdk.chunks")
    theirs = [row[0] for row in rows]
    embedder = client._parts.embedder
    assert embedder is not None
    vector = vectors_as_binary(await embedder.embed(["pump"]))[0]
    fetch = client._parts.database.fetch
    hits = await fetch("SELECT 1 FROM aisdk.hits($1, $2)", own, theirs)
    watch.count(len(hits), "hits()")
    scores = await fetch("SELECT 1 FROM aisdk.chunk_scores($1, $2, $3)", own, vector, theirs)
    watch.count(len(scores), "chunk_scores()")
    within = "SELECT 1 FROM aisdk.search_dense_within($1, NULL, $2, 100, $3)"
    watch.count(len(await fetch(within, own, vector, theirs)), "search_dense_within()")


async def probe_cancelled(client: aisdk.Client, watch: Watch, tenants: list[str]) -> None:
    """Every other of many searches is cancelled on its way; connections keep no tenant."""
    sessions = [client.session(tenant) for tenant in tenants for _ in range(6)]
    tasks = [asyncio.ensure_future(session.rag.query("pump valve")) for session in sessions]
    for task in tasks[::2]:
        await asyncio.sleep(0.0005)
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for place, answer in enumerate(answers):
        watch.see(tenants[place // 6], list(answer) if isinstance(answer, aisdk.AsyncPage) else "")
    for _ in tenants:
        async with client._parts.database.driver() as connection:
            left = await connection.fetchval("SELECT current_setting('aisdk.tenant_id', true)")
            watch.count(len(left or ""), "a pooled connection")


class Tenants(RuleBasedStateMachine):
    """Three tenants with documents of the same words, each bearing its tenant's mark."""

    def __init__(self, client: aisdk.Client, watch: Watch, name: Callable[[], str]) -> None:
        super().__init__()
        self.client = client
        self.watch = watch
        self.names = [name() for _ in range(3)]
        self.held: list[dict[str, str]] = [{}, {}, {}]
        self.cursors: list[str | None] = [None, None, None]
        self.last = 0

    def call(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """Awaits on the client's loop."""
        self.client.start()

        async def run() -> Any:
            return await work(*arguments)

        return self.client._portal.call(run)

    def session(self, tenant: int) -> aisdk.Session:
        """The blocking face of a tenant."""
        self.last = tenant
        return aisdk.connect(self.names[tenant], client=self.client)

    @initialize()
    def fill(self) -> None:
        """Everybody has two documents."""
        for tenant in range(3):
            self.add(tenant, 0)
            self.add(tenant, 1)

    @rule(tenant=TENANTS, number=st.integers(0, 5))
    def add(self, tenant: int, number: int) -> None:
        """The same sources and words for all."""
        mark = f"mark-{self.names[tenant]}"
        metadata: dict[str, Any] = {"year": 2000 + number, "owner": "abc"[tenant], "mark": mark}
        text = f"The pump and the valve {number} of {mark}."
        document = Document(text, source=f"s{number}", title=mark, metadata=metadata)
        result = self.session(tenant).documents.add([document], progress=False)
        self.watch.see(self.names[tenant], list(result))
        self.held[tenant][f"s{number}"] = str(result[0].document_id)

    @rule(tenant=TENANTS, mode=MODES, where=WHERES, top_k=st.integers(1, 50))
    def query(self, tenant: int, mode: Any, where: Any, top_k: int) -> None:
        """No mode and no filter finds another's chunks."""
        page = self.session(tenant).rag.query(
            "pump valve mark", mode=mode, where=where, top_k=top_k
        )
        self.watch.see(self.names[tenant], page.to_frame().to_csv())
        self.watch.see(self.names[tenant], page._repr_html_())
        assert len(page) <= len(self.held[tenant])

    @rule(tenant=TENANTS)
    def explain(self, tenant: int) -> None:
        """Nor does explaining."""
        self.watch.see(self.names[tenant], list(self.session(tenant).rag.explain("pump")))

    @rule(tenant=TENANTS, where=WHERES, order=st.sampled_from(["source", "-created_at"]))
    def listing(self, tenant: int, where: Any, order: Any) -> None:
        """A listing has the own documents, all of them without a filter."""
        session = self.session(tenant)
        page = session.documents.list(where=where, order=order, limit=1)
        self.watch.see(self.names[tenant], page.collect(progress=False).to_frame().to_csv())
        if not where:
            assert session.documents.count() == len(self.held[tenant])
            if order == "source":
                self.cursors[tenant] = page.cursor

    @rule(tenant=TENANTS, other=TENANTS)
    def use_cursor(self, tenant: int, other: int) -> None:
        """A cursor works for the tenant that got it alone, changed or not."""
        cursor = self.cursors[other]
        if tenant == other or cursor is None:
            return
        for stolen in (cursor, cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")):
            with pytest.raises(AisdkError) as raised:
                self.session(tenant).documents.list(cursor=stolen)
            assert isinstance(raised.value, TenantMismatch) or stolen != cursor
            self.watch.probes += 1

    @rule(tenant=TENANTS, other=TENANTS)
    def use_key(self, tenant: int, other: int) -> None:
        """Another's document cannot be got, changed or deleted by its key."""
        if tenant == other or not self.held[other]:
            return
        key = next(iter(self.held[other].values()))
        documents = self.session(tenant).documents
        for attempt in (
            lambda: documents.get(key),
            lambda: documents.update(key, title="taken"),
            lambda: documents.delete(key),
        ):
            with pytest.raises(NotFound):
                attempt()
            self.watch.probes += 1

    @rule(tenant=TENANTS)
    def delete(self, tenant: int) -> None:
        """Deleting everything deletes the own documents."""
        deleted = self.session(tenant).documents.delete(where={"year": {">=": 2000}})
        self.watch.probes += 1
        assert deleted == len(self.held[tenant])
        self.held[tenant] = {}

    @rule()
    def cancel(self) -> None:
        """Searches of all, half of them cancelled."""
        self.call(probe_cancelled, self.client, self.watch, self.names)

    @precondition(lambda self: self.held[0] or self.held[1] or self.held[2])
    @invariant()
    def sweep(self) -> None:
        """The database itself refuses, whatever was done last."""
        own, other = self.names[self.last], self.names[(self.last + 1) % 3]
        self.call(probe_database, self.client, self.watch, own, other)
        self.call(probe_functions, self.client, self.watch, own, other)

    def teardown(self) -> None:
        """Everybody has what they added."""
        for tenant in range(3):
            page = self.session(tenant).documents.list(limit=100)
            found = {row.source: row.document_id for row in page}
            assert found == self.held[tenant], "another tenant changed these documents"


def run(machine: Callable[[], Tenants], how: settings) -> None:
    """Runs a state machine that is made with arguments."""
    run_state_machine_as_test(
        machine, settings=how  # type: ignore[arg-type]  # a factory serves as well as a class
    )


@pytest.fixture
def names() -> Callable[[], str]:
    """Fresh tenants."""
    return lambda: f"t-{uuid.uuid4().hex[:12]}"


def test_tenants_never_reach_each_other(
    minilm_client: aisdk.Client, names: Callable[[], str]
) -> None:
    """Ten thousand probes through verbs, SQL, cursors, filters, keys and cancellation."""
    watch = Watch()
    run(lambda: Tenants(minilm_client, watch, names), THOROUGH)
    assert watch.probes >= PROBES


def test_without_row_level_security_the_same_probes_fail(
    tmp_path_factory: pytest.TempPathFactory, short_home: Path, names: Callable[[], str]
) -> None:
    """The control: the probes notice when the wall in the database is taken away."""
    with aisdk.Client(Settings(home=short_home, embedding="minilm")) as client:
        client.start()
        server = client._parts.server
        assert server is not None
        address = server.address("aisdk_owner")

        async def open_the_walls() -> None:
            connection = await asyncpg.connect(address)
            for table in TABLES:
                await connection.execute(f"ALTER TABLE aisdk.{table} DISABLE ROW LEVEL SECURITY")
            await connection.close()

        asyncio.run(open_the_walls())
        watch = Watch()
        with pytest.raises(AssertionError, match="leak"):
            run(lambda: Tenants(client, watch, names), settings(THOROUGH, max_examples=3))
    assert watch.probes < PROBES
