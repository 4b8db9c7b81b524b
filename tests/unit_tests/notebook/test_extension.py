"""What `%load_ext` changes in a real shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from aisdk.errors import AisdkError, ConfigError, NotFound
from aisdk.notebook import allow_nested_asyncio

FAILING_CELL = """
from aisdk.errors import NotFound
def look():
    raise NotFound(hint="List what there is.")
look()
"""


def run_failing(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs the failing cell, checks that it counts as failed, and gives what was shown."""
    capsys.readouterr()
    result = shell.run_cell(FAILING_CELL, store_history=True)
    assert isinstance(result.error_in_exec, NotFound)
    return capsys.readouterr().out


def test_load_shows_our_errors_in_four_lines(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened, where in the cell, what to do, how to see more."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    assert run_failing(shell, capsys).splitlines() == [
        "NotFound: There is no such thing in this tenant.",
        '  where: Cell In[1], line 3: raise NotFound(hint="List what there is.")',
        "  hint:  List what there is.",
        "  more:  %tb Verbose",
    ]


def test_load_with_a_bad_setting_keeps_the_defaults(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a profile or the command line; it is told in one line, and the magics are there."""
    shell.config.AisdkMagics.top_k = 0
    try:
        shell.run_line_magic("load_ext", "aisdk")
    finally:
        del shell.config["AisdkMagics"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("AisdkMagics keeps its defaults: The value of the 'top_k' trait")
    assert shell.magics_manager.registry["AisdkMagics"].top_k == 10
    names = [type(one).__name__ for one in shell.configurables]
    assert names.count("AisdkMagics") == 1


@pytest.mark.parametrize("mode", ["Plain", "Minimal"])
def test_error_has_its_lines_in_every_mode(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """Some modes of IPython put what they are given behind one another."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_cell(f"%xmode {mode}")
    shown = run_failing(shell, capsys)
    shell.run_cell("%xmode Context")
    assert len(shown.splitlines()) == 4


def test_error_of_a_script_names_its_line(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The innermost one of the user's own files, without the folder."""
    (tmp_path / "helper.py").write_text(
        "from aisdk.core.storage.filters import compile_where\n"
        "def look():\n"
        "    return sorted([1], key=lambda _: compile_where({'year': {'~': 1}}))\n"
    )
    script = tmp_path / "script.py"
    script.write_text("import helper\n\nhelper.look()\n")
    shell.run_line_magic("load_ext", "aisdk.notebook")
    capsys.readouterr()
    shell.run_cell(f"%run {script}")
    shown = capsys.readouterr().out
    sys.modules.pop("helper", None)
    assert "  where: helper.py, line 3: return sorted([1], key=lambda" in shown
    assert str(tmp_path) not in shown
    script.write_text("from aisdk.errors import NotFound\n\nraise NotFound()\n")
    shell.run_cell(f"%run {script}")
    assert "  where: script.py, line 3: raise NotFound()\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("%%time\nten = 10\nraise NotFound()", "3: raise NotFound()"),
        ("%%time\n\ndef look():\n    raise NotFound()\nlook()", "4: raise NotFound()"),
        ("%%time\n%rag -k 0 pump", "2: %rag -k 0 pump"),
        ("%%timeit -n 1 -r 1\nten = 10\nraise NotFound()", "3: raise NotFound()"),
        ("%%time\nfail()", "1: def fail(): raise NotFound()"),
        ("%timeit -n 1 -r 1 fail()", "1: def fail(): raise NotFound()"),
        ("%time (_ for _ in ()).throw(NotFound())", "1: %time (_ for _ in ()).throw(NotFound())"),
    ],
)
def test_error_of_a_timed_cell_names_its_line(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str, place: str
) -> None:
    """Not that of the magic; a function of another cell is named as ever."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_cell("from aisdk.errors import NotFound")
    shell.run_cell("def fail(): raise NotFound()")
    capsys.readouterr()
    shell.run_cell(cell)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "where:" in line)
    assert line.endswith(f"line {place}")


def test_error_of_a_display_names_the_cell(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is raised when the cell's value is shown, behind the cell's own lines."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_cell(
        "from functools import partial\n"
        "from aisdk.core.storage.filters import compile_where\n"
        "class Job:\n"
        "    _ipython_display_ = partial(compile_where, {'year': {'~': 1}})"
    )
    capsys.readouterr()
    shell.run_cell("ten = 10\nJob()")
    assert ", line 2: Job()\n" in capsys.readouterr().out


def test_load_imports_nothing_heavy() -> None:
    """A first cell is done at once; what takes long comes with a session."""
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell;"
        "InteractiveShell.instance().run_line_magic('load_ext', 'aisdk');"
        "print('aisdk.notebook.magics' in sys.modules, {'numpy', 'sqlalchemy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # our own code
    assert ran.stdout.split() == [b"True", b"set()"]


def test_load_leaves_other_errors_alone(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ZeroDivisionError keeps its traceback."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_cell("1 / 0")
    assert "Traceback" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["%tb Verbose", "%xmode Verbose"])
def test_verbose_shows_the_full_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """Nothing is hidden from who asks: for the last error, or from now on."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    if mode == "%tb Verbose":
        run_failing(shell, capsys)
        shell.run_cell(mode)
        shown = capsys.readouterr().out
    else:
        shell.run_cell(mode)
        shown = run_failing(shell, capsys)
        shell.run_cell("%xmode Context")
    assert "Traceback (most recent call last)" in shown
    assert "def look():" in shown
    assert "interactiveshell" not in shown


def test_reload_twice_changes_nothing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loading again, also by reloading, leaves one display of errors."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_line_magic("reload_ext", "aisdk.notebook")
    assert len(run_failing(shell, capsys).splitlines()) == 4


def test_unload_restores_the_tracebacks_of_ipython(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of ours stays behind."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.run_line_magic("unload_ext", "aisdk.notebook")
    assert not hasattr(AisdkError, "_render_traceback_")
    assert "Traceback (most recent call last)" in run_failing(shell, capsys)


def test_error_raised_outside_any_cell_has_no_place(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that no cell led to, and that has no hint, takes two lines."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    error = NotFound("Gone.")
    shell.showtraceback((NotFound, error, None))
    assert capsys.readouterr().out.splitlines() == ["NotFound: Gone.", "  more:  %tb Verbose"]


def test_error_message_cannot_control_the_terminal(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences in a message become visible."""
    shell.run_line_magic("load_ext", "aisdk.notebook")
    shell.showtraceback((NotFound, NotFound("\x1b[2Jgone"), None))
    assert "\x1b[2J" not in capsys.readouterr().out


def test_allow_nested_asyncio_without_its_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The opt-in names the extra it needs."""
    monkeypatch.setitem(sys.modules, "nest_asyncio2", None)
    with pytest.raises(ConfigError, match=r"aisdk\[notebook\]"):
        allow_nested_asyncio()
