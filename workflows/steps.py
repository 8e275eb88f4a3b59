"""Every step a workflow can ask for: request, result, queue, time-outs, heartbeat, retry policy. One table, at the end.

Activities implement these by name; nothing else sets a time-out or a retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.workflow import ActivityCancellationType

from selfbuild.domain.alarms import AlarmNote
from selfbuild.domain.applications import Application
from selfbuild.domain.base import ArtifactRef, AwareDatetime, Sha, Value
from selfbuild.domain.cycles import CyclePolicy, CycleReport, CycleRequest, ImprovementReport, Trigger
from selfbuild.domain.errors import permanent_error_names
from selfbuild.domain.insights import Analysis, Insight, Opportunity
from selfbuild.domain.model_calls import Usage
from selfbuild.domain.patches import GateReport, StoredPatch
from selfbuild.domain.releases import Judgement, Release, ReleaseState, Rollback
from selfbuild.domain.streams import StreamRequest, StreamState

CYCLE_QUEUE = "cycle"
AWS_QUEUE = "aws"
LLM_QUEUE = "llm"
SANDBOX_QUEUE = "sandbox"
DEPLOY_QUEUE = "deploy"
QUEUES = (CYCLE_QUEUE, AWS_QUEUE, LLM_QUEUE, SANDBOX_QUEUE, DEPLOY_QUEUE)

RequestT = TypeVar("RequestT", bound=Value)
ResultT = TypeVar("ResultT")


class CollectRequest(Value):
    """Collect `[baseline_start, end)` of one application and keep it as an artifact."""

    application: Application
    baseline_start: AwareDatetime
    start: AwareDatetime
    end: AwareDatetime
    period_s: int


class Collected(Value):
    """What was collected."""

    telemetry: ArtifactRef
    series_count: int
    sample_count: int
    error_group_count: int
    log_events: int
    api_calls: int
    cost_usd: float
    source: str


class AnalyzeRequest(Value):
    """Analyse a collected window."""

    application: Application
    telemetry: ArtifactRef
    policy: CyclePolicy


class ExchangeRef(Value):
    """An earlier answer, kept as an artifact, and the machine-made reason why it was refused."""

    answer: ArtifactRef | None
    feedback: str


class GenerateRequest(Value):
    """Ask one provider for a patch."""

    application: Application
    opportunity: Opportunity
    cycle_id: str
    provider: str
    timeout_s: float
    exchanges: tuple[ExchangeRef, ...] = ()
    """This provider's earlier answers, oldest first."""
    tried: tuple[str, ...] = ()
    """Fingerprints of the patches that were refused."""
    last_attempt: bool = False


class Generated(Value):
    """A patch, or why there is none."""

    base_sha: Sha
    patch: StoredPatch | None
    refusal: str | None = None
    repairable: bool = False
    """Without a patch: asking again with the refusal may help."""
    barred: str | None = None
    """Fingerprint of the patch that was proposed although it was taken back before."""
    model: str | None = None
    transcript: ArtifactRef | None = None
    """Request, prompt and answer."""
    answer: ArtifactRef | None = None
    """A model's raw answer."""
    shown_files: tuple[str, ...] = ()
    usage: Usage = Usage()


class ValidateRequest(Value):
    """Put a patch through the gate on `base_sha`."""

    application: Application
    opportunity: Opportunity
    base_sha: Sha
    patch: StoredPatch
    shown_files: tuple[str, ...]
    quality_threshold: float


class ApplicationRequest(Value):
    """Something about one application."""

    application: Application


class FreezeRequest(Value):
    """Freeze each component's slow threshold before a deploy."""

    application: Application
    baseline_sha: Sha
    """Only what this release served counts."""
    start: AwareDatetime
    end: AwareDatetime


class Frozen(Value):
    """The thresholds above which a request counts as slow."""

    slow_ms: dict[str, float]


