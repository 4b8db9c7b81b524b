"""Progress in a real shell's outputs."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from IPython.utils.capture import RichOutput, capture_output

from aisdk.core.results.progress import terminal
from aisdk.notebook import progress
from aisdk.notebook.progress import DisplayProgress, choose_progress


def texts(outputs: list[RichOutput]) -> list[str]:
    """The plain texts of all outputs and updates."""
    return [output.data["text/plain"] for output in outputs]


@pytest.mark.usefixtures("shell")
def test_one_chunk_is_no_chunks() -> None:
    """The number and its noun go together."""
    with capture_output() as captured:
        for chunks in (1, 2):
            shown = DisplayProgress("add", "files")
            shown.advance(chunks=chunks)
            shown.close()
    one, two = texts(captured.outputs)[1::2]
    assert one.startswith("add: 1 files, 1 chunk, ")
    assert two.startswith("add: 1 files, 2 chunks, ")


@pytest.mark.usefixtures("shell")
def test_close_leaves_the_final_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done, failed, and how long it took is in the last update, in the same output."""
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with capture_output() as captured:
        shown = DisplayProgress("add", "files", 3)
        shown.advance()
        shown.grow(4)
        shown.advance(2, failed=1)
        shown.close()
    first, *updates = captured.outputs
    assert len(updates) == 4
    assert not first.update
    assert {output.transient["display_id"] for output in captured.outputs} == {
        first.transient["display_id"]
    }
    last = r"add: 3 of 4 files, 1 failed, \d+\.\d s, [\d,]+ files/s"
    assert re.fullmatch(last, texts(updates)[-1])
    assert '"><progress max="4" value="4"></progress> add' in updates[-1].data["text/html"]


@pytest.mark.usefixtures("shell")
def test_advance_often_updates_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates wait for their turn; the last one counts everything."""
    monkeypatch.setattr(progress, "_EVERY_S", 3_600.0)
    with capture_output() as captured:
        shown = DisplayProgress("collect", "rows")
        for _ in range(1_000):
            shown.advance()
        shown.close()
        shown.close()
    assert len(captured.outputs) == 2
    assert texts(captured.outputs)[-1].startswith("collect: 1,000 rows")


@pytest.mark.usefixtures("shell")
def test_advance_from_many_threads_counts_all() -> None:
    """The portal and its workers may all report."""
    with capture_output() as captured:
        shown = DisplayProgress("embed", "chunks")
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: shown.advance(1, failed=1), range(500)))
        shown.close()
        shown.advance()
    assert texts(captured.outputs)[-1].startswith("embed: 500 chunks, 500 failed")


@pytest.mark.usefixtures("shell")
def test_unknown_total_moves_a_bar_until_it_is_closed() -> None:
    """A bar without a value while it runs, and none beside the final count."""
    with capture_output() as captured:
        DisplayProgress("collect", "rows").close()
    first, last = (output.data["text/html"] for output in captured.outputs)
    assert "<progress></progress>" in first
    assert "<progress" not in last


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("total", "known", "left"),
    [
        (100, 100, ", about 30 s left"),
        (None, 100, ", about 30 s left"),
        (None, None, ""),
        (10, 10, ""),
    ],
)
def test_time_left_is_told_where_the_total_is_known(
    total: int | None, known: int | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it becomes known on the way; not of all that is done, and not after the end."""
    clock = itertools.chain([0.0], itertools.repeat(3.3))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    with capture_output() as captured:
        shown = DisplayProgress("add", "files", total)
        if known is not None:
            shown.grow(known)
        shown.advance(9, failed=1)
        shown.close()
    assert texts(captured.outputs)[-2].endswith(f", 3.3 s, 2.7 files/s{left}")
    assert texts(captured.outputs)[-1].endswith(", 3.3 s, 2.7 files/s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.4, "59.4 s"),
        (59.9, "1 min 0 s"),
        (160.6, "2 min 41 s"),
        (3_900.0, "1 h 5 min"),
    ],
)
def test_duration_grows_coarser(seconds: float, text: str) -> None:
    """Nobody counts three thousand seconds."""
    assert progress._duration(seconds) == text


@pytest.mark.usefixtures("shell")
def test_title_is_escaped() -> None:
    """A title may hold the name of a folder, and that may hold anything."""
    with capture_output() as captured:
        DisplayProgress("<script>\x1b", "files").close()
    bundle: dict[str, Any] = captured.outputs[-1].data
    assert "<script>" not in bundle["text/html"]
    assert "\x1b" not in bundle["text/plain"]


@pytest.mark.usefixtures("shell")
def test_choose_progress_in_a_shell_without_kernel_is_the_terminal_s() -> None:
    """IPython in a terminal draws a bar."""
    assert choose_progress() is terminal


def test_choose_progress_outside_ipython_does_not_import_it() -> None:
    """A script stays without IPython, pandas and pyarrow."""
    code = (
        "import sys; from aisdk.notebook import choose_progress; print(choose_progress().__name__);"
        "print({'IPython', 'ipywidgets', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # our own code
    assert ran.stdout.split() == [b"terminal", b"set()"]


@pytest.mark.usefixtures("shell")
def test_chunks_and_why_it_stopped_are_told() -> None:
    """In the text that is saved."""
    with capture_output() as captured:
        shown = DisplayProgress("add", "documents", 9)
        shown.advance(2, chunks=1_500)
        shown.close("stopped")
    assert re.fullmatch(
        r"add: 2 of 9 documents, 1,500 chunks, .*; stopped", texts(captured.outputs)[-1]
    )


@pytest.mark.usefixtures("shell")
def test_rate_counts_from_the_begin_of_the_work() -> None:
    """Which was long before it is shown, as of a job that another kernel began."""
    with capture_output() as captured:
        shown = DisplayProgress("add", "documents", 900, 100.0)
        shown.advance(300)
        shown.close()
    first, last = texts(captured.outputs)[0], texts(captured.outputs)[-1]
    assert first.startswith("add: 0 of 900 documents, 1 min 40 s")
    assert last.startswith("add: 300 of 900 documents, 1 min 40 s, 3.0 documents/s")
