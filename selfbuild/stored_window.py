"""A window of telemetry out of the rolling store, in the form that is analysed."""

from collections import Counter
from datetime import datetime

from selfbuild.analysis.error_groups import group_errors
from selfbuild.domain.applications import Application
from selfbuild.domain.telemetry import Series, TelemetryWindow
from selfbuild.ports import TelemetryStore

MAX_EVENTS = 200_000
"""Log events of a window that are grouped; more are left out, newest first, and noted."""


def window_of(
    store: TelemetryStore, application: Application, *, baseline_start: datetime, start: datetime, end: datetime
) -> TelemetryWindow:
    """What the store holds of one application, without asking any source.

    Series of one period alone are taken, the one with most samples: a change of the interval leaves two behind.
    """
    found = store.series(application, start=baseline_start, end=end)
    series, notes = _of_one_period(found)
    events = store.events(application, start=start, end=end, limit=MAX_EVENTS)
    if len(events) == MAX_EVENTS:
        notes.append(f"only the newest {MAX_EVENTS} log events of the window were grouped")
    return TelemetryWindow(
        baseline_start=baseline_start,
        start=start,
        end=end,
        period_s=series[0].period_s if series else 60,
        series=series,
        error_groups=group_errors(events),
        notes=tuple(notes),
        source="store",
        log_events_matched=round(sum(event.weight for event in events)),
    )


def _of_one_period(found: tuple[Series, ...]) -> tuple[tuple[Series, ...], list[str]]:
    samples: Counter[int] = Counter()
    for series in found:
        samples[series.period_s] += int(series.present.sum())
    if len(samples) < 2:
        return found, []
    chosen = samples.most_common(1)[0][0]
    others = ", ".join(f"{period} s" for period in sorted(samples) if period != chosen)
    kept = tuple(series for series in found if series.period_s == chosen)
    return kept, [f"series with periods of {others} were left out: most samples have periods of {chosen} s"]
