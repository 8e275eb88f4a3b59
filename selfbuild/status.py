"""The state of the whole agent in the promised form. Pure: it is given what was measured; unknown is None."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from selfbuild.domain.applications import Application, Mode
from selfbuild.domain.budgets import Budgets
from selfbuild.domain.cycles import CycleReport, CycleStatus, ImprovementReport, ImprovementStatus
from selfbuild.live import PendingStep
from selfbuild.reading import RecordedState, RunningState
from selfbuild.views import ImprovementView, View, improvement_view

BreakerState = Literal["closed", "open", "half_open"]
Health = Literal["healthy", "degraded", "unhealthy"]

CLOUDWATCH_STEPS = frozenset({"collect_telemetry", "freeze_baseline", "monitor", "stream_telemetry"})
LLM_STEPS = frozenset({"generate", "draft_component"})
EVOLUTION_LEVELS = {
    0: "observes: finds and ranks opportunities, changes nothing",
    1: "proves: also makes patches and takes them through the gate, deploys nothing",
    2: "releases: also deploys accepted patches to a canary, judges them, keeps them or rolls them back",
    3: "has earned it: at least one release was kept after its judgement, and none of the last ten was rolled back",
}
STREAMING_OFF = "ENABLE_CLOUDWATCH_STREAMING is false: each cycle reads CloudWatch itself"


class LearningEngine(View):
    """What the analysis has to go on."""

    status: str
    telemetry_buffer_size: int
    """Log events kept hot by the collection; without one, the telemetry events that the newest cycles read."""
    insights_cached: int
    """Insights of the last 24 hours."""


class CloudwatchStreamer(View):
    """The rolling collection of telemetry."""

    status: str
    reason: str
    source: str
    """Where it comes from: `cloudwatch`, or the stand-in's name."""
    streams_active: int
    stream_lag_seconds: float | None
    events_processed_last_hour: int
    circuit_breaker_state: BreakerState | None


class CodeGenerator(View):
    """Who makes patches."""

    status: str
    providers: tuple[str, ...]
    circuit_breaker_state: BreakerState | None
    generations_today: int
    tokens_today: int
    """Of questions and answers since midnight UTC, running cycles included."""
    cost_usd_today: float
    budgets: Budgets
    """What may be spent; 0 = without limit."""


class Connection(View):
    """Something that the agent stands on."""

    status: str
    detail: str = ""


class WorkerState(View):
    """Who does the work."""

    status: str
    pollers: int | None
    """Workers that asked for work in the last two minutes; None where Temporal does not say."""


class SandboxState(View):
    """Where generated code runs, as the newest worker of the queue `sandbox` found it when it started."""

    status: Literal["enforced", "incomplete", "unknown"]
    """`incomplete`: something could not be shown, so that no patch is deployed without a person's say."""
    level: str | None = None
    enforced: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """With the remedies."""
    host: str | None = None
    probed_at: datetime | None = None


class Components(View):
    """The parts of the agent."""

    learning_engine: LearningEngine
    cloudwatch_streamer: CloudwatchStreamer
    llm_code_generator: CodeGenerator
    temporal: Connection
    store: Connection
    worker: WorkerState
    sandbox: SandboxState


class Metrics(View):
    """Figures of the last 24 hours; the last cycle's where the name says so."""

    improvement_cycles_started: int
    improvement_cycles_completed: int
    improvement_cycles_failed: int
    improvements_deployed: int
    improvements_rolled_back: int
    opportunities_identified: int
    impact_score_total: float
    llm_tokens_used: int
    llm_cost_usd: float
    cloudwatch_api_calls: int
    last_cycle_id: str | None
    cycle_duration_seconds: float | None
    """Of the last cycle that ended."""


class SystemStatus(View):
    """The answer of get_system_status."""

    system_health: Health
    uptime_seconds: float
    version: str
    evolution_level: int
    evolution_level_meaning: str
    llm_circuit_breaker_state: BreakerState | None
    components: Components
    active_improvements: tuple[ImprovementView, ...]
    running_cycles: tuple[str, ...]
    metrics: Metrics
    capabilities: tuple[str, ...]
    feature_flags: dict[str, bool]


class Measured(View):
    """All that a status is made of."""

    now: datetime
    uptime_s: float
    version: str
    applications: tuple[Application, ...]
    providers: tuple[str, ...]
    budgets: Budgets = Budgets()
    feature_flags: dict[str, bool]
    temporal_detail: str
    recorded: RecordedState
    running: RunningState


