"""Judges whether stored telemetry is complete, and whether it has a past to compare with. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from selfbuild.analysis.anomaly import MIN_HISTORY, SHORT_WINDOW_S
from selfbuild.analysis.detect import MIN_PAST, MIN_RECENT
from selfbuild.domain.applications import Application, TelemetryConfig
from selfbuild.domain.streams import StreamState
from selfbuild.domain.telemetry import Measure, Series, Span
from selfbuild.telemetry_views import (
    ApplicationBaseline,
    ApplicationTelemetry,
    ComponentTelemetry,
    GapView,
    Problem,
    SeriesBaseline,
)

LATENCY = frozenset({Measure.LATENCY_P50, Measure.LATENCY_P95, Measure.LATENCY_MEAN})
BASIC = LATENCY | {Measure.REQUESTS, Measure.ERRORS}
MIN_COVERAGE_PERCENT = 90.0
"""Periods with a sample below which comparisons rest on too little."""
MAX_GAPS = 20
"""Longest gaps shown of a component."""
STALE_S = 900.0
"""Silence and lag that need somebody's look; longer where periods are long."""
STALE_PERIODS = 3
MAX_MISSING_DIFFERENCE = 25.0
"""Percentage points by which a window may have more gaps than its past and still be compared with it."""
NO_COLLECTION = Problem(
    problem="no collection has run",
    remedy="set ENABLE_CLOUDWATCH_STREAMING=true and start a worker; 'selfbuild status' shows cloudwatch_streamer",
)


# Telemetry


def check_telemetry(
    application: Application,
    series: Sequence[Series],
    covered: Sequence[Span],
    state: StreamState | None,
    *,
    since: datetime,
    now: datetime,
) -> ApplicationTelemetry:
    """What one application's telemetry of `[since, now)` lacks.

    Args:
        application: Whose telemetry it is; remedies name its metrics.
        series: Of that time.
        covered: What the collection has read of it.
        state: How far the collection has come; None where none has run.
        since: Start.
        now: End; the newest period may not be over or not be collected yet and is then not asked for.
    """
    until = _collected_until(covered, now, state)
    names = sorted({each.component for each in series if each.measure in BASIC})
    components = []
    for name in names:
        own = [each for each in series if each.component == name and each.measure in BASIC]
        components.append(_component(application.telemetry, name, own, covered, since=since, until=until, now=now))
    problems = _collection_problems(state, now)
    if not components:
        problems.append(
            Problem(
                problem="no component published requests, errors or latency",
                remedy=f"publish {application.telemetry.requests_metric!r} to {application.telemetry.namespace!r} "
                f"with the dimensions {application.telemetry.component_dimension!r} and "
                f"{application.telemetry.tenant_dimension!r}={application.tenant_id!r}",
            )
        )
    return ApplicationTelemetry(
        tenant_id=application.tenant_id,
        application=application.name,
        healthy=not problems and not any(component.problems for component in components),
        source=state.source if state else None,
        collected_percent=_collected_percent(covered, since, until),
        lag_seconds=_rounded(state.lag_at(now)) if state else None,
        components=tuple(components),
        notes=state.notes if state else (),
        problems=tuple(problems),
    )


def _collection_problems(state: StreamState | None, now: datetime) -> list[Problem]:
    if state is None:
        return [NO_COLLECTION]
    lag = state.lag_at(now)
    if lag is None:
        return [Problem(problem="the backfill is not done", remedy="wait: a week takes a few minutes")]
    if lag > max(STALE_S, STALE_PERIODS * state.interval_s):
        return [
            Problem(
                problem=f"the collection is {lag / 60:.0f} min behind",
                remedy="'selfbuild status' shows why: is a worker up, does CloudWatch answer?",
            )
        ]
    return []


