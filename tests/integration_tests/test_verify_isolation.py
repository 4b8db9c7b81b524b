"""``verify_isolation`` on a production-like set-up: whole, cancelled, failing, crowded."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from typing import Any, Final

import pandas as pd
import pytest
from breaking import unchecked_envelope, unsigned_cursor
from production import Production, produced
from pydantic import SecretStr

import aisdk
from aisdk.__main__ import main
from aisdk.core.isolation import service
from aisdk.core.isolation.subjects import TABLES, plant
from aisdk.core.runtime.limits import Limiter
from aisdk.core.tenants.service import TenantsService
from aisdk.errors import ConfigError, DeadlineExceeded, QuotaExceeded

PROBES: Final = 18
OURS: Final = "verify-isolation-"


@pytest.fixture(scope="module")
def production() -> Iterator[Production]:
    """The set-up, for the whole module."""
    with produced() as made:
        yield made


@pytest.fixture
def platform(production: Production) -> Iterator[aisdk.Client]:
    """A client that serves tenants and may register them."""
    with aisdk.Client(production.settings()) as client:
        yield client
    assert production.left(OURS) == 0, "throw-away tenants were left behind"


def failed(rows: aisdk.Rows[Any]) -> dict[str, int]:
    """The probes that did not pass, and how often they leaked."""
    return {row.probe: row.leaked for row in rows if not row.passed}


async def test_production_is_verified_and_left_as_it_was(
    platform: aisdk.Client, production: Production
) -> None:
    """Every probe passes with its control caught; the throw-away tenants are gone."""
    rows = await platform.verify_isolation()
    assert failed(rows) == {}
    assert len(rows) == PROBES
    assert all(row.tried > 0 and row.control == "caught" and row.error is None for row in rows)
    assert await asyncio.to_thread(production.left, OURS) == 0


def test_every_kind_of_store_is_probed(minilm_session: aisdk.Session) -> None:
    """Documents, vectors and index, cache, limits, idempotency keys, cursors, usage and files."""
    rows = minilm_session.verify_isolation()
    assert failed(rows) == {}
    told = " ".join(row.probe for row in rows)
    kinds = ("SQL", "search", "cursors", "cached", "rates", "idempotency", "usage", "files")
    assert [kind for kind in kinds if kind not in told] == []
    tried = {row.probe: row.tried for row in rows}
    assert tried["SQL that reads"] >= len(TABLES) - 1, "tombstones may be merged away"


def test_result_reads_well(session: aisdk.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed dtypes; what has not passed stands first, in the frame, the text and the HTML."""
    unchecked_envelope(monkeypatch, None)  # type: ignore[arg-type]  # needs no world
    rows = session.verify_isolation()
    frame = rows.to_frame()
    assert list(frame.columns) == [
        *("probe", "tried", "leaked", "control", "passed", "milliseconds", "error")
    ]
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert (kinds["tried"], kinds["leaked"]) == ("Int64", "Int64")
    assert (kinds["passed"], kinds["milliseconds"]) == ("boolean", "float64")
    assert frame["passed"].tolist() == sorted(frame["passed"])
    assert frame["probe"][0] == "values under a stolen key"
    assert isinstance(frame.set_index("probe")["leaked"], pd.Series)
    assert "values under a stolen key" in repr(rows)
    html = rows._repr_html_()
    assert html.index("values under a stolen key") < html.index("SQL that reads")
    assert html.count("<tr>") == PROBES + 2


