"""The promised form of insights: query, list, summary, recommendations."""

from collections import Counter
from collections.abc import Sequence

from selfbuild.domain.base import AwareDatetime
from selfbuild.domain.insights import Insight, Severity
from selfbuild.views import View

MAX_INSIGHTS = 200
_WORST_FIRST = tuple(reversed(Severity))


class QueryParameters(View):
    """What was asked."""

    metric_name: str | None
    time_range_hours: int
    tenant_id: str | None


class InsightView(View):
    """One deviation shown by telemetry."""

    insight_id: str
    insight_type: str
    severity: str
    affected_component: str
    affected_tenants: tuple[str, ...]
    metrics: dict[str, float]
    description: str
    recommended_action: str
    confidence_score: float
    location: str | None
    timestamp: AwareDatetime
    """End of the window that shows it."""


class InsightSummary(View):
    """The insights counted."""

    total_insights: int
    by_severity: dict[str, int]
    by_type: dict[str, int]
    avg_confidence_score: float | None
    """None without insights."""


class InsightList(View):
    """The answer to a query."""

    query_parameters: QueryParameters
    insights: tuple[InsightView, ...]
    summary: InsightSummary
    recommendations: tuple[str, ...]
    """What to do, worst insight first, each once."""


def insight_list(query: QueryParameters, found: Sequence[tuple[str, Insight]]) -> InsightList:
    """The promised form of (tenant, insight) pairs."""
    views = tuple(_view(tenant, insight) for tenant, insight in found)
    insights = [insight for _, insight in found]
    confidences = [insight.confidence for insight in insights]
    by_urgency = sorted(insights, key=lambda each: (_WORST_FIRST.index(each.severity), -each.confidence))
    return InsightList(
        query_parameters=query,
        insights=views,
        summary=InsightSummary(
            total_insights=len(insights),
            by_severity=dict(sorted(Counter(each.severity.value for each in insights).items())),
            by_type=dict(sorted(Counter(each.insight_type.value for each in insights).items())),
            avg_confidence_score=round(sum(confidences) / len(confidences), 4) if confidences else None,
        ),
        recommendations=tuple(dict.fromkeys(f"{each.component}: {each.recommended_action}" for each in by_urgency)),
    )


def _view(tenant: str, insight: Insight) -> InsightView:
    return InsightView(
        insight_id=insight.insight_id,
        insight_type=insight.insight_type.value,
        severity=insight.severity.value,
        affected_component=insight.component,
        affected_tenants=insight.tenants or (tenant,),
        metrics=insight.evidence.numbers,
        description=insight.description,
        recommended_action=insight.recommended_action,
        confidence_score=insight.confidence,
        location=str(insight.location) if insight.location else None,
        timestamp=insight.evidence.window_end,
    )
