"""What the fingerprints make of recorded tracebacks: one row in, one row out."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from selfbuild.analysis.fingerprint import cause_of, crash_frame, fingerprint_of
from selfbuild.analysis.tracebacks import parse_chains
from selfbuild.domain.errors import InvalidRequest

REMEDY = 'each line must be a JSON object with the text of a traceback in "traceback"'


class TracebackRow(NamedTuple):
    """What is understood of one traceback."""

    line: int
    """Of the file it was read from, the first is 1."""
    fingerprint: str
    exception: str | None
    """Type of the exception that caused the others; None where the text is no Python traceback."""
    frame: str | None
    """`path:line in function` of the frame of the application that raised it; None where there is none."""


def backtest_tracebacks(lines: Iterable[str]) -> Iterator[TracebackRow]:
    """The fingerprint of each row of a JSON Lines file; empty lines are passed over.

    Raises:
        InvalidRequest: A line is no such row; the message has its number.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(number, _traceback(number, line))


def _traceback(number: int, line: str) -> str:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"line {number} is not JSON ({error}): {REMEDY}") from error
    if not isinstance(row, dict):
        raise InvalidRequest(f"line {number} holds no JSON object: {REMEDY}")
    traceback = row.get("traceback")
    if not isinstance(traceback, str) or not traceback.strip():
        raise InvalidRequest(f'line {number} has no text in "traceback": {REMEDY}')
    return traceback


def _row(number: int, traceback: str) -> TracebackRow:
    fingerprint = fingerprint_of("", traceback, traceback)
    chains = parse_chains(traceback)
    if not chains:
        return TracebackRow(number, fingerprint, None, None)
    cause = next((found for chain in chains if (found := cause_of(chain)) is not None), chains[-1][-1])
    crash = crash_frame(cause)
    where = None if crash is None else f"{crash.path}:{crash.line} in {crash.function or '<module>'}"
    return TracebackRow(number, fingerprint, cause.error_type or None, where)
