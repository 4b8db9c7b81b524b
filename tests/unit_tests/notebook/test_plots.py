"""Rows as matplotlib axes: what is drawn, on which axes, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from payloads import PAYLOADS

from aisdk.core.documents.types import DocumentInfo, SourceOutcome
from aisdk.core.rag.types import Hit, Stage
from aisdk.core.results.page import AsyncPage, Rows
from aisdk.core.usage.types import LimitInfo, UsageInfo
from aisdk.errors import ConfigError, InvalidInput

HOUR = datetime(2026, 1, 1, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    mpl.use("agg")
    yield
    plt.close("all")


def hits(*scores: tuple[float, float | None, float | None], title: str = "Pump") -> Rows[Hit]:
    """Hits with a fused, a lexical and a dense score."""
    records = [
        (rank, *score, "d", title, "s", "text", 0, 4, "", {}, "exact", None)
        for rank, score in enumerate(scores, 1)
    ]
    return Rows(Hit, records)


def documents(*chunks: int, title: str = "Pump") -> AsyncPage[DocumentInfo]:
    """Documents with so many chunks."""
    records = [("d", "s", title, {}, 10, n, "ready", None, HOUR, HOUR) for n in chunks]
    return AsyncPage(DocumentInfo, records)


def names(ax: Any) -> list[str]:
    """The names of the rows."""
    return [label.get_text() for label in ax.get_yticklabels()]


def notes(ax: Any) -> list[str]:
    """What stands beside the bars."""
    return [text.get_text() for text in ax.texts]


def series(ax: Any) -> dict[str, list[float]]:
    """The lengths of horizontal bars by kind."""
    return {c.get_label(): [bar.get_width() for bar in c] for c in ax.containers}


def test_plot_hits_of_both_sides_shows_three_scores_by_title() -> None:
    """Each kind beside the highest of its kind, with its own numbers; the best on top."""
    ax = hits((0.5, 8.0, 0.4), (0.25, 2.0, None)).plot()
    assert series(ax) == {"score": [1, 0.5], "lexical": [1, 0.25], "dense": [1, 0]}
    assert notes(ax) == ["0.5", "0.25", "8", "2", "0.4", ""]
    assert names(ax) == ["1. Pump", "2. Pump"]
    assert ax.yaxis_inverted()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*series(ax)]
    assert hits((0.5, 8.0, 0.4)).plot(ax=ax).yaxis_inverted(), "drawn over it, still"


def test_plot_hits_of_one_side_shows_its_score_as_it_is() -> None:
    """The lexical score alone: no second bar of the same, no legend."""
    ax = hits((8.0, 8.0, None), (2.0, 2.0, None)).plot()
    assert series(ax) == {"score": [8, 2]}
    assert ax.get_xlabel() == "score"
    assert ax.get_legend() is None


def test_plot_many_hits_shows_the_first_and_says_so() -> None:
    """Thirty rows can be read."""
    ax = hits(*[(1.0, None, None)] * 1_200).plot()
    assert len(names(ax)) == 30
    assert ax.get_title() == "30 of 1,200 hits"
    assert ax.figure.get_figheight() > hits((1.0, None, None)).plot().figure.get_figheight()


def test_plot_few_documents_shows_chunks_by_title() -> None:
    """A bar a document."""
    ax = documents(3, 7).plot()
    assert [bar.get_width() for bar in ax.containers[0]] == [3, 7]
    assert ax.get_xlabel() == "chunks"


def test_plot_many_documents_shows_a_histogram() -> None:
    """All of them are counted."""
    ax = documents(*range(1, 101)).plot()
    assert sum(bar.get_height() for bar in ax.patches) == 100
    assert ax.get_ylabel() == "documents"


def test_plot_usage_stacks_verbs_by_hour() -> None:
    """A second verb stands on the first in the same hour, and on the ground in another."""
    later = HOUR + timedelta(hours=2)
    rows = [(HOUR, "a.b", 3, 0, 0, 1.0), (HOUR, "c.d", 5, 0, 0, 1.0), (later, "c.d", 7, 0, 0, 1.0)]
    ax = Rows(UsageInfo, rows).plot()
    stacks = {c.get_label(): [(bar.get_y(), bar.get_height()) for bar in c] for c in ax.containers}
    assert stacks == {"a.b": [(0, 3), (0, 0)], "c.d": [(3, 5), (0, 7)]}


VERBS = [f"domain.verb_{letter}" for letter in "abcdefghijklm"]


def usage(*hours: int, verbs: list[str] = VERBS) -> Rows[UsageInfo]:
    """So many hours after the first, each verb called once more than the one before."""
    records = [
        (HOUR + timedelta(hours=hour), verb, calls, 0, 0, 1.0)
        for hour in hours
        for calls, verb in enumerate(verbs, 1)
    ]
    return Rows(UsageInfo, records)


@pytest.mark.parametrize(("style", "colours"), [("default", 10), ("ggplot", 7)])
def test_plot_usage_gives_each_verb_a_colour_of_its_own(style: str, colours: int) -> None:
    """Those called most, by name; the rest is one more, on top: nothing is left out."""
    with plt.style.context(style):
        ax = usage(0, 1).plot()
    drawn = [container[0].get_facecolor() for container in ax.containers]
    assert len(set(drawn)) == len(drawn) == colours
    rest = len(VERBS) - colours + 1
    others = f"{rest} others"
    assert [c.get_label() for c in ax.containers] == [*VERBS[rest:], others]
    assert sum(bar.get_height() for bar in ax.patches) == 2 * sum(range(1, len(VERBS) + 1))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [others, *reversed(VERBS[rest:])], "as they stand upon each other"
    ten = usage(0, verbs=VERBS[:8]).plot()
    assert [c.get_label() for c in ten.containers] == VERBS[:8]


def test_plot_usage_of_one_colour_names_a_verb() -> None:
    """A style of one's own may have no more."""
    with mpl.rc_context({"axes.prop_cycle": mpl.cycler(color=["black"])}):
        ax = usage(0).plot()
    assert [c.get_label() for c in ax.containers] == [VERBS[-1], "12 others"]


