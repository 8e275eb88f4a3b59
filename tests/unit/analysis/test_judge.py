"""The judge and the goal test: verdicts, properties, and the share of wrong ones in seeded simulations."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfbuild.analysis.evidence import Stratum, dispersion_of, log_evidence, upper_ratio
from selfbuild.analysis.goal import goal
from selfbuild.analysis.judge import JudgePolicy, judge
from selfbuild.domain.base import Verdict
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.releases import GoalOutcome, Judgement
from selfbuild.domain.telemetry import ArmCounts, Bucket

POLICY = JudgePolicy()
Counts = tuple[int, int, int]
"""Requests, errors, slow."""


def a_bucket(
    start: float = 0, *, component: str = "topics", canary: Counts | None = None, baseline: Counts | None = None
) -> Bucket:
    return Bucket(start=start, component=component, canary=an_arm(canary), baseline=an_arm(baseline))


def an_arm(counts: Counts | None, *, p95_ms: float | None = None) -> ArmCounts | None:
    if counts is None:
        return None
    return ArmCounts(requests=counts[0], errors=counts[1], slow=counts[2], p95_ms=p95_ms)


def periods(number: int, canary: Counts | None, baseline: Counts | None, component: str = "topics") -> list[Bucket]:
    return [a_bucket(5.0 * n, component=component, canary=canary, baseline=baseline) for n in range(number)]


def judged(buckets: list[Bucket], *, final: bool = True) -> Judgement:
    return judge(buckets, policy=POLICY, final=final)


def test_five_times_the_errors_fail_before_the_window_is_over() -> None:
    judgement = judged(periods(20, (60, 3, 3), (60, 0, 3)), final=False)

    assert judgement.verdict is Verdict.FAIL
    assert "topics: 60 of 1,200 (5.0%) requests failed on the canary, 0 of 1,200 (0.0%)" in judgement.reason
    assert [(t.kind, t.degraded) for t in judgement.tests] == [("errors", True), ("slow", False)]


def test_slower_requests_fail() -> None:
    judgement = judged(periods(20, (60, 0, 12), (60, 0, 3)))

    assert judgement.verdict is Verdict.FAIL
    assert "240 of 1,200 (20.0%) requests were slow" in judgement.reason


def test_equal_arms_pass_at_the_end_only() -> None:
    buckets = periods(20, (60, 0, 3), (60, 0, 3))

    assert judged(buckets).verdict is Verdict.PASS
    early = judged(buckets, final=False)
    assert early.verdict is Verdict.INCONCLUSIVE
    assert early.reason.startswith("window not over; so far 0 of 1,200 (0.0%) requests failed")


def test_errors_both_arms_share_pass() -> None:
    """A third of the requests fails on both: not worse than the baseline, whatever the objective says."""
    judgement = judged(periods(20, (40, 13, 2), (40, 13, 2)))

    assert judgement.verdict is Verdict.PASS
    assert "less than 2 times its baseline" in judgement.reason


def test_an_incident_that_hits_both_arms_is_not_the_canary_s_fault() -> None:
    calm, incident = periods(10, (60, 0, 3), (60, 0, 3)), periods(10, (60, 40, 50), (60, 40, 50))

    assert judged([*calm, *(b.model_copy(update={"start": b.start + 100}) for b in incident)]).verdict is Verdict.PASS


def test_unequal_split_is_compared_by_ratio() -> None:
    assert judged(periods(30, (20, 0, 1), (180, 0, 9))).verdict is not Verdict.FAIL
    assert judged(periods(30, (20, 2, 1), (180, 1, 9))).verdict is Verdict.FAIL


def test_hard_guard_fires_within_two_periods() -> None:
    judgement = judged(periods(2, (10, 6, 0), (30, 0, 1)), final=False)

    assert judgement.verdict is Verdict.FAIL
    assert "12 of 20 (60.0%) requests failed on the canary in the last 2 periods" in judgement.reason


def test_hard_guard_leaves_a_failing_baseline_to_the_comparison() -> None:
    assert judged(periods(2, (10, 6, 0), (30, 18, 1)), final=False).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("buckets", "reason"),
    [
        pytest.param([], "the canary reported 0 requests", id="nothing at all"),
        pytest.param(periods(20, None, (60, 0, 3)), "the canary reported 0 requests", id="silent canary"),
        pytest.param(periods(20, (0, 0, 0), (60, 0, 3)), "the canary reported 0 requests", id="canary without traffic"),
        pytest.param(periods(3, (5, 0, 0), (50, 0, 2)), "the canary reported 15 requests", id="hardly any traffic"),
        pytest.param(periods(5, (30, 0, 1), (30, 0, 1)), "more traffic is needed", id="too little to show health"),
        pytest.param(
            periods(20, (60, 0, 3), (60, 0, 3)) + periods(20, None, (60, 0, 3), "actions"),
            "actions: the canary reported nothing while the baseline served 1,200 requests",
            id="a component is missing on the canary",
        ),
    ],
)
def test_what_was_not_shown_is_inconclusive(buckets: list[Bucket], reason: str) -> None:
    judgement = judged(buckets)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert reason in judgement.reason


def test_missing_arms_are_skipped_and_never_count_as_zero() -> None:
    complete = periods(20, (60, 2, 3), (60, 2, 3))
    gaps = [a_bucket(200 + 5.0 * n, canary=(60, 2, 3)) for n in range(20)]

    tests = judged(complete + gaps).tests

    assert [t.log_evidence for t in tests] == [t.log_evidence for t in judged(complete).tests]
    assert {t.canary_requests for t in tests} == {1200}


def test_a_few_errors_in_one_period_do_not_fail() -> None:
    burst = a_bucket(500, canary=(60, 9, 3), baseline=(60, 0, 3))

    assert judged([*periods(20, (60, 0, 3), (60, 0, 3)), burst]).verdict is not Verdict.FAIL


def test_three_periods_with_a_bad_request_are_needed() -> None:
    hasty = JudgePolicy(alpha=0.2)
    calm, burst = (60, 0, 3), (60, 9, 3)

    def verdict(bursts: int) -> Verdict:
        buckets = [a_bucket(n, canary=burst if n < bursts else calm, baseline=calm) for n in range(20)]
        return judge(buckets, policy=hasty, final=False).verdict

    assert (verdict(2), verdict(3)) == (Verdict.INCONCLUSIVE, Verdict.FAIL)


def test_no_period_adds_more_than_the_cap() -> None:
    disaster = [Stratum(1000, 1000, 0, 1000)]

    assert log_evidence(disaster, null_ratio=1.25, direction="above", cap_nats=2.0) == pytest.approx(2.0)


def test_policy_of_a_cycle_keeps_the_smallest_tolerated_ratio() -> None:
    assert JudgePolicy.of(CyclePolicy()).tolerated_ratio == 1.25
    assert JudgePolicy.of(CyclePolicy(rollback_degradation_threshold=0.5)).tolerated_ratio == 1.5
    assert JudgePolicy.of(CyclePolicy(max_error_ratio=0.05)).max_error_ratio == 0.05


def test_more_components_ask_for_more_evidence() -> None:
    alone = judged(periods(3, (20, 0, 1), (20, 0, 1))).tests
    together = judged(periods(3, (20, 0, 1), (20, 0, 1)) + periods(3, (20, 0, 1), (20, 0, 1), "actions")).tests

    assert together[0].log_threshold > alone[0].log_threshold


arms = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80)).map(
        lambda c: (c[0], min(c[0], c[1]), min(c[0], c[2]))
    ),
)
histories = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), arms, arms), max_size=25, unique_by=lambda row: id(row)
).map(lambda rows: [a_bucket(5.0 * n, component=c, canary=one, baseline=two) for n, (c, one, two) in enumerate(rows)])


@given(histories, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=150, deadline=None)
def test_order_of_buckets_changes_nothing(buckets: list[Bucket], rng: random.Random, final: bool) -> None:
    shuffled = rng.sample(buckets, len(buckets))

    assert judged(shuffled, final=final) == judged(buckets, final=final)


@given(histories, st.booleans())
@settings(max_examples=150, deadline=None)
def test_names_of_components_change_names_alone(buckets: list[Bucket], final: bool) -> None:
    names = {"a": "z", "b": "y", "c": "x"}
    renamed = [b.model_copy(update={"component": names[b.component]}) for b in buckets]

    one, two = judged(buckets, final=final), judged(renamed, final=final)

    assert one.verdict is two.verdict
    assert sorted((names[t.component], t.kind, t.log_evidence, t.degraded) for t in one.tests) == sorted(
        (t.component, t.kind, t.log_evidence, t.degraded) for t in two.tests
    )


@given(
    st.lists(st.tuples(*[st.integers(0, 20), st.integers(20, 90)] * 2).map(lambda t: Stratum(*t)), max_size=20),
    st.integers(2, 1000),
)
@settings(max_examples=150, deadline=None)
def test_evidence_depends_on_the_split_of_traffic_and_not_on_its_size(strata: list[Stratum], factor: int) -> None:
    scaled = [s._replace(canary_requests=s.canary_requests * factor, baseline_requests=s.baseline_requests * factor)
              for s in strata]  # fmt: skip

    for direction in ("above", "below"):
        assert log_evidence(strata, null_ratio=1.25, direction=direction) == pytest.approx(
            log_evidence(scaled, null_ratio=1.25, direction=direction), abs=1e-9
        )


def test_evidence_grows_with_the_difference_and_is_nothing_without_one() -> None:
    def above(canary_bad: int) -> float:
        return log_evidence([Stratum(canary_bad, 100, 5, 100)] * 10, null_ratio=1.25, direction="above")

    assert above(5) < 0 < above(15) < above(30)
    assert log_evidence([], null_ratio=1.25, direction="above") == 0
    assert log_evidence([Stratum(0, 100, 0, 100)], null_ratio=1.25, direction="above") == 0


def test_clumps_weaken_the_evidence() -> None:
    steady = [Stratum(4, 100, 4, 100)] * 20
    clumped = [Stratum(16, 100, 0, 100), *[Stratum(0, 100, 5, 100)] * 3] * 5

    assert dispersion_of(steady, prior=1.3, prior_weight=10) == 1.0
    assert dispersion_of(clumped, prior=1.3, prior_weight=10) > 3
    assert dispersion_of([], prior=1.3, prior_weight=10) == 1.3


@pytest.mark.parametrize(
    ("bad", "requests", "expected"),
    [
        pytest.param(0, 0, 1.0, id="no requests"),
        pytest.param(5, 5, 1.0, id="all bad"),
        pytest.param(0, 700, 0.00973, id="seven hundred good ones"),
    ],
)
def test_upper_bound_of_a_ratio(bad: int, requests: int, expected: float) -> None:
    assert upper_ratio(bad, requests, alpha=0.05) == pytest.approx(expected, abs=0.0006)


def test_upper_bound_holds_at_every_look() -> None:
    rng = random.Random(23)
    wrong = 0
    for _ in range(200):
        bad, bounds = 0, []
        for requests in range(20, 401, 20):
            bad += sum(rng.random() < 0.05 for _ in range(20))
            bounds.append(upper_ratio(bad, requests, alpha=0.05))
        wrong += min(bounds) < 0.05
        assert bounds[-1] > bad / 400

    assert wrong <= 10


def simulate(
    rng: random.Random,
    *,
    requests: tuple[int, int],
    number: int,
    error_ratios: tuple[float, float] = (0.005, 0.005),
    slow_ratio: float = 0.05,
) -> Verdict:
    """Look after every period until the verdict is FAIL or the window is over. Canary first in every pair."""
    buckets: list[Bucket] = []

    def served(arm: int, slow: float) -> Counts:
        count = max(0, round(rng.gauss(requests[arm], requests[arm] ** 0.5)))
        errors = sum(rng.random() < error_ratios[arm] for _ in range(count))
        return count, errors, sum(rng.random() < slow for _ in range(count))

    for period in range(number):
        for component in ("actions", "topics"):
            canary, baseline = served(0, slow_ratio), served(1, 0.05)
            buckets.append(a_bucket(5.0 * period, component=component, canary=canary, baseline=baseline))
        judgement = judged(buckets, final=period == number - 1)
        if judgement.verdict is Verdict.FAIL:
            break
    return judgement.verdict


@pytest.mark.parametrize(
    ("requests", "number", "error_ratio", "runs"),
    [
        pytest.param((10, 30), 12, 0.005, 200, id="10 requests a period, a quarter of the traffic"),
        pytest.param((20, 60), 12, 0.33, 150, id="a third of the requests fails on both"),
        pytest.param((80, 80), 12, 0.01, 80, id="80 requests a period, half of the traffic"),
        pytest.param((60, 60), 60, 0.005, 25, id="an hour of minutes"),
    ],
)
def test_an_unchanged_release_is_hardly_ever_rolled_back(
    requests: tuple[int, int], number: int, error_ratio: float, runs: int
) -> None:
    rng = random.Random(20)
    verdicts = Counter(
        simulate(rng, requests=requests, number=number, error_ratios=(error_ratio, error_ratio)) for _ in range(runs)
    )

    assert verdicts[Verdict.FAIL] <= 0.02 * runs


@pytest.mark.parametrize(
    ("error_ratios", "slow_ratio"),
    [
        pytest.param((0.025, 0.005), 0.05, id="five times the errors"),
        pytest.param((0.01, 0.0), 0.05, id="errors where there were none"),
        pytest.param((0.005, 0.005), 0.166, id="latency 1.5 times as high"),
    ],
)
def test_a_worse_release_is_found_within_an_hour(error_ratios: tuple[float, float], slow_ratio: float) -> None:
    rng = random.Random(21)
    found = sum(
        simulate(rng, requests=(60, 60), number=60, error_ratios=error_ratios, slow_ratio=slow_ratio) is Verdict.FAIL
        for _ in range(20)
    )

    assert found >= 19


def test_a_broken_release_is_found_within_a_minute_of_little_traffic() -> None:
    rng = random.Random(22)
    found = [simulate(rng, requests=(20, 60), number=12, error_ratios=(0.2, 0.005)) for _ in range(30)]

    assert found.count(Verdict.FAIL) == 30


@pytest.mark.parametrize(
    ("canary", "baseline", "kind", "outcome"),
    [
        pytest.param((20, 0, 0), (60, 20, 0), "errors_gone", GoalOutcome.IMPROVED, id="errors gone"),
        pytest.param((60, 6, 0), (60, 20, 0), "errors_gone", GoalOutcome.IMPROVED, id="far fewer errors"),
        pytest.param((60, 20, 0), (60, 20, 0), "errors_gone", GoalOutcome.NO_EFFECT, id="as many errors"),
        pytest.param((20, 0, 0), (60, 0, 0), "errors_gone", GoalOutcome.TOO_EARLY, id="no errors on either"),
        pytest.param(None, (60, 20, 0), "errors_gone", GoalOutcome.TOO_EARLY, id="silent canary"),
        pytest.param((60, 0, 0), (60, 0, 6), "latency_down", GoalOutcome.IMPROVED, id="slow requests gone"),
        pytest.param((60, 0, 6), (60, 0, 6), "latency_down", GoalOutcome.NO_EFFECT, id="as slow as before"),
        pytest.param((3, 0, 0), (3, 0, 0), "latency_down", GoalOutcome.TOO_EARLY, id="nothing slow"),
        pytest.param((60, 0, 0), (60, 20, 6), "", GoalOutcome.TOO_EARLY, id="nothing promised"),
    ],
)
def test_goal(canary: Counts | None, baseline: Counts, kind: str, outcome: GoalOutcome) -> None:
    buckets = periods(12, canary, baseline) + periods(12, (60, 60, 60), (60, 0, 0), "other")

    assert goal(buckets, component="topics", expected_kind=kind).outcome is outcome


def test_goal_needs_three_expected_errors() -> None:
    few = goal(periods(1, (8, 0, 0), (30, 10, 0)), component="topics", expected_kind="errors_gone")
    enough = goal(periods(1, (9, 0, 0), (30, 10, 0)), component="topics", expected_kind="errors_gone")

    assert (few.outcome, enough.outcome) == (GoalOutcome.TOO_EARLY, GoalOutcome.IMPROVED)
    assert "0 errors in 9 requests where 3.0 were to be expected" in enough.reason


def test_goal_weights_percentiles_by_requests_and_leaves_out_what_was_not_measured() -> None:
    buckets = [
        Bucket(
            start=0, component="topics", canary=an_arm((10, 0, 0), p95_ms=2), baseline=an_arm((10, 0, 1), p95_ms=30)
        ),
        Bucket(start=5, component="topics", canary=an_arm((30, 0, 0), p95_ms=4), baseline=an_arm((10, 1, 1))),
    ]

    measured = goal(buckets, component="topics", expected_kind="latency_down")

    assert measured.after == {"requests": 40, "error_ratio": 0, "slow_ratio": 0, "p95_ms": 3.5}
    assert measured.before == {"requests": 20, "error_ratio": 0.05, "slow_ratio": 0.1, "p95_ms": 30}
    assert "p50_ms" not in measured.before
