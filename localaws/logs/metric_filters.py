"""Metric filters: counting or measuring log events that match a pattern."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from localaws.errors import AwsError, unsupported
from localaws.logs.emf import Extracted
from localaws.logs.json_selectors import MISSING, Selector
from localaws.logs.patterns import compile_pattern, parse_json
from localaws.metrics.store import MetricId

MetricFilter = Mapping[str, Any]
"""A metric filter in the spelling of the API."""

_UNSUPPORTED = ("fieldSelectionCriteria", "emitSystemFieldDimensions", "applyOnTransformedLogs")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_MetricTransformation.html
MAX_DIMENSIONS = 3


def check_metric_filter(params: MetricFilter) -> None:
    """Refuses a metric filter that is invalid or cannot be applied.

    Raises:
        AwsError: It names the part at fault.
    """
    for name in _UNSUPPORTED:
        if params.get(name):
            raise unsupported(f"{name} of PutMetricFilter")
    compile_pattern(params["filterPattern"])
    for transformation in params["metricTransformations"]:
        value = str(transformation["metricValue"])
        if value.startswith("$"):
            Selector(value)
        elif _number(value) is None:
            raise AwsError("InvalidParameterException", f"Invalid metricValue {value!r}: a number or a selector")
        dimensions = transformation.get("dimensions") or {}
        if len(dimensions) > MAX_DIMENSIONS:
            raise AwsError("InvalidParameterException", f"More than {MAX_DIMENSIONS} dimensions")
        for selector in dimensions.values():
            Selector(selector)
        default = transformation.get("defaultValue")
        if default is not None and dimensions:
            raise AwsError("InvalidParameterException", "defaultValue and dimensions are mutually exclusive")
        if default not in (None, 0):
            raise unsupported(f"defaultValue {default!r} other than 0 in PutMetricFilter")


def filter_metrics(filters: Iterable[MetricFilter], events: Iterable[tuple[float, str]]) -> Iterator[Extracted]:
    """Samples that metric filters take from `(seconds, message)` events of one batch.

    A filter with default value 0 yields one 0 for a batch without a match: the sum of a period is then that
    of CloudWatch, which adds one per minute.
    """
    batch = list(events)
    for each in filters:
        pattern = compile_pattern(each["filterPattern"])
        matching = [(at_s, message) for at_s, message in batch if pattern.matches(message)]
        for transformation in each["metricTransformations"]:
            if matching:
                for at_s, message in matching:
                    yield from _sample(transformation, at_s, message)
            elif transformation.get("defaultValue") is not None and batch:
                metric = MetricId(transformation["metricNamespace"], transformation["metricName"])
                yield Extracted(metric, batch[-1][0], (0.0,), transformation.get("unit"))


def _sample(transformation: Mapping[str, Any], at_s: float, message: str) -> Iterator[Extracted]:
    document = parse_json(message)
    source = str(transformation["metricValue"])
    value = _number(Selector(source).find(document) if source.startswith("$") else source)
    dimensions = {
        name: Selector(selector).find(document) for name, selector in (transformation.get("dimensions") or {}).items()
    }
    if value is None or any(found in (MISSING, None) for found in dimensions.values()):
        return
    metric = MetricId(
        transformation["metricNamespace"],
        transformation["metricName"],
        tuple(sorted((name, str(found)) for name, found in dimensions.items())),
    )
    yield Extracted(metric, at_s, (value,), transformation.get("unit"))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
