"""``verify_isolation`` where a wall is broken: the probe of that wall must find it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from breaking import (
    Breaking,
    forgetful_cache,
    forgetful_keys,
    forgetful_limiter,
    lasting_tenant,
    unchecked_envelope,
    unsigned_cursor,
    wide_erasing,
)
from production import Production, produced

import aisdk
from aisdk.core.tenants import moving
from aisdk.core.usage.recorder import Recorder

PROBES: Final = 18


def failed(rows: aisdk.Rows[Any]) -> dict[str, int]:
    """The probes that did not pass, and how often they leaked."""
    return {row.probe: row.leaked for row in rows if not row.passed}


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    """The set-up, for the whole module."""
    with produced() as made:
        yield made


def bill_the_first(patch: pytest.MonkeyPatch, _: Any) -> None:
    """Tokens are billed to whoever called first."""
    call, tokens = Recorder.call, Recorder.tokens
    first: dict[str, str] = {}

    def came(self: Any, tenant_id: str, *told: Any, **more: Any) -> None:
        first.setdefault("tenant", tenant_id)
        call(self, tenant_id, *told, **more)

    def record(self: Any, tenant_id: str, verb: str, count: int) -> None:
        tokens(self, first.get("tenant", tenant_id), verb, count)

    patch.setattr(Recorder, "call", came)
    patch.setattr(Recorder, "tokens", record)


BREAKS: Final[list[tuple[Breaking, str]]] = [
    (forgetful_cache, "cached values"),
    (unchecked_envelope, "values under a stolen key"),
    (wide_erasing, "erasing"),
    (forgetful_limiter, "rates"),
    (forgetful_keys, "idempotency keys"),
    (unsigned_cursor, "cursors"),
    (bill_the_first, "usage"),
    (lasting_tenant, "connections after cancellation"),
]


@pytest.mark.parametrize(("breaking", "probe"), BREAKS)
def test_broken_part_is_found(
    production: Production, monkeypatch: pytest.MonkeyPatch, breaking: Any, probe: str
) -> None:
    """The probe of that part leaks; the others are made all the same, and nothing is left."""
    breaking(monkeypatch, None)
    with aisdk.Client(production.settings()) as client:
        rows = asyncio.run(client.verify_isolation())
        assert failed(rows)[probe] > 0
        assert len(rows) == PROBES
        assert sum(row.passed for row in rows) > PROBES / 2
    production.valkey.client().flushall()
    assert production.left("verify-isolation-") == 0


HITS: Final = """
CREATE OR REPLACE FUNCTION aisdk.hits(p_tenant text, p_chunks bigint[])
RETURNS TABLE (
    chunk_id bigint, document_id text, title text, source text, text text,
    start_char int, end_char int, heading text, metadata jsonb
)
LANGUAGE sql STABLE AS $$
    SELECT c.chunk_id, '', '', '', c.text, 0, 0, '', '{}'::jsonb
    FROM aisdk.chunks AS c WHERE c.chunk_id = ANY (p_chunks)
$$
"""
NO_WALL: Final = "CREATE POLICY careless ON aisdk.{} USING (true) WITH CHECK (true)"
CHANGES: Final = [
    ([NO_WALL.format("documents")], "SQL that reads"),
    ([NO_WALL.format("idempotency")], "SQL that writes"),
    ([NO_WALL.format("usage")], "SQL that plants"),
    (["GRANT UPDATE ON aisdk.tenants TO {app}"], "SQL on the register"),
    (["GRANT INSERT ON aisdk.tiers TO {app}"], "SQL on the register"),
    ([NO_WALL.format("chunks"), HITS], "SQL functions"),
    ([NO_WALL.format("jobs")], "SQL that reads"),
]


@pytest.mark.parametrize(("changes", "probe"), CHANGES)
def test_broken_database_is_found(production: Production, changes: list[str], probe: str) -> None:
    """Each in a database of its own."""
    broken = production.another()
    for change in changes:
        broken.sql(broken.name, change.replace("{app}", broken.app))
    with aisdk.Client(broken.settings()) as client:
        rows = asyncio.run(client.verify_isolation())
    assert failed(rows)[probe] > 0
    assert broken.left("verify-isolation-") == 0
    broken.sql("postgres", f"DROP DATABASE {broken.name}")


def test_careless_export_is_found(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the statement nor the database keeps the tenants apart."""
    broken = production.another()
    broken.sql(broken.name, NO_WALL.format("chunks"))
    query = moving.READ_CHUNKS.replace("c.tenant_id = $1", "$1 <> ''")
    assert query != moving.READ_CHUNKS
    monkeypatch.setattr(moving, "READ_CHUNKS", query)
    with aisdk.Client(broken.settings()) as client:
        assert failed(asyncio.run(client.verify_isolation()))["exported files"] == 1
    broken.sql("postgres", f"DROP DATABASE {broken.name}")
