"""Telemetry of one window: metric series and error groups, as collected and as stored."""

from enum import StrEnum

from pydantic import model_validator

from selfbuild.domain.base import AwareDatetime, CodeLocation, Value


class Measure(StrEnum):
    """What a component's series tells, independent of the metric names an application uses."""

    REQUESTS = "requests"
    ERRORS = "errors"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_MEAN = "latency_mean"


class Series(Value):
    """Samples of one measure of one component over closed periods; a period without a sample is absent."""

    component: str
    measure: Measure
    unit: str
    """As CloudWatch names it: Milliseconds, Count."""
    starts: tuple[float, ...]
    """Start of each period, seconds since the epoch, ascending."""
    values: tuple[float, ...]

    @model_validator(mode="after")
    def _aligned(self) -> "Series":
        if len(self.starts) != len(self.values):
            raise ValueError("starts and values differ in length")
        return self


class ErrorGroup(Value):
    """Recurring errors of one cause."""

    fingerprint: str
    """Stable over releases, hosts and line shifts."""
    component: str
    error_type: str
    message: str
    """Masked example, at most 500 characters."""
    location: CodeLocation | None = None
    count: int
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    tenants: tuple[str, ...] = ()
    stack: str | None = None
    """One sample, at most 8,000 characters."""


class TelemetryWindow(Value):
    """All that was collected for one application over `[start, end)`; `[baseline_start, start)` came before."""

    baseline_start: AwareDatetime
    start: AwareDatetime
    end: AwareDatetime
    period_s: int
    series: tuple[Series, ...]
    error_groups: tuple[ErrorGroup, ...]
    source: str = "cloudwatch"
    api_calls: int = 0
    metrics_requested: int = 0
    """Metrics asked of GetMetricData: what CloudWatch charges for."""
    log_bytes_scanned: int = 0
    log_events_matched: int = 0


class ArmCounts(Value):
    """What one arm served in one period. Counts add up and can be tested exactly; percentiles cannot."""

    requests: int
    errors: int
    slow: int
    """Requests slower than the threshold frozen before the deploy."""
    p50_ms: float | None = None
    p95_ms: float | None = None


class Bucket(Value):
    """One period of one component on both arms; an arm that reported nothing is None, never zero."""

    start: float
    """Seconds since the epoch."""
    component: str
    canary: ArmCounts | None
    baseline: ArmCounts | None
