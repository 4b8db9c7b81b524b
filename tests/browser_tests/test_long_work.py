"""Long work as people see it: progress that moves, interrupts, jobs in two notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import nbformat

Open = Callable[[str], Any]  # a notebook's name → a notebook in the browser

PROMPT_S: Final = 1.0
CONNECT: Final = """
%load_ext aisdk
import os
os.environ["AISDK_EMBEDDING"] = "none"
import aisdk
session = aisdk.connect("long-work")
texts = [f"note {n} about pumps and valves " * 40 for n in range(30_000)]
"""
ADD: Final = "session.documents.add(texts)"
ASK: Final = "session.rag.query_many([f'{n} pumps' for n in range(20_000)])"
STATEMENT: Final = """
parts = session.client._parts
session.client.call(lambda: parts.database.fetch("SELECT pg_sleep(25)"))
"""
LEFT: Final = """
left = session.client.call(lambda: parts.database.fetch(
    "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sl%'"))
print("left", len(left), "stored", 0 < session.documents.count() < 30_000)
"""
NESTED: Final = """
import asyncio
aisdk.notebook.allow_nested_asyncio()
print("nested", asyncio.run(asyncio.sleep(0.1, "done")))
"""
START: Final = "job = session.documents.add(texts, wait=False)\njob"
ELSEWHERE: Final = "job = session.job(session.jobs.list(unfinished=True)[0].job_id)\njob"

RUN_ALL: Final = "void jupyterapp.commands.execute('notebook:run-all-cells')"
# After an error JupyterLab shows queued cells as idle although the kernel goes on with them.
ENDED: Final = """
place => {
  const model = jupyterapp.shell.currentWidget.content.widgets[place].model;
  const failed = model.outputs.toJSON().some(output => output.output_type === 'error');
  return failed || model.executionCount !== null;
}
"""
OUTPUTS: Final = """
place => jupyterapp.shell.currentWidget.content.widgets[place].model.outputs.toJSON()
"""
INTERRUPT: Final = f"""
place => new Promise(resolve => {{
  const ended = {ENDED.strip()};
  const begun = performance.now();
  const look = () => ended(place)
    ? resolve((performance.now() - begun) / 1000) : setTimeout(look, 10);
  void jupyterapp.commands.execute('notebook:interrupt-kernel');
  look();
}})
"""
WATCH: Final = """
([place, seconds]) => new Promise(resolve => {
  const outputs = jupyterapp.shell.currentWidget.content.widgets[place].model.outputs;
  const seen = [];
  const look = () => {
    const text = outputs.toJSON()[0]?.data?.['text/plain'];
    if (text && text !== seen[seen.length - 1]) { seen.push(text); }
  };
  const timer = setInterval(look, 5);
  setTimeout(() => { clearInterval(timer); resolve(seen); }, seconds * 1000);
})
"""


def texts_of(seen: Any, place: int) -> list[str]:
    """What a cell shows, as plain texts; of an error its last lines."""
    found = []
    for output in seen.page.evaluate(OUTPUTS, place):
        if output["output_type"] == "error":
            found.append("\n".join(output["traceback"]))
        else:
            found.append(output.get("text") or output["data"]["text/plain"])
    return [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in found]


def interrupt(seen: Any, place: int, after_ms: int) -> float:
    """Interrupts the cell whose turn it is; the seconds to its end, as the page measures them."""
    seen.page.wait_for_function(ENDED, arg=place - 1, timeout=60_000)
    seen.page.wait_for_timeout(after_ms)
    assert not seen.page.evaluate(ENDED, place)
    seconds: float = seen.page.evaluate(INTERRUPT, place)
    return seconds


def watched(seen: Any, place: int, seconds: float) -> list[str]:
    """The texts that a cell's progress shows one after the other, as often as the page has them."""
    texts: list[str] = seen.page.evaluate(WATCH, [place, seconds])
    return texts


