"""What the core needs from the world. Each port has one contract suite, run on its fake and on every adapter.

Synchronous ports are called from threads (boto3 is synchronous); the others are coroutines.
Adapters translate vendor errors into `selfbuild.domain.errors`, once, at the call.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from selfbuild.domain.alarms import Alarm
from selfbuild.domain.applications import Application
from selfbuild.domain.base import ArtifactRef, AwareDatetime, Value
from selfbuild.domain.cycles import CycleReport, ImprovementReport
from selfbuild.domain.insights import Insight
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, Spender, Usage
from selfbuild.domain.patches import GateReport, Patch, PatchRequest, Proposal, SourceFile
from selfbuild.domain.releases import CommitInfo, Release, ReleaseState, TargetStatus
from selfbuild.domain.streams import StreamState
from selfbuild.domain.telemetry import Bucket, LogEvent, Measure, Series, Span, TelemetryBatch, TelemetryWindow
from selfbuild.domain.workers import WorkerFacts


class TelemetrySource(Protocol):
    """Reads the telemetry of one application; never invents a sample."""

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """Metric series and error groups of `[baseline_start, end)`, closed periods only.

        Error groups cover `[start, end)`.

        Raises:
            AccessDenied, InvalidRequest, MalformedAnswer: trying again changes nothing.
            Throttled, Unreachable: worth trying again.
        """
        ...

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """The 95th percentile of each component's latency as `release` (a value of the release dimension) served it.

        Over the whole of `[start, end)`; components without a sample are left out.
        """
        ...

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
        """Counts of both arms for the components named in `slow_ms`, one bucket a component and closed period.

        `canary` and `baseline` are values of the release dimension; `slow_ms` is each component's threshold.
        """
        ...

    def batch(
        self, application: Application, *, start: datetime, end: datetime, period_s: int, sampling_rate: float
    ) -> TelemetryBatch:
        """What was published in the closed periods of `[start, end)`, for the store.

        Log events of level WARNING and worse are sampled at `sampling_rate` (0-1], yet every kind of event keeps
        at least one; an event's weight says how many it stands for.

        Raises:
            As `collect`.
        """
        ...


class AlarmMessage(Value):
    """A message of the alarm queue, not looked into."""

    body: str
    receipt: str
    """What `acknowledge` needs; it changes with every delivery."""
    receive_count: int
    """How often it was delivered, this time included."""


class AlarmSource(Protocol):
    """Tells of alarms: by a queue, at least once each, and by asking. Called from threads."""

    def receive(self, wait_s: int) -> tuple[AlarmMessage, ...]:
        """The next messages, at most ten; empty when none came within `wait_s` (0 to 20).

        A message that is not acknowledged comes again.

        Raises:
            NotFound: there is no queue; the text names the remedy.
            AccessDenied, InvalidRequest, MalformedAnswer, Throttled, Unreachable: as their docstrings say.
        """
        ...

    def acknowledge(self, message: AlarmMessage) -> None:
        """Have the message not delivered again. Raises as `receive`."""
        ...

    def alarms_in_alarm(self, prefix: str) -> tuple[Alarm, ...]:
        """Metric alarms that are in ALARM now and whose names begin with `prefix`, by name. Raises as `receive`."""
        ...


class StoreSize(Value):
    """What a telemetry store holds."""

    segments: int
    bytes: int
    points: int
    events: int
    oldest: AwareDatetime | None
    newest: AwareDatetime | None


class TelemetryStore(Protocol):
    """The rolling store of telemetry: immutable segments by tenant, application and day. Any number of writers."""

    def append(self, batch: TelemetryBatch) -> None:
        """Keep a batch. The same batch again, or a later one over the same periods, replaces what was there."""
        ...

    def coverage(self, application: Application, *, start: datetime, end: datetime) -> tuple[Span, ...]:
        """The parts of `[start, end)` that batches cover, ascending, joined where they touch."""
        ...

    def series(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        measure: Measure | None = None,
    ) -> tuple[Series, ...]:
        """Series of `[start, end)`, one a component, measure, metric and period length; sorted by those."""
        ...

    def events(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        limit: int = 1000,
    ) -> tuple[LogEvent, ...]:
        """Log events of `[start, end)`, newest first."""
        ...

    def compact(self, *, now: datetime) -> int:
        """Join the small segments of days and hours that are over; how many segments went. Safe beside writers."""
        ...

    def expire(self, *, before: datetime) -> int:
        """Delete whole days before `before`; how many segments went."""
        ...

    def size(self, application: Application | None = None) -> StoreSize:
        """What is held, of one application or of all."""
        ...


class EventBuffer(Protocol):
    """The newest log events of each application in memory."""

    def keep(self, batch: TelemetryBatch) -> None:
        """Take in the events of a batch; the oldest go when there are too many."""
        ...

    def held(self, tenant_id: str, application: str) -> int:
        """How many are in memory."""
        ...


class Artifacts(Protocol):
    """Content by digest: telemetry, patches, transcripts, logs."""

    async def put(self, content: bytes, media_type: str = "application/json") -> ArtifactRef:
        """Store; storing the same content twice gives the same reference."""
        ...

    async def get(self, ref: ArtifactRef) -> bytes:
        """The content. Raises NotFound, or MalformedAnswer when the content no longer has its digest."""
        ...


class PatchGenerator(Protocol):
    """Makes patches. It is never trusted: the gate decides."""

    name: str

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """One answer, or a refusal with its reason.

        Raises:
            Throttled, ProviderOverloaded, Unreachable: worth trying again.
            AccessDenied, QuotaExhausted, InvalidRequest, MalformedAnswer, Misconfigured: ask the next provider.
        """
        ...


class LanguageModel(Protocol):
    """One provider of language models. It is never trusted, and never asks twice by itself."""

    name: str

    async def ask(self, request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        """One request, one answer; a refusal and a cut-off answer are answers.

        Raises:
            Throttled, ProviderOverloaded, Unreachable: worth trying again.
            AccessDenied, QuotaExhausted, InvalidRequest, MalformedAnswer, Misconfigured: ask the next provider.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class SpendLedger(Protocol):
    """What language models cost: one entry an answer, also of answers that were of no use."""

    async def charge(self, spender: Spender, answer: ModelAnswer, *, at: datetime) -> None:
        """Add an answer. Raises Unreachable."""
        ...

    async def spent(
        self, *, since: datetime | None = None, tenant_id: str | None = None, cycle_id: str | None = None
    ) -> Usage:
        """The sum of the entries that fit everything that is given. Raises Unreachable."""
        ...


