"""What a caller of a search gave, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from aisdk.core.rag.searching import Request
from aisdk.core.rag.types import Mode
from aisdk.core.runtime.options import is_whole
from aisdk.core.storage.filters import Where, compile_where
from aisdk.errors import InvalidInput

__all__ = ["keyed", "request_of"]

LARGEST_K: Final = 1_000
LONGEST_QUERY: Final = 100_000
LONGEST_VECTOR: Final = 16_000
MODES: Final = ("hybrid", "dense", "lexical")


def request_of(
    text: str, top_k: Any, where: Where | None, options: Mapping[str, Any]
) -> tuple[Request, NDArray[np.float32] | None]:
    """The checked request and the given vector."""
    vector = _vector(options["vector"]) if options.get("vector") is not None else None
    mode = _mode(options.get("mode"), vector)
    _check_text(text, needed=mode != "dense" or vector is None)
    if not is_whole(top_k, 1, LARGEST_K):
        raise InvalidInput(
            f"top_k must be a whole number from 1 to {LARGEST_K:,}.",
            hint="Leave it out for ten hits.",
        )
    weight = _number("weight", options.get("weight"))
    if weight is not None and not 0 <= weight <= 1:
        raise InvalidInput(
            "weight must be from 0 (words only) to 1 (meaning only).",
            hint="Leave it out to have it follow the query.",
        )
    if where is not None:
        compile_where(where)
    request = Request(
        text=_clean(text),
        top_k=top_k,
        mode=mode,
        where=where,
        min_score=_number("min_score", options.get("min_score")),
        one_per_document=_flag("one_per_document", options.get("one_per_document", False)),
        weight=weight,
    )
    return request, vector


def _mode(mode: Any, vector: Any) -> Mode:
    if mode is None:
        return "hybrid" if vector is None else "dense"
    if not isinstance(mode, str) or mode not in MODES:
        raise InvalidInput("mode is unknown.", hint=f"Use one of: {', '.join(MODES)}.")
    return cast("Mode", mode)


def _check_text(text: Any, *, needed: bool) -> None:
    if not isinstance(text, str) or len(text) > LONGEST_QUERY:
        raise InvalidInput(
            f"A query must be text of at most {LONGEST_QUERY:,} characters.",
            hint="Ask in fewer words, or give vector=.",
        )
    if needed and not text.strip():
        raise InvalidInput(
            "The query is empty.", hint='Ask something: query("…"), or give vector=.'
        )


def _clean(text: str) -> str:
    """The text with U+FFFD for lone surrogates, as documents have it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _vector(value: Any) -> NDArray[np.float32]:
    """The given vector at length 1."""
    unit = np.empty(0, np.float32)
    if _is_flat(value):
        try:
            with np.errstate(all="ignore"):
                vector = np.asarray(value, np.float64)
                scaled = vector / np.abs(vector).max()  # so that no square can overflow
                unit = (scaled / np.linalg.norm(scaled)).astype(np.float32)
        except (TypeError, ValueError, OverflowError, np.exceptions.ComplexWarning):
            unit = np.empty(0, np.float32)
    if unit.ndim != 1 or not unit.size or not np.isfinite(unit).all():
        raise InvalidInput(
            f"vector must be a list of 1 to {LONGEST_VECTOR:,} finite numbers, not all zero.",
            hint="Give one vector of the embedding model, shape (dimension,).",
        )
    return unit


def _is_flat(value: Any) -> bool:
    """Whether it is a row of at most so many things, none of which holds others."""
    try:
        if len(value) > LONGEST_VECTOR:
            return False
        if isinstance(getattr(value, "ndim", None), int):  # an array
            return bool(value.ndim == 1)
        return not any(hasattr(part, "__len__") for part in value)
    except (TypeError, ValueError, OverflowError):
        return False


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a finite number.", hint="Leave it out for no bound.")
    return number


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name} must be True or False.", hint="Leave it out for False.")
    return bool(value)


def keyed(queries: Any) -> Sequence[tuple[str, str]]:
    """Key and text of each query."""
    single = isinstance(queries, str) or getattr(queries, "ndim", 1) == 0
    if hasattr(queries, "columns"):
        pairs = _of_frame(queries)
    elif isinstance(queries, Mapping):
        pairs = queries.items()
    elif single or not isinstance(queries, Iterable):
        raise InvalidInput("query_many takes several texts.", hint='Write ["…", "…"].')
    else:
        pairs = ((text, text) for text in queries)
    return [_pair(place, key, text) for place, (key, text) in enumerate(pairs)]


def _pair(place: int, key: Any, text: Any) -> tuple[str, str]:
    try:
        _check_text(text, needed=True)
    except InvalidInput as error:
        raise InvalidInput(
            f"queries, place {place:,} from 0: {error.message}", hint="Mend it, or leave it out."
        ) from None
    try:
        return _clean(str(key)), text
    except ValueError:  # Python writes no number of so many digits
        raise InvalidInput("The key of a query is too long.", hint="Use a shorter key.") from None


def _of_frame(frame: Any) -> Iterable[tuple[Any, Any]]:
    names = list(frame.columns)
    if names.count("text") != 1 or names.count("id") > 1:
        raise InvalidInput(
            "The frame of queries has no single column text, or several of id.",
            hint="Rename the column of the queries to text.",
        )
    keys = frame["id"] if "id" in names else frame.index
    return zip(keys, frame["text"], strict=True)
