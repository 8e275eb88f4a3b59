"""Bounds and repeatability: log retention, fault rules, quotas, and imports without effect."""

import random
import subprocess
import sys

import pytest
from moto.logs.models import LogGroup

from localaws.errors import AwsError
from localaws.faults import Faults, fault_rule
from localaws.logs.events import CompactLogEvent, drop_expired

DAY_MS = 86_400_000


def a_group(times_ms: list[int], *, retention_days: int | None = None) -> LogGroup:
    group = LogGroup("123456789012", "us-east-1", "/shop", RetentionInDays=retention_days)  # type: ignore[abstract]
    group.create_log_stream("one")
    events = [CompactLogEvent(0, {"timestamp": at_ms, "message": "line"}) for at_ms in times_ms]
    group.streams["one"].events = events  # type: ignore[assignment]
    return group


def times_of(group: LogGroup) -> list[int]:
    return [event.timestamp for event in group.streams["one"].events]


def test_events_beyond_retention_are_dropped() -> None:
    group = a_group([0, DAY_MS, 3 * DAY_MS], retention_days=1)

    remaining = drop_expired([group], 3 * DAY_MS, max_age_ms=14 * DAY_MS, max_events=100)

    assert (remaining, times_of(group)) == (1, [3 * DAY_MS])


def test_oldest_events_go_when_there_are_too_many() -> None:
    group = a_group(list(range(200)))

    remaining = drop_expired([group], 200, max_age_ms=DAY_MS, max_events=100)

    assert remaining == 90
    assert times_of(group)[0] == 110


def taken(faults: Faults, count: int) -> list[bool]:
    return [faults.take("logs", "StartQuery") is not None for _ in range(count)]


def test_same_seed_disturbs_the_same_calls() -> None:
    runs = []
    for _ in range(2):
        faults = Faults(random.Random(3), lambda: 0.0)
        faults.replace_rules([fault_rule({"code": "Throttling", "probability": 0.5})])
        runs.append(taken(faults, 30))

    assert runs[0] == runs[1]
    assert set(runs[0]) == {True, False}


def test_rule_stops_after_its_times_and_leaves_others_alone() -> None:
    faults = Faults(random.Random(0), lambda: 0.0)
    faults.replace_rules([fault_rule({"service": "logs", "operation": "StartQuery", "reset": True, "times": 2})])

    assert faults.take("logs", "StopQuery") is None
    assert faults.take("sqs", "StartQuery") is None
    assert taken(faults, 4) == [True, True, False, False]


def test_quota_refills_with_time() -> None:
    now_s = [0.0]
    faults = Faults(random.Random(0), lambda: now_s[0])
    faults.replace_quotas({"logs:StartQuery": 2})

    first = taken(faults, 3)
    now_s[0] = 0.5

    assert first == [False, False, True]
    assert taken(faults, 2) == [False, True]


@pytest.mark.parametrize(
    "document", [{}, {"code": "X", "probability": 2}, {"code": "X", "times": 0}, {"colour": "red"}]
)
def test_meaningless_rule_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(AwsError):
        fault_rule(document)


def test_import_leaves_moto_as_it_is() -> None:
    program = (
        "from moto.cloudwatch.responses import CloudWatchResponse as c; before = dict(vars(c))\n"
        "import localaws.server, threading\n"
        "assert dict(vars(c)) == before and threading.active_count() == 1\n"
        "with localaws.server.LocalAws(): assert dict(vars(c)) != before\n"
        "assert dict(vars(c)) == before\n"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