def _component(
    telemetry: TelemetryConfig,
    name: str,
    series: Sequence[Series],
    covered: Sequence[Span],
    *,
    since: datetime,
    until: datetime,
    now: datetime,
) -> ComponentTelemetry:
    period = min(each.period_s for each in series)
    starts, present = _presence(series, period, since.timestamp(), until.timestamp())
    gaps = _gaps(starts, present, period, covered)
    newest = max((float(each.sampled()[0][-1]) + each.period_s for each in series if each.present.any()), default=None)
    age = None if newest is None else max(0.0, now.timestamp() - newest)
    measures = {each.measure for each in series if each.present.any()}
    share = 100.0 * float(present.mean()) if len(present) else 0.0
    return ComponentTelemetry(
        component=name,
        requests=Measure.REQUESTS in measures,
        errors=Measure.ERRORS in measures,
        latency=bool(measures & LATENCY),
        coverage_percent=round(share, 2),
        period_seconds=period,
        gaps=tuple(sorted(sorted(gaps, key=lambda gap: -gap.periods)[:MAX_GAPS], key=lambda gap: gap.start)),
        gap_count=len(gaps),
        newest_at=None if newest is None else _at(newest - period),
        age_seconds=_rounded(age),
        problems=tuple(_component_problems(telemetry, measures, share=share, gaps=gaps, age=age, period=period)),
    )


def _component_problems(
    telemetry: TelemetryConfig,
    measures: set[Measure],
    *,
    share: float,
    gaps: Sequence[GapView],
    age: float | None,
    period: int,
) -> Iterable[Problem]:
    if Measure.REQUESTS not in measures:
        remedy = f"publish {telemetry.requests_metric!r}: without it no error ratio and no impact can be told"
        yield Problem(problem="no requests", remedy=remedy)
    if Measure.ERRORS not in measures:
        remedy = f"publish {telemetry.errors_metric!r} with 0 too: no sample does not mean no error"
        yield Problem(problem="no errors metric", remedy=remedy)
    if not measures & LATENCY:
        remedy = f"publish {telemetry.latency_metric!r} in milliseconds: without it no slowness can be found"
        yield Problem(problem="no latency", remedy=remedy)
    if age is not None and age > max(STALE_S, STALE_PERIODS * period):
        remedy = "is the component running and does it have traffic? Look at its own logs"
        yield Problem(problem=f"silent for {age / 60:.0f} min", remedy=remedy)
    if share < MIN_COVERAGE_PERCENT:
        lost = sum(gap.periods for gap in gaps if gap.cause == "not_collected")
        remedy = (
            "let the collection run without a break; it reads back what CloudWatch still has"
            if lost * 2 > sum(gap.periods for gap in gaps)
            else "where traffic is low, raise CLOUDWATCH_METRICS_PERIOD; else see the gaps for when publishing stopped"
        )
        yield Problem(problem=f"{share:.0f} % of the periods have a sample", remedy=remedy)


