"""Rows as matplotlib axes: a picture that is plain to read and free to restyle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from aisdk.core.documents.types import DocumentInfo
from aisdk.core.rag.types import Hit, Stage
from aisdk.core.results.page import Rows
from aisdk.core.results.text import clean_text, counted
from aisdk.core.usage.types import LimitInfo, UsageInfo
from aisdk.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["plot"]

_MOST_BARS = 30
_BAR_INCHES = 0.15
_LEGEND_INCHES = 1.6
_FEWEST_HOURS = timedelta(hours=6)  # of an axis, on which an hour should look like one
_BAR_HOURS: Final = timedelta(minutes=50)
_LONGEST_NAME = 40  # characters of a title beside its bar
_SCORES: Final = {"score": "score", "lexical_score": "lexical", "dense_score": "dense"}


def plot(rows: Rows[Any], ax: Axes | None = None) -> Axes:
    """Draws the rows, by default on new axes of a new figure.

    Hits become bars of their scores, documents bars of their chunks (a histogram when there are
    more than 30), usage the calls of each hour by verb (those called most, if they are more than
    there are colours), limits the share that is used, and the stages of a query bars of their time.

    Args:
        rows: What ``rag.query``, ``rag.explain``, ``documents.list``, ``usage.list`` or
            ``usage.limits`` gave.
        ax: Axes to draw on.

    Returns:
        The axes, with everything on them in matplotlib's own style.

    Raises:
        ConfigError: The package ``matplotlib`` is not installed.
        InvalidInput: These rows have no plot, or ``ax`` is no axes.
    """
    draw = _PLOTS.get(rows.item)
    if draw is None:
        names = ", ".join(sorted(item.__name__ for item in _PLOTS))
        raise InvalidInput(
            f"Rows of {rows.item.__name__} have no plot.",
            hint=f"Plot rows of {names}, or use to_frame().plot().",
        )
    if ax is not None:
        draw(list(rows), _checked(ax))
        return ax
    figure, ax = _new_figure()
    draw(list(rows), ax)
    bars = sum(len(container) for container in ax.containers)
    if ax.yaxis_inverted():  # rows with names, which need room
        figure.set_figheight(max(figure.get_figheight(), 1 + _BAR_INCHES * bars))
    if ax.get_legend():
        figure.set_figwidth(figure.get_figwidth() + _LEGEND_INCHES)
    return ax


def _checked(ax: Any) -> Axes:
    """What to draw on, if it is axes: not a figure, nor an array of several."""
    if not callable(getattr(ax, "yaxis_inverted", None)):
        raise InvalidInput(
            "ax= takes matplotlib axes.", hint="Make some with: figure, ax = plt.subplots()"
        )
    checked: Axes = ax
    return checked


def _new_figure() -> tuple[Figure, Axes]:
    try:
        import matplotlib.pyplot as plt
    except ImportError as missing:
        raise ConfigError(
            "Plots need the package matplotlib.",
            hint="Install it with: pip install 'aisdk[plots]'",
        ) from missing
    return plt.subplots(layout="constrained")


def _plot_hits(hits: Sequence[Hit], ax: Axes) -> None:
    """A group of bars a hit; with several kinds of score, each beside the highest of its kind."""
    shown = hits[:_MOST_BARS]
    kinds = [name for name in _SCORES if any(getattr(hit, name) is not None for hit in shown)]
    if len(kinds) == 2:  # one side alone: the score is its own
        kinds = ["score"]
    height = 0.8 / max(len(kinds), 1)
    for place, name in enumerate(kinds):
        values = [getattr(hit, name) for hit in shown]
        most = max((abs(value) for value in values if value is not None), default=0) or 1
        scale = most if len(kinds) > 1 else 1
        lengths = [(value or 0) / scale for value in values]
        centres = [row + (place - (len(kinds) - 1) / 2) * height for row in range(len(shown))]
        bars = ax.barh(centres, lengths, height, label=_SCORES[name])
        told = ["" if v is None else f"{v:.3g}" for v in values]
        ax.bar_label(bars, told, padding=3, fontsize="small")
    _name_rows(ax, [f"{hit.rank}. {_name(hit.title or hit.source)}" for hit in shown])
    ax.set_xlabel("score" if len(kinds) < 2 else "share of the highest of its kind")
    ax.set_title(_counted(shown, hits, "hit"))
    if len(kinds) > 1:
        _add_legend(ax)


def _plot_documents(documents: Sequence[DocumentInfo], ax: Axes) -> None:
    """Chunks by document, or how many documents have how many chunks."""
    chunks = [document.chunks for document in documents]
    if len(documents) > _MOST_BARS:
        step = (max(chunks) - min(chunks)) // _MOST_BARS + 1
        edges = range(min(chunks), max(chunks) + step + 1, step)
        ax.hist(chunks, bins=[edge - 0.5 for edge in edges], rwidth=0.9)
        ax.set(xlabel="chunks", ylabel="documents")
        _count(ax.yaxis)
    else:
        ax.bar_label(ax.barh(range(len(chunks)), chunks), padding=3)
        _name_rows(ax, [_name(document.title or document.source) for document in documents])
        ax.set_xlabel("chunks")
    _count(ax.xaxis)
    ax.set_title(_counted(documents, documents, "document"))


def _plot_usage(usage: Sequence[UsageInfo], ax: Axes) -> None:
    """Calls by hour, a colour a verb, stacked; verbs without a colour are one on top."""
    hours = sorted({row.hour for row in usage})
    verbs = _most_called(usage)
    calls: Counter[tuple[Any, str]] = Counter()
    for row in usage:
        calls[row.hour, row.verb if row.verb in verbs else ""] += row.calls
    others = len({row.verb for row in usage} - verbs)
    labels = {verb: verb for verb in sorted(verbs)} | ({"": f"{others} others"} if others else {})
    starts: Any = hours  # matplotlib takes times, its types only numbers
    width: Any = _BAR_HOURS
    below = [0] * len(hours)
    for verb, label in labels.items():
        counts = [calls[hour, verb] for hour in hours]
        ax.bar(starts, counts, width, below, align="edge", label=label)
        below = [low + count for low, count in zip(below, counts, strict=True)]
    if hours:
        _span_hours(ax, hours[0], hours[-1])
        _count(ax.yaxis)
        _add_legend(ax, reverse=True)
    ax.set_xlabel("hour (UTC)", loc="left")  # the day stands on the right
    ax.set(ylabel="calls", title="Calls by hour and verb")


def _most_called(usage: Sequence[UsageInfo]) -> set[str]:
    """As many verbs as there are colours; if that is not all, one colour is for the others."""
    import matplotlib as mpl

    calls: Counter[str] = Counter()
    for row in usage:
        calls[row.verb] += row.calls
    colours = max(len(mpl.rcParams["axes.prop_cycle"]), 2)
    most = sorted(calls, key=lambda verb: (-calls[verb], verb))
    return set(most if len(most) <= colours else most[: colours - 1])


def _span_hours(ax: Axes, first: datetime, last: datetime) -> None:
    """Several hours up to the last one, with ticks at whole ones."""
    from matplotlib import dates

    made: Any = dates  # has no types
    gap, end = timedelta(hours=1) - _BAR_HOURS, last + timedelta(hours=1)
    edges: Any = (min(first, end - _FEWEST_HOURS) - gap, end)
    ax.set_xlim(edges)
    locator = made.AutoDateLocator(minticks=3, maxticks=5)  # room in narrow axes
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(made.ConciseDateFormatter(locator))


def _plot_limits(limits: Sequence[LimitInfo], ax: Axes) -> None:
    """How much of each limit is used, in percent; the numbers stand beside the bar."""
    shares = [100 * row.used / row.most if row.most else 0 for row in limits]
    told = [
        f"{row.used:,} of {row.most:,}" if row.most is not None else f"{row.used:,}, no limit"
        for row in limits
    ]
    ax.bar_label(ax.barh(range(len(limits)), shares), told, padding=3)
    _name_rows(ax, [_name(row.limit) for row in limits])
    ax.set(xlabel="used, %", xlim=(0, 1.3 * max([100, *shares])), title="Limits")


def _plot_stages(stages: Sequence[Stage], ax: Axes) -> None:
    """Time by stage of a query."""
    times = [stage.milliseconds for stage in stages]
    ax.bar_label(ax.barh(range(len(stages)), times), [f"{time:.3g}" for time in times], padding=3)
    _name_rows(ax, [_name(stage.stage) for stage in stages])
    ax.set(xlabel="milliseconds", title="Stages")


def _add_legend(ax: Axes, *, reverse: bool = False) -> None:
    """Beside the axes, where it covers nothing."""
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), reverse=reverse)


def _count(axis: Axis) -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Names the rows from the top down; a dollar sign in a name begins no formula."""
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    ax.margins(x=0.15)


def _name(text: str) -> str:
    name = " ".join(clean_text(text[: 4 * _LONGEST_NAME]).split())
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME].rstrip()}…"


def _counted(shown: Sequence[Any], rows: Sequence[Any], noun: str) -> str:
    of = "" if len(shown) == len(rows) else f"{len(shown)} of "
    return f"{of}{counted(len(rows), noun)}"


_PLOTS: Final[Mapping[type[Any], Callable[[Any, Axes], None]]] = {
    DocumentInfo: _plot_documents,
    Hit: _plot_hits,
    LimitInfo: _plot_limits,
    Stage: _plot_stages,
    UsageInfo: _plot_usage,
}
