"""Makes opportunities of insights and puts the worst problem first."""

from collections.abc import Iterable

from selfbuild.domain.insights import Insight, InsightType, Opportunity, Severity

ACTIONABLE = (
    InsightType.PERFORMANCE_DEGRADATION,
    InsightType.ERROR_PATTERN,
    InsightType.RESOURCE_EXHAUSTION,
    InsightType.OPTIMIZATION_OPPORTUNITY,
)
"""A change of the code can answer these; a fall of traffic, for one, usually has its cause elsewhere."""

SEVERITY_FACTORS = {Severity.LOW: 0.5, Severity.MEDIUM: 1.0, Severity.HIGH: 1.5, Severity.CRITICAL: 2.0}

RISK_FUNCTION = 0.05
"""The function is known: a local change there."""
RISK_COMPONENT = 0.08
"""Only the component is known: the place has to be found, the change is still local."""
RISK_FILE = 0.1
"""A file is known, but not the function: module code, run at import."""


def rank_opportunities(insights: Iterable[Insight]) -> tuple[Opportunity, ...]:
    """The actionable insights that nothing blocks, highest impact first; equal ones in the order of their ids.

    The impact is gain x affected requests x frequency / 100, times a factor for severity and one for confidence.
    It is counted in requests per window that would have been answered well or in time.
    """
    opportunities = [_opportunity(i) for i in insights if i.insight_type in ACTIONABLE and i.blocked is None]
    return tuple(sorted(opportunities, key=lambda o: (-o.impact_score, o.opportunity_id)))


def _opportunity(insight: Insight) -> Opportunity:
    factors = impact_factors(insight)
    score = factors["performance_gain"] * factors["affected_requests"] * factors["frequency"] / 100
    score *= factors["severity"] * factors["confidence"]
    return Opportunity(insight=insight, impact_score=score, factors=factors, risk=risk_of(insight))


def impact_factors(insight: Insight) -> dict[str, float]:
    """Every factor of the score.

    `performance_gain` (0-100): share of its time that an affected request would save; 100 for one that failed;
    the share in use of a resource that runs out, where all requests are at stake; the share of calls saved.
    `affected_requests`: errors of the group, or requests since the shift; where no request count was reported, one
    for each sample, the least there can have been. `frequency` (0-1): share of the window's periods affected.
    """
    numbers = insight.evidence.numbers
    if insight.insight_type is InsightType.ERROR_PATTERN:
        gain, affected = 100.0, numbers["errors"]
    else:
        gain = _gain(numbers)
        affected = numbers.get("affected_requests", numbers.get("recent_samples", 1.0))
    return {
        "performance_gain": gain,
        "affected_requests": affected,
        "frequency": numbers.get("frequency", 1.0),
        "severity": SEVERITY_FACTORS[insight.severity],
        "confidence": insight.confidence,
    }


def _gain(numbers: dict[str, float]) -> float:
    if "ratio" in numbers:
        ratio = max(numbers["ratio"], 1e-6)
        return 100.0 * (1 - min(ratio, 1 / ratio))
    return min(100.0, numbers.get("gain_percent", numbers.get("level_percent", 0.0)))


def risk_of(insight: Insight) -> float:
    """How much could go wrong with a change, 0-1: by how narrowly the place of the cause is known."""
    if insight.location is None:
        return RISK_COMPONENT
    if insight.location.function in (None, "<module>"):
        return RISK_FILE
    return RISK_FUNCTION
