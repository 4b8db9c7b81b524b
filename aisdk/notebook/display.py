"""Errors in four lines: what happened, where in the user's cell, what to do, how to see more."""

from __future__ import annotations

import ast
import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from aisdk.core.results.text import clean_text
from aisdk.core.runtime.loop import Interrupted
from aisdk.errors import AisdkError

__all__ = ["render_error"]

_TIMED = ("<timed exec>", "<timed eval>", "<magic-timeit>")  # bodies, as IPython names them
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")  # as sysconfig names its folders


def render_error(shell: Any, error: AisdkError | Interrupted) -> list[str]:
    """The traceback that IPython shows for one of our errors or interrupts.

    A list of its lines, or of one text where a mode puts nothing between them. It names the place
    in the user's cell or script and leaves out our own frames. After ``%xmode Verbose``, and for
    ``%tb Verbose``, it is the full traceback of IPython.

    Args:
        shell: The running ``InteractiveShell``.
        error: What reached the user's cell.
    """
    if shell.InteractiveTB.mode == "Verbose":
        return _full(shell, error)
    told, hint = _said(error)
    lines = [f"{type(error).__name__}: {told}"]
    if place := _place(shell, error):
        lines.append(f"  where: {place}")
    if hint:
        lines.append(f"  hint:  {hint}")
    lines.append("  more:  %tb Verbose")
    shown = [clean_text(line) for line in lines]
    # In a terminal IPython puts nothing between them after %xmode Plain or Minimal.
    return ["\n".join(shown)] if shell.InteractiveTB.mode in ("Plain", "Minimal") else shown


def _said(error: AisdkError | Interrupted) -> tuple[str, str]:
    """What happened, and what to do."""
    if isinstance(error, AisdkError):
        return error.message, error.hint
    return " ".join(getattr(error, "__notes__", ["Stopped."])), ""


def _full(shell: Any, error: BaseException) -> list[str]:
    made: list[str] = shell.InteractiveTB.structured_traceback(
        type(error), error, error.__traceback__
    )
    return made


def _place(shell: Any, error: BaseException) -> str:
    """The innermost line of a cell that led to the error, such as ``Cell In[3], line 2: …``.

    Where no cell did, as after ``%run``, that of the user's script: ``script.py, line 2: …``; and
    where that did not either, the line of the cell whose value is being shown.
    """
    raised = _lines(traceback.walk_tb(error.__traceback__))
    if not raised:  # it never was
        return ""
    running = _lines(traceback.walk_stack(None))[::-1]
    cell = shell.compile.format_code_name
    for lines, name_of in ((raised, cell), (raised, _script), (running, cell)):
        for place in reversed(range(len(lines))):
            path, line = lines[place]
            if name := name_of(path):
                code = linecache.getline(path, line).strip()
                inner = [at for below, at in lines[place:] if below in _TIMED]
                line, code = _inside(code, line, inner[-1] if inner else 0)
                return f"{' '.join(name)}, line {line}: {code}"
    return ""


def _lines(frames: Iterator[tuple[FrameType, int]]) -> list[tuple[str, int]]:
    """The file and the number of the line that each frame is at."""
    return [(frame.f_code.co_filename, at) for frame, at in frames]


def _inside(code: str, line: int, inner: int) -> tuple[int, str]:
    """The line of a cell, counted from 1, and what stands there, as it was written.

    Args:
        code: What IPython made of the line that ran.
        line: Its number.
        inner: The line that failed within the body of its magic, as ``%%time`` has, without the
            blank ones in front; or 0.
    """
    for written, body in _magics(code):
        lines = body.splitlines()
        blank = next((place for place, text in enumerate(lines) if text.strip()), 0)
        within = lines[blank + inner - 1 : blank + inner] if inner else []
        return (line + blank + inner, within[0].strip()) if within else (line, written)
    return line, code


def _script(path: str) -> tuple[str] | None:
    """The name of a file of the user: neither ours, nor of Python, nor of an installed package."""
    file = Path(path)
    is_installed = any(file.is_relative_to(folder) for folder in _installed())
    return (file.name,) if file.is_file() and not is_installed else None


@cache
def _installed() -> list[str]:
    """Folders of code that is not the user's."""
    return [str(Path(__file__).parents[1]), *map(sysconfig.get_path, _INSTALLED)]


def _magics(code: str) -> Iterator[tuple[str, str]]:
    """A line with a magic as it is in the cell, and the body of a cell magic.

    IPython has made ``get_ipython().run_…`` of it.
    """
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    except SyntaxError:  # one line of a longer statement
        return
    for call in calls:
        match call:
            case ast.Call(
                func=ast.Attribute(attr="run_line_magic" | "run_cell_magic" as kind),
                args=[ast.Constant(value=str(name)), ast.Constant(value=str(line)), *rest],
            ):
                before = code.encode()[: call.col_offset].decode()
                sign = "%" if kind == "run_line_magic" else "%%"
                written = f"{before}{sign}{name} {line}".replace(" ?", "?").rstrip()
                bodies = [part.value for part in rest if isinstance(part, ast.Constant)]
                yield written, str(bodies[0]) if bodies else ""
