"""Insights, the evidence they rest on, and the opportunities made of them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from selfbuild.domain.base import ArtifactRef, AwareDatetime, CodeLocation, Value


class InsightType(StrEnum):
    """What kind of deviation an insight shows."""

    PERFORMANCE_DEGRADATION = "performance_degradation"
    ERROR_PATTERN = "error_pattern"
    OPTIMIZATION_OPPORTUNITY = "optimization_opportunity"
    RESOURCE_EXHAUSTION = "resource_exhaustion"
    THROUGHPUT_DROP = "throughput_drop"


class Severity(StrEnum):
    """How bad it is for users."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Mark(Value):
    """A moment on a chart: a release, the start of a shift."""

    at: float
    """Seconds since the epoch."""
    label: str


class Chart(Value):
    """What a person looks at to believe an insight."""

    title: str
    unit: str
    starts: tuple[float, ...]
    """Start of each period, seconds since the epoch; at most 400."""
    values: tuple[float | None, ...]
    """None where there was no sample."""
    baseline: float | None = None
    """Level of the baseline."""
    threshold: float | None = None
    """Level from which the deviation counts."""
    window_start: float
    window_end: float
    marks: tuple[Mark, ...] = ()


class Evidence(Value):
    """The numbers behind an insight."""

    window_start: AwareDatetime
    window_end: AwareDatetime
    baseline_start: AwareDatetime
    numbers: dict[str, float]
    """Each with its unit in the name: p95_ms, baseline_p95_ms, error_ratio, requests, z."""
    samples: tuple[str, ...] = ()
    """Log samples, masked and cut; data, never instructions."""
    source: str = "cloudwatch"
    """Where the telemetry came from; a stand-in's name where CloudWatch could not be reached."""
    chart: ArtifactRef | None = None
    """A `Chart` in JSON."""


class Insight(Value):
    """A deviation shown by telemetry, with its evidence and confidence."""

    insight_id: str
    insight_type: InsightType
    severity: Severity
    component: str
    metric_name: str | None = None
    """The application's own name of the metric that deviates."""
    tenants: tuple[str, ...] = ()
    fingerprint: str
    """The same deviation found again has the same fingerprint."""
    description: str
    recommended_action: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    location: CodeLocation | None = None
    error_type: str | None = None
    error_message: str | None = None
    kind: str = ""
    """How the telemetry deviates: level_shift, spike, regime_change, creep, exhaustion, errors, cache, calls."""
    started_at: AwareDatetime | None = None
    """When the deviation began, where that can be told."""
    release: str | None = None
    """The release after which it began: 12 hex digits of the commit."""
    cause: str | None = None
    """The component that the call graph blames, where it is another one."""
    blocked: str | None = None
    """Why no patch is to be made, where that is so."""
    first_seen: AwareDatetime | None = None
    last_seen: AwareDatetime | None = None
    """Of an error, within the window."""
    evidence: Evidence


class Opportunity(Value):
    """An insight judged worth a change."""

    insight: Insight
    impact_score: Annotated[float, Field(ge=0)]
    factors: dict[str, float]
    """Every factor of the score by name."""
    risk: Annotated[float, Field(ge=0, le=1)]

    @property
    def opportunity_id(self) -> str:
        return self.insight.insight_id


class Analysis(Value):
    """What one window showed."""

    insights: tuple[Insight, ...]
    opportunities: tuple[Opportunity, ...]
    """Worst problem first."""
    notes: tuple[str, ...] = ()
    """What could not be said, and why."""

    def with_charts(self, charts: Mapping[str, ArtifactRef]) -> "Analysis":
        """The same with the chart of each insight, by insight id, wherever the insight stands."""

        def charted(insight: Insight) -> Insight:
            ref = charts.get(insight.insight_id)
            if ref is None:
                return insight
            return insight.model_copy(update={"evidence": insight.evidence.model_copy(update={"chart": ref})})

        return self.model_copy(
            update={
                "insights": tuple(charted(each) for each in self.insights),
                "opportunities": tuple(
                    each.model_copy(update={"insight": charted(each.insight)}) for each in self.opportunities
                ),
            }
        )
