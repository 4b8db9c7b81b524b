"""What IPython would misread in a cell with `%rag`, in a real shell on a real database."""

from __future__ import annotations

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from shells import run

import aisdk
from aisdk.errors import InvalidInput


@pytest.fixture
def loaded(shell: InteractiveShell, session: aisdk.Session) -> InteractiveShell:
    """A shell with the extension, and a session with a document in its variable."""
    frame = pd.DataFrame({"text": ["A pump moves water."], "id": ["pump"]})
    session.documents.add(frame, id="id", progress=False)
    shell.run_line_magic("load_ext", "aisdk")
    shell.push({"session": session})
    return shell


@pytest.mark.parametrize(
    "cell",
    [
        "%timeit -n 1 -r 1 %rag hits << is it a pump?",
        "%timeit -n1 -r1 -q %rag hits << what's a pump??",
        "%prun -q %rag hits << is it a pump?",
        "%prun %rag -k 1 hits << is it a pump?",
        "%prun -l 2 -s cumulative hits = %rag is it a pump?",
        "%prun hits = %rag is it a pump?",
        "%%prun -q\n%rag hits << is it a pump?",
        "rag hits << is it a pump?",
        "  rag -k 1 hits << what's a pump ?",
    ],
)
def test_question_is_asked_under_other_magics_and_by_automagic(
    loaded: InteractiveShell, cell: str
) -> None:
    """IPython would show its help about the last word."""
    run(loaded, cell)
    assert [hit.source for hit in loaded.user_ns["hits"]] == ["pump"]


MODULO = ["%timeit -n 1 x % rag + date?", "%timeit x %rag + date?", "%prun x %rag + date?"]
NOT_OURS = ["rag?", "rag.x?", "rag = date?", "rag, date?", "x = 1\nrag a date?", "date?"]


@pytest.mark.parametrize("cell", [*MODULO, *NOT_OURS, "'''\nrag a date?\n'''"])
def test_question_mark_elsewhere_is_left_to_ipython(shell: InteractiveShell, cell: str) -> None:
    """Whatever it makes of it."""
    before = shell.transform_cell(cell)
    shell.run_line_magic("load_ext", "aisdk")
    assert shell.transform_cell(cell) == before


@pytest.mark.parametrize("setting", ["%automagic off", "rag = 1", "import builtins as rag"])
def test_plain_rag_is_left_to_ipython_where_it_is_no_magic(
    shell: InteractiveShell, setting: str
) -> None:
    """With automagic off, or a variable of that name."""
    run(shell, setting)
    cells = ("rag x?", "rag what is a date?", "rag date ?")
    before = [shell.transform_cell(cell) for cell in cells]
    shell.run_line_magic("load_ext", "aisdk")
    assert [shell.transform_cell(cell) for cell in cells] == before


@pytest.mark.parametrize(
    "cell",
    [
        "%rag is it a pump;",
        "%rag what's a pump?;",
        "%rag -k 1 pump ; ",
        "rag pump;",
        "%time %rag pump;",
        "x = 1\n%rag pump;\n\n# done\n",
    ],
)
def test_semicolon_silences_the_display(loaded: InteractiveShell, cell: str) -> None:
    """As IPython's does behind an expression."""
    assert run(loaded, cell.replace(";", "")) is not None
    assert run(loaded, cell) is None


@pytest.mark.parametrize("cell", ["hits = %rag pump;", "%rag hits << pump;"])
def test_semicolon_leaves_the_assignment(loaded: InteractiveShell, cell: str) -> None:
    """The variable holds the page."""
    assert run(loaded, cell) is None
    assert len(loaded.user_ns["hits"]) == 1


def test_semicolon_is_no_part_of_the_question(loaded: InteractiveShell) -> None:
    """Where there is nothing else, the question is missing."""
    errors = [loaded.run_cell(cell).error_in_exec for cell in ("%rag", "%rag ;")]
    assert isinstance(errors[1], InvalidInput)
    assert str(errors[0]) == str(errors[1])


def test_semicolon_elsewhere_silences_nothing(loaded: InteractiveShell) -> None:
    """Inside a question, in the body of a cell, and on a line before the last one."""
    for cell in ("%rag a; pump", "%%rag\npump;", "%rag pump;\nsession.rag.query('pump')"):
        assert len(run(loaded, cell)) == 1
