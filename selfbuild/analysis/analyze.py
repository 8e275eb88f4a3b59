"""One window in, insights and ranked opportunities out. Pure; missing telemetry is noted, never taken for zero."""

from datetime import UTC, datetime
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from selfbuild.analysis.detect import MIN_PAST, MIN_RECENT, Shift, enough_samples, find_shift
from selfbuild.analysis.fingerprint import mask
from selfbuild.analysis.rank import rank_opportunities
from selfbuild.analysis.severity import error_severity, latency_severity, throughput_severity
from selfbuild.domain.applications import Application, TelemetryConfig
from selfbuild.domain.base import digest_of
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Analysis, Evidence, Insight, InsightType, Severity
from selfbuild.domain.telemetry import ErrorGroup, Measure, Series, TelemetryWindow

LATENCY_MEASURES = (Measure.LATENCY_P95, Measure.LATENCY_P50, Measure.LATENCY_MEAN)
"""Asked in this order; the first that shows a shift speaks for the component."""
MIN_THROUGHPUT_DROP = 0.5
"""Traffic halves every night; less than that is never worth an insight."""
MAX_CONFIDENCE = 0.99
"""No number of samples makes a statistic certain."""
CHANGE_POINTS_TRIED = 60
"""Upper bound of the change points and measures tried for a component, to correct the confidence for choosing."""


class _Component(NamedTuple):
    """What the window holds of one component."""

    name: str
    series: dict[Measure, Series]


class _Place(NamedTuple):
    """What every insight of an analysis has in common."""

    window: TelemetryWindow
    policy: CyclePolicy
    application: Application


def analyze(window: TelemetryWindow, *, policy: CyclePolicy, application: Application) -> Analysis:
    """Find what got worse and what keeps failing.

    Args:
        window: Telemetry of one application; series and groups in any order.
        policy: `performance_degradation_threshold` and `error_frequency_threshold` are used.
        application: Whose telemetry it is; its key goes into the ids of the insights.

    Returns:
        Insights by falling impact, then those that are no opportunity; the same window gives the same ids.
    """
    place = _Place(window, policy, application)
    components = _components(window)
    notes: list[str] = []
    insights: list[Insight] = []
    for component in components.values():
        insights.extend(_latency_insights(component, place, notes))
        insights.extend(_throughput_insights(component, place))
    insights.extend(_error_insights(components, place, notes))
    if not window.series:
        notes.append("no metric series in the window: nothing can be said on latency and throughput")
    opportunities = rank_opportunities(insights)
    rank = {o.opportunity_id: n for n, o in enumerate(opportunities)}
    insights.sort(key=lambda i: (rank.get(i.insight_id, len(rank)), i.insight_id))
    return Analysis(insights=tuple(insights), opportunities=opportunities, notes=tuple(notes))


def _components(window: TelemetryWindow) -> dict[str, _Component]:
    components: dict[str, _Component] = {}
    for series in sorted(window.series, key=lambda s: (s.component, s.measure)):
        components.setdefault(series.component, _Component(series.component, {})).series[series.measure] = series
    return components


def _latency_insights(component: _Component, place: _Place, notes: list[str]) -> list[Insight]:
    measured = [component.series[m] for m in LATENCY_MEASURES if m in component.series]
    window_start = place.window.start.timestamp()
    usable = [s for s in measured if enough_samples(s.sampled()[0].tolist(), window_start=window_start)]
    if not usable:
        longest = max((int(s.present.sum()) for s in measured), default=0)
        notes.append(
            f"{component.name}: too little latency to judge: {longest} periods, {MIN_PAST + MIN_RECENT} are needed, "
            f"the newest within the window"
        )
    for series in usable:
        shift = find_shift(
            *_lists(series),
            window_start=window_start,
            direction="up",
            min_effect=place.policy.performance_degradation_threshold,
        )
        if shift is not None:
            return [_latency_insight(component, series, shift, place)]
    return []


