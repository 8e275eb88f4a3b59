"""What callers can ask of the telemetry store. It reads; whose telemetry a caller may see is decided by `Agent`."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from selfbuild.domain.applications import Application
from selfbuild.domain.base import Value
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.errors import InvalidRequest, NotFound
from selfbuild.domain.streams import StreamState
from selfbuild.domain.telemetry import FloatArray, Measure, Samples, Series
from selfbuild.ports import Records, TelemetryStore
from selfbuild.telemetry_checks import check_baseline, check_telemetry
from selfbuild.telemetry_views import (
    BaselineCheck,
    PointView,
    SeriesList,
    SeriesPoints,
    SeriesView,
    TelemetryCheck,
    TelemetryPoints,
)

MAX_POINTS = 50_000
"""Periods of one answer, all series together: about 4 MB of JSON."""
DAY = timedelta(days=1)
AS_STORED = "as stored"
_SUMMED = (Measure.REQUESTS, Measure.ERRORS, Measure.CALLS)
_JOINS: dict[str, Callable[[FloatArray], float]] = {
    "sum": lambda values: float(values.sum()),
    "mean": lambda values: float(values.mean()),
    "maximum": lambda values: float(values.max()),
    "minimum": lambda values: float(values.min()),
}
_JOIN_OF_STATISTIC = {"Sum": "sum", "SampleCount": "sum", "Maximum": "maximum", "Minimum": "minimum"}


class TelemetryQuery(Value):
    """Which points a caller asks for."""

    tenant_id: str | None = None
    application: str | None = None
    component: str | None = None
    metric: str | None = None
    """The application's own name of it, in any case."""
    measure: Measure | None = None
    since_s: int = 86400
    period_s: int | None = None
    """None = as stored."""


class TelemetryDesk:
    """Lists, reads and checks stored telemetry of the applications it is given."""

    def __init__(self, store: TelemetryStore, records: Records, policy_of: Callable[[str], CyclePolicy]) -> None:
        self._store = store
        self._records = records
        self._policy_of = policy_of

    async def list_series(self, applications: Sequence[Application], *, component: str | None) -> SeriesList:
        """Every series that the store holds of the applications."""
        states = await self._states(applications)
        found: list[SeriesView] = []
        for application in applications:
            series = await asyncio.to_thread(self._all_series, application, component)
            found.extend(_series_view(application, each, states.get(application.key)) for each in series)
        return SeriesList(series=tuple(found))

    async def query(
        self, applications: Sequence[Application], query: TelemetryQuery, *, now: datetime
    ) -> TelemetryPoints:
        """The points of every series that matches, one a period; periods without a sample are None.

        Raises:
            InvalidRequest: neither metric nor measure, a period that cannot be made of the stored ones, too many
                points.
            NotFound: no series matches.
        """
        if query.metric is None and query.measure is None:
            raise InvalidRequest("metric or measure is missing: see 'selfbuild telemetry list' for what there is")
        since = now - timedelta(seconds=query.since_s)
        states = await self._states(applications)
        found: list[SeriesPoints] = []
        for application in applications:
            series = await asyncio.to_thread(
                self._store.series,
                application,
                start=since,
                end=now,
                component=query.component,
                measure=query.measure,
            )
            state = states.get(application.key)
            wanted = [each for each in series if _is_named(each, query.metric)]
            found.extend(_points(application, each, state, query.period_s, since=since, until=now) for each in wanted)
        if not found:
            raise NotFound(_nothing_of(query, since))
        if sum(len(each.points) for each in found) > MAX_POINTS:
            raise InvalidRequest(f"more than {MAX_POINTS:,} points: ask for less time, or for longer periods")
        return TelemetryPoints(start=since, end=now, series=tuple(found))

    async def check(self, applications: Sequence[Application], *, since: datetime, now: datetime) -> TelemetryCheck:
        """Whether the telemetry of `[since, now)` is there."""
        states = await self._states(applications)
        checked = []
        for application in applications:
            series = await asyncio.to_thread(self._store.series, application, start=since, end=now)
            covered = await asyncio.to_thread(self._store.coverage, application, start=since, end=now)
            state = states.get(application.key)
            checked.append(check_telemetry(application, series, covered, state, since=since, now=now))
        healthy = all(each.healthy for each in checked)
        return TelemetryCheck(healthy=healthy, start=since, end=now, applications=tuple(checked))

    async def check_baseline(self, applications: Sequence[Application], *, now: datetime) -> BaselineCheck:
        """Whether a cycle that started now could compare its window with the past."""
        checked = []
        for application in applications:
            policy = self._policy_of(application.tenant_id)
            start = now - timedelta(seconds=policy.analysis_window_s)
            baseline_start = start - timedelta(seconds=policy.baseline_window_s)
            series = await asyncio.to_thread(self._store.series, application, start=baseline_start, end=now)
            checked.append(check_baseline(application, series, baseline_start=baseline_start, start=start, now=now))
        healthy = all(each.healthy for each in checked)
        return BaselineCheck(healthy=healthy, checked_at=now, applications=tuple(checked))

    async def _states(self, applications: Sequence[Application]) -> dict[str, StreamState]:
        tenants = sorted({each.tenant_id for each in applications})
        states = await self._records.streams(tenants=tenants)
        return {f"{state.tenant_id}/{state.application}": state for state in states}

    def _all_series(self, application: Application, component: str | None) -> tuple[Series, ...]:
        size = self._store.size(application)
        if size.oldest is None or size.newest is None:
            return ()
        return self._store.series(application, start=size.oldest - DAY, end=size.newest + DAY, component=component)


