"""Insights on resources and on work that need not be done: exhaustion, slow creep, caches, repeated calls."""

from collections.abc import Iterable

import numpy as np

from selfbuild.analysis.capacity import HIGH_PERCENT, Exhaustion, Forecast, find_exhaustion, forecast_exhaustion
from selfbuild.analysis.charts import utc
from selfbuild.analysis.creep import DAY_S, MIN_DAILY_EFFECT, find_creep
from selfbuild.analysis.efficiency import Repetition, find_cache_waste, find_redundant_calls
from selfbuild.analysis.findings import Finding, Scene, key_of
from selfbuild.analysis.severity import latency_severity
from selfbuild.analysis.shifts import LATENCY_MEASURES
from selfbuild.domain.insights import InsightType, Severity
from selfbuild.domain.telemetry import Measure, Series

URGENT_PERCENT = 95.0
SOON_DAYS = 2.0
WEEK_DAYS = 7.0


def exhaustion_findings(scene: Scene) -> Iterable[Finding]:
    """Resources that are used up, or will be by their trend."""
    for series in scene.all_of((Measure.UTILIZATION,)):
        forecast = forecast_exhaustion(series)
        now = find_exhaustion(series)
        if now is not None:
            yield _exhausted(scene, series, now, forecast)
        elif forecast is not None:
            yield _running_out(scene, series, forecast)


def _exhausted(scene: Scene, series: Series, now: Exhaustion, forecast: Forecast | None) -> Finding:
    numbers = {"level_percent": now.level_percent, "highest_percent": now.highest_percent, "started": now.since}
    text = now.sentence
    if forecast is not None:
        numbers |= {"days_left": forecast.days_left}
        text = f"{text}; {forecast.sentence}"
    insight = scene.insight(
        insight_type=InsightType.RESOURCE_EXHAUSTION,
        component=series.component,
        metric_name=series.metric,
        fingerprint=key_of(InsightType.RESOURCE_EXHAUSTION, series.component, series.metric),
        severity=Severity.CRITICAL if now.level_percent >= URGENT_PERCENT else Severity.HIGH,
        confidence=now.confidence,
        kind="exhaustion",
        started_at=utc(now.since),
        description=text,
        recommended_action=f"Find what holds {series.metric or 'the resource'} of {series.component!r}.",
        numbers=numbers | _requests(scene, series.component),
    )
    return Finding(insight, series, threshold=HIGH_PERCENT)


def _running_out(scene: Scene, series: Series, forecast: Forecast) -> Finding:
    left = forecast.days_left
    severity = Severity.HIGH if left < SOON_DAYS else Severity.MEDIUM if left < WEEK_DAYS else Severity.LOW
    insight = scene.insight(
        insight_type=InsightType.RESOURCE_EXHAUSTION,
        component=series.component,
        metric_name=series.metric,
        fingerprint=key_of(InsightType.RESOURCE_EXHAUSTION, series.component, series.metric),
        severity=severity,
        confidence=forecast.confidence,
        kind=f"exhaustion_{forecast.pattern.value}",
        description=forecast.sentence,
        recommended_action=f"Find what {series.component!r} keeps and never lets go.",
        numbers={
            "level_percent": forecast.level_percent,
            "points_per_day": forecast.points_per_day,
            "days_left": left,
            "days_left_low": forecast.days_left_low,
            "days_left_high": forecast.days_left_high,
            "restarts": float(forecast.restarts),
        }
        | _requests(scene, series.component),
    )
    return Finding(insight, series, threshold=HIGH_PERCENT)


