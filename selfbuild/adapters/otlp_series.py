"""The series of one application out of OTLP points."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from selfbuild.adapters.declared import declared_series, expression_series
from selfbuild.adapters.otlp_json import MetricPoint
from selfbuild.adapters.otlp_streams import NS, Cell, Points, by_period, increments, milliseconds_per, within_period
from selfbuild.adapters.periods import Span
from selfbuild.domain.applications import Application, DeclaredMetric
from selfbuild.domain.telemetry import ArmCounts, CallEdge, Measure, ReleaseSeen, Series

MAX_RELEASES = 50


class Metrics:
    """Points of one application in the periods of a span."""

    def __init__(self, application: Application, points: Sequence[MetricPoint], span: Span) -> None:
        self._application = application
        self._telemetry = application.telemetry
        self._span = span
        self.points = points

    @classmethod
    def of(
        cls, application: Application, points: Iterable[MetricPoint], span: Span, problems: Counter[str]
    ) -> "Metrics":
        """Out of points as they were read; what cannot be put into periods is counted in `problems`."""
        added = within_period(increments(points, problems), span.period_s, problems)
        return cls(application, [p for p in added if span.start * NS <= p.time_ns <= span.end * NS], span)

    def of_tenant(self) -> "Metrics":
        """The points of the application's tenant alone."""
        telemetry = self._telemetry
        return self._with({telemetry.tenant_dimension: self._application.tenant_id})

    def of_release(self, component: str, release: str) -> "Metrics":
        """The points of a release of a component."""
        return self._with({self._telemetry.component_dimension: component, self._telemetry.release_dimension: release})

    def components(self) -> list[str]:
        """Components that points name."""
        return list(self._split(self._telemetry.component_dimension))

    def series(self) -> tuple[Series, ...]:
        """Every series with at least one sample: measures, calls and declared metrics of each component."""
        found: list[Series] = []
        for component, own in self._split(self._telemetry.component_dimension).items():
            measures = own._measures()
            found += [
                Series.of(
                    points,
                    period_s=self._span.period_s,
                    component=component,
                    measure=measure,
                    metric=metric,
                    unit=unit,
                )
                for measure, metric, unit, points in measures
                if points
            ]
            found += own._calls(component)
            found += own._declared(component, {measure: points for measure, _, _, points in measures})
        found += [made for metric in self._telemetry.metrics if metric.dimensions for made in self._fixed(metric)]
        return tuple(found)

    def calls(self) -> tuple[CallEdge, ...]:
        """Calls by caller and callee."""
        return tuple(
            CallEdge(caller=component, callee=callee, calls=sum(points.values()))
            for component, own in self._split(self._telemetry.component_dimension).items()
            for callee, points in own._by_callee().items()
        )

    def releases(self) -> tuple[ReleaseSeen, ...]:
        """The newest releases that points name, dated to the periods."""
        found: list[ReleaseSeen] = []
        for release, own in self._split(self._telemetry.release_dimension).items():
            cells = own._cells(self._telemetry.requests_metric)
            if cells:
                first, last = min(cells), max(cells) + self._span.period_s
                seen = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
                found.append(ReleaseSeen(release=release, first_seen=seen[0], last_seen=seen[1]))
        found.sort(key=lambda one: (one.last_seen, one.first_seen, one.release), reverse=True)
        return tuple(found[:MAX_RELEASES])

    def latency_percentile(self, percent: float) -> float | None:
        """Over all periods, in milliseconds."""
        points = tuple(p for cell in self._cells(self._telemetry.latency_metric).values() for p in cell.points)
        samples = Cell(points).samples(_scale(Cell(points))) if points else None
        return None if samples is None else samples.percentile(percent)

    def requests_errors_latency(self) -> tuple[dict[float, Cell], dict[float, Cell], dict[float, Cell]]:
        """The cells of each, by period."""
        telemetry = self._telemetry
        names = (telemetry.requests_metric, telemetry.errors_metric, telemetry.latency_metric)
        requests, errors, latency = (self._cells(name) for name in names)
        return requests, errors, latency

    def _with(self, attributes: Mapping[str, str]) -> "Metrics":
        own = [p for p in self.points if all(p.attributes.get(key) == value for key, value in attributes.items())]
        return Metrics(self._application, own, self._span)

    def _split(self, dimension: str) -> dict[str, "Metrics"]:
        """Points by the value of an attribute, sorted by it; those without it are left out."""
        found: dict[str, list[MetricPoint]] = {}
        for point in self.points:
            if value := point.attributes.get(dimension):
                found.setdefault(value, []).append(point)
        return {value: Metrics(self._application, found[value], self._span) for value in sorted(found)}

    def _cells(self, metric: str) -> dict[float, Cell]:
        own = (point for point in self.points if point.name == metric)
        return by_period(own, self._span.starts, self._span.period_s)

    def _measures(self) -> list[tuple[Measure, str, str, Points]]:
        telemetry = self._telemetry
        requests, errors, latency = self.requests_errors_latency()
        return [
            (Measure.REQUESTS, telemetry.requests_metric, "Count", {at: c.amount() for at, c in requests.items()}),
            (Measure.ERRORS, telemetry.errors_metric, "Count", {at: c.amount() for at, c in errors.items()}),
            (Measure.LATENCY_P50, telemetry.latency_metric, "Milliseconds", _percentiles(latency, 50.0)),
            (Measure.LATENCY_P95, telemetry.latency_metric, "Milliseconds", _percentiles(latency, 95.0)),
            (
                Measure.LATENCY_MEAN,
                telemetry.latency_metric,
                "Milliseconds",
                _present({at: cell.mean(_scale(cell)) for at, cell in latency.items()}),
            ),
        ]

    def _by_callee(self) -> dict[str, Points]:
        telemetry = self._telemetry
        split = self._split(telemetry.callee_dimension)
        found = {callee: own._cells(telemetry.calls_metric) for callee, own in split.items()}
        return {callee: {at: c.amount() for at, c in cells.items()} for callee, cells in found.items() if cells}

    def _calls(self, component: str) -> list[Series]:
        return [
            Series.of(
                points,
                period_s=self._span.period_s,
                component=component,
                measure=Measure.CALLS,
                metric=f"{self._telemetry.calls_metric} {callee}",
                unit="Count",
            )
            for callee, points in self._by_callee().items()
        ]

    def _declared(self, component: str, measures: dict[Measure, Points]) -> list[Series]:
        telemetry, period_s = self._telemetry, self._span.period_s
        operands = {
            "requests": measures[Measure.REQUESTS],
            "errors": measures[Measure.ERRORS],
            "latency": measures[Measure.LATENCY_MEAN],
        }
        found: list[Series | None] = []
        for metric in telemetry.metrics:
            if metric.expression is not None:
                starts = self._span.starts
                found.append(
                    expression_series(
                        metric, operands, starts, component=component, telemetry=telemetry, period_s=period_s
                    )
                )
            elif not metric.dimensions:
                found += self._statistic(metric, component)
        return [series for series in found if series is not None]

    def _fixed(self, metric: DeclaredMetric) -> list[Series]:
        return self._with(metric.dimensions)._statistic(metric, metric.component or self._application.name)

    def _statistic(self, metric: DeclaredMetric, component: str) -> list[Series]:
        cells = self._cells(metric.name)
        points = _present({at: cell.statistic(metric.statistic) for at, cell in cells.items()})
        if not points:
            return []
        telemetry, period_s = self._telemetry, self._span.period_s
        return [declared_series(metric, points, component=component, telemetry=telemetry, period_s=period_s)]


def arm_counts(arm: Metrics, slow_ms: float) -> dict[float, ArmCounts]:
    """Counts of an arm in each period in which requests, errors and latency were reported."""
    requests, errors, latency = arm.requests_errors_latency()
    found: dict[float, ArmCounts] = {}
    for period in requests.keys() & errors.keys() & latency.keys():
        samples = latency[period].samples(_scale(latency[period]))
        if samples is not None and len(samples.values):
            found[period] = ArmCounts(
                requests=round(requests[period].amount()),
                errors=round(errors[period].amount()),
                slow=round(samples.above(slow_ms)),
                p50_ms=samples.percentile(50.0),
                p95_ms=samples.percentile(95.0),
            )
    return found


def _scale(cell: Cell) -> float:
    return milliseconds_per(cell.points[0].unit)


def _percentiles(cells: dict[float, Cell], percent: float) -> Points:
    samples = {at: cell.samples(_scale(cell)) for at, cell in cells.items()}
    return _present({at: own.percentile(percent) for at, own in samples.items() if own is not None})


def _present(values: dict[float, float | None]) -> Points:
    return {at: value for at, value in values.items() if value is not None and math.isfinite(value)}