def _latency_insight(component: _Component, series: Series, shift: Shift, place: _Place) -> Insight:
    name = series.measure.value.removeprefix("latency_")
    numbers = {f"{name}_ms": shift.after, f"baseline_{name}_ms": shift.before} | _shift_numbers(shift, series, place)
    requests = _total(component, Measure.REQUESTS, shift.started, place.window.end.timestamp())
    if requests is not None:
        numbers["affected_requests"] = requests
    since = datetime.fromtimestamp(shift.started, UTC)
    description = (
        f"{component.name}: {name} latency rose from {shift.before:.1f} ms to {shift.after:.1f} ms "
        f"({_times(shift.ratio)}) at {since:%Y-%m-%d %H:%M:%S} UTC and stayed there for {shift.recent_samples} periods "
        f"of {place.window.period_s} s"
    )
    return _insight(
        place,
        insight_type=InsightType.PERFORMANCE_DEGRADATION,
        component=component.name,
        fingerprint=digest_of(InsightType.PERFORMANCE_DEGRADATION, component.name)[:16],
        severity=latency_severity(shift.ratio - 1, after_ms=shift.after),
        confidence=_confidence(shift),
        description=description,
        recommended_action=f"Find what made {component.name!r} slower and take it out of the path of the request.",
        numbers=numbers,
    )


def _throughput_insights(component: _Component, place: _Place) -> list[Insight]:
    series = component.series.get(Measure.REQUESTS)
    if series is None:
        return []
    shift = find_shift(
        *_lists(series),
        window_start=place.window.start.timestamp(),
        direction="down",
        min_effect=max(MIN_THROUGHPUT_DROP, place.policy.performance_degradation_threshold),
    )
    if shift is None:
        return []
    return [
        _insight(
            place,
            insight_type=InsightType.THROUGHPUT_DROP,
            component=component.name,
            fingerprint=digest_of(InsightType.THROUGHPUT_DROP, component.name)[:16],
            severity=throughput_severity(1 - shift.ratio),
            confidence=_confidence(shift),
            description=(
                f"{component.name}: requests fell from {shift.before:,.0f} to {shift.after:,.0f} a period of "
                f"{place.window.period_s} s ({1 - shift.ratio:.0%} less)"
            ),
            recommended_action="Look at what sends the traffic; a change of this application is not proposed.",
            numbers={"requests": shift.after, "baseline_requests": shift.before} | _shift_numbers(shift, series, place),
        )
    ]


def _error_insights(components: dict[str, _Component], place: _Place, notes: list[str]) -> list[Insight]:
    threshold = place.policy.error_frequency_threshold
    groups = sorted(place.window.error_groups, key=lambda g: (g.component, g.fingerprint))
    rare = [g for g in groups if g.count < threshold]
    if rare:
        events = sum(g.count for g in rare)
        notes.append(f"{len(rare)} error groups with {events} events stay below {threshold} events each")
    return [
        _error_insight(group, components.get(group.component, _Component(group.component, {})), place)
        for group in groups
        if group.count >= threshold
    ]


def _error_insight(group: ErrorGroup, component: _Component, place: _Place) -> Insight:
    numbers = _error_numbers(group, component, place.window)
    where = f" in {group.location}" if group.location else ""
    share = f", {numbers['error_ratio']:.1%} of its requests" if "error_ratio" in numbers else ""
    return _insight(
        place,
        insight_type=InsightType.ERROR_PATTERN,
        component=group.component,
        fingerprint=group.fingerprint,
        severity=error_severity(
            numbers.get("error_ratio"),
            baseline_error_ratio=numbers.get("baseline_error_ratio"),
            component_ratio=numbers.get("component_error_ratio"),
        ),
        confidence=min(MAX_CONFIDENCE, (group.count + 1) / (group.count + 2)),
        description=f"{group.component}: {group.error_type}{where} {group.count:,} times in the window{share}",
        recommended_action=f"Make {group.component!r} cope with what raises {group.error_type}{where}.",
        numbers=numbers,
        group=group,
    )


