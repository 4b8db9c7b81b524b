"""A tenant as a folder: a manifest and two Parquet files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from aisdk.core.documents.store import DocumentStore
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.together import to_its_end
from aisdk.core.storage.engine import Database
from aisdk.core.tenants.folder import (
    CHUNKS,
    DOCUMENTS,
    FORMAT,
    MANIFEST,
    VERSION,
    batches,
    chunk_schema,
    digest,
    document_schema,
    read_manifest,
)
from aisdk.core.tenants.store import TenantStore
from aisdk.errors import AisdkError, InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from aisdk.core.tenants.service import Begin

__all__ = ["Moving"]

ROWS: Final = 2_000  # rows written at a time
ERASE_S: Final = 60.0  # removing what was imported before an import failed
ABOUT: Final = """
SELECT t.tier, t.state, t.settings::text AS settings, s.language, s.embedding_model,
       s.embedding_dimension
FROM aisdk.tenants AS t LEFT JOIN aisdk.stores AS s ON s.tenant_id = t.tenant_id
WHERE t.tenant_id = $1
"""
READ_DOCUMENTS: Final = """
SELECT document_id::text, source, title, metadata::text, content_key, size_bytes, chunk_count,
       created_at, updated_at
FROM aisdk.documents WHERE tenant_id = $1 AND state = 'ready' ORDER BY document_id
"""
READ_CHUNKS: Final = """
SELECT c.document_id::text, c.start_char, c.end_char, c.heading, c.text, v.embedding
FROM aisdk.chunks AS c
LEFT JOIN aisdk.chunk_vectors AS v ON v.tenant_id = $1 AND v.chunk_id = c.chunk_id
WHERE c.tenant_id = $1 ORDER BY c.document_id, c.start_char
"""
SET_TIMES: Final = """
UPDATE aisdk.documents AS d SET created_at = t.created_at, updated_at = t.updated_at
FROM unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[])
     AS t (document_id, created_at, updated_at)
WHERE d.tenant_id = $1 AND d.document_id = t.document_id
"""


class Moving:
    """Writes tenants into folders and reads them back, a few thousand rows at a time.

    Args:
        database: The platform role's.
        analyzer: Language → its analyzer.
        log: Where it is told what could not be removed.
    """

    def __init__(
        self,
        database: Database,
        analyzer: Callable[[str], Any],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._database = database
        self._analyzer = analyzer
        self._log = log

    async def export(self, tenant_id: str, folder: Path) -> Path:
        """Writes the tenant; the folder."""
        await asyncio.to_thread(_prepare, folder)
        async with self._database.snapshot(tenant_id) as connection:
            about = dict(await connection.fetchrow(ABOUT, tenant_id))
            about["settings"] = json.loads(about["settings"])
            dimension = about["embedding_dimension"]
            documents = await _write(
                folder / DOCUMENTS, document_schema(), _rows(connection, READ_DOCUMENTS, tenant_id)
            )
            chunks = await _write(
                folder / CHUNKS,
                chunk_schema(dimension),
                _rows(connection, READ_CHUNKS, tenant_id),
            )
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "tenant_id": tenant_id,
            **about,
            "exported_at": datetime.now(UTC).isoformat(),
            "files": {DOCUMENTS: documents, CHUNKS: chunks},
        }
        text = json.dumps(manifest, indent=2)
        await asyncio.to_thread((folder / MANIFEST).write_text, text, "utf-8")
        return folder

    async def import_(self, folder: Path, tenant_id: str | None, begin: Begin) -> str:
        """Makes the tenant, registered by ``begin``; its name."""
        manifest = await asyncio.to_thread(read_manifest, folder)
        name: str = manifest["tenant_id"] if tenant_id is None else tenant_id
        register = TenantStore(self._database)
        made = False

        async def make() -> None:
            nonlocal made
            await begin(name, manifest["tier"], manifest["settings"])
            made = True

        try:
            await to_its_end(make())  # else nobody knew whether the tenant is ours
            if manifest["language"] is not None:
                await self._fill(name, folder, manifest)
            await register.change(name, {"state": manifest["state"]})
        except BaseException:
            if made:
                await to_its_end(self._erase(name))
            raise
        return name

    async def _erase(self, tenant_id: str) -> None:
        """Removes what was imported of a tenant, within a time of its own."""
        try:
            async with asyncio.timeout(ERASE_S):
                await TenantStore(self._database).erase(tenant_id)
        except (AisdkError, TimeoutError) as error:
            code = error.code if isinstance(error, AisdkError) else "timeout"
            self._log.warning("tenants.left_behind", tenant_id=tenant_id, error=code)

    async def _fill(self, tenant_id: str, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Stores the documents of the files, a batch at a time."""
        analyzer = self._analyzer(manifest["language"])
        store = DocumentStore(self._database)
        await store.open(tenant_id, manifest["language"])
        read = batches(folder, manifest, tenant_id)
        while (found := await asyncio.to_thread(next, read, None)) is not None:
            batch, times = found
            segment = await asyncio.to_thread(index_batch, batch, analyzer)
            await store.put(tenant_id, batch, segment, Limits())
            ids = [row.document_id for row in batch.documents]
            async with self._database.bulk(tenant_id) as connection:
                await connection.execute(SET_TIMES, tenant_id, ids, *times)


async def _rows(connection: Any, query: str, tenant_id: str) -> AsyncIterator[Sequence[Any]]:
    """The rows of a query, a few thousand at a time."""
    cursor = await connection.cursor(query, tenant_id)
    while rows := await cursor.fetch(ROWS):
        yield rows


async def _write(
    path: Path, schema: pa.Schema, groups: AsyncIterator[Sequence[Any]]
) -> dict[str, Any]:
    """Writes rows as Parquet; how many there were, and the file's digest."""
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        async for rows in groups:
            count += len(rows)
            await asyncio.to_thread(_write_group, writer, schema, rows)
    return {"rows": count, "sha256": await asyncio.to_thread(digest, path)}


def _write_group(writer: Any, schema: pa.Schema, rows: Sequence[Any]) -> None:
    import pyarrow as pa

    columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    if schema.names[-1] == "embedding":
        columns[-1] = [None if data is None else _vector(data) for data in columns[-1]]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _vector(data: bytes) -> np.ndarray[Any, Any]:
    """The numbers of a binary vector: four bytes of header, then big-endian float32."""
    return np.frombuffer(data, ">f4", offset=4).astype("<f4")


def _taken(path: Path) -> bool:
    """Whether the file was made by us now: of two exports at once one is refused."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir()) and _taken(folder / DOCUMENTS)
    except (OSError, ValueError) as error:  # a path with NUL is a ValueError
        raise InvalidInput(
            f"The folder cannot be written ({type(error).__name__}).", hint="Give another path."
        ) from None
    if not empty:
        raise InvalidInput("The folder is not empty.", hint="Give a path that is not there yet.")
