"""A real IPython shell in this process, and a real kernel in another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from aisdk.notebook import unload_ipython_extension


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell that writes no history and is gone after the test."""
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=settings)
    yield shell
    unload_ipython_extension(shell)
    shell.reset()
    InteractiveShell.clear_instance()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The settings of the tests, where ``connect`` finds them."""
    monkeypatch.setenv("AISDK_HOME", str(home))
    monkeypatch.setenv("AISDK_EMBEDDING", "none")
