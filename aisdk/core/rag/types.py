"""The values of the rag domain and what it needs of its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aisdk.core.results.frame import JSON
from aisdk.core.results.record import Shown

__all__ = [
    "Hit",
    "ManyOptions",
    "Mode",
    "QueryEmbedder",
    "QueryHit",
    "QueryOptions",
    "SearchOptions",
    "Stage",
]

Mode: TypeAlias = Literal["hybrid", "dense", "lexical"]


class QueryEmbedder(Protocol):
    """What turns a query into a vector."""

    @property
    def model(self) -> str:
        """The name recorded with the vectors it can be compared with."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """L2-normalised rows, shape (texts, dimension)."""
        ...


@dataclass(frozen=True, slots=True)
class Hit(Shown):
    """One chunk that answers a query.

    Attributes:
        rank: 1 for the best.
        score: What the rank follows: the fused score in hybrid mode, else the side's own.
        lexical_score: BM25, ≥ 0; ``None`` when the words were not searched.
        dense_score: Cosine similarity, -1 to 1; ``None`` when the vectors were not searched.
        document_id: The chunk's document.
        title: Its title.
        source: Its source.
        text: The chunk.
        start: Where the chunk begins in the document's text, in characters.
        end: Where it ends.
        heading: The headings above it, as in ``Guide > Dates``.
        metadata: The document's metadata.
        search: How vectors were searched: ``exact``; ``none`` in lexical mode.
        embedding_model: The model of the vectors, where it is known.
    """

    rank: int
    score: float
    lexical_score: float | None
    dense_score: float | None
    document_id: str
    title: str
    source: str
    text: str
    start: int
    end: int
    heading: str
    metadata: Mapping[str, JSON]
    search: str
    embedding_model: str | None


@dataclass(frozen=True, slots=True)
class QueryHit(Shown):
    """A row of ``rag.query_many``: a hit under the key of its query.

    Attributes:
        query: The key; for a list of questions the question itself.
        rank: 1 for the best of its query. This and what follows is as in `Hit`.
    """

    query: str
    rank: int
    score: float
    lexical_score: float | None
    dense_score: float | None
    document_id: str
    title: str
    source: str
    text: str
    start: int
    end: int
    heading: str
    metadata: Mapping[str, JSON]
    search: str
    embedding_model: str | None


@dataclass(frozen=True, slots=True)
class Stage(Shown):
    """A row of ``rag.explain``: one step of a query.

    Attributes:
        stage: ``embed``, ``lexical``, ``dense``, ``filter``, ``fuse`` or ``read``.
        milliseconds: Time spent in it; stages may overlap.
        candidates: Chunks that came out of it.
        detail: What it did, such as the plan of the search or the weight of the fusion.
    """

    stage: str
    milliseconds: float
    candidates: int | None
    detail: str


class SearchOptions(TypedDict, total=False):
    """What `QueryOptions` and `ManyOptions` have in common."""

    mode: Mode
    min_score: float
    one_per_document: bool
    weight: float


class QueryOptions(SearchOptions, total=False):
    """Further keywords of ``rag.query`` and ``rag.explain``.

    Attributes:
        mode: ``hybrid`` (default), ``dense`` (vectors only) or ``lexical`` (words only).
        vector: A query vector instead of a text, shape (dimension,); means ``dense``.
        min_score: Leave out hits with a lower score.
        one_per_document: Only the best chunk of each document.
        weight: Weight of the dense side in hybrid mode, 0 to 1; follows the query by default.
    """

    vector: ArrayLike


class ManyOptions(SearchOptions, total=False):
    """Further keywords of ``rag.query_many``.

    Attributes:
        mode: ``hybrid`` (default), ``dense`` (vectors only) or ``lexical`` (words only).
        min_score: Leave out hits with a lower score.
        one_per_document: Only the best chunk of each document, for each query.
        weight: Weight of the dense side in hybrid mode, 0 to 1; follows each query by default.
        progress: Show progress where it takes longer than half a second; yes by default.
    """

    progress: bool