def system_status(measured: Measured) -> SystemStatus:
    """The promised form of what was measured."""
    breakers = {
        "cloudwatch": breaker_state(measured.running.pending, CLOUDWATCH_STEPS),
        "llm": breaker_state(measured.running.pending, LLM_STEPS),
    }
    level = evolution_level(measured.applications, measured.feature_flags, measured.recorded.improvements)
    return SystemStatus(
        system_health=_health(measured, breakers.values()),
        uptime_seconds=round(measured.uptime_s, 3),
        version=measured.version,
        evolution_level=level,
        evolution_level_meaning=EVOLUTION_LEVELS[level],
        llm_circuit_breaker_state=breakers["llm"],
        components=_components(measured, breakers),
        active_improvements=tuple(improvement_view(report) for report in measured.running.improvements),
        running_cycles=measured.running.cycles,
        metrics=_metrics(measured),
        capabilities=_capabilities(measured),
        feature_flags=measured.feature_flags,
    )


def breaker_state(pending: Sequence[PendingStep] | None, names: frozenset[str]) -> BreakerState | None:
    """The state of a dependency's circuit breaker, read from its activities that have not ended.

    Closed = no attempt has failed; open = the attempts so far failed and Temporal waits before the next one;
    half open = such a next attempt runs. None where Temporal does not say.
    """
    if pending is None:
        return None
    retried = [step for step in pending if step.name in names and step.attempt > 1]
    if any(step.running for step in retried):
        return "half_open"
    return "open" if retried else "closed"


def evolution_level(
    applications: Sequence[Application], flags: Mapping[str, bool], newest_first: Sequence[ImprovementReport]
) -> int:
    """The autonomy in force, a key of EVOLUTION_LEVELS."""
    if not flags.get("enable_self_building") or all(each.mode is Mode.OBSERVE for each in applications):
        return 0
    if not flags.get("enable_autonomous_improvements"):
        return 1
    judged = (ImprovementStatus.KEPT, ImprovementStatus.ROLLED_BACK)
    last = [report.status for report in newest_first if report.status in judged][:10]
    earned = bool(last) and ImprovementStatus.ROLLED_BACK not in last
    return 3 if earned else 2


def _health(measured: Measured, breakers: Iterable[BreakerState | None]) -> Health:
    if measured.recorded.problem is not None or measured.running.problem is not None:
        return "unhealthy"
    if not measured.running.pollers or any(state != "closed" for state in breakers):
        return "degraded"
    return "healthy"


def _components(measured: Measured, breakers: Mapping[str, BreakerState | None]) -> Components:
    able = measured.recorded.problem is None and measured.running.problem is None
    enabled = measured.feature_flags.get("enable_self_building", False)
    spent = measured.recorded.spent_today
    working = "active" if able and enabled and measured.running.pollers else "disabled" if not enabled else "waiting"
    return Components(
        learning_engine=LearningEngine(
            status=working,
            telemetry_buffer_size=_buffered(measured.recorded),
            insights_cached=measured.recorded.insight_count,
        ),
        cloudwatch_streamer=_streamer(measured, breakers["cloudwatch"]),
        llm_code_generator=CodeGenerator(
            status=working,
            providers=measured.providers,
            circuit_breaker_state=breakers["llm"],
            generations_today=sum(
                len(report.attempts)
                for report in measured.recorded.improvements
                if report.started_at.date() == measured.now.date()
            ),
            tokens_today=spent.input_tokens + spent.output_tokens,
            cost_usd_today=round(spent.cost_usd, 6),
            budgets=measured.budgets,
        ),
        temporal=_connection(measured.running.problem, measured.temporal_detail),
        store=_connection(measured.recorded.problem, ""),
        worker=WorkerState(
            status="unknown"
            if measured.running.pollers is None
            else "running"
            if measured.running.pollers
            else "not_running",
            pollers=measured.running.pollers,
        ),
        sandbox=_sandbox(measured.recorded),
    )


def _sandbox(recorded: RecordedState) -> SandboxState:
    if not recorded.workers:
        return SandboxState(status="unknown")
    newest = recorded.workers[0]
    return SandboxState(
        status="incomplete" if newest.missing else "enforced",
        level=newest.sandbox_level,
        enforced=newest.enforced,
        missing=newest.missing,
        host=newest.host,
        probed_at=newest.written_at,
    )