@pytest.mark.parametrize("hours", [(0,), (0, 1), (0, 5), range(30), range(0, 200, 50)])
def test_plot_usage_has_ticks_at_whole_hours(hours: Any) -> None:
    """A bar is a bar, also on the first day: the axis spans hours, and all bars are on it."""
    ax = usage(*hours).plot()
    ax.figure.canvas.draw()
    first, last = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if first <= tick <= last]
    assert len(ticks) > 1
    assert all(round(tick * 24, 6) % 1 == 0 for tick in ticks)
    assert last - first >= 6 / 24
    assert all(first < bar.get_x() < bar.get_x() + bar.get_width() < last for bar in ax.patches)


@pytest.mark.parametrize("hours", [(0,), range(12), range(30), range(0, 200, 50)])
def test_plot_usage_in_narrow_axes_can_be_read(hours: Any) -> None:
    """No two texts below the axes lie over each other."""
    figure, pair = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax in pair:
        usage(*hours).plot(ax=ax)
    figure.canvas.draw()
    axis = pair[0].xaxis
    first, last = pair[0].get_xlim()
    labels = [tick.label1 for tick in axis.get_major_ticks() if first <= tick.get_loc() <= last]
    boxes = [text.get_window_extent() for text in (*labels, axis.label, axis.get_offset_text())]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_plot_of_many_hits_is_read_without_effort() -> None:
    """No number lies over another, and the rows fill the axes."""
    ax = hits(*[(0.5, 8.0, 0.4)] * 30).plot()
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert ax.get_ylim() == (29.5, -0.5)
    assert (ax.get_title(), hits((0.5, 8.0, 0.4)).plot().get_title()) == ("30 hits", "1 hit")


@pytest.mark.parametrize(
    "rows", [usage(0), usage(*range(30)), hits((0.5, 8.0, 0.4), (0.25, 2.0, None))]
)
def test_plot_has_its_legend_beside_the_bars(rows: Rows[Any]) -> None:
    """Outside the axes, within the figure; the axes stay as wide as without."""
    ax = rows.plot()
    ax.figure.canvas.draw()
    legend, box = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert legend.x0 >= box.x1
    assert legend.x1 <= ax.figure.bbox.x1
    assert box.width > 0.5 * ax.figure.bbox.width


