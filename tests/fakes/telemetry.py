"""A telemetry source over requests held in memory, for the contract suite and for workflows."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, median

from selfbuild.analysis.fingerprint import fingerprint_of, mask
from selfbuild.domain.applications import Application
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import ArmCounts, Bucket, ErrorGroup, Measure, Series, TelemetryWindow


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
        series = [
            one
            for component in sorted({r.component for r in own})
            for one in _series(component, [r for r in own if r.component == component], closed, period_s)
        ]
        failed = [r for r in own if r.error and start.timestamp() <= r.at < end.timestamp()]
        return TelemetryWindow(
            baseline_start=baseline_start,
            start=start,
            end=end,
            period_s=period_s,
            series=tuple(series),
            error_groups=_groups(failed),
            source="fake",
            log_events_matched=len(failed),
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


def _series(component: str, own: list[ServedRequest], periods: list[float], period_s: int) -> list[Series]:
    by_period = {p: [r for r in own if p <= r.at < p + period_s] for p in periods}
    filled = {period: served for period, served in by_period.items() if served}
    measures: list[tuple[Measure, str, Callable[[list[ServedRequest]], float]]] = [
        (Measure.REQUESTS, "Count", len),
        (Measure.ERRORS, "Count", lambda served: sum(r.error is not None for r in served)),
        (Measure.LATENCY_P50, "Milliseconds", lambda served: median(r.latency_ms for r in served)),
        (Measure.LATENCY_P95, "Milliseconds", lambda served: _percentile([r.latency_ms for r in served], 0.95)),
        (Measure.LATENCY_MEAN, "Milliseconds", lambda served: fmean(r.latency_ms for r in served)),
    ]
    return [
        Series.of(
            {start: float(value(served)) for start, served in filled.items()},
            period_s=period_s,
            component=component,
            measure=measure,
            unit=unit,
        )
        for measure, unit, value in measures
        if filled
    ]


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
