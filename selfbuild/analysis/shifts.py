"""Levels that changed for good within the window: latency, requests, error ratio, declared metrics."""

from collections.abc import Iterable
from statistics import NormalDist

import numpy as np

from selfbuild.analysis.charts import utc
from selfbuild.analysis.detect import MIN_PAST, MIN_RECENT, SMALLEST, Shift, enough_samples, find_shift
from selfbuild.analysis.findings import Finding, Scene, key_of, times
from selfbuild.analysis.lasting import LevelChange, lasting_change
from selfbuild.analysis.severity import error_severity, latency_severity, throughput_severity
from selfbuild.domain.insights import Insight, InsightType, Severity
from selfbuild.domain.telemetry import Direction, FloatArray, Measure, Series

LATENCY_MEASURES = (Measure.LATENCY_P95, Measure.LATENCY_P50, Measure.LATENCY_MEAN)
"""Asked in this order; the first that shows a shift speaks for the component."""
MIN_THROUGHPUT_DROP = 0.5
"""Traffic halves every night; less than that is never worth an insight."""
MIN_ERROR_RATIO = 0.01
"""A level of errors below this is no matter, whatever it was before."""
MAX_CONFIDENCE = 0.99
"""No number of samples makes a statistic certain."""
CHANGE_POINTS_TRIED = 60
"""Upper bound of the change points and measures tried for a component, to correct the confidence for choosing."""


def latency_findings(scene: Scene, notes: list[str]) -> Iterable[Finding]:
    """One for each component whose latency rose."""
    for component in scene.components:
        measured = [s for m in LATENCY_MEASURES if (s := scene.of(component, m)) is not None]
        if not measured:
            continue
        usable = [s for s in measured if enough_samples(s.sampled()[0].tolist(), window_start=scene.start)]
        if not usable:
            longest = max(int(s.present.sum()) for s in measured)
            notes.append(
                f"{component}: too little latency to judge: {longest} periods, {MIN_PAST + MIN_RECENT} are needed, "
                f"the newest within the window"
            )
        for series in usable:
            change = level_change(scene, series, min_effect=scene.policy.performance_degradation_threshold)
            if change is not None:
                yield _latency_finding(scene, series, change)
                break


def throughput_findings(scene: Scene) -> Iterable[Finding]:
    """One for each component that is asked much less."""
    least = max(MIN_THROUGHPUT_DROP, scene.policy.performance_degradation_threshold)
    for series in scene.all_of((Measure.REQUESTS,)):
        change = level_change(scene, series, min_effect=least)
        if change is None:
            continue
        numbers = {"requests": change.after, "baseline_requests": change.before} | _numbers(scene, series, change)
        insight = scene.insight(
            insight_type=InsightType.THROUGHPUT_DROP,
            component=series.component,
            metric_name=series.metric or scene.application.telemetry.requests_metric,
            fingerprint=key_of(InsightType.THROUGHPUT_DROP, series.component),
            severity=throughput_severity(1 - change.ratio),
            confidence=change.confidence,
            kind=change.kind,
            started_at=utc(change.started),
            description=(
                f"{series.component}: requests fell from {change.before:,.0f} to {change.after:,.0f} a period of "
                f"{series.period_s} s ({1 - change.ratio:.0%} less)"
            ),
            recommended_action="Look at what sends the traffic; a change of this application is not proposed.",
            numbers=numbers,
        )
        yield Finding(insight, series, change.before, change.before * (1 - least))


def error_ratio_findings(scene: Scene, explained: frozenset[str]) -> Iterable[Finding]:
    """Components that fail more often although no group of logged errors explains it."""
    for component, series in scene.error_ratios.items():
        if component in explained:
            continue
        change = level_change(scene, series, min_effect=scene.policy.performance_degradation_threshold)
        if change is None or change.after < MIN_ERROR_RATIO:
            continue
        errors = scene.total(component, Measure.ERRORS, change.started, scene.end) or 0.0
        numbers = {"error_ratio": change.after, "baseline_error_ratio": change.before, "errors": errors}
        insight = scene.insight(
            insight_type=InsightType.ERROR_PATTERN,
            component=component,
            metric_name=scene.application.telemetry.errors_metric,
            fingerprint=key_of(InsightType.ERROR_PATTERN, component, "ratio"),
            severity=error_severity(change.after, baseline_error_ratio=change.before, component_ratio=change.after),
            confidence=change.confidence,
            kind="error_rate",
            started_at=utc(change.started),
            description=(
                f"{component}: {change.after:.1%} of its requests fail, against {change.before:.1%} before "
                f"{utc(change.started):%Y-%m-%d %H:%M:%S} UTC, and no logged error explains it"
            ),
            recommended_action=f"Make {component!r} log what fails; without it the place cannot be named.",
            numbers=numbers | _numbers(scene, series, change),
        )
        yield Finding(insight, series, change.before, MIN_ERROR_RATIO)


def declared_findings(scene: Scene) -> Iterable[Finding]:
    """Metrics that the application declares and that got worse."""
    threshold = scene.policy.performance_degradation_threshold
    for series in scene.all_of((Measure.LEVEL,)):
        change = level_change(scene, series, min_effect=threshold)
        if change is None:
            continue
        verb = "rose" if change.ratio > 1 else "fell"
        insight = scene.insight(
            insight_type=InsightType.PERFORMANCE_DEGRADATION,
            component=series.component,
            metric_name=series.metric,
            fingerprint=key_of(InsightType.PERFORMANCE_DEGRADATION, series.component, series.metric),
            severity=latency_severity(max(change.ratio, 1 / change.ratio) - 1, after_ms=0.0),
            confidence=change.confidence,
            kind=change.kind,
            started_at=utc(change.started),
            description=(
                f"{series.component}: {series.metric} {verb} from {change.before:.4g} to {change.after:.4g} "
                f"({times(change.ratio)}) at {utc(change.started):%Y-%m-%d %H:%M:%S} UTC"
            ),
            recommended_action=f"Find what moved {series.metric} of {series.component!r}.",
            numbers={"level": change.after, "baseline_level": change.before} | _numbers(scene, series, change),
        )
        yield Finding(insight, series, change.before)


