"""What an application declares beside latency, requests and errors, checked and turned into series.

Shared by every telemetry source, so that a declaration means the same wherever the samples come from.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from selfbuild.adapters.metric_math import OPERANDS, Expression
from selfbuild.domain.applications import Application, DeclaredMetric, TelemetryConfig
from selfbuild.domain.errors import InvalidRequest
from selfbuild.domain.telemetry import Measure, Samples, Series

STATISTICS = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")
_PERCENTILE = re.compile(r"p(?:\d{1,2}(?:\.\d{1,2})?|100)")
_OTHER_STATISTIC = re.compile(r"(?:tm|wm|tc|ts|pr)\d{1,2}(?:\.\d{1,2})?|IQM|(?:TM|WM|TC|TS|PR)\([\d.]*%?:[\d.]*%?\)")
"""Trimmed statistics of CloudWatch, which other sources need not have."""
_IN_PER_CENT = (Measure.UTILIZATION, Measure.CACHE_HIT_RATIO)

Points = dict[float, float]


def problems_of(telemetry: TelemetryConfig) -> list[str]:
    """What is wrong with the declared metrics, each naming the metric; empty when nothing is."""
    problems = [
        f"metric {metric.name!r}: {problem}" for metric in telemetry.metrics for problem in _problems_of_one(metric)
    ]
    names = Counter((place_of(metric), metric.measure, name_of(metric, telemetry)) for metric in telemetry.metrics)
    problems += [f"metric {name!r} is declared twice" for (_, _, name), count in names.items() if count > 1]
    return problems


def _problems_of_one(metric: DeclaredMetric) -> list[str]:
    problems: list[str] = []
    if metric.expression is not None:
        try:
            Expression(metric.expression)
        except ValueError as error:
            problems.append(str(error))
        if metric.dimensions or metric.namespace:
            problems.append("an expression takes no namespace and no dimensions")
    if not _is_statistic(metric.statistic):
        problems.append(f"{metric.statistic!r} is no statistic; take one of {', '.join(STATISTICS)} or p99")
    if metric.component is not None and not metric.dimensions:
        problems.append("component is for metrics with fixed dimensions")
    return problems


def check_declared(application: Application) -> None:
    """Refuses wrong declarations before anything is read.

    Raises:
        InvalidRequest: one line per problem, naming the application and the metric.
    """
    problems = problems_of(application.telemetry)
    if problems:
        raise InvalidRequest("\n".join(f"application {application.key!r}: {problem}" for problem in problems))


def _is_statistic(text: str) -> bool:
    known = text in STATISTICS or percentile_of(text) is not None
    return known or _OTHER_STATISTIC.fullmatch(text) is not None


def percentile_of(statistic: str) -> float | None:
    """99.0 for `p99`; None for a statistic that is no percentile."""
    return float(statistic[1:]) if _PERCENTILE.fullmatch(statistic) else None


def place_of(metric: DeclaredMetric) -> tuple[str | None, ...]:
    """What tells metrics of one name apart beside the measure."""
    return metric.component, *(f"{key}={value}" for key, value in sorted(metric.dimensions.items()))


def name_of(metric: DeclaredMetric, telemetry: TelemetryConfig) -> str:
    """The series' metric name: the metric's own, with the statistic where two declarations share a name."""
    twins = [m for m in telemetry.metrics if (m.name, m.measure) == (metric.name, metric.measure)]
    own_place = [m for m in twins if place_of(m) == place_of(metric)]
    return f"{metric.name} {metric.statistic}" if len(own_place) > 1 else metric.name


def unit_of(metric: DeclaredMetric) -> str:
    """The unit of the series."""
    if metric.capacity is not None or (metric.unit is None and metric.measure in _IN_PER_CENT):
        return "Percent"
    return metric.unit or "None"


def declared_series(
    metric: DeclaredMetric, points: Points, *, component: str, telemetry: TelemetryConfig, period_s: int
) -> Series:
    """The series of a published metric; `points` are not empty."""
    scale = 100.0 / metric.capacity if metric.capacity is not None else 1.0
    return Series.of(
        {start: value * scale for start, value in points.items()},
        period_s=period_s,
        component=component,
        measure=metric.measure,
        metric=name_of(metric, telemetry),
        unit=unit_of(metric),
        direction=metric.worse,
    )


def expression_series(
    metric: DeclaredMetric,
    operands: Mapping[str, Points],
    starts: Sequence[float],
    *,
    component: str,
    telemetry: TelemetryConfig,
    period_s: int,
) -> Series | None:
    """The series of an expression over a component's operands; None without a single value."""
    assert metric.expression is not None
    if not starts or not any(operands.values()):
        return None
    arrays = {
        name: np.array([operands.get(name, {}).get(start, np.nan) for start in starts], dtype=np.float64)
        for name in OPERANDS
    }
    values = Expression(metric.expression).values(arrays)
    if metric.capacity is not None:
        values = values * (100.0 / metric.capacity)
    present = np.flatnonzero(np.isfinite(values))
    if not len(present):
        return None
    first, last = int(present[0]), int(present[-1])
    return Series(
        component=component,
        measure=metric.measure,
        unit=unit_of(metric),
        metric=name_of(metric, telemetry),
        direction=metric.worse,
        start=starts[first],
        period_s=period_s,
        values=Samples(values[first : last + 1]),
    )
