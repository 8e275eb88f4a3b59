"""Evidence on the ratio of two rates that stays valid however often it is looked at, and bounds of one rate.

Pure arithmetic shared by the judge and the goal test; it knows nothing of releases or verdicts.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

GRID_POINTS = 25
"""Alternatives the mixture averages over; more change the evidence by less than its rounding."""
GRID_NEAREST = 1.05
GRID_FARTHEST = 32.0
"""Multiples of the tolerated ratio that the alternatives span, evenly on a logarithmic scale."""
GRID = tuple(
    math.exp(math.log(GRID_NEAREST) + i * math.log(GRID_FARTHEST / GRID_NEAREST) / (GRID_POINTS - 1))
    for i in range(GRID_POINTS)
)


class Stratum(NamedTuple):
    """Counts of both arms over the same period of the same component."""

    canary_bad: int
    canary_requests: int
    baseline_bad: int
    baseline_requests: int

    @property
    def informative(self) -> bool:
        """Whether it says anything on the ratio: both arms served, and something was bad."""
        return self.canary_requests > 0 and self.baseline_requests > 0 and self.canary_bad + self.baseline_bad > 0


def total(strata: Sequence[Stratum]) -> Stratum:
    """The sums over all strata; zeros for none."""
    return Stratum(
        sum(s.canary_bad for s in strata),
        sum(s.canary_requests for s in strata),
        sum(s.baseline_bad for s in strata),
        sum(s.baseline_requests for s in strata),
    )


def log_evidence(
    strata: Sequence[Stratum],
    *,
    null_ratio: float,
    direction: Literal["above", "below"],
    dispersion: float = 1.0,
    cap_nats: float = 2.0,
) -> float:
    """Natural logarithm of the evidence that canary rate / baseline rate lies beyond `null_ratio`.

    Given the bad requests of a stratum, the canary's share of them is binomial. The evidence is the mean over a
    grid of ratios beyond the null of their likelihood against the null's; it exceeds 1/alpha with a
    probability of at most alpha over all looks when the null holds. An incident that hits both arms cancels.

    Args:
        strata: In any order; those without requests on an arm or without a bad request add nothing.
        null_ratio: The ratio that still counts as fine ("above") or as too bad ("below").
        direction: Which side of the null is to be shown.
        dispersion: Divides the evidence; 1 for independent requests, more for clumps.
        cap_nats: Most that one stratum may add, so that no single period decides.

    Returns:
        0.0 without an informative stratum.

    Source:
        Lindon, Sanden, Shirikian, "Rapid Regression Detection in Software Deployments through Sequential
        Testing", arXiv 2205.14762.
    """
    informative = [s for s in strata if s.informative]
    logs = []
    for multiple in GRID:
        ratio = null_ratio * multiple if direction == "above" else null_ratio / multiple
        gains = (_log_ratio(s, ratio, null_ratio) / dispersion for s in informative)
        logs.append(math.fsum(min(cap_nats, gain) for gain in gains))
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(x - highest) for x in logs) / len(logs))


def _log_ratio(stratum: Stratum, ratio: float, null_ratio: float) -> float:
    share = _canary_share(stratum, ratio)
    null_share = _canary_share(stratum, null_ratio)
    return stratum.canary_bad * math.log(share / null_share) + stratum.baseline_bad * (
        math.log1p(-share) - math.log1p(-null_share)
    )


def _canary_share(stratum: Stratum, ratio: float) -> float:
    weighted = ratio * stratum.canary_requests
    return weighted / (weighted + stratum.baseline_requests)


def dispersion_of(strata: Sequence[Stratum], *, prior: float, prior_weight: float) -> float:
    """How much more the bad requests clump than independent ones would, at least 1.

    Pearson's statistic around the pooled ratio, shrunk towards `prior` as if that had been seen in
    `prior_weight` strata. The prior alone when one arm had no bad request, since nothing can vary then.
    """
    informative = [s for s in strata if s.informative]
    sums = total(informative)
    if sums.canary_bad == 0 or sums.baseline_bad == 0 or len(informative) < 2:
        return max(1.0, prior)
    ratio = (sums.canary_bad / sums.canary_requests) / (sums.baseline_bad / sums.baseline_requests)
    terms = []
    for stratum in informative:
        bad, share = stratum.canary_bad + stratum.baseline_bad, _canary_share(stratum, ratio)
        terms.append((stratum.canary_bad - bad * share) ** 2 / (bad * share * (1 - share)))
    freedom = len(informative) - 1
    return max(1.0, (prior * prior_weight + math.fsum(terms)) / (prior_weight + freedom))


def upper_ratio(bad: int, requests: int, *, alpha: float) -> float:
    """Upper bound of a rate, valid at every look with probability 1 - `alpha`; 1.0 without requests.

    Source:
        Beta(1/2, 1/2) mixture martingale (Robbins 1970); solved by bisection.
    """
    if requests == 0:
        return 1.0
    good = requests - bad
    mixture = _log_beta(bad + 0.5, good + 0.5) - _log_beta(0.5, 0.5) - math.log(1 / alpha)

    def outside(rate: float) -> bool:
        return mixture - (bad * math.log(rate) + good * math.log1p(-rate)) > 0

    low, high = max(bad / requests, 1e-12), 1 - 1e-12
    if low >= high or not outside(high):
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if outside(middle) else (middle, high)
    return high


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