def _streamer(measured: Measured, breaker: BreakerState | None) -> CloudwatchStreamer:
    """The collection as its workflows and their records show it; the lag of the slowest."""
    states, running = measured.recorded.streams, measured.running.streams
    failing = [step for step in measured.running.pending or () if step.name == "stream_telemetry" and step.attempt > 1]
    if not measured.feature_flags.get("enable_cloudwatch_streaming"):
        status, reason = "disabled", STREAMING_OFF
    elif failing:
        status, reason = "failing", f"attempt {failing[0].attempt}: {failing[0].last_failure}"
    elif not running:
        status, reason = "not_running", "no collection runs: is a worker up, and an application configured?"
    else:
        notes = [f"{state.tenant_id}/{state.application}: {note}" for state in states for note in state.notes]
        status, reason = "active", "; ".join(notes[:3])
    active = {f"stream/{state.tenant_id}/{state.application}" for state in states} & set(running)
    mine = [state for state in states if f"stream/{state.tenant_id}/{state.application}" in active]
    lags = [lag for state in mine if (lag := state.lag_at(measured.now)) is not None]
    return CloudwatchStreamer(
        status=status,
        reason=reason,
        source=", ".join(sorted({state.source for state in mine})),
        streams_active=len(running),
        stream_lag_seconds=round(max(lags), 3) if lags else None,
        events_processed_last_hour=sum(state.last_hour(measured.now) for state in mine),
        circuit_breaker_state=breaker,
    )


def _buffered(recorded: RecordedState) -> int:
    if recorded.streams:
        return sum(state.buffered_events for state in recorded.streams)
    return sum(report.telemetry_events for report in _newest_of_each(recorded.cycles))


def _worker_status(pollers: int | None) -> str:
    if pollers is None:
        return "unknown"
    return "running" if pollers else "not_running"


def _connection(problem: str | None, detail: str) -> Connection:
    return (
        Connection(status="connected", detail=detail)
        if problem is None
        else Connection(status="unreachable", detail=problem)
    )


def _newest_of_each(newest_first: Sequence[CycleReport]) -> list[CycleReport]:
    """The newest cycle of each application that has read its telemetry."""
    newest: dict[tuple[str, str], CycleReport] = {}
    for report in newest_first:
        if report.telemetry_events:
            newest.setdefault((report.tenant_id, report.application), report)
    return list(newest.values())


def _metrics(measured: Measured) -> Metrics:
    since = measured.now - timedelta(hours=24)
    cycles = [report for report in measured.recorded.cycles if report.started_at >= since]
    improvements = [report for report in measured.recorded.improvements if report.started_at >= since]
    ended = next((report for report in measured.recorded.cycles if report.finished_at is not None), None)
    statuses = [report.status for report in cycles]
    return Metrics(
        improvement_cycles_started=len(cycles),
        improvement_cycles_completed=statuses.count(CycleStatus.COMPLETED),
        improvement_cycles_failed=statuses.count(CycleStatus.FAILED),
        improvements_deployed=sum(report.status is ImprovementStatus.KEPT for report in improvements),
        improvements_rolled_back=sum(report.status is ImprovementStatus.ROLLED_BACK for report in improvements),
        opportunities_identified=sum(len(report.opportunities) for report in cycles),
        impact_score_total=sum(
            report.opportunity.impact_score for report in improvements if report.status is ImprovementStatus.KEPT
        ),
        llm_tokens_used=sum(report.usage.input_tokens + report.usage.output_tokens for report in cycles),
        llm_cost_usd=round(sum(report.usage.cost_usd for report in cycles), 6),
        cloudwatch_api_calls=sum(report.aws_api_calls for report in cycles),
        last_cycle_id=measured.recorded.cycles[0].cycle_id if measured.recorded.cycles else None,
        cycle_duration_seconds=None
        if ended is None or ended.finished_at is None
        else (ended.finished_at - ended.started_at).total_seconds(),
    )


def _capabilities(measured: Measured) -> tuple[str, ...]:
    flags = measured.feature_flags
    found = ["telemetry_insights"]
    if flags.get("enable_self_building"):
        found.append("improvement_cycles")
        if any(each.mode is Mode.AUTO for each in measured.applications):
            found.extend(f"patches_by_{provider}" for provider in measured.providers)
            if flags.get("enable_autonomous_improvements"):
                found.append("judged_canary_releases")
    if flags.get("enable_improvement_rollback"):
        found.append("rollback")
    return tuple(found)
