"""A telemetry source over requests held in memory, for the contract suite and for workflows."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean, median

from selfbuild.adapters.declared import check_declared, declared_series, expression_series, percentile_of
from selfbuild.adapters.log_lines import sampled
from selfbuild.analysis.fingerprint import fingerprint_of
from selfbuild.analysis.masks import mask
from selfbuild.domain.applications import Application
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import (
    ArmCounts,
    Bucket,
    CallEdge,
    ErrorGroup,
    LogEvent,
    Measure,
    ReleaseSeen,
    Series,
    TelemetryBatch,
    TelemetryWindow,
)


@dataclass(frozen=True)
class ServedError:
    """What a failed request logged."""

    error_type: str
    message: str
    file: str
    line: int
    function: str
    stack: str = ""


@dataclass(frozen=True)
class ServedRequest:
    """One request that an application served, as its log line tells."""

    at: float
    """Seconds since the epoch."""
    component: str = "topics"
    tenant_id: str = "acme"
    release: str = "base"
    latency_ms: float = 2.0
    error: ServedError | None = None
    warning: str | None = None
    """What it logged beside its result."""
    callees: tuple[str, ...] = ()
    """What it called, once each time it is named."""
    gauges: Mapping[str, float] = field(default_factory=dict)
    """Further metrics that it published."""


class FakeTelemetrySource:
    """Answers from `requests`, which tests extend at will; `failure` is raised by every call while it is set."""

    def __init__(self, requests: Iterable[ServedRequest], clock: Callable[[], datetime]) -> None:
        self.requests = list(requests)
        self.failure: Exception | None = None
        self._clock = clock

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """As the port says."""
        own = [r for r in self._answering() if r.tenant_id == application.tenant_id]
        closed = _whole_periods(baseline_start, min(end, self._clock()), period_s)
        failed = [r for r in own if r.error and start.timestamp() <= r.at < end.timestamp()]
        return TelemetryWindow(
            baseline_start=baseline_start,
            start=start,
            end=end,
            period_s=period_s,
            series=tuple(_all_series(application, own, closed, period_s)),
            calls=_edges(own, closed, period_s),
            releases=_releases(self.requests, own, closed, period_s),
            error_groups=_groups(failed),
            source="fake",
            log_events_matched=len(failed),
        )

    def batch(
        self, application: Application, *, start: datetime, end: datetime, period_s: int, sampling_rate: float
    ) -> TelemetryBatch:
        """As the port says."""
        own = [r for r in self._answering() if r.tenant_id == application.tenant_id]
        closed = _whole_periods(start, min(end, self._clock()), period_s)
        first = closed[0] if closed else math.ceil(start.timestamp() / period_s) * period_s
        last = closed[-1] + period_s if closed else first
        events = [_event(r) for r in own if first <= r.at < last and (r.error or r.warning)]
        return TelemetryBatch(
            tenant_id=application.tenant_id,
            application=application.name,
            start=datetime.fromtimestamp(first, UTC),
            end=datetime.fromtimestamp(last, UTC),
            series=tuple(_all_series(application, own, closed, period_s)),
            events=sampled(events, rate=sampling_rate),
            source="fake",
        )

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """As the port says."""
        served = [r for r in self._answering() if start.timestamp() <= r.at < end.timestamp()]
        components = {r.component for r in self.requests if r.tenant_id == application.tenant_id}
        latencies = {
            c: [r.latency_ms for r in served if r.component == c and r.release == release] for c in sorted(components)
        }
        return {component: _percentile(values, 0.95) for component, values in latencies.items() if values}

    def arms(
        self,
        application: Application,
        *,
        canary: str,
        baseline: str,
        slow_ms: Mapping[str, float],
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> tuple[Bucket, ...]:
        """As the port says."""
        served = self._answering()

        def arm(component: str, release: str, period: float) -> ArmCounts | None:
            own = [r for r in served if r.component == component and r.release == release]
            return _counts([r for r in own if period <= r.at < period + period_s], slow_ms[component])

        return tuple(
            Bucket(
                start=period,
                component=component,
                canary=arm(component, canary, period),
                baseline=arm(component, baseline, period),
            )
            for component in sorted(slow_ms)
            for period in _whole_periods(start, min(end, self._clock()), period_s)
        )

    def _answering(self) -> list[ServedRequest]:
        if self.failure is not None:
            raise self.failure
        return self.requests


def _whole_periods(start: datetime, end: datetime, period_s: int) -> list[float]:
    first, last = math.ceil(start.timestamp() / period_s), math.floor(end.timestamp() / period_s)
    return [float(n * period_s) for n in range(first, last)]


def _all_series(
    application: Application, own: list[ServedRequest], periods: list[float], period_s: int
) -> Iterator[Series]:
    check_declared(application)
    for component in sorted({r.component for r in own}):
        served = [r for r in own if r.component == component]
        yield from _series(application, component, _by_period(served, periods, period_s), periods, period_s)


def _by_period(served: list[ServedRequest], periods: list[float], period_s: int) -> dict[float, list[ServedRequest]]:
    by_period = {p: [r for r in served if p <= r.at < p + period_s] for p in periods}
    return {period: inside for period, inside in by_period.items() if inside}


def _series(
    application: Application,
    component: str,
    filled: dict[float, list[ServedRequest]],
    periods: list[float],
    period_s: int,
) -> Iterator[Series]:
    telemetry = application.telemetry
    metrics = [telemetry.requests_metric, telemetry.errors_metric, *[telemetry.latency_metric] * 3]
    points = [{start: float(value(served)) for start, served in filled.items()} for _, _, value in _MEASURES]
    for (measure, unit, _), metric, found in zip(_MEASURES, metrics, points, strict=True):
        if found:
            yield Series.of(found, period_s=period_s, component=component, measure=measure, metric=metric, unit=unit)
    for declared in telemetry.metrics:
        if declared.expression is not None:
            operands = {"requests": points[0], "errors": points[1], "latency": points[4]}
            made = expression_series(
                declared, operands, periods, component=component, telemetry=telemetry, period_s=period_s
            )
            yield from [made] if made else []
            continue
        values = {
            at: [r.gauges[declared.name] for r in inside if declared.name in r.gauges] for at, inside in filled.items()
        }
        found = {at: _statistic(declared.statistic, gauges) for at, gauges in values.items() if gauges}
        if found and not declared.dimensions:
            yield declared_series(declared, found, component=component, telemetry=telemetry, period_s=period_s)
    for callee in sorted({callee for inside in filled.values() for r in inside for callee in r.callees}):
        calls = {at: sum(float(r.callees.count(callee)) for r in inside) for at, inside in filled.items()}
        yield Series.of(
            {at: count for at, count in calls.items() if count},
            period_s=period_s,
            component=component,
            measure=Measure.CALLS,
            metric=f"{telemetry.calls_metric} {callee}",
            unit="Count",
        )


_MEASURES: list[tuple[Measure, str, Callable[[list[ServedRequest]], float]]] = [
    (Measure.REQUESTS, "Count", len),
    (Measure.ERRORS, "Count", lambda served: sum(r.error is not None for r in served)),
    (Measure.LATENCY_P50, "Milliseconds", lambda served: median(r.latency_ms for r in served)),
    (Measure.LATENCY_P95, "Milliseconds", lambda served: _percentile([r.latency_ms for r in served], 0.95)),
    (Measure.LATENCY_MEAN, "Milliseconds", lambda served: fmean(r.latency_ms for r in served)),
]


def _statistic(statistic: str, values: list[float]) -> float:
    share = percentile_of(statistic)
    if share is not None:
        return _percentile(values, share / 100)
    plain: dict[str, Callable[[list[float]], float]] = {"Average": fmean, "Sum": sum, "Minimum": min, "Maximum": max}
    return plain[statistic](values)


def _edges(own: list[ServedRequest], periods: list[float], period_s: int) -> tuple[CallEdge, ...]:
    counts: dict[tuple[str, str], int] = {}
    for request in own:
        for callee in request.callees if any(p <= request.at < p + period_s for p in periods) else ():
            counts[request.component, callee] = counts.get((request.component, callee), 0) + 1
    return tuple(CallEdge(caller=a, callee=b, calls=float(count)) for (a, b), count in sorted(counts.items()))


def _releases(
    served: list[ServedRequest], own: list[ServedRequest], periods: list[float], period_s: int
) -> tuple[ReleaseSeen, ...]:
    components = {r.component for r in own if any(p <= r.at < p + period_s for p in periods)}
    seen: dict[str, list[float]] = {}
    for request in served:
        starts = [p for p in periods if p <= request.at < p + period_s and request.component in components]
        seen.setdefault(request.release, []).extend(starts)
    found = [
        ReleaseSeen(
            release=release,
            first_seen=datetime.fromtimestamp(min(starts), UTC),
            last_seen=datetime.fromtimestamp(max(starts) + period_s, UTC),
        )
        for release, starts in seen.items()
        if starts
    ]
    return tuple(sorted(found, key=lambda one: (one.last_seen, one.first_seen, one.release), reverse=True)[:50])


def _event(served: ServedRequest) -> LogEvent:
    error = served.error
    return LogEvent(
        at=datetime.fromtimestamp(round(served.at, 3), UTC),
        component=served.component,
        tenant_id=served.tenant_id,
        level="ERROR" if error else "WARNING",
        message=error.message if error else served.warning or "",
        error_type=error.error_type if error else None,
        location=CodeLocation(path=error.file, line=error.line, function=error.function) if error else None,
        stack=error.stack or None if error else None,
        release=served.release,
    )


def _counts(served: list[ServedRequest], slow_ms: float) -> ArmCounts | None:
    if not served:
        return None
    latencies = [r.latency_ms for r in served]
    return ArmCounts(
        requests=len(served),
        errors=sum(r.error is not None for r in served),
        slow=sum(latency > slow_ms for latency in latencies),
        p50_ms=median(latencies),
        p95_ms=_percentile(latencies, 0.95),
    )


def _groups(failed: list[ServedRequest]) -> tuple[ErrorGroup, ...]:
    causes: dict[tuple[str, str], list[ServedRequest]] = {}
    for request in failed:
        assert request.error is not None
        key = fingerprint_of(request.error.error_type, request.error.message, request.error.stack)
        causes.setdefault((request.component, key), []).append(request)
    groups = [_group(fingerprint, component, served) for (component, fingerprint), served in causes.items()]
    return tuple(sorted(groups, key=lambda g: (-g.count, g.component, g.fingerprint)))


def _group(fingerprint: str, component: str, served: list[ServedRequest]) -> ErrorGroup:
    error = served[0].error
    assert error is not None
    return ErrorGroup(
        fingerprint=fingerprint,
        component=component,
        error_type=error.error_type,
        message=mask(error.message)[:500],
        location=CodeLocation(path=error.file, line=error.line, function=error.function),
        count=len(served),
        first_seen=datetime.fromtimestamp(min(r.at for r in served), UTC),
        last_seen=datetime.fromtimestamp(max(r.at for r in served), UTC),
        tenants=tuple(sorted({r.tenant_id for r in served})),
        stack=error.stack or None,
    )


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
