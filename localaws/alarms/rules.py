"""Evaluation of a metric alarm on the values of closed periods: pure, the clock is the caller's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
MissingData = Literal["missing", "ignore", "breaching", "notBreaching"]

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}

# Periods read beyond the evaluation periods, so that late or missing samples are bridged by older ones.
# The examples of the source below read 5 periods for 3 evaluation periods.
SPARE_PERIODS = 2

# How long a period stays open after its end, for samples on their way: application logs are shipped in
# batches of about a second. Short periods cannot wait that long.
_GRACE_S = 1.0
_GRACE_SHARE = 0.25


@dataclass(frozen=True)
class AlarmRule:
    """What decides the state of a metric alarm."""

    queries: Sequence[Mapping[str, Any]]
    """GetMetricData queries; exactly one returns data."""
    period_s: int
    comparison: str
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int
    treat_missing_data: MissingData = "missing"


@dataclass(frozen=True)
class Decision:
    """The outcome of one evaluation."""

    state: State
    reason: str
    recent: Sequence[tuple[float, float]] = ()
    """Start of period and value of the datapoints that decided, newest first."""


def closed_until_s(rule: AlarmRule, now_s: float) -> float:
    """The end of the latest period that is closed: the running one is partial and would make alarms flap."""
    grace_s = min(_GRACE_S, rule.period_s * _GRACE_SHARE)
    return (now_s - grace_s) // rule.period_s * rule.period_s


def evaluation_start_s(rule: AlarmRule, end_s: float) -> float:
    """Where the evaluation range that ends at `end_s` begins."""
    return end_s - rule.period_s * (rule.evaluation_periods + SPARE_PERIODS)


def decide(rule: AlarmRule, points: Mapping[float, float], end_s: float) -> Decision | None:
    """The state that the closed periods before `end_s` call for.

    Args:
        rule: The alarm.
        points: Values by the start of their period; a missing period has no entry.
        end_s: The end of the latest closed period.

    Returns:
        None when the present state is to be kept.

    Source:
        Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data": with enough real
        datapoints in the range the treatment does not matter; with too few it fills what is missing.
    """
    recent = sorted(
        (point for point in points.items() if evaluation_start_s(rule, end_s) <= point[0] < end_s), reverse=True
    )[: rule.evaluation_periods]
    if not recent:
        return _decide_on_nothing(rule)
    breaches = COMPARISONS[rule.comparison]
    breaching = [point for point in recent if breaches(point[1], rule.threshold)]
    if len(breaching) >= rule.datapoints_to_alarm:
        return _crossed(rule, recent, len(breaching))
    missing_count = rule.evaluation_periods - len(recent)
    if missing_count == 0:
        return _not_crossed(rule, recent, len(breaching))
    return _decide_with_gaps(rule, recent, breaching, missing_count, end_s)


def _decide_with_gaps(
    rule: AlarmRule,
    recent: Sequence[tuple[float, float]],
    breaching: Sequence[tuple[float, float]],
    missing_count: int,
    end_s: float,
) -> Decision | None:
    mode = rule.treat_missing_data
    if mode == "breaching" and len(breaching) + missing_count >= rule.datapoints_to_alarm:
        return _crossed(rule, recent, len(breaching), filled=missing_count)
    if mode in ("missing", "ignore") and len(breaching) == len(recent):
        # Nothing but breaches and gaps. "missing" gives the alarm once the oldest breach is as old as M
        # periods; before that, and for "ignore", the state is kept.
        age = round((end_s - breaching[-1][0]) / rule.period_s)
        if mode == "missing" and age >= rule.datapoints_to_alarm:
            return _crossed(rule, recent, len(breaching))
        return None
    return _not_crossed(rule, recent, len(breaching))


def _decide_on_nothing(rule: AlarmRule) -> Decision | None:
    if rule.treat_missing_data == "ignore":
        return None
    if rule.treat_missing_data == "missing":
        return Decision("INSUFFICIENT_DATA", f"Insufficient Data: {_missing_text(rule)}.")
    state: State = "ALARM" if rule.treat_missing_data == "breaching" else "OK"
    treated = "Breaching" if state == "ALARM" else "NonBreaching"
    return Decision(state, f"Threshold Crossed: {_missing_text(rule)} and missing data is treated as [{treated}].")


def _missing_text(rule: AlarmRule) -> str:
    count = rule.evaluation_periods
    return f"{count} datapoint{'s were' if count > 1 else ' was'} unknown"


def _values_text(recent: Sequence[tuple[float, float]]) -> str:
    return "[" + ", ".join(str(value) for _, value in recent) + "]"


def _crossed(rule: AlarmRule, recent: Sequence[tuple[float, float]], count: int, *, filled: int = 0) -> Decision:
    missing = f" and {filled} missing treated as breaching" if filled else ""
    return Decision(
        "ALARM",
        f"Threshold Crossed: {count} out of the last {rule.evaluation_periods} datapoints "
        f"{_values_text(recent)}{missing}: {rule.comparison} ({rule.threshold}) "
        f"(minimum {rule.datapoints_to_alarm} datapoints for OK -> ALARM transition).",
        recent,
    )


def _not_crossed(rule: AlarmRule, recent: Sequence[tuple[float, float]], breaching_count: int) -> Decision:
    return Decision(
        "OK",
        f"Threshold Crossed: {len(recent) - breaching_count} out of the last {rule.evaluation_periods} datapoints "
        f"{_values_text(recent)} was not {rule.comparison} ({rule.threshold}).",
        recent,
    )