def creep_findings(scene: Scene, shifted: frozenset[str]) -> Iterable[Finding]:
    """Latency that gets worse day by day; components whose latency already shows a shift are left to that."""
    for component in scene.components:
        if component in shifted:
            continue
        measured = (s for m in LATENCY_MEASURES if (s := scene.of(component, m)) is not None)
        series = next(measured, None)
        creep = find_creep(series) if series is not None and _has_grown(series) else None
        if series is None or creep is None:
            continue
        ratio = creep.last_level / creep.first_level
        name = series.measure.value.removeprefix("latency_")
        insight = scene.insight(
            insight_type=InsightType.PERFORMANCE_DEGRADATION,
            component=component,
            metric_name=series.metric or scene.application.telemetry.latency_metric,
            fingerprint=key_of(InsightType.PERFORMANCE_DEGRADATION, component),
            severity=latency_severity(ratio - 1, after_ms=creep.last_level),
            confidence=creep.confidence,
            kind="creep",
            description=creep.sentence,
            recommended_action=f"Find what grows with time in {component!r}: a list, a table, a cache.",
            numbers={
                f"{name}_ms": creep.last_level,
                f"baseline_{name}_ms": creep.first_level,
                "ratio": ratio,
                "daily_ratio": creep.daily_ratio,
                "days": creep.days,
                "z": creep.z,
            }
            | _requests(scene, component),
        )
        yield Finding(insight, series, creep.first_level)


def _has_grown(series: Series) -> bool:
    """Whether the last day is worse than the first by as much as the least creep makes; cheap, and asked first."""
    rows = max(1, DAY_S // series.period_s)
    first, last = series.values.array[:rows], series.values.array[-rows:]
    if len(series.values) < 2 * rows or np.isnan(first).all() or np.isnan(last).all():
        return False
    return float(np.nanmedian(last)) > float(np.nanmedian(first)) * (1 + MIN_DAILY_EFFECT)


def cache_findings(scene: Scene) -> Iterable[Finding]:
    """Caches that answer too little."""
    for series in scene.all_of((Measure.CACHE_HIT_RATIO,)):
        waste = find_cache_waste(series, window_start=scene.start)
        if waste is None:
            continue
        numbers = {"hit_percent": waste.hit_percent}
        if waste.usual_percent is not None:
            numbers["usual_percent"] = waste.usual_percent
        if waste.wasted_calls is not None:
            numbers["wasted_calls"] = waste.wasted_calls
        numbers["gain_percent"] = max(0.0, (waste.usual_percent or 50.0) - waste.hit_percent)
        insight = scene.insight(
            insight_type=InsightType.OPTIMIZATION_OPPORTUNITY,
            component=series.component,
            metric_name=series.metric,
            fingerprint=key_of(InsightType.OPTIMIZATION_OPPORTUNITY, series.component, series.metric),
            severity=Severity.MEDIUM if waste.hit_percent < 20 else Severity.LOW,
            confidence=waste.confidence,
            kind="cache",
            description=waste.sentence,
            recommended_action=f"Look at the keys, the size and the lifetime of the cache of {series.component!r}.",
            numbers=numbers | _requests(scene, series.component),
        )
        yield Finding(insight, series, waste.usual_percent)


def call_findings(scene: Scene) -> Iterable[Finding]:
    """Calls that a component makes several times for each of its requests."""
    for series in scene.all_of((Measure.CALLS,)):
        requests = scene.of(series.component, Measure.REQUESTS)
        if requests is None or requests.period_s != series.period_s:
            continue
        found = find_redundant_calls(requests, series)
        if found is None:
            continue
        each = "the same call again" if found.repetition is Repetition.CONSTANT else "one call for each of many things"
        insight = scene.insight(
            insight_type=InsightType.OPTIMIZATION_OPPORTUNITY,
            component=series.component,
            metric_name=series.metric,
            fingerprint=key_of(InsightType.OPTIMIZATION_OPPORTUNITY, series.component, series.metric),
            severity=Severity.MEDIUM if found.calls_per_request >= 5 else Severity.LOW,
            confidence=found.confidence,
            kind="calls",
            description=found.sentence,
            recommended_action=f"It looks like {each}: make it once, or ask for all at a time.",
            numbers={
                "calls_per_request": found.calls_per_request,
                "avoidable_calls": found.avoidable_calls,
                "gain_percent": 100 * found.avoidable_calls / found.calls,
            }
            | _requests(scene, series.component),
        )
        yield Finding(insight, series)


def _requests(scene: Scene, component: str) -> dict[str, float]:
    """Requests of the component in the window, under the name the ranking reads; empty where none were counted."""
    requests = scene.total(component, Measure.REQUESTS, scene.start, scene.end)
    return {} if requests is None else {"affected_requests": requests}
