"""Steps of the rolling collection: read what is new, store it, keep the store small."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from selfbuild.domain.streams import StreamRequest, StreamState
from selfbuild.domain.telemetry import TelemetryBatch
from selfbuild.ports import EventBuffer, Records, TelemetrySource, TelemetryStore
from selfbuild.pricing import aws_cost_usd
from workflows import steps

LATE_PERIODS = 2
"""Periods read again in every round: CloudWatch fills in late arrivals, and a later batch replaces an earlier one."""
LATE_AT_LEAST = timedelta(minutes=2)
LONGEST_ROUND = timedelta(hours=24)
"""Most that one round reads; a backfill of a week takes seven rounds, and a crash repeats one of them at most."""


class StreamActivities:
    """Queue `aws`."""

    def __init__(
        self,
        source: TelemetrySource,
        store: TelemetryStore,
        records: Records,
        hot: EventBuffer,
        *,
        retention: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._store = store
        self._records = records
        self._hot = hot
        self._retention = retention
        self._clock = clock

    @activity.defn(name=steps.STREAM.name)
    async def stream_telemetry(self, round_: steps.StreamRound) -> steps.StreamRoundDone:
        """One round. Running it twice stores the same batch twice, which is storing it once."""
        request, now = round_.request, self._clock()
        cursor = round_.state.cursor if round_.state else await self._resume_at(request, now)
        late = max(LATE_AT_LEAST, timedelta(seconds=LATE_PERIODS * request.period_s))
        end = min(now, cursor + LONGEST_ROUND)
        batch = await asyncio.to_thread(
            self._source.batch,
            request.application,
            start=cursor - late,
            end=end,
            period_s=request.period_s,
            sampling_rate=request.sampling_rate,
        )
        if batch.start < batch.end:
            await asyncio.to_thread(self._store.append, batch)
        self._hot.keep(batch)
        caught_up = end >= now
        state = _advanced(
            round_.state, request, batch, cursor=max(cursor, batch.end if caught_up else end), now=self._clock()
        )
        buffered = self._hot.held(batch.tenant_id, batch.application)
        state = state.model_copy(update={"buffered_events": buffered, "lag_s": state.lag_s if caught_up else None})
        await self._records.save_stream(state)
        return steps.StreamRoundDone(state=state, caught_up=caught_up)

    async def _resume_at(self, request: StreamRequest, now: datetime) -> datetime:
        """Where the store's unbroken coverage of the backfill window ends, else the beginning of that window."""
        oldest = now - timedelta(seconds=request.backfill_s)
        covered = await asyncio.to_thread(self._store.coverage, request.application, start=oldest, end=now)
        slack = timedelta(seconds=request.period_s)
        return covered[0].end if covered and covered[0].start <= oldest + slack else oldest

    @activity.defn(name=steps.KEEP_STORE.name)
    async def keep_store(self, request: steps.Nothing) -> steps.StoreKept:
        """Join the segments of hours and days that are over; delete days past their retention."""
        now = self._clock()
        expired = await asyncio.to_thread(self._store.expire, before=now - self._retention)
        joined = await asyncio.to_thread(self._store.compact, now=now)
        return steps.StoreKept(segments_joined=joined, segments_expired=expired)


def _advanced(
    before: StreamState | None, request: StreamRequest, batch: TelemetryBatch, *, cursor: datetime, now: datetime
) -> StreamState:
    since = before.cursor.timestamp() if before else 0.0
    points = sum(int((series.present & (series.starts >= since)).sum()) for series in batch.series)
    events = sum(event.at.timestamp() >= since for event in batch.events)
    minute = int(now.timestamp() // 60)
    known = before.by_minute if before else {}
    by_minute = {at: count for at, count in known.items() if at > minute - 60}
    by_minute[minute] = by_minute.get(minute, 0) + points + events
    moved = before is None or cursor > before.cursor
    return StreamState(
        tenant_id=request.application.tenant_id,
        application=request.application.name,
        cursor=cursor,
        updated_at=now,
        interval_s=request.interval_s,
        lag_s=(now - cursor).total_seconds() if moved or before is None else before.lag_s,
        points_stored=points + (before.points_stored if before else 0),
        events_stored=events + (before.events_stored if before else 0),
        by_minute=by_minute,
        api_calls=batch.api_calls + (before.api_calls if before else 0),
        cost_usd=(before.cost_usd if before else 0.0)
        + aws_cost_usd(
            metrics_requested=batch.metrics_requested,
            log_bytes_scanned=batch.log_bytes_scanned,
            api_calls=batch.api_calls,
        ),
        source=batch.source,
        notes=batch.notes,
    )
