"""The CloudWatch metric operations: requests and answers as plain dictionaries in the API's spelling."""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from localaws.errors import AwsError, unsupported
from localaws.metrics.queries import (
    MAX_DATAPOINTS,
    PagePart,
    checked_period,
    checked_unit,
    decode_token,
    dimensions_of,
    encode_token,
    evaluate,
    page,
)
from localaws.metrics.statistics import StatisticSet, parse_statistic
from localaws.metrics.store import MetricId, MetricStore

Params = Mapping[str, Any]
Answer = dict[str, Any]

# Quotas: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
MAX_DATUMS = 1_000
MAX_VALUES = 150
MAX_DIMENSIONS = 30
MAX_STATISTICS_POINTS = 1_440
LIST_PAGE = 500
MAX_AGE_S = 14 * 86_400.0
MAX_AHEAD_S = 2 * 3_600.0
ACTIVE_S = 3 * 3_600.0
_CLOCK_SLACK_S = 60.0
_SET_MEMBERS = ("SampleCount", "Sum", "Minimum", "Maximum")


def epoch_s(moment: dt.datetime) -> float:
    """Seconds since the epoch; a naive time is UTC, as moto's parsers leave it."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def moment(at_s: float) -> dt.datetime:
    """The UTC time, naive as moto's serializers expect it."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).replace(tzinfo=None)


def put_metric_data(store: MetricStore, params: Params, *, now_s: float) -> None:
    """PutMetricData: checks every datum before it stores the first.

    Raises:
        AwsError: A datum breaks a limit of CloudWatch.
    """
    namespace = str(params.get("Namespace") or "")
    if not 1 <= len(namespace) <= 255 or namespace.startswith(":"):
        raise _invalid(f"The value {namespace!r} for parameter Namespace is invalid.")
    if namespace.startswith("AWS/"):
        raise _invalid("The value AWS/ for parameter Namespace is invalid: it is reserved.")
    data = [*(params.get("MetricData") or ())]
    for entity in params.get("EntityMetricData") or ():
        data.extend(entity.get("MetricData") or ())
    if not data:
        raise AwsError("MissingParameter", "The parameter MetricData is required.")
    if len(data) > MAX_DATUMS:
        raise _invalid(f"The collection MetricData must not have a size greater than {MAX_DATUMS}.")
    for number, datum in enumerate(data, 1):
        _check_datum(datum, f"MetricData.member.{number}", now_s)
    for datum in data:
        _store_datum(store, namespace, datum, now_s)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def _check_datum(datum: Params, where: str, now_s: float) -> None:
    if not datum.get("MetricName"):
        raise AwsError("MissingParameter", f"The parameter {where}.MetricName is required.")
    if len(datum.get("Dimensions") or ()) > MAX_DIMENSIONS:
        raise _invalid(f"The collection {where}.Dimensions must not have a size greater than {MAX_DIMENSIONS}.")
    given = [name for name in ("Value", "Values", "StatisticValues") if datum.get(name) is not None]
    if len(given) != 1:
        raise AwsError(
            "InvalidParameterCombination",
            f"{where} needs exactly one of Value, Values and StatisticValues, found {given}.",
        )
    if any(not math.isfinite(number) for number in _numbers(datum)):
        raise _invalid(f"The values of {where} must be finite numbers.")
    _check_shape(datum, where)
    if "Timestamp" in datum:
        at_s = epoch_s(datum["Timestamp"])
        if not now_s - MAX_AGE_S - _CLOCK_SLACK_S <= at_s <= now_s + MAX_AHEAD_S + _CLOCK_SLACK_S:
            raise _invalid(
                f"The parameter {where}.Timestamp must specify a time no more than two weeks in the past "
                "and no more than two hours in the future."
            )


def _numbers(datum: Params) -> Iterator[float]:
    if "Value" in datum:
        yield float(datum["Value"])
    yield from map(float, datum.get("Values") or ())
    yield from map(float, datum.get("Counts") or ())
    yield from map(float, (datum.get("StatisticValues") or {}).values())


