"""A tenant as a folder: a manifest and two Parquet files."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
import structlog

from aisdk.core.documents.store import DocumentStore
from aisdk.core.documents.writing import index_batch
from aisdk.core.runtime.ending import Ending, current_ending
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.together import to_its_end
from aisdk.core.storage.engine import Database
from aisdk.core.tenants.folder import (
    CHUNKS,
    DOCUMENTS,
    FORMAT,
    MANIFEST,
    VERSION,
    Opened,
    batches,
    check_digests,
    chunk_schema,
    digest,
    document_schema,
    opened,
)
from aisdk.core.tenants.store import TenantStore
from aisdk.errors import AisdkError, InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from aisdk.core.tenants.service import Begin, Finish
    from aisdk.core.tenants.types import TenantInfo

__all__ = ["Moving"]

ROWS: Final = 2_000  # rows written at a time, at most
FETCHED: Final = 64  # rows read at a time
GROUP_BYTES: Final = 16 * 2**20  # of texts and vectors in rows that are written at a time
# Statistics would put texts into the footer, whose size is limited.
WRITTEN: Final[dict[str, Any]] = {"use_dictionary": False, "write_statistics": False}
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
        async with self._becoming(tenant_id, folder) as part:
            async with self._database.snapshot(tenant_id) as connection:
                about = dict(await connection.fetchrow(ABOUT, tenant_id))
                about["settings"] = json.loads(about["settings"])
                documents = await _write(
                    part / DOCUMENTS,
                    document_schema(),
                    _rows(connection, READ_DOCUMENTS, tenant_id),
                )
                chunks = await _write(
                    part / CHUNKS,
                    chunk_schema(about["embedding_dimension"]),
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
            text = json.dumps(manifest, indent=2).encode()
            await to_its_end(asyncio.to_thread(_write_whole, part / MANIFEST, text))
        return folder

    @asynccontextmanager
    async def _becoming(self, tenant_id: str, folder: Path) -> AsyncIterator[Path]:
        """A folder beside the one to be written, which takes its place at the end.

        Nobody else can read it. Where anything fails it is removed.
        """
        target = Path(await asyncio.to_thread(_real, folder))
        part = target.parent / f".aisdk-{secrets.token_hex(8)}"
        try:
            await to_its_end(asyncio.to_thread(_begin, target, part))
            yield part
            await to_its_end(asyncio.to_thread(part.rename, target))
        except BaseException as error:  # a cancellation too: it is raised again
            await to_its_end(asyncio.to_thread(self._remove, tenant_id, part))
            if isinstance(error, OSError) and not isinstance(error, AisdkError):
                raise _unwritable(error) from None
            raise

    def _remove(self, tenant_id: str, part: Path) -> None:
        try:
            shutil.rmtree(part)
        except FileNotFoundError:  # it was not made yet
            return
        except OSError as error:
            self._log.warning(
                "tenants.left_behind", tenant_id=tenant_id, error=type(error).__name__
            )

    async def import_(
        self, folder: Path, tenant_id: str | None, begin: Begin, finish: Finish
    ) -> TenantInfo:
        """Makes the tenant, registered by ``begin``; what ``finish`` tells of it."""
        with ExitStack() as files:  # closed under a thread that is left alone, they end its work
            export = await to_its_end(asyncio.to_thread(opened, folder, files))
            await asyncio.to_thread(check_digests, export)
            return await self._make(export, tenant_id, begin, finish)

    async def _make(
        self, export: Opened, tenant_id: str | None, begin: Begin, finish: Finish
    ) -> TenantInfo:
        manifest = export.manifest
        name: str = manifest["tenant_id"] if tenant_id is None else tenant_id
        ending, made = current_ending(), False

        async def make() -> None:
            nonlocal made
            await begin(name, manifest["tier"], manifest["settings"])
            made = True

        try:
            await to_its_end(make())  # else nobody knew whether the tenant is ours
            if manifest["language"] is not None:
                await self._fill(name, export)
            info: TenantInfo = await ending.keep(name, partial(finish, name, manifest["state"]))
        except BaseException:  # a cancellation too: it is raised again
            if made:
                await to_its_end(self._erase(name, ending))
            raise
        return info

    async def _erase(self, tenant_id: str, ending: Ending) -> None:
        """Removes what was imported of a tenant, within a time of its own.

        Not where the import was answered after all: whoever asks again gets that answer.
        """
        erase = partial(TenantStore(self._database).erase, tenant_id, ERASE_S)
        try:
            async with asyncio.timeout(ERASE_S):
                await ending.undo(tenant_id, erase)
        except (AisdkError, TimeoutError) as error:
            code = error.code if isinstance(error, AisdkError) else "timeout"
            self._log.warning("tenants.left_behind", tenant_id=tenant_id, error=code)

    async def _fill(self, tenant_id: str, export: Opened) -> None:
        """Stores the documents of the files, a batch at a time."""
        language = export.manifest["language"]
        analyzer = self._analyzer(language)
        store = DocumentStore(self._database)
        await store.open(tenant_id, language)
        read = batches(export, tenant_id)
        while (found := await asyncio.to_thread(next, read, None)) is not None:
            batch, times = found
            segment = await asyncio.to_thread(index_batch, batch, analyzer)
            await store.put(tenant_id, batch, segment, Limits())
            ids = [row.document_id for row in batch.documents]
            async with self._database.bulk(tenant_id) as connection:
                await connection.execute(SET_TIMES, tenant_id, ids, *times)


async def _rows(connection: Any, query: str, tenant_id: str) -> AsyncIterator[Sequence[Any]]:
    """The rows of a query, as many at a time as are not too large together."""
    cursor = await connection.cursor(query, tenant_id)
    group: list[Any] = []
    size = 0
    while rows := await cursor.fetch(FETCHED):
        for row in rows:
            group.append(row)
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if len(group) >= ROWS or size >= GROUP_BYTES:
                yield group
                group, size = [], 0
    if group:
        yield group


async def _write(
    path: Path, schema: pa.Schema, groups: AsyncIterator[Sequence[Any]]
) -> dict[str, Any]:
    """Writes rows as Parquet; how many there were, and the file's digest."""
    import pyarrow.parquet as pq

    count = 0
    with ExitStack() as files:
        file = await to_its_end(asyncio.to_thread(_made, path, files))
        with pq.ParquetWriter(file, schema, **WRITTEN) as writer:
            async for rows in groups:
                count += len(rows)
                await to_its_end(asyncio.to_thread(_write_group, writer, schema, rows))
        return {"rows": count, "sha256": await asyncio.to_thread(digest, file)}


def _made(path: Path, until: ExitStack) -> BinaryIO:
    """A new file that nobody else can read, open for writing and reading."""
    file = open(path, "x+b", opener=_open_private)  # noqa: SIM115  # closed by the stack
    return until.enter_context(file)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_whole(path: Path, text: bytes) -> None:
    with ExitStack() as files:
        _made(path, files).write(text)


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


def _real(folder: Path) -> str:
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError) as error:  # a path with NUL is a ValueError
        raise _unwritable(error) from None


def _begin(target: Path, part: Path) -> None:
    """Makes the folder that is written first, if it can take the target's place."""
    if target.exists() and any(target.iterdir()):
        raise _not_empty()
    if target == Path.cwd():  # which would be gone for this process
        raise InvalidInput(
            "The folder is the one that this process is in.", hint='Give a path such as "copy".'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir(mode=0o700)


def _unwritable(error: Exception) -> InvalidInput:
    if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
        return _not_empty()  # another export was faster
    return InvalidInput(
        f"The folder cannot be written ({type(error).__name__}).", hint="Give another path."
    )


def _not_empty() -> InvalidInput:
    return InvalidInput("The folder is not empty.", hint="Give a path that is not there yet.")