class SandboxLimits(Value):
    """What a command in the sandbox may use."""

    wall_s: float = 120
    cpu_s: int = 60
    memory_bytes: int = 1 << 30
    processes: int = 128
    file_bytes: int = 64 << 20
    output_bytes: int = 1 << 20


class SandboxResult(Value):
    """How a command in the sandbox ended."""

    exit_code: int | None
    """None when it was ended by a limit."""
    stdout: str
    stderr: str
    limit: str | None
    """Which limit ended it: wall, cpu, memory, disk, file, output."""
    duration_ms: float
    level: str
    """What isolated it: `bubblewrap`, `landlock`, or `unsafe-local` where that was allowed explicitly."""


class SandboxStatus(Value):
    """What the sandbox enforces on this machine, found by running probes."""

    level: str
    enforced: tuple[str, ...]
    missing: tuple[str, ...]
    """What could not be shown, and the remedy."""

    @property
    def safe(self) -> bool:
        """Whether generated code may be run without a person's say."""
        return not self.missing

    @property
    def approval_reason(self) -> str | None:
        """Why a patch that was tried here is not deployed without a person's say; None where it may be."""
        if self.safe:
            return None
        return f"the sandbox {self.level!r} does not enforce everything: {'; '.join(self.missing)}"


class Sandbox(Protocol):
    """Runs untrusted code: no network, read-only system, empty environment, limits."""

    async def probe(self) -> SandboxStatus:
        """What is enforced here, by trying it."""
        ...

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Run on a copy of `tree` that is the working directory; `readable` is visible read-only.

        Raises:
            Unreachable: the sandbox did not start. That is never a verdict on the command.
        """
        ...


class Gate(Protocol):
    """All that a patch must pass before it may be deployed."""

    async def validate(
        self,
        *,
        patch: Patch,
        base_tree: Path,
        application: Application,
        shown_files: Sequence[str],
        target_symbols: Mapping[str, Sequence[str]],
        quality_threshold: float,
        insight: Insight | None = None,
    ) -> GateReport:
        """Every check, cheap to dear. A refusal is a value with check, place and remedy.

        Of a patch for an error `insight`, the error must happen before and not after; of one for any other, behaviour
        must stay. Without an insight neither is looked at.

        Raises:
            Unreachable: the sandbox did not start. That is never a verdict on the patch.
        """
        ...


class Repository(Protocol):
    """The application's git repository, reached as a remote."""

    async def head(self, application: Application) -> str:
        """Sha of the branch's newest commit."""
        ...

    async def read(self, application: Application, sha: str, paths: Sequence[str]) -> tuple[SourceFile, ...]:
        """Text of the files at `sha`; a path that does not exist is left out."""
        ...

    async def list_files(self, application: Application, sha: str) -> tuple[str, ...]:
        """Paths of all regular files at `sha`, sorted; links and submodules are left out."""
        ...

    async def export(self, application: Application, sha: str, into: Path) -> None:
        """Write the tree of `sha` into the existing empty folder `into`, without git's own files."""
        ...

    async def history(self, application: Application, *, limit: int) -> tuple[CommitInfo, ...]:
        """The newest commits of the branch, newest first; those that carry a release or revert trailer are ours."""
        ...

    async def commit_release(
        self,
        application: Application,
        *,
        base_sha: str,
        patch: Patch,
        subject: str,
        trailers: Mapping[str, str],
    ) -> str:
        """Commit the patch on `base_sha` and push it; the commit's sha.

        Safe to run twice: a commit with the same `Release-Id` trailer above `base_sha` is returned as it is.

        Raises:
            Conflict: the branch has moved on from `base_sha`, or the patch does not apply there.
        """
        ...

    async def find_release(self, application: Application, release_id: str) -> str | None:
        """Sha of the release commit with that `Release-Id` trailer on the branch, if there is one."""
        ...

    async def contains(self, application: Application, *, commit: str, tip: str) -> bool:
        """Whether `commit` is `tip` or one of its ancestors. False where either is unknown."""
        ...

    async def revert(
        self, application: Application, *, release_id: str, subject: str, trailers: Mapping[str, str]
    ) -> str | None:
        """Revert the release commit on the branch and push; the revert commit's sha, None without a release commit.

        Safe to run twice: a commit with the trailer `Reverts-Release: release_id` is returned as it is.
        Retries by itself when people push meanwhile.

        Raises:
            Conflict: later commits touch the same lines, so that a person must resolve it.
        """
        ...


