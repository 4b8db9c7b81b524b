"""What the notebooks show in JupyterLab: rows, colours, widths, progress, and the loop beside."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import pytest
from accessible import violations
from playwright.sync_api import Error
from themes import THEMES, dress

Open = Callable[[str], Any]  # a notebook's name → a notebook in the browser
Faults = Callable[[Any], list[str]]  # a notebook in the browser → what axe-core finds

LESSONS: Final = sorted(
    path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb")
)
SCROLLED: Final = """
() => {
  const box = document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer');
  box.scrollTop = 0;
  return [...box.querySelectorAll('.jp-Cell')].reduce((sum, cell) => sum + cell.offsetHeight, 0);
}
"""
ALARMS: Final = '.jp-OutputArea [data-mime-type="application/vnd.jupyter.stderr"]'
PLOTS: Final = """
() => [...document.querySelectorAll('.jp-OutputArea img')].filter(image => image.naturalWidth > 300)
  .length
"""
CONNECT: Final = """
%load_ext aisdk
import asyncio, os, uuid
os.environ["AISDK_EMBEDDING"] = "none"
import aisdk
session = aisdk.connect(f"t-{uuid.uuid4().hex[:12]}")
"""
LONG: Final = """
from aisdk import Document
story = "The pump house stands at the river, and its pumps lift water to the town. " * 40
session.documents.add([
    Document("A pump moves water upward.", source="pump", title="Pumps", metadata={"year": 2024}),
    Document(story, source="/srv/handbook/waterworks/2024/the-old-pump-house-by-the-river.md",
             title="The old pump house by the river, and what became of it"),
    Document("Pumpkins are no pumps. " * 4, source="https://example.org/pumpkins?page=1&lang=en"),
], progress=False)
"""
MARKED: Final = "session.rag.query('pumps')"
# Each text's contrast with what is behind it, with layers that let light through counted in.
CONTRASTS: Final = """
where => {
  const light = c => c.map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const brush = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const colour = text => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = text;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => under.map((v, i) => top[3] * top[i] + (1 - top[3]) * v);
  const behind = node => {
    if (!node) return [255, 255, 255];
    return over(colour(getComputedStyle(node).backgroundColor), behind(node.parentElement));
  };
  const own = node => [...node.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll(where)].filter(own).map(node => {
    const paper = behind(node);
    const ink = over(colour(getComputedStyle(node).color), paper);
    const [dim, bright] = [light(ink), light(paper)].sort((a, b) => a - b);
    return {tag: node.localName, text: node.innerText.slice(0, 20),
            contrast: (bright + 0.05) / (dim + 0.05)};
  });
}
"""
# Not frames, which are drawn by pandas, nor the pictures that IPython makes of plots.
DISPLAYS: Final = ".jp-OutputArea :is(.aisdk-rows, .aisdk-explorer, .aisdk-bar)"
SPOIL: Final = """
() => {
  const cell = document.querySelector('.jp-OutputArea .aisdk-rows td:last-child');
  cell.style.cssText = 'color: #999 !important; background: #888 !important';
  cell.append(document.createElement('img'));
}
"""
FLOOD: Final = """
from IPython.display import HTML
HTML('''<img src="http://127.0.0.2:9/pixel.png">
<p id="pale" style="background:#ffe0b2;color:rgba(255,255,255,.9)">pale</p>
<script>new WebSocket("ws://127.0.0.2:9/socket"); console.error("complaint")</script>''')
"""


@pytest.fixture
def show(run_in: Any) -> Any:
    """Runs a notebook in a theme."""
    return run_in


@pytest.fixture
def inaccessible(request: pytest.FixtureRequest) -> Faults:
    """What axe-core finds in our displays; asked for last, as it may be missing."""

    def found(seen: Any) -> list[str]:
        if not seen.page.locator(DISPLAYS).count():
            return []  # all is frames and pictures
        return violations(seen, request.getfixturevalue("axe"), DISPLAYS)

    return found


def pale(seen: Any, where: str) -> list[dict[str, Any]]:
    """Texts that are hard to read: less than 4.5 to 1."""
    found = seen.page.evaluate(CONTRASTS, where)
    assert found, "there is no text to look at"
    return [text for text in found if text["contrast"] < 4.5]


def column(table: Any, name: str) -> list[str]:
    """The texts of a column."""
    heads = [head.strip() for head in table.locator("thead th").all_text_contents()]
    place = heads.index(name) + 1
    texts: list[str] = table.locator(f"tbody tr td:nth-child({place})").all_text_contents()
    return texts


def look_through(seen: Any, picture: str) -> None:
    """No cell fails or warns, there is a plot, every text can be read, and nothing leaves."""
    tall = seen.page.evaluate(SCROLLED)
    seen.page.set_viewport_size({"width": 1100, "height": tall + 200})
    seen.page.wait_for_timeout(500)
    seen.keep(picture)
    assert seen.cell_errors() == []
    assert seen.page.locator(ALARMS).all_inner_texts() == []
    assert seen.page.evaluate(PLOTS) > 0
    if seen.page.locator(".aisdk-rows").count():
        assert pale(seen, ".aisdk-rows :is(th, td, caption)") == []
    assert (seen.errors, seen.strangers()) == ([], [])
    assert len(seen.requests) > 10, "the control: requests are seen"


def test_quickstart_shows_its_hits_frames_and_plot(show: Any, inaccessible: Faults) -> None:
    """The rows in order and beside the file browser, every frame, the plot; in both themes."""
    seen = show("01_quickstart.ipynb")
    table = seen.page.locator(".jp-OutputArea .aisdk-rows table")
    assert table.count() == 1
    assert column(table, "rank") == ["1", "2", "3"]
    assert column(table, "title")[0] == "Dates"
    assert "strptime" in column(table, "text")[0]
    region = seen.page.locator(".jp-OutputArea .aisdk-rows")
    assert region.evaluate("box => box.scrollWidth - box.clientWidth") <= 0
    frames = seen.page.locator(".jp-OutputArea table.dataframe")
    assert [frame.locator("tbody tr").count() for frame in frames.all()] == [5, 5, 1, 1, 5]
    assert seen.page.evaluate(PLOTS) == 1
    for theme in THEMES:
        dress(seen, theme)
        look_through(seen, f"quickstart_{theme.rsplit(maxsplit=1)[-1].lower()}")
    assert inaccessible(seen) == []


def test_documents_shows_a_frame_after_each_add(show: Any, inaccessible: Faults) -> None:
    """What failed, what was unchanged and what was updated; how far the long one is; the plots."""
    seen = show("02_documents.ipynb")
    frames = seen.page.locator(".jp-OutputArea table.dataframe").all()
    statuses = [frame.locator("tbody td:nth-child(3)").all_text_contents() for frame in frames]
    assert statuses[:3] == [
        ["failed", "added", "added"],
        ["unchanged", "unchanged"],
        ["unchanged", "updated"],
    ]
    progress = seen.page.locator(".jp-OutputArea label").all_inner_texts()
    assert [text.count("11 of 11 documents") for text in progress] == [1]
    assert seen.page.evaluate(PLOTS) == 2
    look_through(seen, "02_documents_light")
    assert inaccessible(seen) == []


def test_searching_well_shows_its_live_views(show: Any, inaccessible: Faults) -> None:
    """One result, two side by side and the stages stand for their tables, which are hidden."""
    seen = show("03_searching_well.ipynb")
    live = seen.page.locator(".jp-OutputArea .aisdk-explorer")
    assert live.count() == 4
    assert live.nth(0).get_by_text("12 rows").is_visible()
    pair = [live.nth(place).bounding_box() for place in (1, 2)]
    assert pair[0]["y"] == pair[1]["y"]
    assert pair[0]["x"] + pair[0]["width"] <= pair[1]["x"]
    heads = live.nth(1).locator("[role=columnheader]").all_inner_texts()
    assert any("beside" in head for head in heads)
    assert live.nth(3).locator(".stages").is_visible()
    tables = seen.page.locator(".jp-OutputArea .aisdk-rows").all()
    assert [table.is_visible() for table in tables] == [True, False, False, False, False]
    for theme in THEMES:
        dress(seen, theme)
        look_through(seen, f"03_searching_well_{theme.rsplit(maxsplit=1)[-1].lower()}")
    assert inaccessible(seen) == []


@pytest.mark.parametrize(("name", "theme"), list(zip(LESSONS[3:], cycle(THEMES), strict=False)))
def test_other_notebooks_run_from_top_to_bottom(
    show: Any, inaccessible: Faults, name: str, theme: str
) -> None:
    """Each in one of the themes."""
    seen = show(name, theme)
    look_through(seen, f"{name.removesuffix('.ipynb')}_{theme.rsplit(maxsplit=1)[-1].lower()}")
    assert inaccessible(seen) == []


def test_every_text_of_a_table_can_be_read(show: Any, lab: Any) -> None:
    """Cells, heads, captions, folded texts and marked words, unfolded and under the pointer."""
    seen = show(lab.write("reading", CONNECT, LONG, MARKED))
    table = seen.page.locator(".jp-OutputArea .aisdk-rows").last
    table.locator("summary").first.click()
    assert table.locator("details[open] p").first.is_visible()
    marked = table.locator(":not(summary) > mark").all_text_contents()  # whole: a fold cuts words
    assert len(marked) > 3
    assert {word.lower() for word in marked} == {"pump", "pumps"}
    for theme in THEMES:
        dress(seen, theme)
        table.locator("tbody tr").last.hover()
        seen.keep(f"reading_{theme.rsplit(maxsplit=1)[-1].lower()}")
        assert pale(seen, ".aisdk-rows :is(th, td, caption, summary, p, mark)") == []
    assert seen.errors == []


def test_long_tables_keep_their_head_and_foot_in_view(show: Any, lab: Any) -> None:
    """Scrolled to the middle, the names of the columns and the count can still be seen."""
    add = "session.documents.add([f'note {n} about pumps' for n in range(300)], progress=False)"
    name = lab.write("many", CONNECT, f"{add};", "session.documents.list(limit=200)")
    seen = show(name)
    region = seen.page.locator(".jp-OutputArea .aisdk-rows").last
    region.evaluate("box => { box.scrollTop = box.scrollHeight / 2; }")
    seen.keep("many")
    inside = """(box, where) => {
      const [one, all] = [box.querySelector(where), box].map(n => n.getBoundingClientRect());
      return one.top >= all.top - 1 && one.bottom <= all.bottom + 1;
    }"""
    assert region.locator("tbody tr").count() == 200
    assert region.evaluate(inside, "thead th")
    assert region.evaluate(inside, "tfoot td")
    assert not region.evaluate(inside, "tbody tr")


def test_saved_notebook_can_be_read_before_it_runs(see: Open, inaccessible: Faults) -> None:
    """An output that is not trusted loses its styles, not its rows; axe-core sees its faults."""
    seen = see("01_quickstart.ipynb")
    seen.keep("saved")
    table = seen.page.locator(".jp-OutputArea .aisdk-rows table")
    assert column(table, "rank") == ["1", "2", "3"]
    assert pale(seen, ".aisdk-rows :is(th, td, caption)") == []
    assert (seen.errors, seen.strangers()) == ([], [])
    assert inaccessible(seen) == []
    seen.page.evaluate(SPOIL)  # the control
    assert {found.split(":")[0] for found in inaccessible(seen)} >= {"image-alt", "color-contrast"}


def test_blocking_query_works_while_the_kernel_s_loop_runs(show: Any, lab: Any) -> None:
    """In a cell of a running loop it blocks and answers; tasks and awaited verbs go on after."""
    name = lab.write(
        "loop",
        CONNECT,
        "session.documents.add(['the red pump'], progress=False);",
        "ticks = 0\n"
        "async def tick():\n"
        "    global ticks\n"
        "    while True:\n"
        "        ticks += 1\n"
        "        await asyncio.sleep(0.01)\n"
        "ticking = asyncio.get_running_loop().create_task(tick())",
        "running = asyncio.get_running_loop().is_running()\n"
        "print('blocking', running, len(session.rag.query('pumps')))",
        "found = await session.asynchronous().rag.query('pumps')\n"
        "before = ticks\n"
        "await asyncio.sleep(0.2)\n"
        "print('awaited', len(found), ticks > before, ticking.cancel())",
    )
    seen = show(name)
    assert seen.cell_errors() == []
    shown = seen.page.locator(".jp-OutputArea").all_inner_texts()
    assert "blocking True 1" in str(shown)
    assert "awaited 1 True True" in str(shown)


def test_progress_of_add_and_collect_stays_in_its_final_state(show: Any, lab: Any) -> None:
    """Both verbs show theirs unless it is switched off, with all that was done at the end."""
    name = lab.write(
        "collect",
        CONNECT,
        "session.documents.add([f'note {n} about pumps' for n in range(1_200)]);",
        "page = session.documents.list(limit=10)\npage.collect();",
        "page.collect(progress=False);",
    )
    seen = show(name)
    seen.keep("collect")
    labels = seen.page.locator(".jp-OutputArea label").all_inner_texts()
    assert len(labels) == 2
    assert "1,200 of 1,200 documents" in labels[0]
    assert "1,200 rows" in labels[1]
    assert pale(seen, ".jp-OutputArea label, .jp-OutputArea label span") == []


def test_page_that_leaves_complains_or_is_pale_is_noticed(show: Any, lab: Any) -> None:
    """The control: an image, a socket, a message, a pale text and cells that take too long."""
    seen = show(lab.write("flood", FLOOD))
    assert set(seen.strangers()) == {"http://127.0.0.2:9/pixel.png", "http://127.0.0.2:9/socket"}
    assert "complaint" in seen.errors
    assert [text["text"] for text in pale(seen, "#pale")] == ["pale"]
    with pytest.raises(Error, match="took too long"):
        seen.run_all(seconds=0)
