"""The documents domain: add, get, list, count, update and delete a tenant's documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Unpack

from sqlalchemy import and_

from aisdk.core.documents.adding import Adding, Parts
from aisdk.core.documents.listing import DocumentListing
from aisdk.core.documents.loading import is_remote
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.documents.names import clean_title
from aisdk.core.documents.ordering import after, in_state, is_named, order_column, sort_keys
from aisdk.core.documents.requests import pack, unpack
from aisdk.core.documents.sources import JSON, LoadOptions
from aisdk.core.documents.store import DocumentStore
from aisdk.core.documents.types import (
    AddOptions,
    DocumentInfo,
    ListOptions,
    SourceOutcome,
    State,
    StoredDocument,
    StoreInfo,
)
from aisdk.core.jobs.service import JobsService
from aisdk.core.results.cursor import sign, verify
from aisdk.core.results.frame import make_item
from aisdk.core.results.origin import Origin
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.results.progress import Progress, silent
from aisdk.core.runtime.guard import Guard, Limits
from aisdk.core.runtime.options import LONGEST_S, CallOptions, call_options, check_page_size
from aisdk.core.runtime.tenancy import current_standing
from aisdk.core.runtime.verb import verb
from aisdk.core.storage.filters import Where, compile_where
from aisdk.errors import AddFailed, InvalidInput, NotFound, QuotaExceeded

__all__ = ["DocumentsService"]


@dataclass(frozen=True, slots=True)
class DocumentsService:
    """Documents of any tenant; every verb takes ``tenant_id`` first.

    Attributes:
        guard: The steps around every verb.
        store: Its SQL.
        parts: What adding needs: embedder, analyzers, language, progress.
        cursor_key: Signs cursors.
        jobs: Keeps work that goes on in the background.
    """

    guard: Guard
    store: DocumentStore
    parts: Parts
    cursor_key: bytes
    jobs: JobsService

    @verb("documents.add", reads=False, bulk=True, rows=SourceOutcome)
    async def add(
        self, tenant_id: str, what: Any, *, wait: bool = True, **options: Unpack[AddOptions]
    ) -> Rows[SourceOutcome] | str:
        """Adds documents, or brings them up to date; safe to run again.

        A source is known by its key (absolute path, URL, or the id given). With the content it had
        it is left alone, with other content its chunks are replaced in one transaction. What has
        been stored stays stored however the call ends; calling again does only what is missing.

        Args:
            tenant_id: The tenant.
            what: A path, folder or glob; a URL that the settings allow; a list of texts,
                ``Document`` values or paths; or a pandas DataFrame.
            wait: Whether to return when everything is added. With False a `Job` comes back at
                once; it is done in the background, and after a crash by whoever connects as the
                tenant: with the same ``AISDK_HOME``, where it needs files or URLs. What was stored
                before that counts as unchanged then.
            options: See `AddOptions`; for a DataFrame ``text=``, ``id=`` or ``source=`` and
                ``title=`` name columns, the rest becomes metadata.

        Returns:
            One row a source: status, document_id, chunks, size_bytes, milliseconds, error_code and
            hint. With ``wait=False`` a `Job`, whose ``result()`` returns them.

        Raises:
            AddFailed: Some sources failed (after all others were added); ``error.result`` has the
                rows. Not with ``raise_on_error=False``.
            QuotaExceeded: The tenant's store is full; what fitted was added. With ``wait=False``:
                too many jobs have not ended.
            InvalidInput: ``what`` or an option is not acceptable.
            EmbeddingMismatch: The store holds vectors of another model.

        Example:
            >>> session.documents.add("docs/").to_frame()[["status", "chunks"]]
              status  chunks
            0  added       1
        """
        loading: dict[str, Any] = dict(options)
        show = loading.pop("progress", True)
        strict = loading.pop("raise_on_error", True)
        load = LoadOptions(**loading)
        if not wait:
            access = self.parts.access
            in_thread = self.parts.in_fetch if is_remote(what) else self.parts.in_thread
            request, here = await in_thread(pack, what, load, access, options)
            return await self.jobs.submit(tenant_id, "documents.add", request, here=here)
        progress = show if callable(show) else (self.parts.progress if show else silent)
        adding = Adding(self.store, self.parts, tenant_id)
        outcomes = await adding.run(what, load, progress)
        result = Rows(SourceOutcome, outcomes)
        failed = sum(outcome[1] == "failed" for outcome in outcomes)
        if strict and adding.lacking is not None:
            raise await self._full(tenant_id, adding, result)
        if failed and strict:
            raise AddFailed(
                f"{failed} of {len(outcomes)} sources could not be added; the others were.",
                hint="See error.result.to_frame(), or pass raise_on_error=False.",
                result=result,
            )
        return result

    async def work(self, tenant_id: str, request: bytes, progress: Progress) -> Rows[SourceOutcome]:
        """Does what a job of ``add`` was given, and tells ``progress`` how far it is."""

        def told(_title: str, _unit: str, total: int | None = None) -> Progress:
            if total is not None:
                progress.grow(total)
            return progress

        what, options = await self.parts.in_thread(unpack, request)
        call_options.set(CallOptions(deadline_s=LONGEST_S))  # of the job's own task
        done = await self.add(tenant_id, what, progress=told, **options)
        assert isinstance(done, Rows)  # noqa: S101  # a job waits
        return done

    async def _full(
        self, tenant_id: str, adding: Adding, result: Rows[SourceOutcome]
    ) -> QuotaExceeded:
        """What to raise when documents were refused for want of room."""
        documents, size_bytes = await self.store.room(tenant_id)
        by_count = adding.lacking == "documents"
        used = documents if by_count else size_bytes
        limit = adding.room.documents if by_count else adding.room.size_bytes
        what = "documents" if by_count else "bytes"
        error = QuotaExceeded(
            f"The tenant stores {used:,} of {limit or 0:,} {what}; not all sources were added.",
            hint="Delete documents, or ask for a larger tier. See error.result.to_frame().",
            limit=limit or 0,
            used=used,
        )
        error.result = result
        return error

    @verb("documents.get", reads=True)
    async def get(self, tenant_id: str, key: str) -> StoredDocument:
        """One document with its text.

        Args:
            tenant_id: The tenant.
            key: Its document_id or its source.

        Raises:
            NotFound: There is no such document.
            InvalidInput: ``key`` is no text, or longer than 1,048,576 characters.

        Example:
            >>> session.documents.get("dates").text
            'Use strptime to parse a date.'
        """
        row = await self.store.one(tenant_id, is_named(key))
        if row is None:
            raise _missing()
        return make_item(StoredDocument, row)

    @verb("documents.list", reads=True)
    async def list(
        self,
        tenant_id: str,
        *,
        limit: int = 50,
        where: Where | None = None,
        **options: Unpack[ListOptions],
    ) -> AsyncPage[DocumentInfo]:
        """A page of documents, without their texts.

        Args:
            tenant_id: The tenant.
            limit: Rows in a page, 1 to 10,000.
            where: Conditions on metadata, such as ``{"year": {">=": 2020}}``.
            options: See `ListOptions`: order, state, cursor.

        Returns:
            A page with ``next()``, ``pages()`` and ``collect(max_rows=…)``, one row a document:
            document_id, source, title, metadata, size_bytes, chunks, state, error_code,
            created_at, updated_at.

        Raises:
            InvalidInput: A limit, filter, order or cursor is not acceptable.
            TenantMismatch: The cursor is of another tenant or listing.

        Example:
            >>> session.documents.list(limit=2).to_frame()["source"].tolist()
            ['dates', 'gzip']
        """
        check_page_size(limit)
        order = options.get("order", "source")
        column = order_column(order)
        state = options.get("state", "ready")
        condition = and_(compile_where(where), in_state(state))
        kind = f"documents.list:{order}:{state}"
        cursor = options.get("cursor")
        if cursor is not None:
            position = verify(self.cursor_key, tenant_id, kind, cursor)
            condition = and_(condition, after(order, column, position))
        keys = sort_keys(column)
        query = self.store.listing(tenant_id).where(condition).limit(limit + 1)
        query = query.order_by(*(key.desc() for key in keys) if order[0] == "-" else keys)
        rows = await self.store.page(tenant_id, query)
        more = len(rows) > limit
        page = AsyncPage(
            DocumentInfo,
            rows[:limit],
            cursor=self._cursor(tenant_id, kind, rows[limit - 1]) if more else None,
            fetch=partial(self._next, tenant_id, where, (order, state, limit)),
        )
        listing = DocumentListing(self, tenant_id, where, order, state)
        part = more or cursor is not None
        return page.from_origin(Origin(listing.text, listing if part else None))

    async def _next(
        self,
        tenant_id: str,
        where: Where | None,
        how: tuple[Any, Any, int],
        cursor: str,
        size: int | None,
    ) -> AsyncPage[DocumentInfo]:
        order, state, limit = how
        return await self.list(
            tenant_id, limit=size or limit, where=where, order=order, state=state, cursor=cursor
        )

    @verb("documents.count", reads=True)
    async def count(
        self, tenant_id: str, *, where: Where | None = None, state: State = "ready"
    ) -> int:
        """How many documents the tenant has, or how many meet ``where``.

        Args:
            tenant_id: The tenant.
            where: Conditions on metadata.
            state: ``ready`` (default), ``failed`` or ``all``.

        Raises:
            InvalidInput: A filter or the state is not acceptable.

        Example:
            >>> session.documents.count()
            2
        """
        return await self.store.count(tenant_id, and_(compile_where(where), in_state(state)))

    @verb("documents.update", reads=False)
    async def update(
        self,
        tenant_id: str,
        key: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, JSON] | None = None,
    ) -> None:
        """Sets a document's title, its metadata (as a whole), or both.

        Searches show the new title at once; the words of the old one stay searchable until the
        document's content is added again.

        Args:
            tenant_id: The tenant.
            key: Its document_id or its source.
            title: The new title, up to 2,000 characters; unchanged when ``None``.
            metadata: The new metadata, JSON values under text keys, at most 256 KiB; unchanged
                when ``None``.

        Raises:
            NotFound: There is no such document.
            InvalidInput: Neither is given, the title is too long, or the metadata are not JSON.
            QuotaExceeded: The metadata need more bytes than the tenant has left.

        Example:
            >>> session.documents.update("dates", title="Dates", metadata={"year": 2026})
        """
        values: dict[str, Any] = {}
        if title is not None:
            values["title"] = clean_title(title)
        if metadata is not None:
            values["metadata"] = checked_metadata(metadata)
        if not values:
            raise InvalidInput("There is nothing to update.", hint="Give title= or metadata=.")
        if not await self.store.change(tenant_id, is_named(key), values, _limits()):
            raise _missing()

    @verb("documents.delete", reads=False)
    async def delete(
        self, tenant_id: str, key: str | None = None, *, where: Where | None = None
    ) -> int:
        """Deletes one document, or all that meet ``where``, with their chunks and vectors.

        Args:
            tenant_id: The tenant.
            key: A document_id or source.
            where: Conditions on metadata; ``{}`` deletes everything.

        Returns:
            How many documents were deleted.

        Raises:
            InvalidInput: Neither or both are given, or one is not acceptable.
            NotFound: ``key`` is given and there is no such document.

        Example:
            >>> session.documents.delete("gzip")
            1
        """
        if (key is None) == (where is None):
            raise InvalidInput(
                "delete needs a key or where, not both.", hint="where={} deletes all documents."
            )
        condition = compile_where(where) if key is None else is_named(key)
        deleted = await self.store.remove(tenant_id, condition)
        if key is not None and not deleted:
            raise _missing()
        return deleted

    @verb("documents.info", reads=True)
    async def info(self, tenant_id: str) -> StoreInfo:
        """How the tenant's documents are stored: language, embedding model, and how many.

        Example:
            >>> session.documents.info().documents
            2
        """
        info = await self.store.info(tenant_id)
        return info or StoreInfo(_language() or self.parts.language, None, None, 0, 0)

    @verb("documents.set_language", reads=False)
    async def set_language(self, tenant_id: str, language: str) -> None:
        """Sets the language in which the tenant's texts are stemmed, while the store is empty.

        Args:
            tenant_id: The tenant.
            language: A Snowball language such as ``german``, or ``simple`` for none.

        Raises:
            InvalidInput: The language is unknown.
            Conflict: The store already holds documents.

        Example:
            >>> session.documents.delete(where={})
            2
            >>> session.documents.set_language("german")
        """
        if not isinstance(language, str):
            raise InvalidInput("language is the name of a language.", hint="Write german.")
        self.parts.analyzer(language)
        await self.store.set_language(tenant_id, language)

    def _cursor(self, tenant_id: str, kind: str, row: Any) -> str:
        column = kind.split(":")[1].lstrip("-")
        value = getattr(row, column)
        position = [value.isoformat() if isinstance(value, datetime) else value]
        return sign(self.cursor_key, tenant_id, kind, [*position, row.document_id])


def _limits() -> Limits:
    """Those of the tenant that calls."""
    standing = current_standing()
    return Limits() if standing is None else standing.limits


def _language() -> str | None:
    """That which is set for the tenant that calls, if any."""
    standing = current_standing()
    return None if standing is None else standing.language


def _missing() -> NotFound:
    return NotFound("There is no such document.", hint="documents.list() shows what there is.")
