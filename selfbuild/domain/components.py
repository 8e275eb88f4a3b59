"""Components that callers ask for: what is asked, what was made of it, why it was declined."""

import json
import keyword
import re
import sys
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from selfbuild.domain.base import ArtifactRef, AwareDatetime, Sha, TenantId, Value, digest_of
from selfbuild.domain.model_calls import Exchange, ModelAnswer, ModelRequest, Spender, Usage
from selfbuild.domain.patches import CheckResult

COMPONENT_NAME_PATTERN = r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$"
"""Component names: they become package names, folders and parts of git branches."""
MAX_CAPABILITIES = 20
MAX_CONTEXT_CHARACTERS = 20_000
_TAKEN = frozenset({"conftest", "mcp", "pydantic", "pytest", "setup", "tests"})
"""Package names that would hide what a component's own tests import."""
_DEPENDENCY = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})(\[[A-Za-z0-9,._-]{1,60}\])?\s*([<>=!~]=?\s*[0-9][\w.*]*,?\s*)*$"
)

Line = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True, pattern=r"^[^\r\n\x00]*$")]


class ComponentType(StrEnum):
    """What can be generated."""

    SKILL = "skill"
    AGENT = "agent"
    SERVICE = "service"
    MCP_TOOL = "mcp_tool"


class ComponentStatus(StrEnum):
    """Where a component stands."""

    GENERATING = "generating"
    REGISTERED = "registered"
    DECLINED = "declined"
    """Nothing was generated: a flag, the load or the risk forbids it."""
    REJECTED = "rejected"
    """No provider made files that pass the gate."""
    FAILED = "failed"
    """Something outside of the component did not work."""
    CANCELLED = "cancelled"


class QualityRequirements(Value):
    """What the gate holds the component to."""

    test_coverage: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Least share of the package's executable lines that its own tests run (0.8 = 80 %)."""
    max_complexity: Annotated[int, Field(ge=1, le=50)] = 10
    """Largest McCabe complexity of a function."""
    performance_target_ms: Annotated[float, Field(gt=0, le=600_000)] | None = None
    """Longest that the test of a capability may take; None = not measured against anything."""

    @field_validator("test_coverage", mode="before")
    @classmethod
    def _is_a_share(cls, value: Any) -> Any:
        if isinstance(value, int | float) and 1 < value <= 100:
            raise ValueError(f"is a share between 0 and 1: write {value / 100:g} for {value:g} %")
        return value


class ComponentRequirements(Value):
    """What the component must do."""

    name: Annotated[str, StringConstraints(min_length=2, max_length=50)]
    description: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
    capabilities: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_CAPABILITIES)]
    dependencies: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    """Packages it may import, each optionally with a version: `pydantic>=2`."""
    integration_points: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    """What it is to be connected with."""
    quality_requirements: QualityRequirements = QualityRequirements()

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if re.fullmatch(COMPONENT_NAME_PATTERN, value) is None:
            raise ValueError(
                "takes lower-case letters and digits, single '-' or '_' between them, and begins with a letter"
            )
        package = value.replace("-", "_")
        if package in sys.stdlib_module_names or keyword.iskeyword(package) or package in _TAKEN:
            raise ValueError(f"{package!r} is taken by Python or by the tests' tools: choose another name")
        return value

    @field_validator("capabilities")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for each in value:
            slug = slug_of(each)
            if not re.search(r"[a-z]", slug):
                raise ValueError(f"{each!r} has no letter a-z to make a name of")
            if slug == "health":
                raise ValueError("'health' is what every component has: leave it out")
            if slug in seen:
                raise ValueError(f"{each!r} and {seen[slug]!r} both read {slug!r}: name each capability once")
            seen[slug] = each
        return value

    @field_validator("dependencies")
    @classmethod
    def _are_packages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if _DEPENDENCY.match(each) is None:
                raise ValueError(f"{each!r} is no package with an optional version, such as 'pydantic>=2'")
        return value


class ComponentRequest(Value):
    """One component as it was asked for, by whom and for whom."""

    tenant_id: TenantId
    component_type: ComponentType
    requirements: ComponentRequirements
    context: dict[str, Any] = {}
    """Whatever helps to write it; data for a model, never an instruction to the agent."""
    requested_by: str = ""
    providers: tuple[str, ...] = ()
    """Who may generate it, in the order they are asked."""
    timeout_s: float = 60
    """Of one request to a provider."""
    provider_attempts: int = 3
    provider_wait_s: float = 60
    """Longest wait between two attempts."""

    @field_validator("context")
    @classmethod
    def _is_small(cls, value: dict[str, Any]) -> dict[str, Any]:
        size = len(json.dumps(value))
        if size > MAX_CONTEXT_CHARACTERS:
            raise ValueError(f"has {size} characters as JSON: at most {MAX_CONTEXT_CHARACTERS} are taken")
        return value

    @property
    def package(self) -> str:
        """The name of its Python package."""
        return self.requirements.name.replace("-", "_")

    @property
    def capabilities(self) -> dict[str, str]:
        """Name in the code -> the capability as it was asked for."""
        return {slug_of(each): each for each in self.requirements.capabilities}

    @property
    def digest(self) -> str:
        """Names what was asked, whoever asked for it and whoever generates it."""
        return digest_of(
            self.tenant_id,
            self.component_type,
            self.requirements.model_dump_json(),
            json.dumps(self.context, sort_keys=True),
        )

    @property
    def component_id(self) -> str:
        """Asking for the same again is asking for the same component."""
        return f"cmp_{self.digest[:16]}"


class ComponentFile(Value):
    """A file of a component, relative to its own folder."""

    path: str
    content: str


