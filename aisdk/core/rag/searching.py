"""One search: candidates of both sides, their fusion, and the hits to show."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from aisdk.core.lexical import Analyzer, LexicalScores, bucket_labels, score_chunks
from aisdk.core.rag.fusion import DenseSide, LexicalSide, choose_background, fuse
from aisdk.core.rag.store import Found, RagStore
from aisdk.core.rag.types import Mode
from aisdk.core.results.text import counted
from aisdk.core.runtime.cached import digest
from aisdk.core.runtime.together import together
from aisdk.core.runtime.turns import InThread
from aisdk.core.storage.filters import Where

__all__ = ["Request", "Search", "Trace"]

DEPTH: Final = 100
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A checked query.

    Attributes:
        text: May be empty when a vector is given.
        top_k: Hits wanted.
        mode: What to search.
        where: Conditions on metadata, or ``None``.
        min_score: Lower scores are left out.
        one_per_document: Only the best chunk of each document.
        weight: Weight of the dense side; ``None`` to follow the query.
    """

    text: str
    top_k: int
    mode: Mode
    where: Where | None = None
    min_score: float | None = None
    one_per_document: bool = False
    weight: float | None = None

    def digest(self, *parts: str | bytes) -> str:
        """Names the request, and what else decides its answer."""
        asked = to_json(
            [getattr(self, field.name) for field in fields(self)],
            fallback=repr,
            inf_nan_mode="strings",
        )
        return digest(asked, *parts)


