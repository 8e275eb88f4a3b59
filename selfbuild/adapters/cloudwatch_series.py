"""The series of one application: its own measures, the metrics it declares, calls between components, releases."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import NamedTuple

from selfbuild.adapters.cloudwatch_metrics import (
    MAX_DATAPOINTS,
    MAX_QUERIES,
    Dimensions,
    ListedMetric,
    MetricQuery,
    MetricReader,
    Points,
    kept_for_s,
)
from selfbuild.adapters.declared import check_declared, declared_series, expression_series
from selfbuild.adapters.periods import Span
from selfbuild.domain.applications import Application, DeclaredMetric
from selfbuild.domain.telemetry import CallEdge, Measure, ReleaseSeen, Series

MAX_RELEASES = 50
COMPONENTS_PER_RELEASE = 5
"""The busiest components date a release; asking all of them would cost as much as the window."""
MILLISECONDS, COUNT = "Milliseconds", "Count"


class SeriesRead(NamedTuple):
    """What was read, and what could not be."""

    series: tuple[Series, ...]
    calls: tuple[CallEdge, ...]
    notes: tuple[str, ...]


class _Wanted(NamedTuple):
    """One series to ask for."""

    query: MetricQuery
    component: str
    measure: Measure
    declared: DeclaredMetric | None = None
    callee: str | None = None


class SeriesReader:
    """Reads the series of one application's tenant; one use."""

    def __init__(self, metrics: MetricReader, application: Application) -> None:
        check_declared(application)
        self._metrics = metrics
        self._application = application
        self._telemetry = application.telemetry
        self._notes: list[str] = []

    def read(self, span: Span, *, now: datetime) -> SeriesRead:
        """Every series with at least one sample in the span.

        Raises:
            InvalidRequest: a declared metric is wrong.
        """
        if not span.periods:
            return SeriesRead((), (), ())
        self._note_retention(span, now)
        listed = list(self._of_tenant())
        components = self.components(listed)
        wanted = [*self._measures(components), *self._declared(listed), *self._calls(listed, components)]
        points = self._metrics.read([one.query for one in wanted], span)
        points = self._without_unit(wanted, points, span)
        read = list(zip(wanted, points, strict=True))
        series = [self._series(one, found, span.period_s) for one, found in read if found]
        series += self._expressions(read, components, span)
        edges = [_edge(one, found) for one, found in read if found and one.callee is not None]
        return SeriesRead(tuple(series), tuple(edges), tuple(self._notes))

    def components(self, listed: Iterable[ListedMetric] | None = None) -> list[str]:
        """Components of the tenant: those with a metric of exactly the dimensions component and tenant."""
        own = {self._telemetry.component_dimension, self._telemetry.tenant_dimension}
        metrics = self._of_tenant() if listed is None else listed
        return sorted(
            {m.dimensions[self._telemetry.component_dimension] for m in metrics if m.dimensions.keys() == own}
        )

    def releases(self, span: Span, components: Sequence[str]) -> tuple[tuple[ReleaseSeen, ...], tuple[str, ...]]:
        """The newest releases that served one of `components`, busiest first, in the span, and notes.

        One call of GetMetricData: each release is looked for at the busiest of its components.
        Where the span has too many periods for that, longer ones date the releases, which a note then says.
        """
        pairs, notes = self._release_pairs(components)
        if not pairs or not span.periods:
            return (), tuple(notes)
        coarse = _coarse(span, len(pairs))
        if coarse.period_s != span.period_s:
            notes.append(f"releases are dated to periods of {coarse.period_s} s")
        metric = self._telemetry.requests_metric
        queries = [MetricQuery(metric, self.of_release(c, release), "Sum", COUNT) for release, c in pairs]
        seen: dict[str, list[float]] = {}
        for (release, _), points in zip(pairs, self._metrics.read(queries, coarse), strict=True):
            seen.setdefault(release, []).extend(points)
        found = [_release_seen(release, starts, coarse, span) for release, starts in seen.items() if starts]
        found.sort(key=lambda one: (one.last_seen, one.first_seen, one.release), reverse=True)
        if len(found) > MAX_RELEASES:
            notes.append(f"{len(found) - MAX_RELEASES} older releases are left out")
        return tuple(found[:MAX_RELEASES]), tuple(notes)

    def of_tenant(self, component: str) -> Dimensions:
        """Dimensions of the tenant's metrics of a component."""
        telemetry = self._telemetry
        return (telemetry.component_dimension, component), (telemetry.tenant_dimension, self._application.tenant_id)

    def of_release(self, component: str, release: str) -> Dimensions:
        """Dimensions of a release's metrics of a component."""
        return (self._telemetry.component_dimension, component), (self._telemetry.release_dimension, release)

    def _of_tenant(self, namespace: str | None = None) -> Iterable[ListedMetric]:
        telemetry = self._telemetry
        wanted = {telemetry.component_dimension: None, telemetry.tenant_dimension: self._application.tenant_id}
        return self._metrics.listed(dimensions=wanted, namespace=namespace)

    def _measures(self, components: Sequence[str]) -> list[_Wanted]:
        telemetry = self._telemetry
        measures = [
            (Measure.REQUESTS, telemetry.requests_metric, "Sum", COUNT),
            (Measure.ERRORS, telemetry.errors_metric, "Sum", COUNT),
            (Measure.LATENCY_P50, telemetry.latency_metric, "p50", MILLISECONDS),
            (Measure.LATENCY_P95, telemetry.latency_metric, "p95", MILLISECONDS),
            (Measure.LATENCY_MEAN, telemetry.latency_metric, "Average", MILLISECONDS),
        ]
        return [
            _Wanted(MetricQuery(metric, self.of_tenant(component), statistic, unit), component, measure)
            for component in components
            for measure, metric, statistic, unit in measures
        ]

    def _declared(self, listed: Sequence[ListedMetric]) -> list[_Wanted]:
        """Queries of the declared metrics; one that belongs to components only where it is published."""
        wanted: list[_Wanted] = []
        published: dict[str | None, Sequence[ListedMetric]] = {None: listed, self._telemetry.namespace: listed}
        for metric in self._telemetry.metrics:
            if metric.expression is not None:
                continue
            if metric.dimensions:
                component = metric.component or self._application.name
                wanted.append(self._asked(metric, tuple(metric.dimensions.items()), component))
                continue
            if metric.namespace not in published:
                published[metric.namespace] = list(self._of_tenant(metric.namespace))
            places = self.components(m for m in published[metric.namespace] if m.name == metric.name)
            wanted += [self._asked(metric, self.of_tenant(component), component) for component in places]
        return wanted

    @staticmethod
    def _asked(metric: DeclaredMetric, dimensions: Dimensions, component: str) -> _Wanted:
        query = MetricQuery(metric.name, dimensions, metric.statistic, metric.unit, metric.namespace)
        return _Wanted(query, component, metric.measure, declared=metric)

    def _calls(self, listed: Sequence[ListedMetric], components: Sequence[str]) -> list[_Wanted]:
        """Queries of the calls of each of the tenant's components, by tenant where they are published so."""
        telemetry = self._telemetry
        caller, callee = telemetry.component_dimension, telemetry.callee_dimension
        tenant = telemetry.tenant_dimension
        own = [
            m for m in listed if m.name == telemetry.calls_metric and m.dimensions.keys() == {caller, callee, tenant}
        ]
        if not own:
            found = self._metrics.listed(dimensions={caller: None, callee: None}, name=telemetry.calls_metric)
            known = set(components)
            own = [m for m in found if m.dimensions.keys() == {caller, callee} and m.dimensions[caller] in known]
        own.sort(key=lambda m: (m.dimensions[caller], m.dimensions[callee]))
        return [
            _Wanted(
                MetricQuery(m.name, tuple(m.dimensions.items()), "Sum", COUNT),
                m.dimensions[caller],
                Measure.CALLS,
                callee=m.dimensions[callee],
            )
            for m in own
        ]

    def _without_unit(self, wanted: Sequence[_Wanted], points: list[Points], span: Span) -> list[Points]:
        """Asks once more, without naming a unit, for the application's metrics that no component has in their unit.

        A metric that some components publish in its unit is read in that unit alone: without one CloudWatch mixes
        samples of all units.
        """
        read = {one.query.metric for one, found in zip(wanted, points, strict=True) if found}
        again = [n for n, one in enumerate(wanted) if one.declared is None and one.query.metric not in read]
        answers = self._metrics.read([wanted[n].query._replace(unit=None) for n in again], span) if again else []
        for n, found in zip(again, answers, strict=True):
            points[n] = found
            query = wanted[n].query
            note = f"{query.metric}: published in another unit than {query.unit} or without one; read as {query.unit}"
            if found and note not in self._notes:
                self._notes.append(note)
        return points

    def _series(self, one: _Wanted, points: Points, period_s: int) -> Series:
        if one.declared is not None:
            return declared_series(
                one.declared, points, component=one.component, telemetry=self._telemetry, period_s=period_s
            )
        metric = one.query.metric if one.callee is None else call_metric(one.query.metric, one.callee)
        unit = one.query.unit or COUNT
        return Series.of(
            points, period_s=period_s, component=one.component, measure=one.measure, metric=metric, unit=unit
        )

    def _expressions(
        self, read: Sequence[tuple[_Wanted, Points]], components: Sequence[str], span: Span
    ) -> list[Series]:
        operand = {Measure.REQUESTS: "requests", Measure.ERRORS: "errors", Measure.LATENCY_MEAN: "latency"}
        expressions = [metric for metric in self._telemetry.metrics if metric.expression is not None]
        found: list[Series] = []
        for component in components if expressions else ():
            operands = {
                operand[one.measure]: points
                for one, points in read
                if one.declared is None and one.component == component and one.measure in operand
            }
            made = (
                expression_series(
                    metric,
                    operands,
                    span.starts,
                    component=component,
                    telemetry=self._telemetry,
                    period_s=span.period_s,
                )
                for metric in expressions
            )
            found += [series for series in made if series is not None]
        return found

    def _release_pairs(self, components: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
        """(release, component) pairs to ask for, at most a call's worth, each release once before any twice."""
        telemetry = self._telemetry
        own = {telemetry.component_dimension, telemetry.release_dimension}
        known = set(components)
        by_release: dict[str, set[str]] = {}
        listed = self._metrics.listed(dimensions=dict.fromkeys(sorted(own)), name=telemetry.requests_metric)
        for metric in listed:
            component = metric.dimensions[telemetry.component_dimension]
            if metric.dimensions.keys() == own and component in known:
                by_release.setdefault(metric.dimensions[telemetry.release_dimension], set()).add(component)
        busiest = {
            release: [(release, c) for c in components if c in served_by][:COMPONENTS_PER_RELEASE]
            for release, served_by in sorted(by_release.items())
        }
        ranks = zip_longest(*busiest.values())
        pairs = [pair for rank in ranks for pair in rank if pair is not None]
        notes = []
        if len(by_release) > MAX_QUERIES:
            notes.append(f"{len(by_release) - MAX_QUERIES} of {len(by_release)} releases were not looked for")
        return pairs[:MAX_QUERIES], notes

    def _note_retention(self, span: Span, now: datetime) -> None:
        kept_s = kept_for_s(span.period_s)
        if kept_s is not None and now.timestamp() - span.start > kept_s:
            self._notes.append(
                f"CloudWatch keeps periods of {span.period_s} s for {kept_s / 3600:g} h: "
                f"samples before {datetime.fromtimestamp(now.timestamp() - kept_s, UTC):%Y-%m-%dT%H:%M:%SZ} are gone"
            )


def call_metric(metric: str, callee: str) -> str:
    """Metric name of a series of calls: it tells a caller's callees apart."""
    return f"{metric} {callee}"


def busiest(series: Iterable[Series]) -> list[str]:
    """Components by their requests, most first."""
    requests: dict[str, float] = {}
    for one in series:
        if one.measure is Measure.REQUESTS:
            requests[one.component] = float(one.within(-math.inf, math.inf).sum())
    return sorted(requests, key=lambda component: (-requests[component], component))


def _edge(one: _Wanted, points: Points) -> CallEdge:
    return CallEdge(caller=one.component, callee=one.callee or "", calls=sum(points.values()))


def _coarse(span: Span, queries: int) -> Span:
    """The span in the shortest periods of which one answer holds all."""
    room = MAX_DATAPOINTS // queries
    if span.periods <= room:
        return span
    period_s = math.ceil((span.end - span.start) / (room - 1) / 60) * 60
    start = span.start // period_s * period_s
    return Span(start, start + math.ceil((span.end - start) / period_s) * period_s, period_s)


def _release_seen(release: str, starts: Sequence[float], coarse: Span, span: Span) -> ReleaseSeen:
    return ReleaseSeen(
        release=release,
        first_seen=datetime.fromtimestamp(max(min(starts), span.start), UTC),
        last_seen=datetime.fromtimestamp(min(max(starts) + coarse.period_s, span.end), UTC),
    )
