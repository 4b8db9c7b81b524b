"""The notebook edge in a real kernel, as a saved notebook shows it."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from jupyter_client.manager import run_kernel
from nbclient import NotebookClient

LOAD = "%load_ext aisdk.notebook"

PROGRESS = """
from aisdk.notebook import choose_progress
progress = choose_progress()("add", "files", 2)
import threading
worker = threading.Thread(target=progress.advance, args=(2,))
worker.start(); worker.join()
progress.close()
"""

TABLE = """
from dataclasses import dataclass
from aisdk.core.results import AsyncPage
@dataclass
class Word:
    word: str
AsyncPage(Word, [("<b>",)])
"""

ERROR = """
from aisdk.errors import NotFound
raise NotFound(hint="Look elsewhere.")
"""

EXPLORER = """
from dataclasses import dataclass
from aisdk.core.results import Rows
@dataclass(frozen=True, slots=True)
class Note:
    number: int
    name: str
notes = Rows(Note, [(n, f"Note {n}") for n in range(3)])
notes.explore()
"""

# The same rows again, the same view in a second output, and rows beside others.
AGAIN = ("view = notes.explore()\nview", "view", "both = notes.explore(beside=notes)\nboth", "both")
VIEW = "application/vnd.jupyter.widget-view+json"

NESTED = """
import asyncio
from aisdk.notebook import allow_nested_asyncio
allow_nested_asyncio()
async def answer():
    await asyncio.sleep(0.2)
    return 42
assert asyncio.run(answer()) == 42
"""


@pytest.fixture(scope="module")
def outputs() -> list[list[Any]]:
    """The saved outputs of all cells of one run, which goes on after errors."""
    cells = [nbformat.v4.new_code_cell(code) for code in (LOAD, PROGRESS, TABLE, ERROR)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_load_ext_prints_nothing(outputs: list[list[Any]]) -> None:
    """A first cell stays quiet."""
    assert outputs[0] == []


def test_progress_is_saved_in_its_final_state(outputs: list[list[Any]]) -> None:
    """One output, updated from another thread, holds the end of the story."""
    (output,) = outputs[1]
    assert output["data"]["text/plain"].startswith("add: 2 of 2 files, 0.")
    assert 'value="2"' in output["data"]["text/html"]


def test_page_is_saved_as_escaped_html_and_as_text(outputs: list[list[Any]]) -> None:
    """Both forms of the table are in the file."""
    (output,) = outputs[2]
    assert "<td>&lt;b&gt;</td>" in output["data"]["text/html"]
    assert output["data"]["text/plain"].splitlines()[-1] == "1 row"


def test_error_is_saved_as_an_error_of_four_lines(outputs: list[list[Any]]) -> None:
    """It is an error output, by which nbval and nbclient know that a cell failed."""
    (output,) = outputs[3]
    assert output["output_type"] == "error"
    assert output["ename"] == "NotFound"
    assert len(output["traceback"]) == 4
    assert output["traceback"][1].endswith('line 2: raise NotFound(hint="Look elsewhere.")')


def run_explorers() -> Any:
    """A notebook of explorers after a run in a kernel of its own."""
    cells = [
        nbformat.v4.new_code_cell(code, id=f"cell-{place}")
        for place, code in enumerate((EXPLORER, *AGAIN))
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, kernel_name="python3", record_timing=False).execute()
    return notebook


def test_notebook_of_explorers_is_saved_the_same_in_every_run() -> None:
    """Byte for byte, with the state of its widgets; no two of them have one id."""
    notebook = run_explorers()
    assert nbformat.writes(notebook) == nbformat.writes(run_explorers())
    shown = [cell.outputs[0].data[VIEW].model_id for cell in notebook.cells]
    first, again, as_before, *boxes = shown
    assert again == as_before
    assert len({first, again, *boxes}) == 4
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    panes = [one for one in state.values() if one.model_name == "AnyModel"]
    assert (len(panes), set(shown) <= set(state)) == (4, True)


def test_nested_asyncio_when_allowed_runs_and_drops_no_queued_cell() -> None:
    """The user's own ``asyncio.run()`` works, and cells sent meanwhile run after it."""
    with run_kernel(kernel_name="python3") as client:
        sent = [client.execute(code) for code in (NESTED, *["1 + 1"] * 5, NESTED, "2 + 2")]
        replies: list[dict[str, Any]] = []
        while len(replies) < len(sent):
            reply = client.get_shell_msg(timeout=60)
            if reply["msg_type"] == "execute_reply":  # on a slow start others are late
                replies.append(reply)
    assert [reply["parent_header"]["msg_id"] for reply in replies] == sent
    assert {reply["content"]["status"] for reply in replies} == {"ok"}
