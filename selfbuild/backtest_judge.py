"""Runs the judge over recorded minutes of a canary and its baseline, as it would have looked at them live. Pure."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from selfbuild.analysis.judge import JudgePolicy, judge
from selfbuild.domain.base import Verdict
from selfbuild.domain.errors import InvalidRequest
from selfbuild.domain.releases import Judgement
from selfbuild.domain.telemetry import ArmCounts, Bucket

COLUMNS = ("minute", "arm", "requests", "errors", "slow")
"""Columns that must be there; p50_ms and p95_ms are shown where they are."""
ARMS = ("canary", "baseline", "history")
COMPONENT = "service"
"""Whose counts they are where the file has no column `component`."""
MINUTE_S = 60
SHARE_MATTERS = 0.05
"""Difference of the canary's share of the traffic from the planned one that is worth a remark."""
NO_BASELINE = (
    "no row of arm 'baseline' with requests: a canary is judged against a baseline that runs beside it. "
    "Judging against arm 'history' (before and after) comes with a later release"
)

Remark = Callable[[str], None]
Place = tuple[int, str]
"""Minute and component."""


@dataclass
class _Recorded:
    """What a file holds."""

    arms: dict[str, dict[Place, ArmCounts]] = field(default_factory=lambda: {arm: {} for arm in ARMS})
    lines: dict[tuple[str, Place], int] = field(default_factory=dict)

    def minutes(self) -> list[int]:
        """Minutes that either arm of the trial reported, ascending."""
        return sorted({minute for arm in ("canary", "baseline") for minute, _ in self.arms[arm]})

    def buckets(self, minute: int) -> list[Bucket]:
        """One bucket a component of that minute."""
        canary, baseline = self.arms["canary"], self.arms["baseline"]
        places = sorted(place for place in canary.keys() | baseline.keys() if place[0] == minute)
        return [
            Bucket(
                start=float(place[0] * MINUTE_S),
                component=place[1],
                canary=canary.get(place),
                baseline=baseline.get(place),
            )
            for place in places
        ]


def backtest_judge(
    lines: Iterable[str], *, share: float | None = None, policy: JudgePolicy | None = None, remark: Remark
) -> Iterator[dict[str, Any]]:
    """One row a minute: minute, verdict, reason, numbers; the last one is the final verdict.

    Each minute is judged on the rows up to it alone. A FAIL rolls the canary back: it stays for all later minutes.

    Args:
        lines: A CSV file with a head; rows in any order.
        share: The planned share of the canary's traffic, to be compared with the measured one.
        policy: Thresholds; None = those of a cycle without settings.
        remark: Told what a person should know beside the rows.

    Raises:
        InvalidRequest: a row is wrong, named by its line, or the file has no baseline.
    """
    recorded = _read(lines)
    if not any(counts.requests for counts in recorded.arms["baseline"].values()):
        raise InvalidRequest(NO_BASELINE)
    _remark(recorded, share, remark)
    thresholds = policy or JudgePolicy()
    minutes = recorded.minutes()
    seen: list[Bucket] = []
    failed: dict[str, Any] | None = None
    for minute in minutes:
        if failed is not None:
            reason = f"rolled back at minute {failed['minute']}: {failed['reason']}"
            yield failed | {"minute": minute, "reason": reason}
            continue
        new = recorded.buckets(minute)
        seen.extend(new)
        judgement = judge(seen, policy=thresholds, final=minute == minutes[-1])
        row = {
            "minute": minute,
            "verdict": judgement.verdict.value,
            "reason": judgement.reason,
            "numbers": _numbers(judgement, new),
        }
        if judgement.verdict is Verdict.FAIL:
            failed = row
        yield row


def _numbers(judgement: Judgement, newest: Iterable[Bucket]) -> dict[str, float | None]:
    """Sums since the deploy, evidence as powers of ten, and the minute's percentiles."""
    numbers: dict[str, float | None] = {
        "canary_requests": judgement.canary_requests,
        "baseline_requests": judgement.baseline_requests,
    }
    for kind in ("errors", "slow"):
        tests = [test for test in judgement.tests if test.kind == kind]
        numbers[f"canary_{kind}"] = sum(test.canary_bad for test in tests)
        numbers[f"baseline_{kind}"] = sum(test.baseline_bad for test in tests)
        strongest = max((test.log_evidence for test in tests), default=0.0)
        numbers[f"{kind}_evidence_log10"] = round(strongest / math.log(10), 4)
    needed = max((test.log_threshold for test in judgement.tests), default=None)
    numbers["needed_log10"] = None if needed is None else round(needed / math.log(10), 4)
    served = judgement.canary_requests + judgement.baseline_requests
    numbers["canary_share"] = round(judgement.canary_requests / served, 4) if served else None
    for bucket in newest:
        prefix = "" if bucket.component == COMPONENT else f"{bucket.component}_"
        for arm, counts in (("canary", bucket.canary), ("baseline", bucket.baseline)):
            if counts is not None and counts.p95_ms is not None:
                numbers[f"{prefix}{arm}_p95_ms"] = counts.p95_ms
    return numbers


