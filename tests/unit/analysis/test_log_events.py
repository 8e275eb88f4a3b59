"""Log lines of every writer are understood alike; what a line does not say stays unsaid."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.error_groups import group_errors
from selfbuild.analysis.log_events import LogDefaults, understand
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WRITTEN = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
STACK = (
    "Traceback (most recent call last):\n"
    '  File "/var/task/app/handler.py", line 12, in handler\n'
    '    owner = item["owner"]\n'
    "            ~~~~^^^^^^^^^\n"
    "KeyError: 'owner'"
)
DEFAULTS = LogDefaults(component="orders", tenant_id="acme")


def told(line: str | Mapping[str, Any], defaults: LogDefaults = DEFAULTS) -> LogEvent:
    event = understand(line, received_at=RECEIVED, defaults=defaults)
    assert event is not None
    return event


EXAMPLE = {
    "_aws": {"Timestamp": 1767322800000, "CloudWatchMetrics": []},
    "level": "ERROR",
    "message": "actions answered 500",
    "component": "actions",
    "tenant_id": "globex",
    "release": "r7",
    "error": {"type": "KeyError", "message": "'owner'", "file": "app/handler.py", "line": 12, "function": "handler"},
    "stack": STACK,
}
POWERTOOLS = {
    "level": "ERROR",
    "location": "handler:30",
    "message": "assignment failed",
    "timestamp": "2026-01-02 03:00:00,000+0000",
    "service": "actions",
    "function_name": "acme-actions",
    "xray_trace_id": "1-69573a30-0123456789abcdef01234567",
    "exception": STACK,
    "exception_name": "KeyError",
}
FRAME = {"file": "/var/task/app/handler.py", "line": 12, "function": "handler", "statement": 'owner = item["owner"]'}
POWERTOOLS_FRAMES = {k: v for k, v in POWERTOOLS.items() if k not in ("exception", "exception_name")} | {
    "stack_trace": {"type": "KeyError", "value": "'owner'", "module": "builtins", "frames": [FRAME]}
}
STRUCTLOG = {"event": "assignment.failed", "level": "error", "timestamp": "2026-01-02T03:00:00Z", "exception": STACK}
STRUCTLOG_FRAMES = STRUCTLOG | {
    "exception": [
        {
            "exc_type": "KeyError",
            "exc_value": "'owner'",
            "frames": [
                {
                    "filename": "/var/task/app/handler.py",
                    "lineno": 12,
                    "name": "handler",
                    "line": 'owner = item["owner"]',
                }
            ],
        }
    ]
}
PYTHON_JSON = {"asctime": "2026-01-02 03:00:00,000", "levelname": "ERROR", "message": "failed", "exc_info": STACK}
LAMBDA_JSON = {
    "timestamp": "2026-01-02T03:00:00Z",
    "log_level": "ERROR",
    "errorMessage": "'owner'",
    "errorType": "KeyError",
    "requestId": "2f1c",
    "stackTrace": ['  File "/var/task/app/handler.py", line 12, in handler\n    owner = item["owner"]\n'],
}
ECS = {
    "@timestamp": "2026-01-02T03:00:00.000Z",
    "log.level": "error",
    "message": "failed",
    "error": {"type": "builtins.KeyError", "message": "'owner'", "stack_trace": STACK},
}
LAMBDA_TEXT = "[ERROR] KeyError: 'owner'\r" + STACK.rpartition("\n")[0].replace("\n", "\r").replace(
    "  ", "\u00a0\u00a0"
)


@pytest.mark.parametrize(
    ("line", "component", "timed"),
    [
        pytest.param(EXAMPLE, "actions", True, id="example application"),
        pytest.param(json.dumps(EXAMPLE), "actions", True, id="example application, as text"),
        pytest.param(POWERTOOLS, "actions", True, id="Powertools"),
        pytest.param(POWERTOOLS_FRAMES, "actions", True, id="Powertools, frames"),
        pytest.param(STRUCTLOG, "orders", True, id="structlog"),
        pytest.param(STRUCTLOG_FRAMES, "orders", True, id="structlog, frames"),
        pytest.param(PYTHON_JSON, "orders", True, id="python-json-logger"),
        pytest.param(LAMBDA_JSON, "orders", True, id="Lambda, JSON"),
        pytest.param(ECS, "orders", True, id="Elastic Common Schema"),
        pytest.param(LAMBDA_TEXT, "orders", False, id="Lambda, text"),
        pytest.param(f"2026-01-02 03:00:00,000 ERROR app.tasks failed\n{STACK}", "orders", True, id="logging"),
        pytest.param(f"ERROR:root:failed\n{STACK}", "orders", False, id="logging, basic"),
        pytest.param(STACK, "orders", False, id="traceback alone"),
        pytest.param({"message": STACK}, "orders", False, id="traceback as message"),
        pytest.param(
            {"timestamp": 1767322800000, "ingestionTime": 1, "message": json.dumps(STRUCTLOG)},
            "orders",
            True,
            id="in an event of CloudWatch Logs",
        ),
    ],
)
def test_every_writer_s_error_is_understood_alike(line: str | dict[str, Any], component: str, timed: bool) -> None:
    event = told(line)

    assert (event.level, event.error_type and event.error_type.rpartition(".")[2]) == ("ERROR", "KeyError")
    assert (event.component, event.message) == (component, "'owner'")
    assert event.at == (WRITTEN if timed else RECEIVED)
    (group,), (expected,) = group_errors([event]), group_errors([told(EXAMPLE)])
    assert group.fingerprint == expected.fingerprint


def test_the_example_names_tenant_release_and_place() -> None:
    event = told(EXAMPLE)

    assert (event.tenant_id, event.release) == ("globex", "r7")
    assert event.location == CodeLocation(path="app/handler.py", line=12, function="handler")


def test_traces_and_places_are_taken_from_where_they_are() -> None:
    relative = STACK.replace("/var/task/", "")

    assert told(POWERTOOLS).trace_id == POWERTOOLS["xray_trace_id"]
    assert told({"message": "m", "correlation_id": "c1"}).trace_id == "c1"
    assert told(relative).location == CodeLocation(path="app/handler.py", line=12, function="handler")
    assert told(STACK).location is None


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        pytest.param("plain words", "INFO", "plain words", id="nothing said"),
        pytest.param("[WARN] disk is  90 % full", "WARNING", "[WARN] disk is 90 % full", id="bracketed"),
        pytest.param("level=error msg=down", "ERROR", "level=error msg=down", id="logfmt"),
        pytest.param("[app] FATAL no memory", "CRITICAL", "[app] FATAL no memory", id="bare, after a word in brackets"),
        pytest.param("no ERRORS found", "INFO", "no ERRORS found", id="another word"),
        pytest.param("worker: shop.errors.StockError: none left", "ERROR", "none left", id="type and message"),
        pytest.param({"msg": "m", "severity": "NOTICE"}, "INFO", "m", id="severity"),
        pytest.param({"msg": "m", "level": 40}, "ERROR", "m", id="number of Python's logging"),
        pytest.param({"msg": "m", "level": 40, "pid": 1, "hostname": "h"}, "WARNING", "m", id="number of pino"),
        pytest.param({"msg": "m", "level": "loud"}, "INFO", "m", id="unknown level"),
        pytest.param('order {"id": 7}', "INFO", 'order {"id": 7}', id="text that ends with an object"),
        pytest.param('10:00 app {"level": "warn", "msg": "m"}', "WARNING", "m", id="object behind a prefix"),
        pytest.param({"level": "error", "code": 7}, "ERROR", '{"level": "error", "code": 7}', id="error without words"),
        pytest.param({"msg": "m", "errorType": "Refused"}, "ERROR", "Refused", id="type alone"),
        pytest.param(
            "2026-01-02T03:04:05.678Z 3604209a-e9a3-11e6-939a-754dd98c7be3 Task timed out after 3.00 seconds",
            "ERROR",
            "2026-01-02T03:04:05.678Z 3604209a-e9a3-11e6-939a-754dd98c7be3 Task timed out after 3.00 seconds",
            id="Lambda timeout",
        ),
    ],
)
def test_level_and_message(line: str | dict[str, Any], level: str, message: str) -> None:
    event = told(line)

    assert (event.level, event.message) == (level, message)


@pytest.mark.parametrize(
    ("line", "error_type"),
    [
        pytest.param("id Task timed out after 3.00 seconds", "Sandbox.Timedout", id="timeout"),
        pytest.param(
            "RequestId: 3604209a Error: Runtime exited with error: signal: killed\nRuntime.ExitError",
            "Runtime.OutOfMemory",
            id="killed",
        ),
        pytest.param(
            "RequestId: 3604209a Error: Runtime exited with error: exit status 1", "Runtime.ExitError", id="exit"
        ),
        pytest.param(
            {"type": "platform.report", "record": {"requestId": "3604209a", "status": "timeout"}},
            "Sandbox.Timedout",
            id="JSON report",
        ),
        pytest.param("TypeError: x is undefined\n    at total (/srv/cart.js:3:1)", "TypeError", id="JavaScript"),
        pytest.param({"level": "INFO", "msg": "retry after ConnectError: no"}, None, id="mentioned at INFO"),
    ],
)
def test_types_of_errors_that_are_no_python_traceback(line: str | dict[str, Any], error_type: str | None) -> None:
    assert told(line).error_type == error_type


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1767322800, WRITTEN, id="seconds"),
        pytest.param(1767322800000, WRITTEN, id="milliseconds"),
        pytest.param("1767322800000000", WRITTEN, id="microseconds, as text"),
        pytest.param(1767322800000000000, WRITTEN, id="nanoseconds"),
        pytest.param("2026-01-02T04:00:00+01:00", WRITTEN, id="with a zone"),
        pytest.param("2026-01-02 03:00:00", WRITTEN, id="without a zone"),
        pytest.param("2036-01-02 03:00:00", RECEIVED, id="of the future"),
        pytest.param(0, RECEIVED, id="clock not set"),
        pytest.param("yesterday", RECEIVED, id="words"),
        pytest.param(float("nan"), RECEIVED, id="no number"),
        pytest.param(True, RECEIVED, id="truth value"),
        pytest.param(None, RECEIVED, id="null"),
    ],
)
def test_times(value: object, expected: datetime) -> None:
    assert told({"message": "m", "time": value}).at == expected


def test_component_and_tenant_are_the_line_s_else_the_default_s() -> None:
    defaults = LogDefaults(component="all", tenant_id="acme", component_keys=("part",), tenant_keys=("customer",))

    assert told({"message": "m", "part": "p", "customer": 7, "service": "s"}, defaults).component == "p"
    assert told({"message": "m", "part": "p", "customer": 7}, defaults).tenant_id == "7"
    assert told({"message": "m", "service": "s"}, defaults).component == "all"
    assert told({"message": "m", "service": "service_undefined"}).component == "orders"
    assert told({"message": "m"}, defaults).tenant_id == "acme"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param(" \n", id="white space"),
        pytest.param("{}", id="no fields"),
        pytest.param({"level": "INFO", "code": 7}, id="no words"),
        pytest.param("START RequestId: 3604209a-e9a3-11e6-939a-754dd98c7be3 Version: 1", id="start"),
        pytest.param("END RequestId: 3604209a-e9a3-11e6-939a-754dd98c7be3", id="end"),
        pytest.param("REPORT RequestId: 3604209a-e9a3-11e6-939a-754dd98c7be3\tDuration: 1 ms", id="report"),
        pytest.param({"type": "platform.start", "record": {}}, id="JSON start"),
        pytest.param({"type": "platform.report", "record": {"status": "success"}}, id="JSON report of a success"),
    ],
)
def test_lines_that_say_nothing_are_no_events(line: str | dict[str, Any]) -> None:
    assert understand(line, received_at=RECEIVED, defaults=DEFAULTS) is None


@pytest.mark.parametrize("line", ["ERROR plain", {"message": "m"}, {"type": "platform.report"}])
def test_a_line_whose_tenant_nobody_names_belongs_to_nobody(line: str | dict[str, Any]) -> None:
    assert understand(line, received_at=RECEIVED, defaults=LogDefaults(component="orders")) is None


def test_everything_is_cut() -> None:
    long = "x" * 3_000_000
    structured = told({"message": long, "component": long, "tenant_id": long, "release": long, "stack": f"a\n{long}"})
    plain = told(long)

    assert len(structured.model_dump_json()) < 25_000
    assert len(plain.model_dump_json()) < 25_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KNOWN_NAMES = """
    level message timestamp error stack exception stack_trace stackTrace type record _aws severity tenant_id component
    time msg log stream frames metrics exc_type
"""
known_names = st.sampled_from(KNOWN_NAMES.split())


@given(st.dictionaries(known_names | st.text(max_size=8), json_values, max_size=8))
def test_no_fields_raise(fields: dict[str, Any]) -> None:
    for line in (fields, json.dumps(fields)):
        event = understand(line, received_at=RECEIVED, defaults=DEFAULTS)
        assert event is None or event.at <= RECEIVED + timedelta(days=1)


@given(st.text(max_size=200), st.sampled_from(["", "[ERROR] ", "{", '{"message": ', "REPORT RequestId: ", STACK]))
def test_no_text_raises(text: str, start: str) -> None:
    event = understand(start + text, received_at=RECEIVED, defaults=DEFAULTS)

    assert event is None or event.message


def test_a_line_nested_without_end_is_text() -> None:
    assert told('{"a":' * 100_000 + "}").level == "INFO"


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    event = told('{"message": "half \\ud800", "component": "\\udfff"}')

    assert "half" in event.message
    assert event.model_dump_json()
