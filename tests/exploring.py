"""An explorer in JupyterLab: cells that make one, and what is seen of it."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["CONNECT", "MANY", "PUMPS", "asked", "is_quiet", "rows_of", "texts", "told", "wait_for"]

CONNECT: Final = """
%load_ext aisdk
import os, uuid
os.environ["AISDK_EMBEDDING"] = "none"
import aisdk
session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}")
import json
class Text:  # shown whole, where a text would be shortened
    def __init__(self, text):
        self.text = text
    def _repr_pretty_(self, printer, cycle):
        printer.text(json.dumps(self.text))
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
COLUMN: Final = """
name => {
  const root = document.querySelector('.aisdk-explorer');
  const heads = [...root.querySelectorAll('[role=columnheader]')].map(head => head.innerText);
  const grid = root.querySelector('.grid').getBoundingClientRect();
  const top = root.querySelector('.head').getBoundingClientRect().bottom;
  return [...root.querySelectorAll('.body [role=row]')]
    .map(row => [row.getBoundingClientRect(), row.children[heads.indexOf(name)].textContent])
    .filter(([box]) => box.bottom > top + 1 && box.top < grid.bottom - 1)
    .sort(([one], [other]) => one.top - other.top)
    .map(([, text]) => text);
}
"""
EXPRESSION: Final = """
async expression => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const asked = {code: '', user_expressions: {it: expression}};
  const {it} = (await kernel.requestExecute(asked).done).content.user_expressions;
  return it.data?.['text/plain'] ?? `${it.ename}: ${it.evalue}`;
}
"""


def rows_of(seen: Any) -> Any:
    """The rows that are drawn."""
    return seen.page.locator(".aisdk-explorer .body [role=row]")


def texts(seen: Any, name: str) -> list[str]:
    """A column of the rows in view, from above."""
    found: list[str] = seen.page.evaluate(COLUMN, name)
    return found


def wait_for(seen: Any, name: str, first: str) -> None:
    """Waits until a column begins with a text."""
    seen.page.wait_for_function(
        f"([name, first]) => ({COLUMN})(name)[0] === first", arg=[name, first], timeout=20_000
    )


def told(seen: Any, text: str) -> None:
    """Waits until the status says it."""
    seen.page.wait_for_selector(f".aisdk-explorer .status:has-text('{text}')", timeout=20_000)


def asked(seen: Any, expression: str) -> str:
    """What the kernel makes of an expression."""
    found: str = seen.page.evaluate(EXPRESSION, expression)
    return found


def is_quiet(seen: Any) -> bool:
    """Whether nothing complained and nothing left this machine."""
    assert seen.cell_errors() == []
    assert seen.errors == []
    assert seen.strangers() == []
    return bool(seen.requests)
