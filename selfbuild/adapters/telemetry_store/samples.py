"""Rows of samples laid over each other on the grid of a window: later rows win where they have a sample. Pure."""

from collections.abc import Iterable, Iterator

import numpy as np

from selfbuild.adapters.telemetry_store.parquet import SeriesKey, SeriesRow
from selfbuild.adapters.telemetry_store.segments import SECOND_US
from selfbuild.domain.telemetry import Direction, FloatArray, Measure, Samples, Series


class Overlay:
    """The samples of the periods that start in `[start, end)`, microseconds."""

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._end = end
        self._samples: dict[SeriesKey, FloatArray] = {}
        self._directions: dict[SeriesKey, str] = {}

    def add(self, rows: Iterable[SeriesRow]) -> None:
        """Lay the rows over what is there, one after the other."""
        for row in rows:
            under = self._samples.get(row.key)
            if under is None:
                under = np.full(self.periods(row.key.period_s), np.nan)
                self._samples[row.key] = under
            self._directions[row.key] = row.direction
            _lay(row.samples, under, at=row.start_s // row.key.period_s - self.first(row.key.period_s))

    def first(self, period_s: int) -> int:
        """The first period that starts in the window, counted from the epoch."""
        return -(-self._start // (period_s * SECOND_US))

    def periods(self, period_s: int) -> int:
        """How many periods start in the window."""
        return max(0, -(-self._end // (period_s * SECOND_US)) - self.first(period_s))

    def rows(self) -> Iterator[SeriesRow]:
        """A row for each series with a sample, from its first to its last; sorted by key."""
        for key in sorted(self._samples):
            samples = self._samples[key]
            (present,) = np.nonzero(~np.isnan(samples))
            if present.size:
                start_s = (self.first(key.period_s) + int(present[0])) * key.period_s
                yield SeriesRow(key, self._directions[key], start_s, samples[present[0] : present[-1] + 1])

    def series(self) -> tuple[Series, ...]:
        """One a component, measure, metric and period length; sorted by those.

        Where the unit changed, only the samples in the unit of the last sample: values of two units are no series.
        """
        newest: dict[tuple[str, str, str, int], SeriesRow] = {}
        for row in self.rows():
            other = newest.get(row.key[:4])
            if other is None or _end_s(row) >= _end_s(other):
                newest[row.key[:4]] = row
        return tuple(_series_of(newest[key]) for key in sorted(newest))

    def grid(self, period_s: int) -> tuple[tuple[SeriesKey, ...], FloatArray]:
        """The keys of series with a sample, sorted, and their samples, a row each. Empties the overlay as it goes."""
        keys = sorted(key for key, samples in self._samples.items() if not np.isnan(samples).all())
        grid = np.empty((len(keys), self.periods(period_s)))
        for place, key in enumerate(keys):
            grid[place] = self._samples.pop(key)
        return tuple(keys), grid


def _lay(samples: FloatArray, under: FloatArray, *, at: int) -> None:
    skip = max(0, -at)
    over = samples[skip : max(skip, len(under) - at)]
    place = under[at + skip : at + skip + len(over)]
    present = ~np.isnan(over)
    if present.all():
        place[:] = over
    else:
        np.copyto(place, over, where=present)


def _end_s(row: SeriesRow) -> int:
    return row.start_s + len(row.samples) * row.key.period_s


def _series_of(row: SeriesRow) -> Series:
    return Series(
        component=row.key.component,
        measure=Measure(row.key.measure),
        unit=row.key.unit,
        metric=row.key.metric,
        direction=Direction(row.direction) if row.direction else None,
        start=float(row.start_s),
        period_s=row.key.period_s,
        values=Samples(row.samples),
    )
