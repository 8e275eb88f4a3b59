"""Judges a canary against its concurrent baseline: a pure function of counts, valid at every look.

It decides nothing about what happens next; only PASS may promote.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from selfbuild.analysis.evidence import Stratum, dispersion_of, log_evidence, total, upper_ratio
from selfbuild.domain.base import Value, Verdict
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.releases import Judgement, RateTest
from selfbuild.domain.telemetry import ArmCounts, Bucket

Kind = Literal["errors", "slow"]
KINDS: tuple[Kind, ...] = ("errors", "slow")
_BAD: dict[Kind, Callable[[ArmCounts], int]] = {"errors": lambda arm: arm.errors, "slow": lambda arm: arm.slow}
_PHRASE: dict[Kind, str] = {"errors": "requests failed", "slow": "requests were slow"}


class JudgePolicy(Value):
    """What the judge takes for worse, for healthy and for too little."""

    tolerated_ratio: float = 1.25
    """Canary rate / baseline rate up to which a release is not called worse."""
    alpha: float = 0.01
    """Chance of calling any unchanged component worse over a whole window."""
    components: int = 1
    """Components watched; two tests each share `alpha`. Those that reported count when they are more."""
    cap_nats: float = 2.0
    """Most that one period may add to the logarithm of the evidence."""
    dispersion_prior: float = 1.3
    dispersion_weight: float = 10.0
    """Clumping assumed before any was measured, and the number of periods that assumption is worth."""
    min_bad: int = 3
    min_bad_periods: int = 3
    """Bad canary requests, and periods with one, below which nothing is called worse."""
    min_error_difference: float = 0.002
    min_slow_difference: float = 0.01
    """Absolute differences of the ratios below which nothing is called worse."""
    min_requests: int = 20
    """Canary requests below which nothing is said."""
    guard_buckets: int = 2
    guard_requests: int = 20
    guard_error_ratio: float = 0.5
    """Hard guard: so many requests in the last buckets, so many of them failed."""
    guard_baseline_error_ratio: float = 0.1
    """A baseline that fails this often leaves the hard guard to the sequential test, which compares."""
    healthy_ratio: float = 2.0
    """Canary rate / baseline rate that has to be ruled out before a canary counts as healthy."""
    healthy_alpha: float = 0.05
    """Chance of calling a canary healthy that is not."""
    max_error_ratio: float = 0.01
    max_slow_ratio: float = 0.10
    """Ratios below which a canary is healthy whatever its baseline does. Slow means slower than the baseline's
    p95 before the deploy, so that 0.05 is expected without a change."""

    @classmethod
    def of(cls, policy: CyclePolicy) -> "JudgePolicy":
        """The judge's view of a cycle's thresholds."""
        return cls(
            tolerated_ratio=max(1.25, 1 + policy.rollback_degradation_threshold),
            max_error_ratio=policy.max_error_ratio,
        )


def judge(buckets: Sequence[Bucket], *, policy: JudgePolicy, final: bool) -> Judgement:
    """Compare the canary with its baseline.

    FAIL as soon as a component is worse. Before the window is over everything else is INCONCLUSIVE; at its end
    PASS needs health to be shown, so that silence and low traffic stay INCONCLUSIVE.

    Args:
        buckets: Closed periods since the deploy, in any order, one a component and period; an arm that is None
            did not report and is skipped, never counted as zero.
        policy: Thresholds.
        final: Whether the monitoring window is over.

    Source:
        Lindon, Sanden, Shirikian, arXiv 2205.14762; Netflix technology blog, "Sequential A/B testing".
    """
    reported = sorted(
        (b for b in buckets if b.canary is not None or b.baseline is not None), key=lambda b: (b.component, b.start)
    )
    components = sorted({b.component for b in reported})
    policy = policy.model_copy(update={"components": max(policy.components, len(components))})
    tests = tuple(_rate_test(reported, component, kind, policy) for component in components for kind in KINDS)
    verdict, reason = _decide(reported, tests, policy, final=final)
    return Judgement(
        verdict=verdict,
        reason=reason,
        tests=tests,
        buckets=len({b.start for b in reported}),
        canary_requests=sum(b.canary.requests for b in reported if b.canary),
        baseline_requests=sum(b.baseline.requests for b in reported if b.baseline),
    )


def strata_of(buckets: Sequence[Bucket], kind: Kind) -> list[Stratum]:
    """The counts of the buckets both arms reported."""
    bad = _BAD[kind]
    return [
        Stratum(bad(b.canary), b.canary.requests, bad(b.baseline), b.baseline.requests)
        for b in buckets
        if b.canary is not None and b.baseline is not None
    ]


def _decide(
    reported: Sequence[Bucket], tests: Sequence[RateTest], policy: JudgePolicy, *, final: bool
) -> tuple[Verdict, str]:
    broken = _broken_component(reported, policy)
    if broken is not None:
        return Verdict.FAIL, broken
    degraded = [t for t in tests if t.degraded]
    if degraded:
        worst = max(degraded, key=lambda t: (t.log_evidence, t.component, t.kind))
        return Verdict.FAIL, f"the canary is worse than its baseline: {_describe(worst)}"
    if not final:
        return Verdict.INCONCLUSIVE, f"window not over; so far {_traffic(reported)}, nothing worse found"
    missing = _missing(reported, policy)
    if missing is not None:
        return Verdict.INCONCLUSIVE, missing
    claims = [_health(reported, kind, policy) for kind in KINDS]
    reason = "; ".join(text for _, text in claims)
    if all(shown for shown, _ in claims):
        return Verdict.PASS, f"the canary is healthy: {reason}"
    return Verdict.INCONCLUSIVE, f"neither worse nor shown to be healthy, more traffic is needed: {reason}"


def _rate_test(reported: Sequence[Bucket], component: str, kind: Kind, policy: JudgePolicy) -> RateTest:
    strata = strata_of([b for b in reported if b.component == component], kind)
    sums = total(strata)
    evidence = log_evidence(
        strata,
        null_ratio=policy.tolerated_ratio,
        direction="above",
        dispersion=_dispersion(strata, policy),
        cap_nats=policy.cap_nats,
    )
    threshold = math.log(len(KINDS) * policy.components / policy.alpha)
    matters = (
        sums.canary_requests >= policy.min_requests
        and sums.canary_bad >= policy.min_bad
        and sum(s.canary_bad > 0 for s in strata) >= policy.min_bad_periods
        and _difference(sums) > (policy.min_error_difference if kind == "errors" else policy.min_slow_difference)
    )
    return RateTest(
        component=component,
        kind=kind,
        log_evidence=evidence,
        log_threshold=threshold,
        canary_bad=sums.canary_bad,
        canary_requests=sums.canary_requests,
        baseline_bad=sums.baseline_bad,
        baseline_requests=sums.baseline_requests,
        degraded=matters and evidence >= threshold,
    )


def _dispersion(strata: Sequence[Stratum], policy: JudgePolicy) -> float:
    return dispersion_of(strata, prior=policy.dispersion_prior, prior_weight=policy.dispersion_weight)


def _difference(sums: Stratum) -> float:
    if sums.canary_requests == 0 or sums.baseline_requests == 0:
        return 0.0
    return sums.canary_bad / sums.canary_requests - sums.baseline_bad / sums.baseline_requests


def _broken_component(reported: Sequence[Bucket], policy: JudgePolicy) -> str | None:
    """The hard guard: a component of the canary that fails outright while its baseline does not."""
    starts = sorted({b.start for b in reported})[-policy.guard_buckets :]
    for component in sorted({b.component for b in reported}):
        own = [b for b in reported if b.component == component]
        recent = [b.canary for b in own if b.canary is not None and b.start in starts]
        requests, errors = sum(a.requests for a in recent), sum(a.errors for a in recent)
        if requests < policy.guard_requests or errors < policy.guard_error_ratio * requests:
            continue
        baseline = [b.baseline for b in own if b.baseline is not None]
        baseline_errors = sum(a.errors for a in baseline)
        if baseline_errors <= policy.guard_baseline_error_ratio * sum(a.requests for a in baseline):
            return (
                f"{component}: {_share(errors, requests)} requests failed on the canary in the last "
                f"{len(starts)} periods"
            )
    return None


def _missing(reported: Sequence[Bucket], policy: JudgePolicy) -> str | None:
    """Why too little was seen of the canary, if so."""
    canary = sum(b.canary.requests for b in reported if b.canary)
    if canary < policy.min_requests:
        return f"the canary reported {canary:,} requests, {policy.min_requests} are needed to say anything"
    for component in sorted({b.component for b in reported}):
        own = [b for b in reported if b.component == component]
        baseline = sum(b.baseline.requests for b in own if b.baseline)
        if baseline >= policy.min_requests and not any(b.canary and b.canary.requests for b in own):
            return f"{component}: the canary reported nothing while the baseline served {baseline:,} requests"
    return None


def _health(reported: Sequence[Bucket], kind: Kind, policy: JudgePolicy) -> tuple[bool, str]:
    """Whether the canary is shown healthy over all components, and the sentence that says so.

    Each period and component is a stratum of its own: a different mix of components on the arms does no harm.
    """
    strata = strata_of(reported, kind)
    arms = [b.canary for b in reported if b.canary is not None]
    bad, requests = sum(_BAD[kind](a) for a in arms), sum(a.requests for a in arms)
    limit = policy.max_error_ratio if kind == "errors" else policy.max_slow_ratio
    upper = upper_ratio(bad, requests, alpha=policy.healthy_alpha)
    evidence = log_evidence(
        strata,
        null_ratio=policy.healthy_ratio,
        direction="below",
        dispersion=_dispersion(strata, policy),
        cap_nats=policy.cap_nats,
    )
    not_worse = evidence >= math.log(1 / policy.healthy_alpha)
    sums = total(strata)
    counts = (
        f"{_share(bad, requests)} {_PHRASE[kind]} on the canary, "
        f"{_share(sums.baseline_bad, sums.baseline_requests)} on the baseline"
    )
    if not_worse:
        return True, f"{counts} (less than {policy.healthy_ratio:g} times its baseline)"
    if upper < limit:
        return True, f"{counts} (at most {upper:.2%}, below {limit:.2%})"
    return False, f"{counts} (could be up to {upper:.2%}, {limit:.2%} is allowed)"


def _describe(test: RateTest) -> str:
    return (
        f"{test.component}: {_share(test.canary_bad, test.canary_requests)} {_PHRASE[_kind(test.kind)]} on the canary, "
        f"{_share(test.baseline_bad, test.baseline_requests)} on the baseline "
        f"(evidence 10^{test.log_evidence / math.log(10):.1f}, "
        f"10^{test.log_threshold / math.log(10):.1f} is needed)"
    )


def _kind(name: str) -> Kind:
    return "errors" if name == "errors" else "slow"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.1%})" if whole else "")


def _traffic(reported: Sequence[Bucket]) -> str:
    canary = [b.canary for b in reported if b.canary is not None]
    if not canary:
        return "no request on the canary"
    requests = sum(a.requests for a in canary)
    return (
        f"{_share(sum(a.errors for a in canary), requests)} requests failed and "
        f"{sum(a.slow for a in canary):,} were slow on the canary"
    )
