"""The notebook edge: what `%load_ext aisdk` registers, progress, and live views.

Nothing here is imported by the rest of aisdk at import time, and IPython only when it runs.
"""

from __future__ import annotations

from aisdk.notebook.extension import (
    allow_nested_asyncio,
    load_ipython_extension,
    unload_ipython_extension,
)
from aisdk.notebook.progress import DisplayProgress, choose_progress
from aisdk.notebook.widgets import Explorer, explore

__all__ = [
    "DisplayProgress",
    "Explorer",
    "allow_nested_asyncio",
    "choose_progress",
    "explore",
    "load_ipython_extension",
    "unload_ipython_extension",
]
