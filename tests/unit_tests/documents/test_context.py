"""What is embedded and indexed of a chunk."""

from __future__ import annotations

from uuid import uuid4

import pytest

from aisdk.core.documents.context import searchable, searchable_texts
from aisdk.core.documents.types import ChunkRow, DocumentRow

OPENING = "Pumps move water through the pipes of the plant."


def document(title: str) -> DocumentRow:
    """A document with this title."""
    return DocumentRow(uuid4(), "s", title, "{}", b"", 0)


def chunks(text: str) -> list[ChunkRow]:
    """Two chunks of one document, the first being ``text``."""
    end = len(text)
    return [ChunkRow(0, 0, end, "", text), ChunkRow(0, end, end + 9, "Care", "Oil them.")]


def test_searchable_puts_title_and_heading_above() -> None:
    """Only what there is."""
    assert searchable("Pumps", "Care", "Oil them.") == "Pumps > Care\nOil them."
    assert searchable("", "Care", "Oil them.") == "Care\nOil them."
    assert searchable("", "", "Oil them.") == "Oil them."


def test_texts_of_a_titled_document_all_carry_the_title() -> None:
    """The title, and no first sentence."""
    texts = searchable_texts([document("Pumps")], chunks(OPENING))
    assert texts == [f"Pumps\n{OPENING}", "Pumps > Care\nOil them."]


def test_texts_without_title_carry_the_first_sentence_after_the_first_chunk() -> None:
    """The first chunk has it already."""
    texts = searchable_texts([document("")], chunks(f"{OPENING} They are red. "))
    assert texts[0] == f"{OPENING} They are red. "
    assert texts[1] == f"{OPENING} > Care\nOil them."


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("word " * 100, ("word " * 24).strip()),
        ("Yes. " + OPENING, f"Yes. {OPENING}"),
        ("  Lines\nare\tjoined into one sentence.  Next.", "Lines are joined into one sentence."),
    ],
    ids=["no sentence", "a very short sentence", "white space"],
)
def test_opening_is_short_and_on_one_line(text: str, opening: str) -> None:
    """At most 200 characters of a sentence, else 120 of the beginning."""
    texts = searchable_texts([document("")], chunks(text))
    assert texts[1] == f"{opening} > Care\nOil them."


def test_texts_of_several_documents_are_kept_apart() -> None:
    """Each chunk is introduced by its own document."""
    rows = [
        *chunks(OPENING),
        *(ChunkRow(1, c.start, c.end, "", "Cats sleep all day long.") for c in chunks(OPENING)),
    ]
    texts = searchable_texts([document(""), document("")], rows)
    assert texts[1].startswith(OPENING)
    assert texts[3] == "Cats sleep all day long.\nCats sleep all day long."
