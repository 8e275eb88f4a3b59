"""Which release a regression began with."""

from datetime import UTC, datetime

import numpy as np
import pytest

from selfbuild.analysis.deploys import Attribution, attribute, changed_before
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import Measure, ReleaseSeen, Samples, Series

PERIOD_S = 60
DAY_PERIODS = 1440


def at(period: float) -> datetime:
    return datetime.fromtimestamp(period * PERIOD_S, UTC)


def a_release(label: str, first_seen: float) -> ReleaseSeen:
    return ReleaseSeen(release=label, first_seen=at(first_seen), last_seen=at(first_seen + 1000))


def a_commit(label: str, *, by_agent: bool = False) -> CommitInfo:
    return CommitInfo(
        sha=label.ljust(40, "0"), author_name="Kim", committed_at=at(1), subject="Join per row", by_agent=by_agent
    )


def a_series(changes_at: int, *, length: int = 200, factor: float = 2.0) -> Series:
    values = 50 * np.exp(np.random.default_rng(1).normal(0, 0.05, length))
    values[changes_at:] *= factor
    return Series(
        component="orders",
        measure=Measure.LATENCY_P95,
        unit="Milliseconds",
        start=0.0,
        period_s=PERIOD_S,
        values=Samples(values),
    )


def attributed(
    started: float,
    *releases: ReleaseSeen,
    commits: tuple[CommitInfo, ...] = (),
    series: Series | None = None,
    until: float = 7 * DAY_PERIODS,
) -> Attribution | None:
    return attribute(
        started * PERIOD_S,
        releases,
        commits,
        period_s=PERIOD_S,
        observed_since=0.0,
        observed_until=until * PERIOD_S,
        series=series,
    )


OLD, NEW = "a" * 12, "b" * 12


def test_regression_right_after_a_release_is_named_with_it_and_its_commit() -> None:
    found = attributed(102, a_release(OLD, 0), a_release(NEW, 100), commits=(a_commit(OLD), a_commit(NEW)))

    assert found is not None
    assert (found.release, found.lag_periods) == (NEW, 2.0)
    assert found.commit == a_commit(NEW)
    assert found.confidence > 0.6
    assert "2 periods after release bbbbbbbbbbbb" in found.sentence
    assert "'Join per row'" in found.sentence


def test_commit_of_the_agent_is_said_to_be_its_own() -> None:
    found = attributed(100, a_release(NEW, 100), commits=(a_commit(NEW, by_agent=True),))

    assert found is not None
    assert "commit by this agent" in found.sentence


@pytest.mark.parametrize(
    ("started", "releases"),
    [
        pytest.param(102, (), id="no-release"),
        pytest.param(102, (a_release(NEW, 95),), id="too-long-ago"),
        pytest.param(102, (a_release(NEW, 104),), id="afterwards"),
        pytest.param(2, (a_release(OLD, 0),), id="there-from-the-beginning"),
    ],
)
def test_nothing_is_attributed(started: float, releases: tuple[ReleaseSeen, ...]) -> None:
    assert attributed(started, *releases) is None


def test_shift_may_seem_to_begin_a_period_early() -> None:
    found = attributed(99, a_release(NEW, 100))

    assert found is not None
    assert found.lag_periods == -1.0


def test_level_that_had_changed_before_is_not_blamed_on_the_release() -> None:
    assert attributed(101, a_release(NEW, 100), series=a_series(80)) is None
    assert attributed(101, a_release(NEW, 100), series=a_series(101)) is not None


def test_confidence_falls_with_distance_and_with_other_releases() -> None:
    near = attributed(101, a_release(NEW, 100))
    far = attributed(105, a_release(NEW, 100))
    two = attributed(101, a_release(NEW, 100), a_release(OLD, 98))
    often = attributed(101, a_release(NEW, 100), *(a_release(f"{n:012d}", 200.0 + 20 * n) for n in range(200)))

    assert near is not None
    assert far is not None
    assert two is not None
    assert often is not None
    assert near.confidence > far.confidence
    assert near.confidence > two.confidence
    assert near.confidence > 1.1 * often.confidence
    assert two.release == NEW


def test_releases_in_another_order_are_attributed_alike() -> None:
    releases = [a_release(NEW, 100), a_release(OLD, 98), a_release("c" * 12, 300)]

    assert attributed(101, *releases) == attributed(101, *reversed(releases))


@pytest.mark.parametrize(
    ("series", "before"),
    [
        pytest.param(a_series(100), False, id="with-it"),
        pytest.param(a_series(103), False, id="soon-after"),
        pytest.param(a_series(60), True, id="long-before"),
        pytest.param(a_series(100, length=6), False, id="too-short"),
        pytest.param(a_series(100, factor=1.0), True, id="no-change-at-the-release-at-all"),
    ],
)
def test_changed_before(series: Series, before: bool) -> None:
    assert changed_before(series, 100.0 * PERIOD_S) is before
