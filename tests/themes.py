"""JupyterLab's themes, and how a notebook in the browser changes them."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["THEMES", "dress"]

THEMES: Final = ("JupyterLab Light", "JupyterLab Dark")


def dress(seen: Any, theme: str) -> None:
    """Changes the theme and waits until it is there."""
    seen.page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    seen.page.wait_for_function(
        "theme => document.body.dataset.jpThemeName === theme", arg=theme, timeout=20_000
    )
    seen.page.wait_for_timeout(500)
