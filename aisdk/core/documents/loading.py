"""Finds the sources that a call names: files, folders, globs, URLs, texts, rows of a DataFrame."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import length_hint
from pathlib import Path
from typing import Any, Final

from aisdk.core.documents.access import Access
from aisdk.core.documents.files import from_path
from aisdk.core.documents.metadata import checked_metadata
from aisdk.core.documents.names import LONGEST_GIVEN
from aisdk.core.documents.rows import from_frame, is_frame
from aisdk.core.documents.sources import Document, FailedSource, LoadOptions, Source, TextSource
from aisdk.core.documents.urls import from_url
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["LOCAL", "LONGEST_PATH", "count_sources", "enumerate_sources", "is_remote"]

LONGEST_PATH: Final = 2**15  # characters; systems take fewer, and to resolve more takes long
LOCAL: Final = ("file://", "local://")
MOST_COUNTED: Final = 100_000  # files, whose names are read a second time for it
TEXT: Final = "To add a text, wrap it in a list: add([text])."
WHAT: Final = (
    "Give a path, folder, glob or URL; a list of texts, Documents or Paths; or a DataFrame."
)


def enumerate_sources(what: Any, options: LoadOptions, access: Access) -> Iterator[Source]:
    """The sources that ``what`` names, one at a time, always in the same order.

    Folders are walked without listing them as a whole; hidden files and folders, caches and
    environments are passed over, and so are files of unknown formats unless they are named. What
    cannot be added, such as a symbolic link that leaves the folder or a row without an id, comes
    as a source that fails on reading, so that it does not stop the others.

    The key of a file is its absolute path, wherever the call is made; that of a URL is the URL
    without credentials, that of a row its id, that of a text without a name a hash of it.

    Args:
        what: A path, folder, glob or URL; an iterable of texts, ``Document`` values or paths; or a
            pandas DataFrame. A text by itself is a path: texts come in a list.
        options: Column names and limits.
        access: What may be reached.

    Raises:
        InvalidInput: ``what`` is nothing of the kind, names nothing, or must not be reached.
    """
    if isinstance(what, str | os.PathLike) and len(os.fspath(what)) > LONGEST_PATH:
        raise InvalidInput("The path is too long.", hint=TEXT)
    if isinstance(what, str):
        return _from_text(what, options, access)
    if isinstance(what, os.PathLike):
        return from_path(Path(os.fsdecode(what)), options, access)
    if is_frame(what):
        return from_frame(what, options)
    if isinstance(what, Document):
        return iter([_from_document(what, options)])
    if isinstance(what, Iterable) and not isinstance(what, (bytes, bytearray, Mapping)):
        return _from_items(what, options, access)
    raise InvalidInput("This cannot be added.", hint=WHAT)


def count_sources(what: Any, options: LoadOptions, access: Access) -> int | None:
    """How many sources ``what`` names, where that is soon told without using it up. Blocking.

    Args:
        what: As ``enumerate_sources`` takes it.
        options: Column names and limits.
        access: What may be reached.

    Returns:
        The number; ``None`` for URLs, for an iterator, and for more than 100,000 files.
    """
    if is_remote(what):
        return None
    found: Iterator[Any]
    if isinstance(what, str | os.PathLike):
        found = enumerate_sources(what, options, access)
    elif isinstance(what, Sequence) and any(isinstance(item, os.PathLike) for item in what):
        found = chain.from_iterable(
            (_from_listed(item, options, access) if isinstance(item, os.PathLike) else (item,))
            for item in what
        )
    else:
        return length_hint(what) or None
    count = sum(1 for _ in islice(found, MOST_COUNTED + 1))
    return count if count <= MOST_COUNTED else None


def is_remote(what: Any) -> bool:
    """Whether ``what`` names something that other servers have to send."""
    start = what[:1_000] if isinstance(what, str) else ""
    return "://" in start and not start.lower().startswith(LOCAL)


def _from_text(what: str, options: LoadOptions, access: Access) -> Iterator[Source]:
    if not what.strip():
        raise InvalidInput("The path is empty.", hint=WHAT)
    if what.lower().startswith(LOCAL):
        return from_path(Path(what.partition("://")[2]), options, access)
    if is_remote(what) and "\n" not in what:
        return from_url(what, options, access)
    return from_path(Path(what), options, access)


def _from_items(items: Iterable[Any], options: LoadOptions, access: Access) -> Iterator[Source]:
    for place, item in enumerate(items):
        if isinstance(item, str):
            yield TextSource("", item, "", {}, options.max_chars)
        elif isinstance(item, Document):
            yield _from_document(item, options)
        elif isinstance(item, FailedSource):  # of a job, which keeps what failed
            yield item
        elif isinstance(item, os.PathLike):
            yield from _from_listed(item, options, access)
        else:
            yield FailedSource(f"item:{place}", _no_document())


def _from_listed(item: os.PathLike[Any], options: LoadOptions, access: Access) -> Iterator[Source]:
    """A path of a list, whose failure must not stop the others."""
    if len(name := os.fspath(item)) > LONGEST_PATH:
        yield FailedSource.named_too_long(os.fsdecode(name[:LONGEST_PATH]))
        return
    path = Path(os.fsdecode(item))
    try:
        yield from from_path(path, options, access)
    except Unreadable as error:
        yield FailedSource(path.absolute().as_posix(), error)
    except InvalidInput as error:
        missing = Unreadable(error.message, hint="Check the path.", reason="not_found")
        yield FailedSource(path.absolute().as_posix(), missing)


def _from_document(document: Document, options: LoadOptions) -> Source:
    source, title = "" if document.source is None else document.source, document.title
    if type(source) is not str or type(title) is not str:
        return FailedSource("document", _no_document())
    if len(source) > LONGEST_GIVEN:
        return FailedSource.named_too_long(source)
    try:
        metadata = checked_metadata(document.metadata)
    except Unreadable as error:
        return FailedSource(source or "document", error)
    return TextSource(source, document.text, title, metadata, options.max_chars)


def _no_document() -> Unreadable:
    return Unreadable(
        "An item is no text, Document or path.",
        hint="A Document's text, source and title are texts.",
        reason="not_a_document",
    )
