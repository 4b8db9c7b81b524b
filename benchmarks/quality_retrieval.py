"""How well lexical, dense and fused rankings find what is relevant, collection by collection.

Run with ``python benchmarks/quality_retrieval.py DATA [collection …]``, where DATA (or
AISDK_BENCH_DATA) holds a folder a collection: ``corpus.jsonl``, ``queries.jsonl``, ``qrels.tsv``;
and ``chunk-spans``. Two more collections are made of the standard library: the first sentence of a
docstring has to find the rest of it, or the code. Prints nDCG@10 of the best chunk per document.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aisdk.core.documents.chunking import split
from aisdk.core.lexical import Analyzer, LexicalScores, Segment, build_segment, score_chunks
from aisdk.core.rag.fusion import DenseSide, LexicalSide, choose_background, fuse
from aisdk.integrations.minilm import MiniLM, find_weights

DEPTH = 100
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, and questions with the grades of their relevant documents."""

    name: str
    documents: Sequence[tuple[str, str]]  # title and text
    questions: Sequence[tuple[str, Mapping[int, int]]]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What both sides say about the candidates of one question."""

    ids: NDArray[np.int64]
    lexical: Scores
    cosines: Scores
    near: NDArray[np.bool_]
    fused: Scores


def read_collection(folder: Path) -> Collection:
    """A collection of documents, queries and judgements."""
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
    places = {document["id"]: place for place, document in enumerate(documents)}
    grades: dict[str, dict[int, int]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, grade = line.split("\t")
        grades[query][places[document]] = int(grade)
    texts = [(document["title"], document["text"]) for document in documents]
    asked = [(query["text"], grades[query["id"]]) for query in queries if query["id"] in grades]
    return Collection(folder.name, texts, asked)


def read_spans(folder: Path) -> Iterator[Collection]:
    """A collection of each text whose relevant passages are known: its chunks are documents."""
    questions = [json.loads(line) for line in (folder / "questions.jsonl").open(encoding="utf-8")]
    for path in sorted((folder / "corpora").glob("*.md")):
        text = path.read_bytes().decode("utf-8")
        borders = [(span.start, span.end) for span in split(text, kind="markdown")]
        judged = [
            (question["text"], judge(borders, question["spans"]))
            for question in questions
            if question["corpus"] == path.stem
        ]
        passages = [("", text[start:end]) for start, end in borders]
        yield Collection(
            path.stem, passages, [(asked, grades) for asked, grades in judged if grades]
        )


def judge(borders: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The chunks that hold at least half of a relevant span."""
    return {
        place: 1
        for place, (start, end) in enumerate(borders)
        if any(2 * (min(end, last) - max(start, first)) >= last - first for first, last in spans)
    }


def read_library(asked: int = 300) -> Iterator[Collection]:
    """The standard library: the first sentence of a docstring has to find the rest, or the code."""
    prose: dict[str, str] = {}
    code: dict[str, str] = {}
    for node in library_nodes():
        first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
        sentence = " ".join(first.split())
        if not 4 <= len(sentence.split()) <= 30:
            continue
        if len(rest.split()) >= 25:
            prose.setdefault(sentence, rest)
        if isinstance(node, ast.FunctionDef) and len(node.body) > 3:
            del node.body[0]
            code.setdefault(sentence, ast.unparse(node))
    for name, pairs in (("library-prose", prose), ("library-code", code)):
        sentences = list(pairs)
        draw = np.random.default_rng(1)
        chosen = draw.permutation(len(pairs))[:asked].tolist()
        yield Collection(
            name, [("", text) for text in pairs.values()], [(sentences[n], {n: 1}) for n in chosen]
        )


def library_nodes() -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes of the standard library's modules and packages."""
    root = Path(os.__file__).parent
    for path in [*sorted(root.glob("[a-z]*.py")), *sorted(root.glob("[a-z]*/[a-z_]*.py"))]:
        if path.parent.name not in {"test", "idlelib", "lib2to3", "turtledemo"}:
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    yield node


async def gather(
    collection: Collection, embedder: MiniLM
) -> tuple[list[Candidates], NDArray[np.int64]]:
    """The candidates of every question, and the document each chunk belongs to."""
    pieces = [
        (place, "\n".join(filter(None, [title, span.heading, text[span.start : span.end]])))
        for place, (title, text) in enumerate(collection.documents)
        for span in split(text)
    ]
    texts = [text for _, text in pieces]
    analyzer = Analyzer("english")
    segment = build_segment(range(len(texts)), analyzer.analyse_many(texts))
    vectors = await embedder.embed(texts)
    asked = await embedder.embed([question for question, _ in collection.questions])
    found = [
        candidates(scored(question, analyzer, segment), (vectors @ vector).astype(np.float64))
        for (question, _), vector in zip(collection.questions, asked, strict=True)
    ]
    return found, np.array([place for place, _ in pieces])