class ReleaseTarget(Protocol):
    """Where releases run. Every call is safe to run twice and after a crash at any point."""

    async def describe(self, application: Application) -> TargetStatus:
        """What runs now."""
        ...

    async def start_canary(self, application: Application, *, release_id: str, sha: str, tree: Path) -> TargetStatus:
        """Serve a share of the traffic from `tree`, the release `sha`, beside the baseline.

        A release that does not become healthy leaves the baseline serving everything.

        Raises:
            Conflict: another canary is on trial.
            InvalidRequest: the release did not become healthy.
            Unreachable: the target does not answer.
        """
        ...

    async def promote(self, application: Application, *, release_id: str) -> TargetStatus:
        """Serve everything from the canary `release_id`; without effect when it is the baseline already."""
        ...

    async def stop_canary(self, application: Application, *, release_id: str) -> TargetStatus:
        """Serve everything from the baseline; bars a later `start_canary` of the same release."""
        ...

    async def replace_baseline(self, application: Application, *, sha: str, tree: Path) -> TargetStatus:
        """Serve everything from `tree`, without a canary; without effect when it is the baseline already."""
        ...


class LedgerEntry(Value):
    """One release as the ledger knows it."""

    release_id: str
    application: Application
    workflow_id: str
    state: ReleaseState
    improvement_id: str
    patch_digest: str
    release: Release | None = None
    updated_at: datetime


class Records(Protocol):
    """The read model of cycles, improvements and insights; the ledger of releases; barred patches."""

    async def save_cycle(self, report: CycleReport) -> None:
        """Insert or replace by `cycle_id`."""
        ...

    async def save_improvement(self, report: ImprovementReport) -> None:
        """Insert or replace by `improvement_id`."""
        ...

    async def save_insights(self, application: Application, cycle_id: str, insights: Sequence[Insight]) -> None:
        """Insert or replace by `insight_id`."""
        ...

    async def cycle(self, cycle_id: str) -> CycleReport | None: ...

    async def cycles(self, *, tenants: Sequence[str] | None, limit: int = 50) -> tuple[CycleReport, ...]:
        """Newest first; `tenants` None = all."""
        ...

    async def improvement(self, improvement_id: str) -> ImprovementReport | None: ...

    async def improvements(
        self, *, tenants: Sequence[str] | None, cycle_id: str | None = None, limit: int = 50
    ) -> tuple[ImprovementReport, ...]: ...

    async def insights(
        self,
        *,
        tenants: Sequence[str] | None,
        since: datetime,
        metric_name: str | None = None,
        limit: int = 200,
    ) -> tuple[tuple[str, Insight], ...]:
        """(tenant, insight) pairs, newest window first; `metric_name` matches metric, type, component or numbers."""
        ...

    async def save_stream(self, state: StreamState) -> None:
        """Insert or replace by tenant and application."""
        ...

    async def streams(self, *, tenants: Sequence[str] | None) -> tuple[StreamState, ...]:
        """The collections of telemetry, by tenant and application."""
        ...

    async def save_worker(self, facts: WorkerFacts) -> None:
        """Insert or replace by host and queue."""
        ...

    async def forget_worker(self, host: str, queue: str) -> None:
        """The worker has stopped."""
        ...

    async def workers(self) -> tuple[WorkerFacts, ...]:
        """What the workers wrote at their start, newest first; one that was killed is still among them."""
        ...

    async def ledger_put(self, entry: LedgerEntry) -> LedgerEntry:
        """Insert, or move the state on. An entry that is ROLLED_BACK stays so: the tombstone is returned unchanged."""
        ...

    async def ledger_get(self, release_id: str) -> LedgerEntry | None: ...

    async def ledger_open(self) -> tuple[LedgerEntry, ...]:
        """Entries in DEPLOYING or CANARY."""
        ...

    async def bar_patch(self, application: Application, patch_digest: str, reason: str) -> None: ...

    async def patch_barred(self, application: Application, patch_digest: str) -> str | None:
        """Why the patch may not be tried again, or None."""
        ...
