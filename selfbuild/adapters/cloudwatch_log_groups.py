"""Log groups: which ones a name with `*` means, how much a query would scan, which tenant a pattern may name."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from selfbuild.adapters.aws import Calls
from selfbuild.domain.errors import InvalidRequest, NotFound

MAX_GROUPS = 50
"""Log groups of one Insights query (CloudWatch quota)."""
MAX_PAGES = 20
"""Pages of 50 log groups that are looked through."""
_FIELD = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r'[^"\\*%\x00-\x1f\x7f]+')


class LogGroup(NamedTuple):
    """A log group as DescribeLogGroups knows it."""

    name: str
    stored_bytes: int
    created_at_s: float
    retention_s: float | None
    """None = for ever."""

    def bytes_per_s(self, now: datetime) -> float:
        """The stored bytes spread evenly over the time that they were written in."""
        age_s = max(1.0, now.timestamp() - self.created_at_s)
        return self.stored_bytes / min(age_s, self.retention_s or age_s)


def field_name(name: str) -> str:
    """A field name that may stand in a query as it is.

    Raises:
        InvalidRequest: it is no word.
    """
    if not _FIELD.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be used as a log field: dimension names must be words of [A-Za-z0-9_]")
    return name


def literal(text: str) -> str:
    """A quoted text that means itself in a filter pattern and in an Insights query.

    Raises:
        InvalidRequest: it holds a quote, a backslash, a control character or a wildcard, or spaces around it.
    """
    if text != text.strip() or not _LITERAL.fullmatch(text):
        raise InvalidRequest(f"{text!r} cannot be searched for in logs: no quotes, backslashes, *, % and line ends")
    return f'"{text}"'


def group_names(calls: Calls, log_group: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The log groups that `log_group` means, and notes; a `*` in it stands for any text.

    Raises:
        NotFound: no log group matches.
    """
    if "*" not in log_group:
        return (log_group,), ()
    pattern = re.compile(".*".join(map(re.escape, log_group.split("*"))), re.DOTALL)
    found = sorted(
        group.name for group in described(calls, log_group.partition("*")[0]) if pattern.fullmatch(group.name)
    )
    if not found:
        raise NotFound(f"no log group matches {log_group!r}: check the names in the application's telemetry settings")
    notes = () if len(found) <= MAX_GROUPS else (f"{len(found)} log groups match {log_group!r}: {MAX_GROUPS} are read",)
    return tuple(found[:MAX_GROUPS]), notes


def described(calls: Calls, prefix: str) -> list[LogGroup]:
    """The log groups whose names begin with `prefix`."""
    request: dict[str, Any] = {"logGroupNamePrefix": prefix} if prefix else {}
    pages = calls.pages("DescribeLogGroups", expecting="logGroups", token="nextToken", most=MAX_PAGES, **request)
    return [_log_group(one) for answer in pages for one in answer["logGroups"]]


def _log_group(answer: dict[str, Any]) -> LogGroup:
    days = answer.get("retentionInDays")
    return LogGroup(
        name=answer["logGroupName"],
        stored_bytes=int(answer.get("storedBytes", 0)),
        created_at_s=answer.get("creationTime", 0) / 1000,
        retention_s=days * 86400.0 if days else None,
    )


class Affordable(NamedTuple):
    """The part of a window that a byte budget pays for."""

    start: datetime | None
    """None = nothing of it."""
    note: str | None
    """What was left out, with the numbers."""


def affordable(
    calls: Calls, log_group: str, names: Sequence[str], start: datetime, end: datetime, *, budget: int, now: datetime
) -> Affordable:
    """Moves `start` so far forward that the estimate stays within `budget` bytes."""
    per_s = sum(
        group.bytes_per_s(now) for group in described(calls, log_group.partition("*")[0]) if group.name in names
    )
    asked_s = (end - start).total_seconds()
    if per_s * asked_s <= budget:
        return Affordable(start, None)
    numbers = f"estimated {per_s * asked_s:,.0f} bytes to scan, budget {budget:,} bytes"
    fits_s = int(budget / per_s)
    if fits_s < 1:
        return Affordable(None, f"errors from logs were not counted: {numbers}")
    later = end - timedelta(seconds=fits_s)
    return Affordable(later, f"errors from logs are counted from {later:%Y-%m-%dT%H:%M:%SZ} on: {numbers}")