def spike_findings(scene: Scene, told: frozenset[str]) -> Iterable[Finding]:
    """Single periods that stand out of days of history; components whose latency has a finding are left to that."""
    for series in scene.all_of((Measure.LATENCY_P95, Measure.LEVEL)):
        standing = scene.screen.standing(series)
        if standing is None or not standing.jump or series.component in told:
            continue
        at = utc(standing.at)
        value = float(series.within(standing.at, standing.at + series.period_s).sum())
        insight = scene.insight(
            insight_type=InsightType.PERFORMANCE_DEGRADATION,
            component=series.component,
            metric_name=series.metric or series.measure.value,
            fingerprint=key_of(InsightType.PERFORMANCE_DEGRADATION, series.component, series.metric, "spike"),
            severity=Severity.LOW,
            confidence=standing.confidence,
            kind="spike",
            started_at=at,
            description=(
                f"{series.component}: {series.metric or series.measure.value} stood out with {value:.4g} at "
                f"{at:%Y-%m-%d %H:%M:%S} UTC; usual are {standing.baseline:.4g}"
            ),
            recommended_action=f"Look at what ran beside {series.component!r} at that time.",
            numbers={"value": value, "baseline_level": standing.baseline, "score": standing.score},
            blocked="single periods stood out and nothing lasts: there is nothing to change",
        )
        yield Finding(insight, series, standing.baseline)


def level_change(scene: Scene, series: Series, *, min_effect: float) -> LevelChange | None:
    """The lasting change for the worse that the window shows.

    A series with days of history must also have left its usual range; how sure that is comes from labelled series.
    """
    if not scene.screen.deserves_a_look(series):
        return None
    standing = scene.screen.standing(series)
    if standing is not None:
        return lasting_change(series, standing, window_start=scene.start, min_effect=min_effect)
    found = [
        shift
        for direction in _directions(series)
        if (shift := _change(scene, series, direction, min_effect)) is not None
    ]
    return max(found, key=lambda change: change.confidence, default=None)


def _directions(series: Series) -> tuple[Direction, ...]:
    return (Direction.UP, Direction.DOWN) if series.worse is Direction.BOTH else (series.worse,)


def _change(scene: Scene, series: Series, direction: Direction, min_effect: float) -> LevelChange | None:
    starts, values = series.sampled()
    shift = find_shift(
        starts.tolist(),
        values.tolist(),
        window_start=scene.start,
        direction="up" if direction is Direction.UP else "down",
        min_effect=min_effect,
    )
    if shift is None:
        return None
    shift = _dated(shift, starts, values)
    tail = NormalDist().cdf(-shift.z)
    confidence = max(0.0, min(MAX_CONFIDENCE, 1 - CHANGE_POINTS_TRIED * tail))
    return LevelChange(**shift.model_dump(), confidence=confidence)


def _dated(shift: Shift, starts: FloatArray, values: FloatArray) -> Shift:
    """The shift with the start at the cut that leaves least scatter; the detector tries few lengths of long series."""
    logs = np.log(np.maximum(values, SMALLEST))
    n, tried = len(logs), shift.past_samples
    reach = max(2, shift.recent_samples // 3)
    cuts = np.arange(max(1, tried - reach), min(n, tried + reach))
    sums = np.cumsum(logs)
    before, after = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    best = int(cuts[np.argmax((after - before) ** 2 * cuts * (n - cuts))])
    changed = {"started": float(starts[best]), "past_samples": best, "recent_samples": n - best}
    return shift.model_copy(update=changed)


def _latency_finding(scene: Scene, series: Series, change: LevelChange) -> Finding:
    name = series.measure.value.removeprefix("latency_")
    component = series.component
    numbers = {f"{name}_ms": change.after, f"baseline_{name}_ms": change.before} | _numbers(scene, series, change)
    requests = scene.total(component, Measure.REQUESTS, change.started, scene.end)
    if requests is not None:
        numbers["affected_requests"] = requests
    insight: Insight = scene.insight(
        insight_type=InsightType.PERFORMANCE_DEGRADATION,
        component=component,
        metric_name=series.metric or scene.application.telemetry.latency_metric,
        fingerprint=key_of(InsightType.PERFORMANCE_DEGRADATION, component),
        severity=latency_severity(change.ratio - 1, after_ms=change.after),
        confidence=change.confidence,
        kind=change.kind,
        started_at=utc(change.started),
        description=(
            f"{component}: {name} latency rose from {change.before:.1f} ms to {change.after:.1f} ms "
            f"({times(change.ratio)}) at {utc(change.started):%Y-%m-%d %H:%M:%S} UTC and stayed there for "
            f"{change.recent_samples} periods of {series.period_s} s"
        ),
        recommended_action=f"Find what made {component!r} slower and take it out of the path of the request.",
        numbers=numbers,
    )
    threshold = change.before * (1 + scene.policy.performance_degradation_threshold)
    return Finding(insight, series, change.before, threshold)


def _numbers(scene: Scene, series: Series, change: LevelChange) -> dict[str, float]:
    starts = series.sampled()[0]
    in_window = starts[starts >= scene.start]
    return {
        "ratio": change.ratio,
        "z": change.z,
        "past_samples": float(change.past_samples),
        "recent_samples": float(change.recent_samples),
        "started": change.started,
        "frequency": float((in_window >= change.started).mean()),
    }
