"""Scores of metric rows: causal, free of units, silent on noise, and the same alone and in a batch."""

import numpy as np
import pytest

from selfbuild.analysis.anomaly import DEFAULT_THRESHOLD, once, raw_scores, score, usual_period
from selfbuild.analysis.anomaly_scan import scan
from selfbuild.analysis.levels import Layout, largest_before, row_jumps
from selfbuild.domain.telemetry import Direction, FloatArray


def noise(rows: int = 2_016, *, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(100.0, 5.0, rows)


def starts(rows: int, *, period_s: float = 300.0, first: float = 1_800_000_123.0) -> FloatArray:
    return first + np.arange(rows, dtype=np.float64) * period_s


def shifted(*, at: int = 1_500, factor: float = 1.5) -> FloatArray:
    values = noise()
    values[at:] *= factor
    return values


@pytest.mark.parametrize("cut", [400, 1_501, 1_507, 1_999])
def test_later_rows_never_change_earlier_scores(cut: int) -> None:
    values = shifted()
    values[::37] = np.nan
    when = starts(len(values))
    when[1_200:] += 86_400.0

    whole = score(values, starts=when)

    np.testing.assert_array_equal(score(values[:cut], starts=when[:cut]), whole[:cut])


def test_unit_of_the_metric_does_not_matter() -> None:
    values = shifted()

    np.testing.assert_allclose(
        score(values * 1_024.0, starts=starts(len(values))), score(values, starts=starts(len(values))), rtol=1e-6
    )


def test_zero_point_hardly_matters() -> None:
    values = shifted()

    moved = score(values + 50.0, starts=starts(len(values)))

    np.testing.assert_allclose(moved, score(values, starts=starts(len(values))), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("period_s", [5.0, 60.0, 300.0, 3_600.0])
def test_level_shift_is_found_at_every_period(period_s: float) -> None:
    rows = int(max(4 * 86_400 / period_s, 600) if period_s > 5 else 86_400 / period_s)
    values = noise(rows)
    at = rows * 4 // 5
    values[at:] *= 1.6

    found = score(values, starts=starts(rows, period_s=period_s), period_s=period_s)

    alarms = np.flatnonzero(np.nan_to_num(found) >= DEFAULT_THRESHOLD)
    assert at <= alarms[alarms >= at][0] <= at + max(1, 3_600 / period_s)
    assert (alarms < at).sum() <= 2


@pytest.mark.parametrize(
    ("direction", "factor", "found"),
    [
        pytest.param(Direction.UP, 1.5, True, id="rise-up"),
        pytest.param(Direction.UP, 0.5, False, id="fall-up"),
        pytest.param(Direction.DOWN, 0.5, True, id="fall-down"),
        pytest.param(Direction.DOWN, 1.5, False, id="rise-down"),
        pytest.param(Direction.BOTH, 0.5, True, id="fall-both"),
    ],
)
def test_only_a_change_for_the_worse_counts(direction: Direction, factor: float, found: bool) -> None:
    values = shifted(factor=factor)

    scores = score(values, starts=starts(len(values)), direction=direction)

    assert bool((scores[1_500:1_520] >= DEFAULT_THRESHOLD).any()) is found


def test_missing_samples_have_no_score_and_are_never_zero() -> None:
    values = noise()
    values[1_000:1_400] = np.nan

    scores = score(values, starts=starts(len(values)))

    assert np.isnan(scores[1_000:1_400]).all()
    assert np.isfinite(scores[1_412:]).all()
    assert np.nan_to_num(scores[1_400:1_450]).max() < DEFAULT_THRESHOLD


def test_absent_rows_equal_missing_samples() -> None:
    values, when = shifted(), starts(2_016)
    absent = np.zeros(len(values), np.bool_)
    absent[700:760] = absent[::11] = True
    absent[0] = absent[-1] = False

    gaps = score(values[~absent], starts=when[~absent], period_s=300.0)

    missing = score(np.where(absent, np.nan, values), starts=when, period_s=300.0)
    np.testing.assert_allclose(gaps, missing[~absent])


def test_flat_series_is_silent() -> None:
    values = np.full(1_000, 7.0)

    assert np.nan_to_num(score(values, starts=starts(1_000))).max() == 0.0


def test_short_history_says_nothing() -> None:
    assert np.isnan(score(noise(30), starts=starts(30))).all()


def test_empty_series_has_no_scores() -> None:
    assert len(score(np.zeros(0), starts=np.zeros(0))) == 0


def test_rows_of_the_same_time_are_all_scored() -> None:
    values, when = noise(600), starts(600)
    when[300:306] = when[300]

    assert np.isfinite(score(values, starts=when)[300:306]).all()


def test_deviation_is_told_once_a_day() -> None:
    scores = score(shifted(factor=2.0), starts=starts(2_016))

    alarms = np.flatnonzero(np.nan_to_num(scores) >= DEFAULT_THRESHOLD)
    assert 1_500 in alarms
    assert alarms[-1] < 1_500 + 30


def test_hysteresis_forgets_after_a_day() -> None:
    raw = np.array([np.nan, 2.0, 1.0, 2.0, 3.0] + [0.1] * 23 + [2.5, 2.5])

    np.testing.assert_array_equal(once(raw, 3_600.0)[[0, 1, 2, 3, 4, 27, 28]], [np.nan, 2.0, 0, 0, 3.0, 0, 0])
    assert once(np.array([3.0] + [0.1] * 24 + [2.5]), 3_600.0)[-1] == 2.5


@pytest.mark.parametrize(
    ("times", "values", "problem"),
    [
        pytest.param([0.0, 300.0], [1.0], "each value needs its start", id="lengths"),
        pytest.param([300.0, 0.0], [1.0, 2.0], "ascending", id="order"),
        pytest.param([0.0, np.nan], [1.0, 2.0], "finite", id="nan"),
    ],
)
def test_bad_starts_are_refused(times: list[float], values: list[float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        score(np.array(values), starts=np.array(times))


def test_bad_period_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Layout.of(0.0)


def test_period_is_the_median_distance() -> None:
    assert usual_period(np.array([0.0, 0.0, 60.0, 120.0, 400.0])) == 60.0


@pytest.mark.parametrize("first", [0.0, 1_800_000_123.0])
def test_scan_agrees_with_the_score_of_each_series(first: float) -> None:
    grid = np.stack([noise(seed=1), shifted(at=2_010, factor=2.0), noise(seed=3)])
    grid[2, ::5] = np.nan

    found = scan(grid, start=first, period_s=300.0)

    for index in range(len(grid)):
        layout = Layout.of(300.0)
        ahead = -layout.phase(first) % layout.refresh_rows
        raw = raw_scores(grid[index : index + 1, ahead:], period_s=300.0, direction=Direction.BOTH).score[0]
        assert found.score[index] == pytest.approx(np.nanmax(raw[-12:]))
        assert raw[found.row[index] - ahead] == pytest.approx(found.score[index])
    assert found.score[1] > DEFAULT_THRESHOLD > found.score[0]
    assert found.row[1] >= 2_010


def test_scan_of_an_empty_or_missing_series_says_nothing() -> None:
    found = scan(np.full((2, 500), np.nan), start=0.0, period_s=300.0)

    assert np.isnan(found.score).all()
    assert (found.row == -1).all()
    assert len(scan(np.zeros((0, 10)), start=0.0, period_s=300.0).score) == 0


def test_jump_is_measured_from_the_nearest_neighbour() -> None:
    jumps = row_jumps(np.array([[1.0, 1.0, 9.0, 1.5, np.nan, 4.0]]))[0]

    np.testing.assert_array_equal(jumps, [np.nan, 0.0, 8.0, 0.5, np.nan, 2.5])


@pytest.mark.parametrize("width", [1, 3, 7, 40])
def test_largest_before_leaves_out_the_row_itself(width: int) -> None:
    values = np.random.default_rng(5).normal(size=30)
    values[4] = np.nan

    expected = [max([v for v in values[max(0, i - width) : i] if v == v], default=-np.inf) for i in range(30)]
    np.testing.assert_array_equal(largest_before(values, width), expected)


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_noise_rarely_raises_an_alarm(phi: float) -> None:
    rng = np.random.default_rng(11)
    steps = rng.normal(size=(6, 4_032))
    for i in range(1, steps.shape[1]):
        steps[:, i] += phi * steps[:, i - 1]

    raw = [score(100 + row, starts=starts(4_032)) for row in steps]

    assert sum(int((np.nan_to_num(one[864:]) >= DEFAULT_THRESHOLD).any()) for one in raw) <= 3
