"""The IPython extension: what `%load_ext aisdk` changes in a shell, and how it is undone."""

from __future__ import annotations

import sys
from typing import Any, Final

from aisdk.core.runtime.loop import Interrupted
from aisdk.errors import AisdkError, ConfigError
from aisdk.notebook.display import render_error

__all__ = ["allow_nested_asyncio", "load_ipython_extension", "unload_ipython_extension"]

_HOOK = "_render_traceback_"  # IPython asks an exception for a method of this name
_SHORT: Final = (AisdkError, Interrupted)  # what it shows in four lines
_MAGICS = "AisdkMagics"  # IPython registers magics under the name of their class
_KEPT = "_aisdk_magics"  # of a shell: what %config and --as have set, while it is unloaded


def load_ipython_extension(shell: Any) -> None:
    """Registers ``%aisdk`` and ``%rag`` with their completion, and shows errors in four lines.

    Errors of aisdk stay errors, so a failing cell still fails. Tables and progress need no
    registration: pages bring their own static HTML. Loading twice changes nothing.

    Args:
        shell: The running ``InteractiveShell``.
    """
    from aisdk.notebook.completion import Completion
    from aisdk.notebook.magics import AisdkMagics
    from aisdk.notebook.questions import keep_silent, reach_magics

    def render(error: AisdkError | Interrupted) -> list[str]:
        return render_error(shell, error)

    def look_up(name: str) -> Any:
        return shell.user_ns.get(name)

    for kind in _SHORT:
        setattr(kind, _HOOK, render)
    if _MAGICS not in shell.magics_manager.registry:
        magics = vars(shell).pop(_KEPT, None)
        if magics is None:
            magics = _made(AisdkMagics, shell)
        else:
            shell.configurables.append(magics)  # as a new one does by itself
        shell.register_magics(magics)
        shell.Completer.custom_matchers.append(Completion(magics.find, look_up).match)
        shell.input_transformers_cleanup.append(reach_magics)
        shell.input_transformers_post.append(keep_silent)


def unload_ipython_extension(shell: Any) -> None:
    """Takes away all that ``load_ipython_extension`` has brought; variables and settings stay."""
    from aisdk.notebook.completion import Completion
    from aisdk.notebook.questions import keep_silent, reach_magics

    for kind in _SHORT:
        if hasattr(kind, _HOOK):
            delattr(kind, _HOOK)
    magics = shell.magics_manager.registry.pop(_MAGICS, None)
    if magics is None:
        return
    for kind, owned in magics.magics.items():
        for name in owned:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.configurables.remove(magics)
    setattr(shell, _KEPT, magics)
    shell.input_transformers_cleanup.remove(reach_magics)
    shell.input_transformers_post.remove(keep_silent)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if not isinstance(_owner(one), Completion)]


def _made(kind: Any, shell: Any) -> Any:
    """The magics with what a profile or the command line says of them, as far as it is right."""
    from traitlets import TraitError
    from traitlets.config import Config

    before = list(shell.configurables)
    try:
        return kind(shell)
    except TraitError as error:
        shell.configurables[:] = before
        told = f"{kind.__name__} keeps its defaults: {error}"
        print(told, file=sys.stderr)  # noqa: T201  # the cell says what it left out
        return kind(shell, config=Config())


def _owner(method: Any) -> Any:
    return getattr(method, "__self__", None)


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
