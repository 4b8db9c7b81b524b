"""A tenant that is erased, and another one of its name: neither is served as the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import aisdk
from aisdk import Document
from aisdk.core.documents import writing
from aisdk.core.runtime.guard import Standing
from aisdk.core.tenants.directory import Directory
from aisdk.errors import TenantSuspended, TenantUnknown
from aisdk.settings import Settings


class Halting:
    """Documents of which the last hundred come when they are told to."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __iter__(self) -> Iterator[Document]:
        for number in range(1_100):
            if number == 1_000:
                self.reached.set()
                self.go_on.wait(20)
            yield Document(f"old pump {number}", source=f"old{number}")


async def add_through_erasing(client: aisdk.Client, tenant: str) -> tuple[object, list[str]]:
    """What becomes of an ``add`` whose tenant is erased and made again meanwhile; who has what."""
    documents = Halting()
    await client.tenants.create(tenant, tier="unlimited")
    adding = asyncio.ensure_future(client.documents.add(tenant, documents, progress=False))
    assert await asyncio.to_thread(documents.reached.wait, 20)
    while await client.documents.count(tenant) < 960:  # noqa: ASYNC110  # four batches, not told
        await asyncio.sleep(0.01)
    await client.tenants.erase(tenant)
    await client.tenants.create(tenant, tier="unlimited")
    await client.documents.add(tenant, [Document("mine", source="new")], progress=False)
    documents.go_on.set()
    (outcome,) = await asyncio.gather(adding, return_exceptions=True)
    page = await client.documents.list(tenant, limit=10_000)
    return outcome, [row.source for row in page]


async def test_running_add_does_not_fill_the_next_tenant_of_the_name(
    client: aisdk.Client, tenant: str
) -> None:
    """It ends with an error, and the new tenant has its own document alone."""
    outcome, sources = await add_through_erasing(client, tenant)
    assert isinstance(outcome, TenantUnknown)
    assert sources == ["new"]


async def test_running_add_would_fill_it_where_names_alone_are_compared(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without looking at when the tenant was made, it gets the old one's documents."""
    monkeypatch.setattr(writing, "current_standing", lambda: None)
    _, sources = await add_through_erasing(client, tenant)
    assert len(sources) > 1


async def test_running_delete_does_not_empty_the_next_tenant_of_the_name(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that began before the erasing and gets its turn after it changes nothing."""
    await client.documents.add(tenant, [Document("old", source="a")], progress=False)
    old = await client._portal.hop(lambda: client._parts.directory.find(tenant))
    await client.tenants.erase(tenant)
    await client.documents.add(tenant, [Document("mine", source="a")], progress=False)
    monkeypatch.setattr(writing, "current_standing", lambda: old)
    with pytest.raises(TenantUnknown):
        await client.documents.delete(tenant, where={})
    monkeypatch.undo()
    assert await client.documents.count(tenant) == 1
    assert await client.documents.delete(tenant, where={}) == 1, "the control"


async def test_suspension_counts_although_somebody_was_just_asking(
    client: aisdk.Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer from before the change is neither shared nor remembered."""
    await client.tenants.create(tenant, tier="unlimited")
    read, asked, go_on = Directory._read, threading.Event(), threading.Event()

    async def slow(self: Directory, tenant_id: str) -> Standing | None:
        standing = await read(self, tenant_id)
        if not asked.is_set():
            asked.set()
            await asyncio.to_thread(go_on.wait, 20)
        return standing

    monkeypatch.setattr(Directory, "_read", slow)
    before = asyncio.ensure_future(client.documents.count(tenant))
    assert await asyncio.to_thread(asked.wait, 20)
    monkeypatch.undo()
    await client.tenants.update(tenant, state="suspended")
    with pytest.raises(TenantSuspended):
        await client.documents.count(tenant)
    go_on.set()
    assert await before == 0, "the control: that one began before"
    with pytest.raises(TenantSuspended):
        await client.documents.count(tenant)


async def test_hurried_tenant_does_not_get_away_from_its_bill(
    client: aisdk.Client, tenant: str
) -> None:
    """Asking for one's usage without leaving time for it loses none of it."""
    await client.tenants.create(tenant, tier="unlimited")
    hurried = client.session(tenant).with_options(deadline_s=0.001)
    for _ in range(20):
        await client.documents.count(tenant)
        await asyncio.gather(hurried.usage.list(), return_exceptions=True)
    rows = {row.verb: row.calls for row in await client.usage.list(tenant)}
    assert rows["documents.count"] == 20


async def test_use_of_an_erased_tenant_is_not_billed_to_the_next_of_its_name(
    client: aisdk.Client, home: Path, tenant: str
) -> None:
    """Also where another client holds it; what the next one uses there is its own."""
    async with aisdk.Client(Settings(home=home, embedding="none")) as other:

        async def flush() -> None:
            await other._portal.hop(lambda: other._parts.recorder.flush(tenant))

        await other.documents.count(tenant)
        await flush()
        rows = await client.usage.list(tenant)
        assert [row.calls for row in rows if row.verb == "documents.count"] == [1], "the control"
        await other.documents.count(tenant)
        await client.tenants.erase(tenant)
        await client.tenants.create(tenant)
        await flush()
        assert "documents.count" not in {row.verb for row in await client.usage.list(tenant)}
        other._parts.directory.forget(tenant)  # as after five seconds
        await other.documents.count(tenant)
        await flush()
        rows = await client.usage.list(tenant)
        assert [row.calls for row in rows if row.verb == "documents.count"] == [1]
