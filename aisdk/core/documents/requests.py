"""What ``documents.add`` was given, as bytes that a job can go on with in another process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgpack
from pydantic_core import to_json

from aisdk.core.documents.access import Access
from aisdk.core.documents.loading import LOCAL, LONGEST_PATH, enumerate_sources
from aisdk.core.documents.rows import is_frame
from aisdk.core.documents.sources import Document, FailedSource, LoadOptions, Source
from aisdk.core.jobs.store import MOST_BYTES
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["pack", "unpack"]

KEPT: Final = ("max_bytes", "max_pages", "raise_on_error")


def pack(
    what: Any, load: LoadOptions, access: Access, options: Mapping[str, Any]
) -> tuple[bytes, bool]:
    """The request of a job: paths as absolute paths, everything else with its texts. Blocking.

    Args:
        what: As ``documents.add`` takes it.
        load: How its sources are found.
        access: What may be reached.
        options: Those of the call; what only shows progress is left out.

    Returns:
        The request, and whether it names files or URLs, which others may not reach.

    Raises:
        InvalidInput: ``what`` is nothing that can be added, or is too large to be kept.
    """
    sources = enumerate_sources(what, load, access)  # refuses what add would refuse
    kept = {name: options[name] for name in KEPT if name in options}
    if isinstance(what, str | os.PathLike):
        path = os.fsencode(_absolute(os.fsdecode(what)))
        return _packed({"path": path, "options": kept}), True
    items, size = [], 0
    for item in _items(what, sources, load, access):
        items.append(item)
        size += sum(len(value) for value in item[1:])
        if size > MOST_BYTES:
            raise _too_large()
    return _packed({"items": items, "options": kept}), any(item[0] == "path" for item in items)


def unpack(request: bytes) -> tuple[Any, dict[str, Any]]:
    """What ``documents.add`` takes, and its options. Blocking."""
    told = msgpack.unpackb(request)
    if "path" in told:
        return os.fsdecode(told["path"]), told["options"]
    return [_unpacked(*item) for item in told["items"]], told["options"]


def _items(
    what: Any, sources: Iterator[Source], load: LoadOptions, access: Access
) -> Iterator[tuple[Any, ...]]:
    if is_frame(what) or isinstance(what, Document):
        yield from map(_item, sources)
        return
    for place, item in enumerate(what):
        if isinstance(item, os.PathLike) and len(os.fspath(item)) <= LONGEST_PATH:
            yield ("path", os.fsencode(_absolute(os.fsdecode(item))))
            continue
        for source in enumerate_sources([item], load, access):
            if isinstance(source, FailedSource) and source.source == "item:0":
                yield _item(FailedSource(f"item:{place}", source.error))
            else:
                yield _item(source)


def _item(source: Source) -> tuple[Any, ...]:
    """A source that is at hand, or why there is none."""
    try:
        source.read()
    except Unreadable as error:
        failed = (source.source, error.message, error.hint, error.reason)
        return ("failed", *(text.encode("utf-8", "surrogatepass") for text in failed))
    text: Any = source
    texts = (text.text, text.source, text.title)
    encoded = (value.encode("utf-8", "surrogatepass") for value in texts)
    return ("text", *encoded, to_json(text.metadata))


def _unpacked(kind: str, *values: bytes) -> Document | Path | FailedSource:
    if kind == "path":
        return Path(os.fsdecode(values[0]))
    if kind == "failed":
        source, message, hint, reason = (_text(value) for value in values)
        return FailedSource(source, Unreadable(message, hint=hint, reason=reason))
    *texts, metadata = values
    text, source, title = (_text(value) for value in texts)
    return Document(text, source, title, json.loads(metadata))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _absolute(path: str) -> str:
    """The same path from wherever a job goes on; URLs stay as they are."""
    prefix = next((each for each in LOCAL if path.lower().startswith(each)), "")
    if "://" in path and not prefix:
        return path
    return f"{prefix}{Path.cwd() / Path(path[len(prefix) :]).expanduser()}"


def _packed(told: Mapping[str, Any]) -> bytes:
    request: bytes = msgpack.packb(told)
    if len(request) > MOST_BYTES:
        raise _too_large()
    return request


def _too_large() -> InvalidInput:
    return InvalidInput(
        f"A job keeps at most {MOST_BYTES // 2**20} MiB of texts.",
        hint="Add files by their path, fewer texts at a time, or wait for them: wait=True.",
    )