class DeployRequest(Value):
    """Commit the patch on `base_sha` and put it on the canary."""

    application: Application
    release_id: str
    improvement_id: str
    workflow_id: str
    base_sha: Sha
    patch: StoredPatch
    subject: str
    trailers: dict[str, str]


class MonitorRequest(Value):
    """Compare the canary with its baseline over `[release.deployed_at, until)`."""

    application: Application
    release: Release
    slow_ms: dict[str, float]
    policy: CyclePolicy
    component: str
    """The component the change aims at."""
    expected_kind: str
    until: AwareDatetime
    final: bool


class FindReleaseRequest(Value):
    """Look a release up in the ledger."""

    release_id: str


class PromoteRequest(Value):
    """Make the canary permanent."""

    application: Application
    release_id: str


class RollBackRequest(Value):
    """Return to the baseline, revert the release commit, bar the patch."""

    application: Application
    release_id: str
    improvement_id: str
    reason: str
    patch_digest: str
    bar_patch: bool
    """False where the patch was not at fault, such as an operator's cancel."""


class LedgerView(Value):
    """What the ledger knows of a release."""

    application: Application
    release_id: str
    state: ReleaseState
    improvement_id: str
    patch_digest: str
    workflow_id: str


class OpenReleases(Value):
    """Releases that are neither promoted nor rolled back, whose owner has ended."""

    releases: tuple[LedgerView, ...]


class Nothing(Value):
    """A request or result without content."""


class StreamRound(Value):
    """Read what is new of one application's telemetry and store it."""

    request: StreamRequest
    state: StreamState | None
    """None = begin where the store's coverage ends."""

    @property
    def application(self) -> Application:
        return self.request.application


class StreamRoundDone(Value):
    """How far the collection has come."""

    state: StreamState
    caught_up: bool
    """False while older telemetry is left to read."""


class StoreKept(Value):
    """What a round of housekeeping took away."""

    segments_joined: int
    segments_expired: int


class RecordCycleRequest(Value):
    """Write the read model of a cycle."""

    application: Application
    report: CycleReport
    insights: tuple[Insight, ...] = ()


class RecordImprovementRequest(Value):
    """Write the read model of an improvement."""

    report: ImprovementReport


class PrepareCycleRequest(Value):
    """Make the input of a cycle that nobody asked for by hand."""

    tenant_id: str
    application: str
    trigger: Trigger
    alarms: tuple[AlarmNote, ...] = ()
    """What sets it off. Where a cycle has started since the newest of them, there is nothing to start."""
    again: bool = False
    """A second look: a cycle that has started since does not count."""


class PreparedCycle(Value):
    """The input of a cycle, or why none is to start."""

    request: CycleRequest | None = None
    refusal: str = ""


class ReconciledAlarms(Value):
    """What came of asking CloudWatch for the alarms that are in ALARM."""

    found: int = 0
    rung: tuple[str, ...] = ()
    """`application key: alarm` of those that were handed to a gate."""
    covered: int = 0
    """A cycle has started since, or runs."""
    unmatched: tuple[str, ...] = ()
    problem: str = ""
    """Why CloudWatch could not be asked."""


@dataclass(frozen=True, slots=True)
class Step(Generic[RequestT, ResultT]):
    """One activity as seen from a workflow."""

    name: str
    result: type[ResultT]
    queue: str
    start_to_close_s: float
    retry: RetryPolicy
    schedule_to_close_s: float | None = None
    heartbeat_s: float | None = None
    cancellation: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL

    async def __call__(
        self, request: RequestT, *, tenant: str, summary: str, activity_id: str | None = None
    ) -> ResultT:
        """Run the activity; `tenant` is the fairness key, `activity_id` what an operator types to reset it."""
        result: ResultT = await workflow.execute_activity(
            self.name,
            request,
            result_type=self.result,
            task_queue=self.queue,
            start_to_close_timeout=timedelta(seconds=self.start_to_close_s),
            schedule_to_close_timeout=_delta(self.schedule_to_close_s),
            heartbeat_timeout=_delta(self.heartbeat_s),
            retry_policy=self.retry,
            cancellation_type=self.cancellation,
            activity_id=activity_id,
            summary=summary,
            priority=Priority(fairness_key=tenant),
        )
        return result

    def with_budget(
        self, *, attempts: int, longest_wait_s: float, start_to_close_s: float
    ) -> "Step[RequestT, ResultT]":
        """The same step with the operator's retry budget for that dependency."""
        first = min(self.retry.initial_interval, timedelta(seconds=longest_wait_s))
        policy = replace(
            self.retry,
            initial_interval=first,
            maximum_interval=timedelta(seconds=longest_wait_s),
            maximum_attempts=attempts,
        )
        return replace(self, retry=policy, start_to_close_s=start_to_close_s)


