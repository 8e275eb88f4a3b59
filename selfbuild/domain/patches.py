"""Patches as search/replace edits, what a generator answers, and what the gate says of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from selfbuild.domain.applications import RecipePolicy
from selfbuild.domain.base import ArtifactRef, Value, Verdict, digest_of
from selfbuild.domain.insights import Opportunity
from selfbuild.domain.model_calls import Exchange, ModelAnswer, ModelRequest, Spender, Usage


class Edit(Value):
    """Replace the only occurrence of `search` in the original text of `path` by `replace`."""

    path: str
    search: str
    replace: str


class Patch(Value):
    """A proposed source change: all edits or none."""

    summary: Annotated[str, StringConstraints(max_length=2000)]
    edits: Annotated[tuple[Edit, ...], Field(min_length=1, max_length=20)]

    @property
    def fingerprint(self) -> str:
        """Digest of the edits alone, in any order."""
        return digest_of(*sorted(digest_of(edit.path, edit.search, edit.replace) for edit in self.edits))


class ExpectedEffect(Value):
    """What must be seen in production if the patch does what it claims, so that monitoring can falsify it."""

    component: str
    kind: str
    """`errors_gone`, `latency_down`, `growth_stopped` (a resource's use no longer rises) or `calls_down` (fewer calls
    of other components a request)."""


class SourceFile(Value):
    """A file shown to a generator."""

    path: str
    text: str


class Caller(Value):
    """Code that calls what may be changed; shown, never to be changed."""

    path: str
    line: int
    text: str
    """The calling lines with their surroundings."""


class PatchRequest(Value):
    """What a generator is asked: one opportunity, the code that may change, what came of earlier answers."""

    opportunity: Opportunity
    files: tuple[SourceFile, ...]
    """The only files that may be changed."""
    target_symbols: dict[str, tuple[str, ...]] = {}
    """Path -> functions and classes that may be changed; a path without an entry may change anywhere."""
    missing_key_defaults: dict[str, str] = {}
    recipes: RecipePolicy = RecipePolicy()
    """What offline recipes may assume of the application's intent."""
    callers: tuple[Caller, ...] = ()
    conventions: tuple[str, ...] = ()
    """How the application's code is written, found in its configuration and code."""
    exchanges: tuple[Exchange, ...] = ()
    """This provider's earlier answers, each with the machine-made reason why it was refused, oldest first."""
    tried: tuple[str, ...] = ()
    """Fingerprints of patches that were refused or taken back: not to be proposed again."""
    last_attempt: bool = False
    """No further repair follows: the provider may use its best model."""
    spender: Spender | None = None


class Proposal(Value):
    """What a generator answered. A refusal is a value with its reason."""

    provider: str
    patch: Patch | None
    refusal: str | None = None
    model: str | None = None
    """The model, or the recipe's name."""
    request_id: str | None = None
    stop_reason: str | None = None
    usage: Usage = Usage()
    repairable: bool = False
    """The answer had no patch only because of its form: asking again with the reason may help."""
    question: ModelRequest | None = None
    """What the model was sent; None for a generator without a model."""
    answer: ModelAnswer | None = None
    """What it answered, unread."""


class CheckName(StrEnum):
    """The checks of the gate, in their order."""

    FORMAT = "format"
    PATH = "path"
    SCOPE = "scope"
    SIZE = "size"
    UNICODE = "unicode"
    APPLY = "apply"
    CODE = "code"
    SYNTAX = "syntax"
    IMPORTS = "imports"
    LINT = "lint"
    TYPES = "types"
    SECURITY = "security"
    TESTS = "tests"
    REPRODUCER = "reproducer"
    """Of a patch for an error: it happens on the base as reported, and no longer on the patch."""
    BEHAVIOUR = "behaviour"
    """Of any other patch, as the two below: the changed functions do what they did."""
    MUTANTS = "mutants"
    """Faults put into the changed lines would have been found."""
    SPEED = "speed"
    """The changed functions need no more processor time."""


class CheckVerdict(StrEnum):
    """A missing tool is skipped, never passed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class CheckResult(Value):
    """One check of the gate."""

    name: str
    verdict: CheckVerdict
    tool: str
    """Tool and version, for example `ruff 0.17.6`."""
    duration_ms: float
    place: str | None = None
    """Where it failed: `path:line` or the edit's index."""
    remedy: str | None = None
    """What would make it pass, at most 2,000 characters."""
    findings: tuple[str, ...] = ()


class GateReport(Value):
    """What the gate says of a patch."""

    verdict: Verdict
    checks: tuple[CheckResult, ...]
    quality_score: Annotated[float, Field(ge=0, le=1)]
    """Weighted share of the checks passed; skipped ones count as not passed."""
    reason_class: str | None = None
    """The failing check's name; None when accepted."""
    message: str = ""
    """For people: `Validation failed: Syntax error on line 42`."""
    feedback: str = ""
    """For the generator, so that it can repair the patch; empty where it is not to be asked again."""
    failure_class: str = ""
    """What this failure has in common with others of the same cause; empty when accepted."""
    needs_approval: tuple[str, ...] = ()
    """Why a person must agree although the patch passed: what could not be shown."""
    unshown: tuple[str, ...] = ()
    """What could not be shown of the behaviour: a person must agree, unless a recipe whose rule proves it made the
    patch."""
    diff: str = ""
    """Unified diff, computed by the gate from old and new text."""
    changed_lines: int = 0
    files: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.verdict is Verdict.PASS


class StoredPatch(Value):
    """A patch kept as an artifact, with what is needed to speak of it."""

    ref: ArtifactRef
    """The Patch as JSON."""
    fingerprint: str
    """Digest of the edits alone: the same change under other words is the same patch."""
    summary: str
    provider: str
    model: str | None = None
    files: tuple[str, ...]
    expected_effect: ExpectedEffect
