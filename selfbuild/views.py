"""What callers are shown: the promised names, made of domain values. MCP, REST and the command line share them."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from selfbuild.domain.base import AwareDatetime
from selfbuild.domain.cycles import CycleReport, CycleStatus, ImprovementReport, ImprovementStatus
from selfbuild.domain.insights import InsightType
from selfbuild.domain.releases import GoalOutcome


class View(BaseModel):
    """Something that a caller is shown."""

    model_config = ConfigDict(frozen=True)


class AnalysisSummary(View):
    """What the analysis of a cycle had and found."""

    telemetry_events_analyzed: int
    insights_generated: int | None
    """None until the analysis has ended."""
    opportunities_identified: int


class Cost(View):
    """What a cycle used."""

    llm_input_tokens: int
    llm_output_tokens: int
    llm_cost_usd: float
    cloudwatch_api_calls: int
    cloudwatch_cost_usd: float


class ImprovementView(View):
    """One improvement in a list."""

    improvement_id: str
    cycle_id: str
    tenant_id: str
    application: str
    title: str
    insight_type: str
    severity: str
    impact_score: float
    risk: float
    status: str
    affected_components: tuple[str, ...]
    metrics: dict[str, float | None]
    verdict: str | None
    reason: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None


class ImprovementDetail(ImprovementView):
    """One improvement with its evidence, patch, checks and verdict."""

    recommended_action: str
    location: str | None
    evidence: dict[str, float]
    provider: str | None
    model: str | None
    files: tuple[str, ...]
    diff: str
    checks: tuple[dict[str, Any], ...]
    quality_score: float | None
    attempts: tuple[str, ...]
    release: dict[str, Any] | None
    judgement: dict[str, Any] | None
    rollback: dict[str, Any] | None
    cost: Cost
    phase_seconds: dict[str, float]


class CycleStarted(View):
    """The answer to a start."""

    cycle_id: str
    workflow_id: str
    run_id: str
    status: str
    tenant_id: str
    application: str
    dry_run: bool
    links: dict[str, str]


class CycleView(View):
    """One cycle: where it stands or how it ended."""

    cycle_id: str
    workflow_id: str
    run_id: str
    status: str
    phase: str
    outcome: str
    tenant_id: str
    application: str
    trigger: str
    requested_by: str
    dry_run: bool
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    execution_time_seconds: float
    analysis_summary: AnalysisSummary
    opportunities: tuple[dict[str, Any], ...]
    improvements: tuple[ImprovementView, ...]
    notes: tuple[str, ...]
    cost: Cost
    phase_seconds: dict[str, float]
    links: dict[str, str]


class CycleList(View):
    """Cycles, newest first."""

    cycles: tuple[CycleView, ...]


class ImprovementList(View):
    """Improvements, newest first."""

    improvements: tuple[ImprovementView, ...]


class RollbackView(View):
    """What became of a request to roll back."""

    improvement_id: str
    release_id: str
    workflow_id: str
    status: str
    """`rolled_back`, or `rolling_back` where it still runs."""
    serving_sha: str | None = None
    revert_sha: str | None = None


class Links:
    """Where a caller finds more."""

    def __init__(self, temporal_ui_url: str | None, namespace: str) -> None:
        self._ui = temporal_ui_url
        self._namespace = namespace

    def of_cycle(self, cycle_id: str, workflow_id: str, run_id: str) -> dict[str, str]:
        """The cycle's REST resource and, where the UI is known, its workflow."""
        links = {"self": f"/v1/cycles/{cycle_id}", "improvements": f"/v1/improvements?cycle_id={cycle_id}"}
        if self._ui is not None:
            path = f"namespaces/{quote(self._namespace)}/workflows/{quote(workflow_id, safe='')}/{run_id}/history"
            links["workflow"] = f"{self._ui.rstrip('/')}/{path}"
        return links


_CYCLE_STATUS = {
    CycleStatus.RUNNING: "in_progress",
    CycleStatus.COMPLETED: "completed",
    CycleStatus.FAILED: "failed",
    CycleStatus.CANCELLED: "cancelled",
}


