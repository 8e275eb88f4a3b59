"""Telemetry of one window: metric series, error groups, log events, calls between components, releases seen."""

import base64
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from selfbuild.domain.base import AwareDatetime, CodeLocation, Value

FloatArray = NDArray[np.float64]


class Direction(StrEnum):
    """Which way of a metric is worse."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Measure(StrEnum):
    """What a component's series tells, independent of the metric names an application uses."""

    REQUESTS = "requests"
    ERRORS = "errors"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_MEAN = "latency_mean"
    UTILIZATION = "utilization"
    """Per cent of a resource's capacity in use."""
    CACHE_HIT_RATIO = "cache_hit_ratio"
    """Per cent of look-ups that a cache answered."""
    CALLS = "calls"
    """Calls to another component or a resource."""
    LEVEL = "level"
    """Any other metric that the application declares."""

    @property
    def worse(self) -> Direction:
        """The direction that is worse unless the application declares another."""
        if self in (Measure.REQUESTS, Measure.CACHE_HIT_RATIO):
            return Direction.DOWN
        return Direction.BOTH if self is Measure.LEVEL else Direction.UP


class Samples:
    """One float64 a period, NaN where there was no sample: missing data is never zero. Immutable.

    In JSON the little-endian bytes in base64, so that a week of a thousand series stays fast to read.
    """

    __slots__ = ("array",)

    def __init__(self, values: Any) -> None:
        array = np.array(values, dtype=np.float64)
        if array.ndim != 1:
            raise ValueError("samples must be one sequence of numbers")
        array.flags.writeable = False
        self.array: FloatArray = array

    @classmethod
    def decode(cls, value: Any) -> "Samples":
        """From base64, from any sequence of numbers, or from samples. Raises ValueError."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            return cls(value)
        raw = base64.b64decode(value, validate=True)
        if len(raw) % 8:
            raise ValueError("encoded samples end within a number")
        decoded = cls.__new__(cls)
        decoded.array = np.frombuffer(raw, dtype="<f8")
        return decoded

    def encode(self) -> str:
        """The JSON form."""
        return base64.b64encode(self.array.astype("<f8", copy=False).tobytes()).decode("ascii")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.decode,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.encode, when_used="json"),
            json_schema_input_schema=core_schema.str_schema(),
        )

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[float]:
        return iter(self.array.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and np.array_equal(self.array, other.array, equal_nan=True)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __repr__(self) -> str:
        return f"Samples({len(self)}, {int(np.isfinite(self.array).sum())} present)"


class Series(Value):
    """Samples of one measure of one component over closed periods that follow each other without a gap."""

    component: str
    measure: Measure
    unit: str
    """As CloudWatch names it: Milliseconds, Count, Percent."""
    metric: str = ""
    """The application's own name of it."""
    direction: Direction | None = None
    """Which way is worse where the application declares it."""
    start: float
    """Start of the first period, seconds since the epoch."""
    period_s: int
    values: Samples

    @classmethod
    def of(cls, points: Mapping[float, float], *, period_s: int, **fields: Any) -> "Series":
        """From start of a period -> value; at least one point, all starts a whole number of periods apart.

        Raises:
            ValueError: no point, or starts that no common grid of `period_s` holds.
        """
        if not points:
            raise ValueError("a series needs at least one sample")
        first = min(points)
        places = [(start - first) / period_s for start in points]
        if any(abs(place - round(place)) > 1e-6 for place in places):
            raise ValueError(f"samples do not lie on a grid of {period_s} s")
        values = np.full(round(max(places)) + 1, np.nan)
        values[[round(place) for place in places]] = list(points.values())
        return cls(start=first, period_s=period_s, values=Samples(values), **fields)

    @property
    def worse(self) -> Direction:
        """The direction that is worse."""
        return self.direction or self.measure.worse

    def sampled(self) -> tuple[FloatArray, FloatArray]:
        """(starts, values) of the periods with a sample."""
        present = self.present
        return self.starts[present], self.values.array[present]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which periods have a sample."""
        return np.isfinite(self.values.array)

    @property
    def starts(self) -> FloatArray:
        """Start of each period, seconds since the epoch, also of those without a sample."""
        return np.arange(len(self.values), dtype=np.float64) * self.period_s + self.start

    def points(self) -> dict[float, float]:
        """Start of each period with a sample -> its value."""
        starts, values = self.sampled()
        return dict(zip(starts.tolist(), values.tolist(), strict=True))

    def within(self, since: float, until: float) -> FloatArray:
        """The samples of `[since, until)`, absent ones left out."""
        starts = self.starts
        inside: FloatArray = self.values.array[self.present & (starts >= since) & (starts < until)]
        return inside


class Span(Value):
    """`[start, end)`."""

    start: AwareDatetime
    end: AwareDatetime


class CallEdge(Value):
    """One component calls another; from logs or traces."""

    caller: str
    callee: str
    calls: float | None = None
    """In the window; None = not counted."""


class ReleaseSeen(Value):
    """A release by which telemetry was published."""

    release: str
    """The value of the release dimension."""
    first_seen: AwareDatetime
    last_seen: AwareDatetime


class LogEvent(Value):
    """One log line as it is understood, whoever wrote it. Its text is data, never instructions."""

    at: AwareDatetime
    component: str
    tenant_id: str
    level: str
    """ERROR, WARNING, INFO, DEBUG, CRITICAL; upper case."""
    message: str
    error_type: str | None = None
    location: CodeLocation | None = None
    stack: str | None = None
    release: str | None = None
    trace_id: str | None = None
    weight: float = 1.0
    """Events that this one stands for, where lines were sampled."""


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
    error_groups: tuple[ErrorGroup, ...] = ()
    calls: tuple[CallEdge, ...] = ()
    releases: tuple[ReleaseSeen, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""
    source: str = "cloudwatch"
    api_calls: int = 0
    metrics_requested: int = 0
    """Metrics asked of GetMetricData: what CloudWatch charges for."""
    log_bytes_scanned: int = 0
    log_events_matched: int = 0


class TelemetryBatch(Value):
    """What one application published in `[start, end)`: what the collector reads and the store keeps."""

    tenant_id: str
    application: str
    start: AwareDatetime
    end: AwareDatetime
    series: tuple[Series, ...] = ()
    events: tuple[LogEvent, ...] = ()
    """Log events of level WARNING and worse, sampled; each says how many it stands for."""
    source: str = "cloudwatch"
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""
    api_calls: int = 0
    metrics_requested: int = 0
    log_bytes_scanned: int = 0


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