def done(text: str) -> int:
    """The number that is counted."""
    return int(re.sub(r".*?: ([\d,]+) .*", r"\1", text).replace(",", ""))


def tagged(lab: Any, name: str, *places: int) -> str:
    """The notebook, whose cells at these places may fail without ending those behind them."""
    book = nbformat.read(lab.folder / name, as_version=4)
    for place in places:
        book.cells[place].metadata["tags"] = ["raises-exception"]
    nbformat.write(book, lab.folder / name)
    return name


def test_interrupts_give_the_prompt_back_and_queued_cells_run(see: Open, lab: Any) -> None:
    """During add, many queries and a statement; all the rest was queued before them."""
    cells = [CONNECT, ADD, ASK, STATEMENT, LEFT, NESTED, "print('one')", "print('two')"]
    seen = see(tagged(lab, lab.write("interrupts", *cells), 1, 2, 3))
    seen.page.evaluate(RUN_ALL)
    seen.page.wait_for_selector(".jp-OutputArea progress", timeout=60_000)
    moving = watched(seen, 1, 2.0)
    seen.keep("progress")
    seconds = [interrupt(seen, place, 1_200) for place in (1, 2, 3)]
    seen.page.wait_for_function(f"place => ({OUTPUTS})(place).length > 0", arg=7, timeout=60_000)
    seen.page.wait_for_timeout(500)
    seen.keep("interrupted")
    numbers = [done(text) for text in moving]
    assert len(set(numbers)) >= 3
    assert numbers == sorted(numbers)
    assert len(moving) <= 2.0 * 10 + 1
    assert max(seconds) <= PROMPT_S, seconds
    progress, error = texts_of(seen, 1)
    assert progress.endswith("; stopped: what was added stays, add again to go on")
    told, where, more = error.splitlines()
    assert told.endswith(" documents are stored; what was added stays, add again to go on.")
    assert where == f"  where: Cell In[2], line 1: {ADD}"
    assert more == "  more:  %tb Verbose"
    assert "questions were answered; answers are cached" in texts_of(seen, 2)[-1]
    assert "KeyboardInterrupt" in texts_of(seen, 3)[-1]
    assert texts_of(seen, 4) == ["left 0 stored True\n"]
    assert texts_of(seen, 5) == ["nested done\n"]
    assert [texts_of(seen, place) for place in (6, 7)] == [["one\n"], ["two\n"]]


def test_job_is_followed_in_two_notebooks(see: Open, lab: Any) -> None:
    """Live in both, with the time since it began, until one of them cancels it."""
    first = see(lab.write("job", CONNECT.replace("long-work", "long-job"), START))
    first.run_all()
    connect = CONNECT.replace("long-work", "long-job").rpartition("texts =")[0]
    second = see(lab.write("elsewhere", connect, ELSEWHERE, "print(job.cancel().state)"))
    second.page.evaluate("void jupyterapp.commands.execute('notebook:move-cursor-up')")
    for _ in range(2):
        second.page.evaluate(
            "void jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
        )
    second.page.wait_for_selector(".jp-OutputArea progress", timeout=60_000)
    here, there = watched(first, 1, 2.5), watched(second, 1, 2.5)
    first.keep("job")
    second.keep("job_elsewhere")
    for moving in (here, there):
        assert done(moving[0]) < done(moving[-1])
        assert re.search(r" of 30,000 documents, [\d,]+ chunks, .* documents/s", moving[-1])
    seconds = [float(re.findall(r", ([\d.]+) s,", text)[0]) for text in (here[-1], there[0])]
    assert abs(seconds[1] - seconds[0]) < 2.0, "both count from the begin of the work"
    second.page.evaluate("void jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    for seen in (second, first):
        seen.page.wait_for_selector("text=; cancelled", timeout=20_000)
        assert texts_of(seen, 1)[0].endswith("; cancelled")
    second.keep("job_cancelled")
