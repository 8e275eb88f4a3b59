"""What callers are shown of stored telemetry: series, their points, and whether both are fit for the analysis."""

from typing import Literal

from selfbuild.domain.base import AwareDatetime
from selfbuild.views import View


class SeriesView(View):
    """One series that the store holds."""

    tenant_id: str
    application: str
    component: str
    measure: str
    metric: str
    """The application's own name."""
    unit: str
    period_seconds: int
    points: int
    oldest_at: AwareDatetime | None
    newest_at: AwareDatetime | None
    """Start of the newest period with a sample."""
    newest_value: float | None
    source: str | None
    """Where the collection reads it; None where no collection has run."""


class SeriesList(View):
    """What the store holds, by tenant, application, component and measure."""

    series: tuple[SeriesView, ...]


class PointView(View):
    """One period."""

    timestamp: AwareDatetime
    """Its start."""
    value: float | None
    """None where there was no sample: missing is never zero."""


class SeriesPoints(View):
    """One series, period for period."""

    tenant_id: str
    application: str
    component: str
    measure: str
    metric: str
    unit: str
    period_seconds: int
    statistic: str
    """`as stored`, or how stored periods were joined: `sum of 60 s periods`."""
    source: str | None
    missing: int
    """Periods without a sample."""
    points: tuple[PointView, ...]


class TelemetryPoints(View):
    """The answer to a query."""

    start: AwareDatetime
    end: AwareDatetime
    series: tuple[SeriesPoints, ...]


class Problem(View):
    """What is wrong, and what to do."""

    problem: str
    remedy: str


class GapView(View):
    """Periods in a row without a sample."""

    start: AwareDatetime
    end: AwareDatetime
    periods: int
    cause: Literal["not_collected", "nothing_published"]


class ComponentTelemetry(View):
    """What one component reports of itself."""

    component: str
    requests: bool
    errors: bool
    latency: bool
    coverage_percent: float
    """Periods with a sample, of those that should have one."""
    period_seconds: int
    gaps: tuple[GapView, ...]
    """The longest ones, by time."""
    gap_count: int
    newest_at: AwareDatetime | None
    age_seconds: float | None
    """Since the end of the newest period with a sample."""
    problems: tuple[Problem, ...]


class ApplicationTelemetry(View):
    """The telemetry of one application."""

    tenant_id: str
    application: str
    healthy: bool
    source: str | None
    collected_percent: float
    """Of the time asked for, how much the collection has read."""
    lag_seconds: float | None
    components: tuple[ComponentTelemetry, ...]
    notes: tuple[str, ...]
    """What the newest round of the collection could not read."""
    problems: tuple[Problem, ...]


class TelemetryCheck(View):
    """Whether telemetry arrives, and completely."""

    healthy: bool
    start: AwareDatetime
    end: AwareDatetime
    applications: tuple[ApplicationTelemetry, ...]


class SeriesBaseline(View):
    """Whether one series can be compared with its past."""

    component: str
    measure: str
    metric: str
    period_seconds: int
    ready: bool
    history_days: float
    """From the first sample before the window to the window."""
    history_samples: int
    missing_percent: float
    """Periods of that history without a sample."""
    flat: bool
    """The history never changes: every change will look certain, or the exporter is stuck."""
    window_samples: int
    window_missing_percent: float
    comparable: bool
    """Whether the window has enough samples of its own, and about as few gaps as its past."""
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...]


class ApplicationBaseline(View):
    """The baselines of one application."""

    tenant_id: str
    application: str
    healthy: bool
    window_start: AwareDatetime
    baseline_start: AwareDatetime
    series: tuple[SeriesBaseline, ...]
    problems: tuple[Problem, ...]


class BaselineCheck(View):
    """Whether the detector has a past to compare with."""

    healthy: bool
    checked_at: AwareDatetime
    applications: tuple[ApplicationBaseline, ...]
