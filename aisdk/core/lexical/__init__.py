"""Lexical search: exact BM25 on an inverted index of immutable segments."""

from __future__ import annotations

from aisdk.core.lexical.analysis import ANALYZER_VERSION, Analyzer, TermCounts, languages
from aisdk.core.lexical.bm25 import Bm25, LexicalScores, score_chunks
from aisdk.core.lexical.bucket import bucket_labels
from aisdk.core.lexical.matching import Matcher
from aisdk.core.lexical.merging import choose_merge
from aisdk.core.lexical.segment import Segment, build_segment, merge_segments

__all__ = [
    "ANALYZER_VERSION",
    "Analyzer",
    "Bm25",
    "LexicalScores",
    "Matcher",
    "Segment",
    "TermCounts",
    "bucket_labels",
    "build_segment",
    "choose_merge",
    "languages",
    "merge_segments",
    "score_chunks",
]
