"""Reading of PutMetricAlarm requests into alarm rules; what cannot be evaluated is refused here."""

from collections.abc import Mapping, Sequence
from typing import Any

from localaws.alarms.rules import COMPARISONS, AlarmRule, MissingData
from localaws.errors import AwsError, unsupported
from localaws.metrics.queries import check_queries, checked_period

_MISSING_DATA: dict[str, MissingData] = {
    "missing": "missing",
    "ignore": "ignore",
    "breaching": "breaching",
    "notBreaching": "notBreaching",
}
_UNSUPPORTED = (
    "ThresholdMetricId",
    "EvaluationWindow",
    "WarmUpConfiguration",
    "EvaluationCriteria",
    "EvaluationInterval",
    "ActionConfiguration",
)
_ACTIONS = ("AlarmActions", "OKActions", "InsufficientDataActions")

Params = Mapping[str, Any]


def alarm_rule(params: Params) -> AlarmRule:
    """The rule a PutMetricAlarm request describes.

    Raises:
        AwsError: The request is invalid, or asks for what the embedded AWS cannot evaluate or act on.
    """
    _refuse_unsupported(params)
    for name in ("ComparisonOperator", "EvaluationPeriods", "Threshold"):
        if params.get(name) is None:
            raise AwsError("ValidationError", f"The parameter {name} is required.")
    comparison = params["ComparisonOperator"]
    if comparison not in COMPARISONS:
        raise unsupported(f"ComparisonOperator {comparison!r}")
    periods = int(params["EvaluationPeriods"])
    datapoints = int(params.get("DatapointsToAlarm") or periods)
    if not 1 <= datapoints <= periods:
        raise AwsError("ValidationError", "DatapointsToAlarm must be between 1 and EvaluationPeriods.")
    treatment = params.get("TreatMissingData") or "missing"
    if treatment not in _MISSING_DATA:
        raise AwsError("ValidationError", f"The value {treatment!r} for TreatMissingData is not supported.")
    queries, period_s = _queries(params)
    return AlarmRule(
        queries=queries,
        period_s=period_s,
        comparison=comparison,
        threshold=float(params["Threshold"]),
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        treat_missing_data=_MISSING_DATA[treatment],
    )


def _refuse_unsupported(params: Params) -> None:
    for name in _UNSUPPORTED:
        if params.get(name) is not None:
            raise unsupported(f"{name} of PutMetricAlarm")
    if params.get("EvaluateLowSampleCountPercentile") not in (None, "evaluate"):
        raise unsupported("EvaluateLowSampleCountPercentile other than 'evaluate'")
    for name in _ACTIONS:
        for arn in params.get(name) or ():
            if arn.split(":")[2:3] != ["sns"]:
                raise unsupported(f"{name} other than SNS topics: {arn!r}")


def _queries(params: Params) -> tuple[Sequence[Params], int]:
    queries = params.get("Metrics")
    if queries:
        if params.get("MetricName"):
            raise AwsError("ValidationError", "MetricName and Metrics are mutually exclusive.")
        return queries, _check_metrics(queries)
    for name in ("MetricName", "Namespace", "Period"):
        if params.get(name) is None:
            raise AwsError("ValidationError", f"The parameter {name} is required.")
    statistics = [params[name] for name in ("Statistic", "ExtendedStatistic") if params.get(name)]
    if len(statistics) != 1:
        raise AwsError("ValidationError", "Exactly one of Statistic and ExtendedStatistic is required.")
    metric = {name: params[name] for name in ("Namespace", "MetricName", "Dimensions") if params.get(name)}
    stat = {"Metric": metric, "Period": params["Period"], "Stat": statistics[0]}
    if params.get("Unit"):
        stat["Unit"] = params["Unit"]
    query = {"Id": "m1", "MetricStat": stat, "ReturnData": True}
    check_queries([query])
    return [query], checked_period(params["Period"])


def _check_metrics(queries: Sequence[Params]) -> int:
    check_queries(queries)
    returning = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(returning) != 1:
        raise AwsError("ValidationError", f"Exactly one element of Metrics must return data, found {returning}.")
    periods = {checked_period(query["MetricStat"]["Period"]) for query in queries if "MetricStat" in query}
    if len(periods) != 1:
        raise AwsError("ValidationError", "The metrics of an alarm must have one common period.")
    return periods.pop()
