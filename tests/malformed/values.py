"""Values that no argument should be: odd numbers, texts, times, containers and things of pandas."""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import numpy as np
import pandas as pd
from pydantic import SecretStr

__all__ = ["frame", "nested", "number", "odd", "text"]


class Colour(enum.IntEnum):
    """A number that is more than one."""

    RED = 1


class Words(str):
    """A text that is more than one."""

    __slots__ = ()


def text(rng: Random, canary: str) -> str:
    """An odd text."""
    return rng.choice(
        [
            *(
                "",
                " ",
                "\0",
                "a\0b",
                "\ud800",
                "\udc00\ud800",
                "\ud83d\ude00",
                "\ufffe",
                "\u202e",
                "\x1b[2J",
            ),
            *(
                canary,
                canary * 99,
                canary + "\0",
                f"'{canary}\"; --",
                f"%s{canary}%(a)s",
                f"{{{canary}}}",
            ),
            *(
                "e\u0301" * 99,
                "\N{GRINNING FACE}" * 99,
                "ß",
                "İ",
                "٣",
                "NaN",
                "null",
                "1e999",
                "-1",
            ),
            *(
                "tenant:a:b",
                "../" * 9,
                "a" * 5_000,
                "\n",
                "\r\n",
                "\t",
                "$1",
                ":a",
                "\\x00",
                "ready",
            ),
            *("source", "-source", "--source", "created_at", "-", "dense", "all", "lexical"),
            Words(canary),
        ]
    )


def number(rng: Random, canary: str) -> Any:
    """An odd number, or what looks like one."""
    del canary
    return rng.choice(
        [
            *(0, 1, -1, 2, 10, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400, 10**5_000),
            *(
                0.0,
                -0.0,
                0.5,
                1.0,
                1e-320,
                1e308,
                -1e308,
                float("nan"),
                float("inf"),
                -float("inf"),
            ),
            *(True, False, Colour.RED, Decimal("NaN"), Decimal("sNaN"), Decimal("1E+999999")),
            *(
                Fraction(1, 3),
                Fraction(10**400, 3),
                1j,
                complex("nan"),
                np.int8(-1),
                np.uint64(2**64 - 1),
            ),
            *(
                np.float16("inf"),
                np.float32(0.1),
                np.float64("nan"),
                np.longdouble("1e4000"),
                np.bool_(1),
            ),
        ]
    )


def moment(rng: Random, canary: str) -> Any:
    """An odd time."""
    del canary
    return rng.choice(
        [
            *(
                date.min,
                date.max,
                datetime.min,  # noqa: DTZ901  # without a zone, on purpose
                datetime.max,  # noqa: DTZ901  # the same
                time.max,
                timedelta.max,
                timedelta.min,
            ),
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-23))),
            *(
                datetime(2024, 2, 29, tzinfo=UTC),
                time(1, tzinfo=UTC),
                pd.NaT,
                pd.NA,
                pd.Timestamp.max,
            ),
            *(
                pd.Timestamp("2024-01-01", tz="Europe/Berlin"),
                pd.Timedelta(1),
                pd.Period("2024-01"),
            ),
            *(
                np.datetime64("NaT"),
                np.datetime64("2024-01-01T00:00:00.123456789"),
                np.timedelta64(1),
            ),
            *(np.datetime64("9999-12-31"), pd.Interval(0, 1), pd.Timestamp.min),
        ]
    )


def thing(rng: Random, canary: str) -> Any:
    """What is neither text, number nor time."""
    made: list[Callable[[], Any]] = [
        *(lambda: None, lambda: b"", canary.encode, lambda: bytearray(canary.encode()), object),
        *(
            lambda: memoryview(b"ab"),
            lambda: ...,
            lambda: NotImplemented,
            lambda: type,
            lambda: len,
        ),
        *(
            lambda: SecretStr(canary),
            lambda: ValueError(canary),
            lambda: UUID(int=0),
            lambda: Path(canary),
        ),
        *(lambda: range(3), lambda: range(10**30), lambda: slice(1), lambda: iter([canary])),
        *(
            lambda: np.array([]),
            lambda: np.array(canary),
            lambda: np.array([1, 2]),
            lambda: np.ones((2, 2)),
        ),
        *(
            lambda: np.array([canary, None], object),
            lambda: np.ones(3, complex),
            lambda: np.ma.masked,
        ),
        *(lambda: np.zeros(2, [("a", "i4"), ("b", "U3")])[0], lambda: np.ones(20_000, np.float32)),
        *(lambda: pd.Series([canary]), lambda: pd.DataFrame({canary: [1]}), lambda: pd.Index([1])),
        *(
            lambda: pd.Categorical([canary]),
            lambda: MappingProxyType({canary: 1}),
            lambda: deque([1]),
        ),
        *(lambda: OrderedDict(a=1), lambda: (value for value in [1]), lambda: frozenset({canary})),
    ]
    return rng.choice(made)()


