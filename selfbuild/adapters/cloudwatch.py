"""Telemetry source for CloudWatch: metrics by GetMetricData, errors by Logs Insights, events by FilterLogEvents.

Never invents a sample: a period without a datapoint is absent, an arm that reported nothing is None.
Keeps nothing between two calls, so that nothing of one tenant reaches another.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from selfbuild.adapters.aws import Calls, lacks_permission, make_client
from selfbuild.adapters.cloudwatch_log_events import LineReader, ReadLimits
from selfbuild.adapters.cloudwatch_log_groups import group_names
from selfbuild.adapters.cloudwatch_logs import ErrorReader
from selfbuild.adapters.cloudwatch_metrics import (
    MetricQuery,
    MetricReader,
    Points,
    covering_period_s,
)
from selfbuild.adapters.cloudwatch_series import COUNT, MILLISECONDS, SeriesReader, busiest
from selfbuild.adapters.log_lines import KEPT_LEVELS, sampled
from selfbuild.adapters.periods import Span, closed_span
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import AccessDenied
from selfbuild.domain.telemetry import ArmCounts, Bucket, LogEvent, TelemetryBatch, TelemetryWindow

SETTLE = timedelta(seconds=2)
"""How long after its end a period counts as closed: the application sends its log lines in batches of a second."""

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
        insights_byte_budget: Bytes that the log query of one collection may scan, by estimate; None = no bound.
        limits: What reading the log events of one batch may take.
    """

    def __init__(
        self,
        cloudwatch: Any,
        logs: Any,
        clock: Callable[[], datetime] = utc_now,
        *,
        settle: timedelta = SETTLE,
        sleep: Callable[[float], None] = time.sleep,
        insights_byte_budget: int | None = None,
        limits: ReadLimits | None = None,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._logs = logs
        self._clock = clock
        self._settle = settle
        self._sleep = sleep
        self._insights_byte_budget = insights_byte_budget
        self._limits = limits or ReadLimits()

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """Metric series, calls, releases and error groups, of the application's tenant alone.

        Only metrics with exactly the dimensions component and tenant name a component. CloudWatch keeps periods
        below a minute for three hours. Where the logs may not be read the window comes without error groups and
        with a note; every other failure is raised.
        """
        metrics = self._metrics(application)
        reader = SeriesReader(metrics, application)
        span = self._span(baseline_start, end, period_s)
        window_start, window_end = self._aligned(start, end, period_s)
        read = reader.read(span, now=self._clock())
        releases, release_notes = reader.releases(span, busiest(read.series))
        errors = self._error_reader(calls := Calls(self._logs, "logs"), application)
        found = errors.read(window_start, window_end)
        _log.debug("window.collected", series=len(read.series), groups=len(found.groups))
        return TelemetryWindow(
            baseline_start=baseline_start,
            start=window_start,
            end=window_end,
            period_s=period_s,
            series=read.series,
            calls=read.calls,
            releases=releases,
            error_groups=found.groups,
            notes=(*read.notes, *release_notes, *found.notes),
            api_calls=metrics.api_calls + calls.made,
            metrics_requested=metrics.metrics_requested,
            log_bytes_scanned=errors.bytes_scanned,
            log_events_matched=found.events_matched,
        )

    def batch(
        self, application: Application, *, start: datetime, end: datetime, period_s: int, sampling_rate: float
    ) -> TelemetryBatch:
        """Every series and the sampled log events of the closed periods, which the batch's start and end name.

        Without a closed period the batch is empty and ends where it starts. The weights of a kind's events add up
        to the events that were read; what bounds left unread is a note.
        """
        metrics = self._metrics(application)
        span = self._span(start, end, period_s)
        first, last = span.times
        read = SeriesReader(metrics, application).read(span, now=self._clock())
        calls = Calls(self._logs, "logs")
        events, notes = self._events(calls, application, first, last, sampling_rate)
        _log.debug("batch.read", series=len(read.series), events=len(events))
        return TelemetryBatch(
            tenant_id=application.tenant_id,
            application=application.name,
            start=first,
            end=last,
            series=read.series,
            events=events,
            source="cloudwatch",
            notes=(*read.notes, *notes),
            api_calls=metrics.api_calls + calls.made,
            metrics_requested=metrics.metrics_requested,
        )

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """The 95th percentile of each of the tenant's components as `release` served it, to all tenants as in `arms`.

        One period that covers the window is asked for; where its boundaries cut the window in two, the parts are
        weighted by their samples.
        """
        metrics = self._metrics(application)
        reader = SeriesReader(metrics, application)
        components = reader.components()
        period_s = covering_period_s((end - start).total_seconds())
        queries = [
            MetricQuery(
                application.telemetry.latency_metric, reader.of_release(component, release), statistic, MILLISECONDS
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

    def _error_reader(self, calls: Calls, application: Application) -> ErrorReader:
        return ErrorReader(
            calls, application, sleep=self._sleep, byte_budget=self._insights_byte_budget, now=self._clock()
        )

    def _events(
        self, calls: Calls, application: Application, start: datetime, end: datetime, sampling_rate: float
    ) -> tuple[tuple[LogEvent, ...], tuple[str, ...]]:
        """Sampled events and notes."""
        if start >= end:
            return (), ()
        try:
            names, notes = group_names(calls, application.telemetry.log_group)
        except AccessDenied as error:
            if not lacks_permission(error):
                raise
            return (), (f"log events were not read: {error}",)
        reader = LineReader(calls, application, limits=self._limits)
        read = reader.read(names, levels=KEPT_LEVELS, start=start, end=end)
        events = sampled((line.event for line in read.lines), rate=sampling_rate)
        return events, (*notes, *read.notes)


def _arm_queries(application: Application, component: str, release: str, *, slow_ms: float) -> list[MetricQuery]:
    telemetry = application.telemetry
    dimensions = ((telemetry.component_dimension, component), (telemetry.release_dimension, release))
    slow = f"TC({slow_ms:.3f}:)"
    return [
        MetricQuery(telemetry.requests_metric, dimensions, "Sum", COUNT),
        MetricQuery(telemetry.errors_metric, dimensions, "Sum", COUNT),
        MetricQuery(telemetry.latency_metric, dimensions, slow, MILLISECONDS),
        MetricQuery(telemetry.latency_metric, dimensions, "p50", MILLISECONDS),
        MetricQuery(telemetry.latency_metric, dimensions, "p95", MILLISECONDS),
    ]


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
