"""Telemetry source over a folder of OTLP JSON files, for places that do not reach CloudWatch.

OTLP rather than Prometheus exposition: the file exporter of the OpenTelemetry Collector writes metrics and logs
alike, each point bears its own time, so that history needs no second store, and histograms keep their buckets,
exponential ones included. An exposition is one moment of counters, without logs.

Never invents a sample: a period without a point is absent; a point that covers several periods belongs to none.
Keeps nothing between two calls, so that nothing of one tenant reaches another.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from selfbuild.adapters.declared import check_declared
from selfbuild.adapters.log_lines import sampled
from selfbuild.adapters.otlp_events import event_of
from selfbuild.adapters.otlp_folder import FolderReader
from selfbuild.adapters.otlp_json import LogRecord, MetricPoint, points_of, records_of
from selfbuild.adapters.otlp_series import Metrics, arm_counts
from selfbuild.adapters.periods import Span, closed_span
from selfbuild.analysis.error_groups import ERROR_LEVELS, group_errors
from selfbuild.domain.applications import Application
from selfbuild.domain.telemetry import Bucket, LogEvent, TelemetryBatch, TelemetryWindow

SOURCE = "otlp-files"
LOOKBACK = timedelta(minutes=10)
"""How far before a window states of cumulative streams are looked for; collectors export every minute or oftener."""
KEPT_LEVELS = ERROR_LEVELS | {"WARNING"}

_log = structlog.get_logger()


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass
class _Read:
    """What the files hold of one request."""

    points: list[MetricPoint] = field(default_factory=list)
    records: list[LogRecord] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be used, counted."""
        return tuple(f"{problem}: {count}" for problem, count in sorted(self.problems.items()))


class OtlpFilesSource:
    """Reads the telemetry of one application from files; threads may share it.

    Args:
        folder: Where the collector's file exporter writes; files end in .json or .jsonl, perhaps with .gz.
        clock: Tells which periods are closed.
        settle: How long after its end a period counts as closed: at least the exporter's interval.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = utc_now, *, settle: timedelta = timedelta(seconds=10)
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._settle = settle

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """Metric series, calls, releases and error groups of the application's tenant.

        Raises:
            NotFound: there is no such folder.
            AccessDenied, Unreachable: a file cannot be read.
        """
        check_declared(application)
        span = self._span(baseline_start, end, period_s)
        window = self._span(start, end, period_s)
        read = self._read(span, [application.tenant_id])
        metrics = Metrics.of(application, read.points, span, read.problems).of_tenant()
        window_start, window_end = window.times if window.periods else (start, end)
        events = list(_events(read.records, application, window_start, window_end))
        groups = group_errors(events)
        _log.debug("window.collected", series=len(metrics.points), groups=len(groups))
        return TelemetryWindow(
            baseline_start=baseline_start,
            start=window_start,
            end=window_end,
            period_s=period_s,
            series=metrics.series(),
            calls=metrics.calls(),
            releases=metrics.releases(),
            error_groups=groups,
            notes=read.notes,
            source=SOURCE,
            log_events_matched=sum(event.level in ERROR_LEVELS for event in events),
        )

    def batch(
        self, application: Application, *, start: datetime, end: datetime, period_s: int, sampling_rate: float
    ) -> TelemetryBatch:
        """Every series and the sampled log events of the closed periods, which the batch's start and end name.

        Raises:
            As `collect`.
        """
        check_declared(application)
        span = self._span(start, end, period_s)
        first, last = span.times
        read = self._read(span, [application.tenant_id]) if span.periods else _Read()
        metrics = Metrics.of(application, read.points, span, read.problems).of_tenant()
        events = [e for e in _events(read.records, application, first, last) if e.level in KEPT_LEVELS]
        return TelemetryBatch(
            tenant_id=application.tenant_id,
            application=application.name,
            start=first,
            end=last,
            series=metrics.series(),
            events=sampled(events, rate=sampling_rate),
            source=SOURCE,
            notes=read.notes,
        )

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """As the port says, over the requests of all tenants, for the components of the application's tenant."""
        seconds = max(1, round((end - start).total_seconds()))
        span = Span(start.timestamp(), start.timestamp() + seconds, seconds)
        read = self._read(span, [release, application.tenant_id])
        metrics = Metrics.of(application, read.points, span, read.problems)
        found = {
            component: metrics.of_release(component, release).latency_percentile(95.0)
            for component in metrics.of_tenant().components()
        }
        return {component: value for component, value in found.items() if value is not None}

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
        """As the port says, over the requests of all tenants.

        An arm is None in a period unless requests, errors and latency were all reported.
        """
        span = self._span(start, end, period_s)
        read = self._read(span, [canary, baseline])
        metrics = Metrics.of(application, read.points, span, read.problems)
        arms = {
            (component, release): arm_counts(metrics.of_release(component, release), slow_ms[component])
            for component in slow_ms
            for release in (canary, baseline)
        }
        return tuple(
            Bucket(
                start=period,
                component=component,
                canary=arms[component, canary].get(period),
                baseline=arms[component, baseline].get(period),
            )
            for component in sorted(slow_ms)
            for period in span.starts
        )

    def _span(self, start: datetime, end: datetime, period_s: int) -> Span:
        return closed_span(start, end, period_s=period_s, closed_until=self._clock() - self._settle)

    def _read(self, span: Span, needles: list[str]) -> _Read:
        """Points and records of the lines that hold one of `needles`, from before the span to its end."""
        start, end = span.times
        since = start - LOOKBACK
        first_ns, last_ns = round(since.timestamp() * 1e9), round(end.timestamp() * 1e9)
        read = _Read()
        folder = FolderReader(self._folder, since, needles, read.problems)
        for document in folder.documents():
            try:
                points, records = list(points_of(document)), list(records_of(document))
            except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
                read.problems["lines that are no OTLP"] += 1
                continue
            read.points += [point for point in points if first_ns <= point.time_ns <= last_ns]
            read.records += [record for record in records if first_ns <= record.time_ns < last_ns]
        return read


def _events(
    records: Iterable[LogRecord], application: Application, start: datetime, end: datetime
) -> Iterable[LogEvent]:
    for record in records:
        event = event_of(record, application)
        if event is not None and start <= event.at < end:
            yield event
