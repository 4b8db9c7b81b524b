"""The rows of a pandas DataFrame as sources: taken column by column, some rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from aisdk.core.documents.cleaning import clean_text
from aisdk.core.documents.metadata import json_value
from aisdk.core.documents.names import LONGEST_GIVEN
from aisdk.core.documents.sources import FailedSource, LoadOptions, Source, TextSource
from aisdk.errors import InvalidInput, Unreadable

__all__ = ["from_frame", "is_frame"]

PLAIN: Final = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"})
SLICE: Final = 1_000  # rows converted together: bounds what is held beside the frame
NAMED: Final = 50  # columns named in a hint
LONGEST_NAME: Final = 50


def is_frame(what: Any) -> bool:
    """Whether this is a pandas DataFrame, without importing pandas."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.startswith("pandas")
        for kind in type(what).__mro__
    )


def from_frame(frame: Any, options: LoadOptions) -> Iterator[Source]:
    """A source a row; columns that are neither text, key nor title become metadata.

    Raises:
        InvalidInput: A named column is not there, or there twice.
    """
    names = [_written(name) for name in frame.columns]
    wanted: tuple[Any, ...] = (options.text, options.key, options.title)
    for name in wanted:
        if name is not None and (not isinstance(name, str) or names.count(name) != 1):
            some = [_shown(name) for name in names[:NAMED]]
            shown = ", ".join(some) + (", …" if len(names) > NAMED else "")
            raise InvalidInput(
                f"The DataFrame has no single column {_shown(name)}.",
                hint=f"Its columns are: {shown}.",
            )
    return _rows(frame, names, options)


def _shown(name: Any) -> str:
    """A column's name as a message shows it."""
    if not isinstance(name, str):
        return "of that name: a name is text"
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _rows(frame: Any, names: list[str], options: LoadOptions) -> Iterator[Source]:
    used = {options.text, options.key, options.title}
    others = [(place, name) for place, name in enumerate(names) if name not in used]
    keys = [clean_text(name) for _, name in others]
    for start in range(0, len(frame), SLICE):
        some = frame.iloc[start : start + SLICE]
        texts = _column(some, names, options.text)
        titles = _column(some, names, options.title)
        sources = _column(some, names, options.key)
        columns = [_metadata(some.iloc[:, place]) for place, _ in others]
        values = zip(*columns, strict=True) if columns else iter([()] * len(some))
        for place, (text, title, source, row) in enumerate(
            zip(texts, titles, sources, values, strict=True)
        ):
            metadata = dict(zip(keys, row, strict=True))
            yield _row((start + place, source), text, title, metadata, options)


def _column(some: Any, names: list[str], name: str | None) -> list[Any]:
    return [""] * len(some) if name is None else list(some.iloc[:, names.index(name)].tolist())


def _row(
    key: tuple[int, Any], text: Any, title: Any, metadata: dict[str, Any], options: LoadOptions
) -> Source:
    place, source = key
    if isinstance(source, str) and len(source) > LONGEST_GIVEN:
        return FailedSource.named_too_long(source)
    name = "" if options.key is None else _name(source)
    if name is None:
        return FailedSource(f"row:{place}", _no_id())
    if metadata and Unreadable in map(type, metadata.values()):
        error = next(value for value in metadata.values() if isinstance(value, Unreadable))
        return FailedSource(name or f"row:{place}", error)
    return TextSource(name, text, title if type(title) is str else "", metadata, options.max_chars)


def _name(value: Any) -> str | None:
    """A row's id as text; whole numbers stay whole although a missing one made them floats."""
    if type(value) is int:
        return _written(value) or None
    if isinstance(value, str):
        return clean_text(value) or None
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else value) if math.isfinite(value) else None
    try:
        plain = json_value(value)
    except Unreadable:
        return None
    return None if plain is None else str(plain)


def _written(value: Any) -> str:
    """The value as text; nothing where Python writes no number of so many digits."""
    try:
        return str(value)
    except ValueError:
        return ""


def _metadata(column: Any) -> list[Any]:
    """A column's values as JSON has them; an error in place of what it does not have."""
    values: list[Any] = column.tolist()
    if column.dtype.name in PLAIN:
        return values
    return [_safe(value) for value in values]


def _safe(value: Any) -> Any:
    try:
        return json_value(value)
    except Unreadable as error:
        return error


def _no_id() -> Unreadable:
    return Unreadable(
        "A row has no id.", hint="Fill the id column, or leave id= out.", reason="no_id"
    )
