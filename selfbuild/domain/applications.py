"""What the agent is told of an application: its telemetry, repository, release target and what may be done to it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from selfbuild.domain.base import ApplicationName, TenantId, Value
from selfbuild.domain.telemetry import Direction, Measure

Scalar = str | int | float | bool | None


class Mode(StrEnum):
    """How far the agent may go with an application."""

    OBSERVE = "observe"
    """Find and rank; change nothing."""
    AUTO = "auto"
    """Carry improvements through to a judged release."""


class DeclaredMetric(Value):
    """A metric beside latency, requests and errors that the agent is to watch."""

    name: str
    measure: Measure = Measure.LEVEL
    statistic: str = "Average"
    unit: str | None = None
    """As CloudWatch names it; None = whatever was published."""
    worse: Direction | None = None
    """None = as the measure says."""
    capacity: Annotated[float, Field(gt=0)] | None = None
    """For `utilization`: the value that is 100 per cent; None = the metric is in per cent already."""
    namespace: str | None = None
    """None = the application's."""
    dimensions: dict[str, str] = {}
    """Fixed dimensions in place of component and tenant, for metrics that a service of AWS publishes."""
    component: str | None = None
    """Whose metric it is where `dimensions` are fixed."""
    expression: str | None = None
    """Metric math over `requests`, `errors`, `latency` in place of a published metric: `100 * errors / requests`."""


class TelemetryConfig(Value):
    """Where the application's metrics and logs are, under which names."""

    namespace: str = "MeetMind/MCPUIHub"
    log_group: str
    latency_metric: str = "ResponseLatency"
    """Unit Milliseconds."""
    requests_metric: str = "Requests"
    errors_metric: str = "Errors"
    component_dimension: str = "component"
    tenant_dimension: str = "tenant_id"
    release_dimension: str = "release"
    """Metrics are also published by (component, release): that is how a canary is told from its baseline."""
    callee_dimension: str = "callee"
    """Calls between components are published by (component, callee), with or without the tenant."""
    calls_metric: str = "Calls"
    """Unit Count."""
    metrics: tuple[DeclaredMetric, ...] = ()
    alarms: tuple[str, ...] = ()
    """Globs of alarm names that are the application's, where the alarms' metrics do not tell."""


class RepositoryConfig(Value):
    """The application's source."""

    url: str
    """Any git remote, or the path of a bare repository on this machine."""
    branch: str = "main"
    allowed_paths: tuple[str, ...] = ("**/*.py",)
    """Globs of the files that may be changed."""
    denied_paths: tuple[str, ...] = (
        "tests/**",
        "**/test_*.py",
        "**/conftest.py",
        "**/migrations/**",
        "**/auth*",
    )
    """Globs that are never changed, whatever `allowed_paths` says."""
    test_command: tuple[str, ...] = ("python", "-m", "pytest", "-q")
    """Run in the repository root inside the sandbox; a leading `python` is replaced by `python`'s setting."""
    python: str | None = None
    """Interpreter of the application's environment; None = the agent's own."""


class ProcessTarget(Value):
    """Release target `process`: the supervisor holds the listening socket and runs N workers."""

    control_url: str
    """Base URL of the supervisor's control interface, on loopback."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    canary_workers: Annotated[int, Field(ge=1, le=63)] = 1
    """So many of the workers serve the canary while it is on trial."""

    @model_validator(mode="after")
    def _canary_leaves_a_baseline(self) -> "ProcessTarget":
        if self.canary_workers >= self.workers:
            raise ValueError("canary_workers must be smaller than workers: the baseline needs at least one")
        return self


class BatchCall(Value):
    """A function that answers for many ids at once."""

    many: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Its name, in the same module or on the same object as the one for a single id."""
    answers: Literal["list", "mapping"] = "list"
    """`list`: one answer for each id, in order; `mapping`: id -> answer, every id present."""


class RetryCall(Value):
    """How often a call that changes nothing may be repeated."""

    errors: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")], ...], Field(min_length=1)
    ]
    """Exceptions worth another attempt, as the code can name them: `ConnectionError`, `requests.Timeout`."""
    attempts: Annotated[int, Field(ge=2, le=5)] = 3
    wait_s: Annotated[float, Field(ge=0, le=5)] = 0.05
    """Before the second attempt, in seconds; doubled before each further one."""


class RecipePolicy(Value):
    """What an offline recipe may assume about the application's intent. Without an entry it refuses."""

    missing_key_defaults: dict[str, str] = {}
    """Key of a mapping -> the string that stands for "not given"."""
    value_defaults: dict[str, Scalar] = {}
    """Key, attribute, variable or function -> its value where it cannot be computed: nothing there, an empty list,
    a division by zero, a text that is no number."""
    batch_calls: dict[str, BatchCall] = {}
    """Function that fetches one thing by its id -> the one that fetches many."""
    retry_calls: dict[str, RetryCall] = {}
    """Dotted name of an idempotent call -> how it may be repeated."""
    staleness_s: dict[str, Annotated[float, Field(gt=0, le=86_400)]] = {}
    """Function -> how old its answers may be, in seconds; its callers change no answer."""
    pure_functions: tuple[str, ...] = ()
    """Functions whose answer depends on hashable arguments alone; their callers change no answer."""
    collection_limits: dict[str, Annotated[int, Field(gt=0)]] = {}
    """Module variable or attribute that grows -> how many of its latest entries are needed."""


class Application(Value):
    """One watched service of one tenant."""

    tenant_id: TenantId
    name: ApplicationName
    mode: Mode = Mode.OBSERVE
    telemetry: TelemetryConfig
    repository: RepositoryConfig
    release: ProcessTarget
    recipes: RecipePolicy = RecipePolicy()
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @property
    def key(self) -> str:
        """`tenant/name`, unique in a deployment."""
        return f"{self.tenant_id}/{self.name}"
