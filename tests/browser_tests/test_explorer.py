"""The explorer in JupyterLab: searched, sorted, opened and selected, with mouse and keyboard."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

Open = Callable[[str], Any]  # a notebook's name → a notebook in the browser

THEMES: Final = ("JupyterLab Light", "JupyterLab Dark")
CONNECT: Final = """
%load_ext aisdk
import os, uuid
os.environ["AISDK_EMBEDDING"] = "none"
import aisdk
session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}")
"""
PUMPS: Final = """
from aisdk import Document
filler = "Water flows down the hill and turns the wheel of the mill. " * 60
session.documents.add([
    Document(f"{filler}\\n\\nThe {'pump ' * n}of house {n} lifts water.\\n\\n{filler}",
             source=f"house-{n:02}", title=f"House {n}", metadata={"year": 2000 + n})
    for n in range(1, 31)
], progress=False)
view = session.rag.query("pump", top_k=30).explore()
view
"""
MANY: Final = """
import numpy as np
from uuid import uuid5, NAMESPACE_URL
async def put():
    database = session.client._parts.database
    columns = "tenant_id document_id source title metadata content_key size_bytes chunk_count state"
    rows = [
        (session.tenant_id, uuid5(NAMESPACE_URL, f"{session.tenant_id}/{n}"), f"s{n:06}",
         f"Title {n}", '{"half": %d}' % (n >= 50_000), b"", 10, 0, "ready")
        for n in range(100_000)
    ]
    async with database.bulk(session.tenant_id) as connection:
        await connection.executemany(
            f"INSERT INTO aisdk.documents ({columns.replace(' ', ', ')}) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", rows)
await session.client._portal.hop(put)
view = session.documents.list().explore()
sent, send = [], view.view.send
def counting(message, *rest):
    sent.append(len(message.get("rows", ())))
    send(message, *rest)
view.view.send = counting
view
"""


@pytest.fixture
def show(see: Open, lab: Any) -> Iterator[Callable[..., Any]]:
    """Runs a notebook of these cells in a theme; leaves the light one behind."""
    opened: list[Any] = []

    def run(name: str, *cells: str, theme: str = THEMES[0]) -> Any:
        seen = see(lab.write(name, *cells))
        opened.append(seen)
        dress(seen, theme)
        seen.run_all()
        return seen

    yield run
    for seen in opened:
        dress(seen, THEMES[0])


def dress(seen: Any, theme: str) -> None:
    """Changes the theme and waits until it is there."""
    seen.page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    seen.page.wait_for_function(
        "theme => document.body.dataset.jpThemeName === theme", arg=theme, timeout=20_000
    )
    seen.page.wait_for_timeout(500)


def rows_of(seen: Any) -> Any:
    """The rows that are drawn."""
    return seen.page.locator(".aisdk-explorer .body [role=row]")


def test_hits_first_look(show: Any) -> None:
    """A look."""
    seen = show("explore-hits", CONNECT, PUMPS)
    seen.page.wait_for_selector(".aisdk-explorer .body [role=row]", timeout=20_000)
    seen.keep("explorer_hits")
    rows_of(seen).nth(2).click()
    seen.page.wait_for_selector(".aisdk-explorer .document mark", timeout=20_000)
    seen.keep("explorer_details")
    print(seen.errors, seen.strangers(), seen.cell_errors())
    print(rows_of(seen).all_inner_texts()[:5])
    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("Space")
    seen.page.wait_for_timeout(1500)
    seen.keep("explorer_selected")
    print(seen.page.locator(".status").all_inner_texts(), seen.page.evaluate("document.activeElement.outerHTML.slice(0,300)"))
    print(seen.page.locator(".aisdk-explorer [aria-selected=true]").all_inner_texts())


def test_listing_first_look(show: Any) -> None:
    """A look."""
    seen = show("explore-many", CONNECT, MANY)
    print(seen.cell_errors())
    seen.page.wait_for_selector(".aisdk-explorer .body [role=row]", timeout=20_000)
    rows_of(seen).first.focus()
    seen.page.keyboard.press("End")
    seen.page.wait_for_selector("text=s099999", timeout=20_000)
    seen.keep("explorer_many")
    print(seen.page.locator(".status").all_inner_texts())