def scored(question: str, analyzer: Analyzer, segment: Segment) -> LexicalScores:
    """The lexical scores of all chunks."""
    return score_chunks(analyzer.analyse(question), [segment])


def candidates(lexical: LexicalScores, cosines: Scores) -> Candidates:
    """The best of both sides with the scores of both, and their fusion."""
    near = np.argsort(-cosines, kind="stable")[:DEPTH]
    ids = np.union1d(near, lexical.top(DEPTH)[0])
    background = cosines[choose_background(lexical.chunk_ids)]
    fused = fuse(
        LexicalSide(lexical.of(ids), lexical.weights),
        DenseSide(cosines[ids], float(cosines[near[-1]]), background),
    )
    places = np.empty(len(ids))
    places[fused.order] = np.arange(len(ids))
    return Candidates(ids, lexical.of(ids), cosines[ids], np.isin(ids, near), -places)


def reciprocal_rank(found: Candidates) -> Scores:
    """Reciprocal rank fusion with k = 60."""
    lexical = np.argsort(np.argsort(-found.lexical, kind="stable"))
    dense = np.argsort(np.argsort(-found.cosines, kind="stable"))
    return np.where(found.lexical > 0, 1 / (61 + lexical), 0) + np.where(
        found.near, 1 / (61 + dense), 0
    )


def convex(found: Candidates) -> Scores:
    """BM25 over its best score and the min-max normalised cosine, in equal parts."""
    near = found.cosines[found.near]
    dense = (found.cosines - near.min()) / max(near.max() - near.min(), 1e-9)
    words: Scores = found.lexical / max(found.lexical.max(), 1e-9)
    return words + dense


RANKINGS: Mapping[str, Callable[[Candidates], Scores]] = {
    "lexical": lambda found: found.lexical,
    "dense": lambda found: found.cosines,
    "rrf": reciprocal_rank,
    "convex": convex,
    "default": lambda found: found.fused,
}


def ndcg(scores: Scores, documents: NDArray[np.int64], grades: Mapping[int, int]) -> float:
    """nDCG@10 of documents ranked by their best chunk, with grades as gains."""
    ranked = dict.fromkeys(documents[np.argsort(-scores, kind="stable")].tolist())
    discounts = 1 / np.log2(np.arange(2, 12))
    gains = np.array([grades.get(document, 0) for document in list(ranked)[:10]])
    best = np.array(sorted(grades.values(), reverse=True)[:10])
    gained = float(gains @ discounts[: len(gains)])
    return gained / float(best @ discounts[: len(best)])


async def measure(collection: Collection, embedder: MiniLM) -> dict[str, Scores]:
    """nDCG@10 of every question for each ranking."""
    found, owners = await gather(collection, embedder)
    return {
        name: np.array(
            [
                ndcg(rank(one), owners[one.ids], grades)
                for one, (_, grades) in zip(found, collection.questions, strict=True)
            ]
        )
        for name, rank in RANKINGS.items()
    }


def half_width(differences: Scores) -> float:
    """Half of the 95 % interval of a mean, by bootstrap."""
    draws = np.random.default_rng(0).integers(0, len(differences), (1000, len(differences)))
    low, high = np.quantile(differences[draws].mean(axis=1), [0.025, 0.975])
    return float(high - low) / 2


def read_all(data: Path) -> Iterator[Collection]:
    """Every collection there is, one after the other."""
    for path in sorted(data.glob("*/qrels.tsv")):
        yield read_collection(path.parent)
    if (data / "chunk-spans").is_dir():
        yield from read_spans(data / "chunk-spans")
    yield from read_library()


async def main(data: Path, only: Sequence[str]) -> None:
    """Prints a line a collection."""
    embedder = MiniLM(weights=find_weights(None), home=Path(tempfile.mkdtemp()))
    print(f"{'collection':20}" + "".join(f"{name:>9}" for name in RANKINGS) + "   default - convex")
    means = []
    for collection in read_all(data):
        if only and collection.name not in only:
            continue
        values = await measure(collection, embedder)
        means.append([scores.mean() for scores in values.values()])
        gain = values["default"] - values["convex"]
        row = "".join(f"{mean:9.3f}" for mean in means[-1])
        print(
            f"{collection.name:20}{row}   {gain.mean():+.3f} ± {half_width(gain):.3f}", flush=True
        )
    print(f"{'mean':20}" + "".join(f"{mean:9.3f}" for mean in np.mean(means, axis=0)))
    await embedder.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default=os.environ.get("AISDK_BENCH_DATA", "."))
    parser.add_argument("only", nargs="*", help="names of collections; all when none is given")
    options = parser.parse_args()
    asyncio.run(main(Path(options.data), options.only))
