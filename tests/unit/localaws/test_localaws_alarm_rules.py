"""Alarm states over closed periods, by the examples of the CloudWatch User Guide."""

import pytest

from localaws.alarms.requests import alarm_rule
from localaws.alarms.rules import AlarmRule, closed_until_s, decide
from localaws.errors import AwsError

REQUEST = {
    "AlarmName": "errors",
    "Namespace": "Shop",
    "MetricName": "Errors",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 5.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def a_rule(**changes: object) -> AlarmRule:
    return alarm_rule({**REQUEST, **changes})


def state_of(timeline: str, **changes: object) -> str | None:
    """The state after five periods: X breaches, 0 does not, - is missing; None keeps the state."""
    values = {"X": 9.0, "0": 1.0}
    points = {60.0 * index: values[mark] for index, mark in enumerate(timeline) if mark != "-"}
    decision = decide(a_rule(**changes), points, 300.0)
    return None if decision is None else decision.state


LACK = "INSUFFICIENT_DATA"


@pytest.mark.parametrize(
    ("timeline", "datapoints", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0-X-X", 3, "OK", "OK", "OK", "OK"),
        ("0----", 3, "OK", "OK", "OK", "OK"),
        ("-----", 3, LACK, None, "ALARM", "OK"),
        ("0XX-X", 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("--X--", 3, "ALARM", None, "ALARM", "OK"),
        ("0-X-X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("00X0X", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0-X--", 2, "OK", "OK", "ALARM", "OK"),
        ("----0", 2, "OK", "OK", "ALARM", "OK"),
        ("---X-", 2, "ALARM", None, "ALARM", "OK"),
        ("----X", 2, None, None, "ALARM", "OK"),
        ("XX000", 3, "OK", "OK", "OK", "OK"),
    ],
)
def test_missing_data_is_treated_as_asked(
    timeline: str, datapoints: int, missing: str, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    modes = ("missing", "ignore", "breaching", "notBreaching")

    states = [state_of(timeline, DatapointsToAlarm=datapoints, TreatMissingData=mode) for mode in modes]

    assert states == [missing, ignore, breaching, not_breaching]


def test_running_period_does_not_count() -> None:
    rule = a_rule(EvaluationPeriods=1)

    assert closed_until_s(rule, 359.0) == 300.0
    assert closed_until_s(rule, 360.5) == 300.0
    assert closed_until_s(rule, 361.0) == 360.0
    decision = decide(rule, {240.0: 1.0, 300.0: 9.0}, 300.0)
    assert decision is not None
    assert decision.state == "OK"


@pytest.mark.parametrize(
    ("operator", "at_threshold"),
    [
        ("GreaterThanThreshold", "OK"),
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_threshold_itself_belongs_to_the_or_equal_operators(operator: str, at_threshold: str) -> None:
    decision = decide(a_rule(EvaluationPeriods=1, ComparisonOperator=operator), {240.0: 5.0}, 300.0)

    assert decision is not None
    assert decision.state == at_threshold


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        ({"Threshold": None}, "ValidationError", "Threshold"),
        ({"DatapointsToAlarm": 4}, "ValidationError", "DatapointsToAlarm"),
        ({"Period": 7}, "ValidationError", "Period"),
        ({"Statistic": None}, "ValidationError", "Statistic"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "NotImplemented", "GreaterThanUpperThreshold"),
        ({"ThresholdMetricId": "band"}, "NotImplemented", "ThresholdMetricId"),
        ({"AlarmActions": ["arn:aws:lambda:us-east-1:1:function:f"]}, "NotImplemented", "AlarmActions"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "NotImplemented", "EvaluateLowSampleCountPercentile"),
    ],
)
def test_alarm_that_cannot_be_kept_is_refused(change: dict[str, object], code: str, word: str) -> None:
    with pytest.raises(AwsError) as caught:
        a_rule(**change)

    assert caught.value.code == code
    assert word in caught.value.message
