"""The goal test: did what a change aimed at improve? Apart from the judge, which only looks for harm."""

import math
from collections.abc import Sequence

from selfbuild.analysis.evidence import Stratum, dispersion_of, log_evidence, total
from selfbuild.analysis.judge import Kind, strata_of
from selfbuild.domain.releases import Goal, GoalOutcome
from selfbuild.domain.telemetry import ArmCounts, Bucket

_KINDS: dict[str, Kind] = {"errors_gone": "errors", "latency_down": "slow"}

_UNTESTED = {
    "growth_stopped": "whether the growth has stopped shows later, in the telemetry of the next cycles",
    "calls_down": "whether fewer calls are made shows later, in the telemetry of the next cycles",
}
"""Promises that a canary's window is too short for, or that its counts do not hold."""

ENOUGH_EXPECTED = 3.0
"""Errors the canary would have had at its baseline's rate; none at all then has a chance of e^-3 = 5 %."""
LOG_CONFIDENCE = math.log(20)
"""Evidence of 20 to 1, wrong in at most 5 % of the cases however often it is looked at."""
POINTLESS_RATIO = 0.5
"""A change that does not even halve what it aimed at had no effect."""
SIGN_TEST_LEVEL = 0.01
"""Chance of a false improvement by the percentiles; seven periods out of seven reach it."""
LEAST_GAIN = 0.1
"""Smallest relative gain of a period's p95 that counts as lower."""
DISPERSION_PRIOR = 1.3
DISPERSION_WEIGHT = 10.0
"""As the judge's."""


def goal(buckets: Sequence[Bucket], *, component: str, expected_kind: str) -> Goal:
    """Measure the target component on both arms over the same periods.

    Args:
        buckets: Closed periods since the deploy; those of other components, and those one arm did not
            report, are skipped.
        component: What the change aimed at.
        expected_kind: `errors_gone`: no error where at least three were to be expected, or significantly fewer.
            `latency_down`: significantly fewer slow requests. Anything else cannot be tested: TOO_EARLY.

    Returns:
        TOO_EARLY whenever neither an improvement nor its absence is shown.
    """
    own = [b for b in buckets if b.component == component and b.canary is not None and b.baseline is not None]
    before = _numbers([b.baseline for b in own if b.baseline is not None])
    after = _numbers([b.canary for b in own if b.canary is not None])
    kind = _KINDS.get(expected_kind)
    if kind is None:
        reason = f"{component}: {_UNTESTED.get(expected_kind, f'no effect that could be tested ({expected_kind!r})')}"
        return Goal(outcome=GoalOutcome.TOO_EARLY, before=before, after=after, reason=reason)
    strata = strata_of(own, kind)
    outcome, reason = _errors_gone(strata) if kind == "errors" else _latency_down(own, strata, before, after)
    return Goal(outcome=outcome, before=before, after=after, reason=f"{component}: {reason}")


def _errors_gone(strata: Sequence[Stratum]) -> tuple[GoalOutcome, str]:
    sums = total(strata)
    if sums.canary_requests == 0 or sums.baseline_bad == 0:
        return GoalOutcome.TOO_EARLY, "the baseline showed no errors to compare with over the same periods"
    expected = sums.baseline_bad / sums.baseline_requests * sums.canary_requests
    counts = f"{sums.canary_bad:,} errors in {sums.canary_requests:,} requests where {expected:.1f} were to be expected"
    if sums.canary_bad == 0 and expected >= ENOUGH_EXPECTED:
        return GoalOutcome.IMPROVED, f"the errors are gone: {counts}"
    return _compare(strata, counts)


def _latency_down(
    buckets: Sequence[Bucket], strata: Sequence[Stratum], before: dict[str, float], after: dict[str, float]
) -> tuple[GoalOutcome, str]:
    """By the count of slow requests, else by the p95 of each period.

    The threshold of "slow" is the baseline's own p95, so that only a twentieth of a degraded baseline is slow: counts
    alone would need an hour to show what the percentiles of ten periods show.
    """
    sums = total(strata)
    counts = (
        f"{sums.canary_bad:,} of {sums.canary_requests:,} requests slow on the canary, "
        f"{sums.baseline_bad:,} of {sums.baseline_requests:,} on the baseline"
    )
    if "p95_ms" in before and "p95_ms" in after:
        counts += f", p95 {after['p95_ms']:.1f} ms against {before['p95_ms']:.1f} ms"
    outcome, reason = _compare(strata, counts)
    if outcome is GoalOutcome.TOO_EARLY:
        lower, periods = _lower_periods(buckets)
        if _sign_test(lower, periods) <= SIGN_TEST_LEVEL:
            return GoalOutcome.IMPROVED, f"p95 lower in {lower} of {periods} periods: {counts}"
    return outcome, reason


def _lower_periods(buckets: Sequence[Bucket]) -> tuple[int, int]:
    """(periods in which the canary's p95 is lower by at least LEAST_GAIN, periods with a p95 of both arms)."""
    pairs = [
        (bucket.canary.p95_ms, bucket.baseline.p95_ms)
        for bucket in buckets
        if bucket.canary is not None and bucket.baseline is not None
    ]
    known = [(after, before) for after, before in pairs if after is not None and before is not None]
    return sum(after <= before * (1 - LEAST_GAIN) for after, before in known), len(known)


def _sign_test(lower: int, periods: int) -> float:
    """Chance of so many or more lower periods where both arms are alike; 1 without a period."""
    return float(sum(math.comb(periods, k) for k in range(lower, periods + 1)) / 2**periods)


def _compare(strata: Sequence[Stratum], counts: str) -> tuple[GoalOutcome, str]:
    dispersion = dispersion_of(strata, prior=DISPERSION_PRIOR, prior_weight=DISPERSION_WEIGHT)
    if log_evidence(strata, null_ratio=1.0, direction="below", dispersion=dispersion) >= LOG_CONFIDENCE:
        return GoalOutcome.IMPROVED, f"significantly fewer: {counts}"
    if log_evidence(strata, null_ratio=POINTLESS_RATIO, direction="above", dispersion=dispersion) >= LOG_CONFIDENCE:
        return GoalOutcome.NO_EFFECT, f"not even halved: {counts}"
    return GoalOutcome.TOO_EARLY, f"not enough to tell: {counts}"


def _numbers(arms: Sequence[ArmCounts]) -> dict[str, float]:
    """p95_ms and p50_ms weighted by requests, error_ratio, slow_ratio, requests; those not measured are left out."""
    requests = sum(a.requests for a in arms)
    numbers: dict[str, float] = {"requests": float(requests)}
    if requests:
        numbers["error_ratio"] = sum(a.errors for a in arms) / requests
        numbers["slow_ratio"] = sum(a.slow for a in arms) / requests
    for name, samples in (
        ("p50_ms", [(a.p50_ms, a.requests) for a in arms if a.p50_ms is not None]),
        ("p95_ms", [(a.p95_ms, a.requests) for a in arms if a.p95_ms is not None]),
    ):
        weight = sum(count for _, count in samples)
        if weight:
            numbers[name] = math.fsum(value * count for value, count in samples) / weight
    return numbers
