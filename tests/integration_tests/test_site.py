"""The documentation site: built without a warning or a network, complete, and self-contained."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, get_overloads

import pytest
from bs4 import BeautifulSoup, Tag
from documentation import ROOT, built, digest, site_of

import aisdk
import aisdk.core
from aisdk import errors
from aisdk.core.runtime.faces import Face
from aisdk.core.runtime.verb import catalogue
from aisdk.settings import Settings

NOTEBOOKS: Final = sorted(ROOT.glob("notebooks/*.ipynb"))
LOADED: Final = re.compile(r"""(?:url\(|@import)\s*['"]?\s*(?:https?:)?//""", re.IGNORECASE)
FOREIGN: Final = re.compile(r"\s*(?:\w+:)?//", re.IGNORECASE)
STRANGERS: Final = [
    '<script src="https://cdn.example/x.js"></script>',
    '<link rel="stylesheet" href="//fonts.example/font.css">',
    '<img srcset="small.png 1x, https://example.org/large.png 2x">',
    "<style>@import 'https://example.org/a.css'</style>",
    '<p style="background: url(https://example.org/a.png)">',
    '<object data="HTTPS://example.org/a.svg"></object>',
]


def domains() -> Iterator[tuple[list[type], list[type]]]:
    """The services of each domain with their faces."""
    for package in pkgutil.iter_modules(aisdk.core.__path__, "aisdk.core."):
        folder = importlib.import_module(package.name)
        if {"faces", "service"} <= {
            module.name for module in pkgutil.iter_modules(folder.__path__)
        }:
            service = importlib.import_module(f"{package.name}.service")
            faces = importlib.import_module(f"{package.name}.faces")
            yield own_classes(service), [k for k in own_classes(faces) if issubclass(k, Face)]


def own_classes(module: object) -> list[type]:
    """The classes that a module defines."""
    classes = (kind for _, kind in inspect.getmembers(module, inspect.isclass))
    return [kind for kind in classes if kind.__module__ == getattr(module, "__name__", "")]


VERBS: Final = [
    (face, verb.name.split(".")[1])
    for services, faces in domains()
    for verb, _ in catalogue(*services)
    for face in faces
]


def name_of(face: type, verb: str) -> str:
    """Under which the reference has it."""
    return f"{face.__module__}.{face.__qualname__}.{verb}"


def missing(entries: Mapping[str, Tag], verbs: Iterable[tuple[type, str]]) -> list[str]:
    """Verbs of faces that the reference does not have."""
    return [name for face, verb in verbs if (name := name_of(face, verb)) not in entries]


def strangers(page: str) -> Iterator[str]:
    """What a page makes a browser load from another host; links to click are not loaded."""
    yield from LOADED.findall(page)
    for tag in BeautifulSoup(page, "html.parser").find_all(True):
        for name in ("src", "href", "data", "poster", "action"):
            if tag.name != "a" and FOREIGN.match(str(tag.get(name, ""))):
                yield str(tag)
        if "//" in str(tag.get("srcset", "")):
            yield str(tag)


@pytest.fixture(scope="module")
def entries(site: Path) -> dict[str, Tag]:
    """Everything that the reference has, by its full name."""
    pages = [BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in site.rglob("*.html")]
    return {str(entry["id"]): entry for page in pages for entry in page.select("dt.sig[id]")}


def test_every_verb_of_every_face_is_in_the_reference(entries: dict[str, Tag]) -> None:
    """And a verb that is not there would be missed."""
    made_up = type("MadeUp", (Face,), {})
    assert len(VERBS) > 50
    assert missing(entries, [(made_up, "query")]) == [name_of(made_up, "query")]
    assert missing(entries, VERBS) == []


@pytest.mark.parametrize(
    ("face", "verb"), VERBS, ids=lambda value: getattr(value, "__name__", value)
)
def test_signature_is_that_of_the_face(entries: dict[str, Tag], face: type, verb: str) -> None:
    """A session's verb tells nowhere of a tenant to give; every other parameter is shown."""
    entry = entries[name_of(face, verb)]
    method = getattr(face, verb)
    written = get_overloads(method) or [method]  # of overloads, the first as it is written
    parameters = inspect.signature(written[0]).parameters
    named = (parameter.select_one(".n") for parameter in entry.select(".sig-param"))
    shown = [name.get_text() for name in named if name is not None]  # a bare * has none
    assert shown == list(parameters)[1:]
    told = entry.find_next_sibling("dd")
    assert told is not None
    if "tenant_id" not in parameters:
        assert not re.search(r"^\s*tenant_id\b", told.get_text(), re.MULTILINE)


def test_everything_exported_is_in_the_reference(entries: dict[str, Tag]) -> None:
    """Values, results and errors."""
    names = {entry.rsplit(".", 1)[-1] for entry in entries}
    assert set(aisdk.__all__) - {"__version__"} - names == set()
    assert {f"aisdk.errors.{name}" for name in errors.__all__} - entries.keys() == set()


def test_every_setting_is_in_the_reference(site: Path) -> None:
    """As a variable and as a field."""
    for page in ("docs/settings.html", "docs/reference/settings.html"):
        text = BeautifulSoup((site / page).read_text("utf-8"), "html.parser").get_text()
        told = set(re.findall(r"AISDK_[A-Z_]+", text))
        assert {f"AISDK_{name.upper()}" for name in Settings.model_fields} - told == set()


@pytest.mark.parametrize("page", STRANGERS)
def test_stranger_is_seen(page: str) -> None:
    """The control of the next test."""
    assert list(strangers(page))


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    """Neither pages nor style sheets; links to click may lead anywhere."""
    pages = {path.name: list(strangers(path.read_text("utf-8"))) for path in site.rglob("*.html")}
    assert {name: found for name, found in pages.items() if found} == {}
    sheets = [path for path in site.rglob("*.css") if LOADED.search(path.read_text("utf-8"))]
    assert sheets == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_shown_with_its_saved_outputs(site: Path, path: Path) -> None:
    """As many outputs as were saved, and every saved table."""
    saved = [o for c in json.loads(path.read_text("utf-8"))["cells"] for o in c.get("outputs", [])]
    page = BeautifulSoup(
        (site / "notebooks" / f"{path.stem}.html").read_text("utf-8"), "html.parser"
    )
    tables = ["".join(o["data"]["text/html"]) for o in saved if "text/html" in o.get("data", {})]
    shown = " ".join(page.get_text().split())
    assert len(page.select("div.cell_output > *")) == len(saved)
    for table in tables:
        soup = BeautifulSoup(table, "html.parser")
        for hidden in soup.select("style"):
            hidden.decompose()
        assert all(" ".join(cell.get_text().split()) in shown for cell in soup.select("td"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_shown_without_what_is_said_to_tools(site: Path, path: Path) -> None:
    """Which outputs are compared is nothing to read; the code around it is all there."""
    page = BeautifulSoup(
        (site / "notebooks" / f"{path.stem}.html").read_text("utf-8"), "html.parser"
    )
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
    shown = [code.get_text() for code in page.select("div.cell_input pre")]
    assert "# NBVAL_CHECK_OUTPUT" in lines, "the control"
    assert [line for text in shown for line in text.splitlines() if line] == [
        line for line in lines if line and line != "# NBVAL_CHECK_OUTPUT"
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[a link](nowhere.md)", "nowhere.md"),
        ("```{eval-rst}\n.. autoclass:: aisdk.Nothing\n```", "'Nothing'"),
    ],
)
def test_broken_page_fails_the_build(tmp_path: Path, text: str, named: str) -> None:
    """Warnings are errors, and what was built with one is not kept."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md"))
    (tmp_path / "docs" / "index.md").write_text(f"# Broken\n\n{text}\n", "utf-8")
    with pytest.raises(AssertionError, match=re.escape(named)):
        site_of(tmp_path)
    assert not (tmp_path / "build" / "tested" / digest(tmp_path)).exists()


def test_site_is_kept_until_anything_in_it_changes(tmp_path: Path) -> None:
    """A line, a new file, or the name of one."""
    (tmp_path / "docs").mkdir()
    page, module = tmp_path / "docs" / "index.md", tmp_path / "aisdk" / "new.py"
    page.write_text("# One\n")
    seen = [digest(tmp_path)]
    page.write_text("# Two\n")
    seen.append(digest(tmp_path))
    module.parent.mkdir()
    module.write_text("")
    seen.append(digest(tmp_path))
    module.rename(module.with_stem("newer"))
    seen.append(digest(tmp_path))
    assert len(set(seen)) == len(seen)
    site = tmp_path / "build" / "tested" / seen[-1] / "site"
    site.mkdir(parents=True)
    assert site_of(tmp_path) == site


def test_build_that_asks_the_network_fails(tmp_path: Path) -> None:
    """The control: the build's Python refuses a name to be looked up."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text("import socket\nsocket.getaddrinfo('example.org', 80)\n")
    assert "the build asked the network" in built(tmp_path, tmp_path / "build")
