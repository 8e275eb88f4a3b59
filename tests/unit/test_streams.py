"""The collection's activities over fakes: what a round reads, stores and says; the store in front of a source."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.streams import LATE_AT_LEAST, StreamActivities
from selfbuild.adapters.stored_source import StoredSource
from selfbuild.adapters.telemetry_store import HotEvents
from selfbuild.domain.errors import Throttled, Unreachable
from selfbuild.domain.streams import StreamRequest, StreamState
from selfbuild.domain.telemetry import Measure, TelemetryWindow
from selfbuild.stored_window import window_of
from tests.builders import an_application
from tests.fakes.records import FakeRecords
from tests.fakes.telemetry import FakeTelemetrySource, ServedError, ServedRequest
from tests.fakes.telemetry_store import FakeTelemetryStore
from workflows import steps

PERIOD_S = 60
BEGIN = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
REQUEST = StreamRequest(application=an_application(), interval_s=60, period_s=PERIOD_S, backfill_s=3600)
FAILURE = ServedError("KeyError", "'owner'", "shop/actions.py", 8, "owner")


class World:
    """A service whose one component serves a request a minute, and fails in every tenth."""

    def __init__(self, *, minutes: int = 120) -> None:
        self.now = BEGIN + timedelta(minutes=minutes)
        self.source = FakeTelemetrySource([], clock=lambda: self.now)
        self.store = FakeTelemetryStore()
        self.records = FakeRecords()
        self.hot = HotEvents(1000)
        self.activities = StreamActivities(
            self.source,
            self.store,
            self.records,
            self.hot,
            retention=timedelta(days=30),
            clock=lambda: self.now,
        )
        self.serve(0, minutes)

    def serve(self, first: int, last: int) -> None:
        for minute in range(first, last):
            self.source.requests.append(
                ServedRequest(
                    at=BEGIN.timestamp() + 60 * minute + 30,
                    component="topics",
                    latency_ms=5.0,
                    error=FAILURE if minute % 10 == 0 else None,
                )
            )

    async def round(self, state: StreamState | None) -> steps.StreamRoundDone:
        return await self.activities.stream_telemetry(steps.StreamRound(request=REQUEST, state=state))


async def test_a_first_round_reads_the_backfill_and_the_next_ones_what_is_new() -> None:
    world = World()

    first = await world.round(None)
    world.now += timedelta(minutes=1)
    world.serve(120, 121)
    second = await world.round(first.state)

    assert first.caught_up
    assert first.state.cursor == BEGIN + timedelta(minutes=120)
    assert second.state.cursor == BEGIN + timedelta(minutes=121)
    (requests,) = world.store.series(
        REQUEST.application, start=BEGIN, end=world.now, component="topics", measure=Measure.REQUESTS
    )
    assert requests.points()[(BEGIN + timedelta(minutes=120)).timestamp()] == 1
    assert second.state.points_stored > first.state.points_stored
    assert second.state.buffered_events == world.hot.held("acme", "shop") > 0
    assert await world.records.streams(tenants=None) == (second.state,)


async def test_a_round_run_twice_stores_nothing_twice() -> None:
    world = World()
    first = await world.round(None)
    events = world.store.size(REQUEST.application).events

    again = await world.round(None)

    assert again.state.cursor == first.state.cursor
    assert world.store.size(REQUEST.application).events == events


async def test_late_samples_are_read_again() -> None:
    world = World()
    first = await world.round(None)
    late = BEGIN.timestamp() + 60 * 119 + 10
    world.source.requests.append(ServedRequest(at=late, component="topics", latency_ms=5.0))

    world.now += timedelta(minutes=1)
    await world.round(first.state)

    (requests,) = world.store.series(
        REQUEST.application, start=BEGIN, end=world.now, component="topics", measure=Measure.REQUESTS
    )
    assert timedelta(minutes=2) <= LATE_AT_LEAST
    assert requests.points()[BEGIN.timestamp() + 60 * 119] == 2


async def test_a_lost_cursor_is_found_in_the_store() -> None:
    world = World()
    await world.round(None)
    world.now += timedelta(minutes=30)
    world.source.requests.clear()

    done = await world.round(None)

    (requests,) = world.store.series(
        REQUEST.application, start=BEGIN, end=world.now, component="topics", measure=Measure.REQUESTS
    )
    kept_until = BEGIN + timedelta(minutes=120) - LATE_AT_LEAST
    assert len(requests.points()) >= (kept_until - BEGIN - timedelta(hours=1)) / timedelta(minutes=1)
    assert done.state.cursor == BEGIN + timedelta(minutes=150)


async def test_a_failing_source_leaves_the_state_as_it_was() -> None:
    world = World()
    world.source.failure = Throttled("slow down")

    with pytest.raises(Throttled):
        await world.round(None)

    assert await world.records.streams(tenants=None) == ()
    assert world.store.size().points == 0


def test_lag_grows_when_rounds_are_missed() -> None:
    state = StreamState(tenant_id="acme", application="shop", cursor=BEGIN, updated_at=BEGIN, interval_s=60, lag_s=2.5)

    assert state.lag_at(BEGIN + timedelta(seconds=100)) == 2.5
    assert state.lag_at(BEGIN + timedelta(seconds=600)) == 600


def test_last_hour_forgets_older_minutes() -> None:
    minute = int(BEGIN.timestamp() // 60)
    state = StreamState(
        tenant_id="acme",
        application="shop",
        cursor=BEGIN,
        updated_at=BEGIN,
        interval_s=60,
        by_minute={minute: 5, minute - 59: 7, minute - 60: 11},
    )

    assert state.last_hour(BEGIN) == 12


class TestStoredSource:
    """The store stands for the source where it covers the window, and nowhere else."""

    START, END = BEGIN + timedelta(minutes=60), BEGIN + timedelta(minutes=120)

    def collect(self, world: World, *, minutes_before: int, period_s: int = 300) -> TelemetryWindow:
        return StoredSource(world.source, world.store).collect(
            REQUEST.application,
            baseline_start=self.START - timedelta(minutes=minutes_before),
            start=self.START,
            end=self.END,
            period_s=period_s,
        )

    async def test_the_baseline_comes_from_the_store_and_the_window_from_the_source(self) -> None:
        world = World()
        await world.activities.stream_telemetry(
            steps.StreamRound(request=REQUEST.model_copy(update={"backfill_s": 7200}), state=None)
        )
        # Gone from the source, still in the store.
        world.source.requests = [each for each in world.source.requests if each.at >= self.START.timestamp()]

        window = self.collect(world, minutes_before=30)

        assert window.period_s == PERIOD_S
        assert {len(series.points()) for series in window.series} == {90}
        assert {series.start for series in window.series} == {(self.START - timedelta(minutes=30)).timestamp()}
        assert [group.count for group in window.error_groups] == [6]

    async def test_a_gap_sends_the_whole_question_to_the_source(self) -> None:
        world = World()
        await world.round(None)

        window = self.collect(world, minutes_before=60)

        assert window.period_s == 300
        assert {series.start for series in window.series} == {BEGIN.timestamp()}

    async def test_a_store_that_fails_is_noted_and_asked_around(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()

        def broken(*_: object, **__: object) -> tuple[()]:
            raise Unreachable("no such disk")

        monkeypatch.setattr(world.store, "coverage", broken)
        window = StoredSource(world.source, world.store).collect(
            REQUEST.application, baseline_start=BEGIN, start=self.START, end=self.END, period_s=PERIOD_S
        )

        assert window.series
        assert any("no such disk" in note for note in window.notes)

    async def test_a_window_out_of_the_store_alone(self) -> None:
        world = World()
        await world.round(None)

        window = window_of(world.store, REQUEST.application, baseline_start=self.START, start=self.START, end=self.END)

        assert window.source == "store"
        assert [group.count for group in window.error_groups] == [6]
        assert {series.measure for series in window.series} >= {Measure.REQUESTS, Measure.LATENCY_P95}