def _is_named(series: Series, metric: str | None) -> bool:
    return metric is None or series.metric.casefold() == metric.casefold()


def _nothing_of(query: TelemetryQuery, since: datetime) -> str:
    what = f"metric {query.metric!r}" if query.metric is not None else f"measure {str(query.measure)!r}"
    where = f" of component {query.component!r}" if query.component is not None else ""
    return (
        f"the store holds no sample of {what}{where} since {since:%Y-%m-%d %H:%M} UTC: "
        "'selfbuild telemetry list' shows what it holds, 'selfbuild check telemetry' what is missing"
    )


def _series_view(application: Application, series: Series, state: StreamState | None) -> SeriesView:
    starts, values = series.sampled()
    return SeriesView(
        tenant_id=application.tenant_id,
        application=application.name,
        component=series.component,
        measure=series.measure.value,
        metric=series.metric,
        unit=series.unit,
        period_seconds=series.period_s,
        points=len(values),
        oldest_at=_at(starts[0]) if len(starts) else None,
        newest_at=_at(starts[-1]) if len(starts) else None,
        newest_value=float(values[-1]) if len(values) else None,
        source=state.source if state else None,
    )


def _points(
    application: Application,
    series: Series,
    state: StreamState | None,
    period_s: int | None,
    *,
    since: datetime,
    until: datetime,
) -> SeriesPoints:
    joined, statistic = series, AS_STORED
    if period_s is not None and period_s != series.period_s:
        join = _join_of(application, series)
        joined = join_periods(series, period_s, join=join)
        statistic = f"{join} of {series.period_s} s periods"
    whole = _padded(joined, since.timestamp(), until.timestamp())
    values = [float(value) if np.isfinite(value) else None for value in whole.values.array]
    return SeriesPoints(
        tenant_id=application.tenant_id,
        application=application.name,
        component=series.component,
        measure=series.measure.value,
        metric=series.metric,
        unit=series.unit,
        period_seconds=joined.period_s,
        statistic=statistic,
        source=state.source if state else None,
        missing=values.count(None),
        points=tuple(
            PointView(timestamp=_at(start), value=value)
            for start, value in zip(whole.starts.tolist(), values, strict=True)
        ),
    )


def join_periods(series: Series, period_s: int, *, join: str) -> Series:
    """The same series in longer periods, on whole multiples since the epoch; empty ones stay without a sample.

    Raises:
        InvalidRequest: `period_s` is no whole multiple of the series' own.
    """
    if period_s % series.period_s:
        raise InvalidRequest(
            f"period {period_s} s: the store holds {series.metric or series.measure.value} of {series.component!r} in "
            f"periods of {series.period_s} s: choose a whole multiple of that"
        )
    starts, values = series.sampled()
    places = np.floor_divide(starts, period_s).astype(np.int64)
    points = {float(place * period_s): _JOINS[join](values[places == place]) for place in np.unique(places).tolist()}
    return Series.of(points, period_s=period_s, **_names(series)) if points else series


def _join_of(application: Application, series: Series) -> str:
    if series.measure in _SUMMED:
        return "sum"
    declared = next((each for each in application.telemetry.metrics if each.name == series.metric), None)
    return _JOIN_OF_STATISTIC.get(declared.statistic, "mean") if declared else "mean"


def _padded(series: Series, since: float, until: float) -> Series:
    """The series over all periods that begin within `[since, until)` and have ended by `until`."""
    period = series.period_s
    before = max(0, int((series.start - since) // period))
    start = series.start - before * period
    count = max(0, int((until - start) // period))
    values = np.full(count, np.nan)
    own = series.values.array[: max(0, count - before)]
    values[before : before + len(own)] = own
    return series.model_copy(update={"start": start, "values": Samples(values)})


def _names(series: Series) -> dict[str, object]:
    return {
        "component": series.component,
        "measure": series.measure,
        "unit": series.unit,
        "metric": series.metric,
        "direction": series.direction,
    }


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