def command(production: Production, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command, run in this process."""
    monkeypatch.setenv("AISDK_EMBEDDING", "none")
    for name in ("database", "platform_database"):
        role = production.app if name == "database" else production.platform
        monkeypatch.setenv(f"AISDK_{name.upper()}_URL", production.url(role))
    monkeypatch.setenv("AISDK_DRAGONFLY_URL", f"redis://127.0.0.1:{production.valkey.port}/0")
    return main(["verify-isolation"])


async def broken_limiter(*_: Any) -> Any:
    """Fails in a way that nobody thought of."""
    raise RuntimeError("a secret")


def test_probe_that_fails_is_a_row_and_the_others_go_on(
    production: Production, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the error's code, not its message; the command cannot tell and ends with 2."""
    assert command(production, monkeypatch) == 0
    assert "No tenant reaches another." in capsys.readouterr().out
    monkeypatch.setattr(Limiter, "take", broken_limiter)
    assert command(production, monkeypatch) == 2
    told = capsys.readouterr().out
    first = told.splitlines()[1].split()
    assert (first[0], first[3], first[4], first[6]) == ("rates", "missed", "False", "RuntimeError")
    assert told.count("True") == PROBES - 1
    assert "NOT VERIFIED" in told
    assert "a secret" not in told


class Full(io.StringIO):
    """A standard output whose disk is full."""

    def write(self, _: str, /) -> int:
        """Never works."""
        raise OSError(28, "a secret")


def test_command_that_cannot_tell_ends_with_2(
    production: Production, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 is kept for a leak; of an error that nobody thought of, its name alone is told."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Full())
        assert command(production, monkeypatch) == 2
    told = capsys.readouterr().err
    assert "OSError" in told
    assert "a secret" not in told


def test_leak_ends_the_command_with_1(
    production: Production, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so, whatever else is wrong."""
    monkeypatch.setattr(Limiter, "take", broken_limiter)
    unsigned_cursor(monkeypatch, None)  # type: ignore[arg-type]  # needs no world
    assert command(production, monkeypatch) == 1
    assert "ISOLATION IS BROKEN." in capsys.readouterr().out


def test_cache_that_is_down_is_not_verified(production: Production) -> None:
    """Nothing leaks, but nothing is proved either; no tenant is left in the database."""
    url = SecretStr("redis://127.0.0.1:9/0")
    with aisdk.Client(production.settings(dragonfly_url=url)) as client:
        rows = asyncio.run(client.verify_isolation())
    found = failed(rows)
    assert set(found.values()) == {0}
    assert {"cached values", "values under a stolen key"} <= found.keys()
    assert {row.control for row in rows if row.probe in found} == {"missed"}
    assert production.left(OURS) == 0


@pytest.mark.parametrize("after_s", [0.005, 0.03, 0.1, 0.2, 0.3, 0.5])
async def test_cancelled_run_leaves_nothing_behind(platform: aisdk.Client, after_s: float) -> None:
    """Whenever it is interrupted: the fixture counts what is left."""
    await platform.astart()
    run = asyncio.create_task(platform.verify_isolation())
    await asyncio.sleep(after_s)
    run.cancel()
    await asyncio.wait([run])


async def plant_and_wait(*arguments: Any) -> Any:
    """Plants, and then waits until it is cancelled."""
    await plant(*arguments)
    await asyncio.Event().wait()


async def begun(production: Production, client: aisdk.Client) -> asyncio.Task[Any]:
    """A run that has planted in its first tenant and waits."""
    run = asyncio.create_task(client.verify_isolation())
    for _ in range(600):
        if await asyncio.to_thread(production.left, OURS) > 10:
            return run
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was planted")


async def test_cancelled_run_without_care_leaves_tenants_behind(
    platform: aisdk.Client, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what is left is seen, where the end of the run is left out."""

    async def nothing(work: Any) -> None:
        work.close()

    monkeypatch.setattr(service, "plant", plant_and_wait)
    monkeypatch.setattr(service, "to_its_end", nothing)
    run = await begun(production, platform)
    run.cancel()
    await asyncio.wait([run])
    assert await asyncio.to_thread(production.left, OURS) > 0
    names = [row.tenant_id for row in await platform.tenants.list(limit=100)]
    assert len([name for name in names if name.startswith(OURS)]) == 2
    for name in names:
        await platform.tenants.erase(name)


@pytest.mark.parametrize("budget_s", [0.02, 0.07, 0.15])
async def test_run_out_of_time_leaves_nothing_behind(
    production: Production, budget_s: float
) -> None:
    """The deadline ends the run, not its clearing up."""
    async with aisdk.Client(production.settings(bulk_deadline_s=budget_s)) as client:
        await client.astart()
        with pytest.raises(DeadlineExceeded):
            await client.verify_isolation()
    assert await asyncio.to_thread(production.left, OURS) == 0


async def test_session_s_deadline_is_that_of_its_run(production: Production) -> None:
    """From either session; without one the same run takes as long as it likes."""
    async with aisdk.Client(production.settings()) as client:
        await client.tenants.create("hurried")
        session = client.session("hurried").with_options(deadline_s=0.02)
        with pytest.raises(DeadlineExceeded):
            await session.verify_isolation()
        blocking = await asyncio.to_thread(aisdk.connect, "hurried", client=client)
        with pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(blocking.with_options(deadline_s=0.02).verify_isolation)
        await client.tenants.erase("hurried")
    assert await asyncio.to_thread(production.left, OURS) == 0


async def test_client_that_closes_meanwhile_leaves_nothing_behind(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is cancelled and cleared up before the connections close."""
    monkeypatch.setattr(service, "plant", plant_and_wait)
    client = aisdk.Client(production.settings(shutdown_s=0.3))
    run = await begun(production, client)
    await client.aclose()
    await asyncio.wait([run])
    assert await asyncio.to_thread(production.left, OURS) == 0


async def test_run_that_cannot_plant_says_why_and_leaves_nothing_behind(
    platform: aisdk.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a run is no result: the error of the planting comes out."""

    async def full(*_: Any, **__: Any) -> None:
        raise QuotaExceeded

    monkeypatch.setattr(service, "plant", full)
    with pytest.raises(QuotaExceeded):
        await platform.verify_isolation()


async def test_two_runs_at_once_do_not_disturb_each_other(
    platform: aisdk.Client, production: Production
) -> None:
    """From one client and from two."""
    async with aisdk.Client(production.settings()) as other:
        runs = [client.verify_isolation() for client in (platform, platform, other)]
        assert [failed(rows) for rows in await asyncio.gather(*runs)] == [{}, {}, {}]


async def test_tenants_of_a_killed_run_are_erased_by_a_later_one(
    platform: aisdk.Client, production: Production
) -> None:
    """An hour later, by name and size; no run that goes on, and nobody else's tenant."""
    old = f"{OURS}0123456789ab"
    kept = [f"{OURS}0123456789ac", f"{OURS}team", f"{OURS}0123456789ad", "acme-old"]
    for name in (old, f"{old}-b", *kept):
        await platform.tenants.create(name, tier="unlimited")
    texts = [f"pump {number}" for number in range(4)]
    await platform.documents.add(kept[2], texts, progress=False)
    aged = ", ".join(f"'{name}'" for name in (old, f"{old}-b", *kept[1:]))
    change = (
        f"UPDATE aisdk.tenants SET created_at = now() - interval '2 h' WHERE tenant_id IN ({aged})"
    )
    await asyncio.to_thread(production.sql, production.name, change)
    assert failed(await platform.verify_isolation()) == {}
    names = {row.tenant_id for row in await platform.tenants.list(limit=1_000)}
    assert names == set(kept)
    for name in kept:
        await platform.tenants.erase(name)


def test_session_without_the_platforms_role_is_told_what_to_set(
    platform: aisdk.Client, production: Production
) -> None:
    """Before anything is written."""
    asyncio.run(platform.tenants.create("acme", tier="unlimited"))
    with aisdk.Client(production.settings(platform_database_url=None)) as client:
        session = aisdk.connect("acme", client=client)
        with pytest.raises(ConfigError, match="AISDK_PLATFORM_DATABASE_URL"):
            session.verify_isolation()
        with pytest.raises(ConfigError, match="AISDK_PLATFORM_DATABASE_URL"):
            asyncio.run(session.asynchronous().verify_isolation())
    asyncio.run(platform.tenants.erase("acme"))


def test_tiers_of_the_platform_do_not_matter(production: Production) -> None:
    """There may be one tier alone, and it may allow next to nothing."""
    small = production.another()
    small.sql(small.name, "DELETE FROM aisdk.tiers WHERE tier <> 'free'")
    small.sql(small.name, "UPDATE aisdk.tiers SET documents = 1, burst = 1, tokens_per_minute = 1")
    with aisdk.Client(small.settings()) as client:
        assert failed(asyncio.run(client.verify_isolation())) == {}
    small.sql("postgres", f"DROP DATABASE {small.name}")


async def test_tenants_that_cannot_be_erased_are_told_in_the_log(
    platform: aisdk.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By their names, so that an operator can."""
    erase: Any = platform._parts.tenants.store.erase
    refuse = QuotaExceeded()

    async def refused(_: Any, tenant_id: str) -> Any:
        if tenant_id.startswith(OURS):
            raise refuse
        return await erase(tenant_id)

    monkeypatch.setattr(type(platform._parts.tenants.store), "erase", refused)
    rows = await platform.verify_isolation()
    assert {row.probe: row.error for row in rows if not row.passed} == {"erasing": refuse.code}
    left = [r for r in caplog.records if r.getMessage() == "isolation.left_behind"]
    assert len(left) == 2
    monkeypatch.undo()
    for record in left:
        await platform.tenants.erase(record.tenant_id)  # type: ignore[attr-defined]  # a field of the event


def test_erasing_is_the_register_s_own(client: aisdk.Client) -> None:
    """What is probed is what tenants get: the verb itself, not a way around it."""
    verb = client._parts.isolation.subjects.erase
    assert verb.__func__ is TenantsService.erase
