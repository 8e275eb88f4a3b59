"""Draws the chart of an insight to a file, by matplotlib: an optional library, loaded when a chart is drawn."""

import math
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from selfbuild.domain.errors import InvalidRequest, Misconfigured
from selfbuild.domain.insights import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
SIZE_INCHES = (10.0, 4.2)
DPI = 130
TITLE_WIDTH = 110
"""Characters of a line of the title."""
MAX_LABELLED_MARKS = 8
"""More labels than that cover each other; the lines are still drawn."""
SERIES, WINDOW, BASELINE, THRESHOLD, MARK = "#1f4e79", "#f3c9a5", "#3a7d44", "#b3261e", "#6b6b6b"
INSTALL = "pip install 'self-building-agent[plots]'"


def check_plot_path(path: Path) -> None:
    """Raises InvalidRequest unless the file's name ends in .png or .svg and its folder exists."""
    if path.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"{path}: the name must end in {' or '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise InvalidRequest(f"{path}: there is no folder {path.absolute().parent}: make it first")


def save_chart(chart: Chart, path: Path) -> None:
    """Draw the series with its window, baseline, threshold and marks. All times are UTC.

    Raises:
        InvalidRequest: the file's name has no known ending, or it cannot be written.
        Misconfigured: matplotlib is not installed; the text names the command that installs it.
    """
    check_plot_path(path)
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Misconfigured(f"drawing a chart needs matplotlib: {INSTALL}") from error
    # Names come from telemetry: a dollar sign in them is no mathematics.
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        _draw(figure.add_subplot(), chart)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error


def _draw(axes: "Axes", chart: Chart) -> None:
    times = [_day(start) for start in chart.starts]
    values = [math.nan if value is None else value for value in chart.values]
    axes.axvspan(_day(chart.window_start), _day(chart.window_end), color=WINDOW, alpha=0.45, lw=0, label="window")
    axes.plot(times, values, color=SERIES, lw=1.4, solid_joinstyle="round", label=chart.unit or "value", zorder=3)
    _draw_lonely(axes, times, values)
    if chart.baseline is not None:
        text = f"baseline {chart.baseline:,.4g}"
        axes.axhline(chart.baseline, color=BASELINE, lw=1.3, ls=(0, (6, 3)), label=text, zorder=2)
    if chart.threshold is not None:
        text = f"threshold {chart.threshold:,.4g}"
        axes.axhline(chart.threshold, color=THRESHOLD, lw=1.3, ls=(0, (2, 2)), label=text, zorder=2)
    _set_scales(axes, chart)
    _draw_marks(axes, chart)
    title = textwrap.fill(chart.title, TITLE_WIDTH)
    axes.set_title(title, loc="left", fontsize=10.5, pad=28 if chart.marks else 8)
    axes.legend(loc="upper left", ncols=4, fontsize=8.5, frameon=True, framealpha=0.85, edgecolor="none")


def _draw_lonely(axes: "Axes", times: list[float], values: list[float]) -> None:
    """A sample between two gaps has no line that would show it."""
    lonely = [
        n
        for n, value in enumerate(values)
        if not math.isnan(value)
        and (n == 0 or math.isnan(values[n - 1]))
        and (n + 1 == len(values) or math.isnan(values[n + 1]))
    ]
    if lonely:
        axes.plot([times[n] for n in lonely], [values[n] for n in lonely], ".", color=SERIES, ms=4, zorder=3)


def _draw_marks(axes: "Axes", chart: Chart) -> None:
    for mark in chart.marks:
        axes.axvline(_day(mark.at), color=MARK, lw=1.1, ls="-", zorder=2)
    for place, mark in enumerate(chart.marks[:MAX_LABELLED_MARKS]):
        axes.annotate(
            mark.label,
            (_day(mark.at), 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3 + 10 * (place % 2)),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=MARK,
            annotation_clip=False,
        )


def _set_scales(axes: "Axes", chart: Chart) -> None:
    """Time as people read it; the value axis from zero, with room for the legend above the series."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.xaxis_date(tz=UTC)
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))  # type: ignore[no-untyped-call]
    if chart.starts:
        first, last = (datetime.fromtimestamp(at, UTC) for at in (chart.starts[0], chart.starts[-1]))
        axes.set_xlabel(f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC", fontsize=8.5)
    axes.set_ylabel(chart.unit)
    axes.margins(x=0.01)
    axes.grid(axis="y", color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    levels = [chart.baseline, chart.threshold, *chart.values]
    known = [level for level in levels if level is not None and math.isfinite(level)]
    if known:
        low, high = min(0.0, *known), max(0.0, *known)
        size = (high - low) or 1.0
        axes.set_ylim(low - (0.05 * size if low < 0 else 0), high + 0.22 * size)


def _day(at_s: float) -> float:
    """Seconds since the epoch as matplotlib counts dates: in days since the epoch."""
    return at_s / 86400
