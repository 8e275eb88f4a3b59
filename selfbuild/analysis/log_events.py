"""One understanding of log lines, whoever wrote them: JSON of common loggers, AWS Lambda's own lines, plain text.

Never raises on a line, however broken, and never makes up what a line does not say.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from selfbuild.analysis.emf import MAX_LINE, MetricPoint, clean, emf_points, parse_object
from selfbuild.analysis.error_groups import ERROR_LEVELS
from selfbuild.analysis.fingerprint import cause_of, crash_frame
from selfbuild.analysis.lambda_lines import abort_of, is_platform_line, read_report, report_points
from selfbuild.analysis.log_fields import (
    LEVEL_KEYS,
    MAX_NAME,
    MESSAGE_KEYS,
    TRACE_KEYS,
    ErrorFields,
    error_of,
    instant,
    level_named,
    level_of,
    location,
    location_of,
    plausible,
    text_field,
    time_of,
)
from selfbuild.analysis.tracebacks import parse_chains
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent

__all__ = ["LogDefaults", "MetricPoint", "emf_points", "report_points", "understand"]

MAX_MESSAGE = 2_000
MAX_STACK = 16_000
HEAD = 300
"""Characters of a text line in which its time and its level stand."""
ANONYMOUS = frozenset({"service_undefined"})
"""What Powertools names a service that has no name."""

_LEVEL = re.compile(
    r"\[\s*(?P<bracketed>[A-Za-z]{3,9})\s*\]|\b(?:level|severity|lvl)=\"?(?P<keyed>[A-Za-z]{3,11})"
    r"|(?<![\w.])(?P<bare>CRITICAL|FATAL|PANIC|SEVERE|ERROR|WARNING|WARN|NOTICE|INFO|DEBUG|TRACE)(?![\w.])"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?")
_TYPED = re.compile(
    r"(?:^|\s)(?P<type>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Failure))"
    r"(?::\s+(?P<message>.*))?$"
)
_TRACEBACK = "Traceback (most recent call last):"
_FOREIGN_FRAME = re.compile(r"^[ \t]+at \S.*[:)]", re.MULTILINE)
_SPACES = re.compile(r"\s+")
_NOTHING = ErrorFields(None, None, None)
_LAMBDA_HEAD = re.compile(r"^\[[A-Z]+\]\s+(?:\d{4}-\d\d-\d\dT\S+\s+[0-9a-fA-F-]{36}\s+)?")


class LogDefaults(NamedTuple):
    """What holds for a line that does not say it, and how the application names things."""

    component: str
    """Of lines that name none, such as those of a log group that belongs to one component."""
    tenant_id: str | None = None
    """Of lines that name none; None = such lines belong to nobody and are passed over."""
    component_keys: tuple[str, ...] = ("component", "service", "function_name")
    """Fields that name the component, the application's dimension first."""
    tenant_keys: tuple[str, ...] = ("tenant_id", "tenant")
    """Fields that name the tenant, the application's dimension first."""
    release_keys: tuple[str, ...] = ("release",)


def understand(line: str | Mapping[str, Any], *, received_at: datetime, defaults: LogDefaults) -> LogEvent | None:
    """What a log line says.

    Args:
        line: A text line, which may hold line ends, or the fields of a structured one.
        received_at: The time of lines that tell none, or one that cannot be.
        defaults: Component and tenant of lines that name none.

    Returns:
        None for a line that says nothing (empty, or the start, end or report of a Lambda invocation, whose numbers
        `report_points` gives), and for one whose tenant nobody names. A line that names no level is an ERROR if it
        tells of an exception, else INFO.
    """
    fields = _fields(line)
    if fields is not None:
        return _structured(fields, received_at, defaults)
    if not isinstance(line, str) or not line.strip() or defaults.tenant_id is None or is_platform_line(line):
        return None
    return _plain(clean(line, limit=MAX_LINE), received_at, defaults, defaults.tenant_id)


