"""The rolling telemetry store in memory: batches in the order they came, merged when they are asked for."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np

from selfbuild.domain.applications import Application
from selfbuild.domain.errors import InvalidRequest
from selfbuild.domain.telemetry import LogEvent, Measure, Samples, Series, Span, TelemetryBatch
from selfbuild.ports import StoreSize

_DAY = timedelta(days=1)


class FakeTelemetryStore:
    """Implements `ports.TelemetryStore`; `compact` has nothing to do."""

    def __init__(self) -> None:
        self._batches: list[TelemetryBatch] = []

    def append(self, batch: TelemetryBatch) -> None:
        if batch.start >= batch.end:
            raise InvalidRequest("a batch must end after it starts")
        if any(series.start % series.period_s for series in batch.series):
            raise InvalidRequest("a series must lie on the grid of whole periods since the epoch")
        self._batches += _days_of(batch)

    def coverage(self, application: Application, *, start: datetime, end: datetime) -> tuple[Span, ...]:
        spans: list[Span] = []
        for batch in sorted(self._of(application), key=lambda each: each.start):
            since, until = max(batch.start, start), min(batch.end, end)
            if spans and since <= spans[-1].end:
                spans[-1] = Span(start=spans[-1].start, end=max(until, spans[-1].end))
            elif since < until:
                spans.append(Span(start=since, end=until))
        return tuple(spans)

    def series(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        measure: Measure | None = None,
    ) -> tuple[Series, ...]:
        points: dict[tuple[str, Measure, str, int], dict[float, tuple[float, Series]]] = {}
        for batch in self._of(application):
            since, until = max(batch.start, start).timestamp(), min(batch.end, end).timestamp()
            for series in batch.series:
                if component in (None, series.component) and measure in (None, series.measure):
                    key = (series.component, series.measure, series.metric, series.period_s)
                    inside = {at: (value, series) for at, value in series.points().items() if since <= at < until}
                    points.setdefault(key, {}).update(inside)
        return tuple(_merged(points[key]) for key in sorted(points) if points[key])

    def events(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        limit: int = 1000,
    ) -> tuple[LogEvent, ...]:
        events: list[LogEvent] = []
        for batch in self._of(application):
            events = [event for event in events if not batch.start <= event.at < batch.end]
            events += batch.events
        found = [event for event in events if start <= event.at < end and component in (None, event.component)]
        return tuple(sorted(found, key=lambda event: event.at, reverse=True)[:limit])

    def compact(self, *, now: datetime) -> int:
        return 0

    def expire(self, *, before: datetime) -> int:
        kept = [batch for batch in self._batches if _day_of(batch.start) + _DAY > before]
        gone = len(self._batches) - len(kept)
        self._batches = kept
        return gone

    def size(self, application: Application | None = None) -> StoreSize:
        batches = self._batches if application is None else list(self._of(application))
        return StoreSize(
            segments=len(batches),
            bytes=sum(len(batch.model_dump_json()) for batch in batches),
            points=sum(len(series.points()) for batch in batches for series in batch.series),
            events=sum(len(batch.events) for batch in batches),
            oldest=min((batch.start for batch in batches), default=None),
            newest=max((batch.end for batch in batches), default=None),
        )

    def _of(self, application: Application) -> Iterable[TelemetryBatch]:
        key = application.tenant_id, application.name
        return (batch for batch in self._batches if (batch.tenant_id, batch.application) == key)


def _day_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _days_of(batch: TelemetryBatch) -> list[TelemetryBatch]:
    days = []
    day = _day_of(batch.start)
    while day < batch.end:
        start, end = max(batch.start, day), min(batch.end, day + _DAY)
        series = [
            each.model_copy(
                update={"values": Samples(np.where(_starts_in(each, start, end), each.values.array, np.nan))}
            )
            for each in batch.series
        ]
        events = tuple(event for event in batch.events if start <= event.at < end)
        days.append(batch.model_copy(update={"start": start, "end": end, "series": tuple(series), "events": events}))
        day += _DAY
    return days


def _starts_in(series: Series, start: datetime, end: datetime) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    inside = (series.starts >= start.timestamp()) & (series.starts < end.timestamp())
    return inside & series.present


def _merged(points: dict[float, tuple[float, Series]]) -> Series:
    """Of the unit that the newest sample has."""
    newest = points[max(points)][1]
    return Series.of(
        {at: value for at, (value, series) in points.items() if series.unit == newest.unit},
        component=newest.component,
        measure=newest.measure,
        metric=newest.metric,
        unit=newest.unit,
        direction=newest.direction,
        period_s=newest.period_s,
    )
