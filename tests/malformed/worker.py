"""A process that parses: each group of inputs in a fork of its own, whose memory is measured.

Reads a line of JSON a group from standard input and answers each with one. Its main process stays
small and has one thread, so that a fork begins with clean memory and no lock is held.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from aisdk.core.documents import parsing
from aisdk.core.documents.sources import LoadOptions, Parsed
from aisdk.core.documents.unreadable import damaged
from aisdk.core.documents.volume import pieces
from aisdk.core.tenants import folder as reading
from aisdk.core.tenants.folder import batches, check_digests, opened
from aisdk.errors import AisdkError, Unreadable
from aisdk.integrations.openai_compatible import read_reply
from malformed.files import malformed_file, small_pdf, word
from malformed.heavy import HEAVY
from malformed.mutation import seeded
from malformed.verdict import Tally

OPTIONS: Final = LoadOptions()
TEXTS: Final = 64  # as many as are sent together
MB: Final = 1024 if sys.platform == "linux" else 2**20  # in units of ru_maxrss

Answer = dict[str, Any]


def main() -> None:
    """Answers until standard input ends."""
    warnings.simplefilter("error")
    warm()
    for line in sys.stdin:
        print(json.dumps(answer_to(**json.loads(line))), flush=True)  # noqa: T201


def answer_to(*, kind: str, size: int = 0, **wanted: Any) -> Answer:
    """What became of a group; a heavy file is made by another fork, whose memory does not count."""
    if kind == "folders":
        return in_fork(lambda: read_folder(**wanted))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "heavy"
        if kind in HEAVY:
            in_fork(lambda: {"bytes": path.write_bytes(HEAVY[kind][1](size))})
        return in_fork(lambda: work(kind, path, **wanted))


def warm() -> None:
    """Imports what parsers import when they are first called."""
    import pyarrow.parquet  # noqa: F401  # only imported: its threads would not outlive a fork

    with suppress(AisdkError):
        read_reply(b"{}", 1, None)
    texts = dict.fromkeys(("md", "csv", "json", "jsonl", "ipynb", "html"), b"{} words")
    texts |= {"docx": word(seeded(), "<a/>"), "txt": ("Größe für Möbel. " * 9).encode("cp1252")}
    for suffix, data in texts.items():
        parsed(suffix, data)


def parsed(suffix: str, data: bytes) -> Parsed | None:
    """The text, if there is one."""
    try:
        return parsing.parse(f"file.{suffix}", data, OPTIONS)
    except Unreadable:
        return None


def in_fork(job: Callable[[], Answer]) -> Answer:
    """The answer of a job that runs in a fork; a fault where the fork dies."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, json.dumps(job()).encode())
        except BaseException as error:  # noqa: BLE001  # a fork must not go on as its parent
            os.write(writer, json.dumps({"faults": [f"in the worker: {error!r}"]}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer else {"faults": [f"the process died: {status}"]}


def work(
    kind: str, path: Path, *, canary: str, seed: int = 0, count: int = 1, broken: str = ""
) -> Answer:
    """Parses so many malformed files of a kind, or the heavy one at a path."""
    if broken:
        parsing._TEXT["csv"] = BROKEN[broken]
    tally, rng = Tally(), seeded(kind, seed)
    heavy = path.read_bytes() if kind in HEAVY else b""
    suffix = HEAVY[kind][0] if kind in HEAVY else kind
    before = peak_mb(resource.RUSAGE_SELF)
    for _ in range(count):
        data = heavy or malformed_file(rng, suffix, canary)
        tally.judge(kind, canary, lambda data=data: check(suffix, data))
    grown = max(
        peak_mb(resource.RUSAGE_SELF) - before,
        peak_mb(resource.RUSAGE_CHILDREN) - small_child_mb(suffix),
    )
    accepted = tally.accepted[kind]
    return {"accepted": accepted, "faults": tally.faults[:9], "mb": grown}


def read_folder(*, folder: str, canary: str, count: int = 1, broken: str = "") -> Answer:
    """Reads an exported tenant as an import does."""
    if broken:
        reading.is_footer_small = lambda _: True
    tally = Tally()
    before = peak_mb(resource.RUSAGE_SELF)

    def read() -> None:
        with ExitStack() as files:
            export = opened(Path(folder), files)
            check_digests(export)
            for _ in batches(export, "t"):
                pass

    tally.judge("folders", canary, read)
    return {"faults": tally.faults, "mb": peak_mb(resource.RUSAGE_SELF) - before}


def check(suffix: str, data: bytes) -> None:
    """Parses, and looks at what comes out."""
    if suffix == "reply":
        read_reply(data, TEXTS, None)
        return
    found = parsing.parse(f"file.{suffix}", data, OPTIONS)
    json.dumps(found.metadata).encode()
    for piece in (*pieces(found.text), found.title):
        piece.encode()
        if "\0" in piece or "\r" in piece:
            raise AssertionError("the text is not clean")
    if found.text.isspace():
        raise AssertionError("there is no text")


def small_child_mb(suffix: str) -> float:
    """What the process that reads a PDF takes for a small one."""
    if suffix != "pdf":
        return 0.0
    small = small_pdf(seeded(), "words")

    def read() -> Answer:
        parsed("pdf", small)
        return {"mb": peak_mb(resource.RUSAGE_CHILDREN)}

    return float(in_fork(read)["mb"])


def peak_mb(whose: int) -> float:
    """The most memory that this process, or its children, had so far."""
    return resource.getrusage(whose).ru_maxrss / MB


def _escape(text: str, _: int) -> Parsed:
    raise KeyError(text[:9])


def _recurse(text: str, most: int) -> Parsed:
    return _recurse(text, most)


def _allocate(text: str, _: int) -> Parsed:
    large = b"x" * (300 * 2**20)
    return Parsed(text + chr(large[-1]), "", {}, "table")


def _quote(text: str, _: int) -> Parsed:
    raise Unreadable(f"This cannot be read: {text}")


def _chain(text: str, _: int) -> Parsed:
    raise damaged() from ValueError(text)


def _crash(text: str, most: int) -> Parsed:
    os.abort()


# Parsers that the campaign must catch.
BROKEN: Final = {
    "escape": _escape,
    "recurse": _recurse,
    "allocate": _allocate,
    "quote": _quote,
    "chain": _chain,
    "crash": _crash,
}

if __name__ == "__main__":
    main()
