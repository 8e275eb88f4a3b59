"""Reads metrics by ListMetrics and GetMetricData, in as few calls as the quotas allow."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from selfbuild.adapters.aws import required, translated_errors
from selfbuild.domain.errors import AccessDenied, MalformedAnswer, Unreachable

MAX_QUERIES = 500
"""Queries of one GetMetricData call (CloudWatch quota)."""
SUB_MINUTE_PERIODS_S = (1, 5, 10, 20, 30)
"""Periods below a minute that GetMetricData takes; above, multiples of 60."""


class MetricQuery(NamedTuple):
    """One statistic of one metric."""

    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    unit: str


Points = dict[float, float]
"""Start of a period, seconds since the epoch -> value; a period without a datapoint is absent."""


class Span(NamedTuple):
    """Closed periods: from the start of the first to the end of the last, seconds since the epoch."""

    start: float
    end: float
    period_s: int

    @property
    def starts(self) -> list[float]:
        """Start of each period, ascending."""
        count = max(0, round((self.end - self.start) / self.period_s))
        return [self.start + i * self.period_s for i in range(count)]


def closed_span(start: datetime, end: datetime, *, period_s: int, closed_until: datetime) -> Span:
    """The whole periods within `[start, end)` that had ended by `closed_until`; possibly none."""
    first = math.ceil(start.timestamp() / period_s) * period_s
    last = math.floor(min(end, closed_until).timestamp() / period_s) * period_s
    return Span(float(first), float(max(first, last)), period_s)


def covering_period_s(duration_s: float) -> int:
    """The shortest period CloudWatch takes that is no shorter than `duration_s`."""
    for period in SUB_MINUTE_PERIODS_S:
        if duration_s <= period:
            return period
    return math.ceil(duration_s / 60) * 60


class MetricReader:
    """Reads of one request, with the calls they cost. Not shared between threads."""

    def __init__(self, client: Any, *, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.api_calls = 0
        self.metrics_requested = 0

    def dimension_values(self, *, of: str, where: tuple[str, str]) -> list[str]:
        """Values of dimension `of` among the metrics whose dimensions are exactly `of` and `where`, sorted."""
        values: set[str] = set()
        for metric in self._list_metrics(of=of, where=where):
            dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
            if dimensions.keys() == {of, where[0]} and dimensions[where[0]] == where[1]:
                values.add(dimensions[of])
        return sorted(values)

    def _list_metrics(self, *, of: str, where: tuple[str, str]) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "Namespace": self._namespace,
            "Dimensions": [{"Name": of}, {"Name": where[0], "Value": where[1]}],
        }
        while True:
            self.api_calls += 1
            with translated_errors("cloudwatch:ListMetrics"):
                answer = self._client.list_metrics(**request)
            yield from required(answer, "Metrics", operation="cloudwatch:ListMetrics")
            if not answer.get("NextToken"):
                return
            request["NextToken"] = answer["NextToken"]

    def read(self, queries: Sequence[MetricQuery], span: Span) -> list[Points]:
        """The datapoints of each query, in their order; without a call when the span holds no period."""
        if not span.starts:
            return [{} for _ in queries]
        results: list[Points] = []
        for first in range(0, len(queries), MAX_QUERIES):
            results.extend(self._read_batch(queries[first : first + MAX_QUERIES], span))
        return results

    def _read_batch(self, queries: Sequence[MetricQuery], span: Span) -> list[Points]:
        points: list[Points] = [{} for _ in queries]
        request: dict[str, Any] = {
            "MetricDataQueries": [self._query(f"q{n}", query, span.period_s) for n, query in enumerate(queries)],
            "StartTime": datetime.fromtimestamp(span.start, UTC),
            "EndTime": datetime.fromtimestamp(span.end, UTC),
            "ScanBy": "TimestampAscending",
        }
        while True:
            self.api_calls += 1
            self.metrics_requested += len(queries)
            with translated_errors("cloudwatch:GetMetricData"):
                answer = self._client.get_metric_data(**request)
            for result in required(answer, "MetricDataResults", operation="cloudwatch:GetMetricData"):
                _refuse_failure(result)
                points[int(result["Id"][1:])].update(_points(result, span))
            if not answer.get("NextToken"):
                return points
            request["NextToken"] = answer["NextToken"]

    def _query(self, query_id: str, query: MetricQuery, period_s: int) -> dict[str, Any]:
        metric = {
            "Namespace": self._namespace,
            "MetricName": query.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in query.dimensions],
        }
        statistic = {"Metric": metric, "Period": period_s, "Stat": query.statistic, "Unit": query.unit}
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