@dataclass(slots=True)
class Trace:
    """What happened: stages as ``(stage, milliseconds, candidates, detail)``."""

    stages: list[tuple[str, float, int | None, str]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[Any]]:
        """Times a stage; the body may append its number of candidates and a detail."""
        started = time.perf_counter()
        notes: list[Any] = []
        yield notes
        spent = round((time.perf_counter() - started) * 1000, 3)
        candidates, detail = (*notes, None, "")[:2] if notes else (None, "")
        self.stages.append((name, spent, candidates, detail or ""))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Chunks in the order of their score, with what each side gave them."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    lexical: NDArray[np.float64] | None
    dense: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Search:
    """Runs one request for one tenant.

    Attributes:
        store: The SQL.
        tenant_id: The tenant.
        request: What is asked.
        embed: Gives the query's vector; ``None`` where there is no embedder.
        model: The name of its model, or ``None`` for a given vector.
        in_thread: Runs blocking work in a thread.
        trace: What it took.
    """

    store: RagStore
    tenant_id: str
    request: Request
    embed: Callable[[], Awaitable[NDArray[np.float32]]] | None
    model: str | None
    in_thread: InThread
    trace: Trace = field(default_factory=Trace, init=False)

    async def run(self, analyzer: Analyzer) -> list[tuple[Any, ...]]:
        """The records of the hits, best first, in the order of ``Hit``'s fields.

        At most ``top_k``; fewer only where the tenant has no more chunks that meet the request.

        Args:
            analyzer: That of the tenant's language.
        """
        allowed = await self._allowed()
        lexical, vector = await self._sides(analyzer)
        depth = max(DEPTH, self.request.top_k)
        while True:
            candidates, whole = await self._candidates(lexical, vector, depth, allowed)
            records = await self._read(candidates)
            if len(records) >= self.request.top_k or whole:
                return records
            depth *= 4

    async def _allowed(self) -> NDArray[np.int64] | None:
        if not self.request.where:
            return None
        with self.trace.stage("filter") as notes:
            allowed = await self.store.allowed(self.tenant_id, self.request.where)
            notes += [len(allowed), f"{len(self.request.where)} conditions"]
        return allowed

    async def _sides(
        self, analyzer: Analyzer
    ) -> tuple[LexicalScores | None, NDArray[np.float32] | None]:
        """Scores of the words and the query's vector, side by side."""
        return await together(self._words(analyzer), self._vector())

    async def _words(self, analyzer: Analyzer) -> LexicalScores | None:
        if self.request.mode == "dense":
            return None
        with self.trace.stage("lexical") as notes:
            terms = analyzer.analyse(self.request.text)
            labels = bucket_labels(list(terms))
            segments, dead = await self.store.lexical(self.tenant_id, labels)
            scores = await self.in_thread(score_chunks, terms, segments, dead)
            counts = f"{counted(len(terms), 'term')}, {counted(len(segments), 'segment')}"
            notes += [int((scores.scores > 0).sum()), f"BM25, {analyzer.language}, {counts}"]
        return scores

    async def _vector(self) -> NDArray[np.float32] | None:
        if self.request.mode == "lexical" or self.embed is None:
            return None
        with self.trace.stage("embed") as notes:
            vector = await self.embed()
            notes += [None, self.model or "given vector"]
        return vector

    async def _candidates(
        self,
        lexical: LexicalScores | None,
        vector: NDArray[np.float32] | None,
        depth: int,
        allowed: NDArray[np.int64] | None,
    ) -> tuple[Candidates, bool]:
        """The best ``depth`` of each side, and whether that is all there is."""
        if vector is None:
            assert lexical is not None  # noqa: S101  # one side is always searched
            ids, scores = lexical.top(depth, allowed)
            return Candidates(ids, scores, scores, None), len(ids) < depth
        found = await self._nearest(vector, depth, allowed)
        if lexical is None:
            return Candidates(*found, None, found[1]), len(found[0]) < depth
        return await self._fused(lexical, vector, found, depth, allowed)

    async def _nearest(
        self, vector: NDArray[np.float32], depth: int, allowed: NDArray[np.int64] | None
    ) -> Found:
        with self.trace.stage("dense") as notes:
            if allowed is None:
                found = await self.store.dense(self.tenant_id, self.model, vector, depth)
            else:
                found = await self.store.dense_within(
                    self.tenant_id, self.model, vector, depth, allowed
                )
            notes += [len(found[0]), "exact"]
        return found

    async def _fused(
        self,
        lexical: LexicalScores,
        vector: NDArray[np.float32],
        found: Found,
        depth: int,
        allowed: NDArray[np.int64] | None,
    ) -> tuple[Candidates, bool]:
        """Both sides' candidates under one score; each is scored on both sides."""
        worded, _ = lexical.top(depth, allowed)
        near, similarity = found
        background = choose_background(np.sort(lexical.chunk_ids))
        known = dict(zip(near.tolist(), similarity.tolist(), strict=True))
        wanted = np.setdiff1d(np.union1d(worded, background), near)
        if len(wanted):
            known |= await self.store.scores(self.tenant_id, vector, wanted)
        with self.trace.stage("fuse") as notes:
            ids = np.union1d(near, worded)
            floor = float(similarity.min(initial=1.0))
            dense = DenseSide(
                _cosines(known, ids, floor), floor, _cosines(known, background, floor)
            )
            words = LexicalSide(lexical.of(ids), lexical.weights)
            fused = fuse(words, dense, weight=self.request.weight)
            notes += [len(ids), f"weight of the dense side {fused.weight:.2f}"]
        order = fused.order
        ranked = Candidates(
            ids[order], fused.scores[order], words.scores[order], dense.cosines[order]
        )
        return ranked, len(near) < depth

    async def _read(self, candidates: Candidates) -> list[tuple[Any, ...]]:
        """The best hits with their texts; chunks that have gone meanwhile are passed over."""
        records: list[tuple[Any, ...]] = []
        seen: set[Any] = set()
        step = self.request.top_k * (2 if self.request.one_per_document else 1)
        with self.trace.stage("read") as notes:
            for start in range(0, len(candidates.ids), step):
                ids = candidates.ids[start : start + step].tolist()
                rows = await self.store.hits(self.tenant_id, ids)
                for place, chunk in enumerate(ids, start):
                    row = rows.get(chunk)
                    if row is not None and self._takes(candidates.scores[place], row, seen):
                        records.append(self._record(len(records) + 1, place, candidates, row))
                if len(records) >= self.request.top_k or self._below(candidates, start + step):
                    break
            del records[self.request.top_k :]
            notes += [len(records), ""]
        return records

    def _takes(self, score: float, row: Any, seen: set[Any]) -> bool:
        if self.request.min_score is not None and score < self.request.min_score:
            return False
        if self.request.one_per_document:
            if row[1] in seen:
                return False
            seen.add(row[1])
        return True

    def _below(self, candidates: Candidates, place: int) -> bool:
        """Whether all further candidates are under the lowest score wanted."""
        least = self.request.min_score
        return (
            least is not None
            and place < len(candidates.scores)
            and candidates.scores[place] < least
        )

    def _record(self, rank: int, place: int, candidates: Candidates, row: Any) -> tuple[Any, ...]:
        return (
            rank,
            float(candidates.scores[place]),
            _at(candidates.lexical, place),
            _at(candidates.dense, place),
            *row[1:],
            "none" if candidates.dense is None else "exact",
            None if candidates.dense is None else self.model,
        )


def _cosines(
    known: Mapping[int, float], chunk_ids: NDArray[np.int64], floor: float
) -> NDArray[np.float64]:
    """Cosines of chunks; one that has no vector counts as the worst of the hits."""
    return np.array([known.get(chunk, floor) for chunk in chunk_ids.tolist()], np.float64)


def _at(scores: NDArray[np.float64] | None, place: int) -> float | None:
    return None if scores is None else float(scores[place])
