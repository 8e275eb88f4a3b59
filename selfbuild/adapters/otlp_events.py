"""Log records of OTLP as events, whether their body is a text, a JSON line or a structure."""

import json
from datetime import UTC, datetime
from typing import Any

from selfbuild.adapters.log_lines import understood
from selfbuild.adapters.otlp_json import LogRecord
from selfbuild.domain.applications import Application
from selfbuild.domain.telemetry import LogEvent

_SEVERITIES = ((21, "CRITICAL"), (17, "ERROR"), (13, "WARNING"), (9, "INFO"), (1, "DEBUG"))
"""Least severity number of each level.
Source: https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber"""
_PLACES = {
    "error.file": ("code.file.path", "code.filepath"),
    "error.line": ("code.line.number", "code.lineno"),
    "error.function": ("code.function.name", "code.function"),
}


def event_of(record: LogRecord, application: Application) -> LogEvent | None:
    """The record as an event; None where it is not the application's tenant's, or says nothing.

    What the collector says of a record in its attributes stands above what the body says of itself.
    """
    fields: dict[str, Any] = {**_body(record.body), **record.attributes}
    if fields.get(application.telemetry.tenant_dimension) != application.tenant_id:
        return None
    if "exception.stacktrace" not in fields:
        for name, aliases in _PLACES.items():
            told = next((fields[alias] for alias in aliases if alias in fields), None)
            if told is not None:
                fields.setdefault(name, told)
    level = next((level for least, level in _SEVERITIES if record.severity >= least), record.severity_text)
    if level:
        fields["level"] = level
    if record.trace_id:
        fields["trace_id"] = record.trace_id
    try:
        at = datetime.fromtimestamp(record.time_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return understood(fields, at, application.telemetry)


def _body(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {"message": text}
