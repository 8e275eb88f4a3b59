"""GetMetricData over a store: validation of the queries, evaluation, order and pagination."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localaws.errors import AwsError, unsupported
from localaws.metrics.evaluation import Scope, TimeSeries
from localaws.metrics.expressions import parse_expression
from localaws.metrics.statistics import parse_statistic
from localaws.metrics.store import Dimensions, MetricId, MetricStore

# Quotas of GetMetricData: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
MAX_QUERIES = 500
MAX_DATAPOINTS = 100_800

_HIGH_RESOLUTION_PERIODS_S = frozenset({1, 5, 10, 20, 30})

Query = Mapping[str, Any]
"""One entry of MetricDataQueries, in the spelling of the API."""


@dataclass(frozen=True)
class Result:
    """The whole series of one query that returns data."""

    query_id: str
    label: str
    points: Mapping[float, float]


@dataclass(frozen=True)
class PagePart:
    """What one page shows of a result."""

    query_id: str
    label: str
    times: Sequence[float]
    values: Sequence[float]
    is_complete: bool


def dimensions_of(items: Sequence[Mapping[str, str]] | None) -> Dimensions:
    """Dimensions of a request in the store's canonical order."""
    return tuple(sorted((item["Name"], item["Value"]) for item in items or ()))


def metric_of(metric: Mapping[str, Any]) -> MetricId:
    """The metric a request names."""
    return MetricId(metric["Namespace"], metric["MetricName"], dimensions_of(metric.get("Dimensions")))


def checked_period(period: object) -> int:
    """The period in seconds.

    Raises:
        AwsError: It is none of 1, 5, 10, 20, 30 or a multiple of 60.
    """
    period_s = int(str(period))
    if period_s in _HIGH_RESOLUTION_PERIODS_S or (period_s > 0 and period_s % 60 == 0):
        return period_s
    raise AwsError("ValidationError", f"The value {period_s} for Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def checked_unit(store: MetricStore, metric: MetricId, unit: str | None) -> bool:
    """Whether the metric has samples of a unit; samples of mixed units cannot be told apart here."""
    units = store.units(metric)
    if unit is None or units <= {unit}:
        return True
    if unit in units:
        raise unsupported(f"the Unit filter on {metric.name!r}, published with the units {sorted(units)}")
    return False


def evaluate(queries: Sequence[Query], store: MetricStore, *, start_s: float, end_s: float) -> list[Result]:
    """Evaluates the queries over `[start_s, end_s)`; only those that return data are in the answer.

    Raises:
        AwsError: A query is invalid or uses what is not supported.
    """
    check_queries(queries)
    metrics = {
        q["Id"]: _metric_series(q["MetricStat"], store, start_s=start_s, end_s=end_s)
        for q in queries
        if "MetricStat" in q
    }
    expressions = {q["Id"]: str(q["Expression"]) for q in queries if "Expression" in q}
    scope = Scope(metrics, expressions, start_s, end_s)
    return [Result(q["Id"], _label(q), scope.series(q["Id"]).points) for q in queries if q.get("ReturnData", True)]


def check_queries(queries: Sequence[Query]) -> None:
    """Refuses queries that CloudWatch would refuse before reading any data."""
    if not queries:
        raise AwsError("ValidationError", "The parameter MetricDataQueries is required.")
    if len(queries) > MAX_QUERIES:
        raise AwsError(
            "ValidationError", f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}."
        )
    seen: set[str] = set()
    for query in queries:
        name = str(query.get("Id", ""))
        if not (name[:1].islower() and name.replace("_", "").isalnum() and name.isascii()):
            raise AwsError("ValidationError", f"The value {name!r} for parameter Id is not matching [a-z]\\w*.")
        if name in seen:
            raise AwsError(
                "ValidationError", f"The values for parameter id in MetricDataQueries are not unique: {name}."
            )
        seen.add(name)
        _check_query(query)


def _check_query(query: Query) -> None:
    if ("MetricStat" in query) == ("Expression" in query):
        raise AwsError("ValidationError", f"Query {query['Id']!r} needs either MetricStat or Expression.")
    if query.get("AccountId"):
        raise unsupported(f"AccountId in query {query['Id']!r}")
    if "Expression" in query:
        parse_expression(str(query["Expression"]))
        return
    checked_period(query["MetricStat"]["Period"])
    parse_statistic(str(query["MetricStat"]["Stat"]))


def _metric_series(stat: Mapping[str, Any], store: MetricStore, *, start_s: float, end_s: float) -> TimeSeries:
    period_s = checked_period(stat["Period"])
    statistic = parse_statistic(str(stat["Stat"]))
    metric = metric_of(stat["Metric"])
    if not checked_unit(store, metric, stat.get("Unit")):
        return TimeSeries({}, period_s)
    aligned_s = start_s // period_s * period_s
    return TimeSeries(store.query(metric, statistic, start_s=aligned_s, end_s=end_s, period_s=period_s), period_s)


def _label(query: Query) -> str:
    if query.get("Label"):
        return str(query["Label"])
    if "MetricStat" in query:
        return str(query["MetricStat"]["Metric"]["MetricName"])
    return str(query["Id"])


def page(
    results: Sequence[Result], *, limit: int, offset: int, newest_first: bool
) -> tuple[list[PagePart], int | None]:
    """Cuts results into pages of at most `limit` datapoints, counted across the results in their order.

    Returns:
        The parts of the page that starts at `offset`, and the offset of the next page or None.
    """
    parts: list[PagePart] = []
    end = offset + limit
    before = 0
    for result in results:
        times = sorted(result.points, reverse=newest_first)
        first, last = max(0, offset - before), min(len(times), end - before)
        before += len(times)
        shown = times[first:last] if last > first else []
        if shown or (not times and offset == 0):
            values = [result.points[at_s] for at_s in shown]
            parts.append(PagePart(result.query_id, result.label, shown, values, before <= end))
    return parts, end if before > end else None


def encode_token(offset: int) -> str:
    """An opaque page token."""
    return base64.urlsafe_b64encode(f"offset:{offset}".encode()).decode()


def decode_token(token: str | None) -> int:
    """The offset inside a page token; 0 without one.

    Raises:
        AwsError: The token was not made by `encode_token`.
    """
    if not token:
        return 0
    try:
        kind, _, offset = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        if kind == "offset":
            return int(offset)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise AwsError("InvalidNextToken", f"The token {token!r} is invalid.")
