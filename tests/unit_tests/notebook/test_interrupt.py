"""The kernel's interrupt: it ends a call soon, says how to go on, and shows the user's lines."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jupyter_client.manager import start_new_kernel

SETUP: Final = """
import aisdk
from aisdk.settings import Settings
client = aisdk.Client(Settings(home={home!r}, embedding="minilm"))
session = aisdk.connect("interrupted", client=client)
session.documents.add(["warm up"], progress=False)
"""
ADD: Final = "session.documents.add([f'pump {n} ' * 60 for n in range(20_000)])"
AWAITED: Final = f"await session.asynchronous().{ADD.removeprefix('session.')}"
WAIT: Final = "client.call(lambda: client._parts.database.fetch('SELECT pg_sleep(60)'))"
LEFT: Final = """
client.call(lambda: client._parts.database.fetch(
    "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sl%'"))
"""
PROMPT_S: Final = 1.0
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class Kernel:
    """A real kernel, and what its cells put out.

    Attributes:
        seconds: From the last interrupt to the end of its cell.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code: str, *, interrupt_after_s: float | None = None) -> list[str]:
        """The plain texts of a cell's outputs; of an error its traceback."""
        sent, begun = self.client.execute(code), time.monotonic()
        texts: list[str] = []
        interrupted = begun
        while True:
            if interrupt_after_s is not None and time.monotonic() - begun > interrupt_after_s:
                interrupted = time.monotonic()
                self.manager.interrupt_kernel()
                interrupt_after_s = None
            if not self.client.iopub_channel.msg_ready():
                time.sleep(0.02)
                continue
            message: Any = self.client.get_iopub_msg(timeout=1)
            if message["parent_header"].get("msg_id") != sent:
                continue
            content = message["content"]
            if content.get("execution_state") == "idle":
                self.seconds = time.monotonic() - interrupted
                return texts
            if "traceback" in content:
                texts.append(COLOURS.sub("", "\n".join(content["traceback"])))
            elif "data" in content:
                texts.append(content["data"]["text/plain"])


@pytest.fixture(scope="module")
def kernel(home: Path) -> Iterator[Kernel]:
    """One for all tests, connected."""
    made = Kernel()
    made.run(SETUP.format(home=str(home)))
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


def test_interrupted_add_says_how_to_go_on(kernel: Kernel) -> None:
    """In its own progress; of our own frames IPython shows the innermost alone, as it must."""
    *progress, error = kernel.run(ADD, interrupt_after_s=1)
    assert kernel.seconds <= PROMPT_S
    assert progress[-1].endswith("; stopped: what was added stays, add again to go on")
    assert error.endswith(" documents are stored; what was added stays, add again to go on.")
    assert "KeyboardInterrupt" in error
    assert "session.documents.add" in error
    assert "faces.py" not in error
    assert error.count("\nFile ") == 1
    assert kernel.run("1 + 1") == ["2"]


def test_interrupted_cell_is_as_short_as_an_error(kernel: Kernel) -> None:
    """With the extension: no frame of ours, and the full traceback for who asks."""
    kernel.run("%load_ext aisdk")
    add = ADD.replace("pump", "gasket")
    *_, error = kernel.run(add, interrupt_after_s=1)
    assert kernel.seconds <= PROMPT_S
    told, where, more = error.splitlines()
    assert re.fullmatch(
        r"KeyboardInterrupt: Stopped: \d+ documents are stored; .* to go on\.", told
    )
    assert where.endswith(f"line 1: {add}")
    assert more == "  more:  %tb Verbose"
    assert "loop.py" in kernel.run("%tb Verbose")[-1]
    told, *_ = kernel.run(WAIT, interrupt_after_s=1)[-1].splitlines()
    assert told == "KeyboardInterrupt: Stopped."
    kernel.run("%unload_ext aisdk")


def test_interrupted_cell_that_awaits_says_how_to_go_on(kernel: Kernel) -> None:
    """As soon, although the kernel's loop sleeps meanwhile."""
    *_, error = kernel.run(AWAITED.replace("pump", "valve"), interrupt_after_s=1)
    assert kernel.seconds <= PROMPT_S
    assert "CancelledError" in error
    assert error.endswith("; what was added stays, add again to go on.")


def test_interrupted_statement_ends_on_the_server(kernel: Kernel) -> None:
    """The control sees one that runs."""
    assert "KeyboardInterrupt" in kernel.run(WAIT, interrupt_after_s=1)[-1]
    assert kernel.seconds <= PROMPT_S
    assert kernel.run(LEFT) == ["[]"]
    threaded = f"import threading; threading.Thread(target=lambda: {WAIT}, daemon=True).start()"
    kernel.run(f"{threaded}\nimport time; time.sleep(1)")
    assert kernel.run(LEFT) != ["[]"], "the control"
