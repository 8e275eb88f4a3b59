"""Which series of a window deserve a close look: all that are short, and of the long ones those that stand out.

A close look at every one of thousands of series would cost minutes, and find by chance what is not there.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from selfbuild.analysis.alerts import confidence_of
from selfbuild.analysis.anomaly import DEFAULT_THRESHOLD
from selfbuild.analysis.anomaly_scan import scan
from selfbuild.domain.telemetry import Direction, Measure, Series

LONG_S = 3 * 86_400
"""History from which a series is judged by its own usual range; shorter ones have none."""
MIN_ROWS = 500
"""Rows of a history that tell a usual range."""

Key = tuple[str, Measure, str]


class Standing(NamedTuple):
    """How a long series stands out within the window."""

    score: float
    at: float
    """Start of the most unusual period, seconds since the epoch."""
    jump: bool
    """Single periods rather than a level."""
    baseline: float
    observed: float
    """Mean of the half hour that ends there."""
    confidence: float


class Screen:
    """The series of a window, sifted once."""

    def __init__(self, series: Iterable[Series], *, window_start: float) -> None:
        self._standing: dict[Key, Standing] = {}
        self._long: set[Key] = set()
        alike: dict[tuple[Direction, int], list[Series]] = defaultdict(list)
        for each in series:
            if len(each.values) >= MIN_ROWS and len(each.values) * each.period_s >= LONG_S:
                self._long.add(_key(each))
                alike[each.worse, each.period_s].append(each)
        for (direction, period_s), group in alike.items():
            self._sift(group, direction, period_s, window_start)

    def deserves_a_look(self, series: Series) -> bool:
        """False for a long series that keeps to its usual range."""
        return _key(series) not in self._long or _key(series) in self._standing

    def standing(self, series: Series) -> Standing | None:
        """How a long series stands out; None where it does not, and for short ones."""
        return self._standing.get(_key(series))

    def _sift(self, group: list[Series], direction: Direction, period_s: int, window_start: float) -> None:
        first = min(each.start for each in group)
        rows = max(round((each.start - first) / period_s) + len(each.values) for each in group)
        grid = np.full((len(group), rows), np.nan)
        for row, each in zip(grid, group, strict=True):
            place = round((each.start - first) / period_s)
            row[place : place + len(each.values)] = each.values.array
        recent_s = max(float(period_s), first + rows * period_s - window_start)
        found = scan(grid, start=first, period_s=float(period_s), direction=direction, recent_s=recent_s)
        for n in np.flatnonzero(np.nan_to_num(found.score) >= DEFAULT_THRESHOLD).tolist():
            self._standing[_key(group[n])] = Standing(
                score=float(found.score[n]),
                at=first + float(found.row[n]) * period_s,
                jump=bool(found.jump[n]),
                baseline=float(found.baseline[n]),
                observed=float(found.observed[n]),
                confidence=confidence_of(float(found.score[n])),
            )


def _key(series: Series) -> Key:
    return series.component, series.measure, series.metric
