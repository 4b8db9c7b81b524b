"""Results: pages of rows, their frames, cursors, displays and progress."""

from __future__ import annotations

from aisdk.core.results.cursor import sign, verify
from aisdk.core.results.frame import JSON, columns_of, schema_of, to_frame, to_table
from aisdk.core.results.page import AsyncPage, Call, Fetch, Hop, Page, Rows
from aisdk.core.results.progress import (
    Progress,
    ProgressFactory,
    Silent,
    TerminalProgress,
    silent,
    terminal,
)

__all__ = [
    "JSON",
    "AsyncPage",
    "Call",
    "Fetch",
    "Hop",
    "Page",
    "Progress",
    "ProgressFactory",
    "Rows",
    "Silent",
    "TerminalProgress",
    "columns_of",
    "schema_of",
    "sign",
    "silent",
    "terminal",
    "to_frame",
    "to_table",
    "verify",
]
