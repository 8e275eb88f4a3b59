"""What the Parquet store promises when processes crash, meet each other, or find a folder, bucket or file damaged."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pytest

from localaws.server import LocalAws
from selfbuild.adapters.telemetry_store import (
    EVENT_COLUMNS,
    FolderObjects,
    HotEvents,
    ParquetTelemetryStore,
    S3Objects,
    SegmentObjects,
)
from selfbuild.domain.errors import MalformedAnswer, NotFound, SelfBuildError, Unreachable
from selfbuild.domain.telemetry import Span
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

ALL: dict[str, Any] = {"start": at(-48), "end": at(72)}
LATER = timedelta(hours=1)
"""After the lease of a compactor that crashed."""


class Crash(Exception):
    """The process ends here."""


class Intercepted:
    """Segment objects that call `before[name]` ahead of each call of `name`."""

    def __init__(self, objects: SegmentObjects, **before: Callable[[], None]) -> None:
        self._objects = objects
        self._before = before

    def __getattr__(self, name: str) -> Any:
        self._before.get(name, lambda: None)()
        return getattr(self._objects, name)


def intercepted(objects: SegmentObjects, **before: Callable[[], None]) -> SegmentObjects:
    return cast(SegmentObjects, Intercepted(objects, **before))


def once(call: Callable[[], object]) -> Callable[[], None]:
    """Calls at its first call only."""
    left = [call]

    def first() -> None:
        if left:
            left.pop()()

    return first


def crash() -> None:
    raise Crash


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


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    in_folder = request.param == "folder"
    made = Place.in_folder(tmp_path) if in_folder else Place.in_s3(request.getfixturevalue("s3"), tmp_path)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Place]:
    made = Place.in_folder(tmp_path)
    yield made
    made.close()


def fill(store: ParquetTelemetryStore, *, minutes: int = 4, first: int = 0) -> None:
    for minute in range(first, first + minutes):
        store.append(a_minute(at(1, minute), value=minute))


def values(store: ParquetTelemetryStore) -> list[float]:
    return [value for series in store.series(APPLICATION, **ALL) for value in series.values]


def messages(store: ParquetTelemetryStore) -> list[str]:
    return [event.message for event in store.events(APPLICATION, **ALL)]


def test_hours_and_days_that_are_over_become_one_segment(place: Place) -> None:
    store = place.open()
    fill(store)
    store.append(a_minute(at(2), value=9))
    store.append(a_minute(at(2, 1), value=9))

    assert store.compact(now=at(2, 5)) == 4
    assert store.size().segments == 3
    assert store.compact(now=at(24)) == 3
    assert store.compact(now=at(24)) == 0
    size = store.size()
    assert (size.segments, size.points, size.events) == (1, 6, 6)
    assert values(store)[:4] == [0, 1, 2, 3]
    assert len(messages(store)) == 6


def test_batch_that_is_the_newest_already_is_not_written_again(place: Place) -> None:
    store = place.open()
    batch = a_minute(at(1), value=1, events=5)
    for _ in range(3):
        store.append(batch)

    assert store.size().segments == 1
    store.append(a_minute(at(1), value=2))
    store.append(batch)
    assert store.size().segments == 3
    assert values(store) == [1]


def test_gaps_of_coverage_outlive_compaction(place: Place) -> None:
    store = place.open()
    store.append(a_batch(at(1), at(1, 5)))
    store.append(a_minute(at(1, 9), value=1))
    before = store.coverage(APPLICATION, **ALL)

    for now in (at(2), at(24), at(24)):
        store.compact(now=now)

        assert store.coverage(APPLICATION, **ALL) == before
    assert before == (Span(start=at(1), end=at(1, 5)), Span(start=at(1, 9), end=at(1, 10)))


def test_late_batch_replaces_what_was_compacted(place: Place) -> None:
    store = place.open()
    fill(store)
    store.compact(now=at(24))
    late = a_batch(at(1, 1), at(1, 3), series=(a_series(minutes_of(at(1, 1), np.nan, 20)),))
    store.append(late)

    for _ in range(2):
        assert values(store) == [0, 1, 20, 3]
        assert messages(store) == ["01:03 0", "01:00 0"]
        store.compact(now=at(24))
    assert store.size().segments == 1


def test_crash_while_a_batch_is_written_leaves_nothing_to_see(place: Place) -> None:
    dying = place.open(intercepted(place.objects(), put=crash))

    with pytest.raises(Crash):
        fill(dying)

    store = place.open()
    assert store.size().segments == 0
    fill(store)
    assert values(store) == [0, 1, 2, 3]


def test_events_without_their_series_file_are_not_seen(place: Place) -> None:
    puts = iter((lambda: None, crash))
    dying = place.open(intercepted(place.objects(), put=lambda: next(puts)()))

    with pytest.raises(Crash):
        dying.append(a_minute(at(1), value=1, events=3))

    store = place.open()
    assert messages(store) == []
    assert store.event_files(APPLICATION, **ALL) == []
    store.append(a_minute(at(1), value=1, events=3))
    assert len(messages(store)) == 3


def test_leftovers_go_when_they_are_old(folder: Place, tmp_path: Path) -> None:
    store = folder.open()
    fill(store, minutes=1)
    root = tmp_path / "telemetry"
    (events,) = root.rglob("*.events.parquet")
    orphan = events.with_name(events.name.replace("-e1-", "-e2-"))
    orphan.write_bytes(b"half")
    draft = root / ".writing" / "tmpabc"
    draft.mkdir()
    (draft / "series").write_bytes(b"half")

    store.compact(now=at(1, 1))
    assert orphan.exists()
    assert draft.exists()

    long_ago = datetime.now(UTC).timestamp() - 7200
    os.utime(orphan, (long_ago, long_ago))
    os.utime(draft, (long_ago, long_ago))
    store.compact(now=at(1, 1))
    assert not orphan.exists()
    assert not draft.exists()
    assert len(messages(store)) == 1


def test_crash_in_the_middle_of_a_join_doubles_nothing(place: Place) -> None:
    dying = place.open(intercepted(place.objects(), remove=crash))
    fill(dying)
    with pytest.raises(Crash):
        dying.compact(now=at(2))

    store = place.open()
    assert store.size().segments == 5
    assert values(store) == [0, 1, 2, 3]
    assert len(messages(store)) == 4
    assert rows_of(store.event_files(APPLICATION, **ALL)) == 4

    assert store.compact(now=at(2) + LATER) >= 4
    assert store.size().segments == 1
    assert values(store) == [0, 1, 2, 3]
    assert len(messages(store)) == 4


def test_lease_holds_off_a_second_compactor_until_it_expires(place: Place) -> None:
    store, other = place.open(intercepted(place.objects(), reclaim=crash)), place.open()
    fill(store)
    with pytest.raises(Crash):
        store.compact(now=at(2))
    fill(store, first=4)

    assert other.compact(now=at(2, 9)) == 0
    assert other.compact(now=at(2, 11)) == 5
    assert other.size().segments == 1


def test_two_compactors_at_once_double_and_lose_nothing(place: Place) -> None:
    other = place.open()
    late = a_minute(at(1, 4), value=4)

    def interfere() -> None:
        other.append(late)
        other.compact(now=at(2) + LATER)

    store = place.open(intercepted(place.objects(), put=once(interfere)))
    fill(other)

    store.compact(now=at(2))

    for _ in range(2):
        assert values(other) == [0, 1, 2, 3, 4]
        assert len(messages(other)) == 5
        other.compact(now=at(24))
    assert other.size().segments == 1


def test_batch_written_while_its_hour_is_joined_is_the_newest(place: Place) -> None:
    other = place.open()
    fill(other)

    def interfere() -> None:
        other.append(a_minute(at(1, 9), value=9))
        other.compact(now=at(2))

    store = place.open(intercepted(place.objects(), put=once(interfere)))
    store.append(a_minute(at(1, 2), value=20, events=0))

    for _ in range(2):
        assert values(other)[:4] == [0, 1, 20, 3]
        assert messages(other) == ["01:09 0", "01:03 0", "01:01 0", "01:00 0"]
        other.compact(now=at(24))


def test_many_writers_at_once_lose_nothing(place: Place) -> None:
    stores = [place.open() for _ in range(4)]
    threads = [
        threading.Thread(target=fill, args=(store,), kwargs={"first": 3 * place_, "minutes": 6})
        for place_, store in enumerate(stores)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert values(stores[0]) == [float(n) for n in range(15)]
    assert len(messages(stores[0])) == 15


@pytest.mark.parametrize("read", [values, messages], ids=["series", "events"])
def test_segment_joined_while_it_is_read_is_found_in_its_new_place(
    place: Place, read: Callable[[ParquetTelemetryStore], list[Any]]
) -> None:
    other = place.open()
    fill(other)
    expected = read(other)
    store = place.open(intercepted(place.objects(), local=once(lambda: other.compact(now=at(2)))))

    assert read(store) == expected
    assert other.size().segments == 1


def test_grid_holds_all_series_of_a_period(place: Place) -> None:
    store = place.open()
    for minute in range(3):
        series = (
            a_series({at(1, minute): minute}, HOSTILE),
            a_series({at(1, minute): 10 + minute}, "a"),
            a_series({at(1): 5}, "b", period_s=300),
        )
        store.append(a_batch(at(1, minute), at(1, minute + 1), series=series[: 3 if minute == 0 else 2]))
        store.compact(now=at(24))

    keys, grid = store.grid(APPLICATION, start=at(1, -1), end=at(1, 4), period_s=60)

    assert [key.component for key in keys] == sorted([HOSTILE, "a"])
    nan = np.nan
    rows = {"a": [nan, 10, 11, 12, nan], HOSTILE: [nan, 0, 1, 2, nan]}
    np.testing.assert_array_equal(grid, [rows[key.component] for key in keys])
    assert store.grid(APPLICATION, start=at(5), end=at(6), period_s=60)[1].shape == (0, 60)


def rows_of(files: list[Path]) -> int:
    if not files:
        return 0
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT count(*) FROM read_parquet($1)", [[str(each) for each in files]]).fetchone()
    assert found is not None
    return int(found[0])


def test_event_files_hold_each_event_once(place: Place) -> None:
    store = place.open()
    store.append(a_batch(at(1), at(2), events=tuple(an_event(at(1, n), f"old {n}") for n in range(60))))
    store.append(a_batch(at(1, 1), at(1, 59), events=(a_full_event(at(1, 30)),)))
    store.append(a_minute(at(3), events=2))

    files = store.event_files(APPLICATION, **ALL)

    assert rows_of(files) == 5
    with duckdb.connect(":memory:") as connection:
        found = connection.execute("SELECT * FROM read_parquet($1)", [[str(each) for each in files]]).description
    assert [(column[0], str(column[1]).replace(" WITH TIME ZONE", "TZ")) for column in found] == list(EVENT_COLUMNS)
    store.compact(now=at(24))
    assert rows_of(store.event_files(APPLICATION, **ALL)) == 5


def test_names_from_telemetry_are_in_no_path(folder: Place, tmp_path: Path) -> None:
    store = folder.open()
    batch = a_batch(at(1), at(2), series=(a_series({at(1): 1}, "../../x", metric=HOSTILE),), events=(an_event(at(1)),))
    store.append(batch)

    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    assert [path.parts[:4] for path in files] == [("telemetry", "acme", "meetnotes", "2026-03-01")] * 2


def damage(tmp_path: Path, how: str) -> Path:
    path = sorted(tmp_path.rglob("*.series.parquet"))[1]
    content = path.read_bytes()
    path.write_bytes(content[:-50] if how == "truncated" else content[:4] + bytes(200) + content[204:])
    return path


@pytest.mark.parametrize("how", ["truncated", "overwritten"])
def test_corrupt_segment_is_named_and_hides_nothing_where_allowed(folder: Place, tmp_path: Path, how: str) -> None:
    fill(folder.open())
    path = damage(tmp_path, how)
    strict, lenient = folder.open(), folder.open(skip_corrupt=True)

    with pytest.raises(MalformedAnswer, match="collect its range again") as error:
        strict.series(APPLICATION, **ALL)

    assert path.name in str(error.value)
    assert [value for value in values(lenient) if not np.isnan(value)] == [0, 2, 3]
    assert len(lenient.problems) == 1
    assert path.name in lenient.problems[0]


def test_join_leaves_an_hour_with_a_corrupt_segment_and_goes_on(folder: Place, tmp_path: Path) -> None:
    store = folder.open()
    fill(store)
    path = damage(tmp_path, "truncated")
    for minute in range(3):
        store.append(a_minute(at(2, minute), value=1))

    assert store.compact(now=at(3)) == 3
    assert path.name in store.problems[0]
    assert path.exists()
    path.unlink()
    assert store.compact(now=at(3)) == 3
    assert store.size().segments == 2
    assert store.problems == ()


def test_folder_that_is_a_file_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    objects = FolderObjects(tmp_path / "file")

    with ParquetTelemetryStore(objects) as store:
        for call in (lambda: store.append(a_minute(at(1))), lambda: store.size(), lambda: values(store)):
            with pytest.raises(Unreachable, match="correct the path or its permissions"):
                call()


def test_full_disk_is_unreachable_and_leaves_nothing(folder: Place, tmp_path: Path) -> None:
    store = folder.open()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(Unreachable, match="make room"):
            store.append(a_minute(at(1), value=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert store.size().segments == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    store.append(a_minute(at(1), value=1))
    assert values(store) == [1]


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        pytest.param("put_object", "SlowDown", "Throttled", id="throttled"),
        pytest.param("list_objects_v2", "AccessDenied", "AccessDenied", id="denied"),
    ],
)
def test_error_of_s3_is_translated(s3: Any, tmp_path: Path, name: str, code: str, expected: str) -> None:
    def fail(**_: Any) -> None:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)

    s3.meta.events.register(f"before-call.s3.{'PutObject' if name == 'put_object' else 'ListObjectsV2'}", fail)
    with ParquetTelemetryStore(S3Objects(s3, BUCKET, cache=tmp_path)) as store, pytest.raises(SelfBuildError) as error:
        store.append(a_minute(at(1), value=1))

    assert type(error.value).__name__ == expected


def test_s3_that_is_down_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with (
        s3_client("http://127.0.0.1:1") as client,
        ParquetTelemetryStore(S3Objects(client, BUCKET, cache=tmp_path)) as store,
        pytest.raises(Unreachable),
    ):
        store.append(a_minute(at(1), value=1))


def test_bucket_that_does_not_exist_is_named(s3: Any, tmp_path: Path) -> None:
    objects = S3Objects(s3, "elsewhere", cache=tmp_path)
    with ParquetTelemetryStore(objects) as store, pytest.raises(NotFound, match="'elsewhere': create it"):
        store.size()


def test_cache_of_s3_stays_within_its_bound_and_is_filled_once(s3: Any, tmp_path: Path) -> None:
    fetched: list[str] = []
    s3.meta.events.register("before-call.s3.GetObject", lambda **fields: fetched.append(str(fields["params"]["url"])))
    with ParquetTelemetryStore(S3Objects(s3, BUCKET, cache=tmp_path / "writer")) as writer:
        fill(writer)
    fetched.clear()

    with ParquetTelemetryStore(S3Objects(s3, BUCKET, cache=tmp_path / "reader")) as reader:
        assert values(reader) == values(reader) == [0, 1, 2, 3]
        assert len(fetched) == 4
    with ParquetTelemetryStore(S3Objects(s3, BUCKET, cache=tmp_path / "small", cache_bytes=1)) as small:
        assert values(small) == [0, 1, 2, 3]
        assert messages(small) == ["01:03 0", "01:02 0", "01:01 0", "01:00 0"]
        assert list((tmp_path / "small").rglob("*.series.parquet")) == []


def test_hot_events_keep_the_newest_within_the_limit() -> None:
    hot = HotEvents(3)
    hot.keep(a_batch(at(1), at(1, 4), events=tuple(an_event(at(1, n), str(n)) for n in range(4))))
    hot.keep(a_minute(at(1), events=2, tenant_id="globex"))

    assert [event.message for event in hot.newest("acme", "meetnotes")] == ["3", "2", "1"]
    assert [event.message for event in hot.newest("acme", "meetnotes", limit=1)] == ["3"]
    assert (hot.held("acme", "meetnotes"), hot.dropped("acme", "meetnotes")) == (3, 1)
    assert (hot.held("globex", "meetnotes"), hot.dropped("globex", "meetnotes")) == (2, 0)
    assert (hot.held("acme", "other"), hot.dropped("acme", "other"), hot.newest("acme", "other")) == (0, 0, ())


def test_hot_events_of_a_range_are_replaced() -> None:
    hot = HotEvents(10)
    hot.keep(a_batch(at(1), at(1, 4), events=tuple(an_event(at(1, n), str(n)) for n in range(4))))
    hot.keep(a_batch(at(1, 2), at(1, 5), events=(an_event(at(1, 3), "new"),)))

    assert [event.message for event in hot.newest("acme", "meetnotes")] == ["new", "1", "0"]
    with pytest.raises(ValueError, match="at least 1"):
        HotEvents(0)
