"""Extraction of metrics from log events in the CloudWatch embedded metric format."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from localaws.metrics.store import Dimensions, MetricId, MetricStore

# Limits of the format: metric names per directive, values per metric, dimensions per set.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
MAX_METRICS = 100
MAX_VALUES = 100
MAX_DIMENSIONS = 30


@dataclass(frozen=True)
class Extracted:
    """The samples of one metric in one log event."""

    metric: MetricId
    at_s: float
    values: tuple[float, ...]
    unit: str | None

    def store_in(self, store: MetricStore) -> None:
        store.put(self.metric, self.at_s, [(value, 1.0) for value in self.values], unit=self.unit)


def extract_metrics(document: Any, event_at_s: float) -> Iterator[Extracted]:
    """Samples embedded in a parsed log event; nothing when it is not in the format.

    Like CloudWatch, which reports such faults in no answer, it leaves out what breaks the specification: a
    dimension or metric whose member is missing, a value that is no finite number.

    Args:
        document: The parsed message.
        event_at_s: Seconds since the epoch, used when the metadata has no Timestamp.
    """
    metadata = document.get("_aws") if isinstance(document, Mapping) else None
    if not isinstance(metadata, Mapping):
        return
    at_ms = metadata.get("Timestamp")
    at_s = at_ms / 1000 if isinstance(at_ms, (int, float)) and _is_number(at_ms) else event_at_s
    for directive in _mappings(metadata.get("CloudWatchMetrics")):
        namespace = directive.get("Namespace")
        if isinstance(namespace, str) and namespace:
            yield from _directive_metrics(document, directive, namespace, at_s)


def _directive_metrics(
    document: Mapping[str, Any], directive: Mapping[str, Any], namespace: str, at_s: float
) -> Iterator[Extracted]:
    sets = [found for keys in directive.get("Dimensions") or [[]] if (found := _dimensions(document, keys)) is not None]
    for definition in _mappings(directive.get("Metrics"))[:MAX_METRICS]:
        name = definition.get("Name")
        if not isinstance(name, str):
            continue
        values = _values(document.get(name))
        if values:
            unit = definition.get("Unit")
            for dimensions in sets:
                yield Extracted(MetricId(namespace, name, dimensions), at_s, values, unit)


def _mappings(items: Any) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _dimensions(document: Mapping[str, Any], keys: Any) -> Dimensions | None:
    if not isinstance(keys, list) or len(keys) > MAX_DIMENSIONS:
        return None
    if any(not isinstance(document.get(key), (str, int, float)) for key in keys):
        return None
    return tuple(sorted((key, str(document[key])) for key in keys))


def _values(value: Any) -> tuple[float, ...]:
    candidates = value if isinstance(value, list) else [value]
    return tuple(float(item) for item in candidates if _is_number(item))[:MAX_VALUES]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
