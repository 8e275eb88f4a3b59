"""The steps of generate_component: requests, results and, at the end, one table with queues, time-outs and retries."""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from selfbuild.component_ports import ComponentCommit
from selfbuild.domain.base import ArtifactRef, AwareDatetime, Value
from selfbuild.domain.components import ComponentGateReport, ComponentReport, ComponentRequest
from selfbuild.domain.errors import permanent_error_names
from selfbuild.domain.model_calls import Usage
from workflows.steps import CYCLE_QUEUE, DEPLOY_QUEUE, LLM_QUEUE, SANDBOX_QUEUE, Step


class DraftRequest(Value):
    """Ask one provider for the files of a component."""

    request: ComponentRequest
    provider: str
    exchanges: tuple[ArtifactRef, ...] = ()
    """This provider's earlier drafts, oldest first; what was said of each stands in `feedback`."""
    feedback: tuple[str, ...] = ()
    last_attempt: bool = False


class Draft(Value):
    """The files of a component, or why there are none."""

    provider: str
    files: ArtifactRef | None = None
    """The list of files as JSON."""
    paths: tuple[str, ...] = ()
    files_digest: str = ""
    summary: str = ""
    refusal: str | None = None
    repairable: bool = False
    scaffold: bool = False
    missing: tuple[str, ...] = ()
    model: str | None = None
    usage: Usage = Usage()
    answer: ArtifactRef | None = None
    """What the model answered, unread; repairs show it again."""


class CheckComponentRequest(Value):
    """Put the files of a component through the gate."""

    request: ComponentRequest
    files: ArtifactRef


class CommitComponentRequest(Value):
    """Write the files to the component's branch."""

    request: ComponentRequest
    files: ArtifactRef
    provider: str
    model: str | None
    at: AwareDatetime


class RegisterComponentRequest(Value):
    """Write the registry."""

    report: ComponentReport


def _retry(*, first_s: float, longest_s: float, attempts: int = 0) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(seconds=first_s),
        backoff_coefficient=2,
        maximum_interval=timedelta(seconds=longest_s),
        maximum_attempts=attempts,
        non_retryable_error_types=[*permanent_error_names()],
    )


DRAFT: Step[DraftRequest, Draft] = Step(
    "draft_component",
    Draft,
    LLM_QUEUE,
    start_to_close_s=180,
    schedule_to_close_s=10 * 60,
    heartbeat_s=30,
    retry=_retry(first_s=2, longest_s=60, attempts=3),
)
CHECK: Step[CheckComponentRequest, ComponentGateReport] = Step(
    "check_component",
    ComponentGateReport,
    SANDBOX_QUEUE,
    start_to_close_s=10 * 60,
    schedule_to_close_s=25 * 60,
    heartbeat_s=15,
    retry=_retry(first_s=2, longest_s=30, attempts=3),
)
COMMIT: Step[CommitComponentRequest, ComponentCommit] = Step(
    "commit_component",
    ComponentCommit,
    DEPLOY_QUEUE,
    start_to_close_s=3 * 60,
    schedule_to_close_s=15 * 60,
    heartbeat_s=30,
    retry=_retry(first_s=1, longest_s=30),
)
REGISTER: Step[RegisterComponentRequest, ComponentReport] = Step(
    "register_component",
    ComponentReport,
    CYCLE_QUEUE,
    start_to_close_s=15,
    schedule_to_close_s=10 * 60,
    cancellation=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry=_retry(first_s=1, longest_s=10),
)

COMPONENT_STEPS = (DRAFT, CHECK, COMMIT, REGISTER)