def _presence(
    series: Sequence[Series], period: int, since: float, until: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(starts, whether any series has a sample) of the whole periods of `[since, until)`."""
    first = np.ceil(since / period) * period
    starts = np.arange(first, max(first, until - period + 1e-6), period, dtype=np.float64)
    present = np.zeros(len(starts), dtype=bool)
    for each in series:
        sampled = each.sampled()[0]
        for offset in range(0, each.period_s, period):
            places = np.round((sampled + offset - first) / period).astype(np.int64)
            present[places[(places >= 0) & (places < len(present))]] = True
    return starts, present


def _gaps(
    starts: NDArray[np.float64], present: NDArray[np.bool_], period: int, covered: Sequence[Span]
) -> list[GapView]:
    gaps = []
    for missing, run in groupby(range(len(starts)), key=lambda place: not present[place]):
        places = list(run)
        if missing:
            start, end = float(starts[places[0]]), float(starts[places[-1]]) + period
            read = _seconds_read(covered, start, end)
            gaps.append(
                GapView(
                    start=_at(start),
                    end=_at(end),
                    periods=len(places),
                    cause="nothing_published" if read * 2 >= end - start else "not_collected",
                )
            )
    return gaps


def _collected_until(covered: Sequence[Span], now: datetime, state: StreamState | None) -> datetime:
    """The end of what can be asked for: the newest collected moment, unless the collection has fallen behind."""
    newest = max((span.end for span in covered), default=None)
    tolerated = max(STALE_S, STALE_PERIODS * state.interval_s) if state else STALE_S
    if newest is None or (now - newest).total_seconds() > tolerated:
        return now
    return min(newest, now)


def _seconds_read(covered: Sequence[Span], start: float, end: float) -> float:
    parts = (min(end, span.end.timestamp()) - max(start, span.start.timestamp()) for span in covered)
    return sum(part for part in parts if part > 0)


def _collected_percent(covered: Sequence[Span], since: datetime, until: datetime) -> float:
    whole = (until - since).total_seconds()
    if whole <= 0:
        return 0.0
    return round(min(100.0, 100 * _seconds_read(covered, since.timestamp(), until.timestamp()) / whole), 2)


# Baseline


def check_baseline(
    application: Application, series: Sequence[Series], *, baseline_start: datetime, start: datetime, now: datetime
) -> ApplicationBaseline:
    """Whether the window `[start, now)` of each series can be compared with `[baseline_start, start)`."""
    checked = tuple(_baseline(each, baseline_start=baseline_start, start=start, now=now) for each in series)
    problems: list[Problem] = []
    if not checked:
        problems.append(
            Problem(
                problem="the store holds no series",
                remedy="'selfbuild check telemetry' tells what is missing",
            )
        )
    return ApplicationBaseline(
        tenant_id=application.tenant_id,
        application=application.name,
        healthy=not problems and all(each.ready for each in checked),
        window_start=start,
        baseline_start=baseline_start,
        series=checked,
        problems=tuple(problems),
    )


def _baseline(series: Series, *, baseline_start: datetime, start: datetime, now: datetime) -> SeriesBaseline:
    since, at, until = (time.timestamp() for time in (baseline_start, start, now))
    history, window = series.within(since, at), series.within(at, until)
    starts = series.sampled()[0]
    past = starts[(starts >= since) & (starts < at)]
    span_s = at - float(past[0]) if len(past) else 0.0
    missing = _missing_percent(len(history), span_s, series.period_s)
    window_missing = _missing_percent(len(window), until - at, series.period_s)
    means = len(np.unique(np.floor_divide(past, SHORT_WINDOW_S)))
    enough = len(history) >= MIN_PAST and (means >= MIN_HISTORY or span_s >= (at - since) / 2)
    comparable = len(window) >= MIN_RECENT and window_missing - missing <= MAX_MISSING_DIFFERENCE
    flat = len(history) > 0 and float(np.ptp(history)) == 0.0
    return SeriesBaseline(
        component=series.component,
        measure=series.measure.value,
        metric=series.metric,
        period_seconds=series.period_s,
        ready=enough and comparable,
        history_days=round(span_s / 86400, 3),
        history_samples=len(history),
        missing_percent=missing,
        flat=flat,
        window_samples=len(window),
        window_missing_percent=window_missing,
        comparable=comparable,
        problems=tuple(
            _baseline_problems(
                series, enough=enough, comparable=comparable, window_samples=len(window), span_s=span_s, means=means
            )
        ),
        remarks=tuple(_remarks(series, flat=flat, span_s=span_s, wanted_s=at - since)),
    )


def _baseline_problems(
    series: Series, *, enough: bool, comparable: bool, window_samples: int, span_s: float, means: int
) -> Iterable[Problem]:
    if not enough:
        needed = MIN_HISTORY * SHORT_WINDOW_S / 3600
        yield Problem(
            problem=f"{span_s / 3600:.1f} h of history with samples in {means} half-hours: {MIN_HISTORY} are needed",
            remedy=f"wait until {needed:.0f} h are collected, or let the backfill run: CloudWatch may hold more",
        )
    if not comparable and window_samples < MIN_RECENT:
        yield Problem(
            problem=f"{window_samples} samples in the window: {MIN_RECENT} are needed",
            remedy=f"is {series.component!r} silent? 'selfbuild check telemetry' shows its gaps",
        )
    elif not comparable:
        yield Problem(
            problem="the window has many more gaps than its past",
            remedy="'selfbuild check telemetry' shows the gaps and their cause",
        )


def _remarks(series: Series, *, flat: bool, span_s: float, wanted_s: float) -> Iterable[str]:
    if flat and series.measure in LATENCY:
        yield "the history never changes: is the exporter stuck?"
    elif flat:
        yield "the history never changes: any change will stand out"
    if 0 < span_s < 86400 <= wanted_s:
        yield "less than a day of history: a daily rhythm is not known yet and can look like a change"


def _missing_percent(samples: int, span_s: float, period_s: int) -> float:
    periods = int(span_s // period_s)
    return round(100 * max(0.0, 1 - samples / periods), 2) if periods else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