@pytest.mark.parametrize("chunks", [[1], [1] * 60, [1, 2] * 30, [1, 2, 3, 4] * 15, [1, 400] * 40])
def test_plot_documents_counts_whole_chunks(chunks: list[int]) -> None:
    """And whole documents: no tick stands between."""
    ax = documents(*chunks).plot()
    ax.figure.canvas.draw()
    ticks = [*ax.get_xticks(), *ax.get_yticks()]
    assert all(tick == round(tick) for tick in ticks)
    first, last = ax.get_xlim()
    assert any(first <= tick <= last for tick in ax.get_xticks())


def test_plot_limits_shows_the_share_used() -> None:
    """In percent, with the numbers; without a limit there is no share."""
    rows = [("read", 200, 50, 150, 1.0, 0.0), ("tokens", None, 9, None, None, None)]
    ax = Rows(LimitInfo, rows).plot()
    assert [bar.get_width() for bar in ax.containers[0]] == [25, 0]
    assert notes(ax) == ["50 of 200", "9, no limit"]


def test_plot_stages_shows_their_time() -> None:
    """A bar a stage, in milliseconds."""
    ax = Rows(Stage, [("embed", 2.0, None, ""), ("dense", 0.5, 10, "")]).plot()
    assert [bar.get_width() for bar in ax.containers[0]] == [2, 0.5]
    assert names(ax) == ["embed", "dense"]


@pytest.mark.parametrize("item", [Hit, DocumentInfo, UsageInfo, LimitInfo, Stage])
def test_plot_without_rows_draws_empty_axes(item: type[Any]) -> None:
    """Nothing to show is no error."""
    ax = Rows(item, []).plot()
    ax.figure.canvas.draw()
    assert list(ax.patches) == []


def test_plot_draws_on_given_axes_and_makes_no_figure() -> None:
    """And returns them."""
    _, ax = plt.subplots()
    assert documents(3).plot(ax=ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no picture of every character
@pytest.mark.parametrize("title", [*PAYLOADS, r"$\frac{$", "$x$ and $y$", "a\nb", "\x1b[2J"])
def test_plot_of_a_hostile_title_is_drawn_as_text(title: str) -> None:
    """No formula is parsed, no line broken."""
    for rows in (hits((1.0, None, None), title=title), documents(1, title=title)):
        ax = rows.plot()
        ax.figure.canvas.draw()
        assert "\n" not in names(ax)[0]
        assert "\x1b" not in names(ax)[0]
        plt.close("all")


def test_plot_parses_no_formula_in_a_title() -> None:
    """The control: matplotlib would have failed to draw this one."""
    _, ax = plt.subplots()
    ax.set_yticks([0], [r"$\frac{$"])
    with pytest.raises(ValueError, match="frac"):
        ax.figure.canvas.draw()


def test_plot_of_other_rows_says_which_have_one() -> None:
    """The way out stands in the hint."""
    with pytest.raises(InvalidInput, match="Rows of SourceOutcome have no plot") as caught:
        Rows(SourceOutcome, []).plot()
    assert "DocumentInfo, Hit, LimitInfo, Stage, UsageInfo" in caught.value.hint


def test_plot_without_matplotlib_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError) as caught:
        documents(3).plot()
    assert "pip install 'aisdk[plots]'" in caught.value.hint


def test_plots_are_imported_without_matplotlib() -> None:
    """It comes with the first plot."""
    code = "import sys, aisdk.notebook.plots; print('matplotlib' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(  # noqa: S603  # this interpreter, our own script
        command, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_plot_on_what_is_no_axes_is_refused() -> None:
    """Such as a figure, or the array that several axes come in."""
    for ax in (3, "x", plt.figure(), plt.subplots(2)[1], plt):
        with pytest.raises(InvalidInput, match="ax= takes matplotlib axes") as caught:
            documents(3).plot(ax=ax)  # type: ignore[arg-type]  # refused at runtime
        assert "subplots" in caught.value.hint
