"""Releases, how they are judged, and how they are taken back."""

from enum import StrEnum

from selfbuild.domain.base import AwareDatetime, Sha, Value, Verdict


class ReleaseState(StrEnum):
    """The ledger's states; everything but LIVE_* is an end."""

    DEPLOYING = "deploying"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Release(Value):
    """One release on trial beside its baseline."""

    release_id: str
    """Made by the workflow before anything is deployed: every step is idempotent by it."""
    application_key: str
    baseline_sha: Sha
    """What the other workers run."""
    sha: Sha
    """The release commit."""
    canary_share: float
    """Share of the workers, 0-1."""
    deployed_at: AwareDatetime


class Rollback(Value):
    """What a rollback left behind."""

    release_id: str
    serving_sha: Sha
    """What all workers run now."""
    revert_sha: Sha | None
    """The revert commit; None when no release commit had been made."""


class TargetStatus(Value):
    """What a release target runs."""

    baseline_sha: Sha | None
    canary_sha: Sha | None
    canary_release_id: str | None
    workers: int
    canary_workers: int
    healthy: bool


class RateTest(Value):
    """One sequential test of the judge on one component."""

    component: str
    kind: str
    """`errors` or `slow`."""
    log_evidence: float
    """Natural logarithm of the evidence against "not worse"."""
    log_threshold: float
    canary_bad: int
    canary_requests: int
    baseline_bad: int
    baseline_requests: int
    degraded: bool


class GoalOutcome(StrEnum):
    """Did what the change aimed at improve?"""

    IMPROVED = "improved"
    NO_EFFECT = "no_effect"
    TOO_EARLY = "too_early"


class Goal(Value):
    """What the goal test measured on the target component, both arms over the same periods."""

    outcome: GoalOutcome
    before: dict[str, float]
    """Baseline arm: p95_ms, error_ratio, requests."""
    after: dict[str, float]
    """Canary arm, the same names."""
    reason: str


class Judgement(Value):
    """A verdict on a canary with its numbers."""

    verdict: Verdict
    reason: str
    tests: tuple[RateTest, ...] = ()
    buckets: int = 0
    canary_requests: int = 0
    baseline_requests: int = 0
    goal: Goal | None = None
    evaluated_until: AwareDatetime | None = None


class CommitInfo(Value):
    """A commit of the application's repository, as far as a report needs it."""

    sha: Sha
    author_name: str
    committed_at: AwareDatetime
    subject: str
    by_agent: bool
    """Made by this agent, not by a person."""
