"""Exports and imports at their limits, those that do not end well, and folders of others."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import aisdk
from aisdk import Document
from aisdk.errors import DeadlineExceeded, InvalidInput, TenantUnknown, Unavailable


def texts(count: int) -> list[Document]:
    """Documents of a few words."""
    return [Document(f"pump number {n}", source=f"s{n:05}") for n in range(count)]


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [path.name for path in folder.iterdir()]


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


LARGE: dict[str, list[dict[str, Any]]] = {
    "documents of 256 KiB": [{"v": "x" * 262_130}] * 260,
    "numbers that are written out": [{"v": [1e300] * 1_000}],
    "as many as fit": [{"v": [1e300] * 37_000}, {"v": [5e-324] * 36_000}],
    "floats without a fraction": [{"x": 1e20}, {"x": -1e308}, {"x": 2.0**63}, {"x": 2**62}],
    "depth": [{"v": json.loads("[" * 16 + "]" * 16)}],
    "texts": [{"\u00e9": "\U0001f600 \\u0000 \x01 \n"}],
}


@pytest.mark.parametrize("metadata", LARGE.values(), ids=LARGE.keys())
async def test_what_can_be_added_comes_back_as_it_was(
    client: aisdk.Client, tenant: str, tmp_path: Path, metadata: list[dict[str, Any]]
) -> None:
    """Whatever its metadata, letter by letter."""
    given = [Document(f"t {n}", f"s{n}", metadata=each) for n, each in enumerate(metadata)]
    await client.documents.add(tenant, given, progress=False)
    before = await stored(client, tenant)
    assert len(before) == len(metadata)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    await client.tenants.erase(tenant)
    await client.tenants.import_(folder)
    assert await stored(client, tenant) == before
    await client.tenants.erase(tenant)


async def stored(client: aisdk.Client, tenant: str) -> list[Any]:
    """The metadata as the database has them."""
    query = "SELECT source, metadata::text FROM aisdk.documents WHERE tenant_id = $1 ORDER BY 1"

    async def read() -> list[Any]:
        async with client._parts.platform_database.bulk(tenant) as connection:
            return [tuple(row) for row in await connection.fetch(query, tenant)]

    return await client._portal.hop(read)


async def test_number_that_no_float_holds_is_not_imported(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """The largest float is; what is above it would be read as infinite."""
    await client.documents.add(tenant, texts(1), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    largest = int(sys.float_info.max)
    for number, copy in ((largest, f"{tenant}-copy"), (2**1024 - 1, f"{tenant}-other")):
        set_metadata(folder, f'{{"n": {number}}}')
        if number > largest:
            with pytest.raises(InvalidInput, match="cannot be stored"):
                await client.tenants.import_(folder, tenant_id=copy)
            continue
        await client.tenants.import_(folder, tenant_id=copy)
        (found,) = await client.documents.list(copy)
        assert found.metadata == {"n": sys.float_info.max}
        assert type(found.metadata["n"]) is float


def set_metadata(folder: Path, text: str) -> None:
    """Gives the documents of an export other metadata, and the manifest their digest."""
    path, about = folder / "documents.parquet", folder / "manifest.json"
    table = pq.read_table(path)
    place = table.column_names.index("metadata")
    column = pa.array([text] * len(table), table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    manifest = json.loads(about.read_text("utf-8"))
    manifest["files"][path.name]["sha256"] = sha256(path.read_bytes()).hexdigest()
    about.write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize("name", ["manifest.json", "documents.parquet"])
@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "link to outside"])
async def test_what_is_no_file_of_the_folder_is_not_read(
    client: aisdk.Client, tenant: str, tmp_path: Path, kind: str, name: str
) -> None:
    """Devices have no end, and pipes may have no beginning."""
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    real = (folder / name).rename(tmp_path / name)
    make: dict[str, Callable[[], object]] = {
        "device": lambda: (folder / name).symlink_to("/dev/zero"),
        "pipe": lambda: os.mkfifo(folder / name),
        "folder": (folder / name).mkdir,
        "link to outside": lambda: (folder / name).symlink_to(real),
    }
    make[kind]()
    async with asyncio.timeout(10):
        with pytest.raises(InvalidInput, match=r"tenants\.export"):
            await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")


async def test_links_within_the_folder_are_followed(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """And one to the folder itself."""
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    (folder / "chunks.parquet").rename(folder / "other")
    (folder / "chunks.parquet").symlink_to("other")
    (tmp_path / "link").symlink_to(folder)
    made = await client.tenants.import_(tmp_path / "link", tenant_id=f"{tenant}-copy")
    assert made.documents == 3


async def test_manifest_is_read_to_a_limit(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """A file may be longer than its manifest may be."""
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    with (folder / "manifest.json").open("a") as file:
        file.write(" " * 2**20)
    with pytest.raises(InvalidInput, match="too large"):
        await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")


async def test_export_that_fails_can_be_repeated(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """It leaves nothing in the folder nor beside it."""
    await client.documents.add(tenant, texts(3_000), progress=False)
    for deadline_s in (0.02, 0.05):
        with pytest.raises(DeadlineExceeded):
            await client.tenants.with_options(deadline_s=deadline_s).export(tenant, tmp_path / "a")
    assert names(tmp_path) == []
    folder = await client.tenants.export(tenant, tmp_path / "a")
    assert (await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")).documents == 3_000


async def test_export_can_be_read_by_its_owner_alone(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """Also where the folder was there before, open to all."""
    (tmp_path / "out").mkdir(mode=0o755)
    await client.documents.add(tenant, texts(3), progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    written = ("chunks.parquet", "documents.parquet", "manifest.json")
    assert modes == dict.fromkeys(written, 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert names(tmp_path) == ["out"]


def rewritten(folder: Path, **options: Any) -> None:
    """Writes the tables of an export again, in another way, with digests that fit."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, about in manifest["files"].items():
        pq.write_table(pq.read_table(folder / name), folder / name, **options)
        about["sha256"] = sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def test_export_with_dictionaries_is_imported(
    client: aisdk.Client, tenant: str, folder: Path
) -> None:
    """As exports were written once; now none has them, which may stand for much more."""
    assert dictionaries(folder) == [False, False]
    rewritten(folder)
    assert dictionaries(folder) == [True, True]
    made = await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert (made.documents, made.chunks) == (3_000, 3_000)