def _error_numbers(group: ErrorGroup, component: _Component, window: TelemetryWindow) -> dict[str, float]:
    """The numbers that could be measured; a ratio without its requests is left out."""
    start, end, before = (t.timestamp() for t in (window.start, window.end, window.baseline_start))
    numbers = {"errors": float(group.count)}
    requests = _total(component, Measure.REQUESTS, start, end)
    if requests:
        numbers |= {"requests": requests, "error_ratio": min(1.0, group.count / requests)}
    for name, since, until in (("component_error_ratio", start, end), ("baseline_error_ratio", before, start)):
        errors = _total(component, Measure.ERRORS, since, until)
        served = _total(component, Measure.REQUESTS, since, until)
        if errors is not None and served:
            numbers[name] = errors / served
    series = component.series.get(Measure.ERRORS)
    values = series.within(start, end) if series else np.empty(0)
    if values.any():
        numbers["frequency"] = float((values > 0).mean())
    return numbers


def _insight(
    place: _Place,
    *,
    insight_type: InsightType,
    component: str,
    fingerprint: str,
    severity: Severity,
    confidence: float,
    description: str,
    recommended_action: str,
    numbers: dict[str, float],
    group: ErrorGroup | None = None,
) -> Insight:
    window, application = place.window, place.application
    evidence = Evidence(
        window_start=window.start,
        window_end=window.end,
        baseline_start=window.baseline_start,
        numbers=numbers,
        samples=(mask(group.message)[:500],) if group else (),
    )
    digest = digest_of(application.key, insight_type, component, fingerprint, window.end.astimezone(UTC).isoformat())
    return Insight(
        insight_id=f"ins_{digest[:16]}",
        insight_type=insight_type,
        severity=severity,
        component=component,
        metric_name=_metric_of(insight_type, application.telemetry),
        tenants=group.tenants if group and group.tenants else (application.tenant_id,),
        fingerprint=fingerprint,
        description=description,
        recommended_action=recommended_action,
        confidence=confidence,
        location=group.location if group else None,
        error_type=group.error_type if group else None,
        error_message=mask(group.message)[:500] if group else None,
        evidence=evidence,
    )


def _metric_of(insight_type: InsightType, telemetry: TelemetryConfig) -> str | None:
    return {
        InsightType.PERFORMANCE_DEGRADATION: telemetry.latency_metric,
        InsightType.ERROR_PATTERN: telemetry.errors_metric,
        InsightType.THROUGHPUT_DROP: telemetry.requests_metric,
    }.get(insight_type)


def _shift_numbers(shift: Shift, series: Series, place: _Place) -> dict[str, float]:
    window_start = place.window.start.timestamp()
    starts = series.sampled()[0]
    in_window = starts[starts >= window_start]
    return {
        "ratio": shift.ratio,
        "z": shift.z,
        "past_samples": float(shift.past_samples),
        "recent_samples": float(shift.recent_samples),
        "started": shift.started,
        "frequency": float((in_window >= shift.started).mean()),
    }


def _confidence(shift: Shift) -> float:
    tail = NormalDist().cdf(-shift.z)
    return max(0.0, min(MAX_CONFIDENCE, 1 - CHANGE_POINTS_TRIED * tail))


def _total(component: _Component, measure: Measure, since: float, until: float) -> float | None:
    """Sum over `[since, until)`; None when nothing was reported there."""
    series = component.series.get(measure)
    if series is None:
        return None
    values = series.within(since, until)
    return float(values.sum()) if len(values) else None


def _lists(series: Series) -> tuple[list[float], list[float]]:
    starts, values = series.sampled()
    return starts.tolist(), values.tolist()


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio >= 2 else f"{ratio - 1:+.0%}"
