"""The notebooks as they are saved: run from top to bottom, with pictures, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

NOTEBOOKS: Final = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
KINDS: Final = {
    *("text/plain", "text/html", "image/png"),
    "application/vnd.jupyter.widget-view+json",  # names a view whose state is not saved
}


def faults(book: dict[str, Any]) -> Iterator[str]:
    """What a saved notebook has too much, or too little."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    if set(book["metadata"]) != {"kernelspec", "language_info"}:
        yield "metadata, such as the state of widgets"
    if any(part["metadata"] for part in (*book["cells"], *outputs) if "metadata" in part):
        yield "metadata of a cell"
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        yield "not run from top to bottom"
    if any(output["output_type"] == "error" for output in outputs):
        yield "an error"
    if not {kind for output in outputs for kind in output.get("data", {})} <= KINDS:
        yield "an output of an unknown kind"
    if "site-packages" in json.dumps(outputs):
        yield "a path of the machine"
    if not any("image/png" in output.get("data", {}) for output in outputs):
        yield "no picture"
    if sum("NBVAL_CHECK_OUTPUT" in "".join(cell["source"]) for cell in cells) < 3:
        yield "few outputs that are compared"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_saved_as_it_is_shown(path: Path) -> None:
    """And nothing is left of how it was run."""
    assert list(faults(json.loads(path.read_text("utf-8")))) == []


def test_fault_of_a_saved_notebook_is_found() -> None:
    """The control: each fault, in one notebook."""
    widget = {"application/vnd.jupyter.widget-state+json": {}}
    outputs = [
        {"output_type": "error", "ename": "X", "evalue": "site-packages", "traceback": []},
        {"output_type": "display_data", "data": widget, "metadata": {"isolated": True}},
    ]
    cell = {"cell_type": "code", "metadata": {}, "execution_count": None, "source": ["1"]}
    book = {"metadata": {"widgets": widget}, "cells": [cell | {"outputs": outputs}]}
    assert len(list(faults(book))) == 8
