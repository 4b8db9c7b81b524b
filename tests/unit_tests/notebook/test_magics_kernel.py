"""The magics in a real kernel, as nbclient, nbval and a front end see them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import run_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

GOOD = ["%load_ext aisdk", "%rag?", "%config AisdkMagics.top_k = 3"]
BAD = "%rag what is a date?"


def notebook(*cells: str) -> Any:
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])


def test_failing_magic_fails_the_run_of_nbclient() -> None:
    """The control runs; the bad cell is an error output of four lines."""
    NotebookClient(notebook(*GOOD), timeout=60, kernel_name="python3").execute()
    failing = notebook(*GOOD, BAD)
    with pytest.raises(CellExecutionError, match="There is no session"):
        NotebookClient(failing, timeout=60, kernel_name="python3").execute()
    (output,) = failing.cells[-1].outputs
    assert output["ename"] == "ConfigError"
    assert len(output["traceback"]) == 4
    assert output["traceback"][1].endswith("line 1: %rag what is a date?")


def test_refused_setting_is_one_line_and_sets_up_no_logging() -> None:
    """What another library logs without being asked stays unseen in later cells."""
    quiet = (
        "import logging; log = logging.getLogger('other')\nlog.addHandler(logging.NullHandler())"
    )
    refused, after = "%config AisdkMagics.top_k = 0", "log.warning('unasked')"
    ran = notebook(*GOOD, quiet, refused, after, "%config AisdkMagics.top_k")
    NotebookClient(ran, timeout=60, kernel_name="python3").execute()
    (told,) = ran.cells[-3].outputs
    assert (told["name"], told["text"].count("\n")) == ("stderr", 1)
    assert told["text"].startswith("AisdkMagics keeps what it had: The value of the 'top_k' trait")
    assert ran.cells[-2].outputs == []
    assert ran.cells[-1].outputs[0]["data"]["text/plain"] == "3"


def test_failing_magic_fails_nbval(tmp_path: Path) -> None:
    """The last cells of two notebooks fail, and nothing else."""
    for name, cells in (("good", GOOD), ("bad", [*GOOD, BAD]), ("empty", [*GOOD, "%%rag"])):
        nbformat.write(notebook(*cells), tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(  # noqa: S603  # our own arguments
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    failed = re.findall(r"FAILED (\w+)\.ipynb::Cell (\d)", ran.stdout)
    assert failed == [("bad", "3"), ("empty", "3")]
    assert "9 passed" in ran.stdout


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """A kernel in which a tenant is connected by the magic, on a database of its own.

    That of the other tests has more tenants by now than completion offers.
    """
    with (
        tempfile.TemporaryDirectory(prefix="aisdk-", ignore_cleanup_errors=True) as home,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AISDK_HOME", home)
        patch.setenv("AISDK_EMBEDDING", "none")
        with run_kernel(kernel_name="python3") as client:
            for code in (
                "%load_ext aisdk",
                "%aisdk connect t-kernel",
                "session.documents.add(['A pump moves water.'], progress=False)",
                "hits = %rag what moves water?",
                "assert len(hits) == 1",
            ):
                reply = client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
                assert reply["content"]["status"] == "ok", reply["content"]
            yield client


@pytest.mark.parametrize(("code", "shown"), [("%rag pump", 1), ("%rag is it a pump?;", 0)])
def test_front_end_is_shown_what_has_no_semicolon(kernel: Any, code: str, shown: int) -> None:
    """By the messages that make an output."""
    kinds: list[str] = []
    kernel.execute_interactive(
        code, timeout=60, output_hook=lambda message: kinds.append(message["msg_type"])
    )
    assert kinds.count("execute_result") == shown
    assert "error" not in kinds


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("%aisdk conn", "connect"),
        ("%rag --mode d", "dense"),
        ("%aisdk connect t-kern", "t-kernel"),
        ("session.documents.get('text:", "text:"),
        ("session.rag.query('x').to_frame().groupb", "groupby"),
        ("hits.to_fr", "to_frame"),
    ],
)
def test_front_end_gets_completions(kernel: Any, code: str, match: str) -> None:
    """By the kernel's protocol, as JupyterLab asks for them: again as somebody types on."""
    for _ in range(25):
        content = kernel.complete(code, reply=True, timeout=60)["content"]
        if any(match in offer for offer in content["matches"]):
            break
        time.sleep(1)  # the database was too slow for somebody who types
    assert any(match in offer for offer in content["matches"])
    assert content["status"] == "ok"
    assert content["cursor_end"] == len(code)
