"""aisdk: a tenant's documents, searched and returned as DataFrames.

::

    import aisdk

    session = aisdk.connect("acme")
    session.documents.add("docs/")
    session.rag.query("how do I parse a date?").to_frame()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from aisdk.connect import Client, connect
from aisdk.errors import AisdkError

if TYPE_CHECKING:
    from aisdk.core.documents.sources import Document
    from aisdk.core.documents.types import AddOptions, DocumentInfo, ListOptions
    from aisdk.core.rag.types import Hit, ManyOptions, QueryOptions
    from aisdk.core.results.page import AsyncPage, Page, Rows
    from aisdk.core.runtime.log_output import configure_logging
    from aisdk.core.runtime.options import CallOptions
    from aisdk.core.tenants.types import Receipt, Tier
    from aisdk.session import AsyncSession, Session
    from aisdk.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AddOptions",
    "AisdkError",
    "AsyncPage",
    "AsyncSession",
    "CallOptions",
    "Client",
    "Document",
    "DocumentInfo",
    "Hit",
    "ListOptions",
    "ManyOptions",
    "Page",
    "QueryOptions",
    "Receipt",
    "Rows",
    "Session",
    "Settings",
    "Tier",
    "__version__",
    "configure_logging",
    "connect",
    "load_ipython_extension",
    "unload_ipython_extension",
]


_LATER: Final = {
    "AddOptions": "aisdk.core.documents.types",
    "AsyncPage": "aisdk.core.results.page",
    "AsyncSession": "aisdk.session",
    "CallOptions": "aisdk.core.runtime.options",
    "Document": "aisdk.core.documents.sources",
    "DocumentInfo": "aisdk.core.documents.types",
    "Hit": "aisdk.core.rag.types",
    "ListOptions": "aisdk.core.documents.types",
    "ManyOptions": "aisdk.core.rag.types",
    "Page": "aisdk.core.results.page",
    "QueryOptions": "aisdk.core.rag.types",
    "Receipt": "aisdk.core.tenants.types",
    "Rows": "aisdk.core.results.page",
    "Session": "aisdk.session",
    "Settings": "aisdk.settings",
    "Tier": "aisdk.core.tenants.types",
    "configure_logging": "aisdk.core.runtime.log_output",
}


def __getattr__(name: str) -> Any:
    """What takes longer to import comes with its first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'aisdk' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext aisdk``."""
    from aisdk.notebook.extension import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Called by ``%unload_ext aisdk``."""
    from aisdk.notebook.extension import unload_ipython_extension as unload

    unload(shell)