def nested(rng: Random, canary: str, depth: int = 0) -> Any:
    """Odd values in lists and dicts, some of which hold themselves, or are far too deep."""
    kind = rng.randrange(60)
    if kind == 0:
        return laughs(rng)
    if kind < 8:
        return holding_itself(rng)
    if kind < 16:
        return deep(rng)
    inner = [odd(rng, canary, depth + 1) for _ in range(rng.choice((0, 1, 3)))]
    if kind < 40:
        return rng.choice((list, tuple))(inner)
    return {key_of(rng, canary): value for value in inner}


def key_of(rng: Random, canary: str) -> Any:
    """An odd key of a dict."""
    return rng.choice(
        [text(rng, canary), text(rng, canary), 1, None, True, 1.5, (1, canary), 10**5_000, b"a"]
    )


def holding_itself(rng: Random) -> Any:
    """A list or dict that holds itself."""
    if rng.random() < 0.5:
        items: list[Any] = [1]
        items.append(items)
        return items
    fields: dict[str, Any] = {"a": 1}
    fields["b"] = fields
    return fields


def deep(rng: Random) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(rng.choice((17, 300, 3_000))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def laughs(rng: Random) -> Any:
    """Few lists that would be billions written out."""
    value: Any = ["ha" * rng.choice((1, 999))]
    for _ in range(rng.choice((5, 12, 15))):
        value = [value] * 10
    return value


def odd(rng: Random, canary: str, depth: int = 0) -> Any:
    """Any odd value."""
    choices = (text, text, number, number, moment, thing)
    if depth < 3 and rng.random() < 0.25:
        return nested(rng, canary, depth)
    return rng.choice(choices)(rng, canary)


def frame(rng: Random, canary: str) -> pd.DataFrame:
    """A DataFrame with odd columns, of odd names and types."""
    rows = rng.choice((0, 1, 3))
    names = [*rng.choice(([], ["text"])), *rng.choices(NAMES, k=rng.randint(0, 3))]
    labels = pd.Index([odd_label(rng, place) for place in range(rows)], dtype=object)
    columns = {place: column(rng, canary, rows) for place in range(len(names))}
    if names[:1] == ["text"] and rng.random() < 0.7:
        columns[0] = [f"{canary} {row}" for row in range(rows)]
    made = pd.DataFrame(columns, range(rows)).set_index(labels)
    made.columns = pd.Index(names, dtype=object)
    if rng.random() < 0.1 and names:
        made.columns = pd.MultiIndex.from_tuples([(str(place), "b") for place in range(len(names))])
    return made


def odd_label(rng: Random, place: int) -> Any:
    """A label of a row."""
    return rng.choice([place, 0, None, float("nan"), (1, 2), "a"])


def column(rng: Random, canary: str, rows: int) -> Any:
    """A column of any type."""
    kind = rng.randrange(len(COLUMNS) + 2)
    if kind >= len(COLUMNS):
        values = np.empty(rows, object)
        for place in range(rows):
            values[place] = odd(rng, canary)
        return pd.Series(values, dtype=object)
    return COLUMNS[kind](canary, rows)


NAMES: Final = [
    *(
        "text",
        "id",
        "title",
        "text",
        "id",
        "",
        " ",
        "a\0b",
        "\ud800",
        "é",
        "x" * 9_000,
        1,
        1.5,
        None,
    ),
    *(float("nan"), True, (1, "a"), pd.Timestamp(0), 10**5_000, b"text", "source", "metadata"),
]
COLUMNS: Final[list[Callable[[str, int], Any]]] = [
    lambda canary, rows: [canary] * rows,
    lambda canary, rows: [f"{canary} {place}" for place in range(rows)],
    lambda _, rows: pd.array([None] * rows, "Int64"),
    lambda _, rows: pd.array([2**63] * rows, "UInt64"),
    lambda _, rows: np.full(rows, np.nan),
    lambda canary, rows: pd.Categorical([canary] * rows),
    lambda _, rows: pd.to_datetime([0] * rows, utc=True),
    lambda _, rows: pd.period_range("2024", periods=rows, freq="D"),
    lambda _, rows: pd.interval_range(0, periods=rows),
    lambda _, rows: pd.array([1] * rows, pd.SparseDtype(int)),
    lambda canary, rows: pd.array([canary] * rows, "string[pyarrow]"),
    lambda _, rows: np.ones(rows, complex),
    lambda _, rows: np.full(rows, "NaT", "datetime64[ns]"),
    lambda _, rows: np.full(rows, 1, "timedelta64[s]"),
    lambda canary, rows: pd.array([[canary, None]] * rows, pd.ArrowDtype(_list_of_texts())),
    lambda _, rows: np.full(rows, -0.0, np.float16),
]


def _list_of_texts() -> Any:
    import pyarrow as pa

    return pa.list_(pa.string())
