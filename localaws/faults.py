"""Faults to inject, quotas to enforce and the ledger of calls; it knows nothing of HTTP."""

import random
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from localaws.errors import AwsError

_MAX_LEDGER = 10_000
_STATUSES = {
    "AccessDenied": 403,
    "InternalFailure": 500,
    "InternalServiceError": 500,
    "InternalServerError": 500,
    "InternalServiceFault": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
}


@dataclass(frozen=True)
class FaultRule:
    """Calls to disturb and how; several effects may be combined."""

    service: str = "*"
    """boto3 name such as cloudwatch, or * for every service."""
    operation: str = "*"
    access_key: str = "*"
    """Disturb only calls signed with this access key id: that is how a session expires for its own calls."""
    times: int | None = None
    """How many calls to disturb; None means without end."""
    probability: float = 1.0
    code: str | None = None
    """Answer with this error code."""
    message: str | None = None
    status: int | None = None
    """HTTP status of the error; None takes what AWS uses for the code."""
    latency_ms: float = 0.0
    """Wait before anything else."""
    reset: bool = False
    """Drop the connection without an answer."""
    truncate: bool = False
    """Answer with the first half of the body."""

    def error(self) -> AwsError | None:
        """The error to answer with, or None when the call is to be served."""
        if self.code is None:
            return None
        message = self.message or ("Rate exceeded" if "Throttl" in self.code else "injected by localaws")
        return AwsError(self.code, message, status=self.status or _STATUSES.get(self.code, 400))

    def matches(self, service: str, operation: str, access_key: str = "") -> bool:
        wanted = (self.service, service), (self.operation, operation), (self.access_key, access_key)
        return all(rule in ("*", given) for rule, given in wanted)


def fault_rule(document: Mapping[str, Any]) -> FaultRule:
    """Reads a rule from JSON.

    Raises:
        AwsError: It has an unknown member, no effect, or values out of range.
    """
    unknown = set(document) - {item.name for item in fields(FaultRule)}
    if unknown:
        raise AwsError("ValidationException", f"unknown members of a fault rule: {sorted(unknown)}")
    rule = FaultRule(**document)
    if not (rule.code or rule.latency_ms or rule.reset or rule.truncate):
        raise AwsError("ValidationException", "a fault rule needs code, latency_ms, reset or truncate")
    if not 0 <= rule.probability <= 1 or (rule.times is not None and rule.times < 1) or rule.latency_ms < 0:
        raise AwsError("ValidationException", f"a value of the fault rule is out of range: {dict(document)}")
    return rule


@dataclass
class _Bucket:
    tokens: float
    at_s: float


class Faults:
    """The disturbances in force.

    Args:
        source: Decides rules with a probability; pass a seeded one to repeat a run.
        clock: Seconds, for the quotas.
    """

    def __init__(self, source: random.Random, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._rules: list[tuple[FaultRule, list[int]]] = []
        self._quotas: dict[str, float] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._ledger: deque[dict[str, Any]] = deque(maxlen=_MAX_LEDGER)

    def replace_rules(self, rules: Sequence[FaultRule]) -> None:
        with self._lock:
            self._rules = [(rule, [0]) for rule in rules]

    def rules(self) -> list[dict[str, Any]]:
        """The rules in force, each with the number of calls it has disturbed."""
        with self._lock:
            return [asdict(rule) | {"disturbed": used[0]} for rule, used in self._rules]

    def replace_quotas(self, per_second: Mapping[str, float]) -> None:
        """Allows at most so many calls a second, by `service:Operation`; more are throttled."""
        for name, quota in per_second.items():
            if ":" not in name or isinstance(quota, bool) or not isinstance(quota, (int, float)) or quota <= 0:
                raise AwsError(
                    "ValidationException", f"a quota is 'service:Operation': calls, found {name!r}: {quota!r}"
                )
        with self._lock:
            self._quotas = dict(per_second)
            self._buckets = {}

    def quotas(self) -> dict[str, float]:
        with self._lock:
            return dict(self._quotas)

    def take(self, service: str, operation: str, access_key: str = "") -> FaultRule | None:
        """The disturbance of one call; counts it against its rule or quota."""
        with self._lock:
            if self._is_over_quota(f"{service}:{operation}"):
                return FaultRule(code="Throttling" if service == "cloudwatch" else "ThrottlingException")
            for rule, used in self._rules:
                if not rule.matches(service, operation, access_key) or (
                    rule.times is not None and used[0] >= rule.times
                ):
                    continue
                if rule.probability < 1 and self._source.random() >= rule.probability:
                    continue
                used[0] += 1
                return rule
            return None

    def _is_over_quota(self, name: str) -> bool:
        quota = self._quotas.get(name)
        if quota is None:
            return False
        now_s = self._clock()
        capacity = max(1.0, quota)
        bucket = self._buckets.setdefault(name, _Bucket(capacity, now_s))
        bucket.tokens = min(capacity, bucket.tokens + (now_s - bucket.at_s) * quota)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return True
        bucket.tokens -= 1
        return False

    def record(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._ledger.append(entry)

    def calls(self) -> list[dict[str, Any]]:
        """The latest calls, oldest first."""
        with self._lock:
            return list(self._ledger)

    def forget_calls(self) -> None:
        with self._lock:
            self._ledger.clear()

    def reset(self) -> None:
        """Removes every rule, quota and recorded call."""
        self.replace_rules([])
        self.replace_quotas({})
        self.forget_calls()