def cycle_view(report: CycleReport, *, links: Links, now: datetime, queued: bool = False) -> CycleView:
    """The promised form of a cycle; `queued` where no worker has taken it up."""
    ended = report.finished_at or now
    return CycleView(
        cycle_id=report.cycle_id,
        workflow_id=report.workflow_id,
        run_id=report.run_id,
        status="queued" if queued else _CYCLE_STATUS[report.status],
        phase=report.phase.value,
        outcome=report.outcome,
        tenant_id=report.tenant_id,
        application=report.application,
        trigger=report.trigger,
        requested_by=report.requested_by,
        dry_run=report.dry_run,
        started_at=report.started_at,
        finished_at=report.finished_at,
        execution_time_seconds=round(max(0.0, (ended - report.started_at).total_seconds()), 3),
        analysis_summary=AnalysisSummary(
            telemetry_events_analyzed=report.telemetry_events,
            insights_generated=report.insight_count,
            opportunities_identified=len(report.opportunities),
        ),
        opportunities=tuple(each.model_dump(mode="json") for each in report.opportunities),
        improvements=tuple(improvement_view(each) for each in report.improvements),
        notes=report.notes,
        cost=Cost(
            llm_input_tokens=report.usage.input_tokens,
            llm_output_tokens=report.usage.output_tokens,
            llm_cost_usd=report.usage.cost_usd,
            cloudwatch_api_calls=report.aws_api_calls,
            cloudwatch_cost_usd=report.aws_cost_usd,
        ),
        phase_seconds=report.phase_s,
        links=links.of_cycle(report.cycle_id, report.workflow_id, report.run_id),
    )


def improvement_view(report: ImprovementReport) -> ImprovementView:
    """The promised form of an improvement in a list."""
    return ImprovementView(**_improvement_fields(report))


def improvement_detail(report: ImprovementReport) -> ImprovementDetail:
    """The promised form of an improvement with all that is known of it."""
    insight = report.opportunity.insight
    patch = report.patch
    return ImprovementDetail(
        **_improvement_fields(report),
        recommended_action=insight.recommended_action,
        location=str(insight.location) if insight.location else None,
        evidence=insight.evidence.numbers,
        provider=patch.provider if patch else None,
        model=patch.model if patch else None,
        files=patch.files if patch else (),
        diff=report.diff,
        checks=tuple(check.model_dump(mode="json") for check in report.checks),
        quality_score=report.quality_score,
        attempts=report.attempts,
        release=report.release.model_dump(mode="json") if report.release else None,
        judgement=report.judgement.model_dump(mode="json") if report.judgement else None,
        rollback=report.rollback.model_dump(mode="json") if report.rollback else None,
        cost=Cost(
            llm_input_tokens=report.usage.input_tokens,
            llm_output_tokens=report.usage.output_tokens,
            llm_cost_usd=report.usage.cost_usd,
            cloudwatch_api_calls=0,
            cloudwatch_cost_usd=0.0,
        ),
        phase_seconds=report.phase_s,
    )


def improvement_status(report: ImprovementReport) -> str:
    """The promised name of the status: kept without a measured effect is `no_effect`."""
    goal = report.judgement.goal if report.judgement else None
    if report.status is ImprovementStatus.KEPT:
        return "no_effect" if goal is not None and goal.outcome is GoalOutcome.NO_EFFECT else "deployed"
    if report.status is ImprovementStatus.CANCELLED:
        return "rolled_back" if report.rollback else "rejected"
    if report.status is ImprovementStatus.EXPIRED:
        return "rejected"
    return report.status.value


def effect_metrics(report: ImprovementReport) -> dict[str, float | None]:
    """Baseline and current values of what the change aims at, and by how many per cent it got better.

    After a trial they are those of its two arms; before that, those of the evidence: `improvement_percentage` is
    then None. It is None also where the baseline has no positive value to compare with.
    """
    goal = report.judgement.goal if report.judgement else None
    if goal is None:
        numbers = report.opportunity.insight.evidence.numbers
        pairs = {
            name: (numbers[f"baseline_{name}"], numbers[name]) for name in numbers if f"baseline_{name}" in numbers
        }
        aim = None
    else:
        pairs = {name: (goal.before[name], goal.after[name]) for name in goal.before if name in goal.after}
        by_errors = report.opportunity.insight.insight_type is InsightType.ERROR_PATTERN
        aim = pairs.get("error_ratio" if by_errors else "p95_ms")
    metrics: dict[str, float | None] = {}
    for name in sorted(pairs):
        metrics[f"baseline_{name}"], metrics[f"current_{name}"] = pairs[name]
    metrics["improvement_percentage"] = (
        round((aim[0] - aim[1]) / aim[0] * 100, 2) if aim is not None and aim[0] > 0 else None
    )
    return metrics


def _improvement_fields(report: ImprovementReport) -> dict[str, Any]:
    insight = report.opportunity.insight
    return {
        "improvement_id": report.improvement_id,
        "cycle_id": report.cycle_id,
        "tenant_id": report.tenant_id,
        "application": report.application,
        "title": report.patch.summary if report.patch else insight.description,
        "insight_type": insight.insight_type.value,
        "severity": insight.severity.value,
        "impact_score": report.opportunity.impact_score,
        "risk": report.opportunity.risk,
        "status": improvement_status(report),
        "affected_components": (insight.component,),
        "metrics": effect_metrics(report),
        "verdict": report.judgement.verdict.value if report.judgement else None,
        "reason": report.reason,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
    }
