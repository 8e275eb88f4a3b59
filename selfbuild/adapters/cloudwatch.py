"""Telemetry source for CloudWatch: metrics by GetMetricData, errors by Logs Insights.

Never invents a sample: a period without a datapoint is absent, an arm that reported nothing is None.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from selfbuild.adapters.aws import make_client
from selfbuild.adapters.cloudwatch_logs import LogReader
from selfbuild.adapters.cloudwatch_metrics import (
    MetricQuery,
    MetricReader,
    Points,
    Span,
    closed_span,
    covering_period_s,
)
from selfbuild.domain.applications import Application
from selfbuild.domain.telemetry import ArmCounts, Bucket, Measure, Series, TelemetryWindow

SETTLE = timedelta(seconds=2)
"""How long after its end a period counts as closed: the application sends its log lines in batches of a second."""
_MILLISECONDS, _COUNT = "Milliseconds", "Count"

_log = structlog.get_logger()

__all__ = ["CloudWatchSource", "make_client"]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class CloudWatchSource:
    """Reads the telemetry of one application; threads may share it.

    Args:
        cloudwatch: boto3 client for metrics.
        logs: boto3 client for logs.
        clock: Tells which periods are closed.
        settle: How long after its end a period counts as closed.
        sleep: Waits between polls of a log query.
    """

    def __init__(
        self,
        cloudwatch: Any,
        logs: Any,
        clock: Callable[[], datetime] = utc_now,
        *,
        settle: timedelta = SETTLE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._logs = logs
        self._clock = clock
        self._settle = settle
        self._sleep = sleep

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """Metric series and error groups, of the application's tenant alone.

        Only metrics with exactly the dimensions component and tenant are read. CloudWatch keeps periods below a
        minute for three hours.
        """
        metrics = self._metrics(application)
        span = self._span(baseline_start, end, period_s)
        window_start, window_end = self._aligned(start, end, period_s)
        components = self._components(metrics, application)
        measures = _measures(application)
        queries = [
            MetricQuery(metric, _of_tenant(application, component), statistic, unit)
            for component in components
            for _, metric, statistic, unit in measures
        ]
        points = iter(metrics.read(queries, span))
        series = [
            Series.of(p, period_s=period_s, component=component, measure=measure, metric=metric, unit=unit)
            for component in components
            for measure, metric, _, unit in measures
            if (p := next(points))
        ]
        logs = LogReader(self._logs, sleep=self._sleep)
        groups = logs.error_groups(application, start=window_start, end=window_end)
        window = TelemetryWindow(
            baseline_start=baseline_start,
            start=window_start,
            end=window_end,
            period_s=period_s,
            series=tuple(series),
            error_groups=groups,
            source="cloudwatch",
            api_calls=metrics.api_calls + logs.api_calls,
            metrics_requested=metrics.metrics_requested,
            log_bytes_scanned=logs.bytes_scanned,
            log_events_matched=logs.events_matched,
        )
        _log.debug("window.collected", series=len(series), groups=len(groups), api_calls=window.api_calls)
        return window

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """The 95th percentile of each of the tenant's components as `release` served it, to all tenants as in `arms`.

        One period that covers the window is asked for; where its boundaries cut the window in two, the parts are
        weighted by their samples.
        """
        metrics = self._metrics(application)
        telemetry = application.telemetry
        components = self._components(metrics, application)
        period_s = covering_period_s((end - start).total_seconds())
        queries = [
            MetricQuery(
                telemetry.latency_metric, _of_release(application, component, release), statistic, _MILLISECONDS
            )
            for component in components
            for statistic in ("p95", "SampleCount")
        ]
        points = iter(metrics.read(queries, Span(start.timestamp(), end.timestamp(), period_s)))
        percentiles = {component: _weighted(next(points), next(points)) for component in components}
        return {component: value for component, value in percentiles.items() if value is not None}

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
        """Counts of both arms, one bucket a component and closed period, also where both arms are silent.

        An arm is None in a period unless requests, errors and latency were all reported: an application publishes
        Errors 0 or 1 with each request, so that a period without them was not measured rather than free of them.
        """
        metrics = self._metrics(application)
        span = self._span(start, end, period_s)
        pairs = [(component, release) for component in sorted(slow_ms) for release in (canary, baseline)]
        queries = [
            query
            for component, release in pairs
            for query in _arm_queries(application, component, release, slow_ms=slow_ms[component])
        ]
        points = iter(metrics.read(queries, span))
        read = {pair: [next(points) for _ in range(5)] for pair in pairs}
        return tuple(
            Bucket(
                start=period,
                component=component,
                canary=_arm_counts(read[component, canary], period),
                baseline=_arm_counts(read[component, baseline], period),
            )
            for component in sorted(slow_ms)
            for period in span.starts
        )

    def _metrics(self, application: Application) -> MetricReader:
        return MetricReader(self._cloudwatch, namespace=application.telemetry.namespace)

    def _span(self, start: datetime, end: datetime, period_s: int) -> Span:
        return closed_span(start, end, period_s=period_s, closed_until=self._clock() - self._settle)

    def _aligned(self, start: datetime, end: datetime, period_s: int) -> tuple[datetime, datetime]:
        """The window cut to closed periods, so that errors from logs and requests from metrics cover the same time."""
        span = self._span(start, end, period_s)
        if span.start >= span.end:
            return start, end
        return datetime.fromtimestamp(span.start, UTC), datetime.fromtimestamp(span.end, UTC)

    @staticmethod
    def _components(metrics: MetricReader, application: Application) -> list[str]:
        telemetry = application.telemetry
        tenant = (telemetry.tenant_dimension, application.tenant_id)
        return metrics.dimension_values(of=telemetry.component_dimension, where=tenant)


def _measures(application: Application) -> list[tuple[Measure, str, str, str]]:
    """Measure, metric, statistic and unit of each series."""
    telemetry = application.telemetry
    return [
        (Measure.REQUESTS, telemetry.requests_metric, "Sum", _COUNT),
        (Measure.ERRORS, telemetry.errors_metric, "Sum", _COUNT),
        (Measure.LATENCY_P50, telemetry.latency_metric, "p50", _MILLISECONDS),
        (Measure.LATENCY_P95, telemetry.latency_metric, "p95", _MILLISECONDS),
        (Measure.LATENCY_MEAN, telemetry.latency_metric, "Average", _MILLISECONDS),
    ]


def _arm_queries(application: Application, component: str, release: str, *, slow_ms: float) -> list[MetricQuery]:
    telemetry = application.telemetry
    dimensions = _of_release(application, component, release)
    slow = f"TC({slow_ms:.3f}:)"
    return [
        MetricQuery(telemetry.requests_metric, dimensions, "Sum", _COUNT),
        MetricQuery(telemetry.errors_metric, dimensions, "Sum", _COUNT),
        MetricQuery(telemetry.latency_metric, dimensions, slow, _MILLISECONDS),
        MetricQuery(telemetry.latency_metric, dimensions, "p50", _MILLISECONDS),
        MetricQuery(telemetry.latency_metric, dimensions, "p95", _MILLISECONDS),
    ]


def _of_tenant(application: Application, component: str) -> tuple[tuple[str, str], ...]:
    telemetry = application.telemetry
    return (telemetry.component_dimension, component), (telemetry.tenant_dimension, application.tenant_id)


def _of_release(application: Application, component: str, release: str) -> tuple[tuple[str, str], ...]:
    telemetry = application.telemetry
    return (telemetry.component_dimension, component), (telemetry.release_dimension, release)


def _arm_counts(points: list[Points], period: float) -> ArmCounts | None:
    """The arm in one period. A count of slow requests may be absent where a median shows there were only fast ones."""
    requests, errors, slow, p50, p95 = (p.get(period) for p in points)
    if requests is None or errors is None or p50 is None:
        return None
    return ArmCounts(
        requests=round(requests),
        errors=round(errors),
        slow=round(slow or 0.0),
        p50_ms=p50,
        p95_ms=p95,
    )


def _weighted(percentiles: Points, counts: Points) -> float | None:
    weights = {start: counts.get(start, 0.0) for start in percentiles}
    samples = sum(weights.values())
    if not samples:
        return None
    return sum(percentiles[start] * weight for start, weight in weights.items()) / samples
