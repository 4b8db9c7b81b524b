"""The IPython extension: what `%load_ext aisdk` changes in a shell, and how it is undone."""

from __future__ import annotations

from typing import Any

from aisdk.errors import AisdkError, ConfigError
from aisdk.notebook.display import render_error

__all__ = ["allow_nested_asyncio", "load_ipython_extension", "unload_ipython_extension"]

_HOOK = "_render_traceback_"  # IPython asks an exception for a method of this name


def load_ipython_extension(shell: Any) -> None:
    """Shows errors of aisdk in four lines; they stay errors, so a failing cell still fails.

    Tables and progress need no registration: pages bring their own static HTML. Loading twice
    changes nothing.

    Args:
        shell: The running ``InteractiveShell``.
    """

    def render(error: AisdkError) -> list[str]:
        return render_error(shell, error)

    setattr(AisdkError, _HOOK, render)


def unload_ipython_extension(shell: Any) -> None:
    """Shows errors of aisdk as IPython shows all others again."""
    del shell
    if hasattr(AisdkError, _HOOK):
        delattr(AisdkError, _HOOK)


def allow_nested_asyncio() -> None:
    """Lets your own cells call ``asyncio.run()`` although the kernel runs a loop already.

    aisdk needs this nowhere: its blocking session works in every cell, and cells may ``await``.
    It patches asyncio for the whole process and cannot be undone without restarting the kernel.

    Raises:
        ConfigError: The package ``nest-asyncio2`` is not installed.

    Example:
        >>> aisdk.notebook.allow_nested_asyncio()
    """
    try:
        import nest_asyncio2
    except ImportError as missing:
        raise ConfigError(
            "Nested event loops need the package nest-asyncio2.",
            hint="Install it with: pip install 'aisdk[notebook]'",
        ) from missing
    nest_asyncio2.apply()
