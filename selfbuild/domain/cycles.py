"""One improvement cycle: what it is asked, where it stands, what came out."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from selfbuild.domain.alarms import AlarmNote
from selfbuild.domain.applications import Application
from selfbuild.domain.base import AwareDatetime, Value
from selfbuild.domain.insights import Opportunity
from selfbuild.domain.model_calls import Usage
from selfbuild.domain.patches import CheckResult, StoredPatch
from selfbuild.domain.releases import Judgement, Release, Rollback


class CyclePolicy(Value):
    """The thresholds that steer a cycle. They travel in its input, so that a replay uses what the run used."""

    analysis_window_s: Annotated[int, Field(ge=10)] = 24 * 3600
    baseline_window_s: Annotated[int, Field(ge=10)] = 7 * 24 * 3600
    """How much before the window counts as normal."""
    period_s: Annotated[int, Field(ge=1)] = 300
    """Bucket of metrics when analysing."""
    max_improvements: Annotated[int, Field(ge=1, le=10)] = 3
    max_concurrent_improvements: Annotated[int, Field(ge=1, le=10)] = 3
    performance_degradation_threshold: Annotated[float, Field(gt=0)] = 0.20
    """Smallest relative change of a level that is worth an insight."""
    error_frequency_threshold: Annotated[int, Field(ge=1)] = 10
    """Events of one error group in the window below which nothing is changed."""
    quality_threshold: Annotated[float, Field(ge=0, le=1)] = 0.85
    risk_tolerance: Annotated[float, Field(ge=0, le=1)] = 0.1
    monitoring_duration_s: Annotated[int, Field(ge=5)] = 3600
    check_interval_s: Annotated[int, Field(ge=1)] = 60
    judge_period_s: Annotated[int, Field(ge=1)] = 60
    """Bucket of metrics when judging."""
    rollback_degradation_threshold: Annotated[float, Field(gt=0)] = 0.10
    """Smallest relative degradation that matters."""
    max_window_extensions: Annotated[int, Field(ge=0, le=4)] = 1
    """How often an inconclusive monitoring window is doubled before the release is rolled back."""
    max_error_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A canary is shown healthy when its error ratio is below this, or not worse than twice its baseline's."""
    max_generation_attempts: Annotated[int, Field(ge=1, le=3)] = 3
    dependency_max_attempts: Annotated[int, Field(ge=1)] = 3
    """CIRCUIT_BREAKER_FAILURE_THRESHOLD: attempts before the next provider is asked."""
    dependency_retry_s: Annotated[int, Field(ge=1)] = 60
    """CIRCUIT_BREAKER_RECOVERY_TIMEOUT: the longest wait between attempts."""
    generation_timeout_s: Annotated[int, Field(ge=5)] = 60

    @model_validator(mode="after")
    def _several_looks(self) -> "CyclePolicy":
        if self.monitoring_duration_s < 3 * self.judge_period_s:
            raise ValueError("monitoring_duration_s must hold at least three judge_period_s")
        return self


Trigger = Literal["manual", "schedule", "alarm"]


class CycleRequest(Value):
    """Input of the workflow ImprovementCycle."""

    application: Application
    policy: CyclePolicy
    providers: tuple[str, ...]
    """Generators in the order they are asked."""
    trigger: Trigger = "manual"
    requested_by: str = "unknown"
    dry_run: bool = False
    """Rank and report; change nothing."""
    deploy_allowed: bool = False
    """ENABLE_AUTONOMOUS_IMPROVEMENTS at the time of the start."""
    alarms: tuple[AlarmNote, ...] = ()
    """What set it off, where `trigger` is `alarm`."""


class Phase(StrEnum):
    """Where a cycle or an improvement stands; the search attribute `Phase`."""

    COLLECTING = "collecting"
    ANALYZING = "analyzing"
    IMPROVING = "improving"
    REPORTING = "reporting"
    GENERATING = "generating"
    VALIDATING = "validating"
    WAITING = "waiting"
    DEPLOYING = "deploying"
    MONITORING = "monitoring"
    ROLLING_BACK = "rolling_back"
    DONE = "done"


class ImprovementStatus(StrEnum):
    """As promised by the tools."""

    PENDING = "pending"
    GENERATING = "generating"
    VALIDATING = "validating"
    AWAITING_APPROVAL = "awaiting_approval"
    DEPLOYING = "deploying"
    MONITORING = "monitoring"
    KEPT = "kept"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ImprovementRequest(Value):
    """Input of the workflow Improvement, one a opportunity."""

    cycle_id: str
    improvement_id: str
    application: Application
    policy: CyclePolicy
    opportunity: Opportunity
    providers: tuple[str, ...]
    deploy_allowed: bool


class ImprovementReport(Value):
    """One improvement: where it stands or how it ended."""

    improvement_id: str
    cycle_id: str
    tenant_id: str
    application: str
    status: ImprovementStatus
    reason: str = ""
    opportunity: Opportunity
    patch: StoredPatch | None = None
    diff: str = ""
    checks: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    release: Release | None = None
    judgement: Judgement | None = None
    rollback: Rollback | None = None
    attempts: tuple[str, ...] = ()
    """Each generation attempt: provider and what came of it."""
    usage: Usage = Usage()
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    phase_s: dict[str, float] = {}
    """Seconds spent in each phase."""


class CycleStatus(StrEnum):
    """How a cycle stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CycleReport(Value):
    """One cycle: where it stands or how it ended."""

    cycle_id: str
    workflow_id: str
    run_id: str
    tenant_id: str
    application: str
    status: CycleStatus
    phase: Phase
    outcome: str = ""
    """`improved`, `rolled_back`, `no_opportunities`, `no_patch`, `observed`, `cancelled`, `failed`."""
    trigger: Trigger = "manual"
    requested_by: str = "unknown"
    alarms: tuple[AlarmNote, ...] = ()
    """Those that set it off, then those that came while it ran."""
    dry_run: bool = False
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    insight_count: int | None = None
    """None until the analysis has ended."""
    opportunities: tuple[Opportunity, ...] = ()
    notes: tuple[str, ...] = ()
    improvements: tuple[ImprovementReport, ...] = ()
    aws_api_calls: int = 0
    aws_cost_usd: float = 0.0
    """Estimated from metrics requested and bytes scanned."""
    usage: Usage = Usage()
    telemetry_events: int = 0
    phase_s: dict[str, float] = {}
