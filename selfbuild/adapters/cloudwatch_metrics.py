"""Reads metrics by ListMetrics and GetMetricData, in as few charged requests as the quotas allow."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from selfbuild.adapters.aws import Calls
from selfbuild.adapters.periods import Span
from selfbuild.domain.errors import AccessDenied, MalformedAnswer, Unreachable

MAX_QUERIES = 500
"""Queries of one GetMetricData call (CloudWatch quota)."""
MAX_DATAPOINTS = 100_800
"""Datapoints of one GetMetricData answer (CloudWatch quota)."""
MAX_PAGES = 200
"""Pages of one listing or call: 100,000 metrics, or twenty million datapoints."""
SUB_MINUTE_PERIODS_S = (1, 5, 10, 20, 30)
"""Periods below a minute that GetMetricData takes; above, multiples of 60."""
RETENTION_S = ((60, 3 * 3600), (300, 15 * 86400), (3600, 63 * 86400))
"""Periods below so many seconds are kept for so long; longer ones for 455 days.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html"""

Dimensions = tuple[tuple[str, str], ...]
"""Name and value pairs."""
Points = dict[float, float]
"""Start of a period, seconds since the epoch -> value; a period without a datapoint is absent."""


class MetricQuery(NamedTuple):
    """One statistic of one metric."""

    metric: str
    dimensions: Dimensions
    statistic: str
    unit: str | None
    """None = whatever was published."""
    namespace: str | None = None
    """None = the reader's."""


class ListedMetric(NamedTuple):
    """A metric as ListMetrics names it."""

    name: str
    dimensions: Mapping[str, str]


def covering_period_s(duration_s: float) -> int:
    """The shortest period CloudWatch takes that is no shorter than `duration_s`."""
    for period in SUB_MINUTE_PERIODS_S:
        if duration_s <= period:
            return period
    return math.ceil(duration_s / 60) * 60


def kept_for_s(period_s: int) -> int | None:
    """How long CloudWatch keeps datapoints of this period; None = 455 days."""
    return next((kept_s for below_s, kept_s in RETENTION_S if period_s < below_s), None)


class MetricReader:
    """Reads of one request, with the calls they cost. Not shared between threads."""

    def __init__(self, client: Any, *, namespace: str) -> None:
        self._calls = Calls(client, "cloudwatch")
        self._namespace = namespace
        self.metrics_requested = 0

    @property
    def api_calls(self) -> int:
        """Calls made."""
        return self._calls.made

    def listed(
        self, *, dimensions: Mapping[str, str | None], name: str | None = None, namespace: str | None = None
    ) -> Iterator[ListedMetric]:
        """The metrics that have all of `dimensions` (a value of None = any) and perhaps further ones."""
        wanted = [
            {"Name": key} if value is None else {"Name": key, "Value": value} for key, value in dimensions.items()
        ]
        request: dict[str, Any] = {"Namespace": namespace or self._namespace, "Dimensions": wanted}
        if name is not None:
            request["MetricName"] = name
        pages = self._calls.pages("ListMetrics", expecting="Metrics", token="NextToken", most=MAX_PAGES, **request)
        for answer in pages:
            for metric in answer["Metrics"]:
                found = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
                if all(value is None or found.get(key) == value for key, value in dimensions.items()):
                    yield ListedMetric(metric.get("MetricName", ""), found)

    def read(self, queries: Sequence[MetricQuery], span: Span) -> list[Points]:
        """The datapoints of each query, in their order; without a call when the span holds no period.

        A call takes as many queries as its answer has room for. Fewer queries a call rather than less time a
        call: every call charges each of its metrics again.
        """
        if not span.periods:
            return [{} for _ in queries]
        size = max(1, min(MAX_QUERIES, MAX_DATAPOINTS // span.periods))
        results: list[Points] = []
        for first in range(0, len(queries), size):
            results.extend(self._read_batch(queries[first : first + size], span))
        return results

    def _read_batch(self, queries: Sequence[MetricQuery], span: Span) -> list[Points]:
        points: list[Points] = [{} for _ in queries]
        statuses: dict[str, str] = {}
        start, end = span.times
        pages = self._calls.pages(
            "GetMetricData",
            expecting="MetricDataResults",
            token="NextToken",
            most=MAX_PAGES,
            MetricDataQueries=[self._query(f"q{n}", query, span.period_s) for n, query in enumerate(queries)],
            StartTime=start,
            EndTime=end,
            ScanBy="TimestampAscending",
        )
        for answer in pages:
            self.metrics_requested += len(queries)
            for result in answer["MetricDataResults"]:
                _refuse_failure(result)
                statuses[result["Id"]] = result.get("StatusCode", "Complete")
                points[int(result["Id"][1:])].update(_points(result, span))
        _refuse_part(statuses.values())
        return points

    def _query(self, query_id: str, query: MetricQuery, period_s: int) -> dict[str, Any]:
        metric = {
            "Namespace": query.namespace or self._namespace,
            "MetricName": query.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in query.dimensions],
        }
        statistic: dict[str, Any] = {"Metric": metric, "Period": period_s, "Stat": query.statistic}
        if query.unit is not None:
            statistic["Unit"] = query.unit
        return {"Id": query_id, "MetricStat": statistic, "ReturnData": True}


def _points(result: dict[str, Any], span: Span) -> Points:
    timestamps, values = result.get("Timestamps", []), result.get("Values", [])
    if len(timestamps) != len(values):
        raise MalformedAnswer("cloudwatch:GetMetricData: as many timestamps as values were to be expected")
    points = {t.timestamp(): float(value) for t, value in zip(timestamps, values, strict=True)}
    return {start: value for start, value in points.items() if start < span.end and math.isfinite(value)}


def _refuse_failure(result: dict[str, Any]) -> None:
    status = result.get("StatusCode", "Complete")
    if status == "Forbidden":
        raise AccessDenied("cloudwatch:GetMetricData: Forbidden: grant the worker's role cloudwatch:GetMetricData")
    if status == "InternalError":
        raise Unreachable(f"cloudwatch:GetMetricData: InternalError: {result.get('Messages', [])!r}")


def _refuse_part(statuses: Iterable[str]) -> None:
    """A part without a next page looks like an application that fell silent."""
    if "PartialData" in statuses:
        raise Unreachable("cloudwatch:GetMetricData: PartialData without a next page: the answer is incomplete")