class GeneratedFile(Value):
    """What is said of one file."""

    path: str
    lines_of_code: int
    """Lines that are neither empty nor only a comment."""
    complexity_score: int | None
    """The largest McCabe complexity of its functions; None for what is no Python or has no function."""
    test_coverage: float | None
    """Share of its executable lines that the component's own tests run; None for tests and for what is no Python."""


class ComponentValidation(Value):
    """What the gate found; False also for what was not reached, since nothing was shown."""

    syntax_valid: bool = False
    imports_resolved: bool = False
    type_check_passed: bool = False
    security_scan_passed: bool = False
    tests_passed: bool = False
    test_coverage: float | None = None
    """Of all files of the package together."""
    max_complexity: int | None = None
    slowest_capability_ms: float | None = None
    """The longest `test_capability_*` in the sandbox, without its setup; in whole milliseconds. Counting lines slows
    it: where it misses the target, a run without counting decides."""
    tests_count: int = 0


class ComponentGateReport(Value):
    """What the gate says of the files of a component."""

    accepted: bool
    message: str = ""
    """Why not, for people and for the generator."""
    reason_class: str | None = None
    """The first failing check."""
    final: bool = False
    """The refusal may be an attack: it is not sent back for repair."""
    checks: tuple[CheckResult, ...] = ()
    files: tuple[GeneratedFile, ...] = ()
    validation: ComponentValidation = ComponentValidation()


class ComponentQuestion(Value):
    """What a generator is asked."""

    request: ComponentRequest
    exchanges: tuple[Exchange, ...] = ()
    """This generator's earlier answers and why each was refused, oldest first."""
    last_attempt: bool = False
    spender: Spender | None = None


class ComponentProposal(Value):
    """What a generator answered. A refusal is a value with its reason."""

    provider: str
    summary: str = ""
    files: tuple[ComponentFile, ...] = ()
    refusal: str | None = None
    repairable: bool = False
    """The answer was refused only for its form: asking again with the reason may help."""
    missing: tuple[str, ...] = ()
    """What is still to be written by hand."""
    scaffold: bool = False
    """A skeleton that works, without the capabilities themselves."""
    model: str | None = None
    usage: Usage = Usage()
    question: ModelRequest | None = None
    answer: ModelAnswer | None = None


class Registration(Value):
    """Where a component is kept."""

    key: str
    """`tenant/name@version`."""
    version: int
    """1 for the first component of that name; another set of requirements under the same name counts on."""
    repository: str
    """The tenant's component repository, without credentials."""
    branch: str
    commit: Sha
    path: str
    """Its folder in the repository."""
    registered_at: AwareDatetime


class Decline(Value):
    """Why nothing was generated, and what can be done instead."""

    reason_class: str
    """`flag`, `paused`, `load` or `risk`."""
    reason: str
    alternatives: tuple[str, ...]


class ComponentReport(Value):
    """The answer of generate_component, and what the registry keeps."""

    component_id: str
    status: ComponentStatus
    tenant_id: TenantId
    name: str
    component_type: ComponentType
    files_generated: tuple[GeneratedFile, ...] = ()
    registration: Registration | None = None
    validation: ComponentValidation = ComponentValidation()
    next_steps: tuple[str, ...] = ()
    reason: str = ""
    """Why it was declined or rejected, or why it failed; else what was made."""
    declined: Decline | None = None
    scaffold: bool = False
    """A skeleton that works, without the capabilities themselves."""
    missing: tuple[str, ...] = ()
    quality_requirements: QualityRequirements = QualityRequirements()
    provider: str | None = None
    model: str | None = None
    usage: Usage = Usage()
    attempts: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    request_digest: str
    requested_by: str = ""
    workflow_id: str | None = None
    """None where no workflow was started."""
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    stored_files: ArtifactRef | None = None
    """The contents of the files."""


def slug_of(capability: str) -> str:
    """A capability's name in the code: `Summarise meetings` becomes `summarise_meetings`."""
    return re.sub(r"[^a-z0-9]+", "_", capability.lower()).strip("_")[:60].strip("_")


def package_of(dependency: str) -> str:
    """The package's name as registries compare it, without version and extras."""
    found = _DEPENDENCY.match(dependency)
    name = found[1] if found else dependency
    return re.sub(r"[-_.]+", "-", name).lower()


def new_report(request: ComponentRequest, now: AwareDatetime, *, workflow_id: str | None) -> ComponentReport:
    """The report of a component that is about to be generated."""
    return ComponentReport(
        component_id=request.component_id,
        status=ComponentStatus.GENERATING,
        tenant_id=request.tenant_id,
        name=request.requirements.name,
        component_type=request.component_type,
        quality_requirements=request.requirements.quality_requirements,
        request_digest=request.digest,
        requested_by=request.requested_by,
        workflow_id=workflow_id,
        created_at=now,
        next_steps=(f"ask again: selfbuild component show {request.component_id}",),
    )


def component_workflow_id(request: ComponentRequest) -> str:
    """One run at a time for each thing asked."""
    return f"component/{request.tenant_id}/{request.component_id}"


def next_steps(report: ComponentReport) -> tuple[str, ...]:
    """What a person does with the outcome."""
    if report.declined is not None:
        return report.declined.alternatives
    if report.registration is None:
        again = "ask for the component again"
        return (f"read the reason and the checks, change the requirements, and {again}",)
    where = report.registration
    steps = [f"read it: git clone -b {where.branch} {where.repository}, folder {where.path}"]
    if report.missing:
        steps.append(f"write what is missing: {', '.join(report.missing)}")
    steps.append("merge the branch after review: nothing is deployed by itself")
    return tuple(steps)