def _fields(line: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a structured line, without the envelope that CloudWatch Logs or a container runtime puts around."""
    fields = parse_object(line)
    if fields is None:
        return None
    if isinstance(line, str) and not line.lstrip().startswith("{") and not _is_log_object(fields):
        return None
    wrapped = "stream" in fields or "ingestionTime" in fields or "logStreamName" in fields
    inner = fields.get("log", fields.get("message")) if wrapped else None
    if not isinstance(inner, str):
        return fields
    return parse_object(inner) or fields


def _is_log_object(fields: dict[str, Any]) -> bool:
    """Whether an object behind a prefix is a log line, not a value that a text line ends with."""
    return any(name in fields for name in LEVEL_KEYS) and any(name in fields for name in MESSAGE_KEYS)


def _structured(fields: dict[str, Any], received_at: datetime, defaults: LogDefaults) -> LogEvent | None:
    tenant_id = text_field(fields, defaults.tenant_keys) or defaults.tenant_id
    if tenant_id is None:
        return None
    if str(fields.get("type", "")).startswith("platform."):
        return _aborted(fields, received_at, defaults, tenant_id)
    level = level_of(fields)
    written = text_field(fields, MESSAGE_KEYS, limit=MAX_STACK) or ""
    error = _error(fields, written, level)
    message = error.message or error.error_type or written
    if not message and level in ERROR_LEVELS:
        message = clean(json.dumps(fields, default=str, skipkeys=True), limit=MAX_MESSAGE)
    if not message:
        return None
    return LogEvent(
        at=time_of(fields, received_at=received_at),
        component=_component(fields, defaults),
        tenant_id=tenant_id,
        level=level or _level_without_word(error),
        message=message[:MAX_MESSAGE],
        error_type=error.error_type,
        location=location_of(fields) or _crash(error.stack),
        stack=error.stack,
        release=text_field(fields, defaults.release_keys),
        trace_id=text_field(fields, TRACE_KEYS),
    )


def _error(fields: dict[str, Any], written: str, level: str | None) -> ErrorFields:
    """What a structured line says about an exception in its fields, else in its message."""
    named = error_of(fields, max_stack=MAX_STACK, max_message=MAX_MESSAGE)
    if named.error_type is None and named.stack is None:
        told = _read_text(written) if level is None or level in ERROR_LEVELS or _TRACEBACK in written else _NOTHING
        return ErrorFields(told.error_type, named.message or told.message, told.stack)
    raised = _raised(named.stack)
    message = named.message or raised.message
    return ErrorFields(named.error_type or raised.error_type, message, named.stack)


def _aborted(fields: dict[str, Any], received_at: datetime, defaults: LogDefaults, tenant_id: str) -> LogEvent | None:
    """An invocation that Lambda ended, of its JSON report."""
    report = read_report(fields)
    if report is None or report.error_type is None:
        return None
    return LogEvent(
        at=time_of(fields, received_at=received_at),
        component=_component(fields, defaults),
        tenant_id=tenant_id,
        level="ERROR",
        message=f"the invocation was ended: {report.error_type}",
        error_type=report.error_type,
        trace_id=report.request_id or None,
    )


def _plain(line: str, received_at: datetime, defaults: LogDefaults, tenant_id: str) -> LogEvent:
    head = line[:HEAD]
    time = _TIME.search(head)
    at = instant(time[0]) if time is not None else None
    error = _read_text(line)
    level = _level_word(head) or _level_without_word(error)
    message = error.message if error.error_type else _SPACES.sub(" ", line.strip()[:MAX_STACK])
    return LogEvent(
        at=plausible(at, received_at=received_at),
        component=defaults.component,
        tenant_id=tenant_id,
        level=level,
        message=(message or error.error_type or line)[:MAX_MESSAGE],
        error_type=error.error_type,
        location=_crash(error.stack),
        stack=error.stack,
    )


def _read_text(text: str) -> ErrorFields:
    """What a text tells of an exception: by its traceback, by `Type: message` at its end, or by Lambda's words."""
    start = text.find(_TRACEBACK)
    stack = text[max(0, text.rfind("\n", 0, start) + 1) :] if start >= 0 else None
    if stack is None and _FOREIGN_FRAME.search(text):
        stack = text
    raised = _raised(stack)
    if raised.error_type is not None:
        return ErrorFields(raised.error_type, raised.message, _cut(stack))
    # Lambda writes type and message in front of a traceback, and ends the lines with carriage returns.
    first = next((line for line in text.splitlines() if line.strip()), "")[:MAX_MESSAGE]
    aborted = abort_of(text[:MAX_MESSAGE])
    if aborted is not None:
        return ErrorFields(aborted, first.strip(), None)
    typed = _TYPED.search(_LAMBDA_HEAD.sub("", first).partition(_TRACEBACK)[0].rstrip())
    if typed is None:
        return ErrorFields(None, None, _cut(stack))
    return ErrorFields(typed["type"][:MAX_NAME], (typed["message"] or "").strip() or None, _cut(stack))


def _raised(stack: str | None) -> ErrorFields:
    """The exception that reached the top of a Python traceback."""
    chains = parse_chains(stack) if stack else ()
    top = chains[-1][-1] if chains else None
    if top is None or not top.error_type:
        return _NOTHING
    return ErrorFields(top.error_type[:MAX_NAME], top.message[:MAX_MESSAGE] or None, None)


def _crash(stack: str | None) -> CodeLocation | None:
    """The innermost frame of the application, where the traceback names it relative to the repository."""
    for chain in parse_chains(stack) if stack else ():
        cause = cause_of(chain)
        crash = crash_frame(cause) if cause is not None else None
        if crash is not None:
            return location(crash.path, crash.line, crash.function or None)
    return None


def _component(fields: dict[str, Any], defaults: LogDefaults) -> str:
    named = text_field(fields, defaults.component_keys)
    return defaults.component if named is None or named in ANONYMOUS else named


def _level_word(head: str) -> str | None:
    for found in _LEVEL.finditer(head):
        level = level_named(found["bracketed"] or found["keyed"] or found["bare"])
        if level is not None:
            return level
    return None


def _level_without_word(error: ErrorFields) -> str:
    return "ERROR" if error.error_type or error.stack else "INFO"


def _cut(stack: str | None) -> str | None:
    return stack[-MAX_STACK:] if stack else None
