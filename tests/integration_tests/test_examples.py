"""The examples of docstrings, the tutorial and the how-to do what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
import io
import logging
import re
import shutil
import sys
from collections.abc import Awaitable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import pytest
from documentation import ROOT

import aisdk

AWAIT: Final = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
LENIENT: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SKIPPED: Final = {
    "aisdk.notebook.extension.allow_nested_asyncio": "patches asyncio for the whole process",
}
BEFORE: Final = """
import logging, aisdk, pandas
from pathlib import Path
frame = pandas.DataFrame({"key": ["a"], "headline": ["Pumps"], "body": ["A pump lifts water."]})
order_id, request_id, session = "7", "8", aisdk.connect("writer")
"""
KNOWN: Final = {"dates": "Use strptime to parse a date.", "gzip": "gzip compresses a file."}


def examples() -> Iterator[Any]:
    """Module and examples of each docstring that has some."""
    for path in sorted((ROOT / "aisdk").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield from examples_of(path.read_text("utf-8"), module)


def examples_of(source: str, module: str) -> Iterator[Any]:
    """The same of one module."""
    nested: list[tuple[str, ast.AST]] = [(module, ast.parse(source))]
    while nested:
        name, node = nested.pop()
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if isinstance(node, kinds | ast.Module):
            found = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "", name)
            if found:
                reason = SKIPPED.get(name, "")
                marks = [pytest.mark.skip(reason=reason)] if reason else []
                yield pytest.param(module, found, id=name, marks=marks)
            nested += [(f"{name}.{n.name}", n) for n in node.body if isinstance(n, kinds)]


EXAMPLES: Final = list(examples())


async def mistakes(found: list[doctest.Example], names: dict[str, Any]) -> list[str]:
    """Runs examples one after another; what they printed where that is not what they say."""
    wrong = []
    for example in found:
        printed = await output(example.source, names)
        if not doctest.OutputChecker().check_output(example.want, printed, LENIENT):
            wrong.append(f"{example.source}wanted\n{example.want}got\n{printed}")
    return wrong


async def output(source: str, names: dict[str, Any]) -> str:
    """What a cell prints, its values included; it may await."""
    code = compile(ast.Interactive(ast.parse(source).body), "<example>", "single", AWAIT)
    with redirect_stdout(io.StringIO()) as printed:
        result = eval(code, names)  # noqa: S307  # our own examples
        if isinstance(result, Awaitable):
            await result
    return printed.getvalue()


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Iterator[None]:
    """A folder with documents, the embedded database, and what examples change put back."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "dates.md").write_text("# Dates\n\nUse strptime to parse a date.\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AISDK_HOME", str(home))
    monkeypatch.setenv("AISDK_EMBEDDING", "none")
    monkeypatch.setattr(sys, "displayhook", sys.__displayhook__)
    log = logging.getLogger("aisdk")
    handlers, level = list(log.handlers), log.level
    yield
    log.handlers[:] = handlers
    log.setLevel(level)


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize(("module", "found"), EXAMPLES)
async def test_example_does_what_it_says(
    session: aisdk.Session, module: str, found: list[doctest.Example]
) -> None:
    """With a session that has two documents, and its client."""
    texts = [aisdk.Document(text, source=key) for key, text in KNOWN.items()]
    session.documents.add(texts, progress=False)
    own = {"aisdk": aisdk, "session": session, "client": session.client}
    assert await mistakes(found, vars(importlib.import_module(module)) | own) == []


def test_no_example_is_skipped_without_a_reason() -> None:
    """Reasons stand in this file, where skipping is seen."""
    names = {parameter.id: parameter.values[1] for parameter in EXAMPLES}
    assert set(SKIPPED) <= set(names)
    assert [
        name for name, found in names.items() if any(example.options for example in found)
    ] == []


async def test_mistake_in_an_example_is_seen() -> None:
    """The control, with a value that is awaited and one that is printed."""
    source = '''
class Kind:
    async def verb(self):
        """Does.

        >>> import asyncio
        >>> await asyncio.sleep(0, 1)
        2
        >>> print("as it is")
        as it is
        """
'''
    (parameter,) = examples_of(source, "module")
    assert parameter.id == "module.Kind.verb"
    (mistake,) = await mistakes(parameter.values[1], {})
    assert "wanted\n2\ngot\n1\n" in mistake


@pytest.mark.usefixtures("surroundings")
async def test_tutorial_shows_what_comes(monkeypatch: pytest.MonkeyPatch, short_home: Path) -> None:
    """Its cells, on a machine where nothing was done yet, print what the page says."""
    monkeypatch.setenv("AISDK_HOME", str(short_home))
    monkeypatch.delenv("AISDK_EMBEDDING")
    cells = cells_of("tutorial.md")
    assert len(cells) > 3
    assert await mistakes([doctest.Example(*cell) for cell in cells], {}) == []


@pytest.mark.usefixtures("surroundings")
async def test_how_to_runs(monkeypatch: pytest.MonkeyPatch, short_home: Path) -> None:
    """Every block of it from top to bottom, with one session; those of magics are left out."""
    monkeypatch.setenv("AISDK_HOME", str(short_home))
    monkeypatch.delenv("AISDK_EMBEDDING")
    shutil.copytree("docs", "inbox")
    cells = [source for source, _ in cells_of("how-to.md") if not source.startswith("%")]
    if sys.platform != "linux":
        cells = [source for source in cells if "malloc_trim" not in source]
    assert len(cells) > 10
    names: dict[str, Any] = {}
    for cell in [BEFORE, *cells, "session.close()\nclient.close()"]:
        await output(cell, names)
    assert names["receipt"].tenant_id == "acme"


def cells_of(page: str) -> list[tuple[str, str]]:
    """The Python blocks of a page, each with the output that stands behind it, or none."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    cells = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    assert len(cells) == text.count("```python")
    return cells
