"""BM25 beside the library ``bm25s`` on the same tokens: nDCG@10 of each collection.

Run with ``python benchmarks/quality_lexical.py DATA``, or with AISDK_BENCH_DATA; see
quality_retrieval.py for the folders. A document is one chunk here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import bm25s
import numpy as np
from quality_retrieval import Collection, read_collection

from aisdk.core.lexical import Analyzer, build_segment, score_chunks

TOP = 10


def ndcg(ranked: Sequence[int], grades: Mapping[int, int]) -> float:
    """nDCG@10 with linear gain."""
    weights = 1 / np.log2(np.arange(2, TOP + 2))
    gains = np.array([grades.get(place, 0) for place in ranked[:TOP]], float)
    best = np.array(sorted(grades.values(), reverse=True)[:TOP], float)
    return float(gains @ weights[: len(gains)] / (best @ weights[: len(best)]))


def ours(collection: Collection, texts: Sequence[str], analyzer: Analyzer) -> list[list[int]]:
    """The best documents of each question."""
    segment = build_segment(range(len(texts)), analyzer.analyse_many(texts))
    ranked = []
    for question, _ in collection.questions:
        ids, _ = score_chunks(analyzer.analyse(question), [segment]).top(TOP, None)
        ranked.append(ids.tolist())
    return ranked


def theirs(collection: Collection, texts: Sequence[str], analyzer: Analyzer) -> list[list[int]]:
    """The same by bm25s with Lucene's formula and the same constants."""
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index([analyzer.words(text) for text in texts], show_progress=False)
    asked = [list(dict.fromkeys(analyzer.words(question))) for question, _ in collection.questions]
    places, scores = index.retrieve(asked, k=TOP, show_progress=False)
    return [
        [int(place) for place, score in zip(*row, strict=True) if score > 0]
        for row in zip(places, scores, strict=True)
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("AISDK_BENCH_DATA"))
    folder = Path(parser.parse_args().data)
    print(f"{'collection':12} {'aisdk':>8} {'bm25s':>8} {'difference':>11}")
    for path in sorted(folder.iterdir()):
        if not (path / "qrels.tsv").exists():
            continue
        collection = read_collection(path)
        texts = [f"{title}. {text}" if title else text for title, text in collection.documents]
        analyzer = Analyzer("english")
        means = []
        for rank in (ours, theirs):
            ranked = rank(collection, texts, analyzer)
            graded = [grades for _, grades in collection.questions]
            means.append(np.mean([ndcg(r, g) for r, g in zip(ranked, graded, strict=True)]))
        print(f"{path.name:12} {means[0]:8.4f} {means[1]:8.4f} {means[0] - means[1]:+11.4f}")


if __name__ == "__main__":
    main()
