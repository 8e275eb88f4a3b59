"""A source that asks the rolling store before the real one: history is read once, not by every cycle."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import structlog

from selfbuild.domain.applications import Application
from selfbuild.domain.errors import SelfBuildError
from selfbuild.domain.telemetry import Bucket, Samples, Series, TelemetryBatch, TelemetryWindow
from selfbuild.ports import TelemetrySource, TelemetryStore

_log = structlog.get_logger()


class StoredSource:
    """Implements `ports.TelemetrySource`: the baseline from the store where it covers it, all else from `live`.

    Logged errors always come from `live`, which counts them all; the store holds samples.
    """

    def __init__(self, live: TelemetrySource, store: TelemetryStore) -> None:
        self._live = live
        self._store = store

    def collect(
        self,
        application: Application,
        *,
        baseline_start: datetime,
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> TelemetryWindow:
        """As the live source, with fewer calls; a store that cannot be read is noted and asked around.

        The window itself is always read live, in the periods that the store keeps, so that both parts compare.
        """
        history, note = self._history(application, baseline_start, start, period_s)
        window = self._live.collect(
            application,
            baseline_start=baseline_start if history is None else start,
            start=start,
            end=end,
            period_s=period_s if history is None else history[0].period_s,
        )
        notes = (*window.notes, *([note] if note else []))
        if history is None:
            return window.model_copy(update={"notes": notes})
        settled = start + timedelta(seconds=window.period_s)
        return window.model_copy(
            update={
                "baseline_start": baseline_start,
                "series": _joined(history, window.series),
                "notes": notes,
                # What was there when the shorter look began may be older than the baseline.
                "releases": tuple(seen for seen in window.releases if seen.first_seen > settled),
            }
        )

    def _history(
        self, application: Application, baseline_start: datetime, start: datetime, period_s: int
    ) -> tuple[tuple[Series, ...] | None, str]:
        """(the baseline's series of one period where the store covers it without a gap, else None; a note)."""
        try:
            covered = self._store.coverage(application, start=baseline_start, end=start)
            slack = timedelta(seconds=period_s)
            whole = bool(covered) and covered[0].start <= baseline_start + slack and covered[0].end >= start - slack
            found = self._store.series(application, start=baseline_start, end=start) if whole else ()
        except SelfBuildError as error:
            _log.warning("store.not_read", app_id=application.key, error_message=str(error))
            return None, f"the telemetry store cannot be read, so all came from the source: {error}"
        finest = min((each.period_s for each in found), default=0)
        return (tuple(each for each in found if each.period_s == finest) or None), ""

    def latency_p95_ms(
        self, application: Application, *, release: str, start: datetime, end: datetime
    ) -> dict[str, float]:
        """As the live source: the store does not keep releases apart."""
        return self._live.latency_p95_ms(application, release=release, start=start, end=end)

    def arms(
        self,
        application: Application,
        *,
        canary: str,
        baseline: str,
        slow_ms: Mapping[str, float],
        start: datetime,
        end: datetime,
        period_s: int,
    ) -> tuple[Bucket, ...]:
        """As the live source: a canary is judged by what is known now."""
        return self._live.arms(
            application,
            canary=canary,
            baseline=baseline,
            slow_ms=slow_ms,
            start=start,
            end=end,
            period_s=period_s,
        )

    def batch(
        self, application: Application, *, start: datetime, end: datetime, period_s: int, sampling_rate: float
    ) -> TelemetryBatch:
        """As the live source."""
        return self._live.batch(application, start=start, end=end, period_s=period_s, sampling_rate=sampling_rate)


def _joined(history: tuple[Series, ...], recent: tuple[Series, ...]) -> tuple[Series, ...]:
    """Each series over both parts; where both have a sample, the newer word counts."""
    parts: dict[tuple[str, str, str], list[Series]] = {}
    for series in (*history, *recent):
        parts.setdefault((series.component, series.measure, series.metric), []).append(series)
    return tuple(_over(each) for _, each in sorted(parts.items()))


def _over(parts: list[Series]) -> Series:
    newest, period_s = parts[-1], parts[-1].period_s
    first = min(part.start for part in parts)
    last = max(part.start + period_s * len(part.values) for part in parts)
    values = np.full(round((last - first) / period_s), np.nan)
    for part in parts:
        at = round((part.start - first) / period_s)
        place = values[at : at + len(part.values)]
        np.copyto(place, part.values.array, where=part.present)
    return newest.model_copy(update={"start": first, "values": Samples(values)})