def _delta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _retry(*, first_s: float, longest_s: float, attempts: int = 0, never: Sequence[str] = ()) -> RetryPolicy:
    """`attempts` 0 = without limit; errors that trying again cannot change are never retried."""
    return RetryPolicy(
        initial_interval=timedelta(seconds=first_s),
        backoff_coefficient=2,
        maximum_interval=timedelta(seconds=longest_s),
        maximum_attempts=attempts,
        non_retryable_error_types=[*never],
    )


_PERMANENT = permanent_error_names()
_WAIT = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED

COLLECT: Step[CollectRequest, Collected] = Step(
    "collect_telemetry",
    Collected,
    AWS_QUEUE,
    start_to_close_s=60,
    schedule_to_close_s=15 * 60,
    heartbeat_s=20,
    retry=_retry(first_s=2, longest_s=60, never=_PERMANENT),
)
ANALYZE: Step[AnalyzeRequest, Analysis] = Step(
    "analyze",
    Analysis,
    SANDBOX_QUEUE,
    start_to_close_s=60,
    schedule_to_close_s=10 * 60,
    heartbeat_s=20,
    retry=_retry(first_s=1, longest_s=10, attempts=3, never=_PERMANENT),
)
GENERATE: Step[GenerateRequest, Generated] = Step(
    "generate",
    Generated,
    LLM_QUEUE,
    start_to_close_s=180,
    schedule_to_close_s=10 * 60,
    heartbeat_s=30,
    retry=_retry(first_s=2, longest_s=60, attempts=3, never=_PERMANENT),
)
VALIDATE: Step[ValidateRequest, GateReport] = Step(
    "validate",
    GateReport,
    SANDBOX_QUEUE,
    start_to_close_s=10 * 60,
    schedule_to_close_s=25 * 60,
    heartbeat_s=15,
    retry=_retry(first_s=2, longest_s=30, attempts=3, never=_PERMANENT),
)
READ_HEAD: Step[ApplicationRequest, str] = Step(
    "read_head",
    str,
    DEPLOY_QUEUE,
    start_to_close_s=60,
    schedule_to_close_s=10 * 60,
    retry=_retry(first_s=1, longest_s=30, never=_PERMANENT),
)
FREEZE: Step[FreezeRequest, Frozen] = Step(
    "freeze_baseline",
    Frozen,
    AWS_QUEUE,
    start_to_close_s=30,
    schedule_to_close_s=10 * 60,
    retry=_retry(first_s=2, longest_s=30, never=_PERMANENT),
)
DEPLOY: Step[DeployRequest, Release] = Step(
    "deploy",
    Release,
    DEPLOY_QUEUE,
    start_to_close_s=5 * 60,
    heartbeat_s=30,
    cancellation=_WAIT,
    retry=_retry(first_s=1, longest_s=20, attempts=3, never=_PERMANENT),
)
MONITOR: Step[MonitorRequest, Judgement] = Step(
    "monitor",
    Judgement,
    AWS_QUEUE,
    start_to_close_s=30,
    schedule_to_close_s=50,
    retry=_retry(first_s=2, longest_s=10, never=_PERMANENT),
)
PROMOTE: Step[PromoteRequest, Nothing] = Step(
    "promote",
    Nothing,
    DEPLOY_QUEUE,
    start_to_close_s=5 * 60,
    heartbeat_s=30,
    cancellation=_WAIT,
    retry=_retry(first_s=1, longest_s=20, attempts=10, never=_PERMANENT),
)
ROLL_BACK: Step[RollBackRequest, Rollback] = Step(
    "rollback",
    Rollback,
    DEPLOY_QUEUE,
    start_to_close_s=5 * 60,
    heartbeat_s=30,
    cancellation=_WAIT,
    # Nothing is a reason to give a rollback up: no attempt limit, no error that ends it.
    retry=_retry(first_s=1, longest_s=60),
)
STREAM: Step[StreamRound, StreamRoundDone] = Step(
    "stream_telemetry",
    StreamRoundDone,
    AWS_QUEUE,
    start_to_close_s=5 * 60,
    heartbeat_s=30,
    # A stream goes on by itself once permissions or the network are back: no error and no number of attempts ends it.
    retry=_retry(first_s=2, longest_s=60),
)
KEEP_STORE: Step[Nothing, StoreKept] = Step(
    "keep_store",
    StoreKept,
    AWS_QUEUE,
    start_to_close_s=30 * 60,
    heartbeat_s=60,
    retry=_retry(first_s=10, longest_s=60, attempts=3),
)
FIND_RELEASE: Step[FindReleaseRequest, LedgerView] = Step(
    "find_release",
    LedgerView,
    CYCLE_QUEUE,
    start_to_close_s=15,
    retry=_retry(first_s=1, longest_s=10, never=_PERMANENT),
)
FIND_ORPHANS: Step[Nothing, OpenReleases] = Step(
    "find_orphaned_releases",
    OpenReleases,
    CYCLE_QUEUE,
    start_to_close_s=60,
    retry=_retry(first_s=1, longest_s=10, attempts=5),
)
RECORD_CYCLE: Step[RecordCycleRequest, Nothing] = Step(
    "record_cycle",
    Nothing,
    CYCLE_QUEUE,
    start_to_close_s=15,
    schedule_to_close_s=10 * 60,
    cancellation=_WAIT,
    retry=_retry(first_s=1, longest_s=10),
)
RECORD_IMPROVEMENT: Step[RecordImprovementRequest, Nothing] = Step(
    "record_improvement",
    Nothing,
    CYCLE_QUEUE,
    start_to_close_s=15,
    schedule_to_close_s=10 * 60,
    cancellation=_WAIT,
    retry=_retry(first_s=1, longest_s=10),
)
PREPARE_CYCLE: Step[PrepareCycleRequest, PreparedCycle] = Step(
    "prepare_cycle",
    PreparedCycle,
    CYCLE_QUEUE,
    start_to_close_s=15,
    schedule_to_close_s=10 * 60,
    retry=_retry(first_s=1, longest_s=10, never=_PERMANENT),
)
RECONCILE_ALARMS: Step[Nothing, ReconciledAlarms] = Step(
    "reconcile_alarms",
    ReconciledAlarms,
    AWS_QUEUE,
    start_to_close_s=60,
    # The next run of the schedule asks again.
    schedule_to_close_s=4 * 60,
    retry=_retry(first_s=2, longest_s=30, never=_PERMANENT),
)

STEPS = (
    COLLECT,
    ANALYZE,
    GENERATE,
    VALIDATE,
    READ_HEAD,
    FREEZE,
    DEPLOY,
    MONITOR,
    PROMOTE,
    ROLL_BACK,
    STREAM,
    KEEP_STORE,
    FIND_RELEASE,
    FIND_ORPHANS,
    RECORD_CYCLE,
    RECORD_IMPROVEMENT,
    PREPARE_CYCLE,
    RECONCILE_ALARMS,
)