def _check_shape(datum: Params, where: str) -> None:
    values, counts = datum.get("Values"), datum.get("Counts")
    if values is not None and not 1 <= len(values) <= MAX_VALUES:
        raise _invalid(f"The collection {where}.Values must have a size between 1 and {MAX_VALUES}.")
    if counts is not None and (values is None or len(counts) != len(values)):
        raise _invalid(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    aggregate = datum.get("StatisticValues")
    if aggregate is not None:
        missing = [name for name in _SET_MEMBERS if name not in aggregate]
        if missing:
            raise AwsError("MissingParameter", f"The parameter {where}.StatisticValues.{missing[0]} is required.")
        if aggregate["Minimum"] > aggregate["Maximum"] or aggregate["SampleCount"] < 0:
            raise _invalid(f"The parameter {where}.StatisticValues contradicts itself.")


def _store_datum(store: MetricStore, namespace: str, datum: Params, now_s: float) -> None:
    metric = MetricId(namespace, datum["MetricName"], dimensions_of(datum.get("Dimensions")))
    at_s = epoch_s(datum["Timestamp"]) if "Timestamp" in datum else now_s
    unit = datum.get("Unit")
    aggregate = datum.get("StatisticValues")
    if aggregate is not None:
        count, total, low, high = (float(aggregate[name]) for name in _SET_MEMBERS)
        if count:
            store.put_set(metric, StatisticSet(at_s, count, total, low, high), unit=unit)
    elif datum.get("Values") is not None:
        counts = datum.get("Counts") or [1.0] * len(datum["Values"])
        store.put(metric, at_s, list(zip(datum["Values"], counts, strict=True)), unit=unit)
    else:
        store.put(metric, at_s, [(datum["Value"], 1.0)], unit=unit)


def get_metric_data(store: MetricStore, params: Params) -> Answer:
    """GetMetricData, newest first unless ScanBy says otherwise."""
    start_s, end_s = _window(params, code="ValidationError")
    scan_by = params.get("ScanBy") or "TimestampDescending"
    limit = int(params.get("MaxDatapoints") or MAX_DATAPOINTS)
    if not 1 <= limit <= MAX_DATAPOINTS:
        raise AwsError("ValidationError", f"MaxDatapoints must be between 1 and {MAX_DATAPOINTS}.")
    results = evaluate(params.get("MetricDataQueries") or (), store, start_s=start_s, end_s=end_s)
    parts, following = page(
        results,
        limit=limit,
        offset=decode_token(params.get("NextToken")),
        newest_first=scan_by == "TimestampDescending",
    )
    answer: Answer = {"MetricDataResults": [_part(item) for item in parts], "Messages": []}
    if following is not None:
        answer["NextToken"] = encode_token(following)
    return answer


def _part(item: PagePart) -> Answer:
    return {
        "Id": item.query_id,
        "Label": item.label,
        "Timestamps": [moment(at_s) for at_s in item.times],
        "Values": list(item.values),
        "StatusCode": "Complete" if item.is_complete else "PartialData",
    }


def _window(params: Params, *, code: str) -> tuple[float, float]:
    start_s, end_s = epoch_s(params["StartTime"]), epoch_s(params["EndTime"])
    if start_s >= end_s:
        raise AwsError(code, "The parameter EndTime must be greater than StartTime.")
    return start_s, end_s


def get_metric_statistics(store: MetricStore, params: Params) -> Answer:
    """GetMetricStatistics: plain and extended statistics of one metric, oldest first."""
    start_s, end_s = _window(params, code="InvalidParameterValue")
    period_s = checked_period(params["Period"])
    plain, extended = params.get("Statistics") or (), params.get("ExtendedStatistics") or ()
    if not plain and not extended:
        raise AwsError("InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics")
    requested = math.ceil((end_s - start_s) / period_s)
    if requested > MAX_STATISTICS_POINTS:
        raise AwsError(
            "InvalidParameterCombination",
            f"You have requested up to {requested:,} datapoints, which exceeds the limit of "
            f"{MAX_STATISTICS_POINTS:,}. You may reduce the datapoints requested by increasing Period, "
            "or decreasing the time range.",
        )
    metric = MetricId(params["Namespace"], params["MetricName"], dimensions_of(params.get("Dimensions")))
    found: dict[float, Answer] = {}
    if checked_unit(store, metric, params.get("Unit")):
        unit = next(iter(sorted(store.units(metric) - {"None"})), "None")
        for name in (*plain, *extended):
            values = store.query(
                metric,
                parse_statistic(name),
                start_s=start_s // period_s * period_s,
                end_s=end_s,
                period_s=period_s,
            )
            for at_s, value in values.items():
                point = found.setdefault(at_s, {"Timestamp": moment(at_s), "Unit": unit})
                (point if name in plain else point.setdefault("ExtendedStatistics", {}))[name] = value
    return {"Label": metric.name, "Datapoints": [found[at_s] for at_s in sorted(found)]}


def list_metrics(store: MetricStore, params: Params, *, now_s: float) -> Answer:
    """ListMetrics, filtered by namespace, name and dimensions; 500 a page."""
    if params.get("IncludeLinkedAccounts") or params.get("OwningAccount"):
        raise unsupported("linked accounts in ListMetrics")
    active_since_s = now_s - ACTIVE_S if params.get("RecentlyActive") else 0.0
    matches = _metric_filter(params)
    found = [metric for metric in store.metrics(active_since_s=active_since_s) if matches(metric)]
    offset = decode_token(params.get("NextToken"))
    answer: Answer = {"Metrics": [_metric(metric) for metric in found[offset : offset + LIST_PAGE]]}
    if len(found) > offset + LIST_PAGE:
        answer["NextToken"] = encode_token(offset + LIST_PAGE)
    return answer


def _metric_filter(params: Params) -> Callable[[MetricId], bool]:
    wanted = [(item["Name"], item.get("Value")) for item in params.get("Dimensions") or ()]
    namespace, name = params.get("Namespace"), params.get("MetricName")

    def matches(metric: MetricId) -> bool:
        if (namespace and metric.namespace != namespace) or (name and metric.name != name):
            return False
        return all(
            any(key == has and value in (None, held) for has, held in metric.dimensions) for key, value in wanted
        )

    return matches


def _metric(metric: MetricId) -> Answer:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }
