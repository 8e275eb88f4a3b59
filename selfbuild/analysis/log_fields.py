"""What the fields of a structured log line mean, by the names that common loggers give them.

Read: AWS Lambda (JSON format), Powertools for AWS, structlog, python-json-logger, pino and bunyan, Elastic Common
Schema, and lines that name the place of an error in `error.file`, `error.line` and `error.function`.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from selfbuild.analysis.emf import as_number, clean
from selfbuild.domain.base import CodeLocation

MAX_NAME = 200
"""Characters of a component, tenant, release, type or id."""
MAX_FRAMES = 200
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""A clock that shows less is not set."""
MAX_AHEAD = timedelta(days=1)

LEVEL_KEYS = ("level", "severity", "log_level", "levelname", "log.level", "severity_text", "severityText", "lvl")
MESSAGE_KEYS = ("message", "msg", "event", "log", "body", "textPayload")
TIME_KEYS = ("timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "date")
TRACE_KEYS = ("xray_trace_id", "trace_id", "traceId", "trace.id", "dd.trace_id", "otelTraceID", "correlation_id")
TYPE_KEYS = ("error.type", "exception_name", "exc_type", "errorType", "exception.type", "err.type", "error.name")
ERROR_MESSAGE_KEYS = (
    "error.message", "exc_value", "errorMessage", "exception.message", "err.message",
)  # fmt: skip
STACK_KEYS = (
    "stack", "exception", "traceback", "exc_info", "stack_info", "error.stack_trace", "error.stack",
    "exception.stacktrace", "err.stack", "stack_trace", "stackTrace",
)  # fmt: skip

_LEVELS = {
    "TRACE": "DEBUG", "VERBOSE": "DEBUG", "DEBUG": "DEBUG",
    "INFO": "INFO", "INFORMATION": "INFO", "INFORMATIONAL": "INFO", "NOTICE": "INFO", "DEFAULT": "INFO",
    "WARN": "WARNING", "WARNING": "WARNING",
    "ERR": "ERROR", "ERROR": "ERROR", "EXCEPTION": "ERROR", "SEVERE": "ERROR",
    "CRIT": "CRITICAL", "CRITICAL": "CRITICAL", "FATAL": "CRITICAL", "ALERT": "CRITICAL", "EMERG": "CRITICAL",
    "EMERGENCY": "CRITICAL", "PANIC": "CRITICAL",
}  # fmt: skip
_STEPS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 1e11, 1e14, 1e17
"""Epoch times of the years 1973 to 5138 lie on one side of each, whatever their unit."""


class ErrorFields(NamedTuple):
    """What a line says about an exception; None = nothing."""

    error_type: str | None
    message: str | None
    stack: str | None


def field(fields: Mapping[str, Any], name: str) -> Any:
    """The field of that name, a dotted name also as a field of a field; None where it is missing."""
    if name in fields:
        return fields[name]
    outer, dot, inner = name.partition(".")
    nested = fields.get(outer) if dot else None
    return nested.get(inner) if isinstance(nested, Mapping) else None


def text_field(fields: Mapping[str, Any], names: tuple[str, ...], *, limit: int = MAX_NAME) -> str | None:
    """The first of the fields that holds a text or a number, cut to `limit` characters."""
    for name in names:
        value = field(fields, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            value = format(value, ".20g") if isinstance(value, float) or value.bit_length() < 128 else ""
        if isinstance(value, str) and value.strip():
            return clean(value.strip(), limit=limit)
    return None


def level_named(word: str) -> str | None:
    """The level that a word names, in any case; None for a word that names none."""
    return _LEVELS.get(word.strip().upper())


def level_of(fields: Mapping[str, Any]) -> str | None:
    """The level of a structured line; None where it names none that is known."""
    for name in LEVEL_KEYS:
        value = field(fields, name)
        if isinstance(value, str) and (level := level_named(value)) is not None:
            return level
        number = as_number(value)
        if number is not None:
            # bunyan and pino write INFO as 30 and "pid" and "hostname" beside it; Python's logging writes it as 20.
            first = 20 if "pid" in fields and "hostname" in fields else 10
            return _STEPS[min(max(int((number - first) // 10), 0), len(_STEPS) - 1)]
    return None


def time_of(fields: Mapping[str, Any], *, received_at: datetime) -> datetime:
    """When the line was written; `received_at` where it does not say, or names a time that cannot be."""
    envelope = fields.get("_aws")
    values = [envelope.get("Timestamp")] if isinstance(envelope, Mapping) else []
    values += [field(fields, name) for name in TIME_KEYS]
    for value in values:
        at = instant(value)
        if at is not None and plausible(at, received_at=received_at) is at:
            return at
    return received_at


def plausible(at: datetime | None, *, received_at: datetime) -> datetime:
    """The time, or `received_at` for none and for one that cannot be."""
    return at if at is not None and EARLIEST <= at <= received_at + MAX_AHEAD else received_at


def instant(value: object) -> datetime | None:
    """A time given as ISO 8601 or as seconds, milli-, micro- or nanoseconds since the epoch; UTC without a zone."""
    number = as_number(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(_seconds(number), UTC)
        if isinstance(value, str) and 10 <= len(value.strip()) <= 40:
            at = datetime.fromisoformat(value.strip())
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def error_of(fields: Mapping[str, Any], *, max_stack: int, max_message: int) -> ErrorFields:
    """What the line says about an exception."""
    stack = None
    error_type = text_field(fields, TYPE_KEYS)
    message = text_field(fields, ERROR_MESSAGE_KEYS, limit=max_message)
    for name in STACK_KEYS:
        value = field(fields, name)
        stack = _stack(value)
        if stack is not None:
            break
    for name in ("stack_trace", "exception"):
        value = fields.get(name)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, Mapping):
            error_type = error_type or text_field(first, ("type", "exc_type"))
            message = message or text_field(first, ("value", "exc_value"), limit=max_message)
    return ErrorFields(error_type, message, clean(stack[-max_stack:], limit=max_stack) if stack else None)


def location_of(fields: Mapping[str, Any]) -> CodeLocation | None:
    """The place of an error that the line names relative to the root of the repository."""
    path = text_field(fields, ("error.file",), limit=1000)
    return location(path, field(fields, "error.line"), text_field(fields, ("error.function",)))


def location(path: str | None, line: object, function: str | None) -> CodeLocation | None:
    """A place in the repository, if the path is relative to its root."""
    path = (path or "").replace("\\", "/")
    if not path or path.startswith(("/", "<")) or ":" in path or ".." in path.split("/"):
        return None
    number = as_number(line)
    return CodeLocation(path=path, line=int(number) if number and number >= 1 else None, function=function)


def _seconds(number: float) -> float:
    size = abs(number)
    if size < _SECONDS_BELOW:
        return number
    return number / (1e3 if size < _MILLIS_BELOW else 1e6 if size < _MICROS_BELOW else 1e9)


def _stack(value: object) -> str | None:
    """A stack given as text, as its lines, or as frames."""
    if isinstance(value, str):
        return value if "\n" in value.strip() or "\\n" in value or 'File "' in value else None
    if isinstance(value, Mapping):
        return _stack_of_frames(value)
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, str) for each in value):
        lines = "\n".join(each.rstrip("\n") for each in value[-MAX_FRAMES:])
        return f"Traceback (most recent call last):\n{lines}" if 'File "' in lines else lines
    # structlog's dictionaries: the last exception comes first.
    parts = [part for each in reversed(value[:20]) if isinstance(each, Mapping) and (part := _stack_of_frames(each))]
    return "\nThe above exception was the direct cause of the following exception:\n\n".join(parts) or None


def _stack_of_frames(value: Mapping[str, Any]) -> str | None:
    """A traceback as Python prints it, of the frames that Powertools or structlog give."""
    frames = value.get("frames")
    if not isinstance(frames, list) or not frames:
        return None
    lines = ["Traceback (most recent call last):"]
    for frame in frames[-MAX_FRAMES:]:
        if isinstance(frame, Mapping):
            path = text_field(frame, ("file", "filename"), limit=1000) or "<unknown>"
            number = as_number(frame.get("lineno", frame.get("line"))) or 0
            function = text_field(frame, ("function", "name")) or "<module>"
            lines.append(f'  File "{path}", line {int(number)}, in {function}')
            statement = text_field(frame, ("statement", "line"), limit=1000)
            lines += [f"    {statement}"] if statement and as_number(statement) is None else []
    error_type = text_field(value, ("type", "exc_type")) or ""
    message = text_field(value, ("value", "exc_value"), limit=1000) or ""
    return "\n".join([*lines, f"{error_type}: {message}"] if error_type else lines)