def _remark(recorded: _Recorded, share: float | None, remark: Remark) -> None:
    if recorded.arms["history"]:
        rows = len(recorded.arms["history"])
        remark(
            f"{rows} rows of arm 'history' are not used: the baseline that ran beside the canary is "
            "compared with it; before and after comes with a later release"
        )
    canary, baseline = (sum(c.requests for c in recorded.arms[arm].values()) for arm in ("canary", "baseline"))
    if share is None or canary + baseline == 0:
        return
    measured = canary / (canary + baseline)
    noise = 5 * math.sqrt(share * (1 - share) / (canary + baseline))
    if abs(measured - share) > max(SHARE_MATTERS, noise):
        remark(
            f"the canary served {measured:.1%} of the requests, planned were {share:.1%}: "
            "is the traffic split as you think? The judge compares ratios and copes with either"
        )


# Reading


def _read(lines: Iterable[str]) -> _Recorded:
    rows = csv.reader(lines)
    try:
        head = [name.strip().lower() for name in next(rows, [])]
        missing = [name for name in COLUMNS if name not in head]
        if missing:
            raise InvalidRequest(
                f"line 1: column {missing[0]!r} is missing: the head must be "
                "minute,arm,requests,errors,slow,p50_ms,p95_ms"
            )
        recorded = _Recorded()
        for row in rows:
            if any(cell.strip() for cell in row):
                _keep(recorded, dict(zip(head, (cell.strip() for cell in row), strict=False)), rows.line_num)
    except csv.Error as error:
        raise InvalidRequest(f"line {rows.line_num}: no CSV: {error}") from error
    return recorded


def _keep(recorded: _Recorded, row: Mapping[str, str], line: int) -> None:
    arm = row.get("arm", "").lower()
    if arm not in ARMS:
        raise InvalidRequest(f"line {line}: arm {arm!r} is unknown: choose from {', '.join(ARMS)}")
    place = (_minute(row, line), row.get("component") or COMPONENT)
    if (arm, place) in recorded.lines:
        raise InvalidRequest(
            f"line {line}: minute {place[0]} of arm {arm!r} stands in line {recorded.lines[arm, place]} already: "
            "give one row a minute and arm, or tell them apart by a column 'component'"
        )
    recorded.lines[arm, place] = line
    counts = _counts(row, line)
    if counts is not None:
        recorded.arms[arm][place] = counts


def _minute(row: Mapping[str, str], line: int) -> int:
    try:
        minute = float(row.get("minute", ""))
    except ValueError:
        minute = math.nan
    if not minute.is_integer():
        raise InvalidRequest(f"line {line}: minute={row.get('minute', '')!r}: must be a whole number")
    return int(minute)


def _counts(row: Mapping[str, str], line: int) -> ArmCounts | None:
    """None where the arm reported nothing: the three counts are empty."""
    if not any(row.get(name) for name in ("requests", "errors", "slow")):
        return None
    requests, errors, slow = (_count(row, name, line) for name in ("requests", "errors", "slow"))
    for name, part in (("errors", errors), ("slow", slow)):
        if part > requests:
            raise InvalidRequest(f"line {line}: {name}={part} is more than requests={requests}")
    return ArmCounts(
        requests=requests,
        errors=errors,
        slow=slow,
        p50_ms=_milliseconds(row, "p50_ms", line),
        p95_ms=_milliseconds(row, "p95_ms", line),
    )


def _count(row: Mapping[str, str], name: str, line: int) -> int:
    try:
        value = float(row.get(name, ""))
    except ValueError:
        value = math.nan
    if not value.is_integer() or value < 0:
        raise InvalidRequest(
            f"line {line}: {name}={row.get(name, '')!r}: must be a whole number of requests; leave requests, errors "
            "and slow empty where the arm reported nothing"
        )
    return int(value)


def _milliseconds(row: Mapping[str, str], name: str, line: int) -> float | None:
    text = row.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidRequest(f"line {line}: {name}={text!r}: must be milliseconds, or empty") from error
    return value if math.isfinite(value) else None
