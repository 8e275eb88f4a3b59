"""What every implementation of `ports.TelemetryStore` keeps to."""

import math
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localaws.server import LocalAws
from selfbuild.domain.errors import InvalidRequest
from selfbuild.domain.telemetry import Direction, Measure, Samples, Series, Span
from selfbuild.ports import TelemetryStore
from tests.contract.telemetry_stores import (
    APPLICATION,
    BUCKET,
    HOSTILE,
    Place,
    a_batch,
    a_full_event,
    a_minute,
    a_series,
    an_event,
    at,
    minutes_of,
    s3_client,
)
from tests.fakes.telemetry_store import FakeTelemetryStore
from tests.fakes.values import an_application

ALL: dict[str, Any] = {"start": at(-48), "end": at(72)}


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with pytest.MonkeyPatch.context() as patch, LocalAws(port=0) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server


@pytest.fixture
def s3(aws: LocalAws) -> Iterator[Any]:
    aws.reset()
    with s3_client(aws.endpoint_url) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(params=["fake", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelemetryStore]:
    if request.param == "fake":
        yield FakeTelemetryStore()
        return
    place = (
        Place.in_folder(tmp_path) if request.param == "folder" else Place.in_s3(request.getfixturevalue("s3"), tmp_path)
    )
    yield place.open()
    place.close()


def points(store: TelemetryStore, **fields: Any) -> dict[float, float]:
    (series,) = store.series(APPLICATION, **(ALL | fields))
    return series.points()


def messages(store: TelemetryStore, **fields: Any) -> list[str]:
    return [event.message for event in store.events(APPLICATION, **(ALL | fields))]


def test_empty_store_holds_nothing(store: TelemetryStore) -> None:
    assert store.series(APPLICATION, **ALL) == ()
    assert store.events(APPLICATION, **ALL) == ()
    assert store.coverage(APPLICATION, **ALL) == ()
    size = store.size()
    assert (size.segments, size.points, size.events, size.oldest, size.newest) == (0, 0, 0, None, None)
    assert store.compact(now=at(72)) == 0
    assert store.expire(before=at(72)) == 0


def test_series_is_read_back_as_it_was(store: TelemetryStore) -> None:
    values = [0.1 + 0.2, math.nan, -0.0, 5e-324, 1.7976931348623157e308, -12.25]
    series = a_series(
        minutes_of(at(1), *(value for value in values)), metric="m", direction=Direction.DOWN, component=HOSTILE
    )
    store.append(a_batch(at(1), at(2), series=(series,)))

    (found,) = store.series(APPLICATION, **ALL)

    assert found == series
    assert [math.copysign(1, value) for value in found.values] == [math.copysign(1, value) for value in series.values]


def test_series_starts_and_ends_with_a_sample(store: TelemetryStore) -> None:
    padded = Series(
        component="summary",
        measure=Measure.ERRORS,
        unit="Count",
        start=at(1).timestamp(),
        period_s=60,
        values=Samples([math.nan, 1, math.nan, 2, math.nan]),
    )
    empty = padded.model_copy(update={"component": "quiet", "values": Samples([math.nan] * 5)})
    store.append(a_batch(at(1), at(2), series=(padded, empty)))

    (found,) = store.series(APPLICATION, **ALL)

    assert (found.start, found.values) == (at(1, 1).timestamp(), Samples([1, math.nan, 2]))


def test_series_are_sorted_and_told_apart(store: TelemetryStore) -> None:
    series = [
        a_series({at(1): 1.0}, component, measure=measure, metric=metric, period_s=period_s)
        for component in ("b", "a")
        for measure in (Measure.LATENCY_P95, Measure.CALLS)
        for metric in ("y", "x")
        for period_s in (300, 60)
    ]
    random.Random(1).shuffle(series)
    store.append(a_batch(at(1), at(2), series=tuple(series)))

    found = store.series(APPLICATION, **ALL)

    assert found == tuple(sorted(series, key=lambda s: (s.component, s.measure, s.metric, s.period_s)))


def test_component_and_measure_choose_series(store: TelemetryStore) -> None:
    series = [a_series({at(1): 1.0}, c, measure=m) for c in ("a", "b") for m in (Measure.CALLS, Measure.ERRORS)]
    store.append(a_batch(at(1), at(2), series=tuple(series)))

    assert {each.component for each in store.series(APPLICATION, **ALL, component="a")} == {"a"}
    (one,) = store.series(APPLICATION, **ALL, component="b", measure=Measure.ERRORS)
    assert (one.component, one.measure) == ("b", Measure.ERRORS)
    assert store.series(APPLICATION, **ALL, component="' OR true --") == ()


def test_window_is_half_open_and_joins_batches(store: TelemetryStore) -> None:
    for minute in range(10):
        store.append(a_minute(at(1, minute), value=minute))

    assert points(store, start=at(1, 2), end=at(1, 5)) == {at(1, n).timestamp(): float(n) for n in (2, 3, 4)}
    assert store.series(APPLICATION, start=at(1, 10), end=at(2)) == ()
    assert store.series(APPLICATION, start=at(2), end=at(1)) == ()
    assert messages(store, start=at(1, 2), end=at(1, 4)) == ["01:03 0", "01:02 0"]


def test_same_batch_twice_is_kept_once(store: TelemetryStore) -> None:
    for _ in range(2):
        store.append(a_minute(at(1), value=7, events=3))

    assert points(store) == {at(1).timestamp(): 7.0}
    assert len(messages(store)) == 3


def test_later_batch_wins_where_it_has_a_sample(store: TelemetryStore) -> None:
    first = a_batch(at(1), at(1, 4), series=(a_series(minutes_of(at(1), 1, 2, 3, 4)),))
    later = a_batch(at(1, 1), at(1, 5), series=(a_series(minutes_of(at(1, 1), 20, math.nan, 40, 50)),))
    store.append(first)
    store.append(later)

    expected = dict(zip((at(1, n).timestamp() for n in range(5)), (1.0, 20.0, 3.0, 40.0, 50.0), strict=True))
    assert points(store) == expected

    store.append(first)
    assert points(store) == expected | {at(1, n).timestamp(): n + 1.0 for n in range(4)}


def test_later_batch_replaces_the_events_of_its_range(store: TelemetryStore) -> None:
    store.append(a_batch(at(1), at(2), events=tuple(an_event(at(1, n), f"old {n}") for n in range(60))))
    store.append(a_batch(at(1, 1), at(1, 59), events=(an_event(at(1, 30), "new"),)))

    assert messages(store) == ["old 59", "new", "old 0"]

    store.append(a_batch(at(1, 30), at(1, 31)))
    assert messages(store) == ["old 59", "old 0"]


def test_event_is_read_back_whole(store: TelemetryStore) -> None:
    event, bare = a_full_event(at(1) + timedelta(microseconds=1)), an_event(at(1), "")
    store.append(a_batch(at(1), at(2), events=(event, bare)))

    assert store.events(APPLICATION, **ALL) == (event, bare)


def test_text_that_utf8_cannot_hold_is_kept_readable(store: TelemetryStore) -> None:
    store.append(a_batch(at(1), at(2), events=(an_event(at(1), "half \ud83d of a pair", stack="\udc00"),)))

    (event,) = store.events(APPLICATION, **ALL)

    assert (event.message[:5], event.message[-10:]) == ("half ", " of a pair")


def test_events_come_newest_first_within_component_and_limit(store: TelemetryStore) -> None:
    events = [an_event(at(hour), f"{c} {hour}", component=c) for hour in range(-30, 30, 5) for c in ("a", "b")]
    store.append(a_batch(at(-30), at(30), events=tuple(events)))

    assert messages(store, component="a", limit=3) == ["a 25", "a 20", "a 15"]
    assert messages(store, component="b", limit=9)[-1] == "b -15"
    assert len(messages(store)) == 24
    assert messages(store, limit=0) == []


def test_batch_over_midnight_is_one(store: TelemetryStore) -> None:
    values = [float(n) for n in range(120)]
    batch = a_batch(
        at(23), at(25), series=(a_series(minutes_of(at(23), *values)),), events=(an_event(at(23, 59)), an_event(at(24)))
    )
    store.append(batch)

    assert points(store) == batch.series[0].points()
    assert store.coverage(APPLICATION, **ALL) == (Span(start=at(23), end=at(25)),)
    assert len(messages(store)) == 2


def test_coverage_counts_silence_and_shows_gaps(store: TelemetryStore) -> None:
    store.append(a_batch(at(1), at(1, 5)))
    store.append(a_minute(at(1, 5), value=1))
    store.append(a_minute(at(1, 9), value=1))
    store.append(a_batch(at(1, 3), at(1, 4)))

    assert store.coverage(APPLICATION, **ALL) == (
        Span(start=at(1), end=at(1, 6)),
        Span(start=at(1, 9), end=at(1, 10)),
    )
    assert store.coverage(APPLICATION, start=at(1, 2), end=at(1, 3)) == (Span(start=at(1, 2), end=at(1, 3)),)
    assert store.coverage(APPLICATION, start=at(1, 6), end=at(1, 9)) == ()


def test_unit_that_changed_is_not_mixed(store: TelemetryStore) -> None:
    store.append(a_batch(at(1), at(2), series=(a_series(minutes_of(at(1), 0.25, 0.5), unit="Seconds"),)))
    store.append(a_batch(at(2), at(3), series=(a_series(minutes_of(at(2), 300, 400)),)))

    (both,) = store.series(APPLICATION, **ALL)
    (before,) = store.series(APPLICATION, start=at(1), end=at(2))

    assert (both.unit, list(both.values)) == ("Milliseconds", [300, 400])
    assert (before.unit, list(before.values)) == ("Seconds", [0.25, 0.5])


def test_applications_and_tenants_do_not_see_each_other(store: TelemetryStore) -> None:
    others = [an_application("acme", "meetnotes-2"), an_application("globex", "meetnotes")]
    store.append(a_minute(at(1), value=1))
    for other in others:
        store.append(a_minute(at(1), value=2, tenant_id=other.tenant_id, application=other.name))

    assert points(store) == {at(1).timestamp(): 1.0}
    assert [list(store.series(other, **ALL)[0].values) for other in others] == [[2], [2]]
    assert store.size(APPLICATION).points == 1
    assert store.size().points == 3


def test_what_lies_outside_the_range_is_no_part_of_the_batch(store: TelemetryStore) -> None:
    series = a_series(minutes_of(at(1), *range(10)))
    store.append(a_batch(at(1, 3), at(1, 6), series=(series,), events=(an_event(at(1, 6)), an_event(at(1, 3), "in"))))

    assert points(store) == {at(1, n).timestamp(): float(n) for n in (3, 4, 5)}
    assert messages(store) == ["in"]


def test_series_off_the_grid_is_refused(store: TelemetryStore) -> None:
    with pytest.raises(InvalidRequest):
        store.append(a_batch(at(1), at(2), series=(a_series({at(1) + timedelta(seconds=30): 1.0}),)))
    with pytest.raises(InvalidRequest):
        store.append(a_batch(at(1), at(1)))

    assert store.coverage(APPLICATION, **ALL) == ()


def test_expire_deletes_whole_days(store: TelemetryStore) -> None:
    for day in range(3):
        store.append(a_minute(at(24 * day, 10), value=day))

    assert store.expire(before=at(24, 11)) == 1
    assert store.expire(before=at(24, 11)) == 0
    assert [event.at for event in store.events(APPLICATION, **ALL)] == [at(48, 10), at(24, 10)]
    assert store.size().oldest == at(24, 10)


def test_size_tells_what_is_held(store: TelemetryStore) -> None:
    store.append(a_minute(at(1), value=1, events=2))
    store.append(a_minute(at(30), value=1, events=3))

    size = store.size(APPLICATION)

    assert (size.segments, size.points, size.events) == (2, 2, 5)
    assert (size.oldest, size.newest) == (at(1), at(30, 1))
    assert size.bytes > 0
    assert store.size(an_application(name="other")).segments == 0


@pytest.mark.parametrize("seed", range(4))
def test_compaction_changes_nothing_that_can_be_read(store: TelemetryStore, seed: int) -> None:
    reference, source = FakeTelemetryStore(), random.Random(seed)
    for step in range(40):
        start = at(minutes=source.randrange(0, 36 * 60))
        span = source.choice((1, 1, 2, 5, 30, 90))
        values = [source.choice((math.nan, source.random())) for _ in range(span)]
        values[0] = float(step)
        batch = a_batch(
            start,
            start + timedelta(minutes=span),
            series=(a_series(minutes_of(start, *values), source.choice("ab")),),
            events=tuple(an_event(start + timedelta(seconds=7 * n), f"{step} {n}") for n in range(source.randrange(4))),
        )
        reference.append(batch)
        store.append(batch)
        if step % 8 == 7:
            store.compact(now=at(source.choice((5, 20, 24, 30, 48))))

    for window in (ALL, {"start": at(3, 7), "end": at(26, 11)}):
        assert store.series(APPLICATION, **window) == reference.series(APPLICATION, **window)
        assert store.coverage(APPLICATION, **window) == reference.coverage(APPLICATION, **window)
        assert by_time(store.events(APPLICATION, **window)) == by_time(reference.events(APPLICATION, **window))


def by_time(events: tuple[Any, ...]) -> list[Any]:
    return sorted(events, key=lambda event: (event.at, event.message))
