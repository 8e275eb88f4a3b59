"""Lines that AWS Lambda itself writes to a function's log: what an invocation took, and why it was ended."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from selfbuild.analysis.emf import MetricPoint, as_number, parse_object

NAMESPACE = "selfbuild/lambda"
TIMED_OUT = "Sandbox.Timedout"
OUT_OF_MEMORY = "Runtime.OutOfMemory"
EXITED = "Runtime.ExitError"

_ID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_PLATFORM = re.compile(
    rf"^(?:START|END) RequestId: {_ID}|^(?:INIT|RESTORE)_(?:START|REPORT) |^(?:EXTENSION|TELEMETRY)\t"
)
_REPORT = re.compile(rf"^REPORT RequestId: (?P<id>{_ID})\s")
_PART = re.compile(r"(Duration|Memory Size|Max Memory Used|Init Duration|Status|Error Type): ([^\t\n]{1,100})")
_TIMEOUT = re.compile(r"Task timed out after (?P<seconds>\d+(?:\.\d+)?) seconds")
_EXIT = re.compile(r"Error: Runtime exited (?:with error: (?P<why>.{1,200})|without providing a reason)")


class LambdaReport(NamedTuple):
    """What Lambda says about one invocation; None = not said."""

    request_id: str
    duration_ms: float | None
    memory_size_mb: float | None
    memory_used_mb: float | None
    init_duration_ms: float | None
    error_type: str | None
    """`Sandbox.Timedout`, `Runtime.OutOfMemory` or what Lambda names; None after a success."""

    @property
    def memory_percent(self) -> float | None:
        """Share of the function's memory that was in use at most."""
        if self.memory_used_mb is None or not self.memory_size_mb:
            return None
        return 100 * self.memory_used_mb / self.memory_size_mb


def is_platform_line(line: str) -> bool:
    """Whether a text line only marks the start, the end or the cost of an invocation."""
    return _PLATFORM.match(line) is not None or _REPORT.match(line) is not None


def read_report(line: str | Mapping[str, Any]) -> LambdaReport | None:
    """A REPORT line, as text or as the JSON event `platform.report`; None for any other line."""
    if isinstance(line, str) and (found := _REPORT.match(line)) is not None:
        return _text_report(found["id"], line)
    if isinstance(line, str) and "platform.report" not in line:
        return None
    fields = parse_object(line)
    record = fields.get("record") if fields and fields.get("type") == "platform.report" else None
    return _json_report(record) if isinstance(record, dict) else None


def report_points(line: str | Mapping[str, Any], *, received_at: datetime, component: str) -> tuple[MetricPoint, ...]:
    """The points of a REPORT line: duration, memory in per cent of the function's, and whether Lambda ended it.

    Empty for any other line.
    """
    report = read_report(line)
    if report is None:
        return ()
    measured = (
        ("Duration", "Milliseconds", report.duration_ms),
        ("InitDuration", "Milliseconds", report.init_duration_ms),
        ("MemoryUtilization", "Percent", report.memory_percent),
        ("TimedOut", "Count", float(report.error_type == TIMED_OUT)),
        ("OutOfMemory", "Count", float(report.error_type == OUT_OF_MEMORY)),
    )
    dimensions = (("component", component),)
    return tuple(
        MetricPoint(NAMESPACE, metric, unit, dimensions, received_at.timestamp(), (value,))
        for metric, unit, value in measured
        if value is not None
    )


def abort_of(text: str) -> str | None:
    """The error type of a line by which Lambda says that it ended an invocation; None for any other line."""
    if _TIMEOUT.search(text):
        return TIMED_OUT
    found = _EXIT.search(text)
    if found is None:
        return None
    return OUT_OF_MEMORY if "signal: killed" in (found["why"] or "") else EXITED


def _text_report(request_id: str, line: str) -> LambdaReport:
    parts: dict[str, str] = {}
    for name, value in _PART.findall(line):
        parts.setdefault(name, value.strip())
    numbers = {name: as_number(value.split(" ")[0]) for name, value in parts.items()}
    return LambdaReport(
        request_id=request_id,
        duration_ms=numbers.get("Duration"),
        memory_size_mb=numbers.get("Memory Size"),
        memory_used_mb=numbers.get("Max Memory Used"),
        init_duration_ms=numbers.get("Init Duration"),
        error_type=_error_type(parts.get("Status"), parts.get("Error Type")),
    )


def _json_report(record: dict[str, Any]) -> LambdaReport:
    metrics = record.get("metrics")
    numbers = {key: as_number(value) for key, value in metrics.items()} if isinstance(metrics, dict) else {}
    return LambdaReport(
        request_id=str(record.get("requestId", ""))[:64],
        duration_ms=numbers.get("durationMs"),
        memory_size_mb=numbers.get("memorySizeMB"),
        memory_used_mb=numbers.get("maxMemoryUsedMB"),
        init_duration_ms=numbers.get("initDurationMs"),
        error_type=_error_type(record.get("status"), record.get("errorType")),
    )


def _error_type(status: object, named: object) -> str | None:
    if isinstance(named, str) and named:
        return named[:100]
    if status == "timeout":
        return TIMED_OUT
    return EXITED if status in ("error", "failure") else None
