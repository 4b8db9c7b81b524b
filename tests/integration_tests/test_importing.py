"""Imports that do not end well, and folders that no export has written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import aisdk
from aisdk import Document
from aisdk.errors import AisdkError, DeadlineExceeded, TenantUnknown, Unavailable


def texts(count: int) -> list[Document]:
    """Documents of a few words."""
    return [Document(f"pump number {n}", source=f"s{n:05}") for n in range(count)]


@pytest.fixture
async def folder(client: aisdk.Client, tenant: str, tmp_path: Path) -> Path:
    """An export of some batches of documents."""
    await client.documents.add(tenant, texts(3_000), progress=False)
    return await client.tenants.export(tenant, tmp_path / "out")


@pytest.mark.parametrize("deadline_s", [0.03, 0.1, 0.2])
async def test_import_that_runs_out_of_time_leaves_no_tenant(
    client: aisdk.Client, tenant: str, folder: Path, deadline_s: float
) -> None:
    """Wherever it was; with more time it goes through."""
    name = f"{tenant}-copy"
    with pytest.raises(DeadlineExceeded):
        await client.tenants.with_options(deadline_s=deadline_s).import_(folder, tenant_id=name)
    with pytest.raises(TenantUnknown):
        await client.tenants.get(name)
    made = await client.tenants.import_(folder, tenant_id=name)
    assert (made.documents, made.state) == (3_000, "active")
    await client.tenants.erase(name)


async def test_import_tells_of_a_tenant_that_it_could_not_remove(
    client: aisdk.Client,
    tenant: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is that of the import; the log names the tenant."""
    from aisdk.core.tenants.store import TenantStore

    async def refuse(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(TenantStore, "erase", refuse)
    name = f"{tenant}-copy"
    with caplog.at_level("WARNING", logger="aisdk"), pytest.raises(DeadlineExceeded):
        await client.tenants.with_options(deadline_s=0.2).import_(folder, tenant_id=name)
    (told,) = [r for r in caplog.records if r.getMessage() == "tenants.left_behind"]
    assert (told.tenant_id, told.error) == (name, "unavailable")  # type: ignore[attr-defined]  # fields of ours
    monkeypatch.undo()
    await client.tenants.erase(name)
