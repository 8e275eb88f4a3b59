"""The goal test on latencies whose slow share alone says too little."""

import pytest

from selfbuild.analysis.goal import goal
from selfbuild.domain.releases import GoalOutcome
from selfbuild.domain.telemetry import ArmCounts, Bucket


def buckets(canary_p95: list[float | None], *, baseline_p95: float = 50.0) -> list[Bucket]:
    """Slow requests so few that their count says nothing either way."""
    return [
        Bucket(
            start=5.0 * number,
            component="topics",
            canary=ArmCounts(requests=25, errors=0, slow=0, p95_ms=value),
            baseline=ArmCounts(requests=25, errors=0, slow=int(number < 2), p95_ms=baseline_p95),
        )
        for number, value in enumerate(canary_p95)
    ]


@pytest.mark.parametrize(
    ("canary_p95", "outcome"),
    [
        pytest.param([2.5] * 9, GoalOutcome.IMPROVED, id="lower-in-every-period"),
        pytest.param([2.5] * 7, GoalOutcome.IMPROVED, id="seven-of-seven"),
        pytest.param([2.5] * 6, GoalOutcome.TOO_EARLY, id="six-periods-say-too-little"),
        pytest.param([2.5] * 5 + [60.0] * 4, GoalOutcome.TOO_EARLY, id="half-and-half"),
        pytest.param([48.0] * 20, GoalOutcome.TOO_EARLY, id="four-per-cent-is-no-gain"),
        pytest.param([None] * 9, GoalOutcome.TOO_EARLY, id="not-measured"),
    ],
)
def test_latency_goal_by_periods(canary_p95: list[float | None], outcome: GoalOutcome) -> None:
    judged = goal(buckets(canary_p95), component="topics", expected_kind="latency_down")

    assert judged.outcome is outcome
