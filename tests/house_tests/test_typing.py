"""The types of every public verb are checked: each is asserted in ``check_faces.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import aisdk
from aisdk.core.runtime.faces import Face
from aisdk.settings import Settings

CHECKS: Final = Path(__file__).parents[1] / "typing" / "check_faces.py"


def public(kind: type) -> list[str]:
    """The names of a class's own methods that anybody may call."""
    return [name for name in vars(kind) if name[0] != "_" and callable(getattr(kind, name))]


def verbs(subject: Any) -> set[str]:
    """What a session or client offers: its methods, and the verbs of its domains."""
    names = [name for name in dir(subject) if not name.startswith("_")]
    faces = {name: face for name in names if isinstance(face := getattr(subject, name), Face)}
    return {*public(type(subject))} | {
        f"{name}.{verb}" for name, face in faces.items() for verb in public(type(face))
    }


def asserted(tree: ast.Module, kind: str) -> set[str]:
    """What is called in an ``assert_type`` or opened by ``with``, on the parameter of a kind."""
    return {
        called.removeprefix(f"{owner}.")
        for function in tree.body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for parameter in function.args.args
        if parameter.annotation is not None and ast.unparse(parameter.annotation) == kind
        for called in _called(function)
        for owner in (parameter.arg, kind)
        if called.startswith(f"{owner}.")
    }


def _called(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        told: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type":
            told = node.args[:1]
        elif isinstance(node, ast.withitem):
            told = [node.context_expr]
        for inner in told:
            calls = (part for part in ast.walk(inner) if isinstance(part, ast.Call))
            yield from (ast.unparse(call.func) for call in calls)


@pytest.fixture(scope="module")
def tree() -> ast.Module:
    """What the type checkers check."""
    return ast.parse(CHECKS.read_text("utf-8"))


@pytest.fixture(params=[aisdk.Session, aisdk.AsyncSession, aisdk.Client])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """One of each; making them costs no I/O."""
    client = aisdk.Client(Settings(home=tmp_path, embedding="none"))
    return client if request.param is aisdk.Client else request.param(client, "acme")


def test_types_of_every_verb_are_asserted(tree: ast.Module, subject: Any) -> None:
    """Awaited, blocking, and with the tenant given each time."""
    offered = verbs(subject)
    assert {"documents.add", "usage.list", "verify_isolation"} <= offered
    assert offered - asserted(tree, type(subject).__name__) == set()


def test_verb_whose_types_nobody_asserts_is_found(tree: ast.Module, subject: Any) -> None:
    """The control: one that was invented, one that is only called, and one of another face."""
    told = "def f(session: Session):\n    session.a()\n    assert_type(session.b.c(), int)\n"
    assert asserted(ast.parse(told), "Session") == {"b.c"}
    assert asserted(ast.parse(told), "AsyncSession") == set()
    invented = type("Invented", (Face,), {"guess": lambda _: None})
    subject.rag = invented(None, None)
    assert verbs(subject) - asserted(tree, type(subject).__name__) == {"rag.guess"}
