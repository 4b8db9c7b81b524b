"""Adding documents: read, compare, parse, chunk, embed and store, a bounded group at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from aisdk.core.documents.access import Access
from aisdk.core.documents.chunking import CHUNKER_VERSION
from aisdk.core.documents.context import searchable_texts
from aisdk.core.documents.loading import count_sources, enumerate_sources, is_remote
from aisdk.core.documents.names import shortened, written
from aisdk.core.documents.preparing import Prepared, Read, document_row, prepare_all
from aisdk.core.documents.sources import LoadOptions, Source
from aisdk.core.documents.store import DocumentStore, Known
from aisdk.core.documents.types import Batch, ChunkRow, Embedder, Quota, StoreInfo
from aisdk.core.documents.urls import UrlSource
from aisdk.core.documents.writing import index_batch
from aisdk.core.lexical import ANALYZER_VERSION, Analyzer
from aisdk.core.results.progress import Progress, ProgressFactory, stoppable
from aisdk.core.runtime.guard import Limits
from aisdk.core.runtime.limits import tokens_of
from aisdk.core.runtime.tenancy import current_standing, present_standing
from aisdk.core.runtime.together import together
from aisdk.core.runtime.turns import InThread
from aisdk.errors import AisdkError, EmbeddingMismatch, QuotaExceeded, TenantSuspended, Unreadable

__all__ = ["Adding", "Parts", "document_id_of"]

GROUP_SOURCES: Final = 1_000
GROUP_BYTES: Final = 32 * 2**20
KEPT_BYTES: Final = 2**20
FIRST_CHUNKS: Final = 64  # small, so that progress shows early; each batch is twice the one before
BATCH_CHUNKS: Final = 512
SLICE: Final = 64
PARALLEL: Final = 2
GO_ON: Final = "what was added stays, add again to go on"

Outcome = tuple[str, str, str | None, int, int, float, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Parts:
    """What adding needs of the client.

    Attributes:
        embedder: ``None`` where there is none: documents are then searchable by words only.
        analyzer: Language → its analyzer.
        language: Of a store that is made now.
        progress: Shows how far the work is.
        spend: Tenant and tokens → waits until it may ask a model for so many.
        access: What may be read.
        in_thread: Runs blocking work in a thread.
        in_fetch: The same for work that waits for other servers.
    """

    embedder: Embedder | None
    analyzer: Callable[[str], Analyzer]
    language: str
    progress: ProgressFactory
    spend: Callable[[str, int], Awaitable[None]]
    access: Access
    in_thread: InThread
    in_fetch: InThread


class Adding:
    """One run of ``documents.add`` for one tenant.

    Memory is bounded by a group (1,000 sources or 32 MiB of them) and a batch (at most 512 chunks,
    or the chunks of one larger document), whatever the corpus's size. Each batch is one
    transaction, and is stored while the next one is embedded.

    Attributes:
        room: How much the tenant may store, as of the last batch.
        lacking: What a source was refused for, the first of them; ``None`` where none was.
    """

    def __init__(self, store: DocumentStore, parts: Parts, tenant_id: str) -> None:
        self._store = store
        self._parts = parts
        self._tenant_id = tenant_id
        self._outcomes: list[Outcome] = []
        self._batch: list[Prepared] = []
        self._chunks = 0
        self._enough = min(FIRST_CHUNKS, BATCH_CHUNKS)
        self._seen: dict[str, bytes] = {}
        self._new: dict[UUID, bool] = {}
        self._storing: asyncio.Task[None] | None = None
        standing = current_standing()
        self.room = Limits() if standing is None else standing.limits
        self.lacking: Quota | None = None
        self._language = (standing and standing.language) or parts.language

    async def run(self, what: Any, load: LoadOptions, progress: ProgressFactory) -> list[Outcome]:
        """Adds everything ``what`` names and tells what became of each source, in order.

        Raises:
            InvalidInput: ``what`` is nothing that can be added.
            EmbeddingMismatch: The store holds vectors of another model.
            TenantSuspended: The tenant was suspended meanwhile; what is stored is told.
        """
        info = await self._store.open(self._tenant_id, self._language)
        self._check_model(info)
        self._analyzer = self._parts.analyzer(info.language)
        self._salt = self._versions(info.language)
        read = self._parts.in_fetch if is_remote(what) else self._parts.in_thread
        sources = iter(await read(enumerate_sources, what, load, self._parts.access))
        total = await read(count_sources, what, load, self._parts.access)
        self._progress: Progress = progress("Adding documents", "documents", total)
        with stoppable(self._progress, self._told, GO_ON):
            try:
                await self._take(read, sources)
            except TenantSuspended:
                told = f"The tenant is suspended; {self._told()}."
                raise TenantSuspended(told, hint=f"Once it is active: {GO_ON}.") from None
        return self._outcomes

    async def _take(self, read: InThread, sources: Iterator[Source]) -> None:
        """Takes the sources in, group after group."""
        try:
            is_last = False
            while not is_last:
                group, is_last = await read(self._read_group, sources)
                if is_last:
                    self._progress.grow(len(self._outcomes))
                await self._add_group(group)
            await self._flush()
            await self._stored()
        finally:  # an interrupt too
            await self._abandon()

    async def _renew(self) -> None:
        """Asks how the tenant stands by now: its quotas count, and whether it is served."""
        standing = await present_standing()
        if standing is not None:
            self.room = standing.limits

    def _told(self) -> str:
        return f"{sum(outcome[1] != 'failed' for outcome in self._outcomes):,} documents are stored"

    def _check_model(self, info: StoreInfo) -> None:
        model = self._parts.embedder.model if self._parts.embedder else None
        if info.embedding_model not in (None, model):
            raise EmbeddingMismatch(
                "The tenant's store holds vectors of another embedding model.",
                hint=f"Connect with {info.embedding_model}, or use another tenant.",
            )

    def _versions(self, language: str) -> bytes:
        """What besides a source's content decides what is stored for it."""
        model = self._parts.embedder.model if self._parts.embedder else ""
        return f"{CHUNKER_VERSION}|{ANALYZER_VERSION}|{language}|{model}".encode()

    def _read_group(self, sources: Iterator[Source]) -> tuple[list[Read], bool]:
        """Reads sources until the group is full, or none is left, which it tells.

        Keeps the bytes of small ones only.
        """
        group: list[Read] = []
        held, is_last = 0, False
        while len(group) < GROUP_SOURCES and held < GROUP_BYTES:
            source = next(sources, None)
            if source is None:
                is_last = True
                break
            read = self._read(source, len(self._outcomes) + len(group))
            held += len(read.data or b"")
            group.append(read)
        self._outcomes += [_pending(read) for read in group]
        return group, is_last

    def _read(self, source: Source, place: int) -> Read:
        started = time.perf_counter()
        read = Read(source, place, document_id_of(self._tenant_id, source.source))
        try:
            data = source.read()
            read.key = blake2b(source.content_key(data) + self._salt, digest_size=32).digest()
            read.size_bytes = source.size_bytes(data)
            kept = isinstance(source, UrlSource) or len(data or b"") <= KEPT_BYTES
            read.data = data if kept else None  # what is far away is read once
        except AisdkError as error:
            read.error = error
        read.milliseconds = (time.perf_counter() - started) * 1000
        return read

    async def _add_group(self, group: Sequence[Read]) -> None:
        """Leaves alone what is stored already and takes the rest through the stages."""
        await self._renew()
        known = await self._store.known(self._tenant_id, [read.document_id for read in group])
        todo: list[Read] = []
        unchanged: list[int] = []  # chunks of each: work that is gone on with counts as a whole
        for read in group:
            again = self._mark_again(read)
            stored = known.get(read.document_id)
            if read.error is None and (again or _is_same(stored, read)):
                self._settle(read, "unchanged", 0)
                unchanged.append(0 if again or stored is None else stored.chunks)
            else:
                todo.append(read)
        self._progress.advance(len(unchanged), chunks=sum(unchanged))
        for read in todo:
            stored = known.get(read.document_id)
            self._new.setdefault(read.document_id, stored is None or not stored.ready)
        if self.lacking is not None:
            todo = await self._fitting(todo, known)
        for start in range(0, len(todo), SLICE):
            await self._renew()
            prepared, failed = await self._prepare_slice(todo[start : start + SLICE])
            await self._fail(failed)
            for item in prepared:
                self._batch.append(item)
                self._chunks += len(item.spans)
                if self._chunks >= self._enough:
                    await self._flush()
                    self._enough = min(2 * self._enough, BATCH_CHUNKS)

    async def _fitting(self, reads: Sequence[Read], known: Mapping[UUID, Known]) -> list[Read]:
        """Those that there may be room for; the others fail without being parsed."""
        await self._flush()
        await self._stored()
        documents, size_bytes = await self._store.room(self._tenant_id)
        full = self.room.documents is not None and documents >= self.room.documents
        left = math.inf if self.room.size_bytes is None else self.room.size_bytes - size_bytes
        fitting, refused = list[Read](), list[Read]()
        for read in reads:
            stored = known.get(read.document_id)
            new = read.error is None and (stored is None or not stored.ready)
            (refused if new and (full or read.size_bytes > left) else fitting).append(read)
        await self._fail(map(_refused, refused))
        return fitting

    def _mark_again(self, read: Read) -> bool:
        """Whether this run met the same source with the same content; other content is an error."""
        name = read.source.source
        if name not in self._seen:
            self._seen[name] = read.key
            return False
        if self._seen[name] != read.key and read.error is None:
            read.error = Unreadable(
                "Two sources of one call have the same key and different content.",
                hint="Give each row its own id.",
                reason="duplicate_source",
            )
        return True

    async def _prepare_slice(self, reads: Sequence[Read]) -> tuple[list[Prepared], list[Read]]:
        """Parses and cuts a few sources side by side in threads."""
        parts = await together(
            *(
                self._parts.in_thread(prepare_all, reads[start::PARALLEL])
                for start in range(PARALLEL)
            )
        )
        done = sorted((item for part in parts for item in part), key=lambda item: item[0].place)
        prepared = [
            Prepared(read, parsed, spans) for read, parsed, spans in done if parsed is not None
        ]
        return prepared, [read for read, parsed, _ in done if parsed is None]

    async def _fail(self, reads: Iterable[Read]) -> None:
        """Notes sources that could not be added; what was stored of them before stays."""
        failures = []
        for read in reads:
            code = _reason(read.error)
            self._settle(read, "failed", 0, code, getattr(read.error, "hint", "") or None)
            failures.append((read.document_id, shortened(read.source.source), code))
        await self._store.fail(self._tenant_id, failures, self.room)
        self._progress.advance(0, failed=len(failures))

    async def _flush(self) -> None:
        """Embeds what waits and hands it over to be stored, one batch behind."""
        waiting, self._batch, self._chunks = self._batch, [], 0
        if not waiting:
            return
        await self._renew()
        batch = await self._embedded(waiting)
        await self._stored()
        self._storing = asyncio.create_task(self._put(waiting, batch))

    async def _embedded(self, waiting: Sequence[Prepared]) -> Batch:
        rows = [document_row(item) for item in waiting]
        chunks = [
            ChunkRow(
                place, span.start, span.end, span.heading, item.parsed.text[span.start : span.end]
            )
            for place, item in enumerate(waiting)
            for span in item.spans
        ]
        embedder = self._parts.embedder
        if embedder is None or not chunks:
            return Batch(rows, chunks, None, embedder.model if embedder else None)
        texts = searchable_texts(rows, chunks)
        await self._parts.spend(self._tenant_id, sum(map(tokens_of, texts)))
        vectors = await embedder.embed(texts)
        return Batch(rows, chunks, vectors, embedder.model)

    async def _put(self, waiting: Sequence[Prepared], batch: Batch) -> None:
        segment = await self._parts.in_thread(index_batch, batch, self._analyzer)
        put = await self._store.put(self._tenant_id, batch, segment, self.room)
        stored = [item for item in waiting if item.read.document_id not in put.refused]
        for item in stored:
            read = item.read
            status = "added" if self._new[read.document_id] else "updated"
            # A repeated attempt finds its own documents there if only the answer was lost.
            if read.document_id in put.written or put.again:
                self._settle(read, status, len(item.spans))
            else:
                self._settle(read, "unchanged", 0)
        chunks = sum(len(item.spans) for item in stored)
        self._progress.advance(len(stored), chunks=chunks)
        if put.refused:
            self.lacking = self.lacking or next(iter(put.refused.values()))
            await self._fail(_refused(item.read) for item in waiting if item not in stored)

    async def _stored(self) -> None:
        """Waits for the batch that is being stored."""
        if self._storing is not None:
            storing, self._storing = self._storing, None
            await storing

    async def _abandon(self) -> None:
        """After an error or an interrupt: ends the batch under way, whole or not at all."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)

    def _settle(
        self,
        read: Read,
        status: str,
        chunks: int,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        failed_first = status == "failed" and self._new.get(read.document_id, False)
        self._outcomes[read.place] = (
            written(read.source.source),
            status,
            None if failed_first else str(read.document_id),
            chunks,
            read.size_bytes,
            round(read.milliseconds, 3),
            code,
            hint,
        )


def document_id_of(tenant_id: str, source: str) -> UUID:
    """The id of a source's document: the same for the same tenant and stored name, always."""
    name = f"{tenant_id}\0{shortened(source)}".encode()
    return UUID(bytes=blake2b(name, digest_size=16).digest())


def _refused(read: Read) -> Read:
    read.error = QuotaExceeded(hint="Delete documents, or ask for a larger tier.")
    return read


def _pending(read: Read) -> Outcome:
    name = written(read.source.source)
    return (name, "failed", None, 0, read.size_bytes, 0.0, "interrupted", None)


def _is_same(known: Known | None, read: Read) -> bool:
    return known is not None and known.ready and known.content_key == read.key


def _reason(error: AisdkError | None) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "code", "error"))
