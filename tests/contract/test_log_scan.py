"""The columnar scan says what a line-by-line reading says, and survives what files hold."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfbuild.adapters.log_scan import MAX_GROUPS, MAX_TENANTS, LogFilter, LogGroup, LogKeys, scan_groups
from selfbuild.analysis.log_groups import LogGrouper
from selfbuild.analysis.masks import COARSE, MAX_LINE, WILDCARD, coarse
from selfbuild.domain.errors import InvalidRequest, NotFound

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
TEMPLATES = (
    "order {0} stored in {1} ms",
    "user u{0} signed in from 10.0.{1}.7",
    "GET https://shop.example.org/items/{0} took {1} s",
    "cache /var/cache/blob-{0} dropped",
)
LINES = [
    {
        "timestamp": (START + timedelta(seconds=n)).isoformat(),
        "level": "error" if n % 10 == 0 else "INFO",
        "message": TEMPLATES[n % 4].format(n, n * 7 % 200),
        "component": "worker" if n % 2 else "api",
        "tenant_id": f"tenant-{n % 30:02d}",
        "application": "shop" if n < 300 else "blog",
    }
    for n in range(400)
]
MESSAGES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=120), min_size=1)


def a_file(folder: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    path = folder / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def scanned(tmp_path: Path) -> list[LogGroup]:
    return scan_groups([a_file(tmp_path, LINES)])


def masked_by_the_store(lines: list[str]) -> list[str]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        query = f"SELECT regexp_replace(left(x, {MAX_LINE}), ?, ?, 'g') FROM (SELECT unnest(?::VARCHAR[]) AS x)"
        return [row[0] for row in connection.execute(query, [COARSE, WILDCARD, lines]).fetchall()]


@settings(max_examples=60, deadline=None)
@given(MESSAGES)
def test_the_store_and_python_mask_alike(lines: list[str]) -> None:
    assert masked_by_the_store(lines) == [coarse(line) for line in lines]


def test_the_store_and_python_mask_noise_alike() -> None:
    lines = ["", "@", "a9" * 5_000, "é9 ü", "x_1-2.3,4", "٣ 3", "\ta\v1\f2\r3", "a" * 5_000 + "1", "K1 ſ2", "<*>1"]

    assert masked_by_the_store(lines) == [coarse(line) for line in lines]


def test_groups_are_those_of_a_reading_line_by_line(scanned: list[LogGroup]) -> None:
    grouper = LogGrouper()
    groups = grouper.group_batch(str(line["message"]) for line in LINES)
    expected = Counter((group.group_id, line["component"]) for group, line in zip(groups, LINES, strict=True))

    assert {(group.group_id, group.component): group.line_count for group in scanned} == expected
    assert len(scanned) == 4
    assert {group.template for group in scanned} == {group.template for group in groups}


def test_a_group_has_times_tenants_levels_and_a_sample(scanned: list[LogGroup]) -> None:
    group = next(group for group in scanned if group.template == "order <*> stored in <*> ms")

    assert group.component == "api"
    assert group.line_count == 100
    assert (group.first_at, group.last_at) == (START, START + timedelta(seconds=396))
    assert group.tenant_count == 15
    assert group.tenants == tuple(f"tenant-{n:02d}" for n in range(0, 30, 2))
    assert group.levels == {"ERROR": 20, "INFO": 80}
    assert group.sample == "order 0 stored in 0 ms"


def test_tenants_are_counted_in_full_and_listed_in_part(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"message": f"order {n}", "tenant_id": f"t{n:03d}"} for n in range(200)]

    (group,) = scan_groups([a_file(tmp_path, lines)])

    assert group.tenant_count == 200
    assert group.tenants == tuple(f"t{n:03d}" for n in range(MAX_TENANTS))
    assert (group.first_at, group.component, group.levels) == (None, None, {})


@pytest.mark.parametrize(
    ("where", "count"),
    [
        pytest.param(LogFilter(tenant="tenant-03"), 14, id="tenant"),
        pytest.param(LogFilter(tenant="' OR 1=1 --"), 0, id="hostile tenant"),
        pytest.param(LogFilter(application="blog"), 100, id="application"),
        pytest.param(LogFilter(levels=("ERROR",)), 40, id="levels"),
        pytest.param(LogFilter(start_at=START + timedelta(seconds=390)), 10, id="from"),
        pytest.param(LogFilter(end_at=START + timedelta(seconds=5)), 5, id="to"),
        pytest.param(LogFilter(tenant="tenant-03", end_at=START + timedelta(seconds=34)), 2, id="tenant and time"),
    ],
)
def test_filters_choose_the_lines_that_count(tmp_path: Path, where: LogFilter, count: int) -> None:
    groups = scan_groups([a_file(tmp_path, LINES)], where=where)

    assert sum(group.line_count for group in groups) == count


def test_unreadable_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(
        b'{"message": "order 1"}\n\n{"message": "bad \xff\xfe"}\nno json\n{"message": "cut\n[1, 2]\n\x00\x01\n{}\n'
        b'{"message": null}\n{"message": "order 2", "timestamp": "rubbish"}\n{"message": "'
        + b"x 1 " * 250_000
        + b'"}\n'
    )

    groups = scan_groups([path])

    assert {group.template[:9]: group.line_count for group in groups} == {"order <*>": 2, "x <*>": 1}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-11-23T12:00:00+02:00", START, id="offset"),
        pytest.param("2026-11-23T10:00:00.250Z", START + timedelta(milliseconds=250), id="fraction"),
        pytest.param("2026-11-23 10:00:00", START, id="no zone is UTC"),
        pytest.param(int(START.timestamp()), START, id="seconds"),
        pytest.param(int(START.timestamp() * 1000), START, id="milliseconds"),
        pytest.param("yesterday", None, id="no time"),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, text: object, moment: datetime | None) -> None:
    (group,) = scan_groups([a_file(tmp_path, [{"message": "x", "timestamp": text}])])

    assert group.first_at == moment


def test_the_first_message_key_present_counts_and_names_are_only_names(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{'ms"g': "order 1"}, {"message": "order 2"}]
    keys = LogKeys(message=("message", 'ms"g'))

    (group,) = scan_groups([a_file(tmp_path, lines)], keys=keys)

    assert group.line_count == 2


def test_parquet_files_say_the_same(tmp_path: Path, scanned: list[LogGroup]) -> None:
    source, target = a_file(tmp_path, LINES), tmp_path / "part-1.parquet"
    with duckdb.connect(":memory:") as connection:
        query = """SELECT "timestamp"::TIMESTAMP AS "at", tenant_id AS tenant, application, component, level, message
            FROM read_json(?, format = 'newline_delimited')"""
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(query, params=[str(source)]).write_parquet(str(target))

    assert scan_groups([tmp_path / "*.parquet"], source="parquet") == scanned


@pytest.mark.slow
def test_many_different_lines_stay_within_the_memory(tmp_path: Path) -> None:
    letters = str.maketrans("0123456789", "abcdefghij")
    lines: list[dict[str, object]] = [{"message": f"name {n} {n * 31:0300}".translate(letters)} for n in range(50_000)]

    groups = scan_groups([a_file(tmp_path, lines)], memory_mib=128)

    assert len(groups) == MAX_GROUPS
    assert {group.line_count for group in groups} == {1}


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no log lines"):
        scan_groups([tmp_path / "none-*.jsonl"])


def test_a_file_of_another_format_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        scan_groups([a_file(tmp_path, LINES)], source="parquet")


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="time zone"):
        scan_groups([a_file(tmp_path, LINES)], where=LogFilter(start_at=datetime(2026, 1, 1)))
