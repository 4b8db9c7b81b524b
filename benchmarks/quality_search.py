"""nDCG@10 of real collections through ``documents.add`` and ``rag.query_many``, in every mode.

Run with ``python benchmarks/quality_search.py DATA [collection …]``, or with AISDK_BENCH_DATA; see
quality_retrieval.py for the folders. Title and text are one document; the best chunk counts for it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from quality_lexical import ndcg

import aisdk
from aisdk.settings import Settings


def measure(session: aisdk.Session, folder: Path) -> None:
    """Prints a line a mode."""
    documents = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
    places = {document["id"]: place for place, document in enumerate(documents)}
    grades: dict[str, dict[int, int]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, grade = line.split("\t")
        grades[query][places[document]] = int(grade)
    texts = [f"{d['title']}. {d['text']}" if d["title"] else d["text"] for d in documents]
    corpus = pd.DataFrame({"id": [d["id"] for d in documents], "text": texts})
    session.documents.add(corpus, id="id", raise_on_error=False)
    asked = pd.DataFrame([{"id": str(q["id"]), "text": q["text"]} for q in queries])
    asked = asked[asked["id"].isin([str(query) for query, found in grades.items() if found])]
    for mode in ("lexical", "dense", "hybrid"):
        page = session.rag.query_many(asked, top_k=10, mode=mode, one_per_document=True)
        ranked: dict[str, list[int]] = {key: [] for key in asked["id"]}
        for hit in page:
            ranked[hit.query].append(places[hit.source])
        mean = np.mean([ndcg(found, grades[key]) for key, found in ranked.items()])
        print(f"{folder.name:12} {mode:8} {mean:.4f}", flush=True)


def main() -> None:
    """Measures each collection in a tenant of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("AISDK_BENCH_DATA"))
    parser.add_argument("collections", nargs="*")
    given = parser.parse_args()
    folders = [path for path in sorted(Path(given.data).iterdir()) if (path / "qrels.tsv").exists()]
    home = Path(tempfile.mkdtemp(prefix="aisdk-"))
    try:
        with aisdk.Client(Settings(home=home)) as client:
            for folder in folders:
                if not given.collections or folder.name in given.collections:
                    measure(aisdk.connect(folder.name, client=client), folder)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
