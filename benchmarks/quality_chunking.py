"""How well chunkers serve retrieval: the best chunks of a question against the spans judged right.

Run with ``python benchmarks/quality_chunking.py DATA`` where DATA (or AISDK_BENCH_DATA) holds the
folder ``chunk-spans``. All texts are cut, embedded with MiniLM and searched together. For the five
best chunks of a question, characters are counted: precision, recall and intersection over union.
As larger chunks find more by being larger, recall is also given for the best 4,000 characters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from aisdk.core.documents.chunking import Span, split
from aisdk.core.documents.context import searchable
from aisdk.integrations.minilm import MiniLM, find_weights

BEST = 5
BUDGET = 4_000
LONGEST = 256
SIZES = (60, 100, 140, 170, 200, 230)
CHARACTERS_A_TOKEN = 4.4

Chunker = Callable[[str, int], Sequence[Span]]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the text it is about, and the characters that answer it."""

    text: str
    corpus: str
    spans: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of one of the texts."""

    corpus: str
    start: int
    end: int


def read_questions(folder: Path) -> list[Question]:
    """The questions with their judged spans."""
    with (folder / "questions.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [
        Question(record["text"], record["corpus"], [(a, b) for a, b in record["spans"]])
        for record in records
    ]


def ours(text: str, size: int) -> Sequence[Span]:
    """The chunker of aisdk."""
    return split(text, kind="markdown", target_tokens=size)


def fixed(text: str, size: int) -> Sequence[Span]:
    """Windows of the same number of characters, wherever they end."""
    step = round(size * CHARACTERS_A_TOKEN)
    return [Span(at, min(at + step, len(text)), "") for at in range(0, len(text), step)]


def recursive(text: str, size: int) -> Sequence[Span]:
    """The usual recursive cut: paragraphs, else lines, else words, joined up to a length."""
    longest = round(size * CHARACTERS_A_TOKEN)
    spans: list[Span] = []
    start = end = 0
    for piece in _recursive(text, longest, ("\n\n", "\n", " ")):
        if end > start and end + len(piece) - start > longest:
            spans.append(Span(start, end, ""))
            start = end
        end += len(piece)
    return [*spans, Span(start, end, "")]


def _recursive(text: str, longest: int, borders: Sequence[str]) -> Iterator[str]:
    if len(text) <= longest or not borders:
        yield text
        return
    for piece in re.split(f"(?<={borders[0]})", text):
        yield from _recursive(piece, longest, borders[1:])


def overlap(ranges: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Characters in both; neither overlaps itself."""
    return sum(max(0, min(b, d) - max(a, c)) for a, b in ranges for c, d in others)


def merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same characters without overlaps."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def judge(question: Question, best: Sequence[Chunk]) -> tuple[float, float, float, float]:
    """Precision, recall and intersection over union of the best few, recall of the budget."""
    spans = merged(question.spans)
    wanted = sum(end - start for start, end in spans)
    found = overlap(_same_text(best[:BEST], question), spans)
    given = sum(chunk.end - chunk.start for chunk in best[:BEST])
    return (
        found / given,
        found / wanted,
        found / (given + wanted - found),
        overlap(_same_text(within_budget(best), question), spans) / wanted,
    )


def _same_text(chunks: Sequence[Chunk], question: Question) -> list[tuple[int, int]]:
    return [(c.start, c.end) for c in chunks if c.corpus == question.corpus]


def within_budget(best: Sequence[Chunk]) -> list[Chunk]:
    """The best chunks up to a number of characters, the last one cut off there."""
    kept: list[Chunk] = []
    left = BUDGET
    for chunk in best:
        kept.append(Chunk(chunk.corpus, chunk.start, min(chunk.end, chunk.start + left)))
        left -= chunk.end - chunk.start
        if left <= 0:
            break
    return kept


async def evaluate(
    chunker: Chunker, size: int, texts: Mapping[str, str], questions: Sequence[Question]
) -> list[float]:
    """Chunks, word pieces a chunk, share of chunks too long, and the four means of ``judge``."""
    chunks: list[Chunk] = []
    embedded: list[str] = []
    for corpus, text in texts.items():
        for span in chunker(text, size):
            if text[span.start : span.end].strip():
                chunks.append(Chunk(corpus, span.start, span.end))
                embedded.append(searchable("", span.heading, text[span.start : span.end]))
    with tempfile.TemporaryDirectory() as home:
        embedder = MiniLM(weights=find_weights(None), home=HOME or Path(home))
        vectors = await embedder.embed(embedded)
        asked = await embedder.embed([question.text for question in questions])
        await embedder.close()
    pieces = count_pieces(embedded)
    order = np.argsort(-(asked @ vectors.T), axis=1)[:, :200]
    figures = [
        judge(question, [chunks[place] for place in places])
        for question, places in zip(questions, order, strict=True)
    ]
    return [len(chunks), pieces.mean(), (pieces > LONGEST).mean(), *np.mean(figures, axis=0)]


HOME: Path | None = None


def count_pieces(texts: Sequence[str]) -> NDArray[np.int64]:
    """Word pieces of each text, with the two that MiniLM adds."""
    weights = find_weights(None)
    assert weights is not None
    tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return np.array([len(tokenizer.encode(text).ids) for text in texts])


async def main() -> None:
    """Prints one row a chunker and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default=os.environ.get("AISDK_BENCH_DATA"))
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--chunkers", nargs="*", default=["aisdk", "recursive", "fixed"])
    arguments = parser.parse_args()
    folder = Path(arguments.data) / "chunk-spans"
    texts = {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("corpora/*.md"))}
    questions = read_questions(folder)
    print("chunker    size chunks pieces  >256  precision recall    IoU recall@4000")
    known: dict[str, Chunker] = {"aisdk": ours, "recursive": recursive, "fixed": fixed}
    for size in arguments.sizes:
        for name in arguments.chunkers:
            n, pieces, long, precision, recall, iou, budget = await evaluate(
                known[name], size, texts, questions
            )
            print(
                f"{name:10s} {size:4d} {n:6.0f} {pieces:6.0f} {long:5.1%} "
                f"{precision:9.3f} {recall:6.3f} {iou:6.3f} {budget:11.3f}",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main())
