"""nDCG@10 of real collections through ``documents.add`` and ``rag.query_many``, in every mode.

Run with ``python benchmarks/quality_search.py DATA [collection …]``, or with AISDK_BENCH_DATA; see
quality_retrieval.py for the folders. Title and text are one document; the best chunk counts for it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from quality_lexical import ndcg
from quality_retrieval import read_collection

import aisdk
from aisdk.settings import Settings


def measure(session: aisdk.Session, folder: Path) -> None:
    """Prints a line a mode."""
    collection = read_collection(folder)
    texts = [f"{title}. {text}" if title else text for title, text in collection.documents]
    corpus = pd.DataFrame({"id": [str(place) for place in range(len(texts))], "text": texts})
    session.documents.add(corpus, id="id", raise_on_error=False)
    asked = {str(n): text for n, (text, _) in enumerate(collection.questions)}
    for mode in ("lexical", "dense", "hybrid"):
        page = session.rag.query_many(asked, top_k=10, mode=mode, one_per_document=True)
        ranked: dict[str, list[int]] = {key: [] for key in asked}
        for hit in page:
            ranked[hit.query].append(int(hit.source))
        graded = [grades for _, grades in collection.questions]
        mean = np.mean([ndcg(r, g) for r, g in zip(ranked.values(), graded, strict=True)])
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