def dictionaries(folder: Path) -> list[bool]:
    """Whether the first columns of its tables have one."""
    groups = [pq.read_metadata(path).row_group(0) for path in folder.glob("*.parquet")]
    return [group.column(0).has_dictionary_page for group in groups]


async def test_export_that_is_packed_tighter_is_refused(
    client: aisdk.Client, tenant: str, folder: Path
) -> None:
    """It could be small, and ask for any amount of memory."""
    rewritten(folder, compression="zstd")
    with pytest.raises(InvalidInput, match="cannot be read") as error:
        await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert error.value.hint


async def test_rows_that_are_written_together_are_few_where_they_are_large(
    client: aisdk.Client, tenant: str, tmp_path: Path
) -> None:
    """So that an import can refuse groups that are larger."""
    metadata: dict[str, Any] = {"v": [1e300] * 37_000}  # eleven megabytes, written out
    given = [Document(f"t {n}", f"s{n}", metadata=metadata) for n in range(5)]
    await client.documents.add(tenant, given, progress=False)
    folder = await client.tenants.export(tenant, tmp_path / "out")
    about = pq.read_metadata(folder / "documents.parquet")
    assert [about.row_group(n).num_rows for n in range(about.num_row_groups)] == [2, 2, 1]
    made = await client.tenants.import_(folder, tenant_id=f"{tenant}-copy")
    assert made.documents == 5
