"""Folders of exported tenants that were changed, with digests that fit all the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from malformed import values
from malformed.footers import FOOTERS, crowded, footer_file
from malformed.mutation import mutated

__all__ = ["BOMBS", "bomb_folder", "changed_folder", "crowded_folder", "footer_folder"]

FILES: Final = ("documents.parquet", "chunks.parquet")
FIELDS: Final = (
    *("format", "version", "tenant_id", "tier", "state", "settings", "language"),
    *("embedding_model", "embedding_dimension", "exported_at", "files"),
)


def changed_folder(rng: Random, good: Path, folder: Path, canary: str) -> Path:
    """A copy of a good folder in which one thing was changed."""
    shutil.copytree(good, folder)
    change = rng.choice(
        (_damage_manifest, _change_field, _damage_file, _change_table, _change_table)
    )
    change(rng, folder, canary)
    return folder


def bomb_folder(name: str, good: Path, folder: Path) -> Path:
    """A copy of a good folder, small, with a column that asks for much memory."""
    shutil.copytree(good, folder)
    file, column, rows, length, options = BOMBS[name]
    table = pq.read_table(folder / file).slice(0, 1)
    table = pa.concat_tables([table] * rows).combine_chunks()
    place = table.column_names.index(column)
    table = table.set_column(place, table.schema.field(place), pa.array(["a" * length] * rows))
    pq.write_table(table, folder / file, **options)
    _sign(folder)
    return folder


def footer_folder(name: str, good: Path, folder: Path) -> Path:
    """A copy of a good folder with a footer that asks for much memory."""
    shutil.copytree(good, folder)
    (folder / FILES[0]).write_bytes(footer_file(FOOTERS[name]()))
    _sign(folder)
    return folder


def crowded_folder(good: Path, folder: Path) -> Path:
    """A copy of a good folder with a row group of more columns than there are."""
    shutil.copytree(good, folder)
    path = folder / FILES[0]
    pq.ParquetWriter(path, pq.read_schema(path)).close()
    path.write_bytes(crowded(path.read_bytes()))
    _sign(folder)
    return folder


def _damage_manifest(rng: Random, folder: Path, canary: str) -> None:
    path = folder / "manifest.json"
    path.write_bytes(mutated(rng, path.read_bytes(), [canary.encode(), b"[" * 9_999, b"9" * 5_000]))


def _change_field(rng: Random, folder: Path, canary: str) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    field = rng.choice(FIELDS)
    if rng.random() < 0.2:
        del manifest[field]
    else:
        manifest[field] = rng.choice([*FIELD_VALUES, canary, [canary], {canary: 1}])
    path.write_text(json.dumps(manifest), "utf-8")


def _damage_file(rng: Random, folder: Path, canary: str) -> None:
    path = folder / rng.choice(FILES)
    path.write_bytes(mutated(rng, path.read_bytes(), [canary.encode(), b"PAR1", b"\xff" * 8]))
    _sign(folder)


def _change_table(rng: Random, folder: Path, canary: str) -> None:
    """A table of other rows, columns or values."""
    path = folder / rng.choice(FILES)
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    place = table.column_names.index(name)
    kind = rng.randrange(6)
    if kind == 0:
        table = rng.choice(
            [table.drop_columns([name]), table.rename_columns([canary] * table.num_columns)]
        )
    elif kind == 1:
        table = rng.choice([table.slice(1), table.slice(0, 0), pa.concat_tables([table, table])])
    elif kind == 2:
        table = table.set_column(place, name, pa.array([canary] * len(table)))
    else:
        column = _values(rng, table.schema.field(place).type, len(table), canary)
        table = table.set_column(place, table.schema.field(place), column)
    pq.write_table(table, path)
    _sign(folder)


def _values(rng: Random, kind: pa.DataType, rows: int, canary: str) -> pa.Array:
    """A column of the right type with wrong values."""
    if rng.random() < 0.2:
        return pa.nulls(rows, kind)
    makers: dict[bool, Callable[[], Any]] = {
        pa.types.is_string(kind): lambda: rng.choice(TEXTS) or values.text(rng, canary),
        pa.types.is_binary(kind): lambda: rng.choice((b"", canary.encode() * 9, b"\0" * 9_999)),
        pa.types.is_integer(kind): lambda: rng.choice((-1, 0, 1, 2**31 - 1, -(2**31))),
        pa.types.is_timestamp(kind): lambda: rng.choice(MOMENTS),
        pa.types.is_fixed_size_list(kind): lambda: [rng.choice(FLOATS)] * _size(kind),
    }
    made = [makers[True]() for _ in range(rows)]
    if pa.types.is_string(kind):
        made = [text.encode("utf-8", "replace").decode() for text in made]
    return pa.array(made, kind)


def _size(kind: Any) -> int:
    return int(kind.list_size)


def _sign(folder: Path) -> None:
    """Makes the digests of the manifest fit the files."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    for name in FILES:
        manifest["files"][name]["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest), "utf-8")


MB: Final = 2**20
PLAIN: Final[dict[str, Any]] = {"use_dictionary": False}
ZSTD: Final[dict[str, Any]] = {"compression": "zstd"}
PREFIXES: Final[dict[str, Any]] = {**PLAIN, "column_encoding": {"title": "DELTA_BYTE_ARRAY"}}
# File, column, rows, characters of the text in each, and how it is written.
BOMBS: Final[dict[str, tuple[str, str, int, int, dict[str, Any]]]] = {
    "cell": (FILES[1], "text", 1, 300 * MB, PLAIN | ZSTD),
    "loosely packed cell": (FILES[1], "text", 1, 300 * MB, PLAIN),
    "largest cell": (FILES[1], "text", 1, 35 * MB, PLAIN),
    "largest text": (FILES[1], "text", 1, 17 * MB - 99, PLAIN),
    "dictionary": (FILES[0], "title", 16, 31 * MB, ZSTD),
    "loosely packed dictionary": (FILES[0], "title", 16, 31 * MB, {}),
    "largest dictionary": (FILES[0], "title", 16, 35 * MB, {}),
    "dictionary of largest texts": (FILES[0], "title", 16, 15 * MB, {}),
    "prefixes": (FILES[0], "title", 16, 15 * MB, PREFIXES),
}
FIELD_VALUES: Final[list[Any]] = [
    *(None, 0, -1, 2**70, 1.5, True, "", "\0", "\ud800", "german", 16_001, {"documents": -1}),
    *({"language": ["x"]}, {"weight": "a"}, {"documents": 10**30}, {"weight": [1]}),
]
TEXTS: Final = ["", "[1]", "{", '{"a":"\\u0000"}', '{"a":1e999}', "[" * 9_999, "9" * 5_000, "null"]
MOMENTS: Final = [
    *(0, -(2**62), 2**62, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
    None,
]
FLOATS: Final = [0.0, 1.0, float("nan"), float("inf"), None, 1e-45]
