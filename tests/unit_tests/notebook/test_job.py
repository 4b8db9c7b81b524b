"""A job in a real kernel: its output follows it, and is saved as it ended."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

START = """
import aisdk
from aisdk.settings import Settings
client = aisdk.Client(Settings(home={home!r}, embedding="none"))
session = aisdk.connect("job-display", client=client)
job = session.documents.add([f"pump {{n}}" for n in range(3_000)] + [""], wait=False)
job
"""
END = """
try:
    job.result(timeout_s=60)
except aisdk.AisdkError as error:
    print(error.code)
import time
time.sleep(1.5)
client.close()
"""


def test_output_of_a_job_follows_it_to_its_end(short_home: Path) -> None:
    """One output, made before the work was done, that tells how it ended."""
    codes = [START.format(home=str(short_home)), END]
    cells = [nbformat.v4.new_code_cell(code) for code in codes]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    text = output["data"]["text/plain"]
    assert text.startswith("documents.add in the background: 3,000 of 3,001 documents, ")
    assert ", 3,000 chunks, 1 failed, " in text
    assert text.endswith("; failed: add_failed, result() says more")
    assert "<progress" in output["data"]["text/html"]
    assert notebook.cells[1].outputs[0]["text"] == "add_failed\n"
