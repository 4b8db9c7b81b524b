"""Cells run in a shell of this process."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, cell: str) -> Any:
    """What a cell gives; its error is raised here."""
    result = shell.run_cell(cell, store_history=True)
    result.raise_error()
    return result.result
