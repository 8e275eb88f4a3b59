"""Insights on recurring errors: one for each group that is frequent enough."""

from collections.abc import Iterable

from selfbuild.analysis.findings import Finding, Scene
from selfbuild.analysis.masks import mask
from selfbuild.analysis.severity import error_severity
from selfbuild.analysis.shifts import MAX_CONFIDENCE
from selfbuild.domain.insights import InsightType
from selfbuild.domain.telemetry import ErrorGroup, Measure


def error_findings(scene: Scene, notes: list[str]) -> Iterable[Finding]:
    """Groups with at least the threshold's events; what stays below is noted."""
    threshold = scene.policy.error_frequency_threshold
    groups = sorted(scene.window.error_groups, key=lambda g: (g.component, g.fingerprint))
    rare = [g for g in groups if g.count < threshold]
    if rare:
        events = sum(g.count for g in rare)
        notes.append(f"{len(rare)} error groups with {events} events stay below {threshold} events each")
    for group in groups:
        if group.count >= threshold:
            yield _finding(scene, group)


def _finding(scene: Scene, group: ErrorGroup) -> Finding:
    numbers = _numbers(scene, group)
    where = f" in {group.location}" if group.location else ""
    share = f", {numbers['error_ratio']:.1%} of its requests" if "error_ratio" in numbers else ""
    tenants = group.tenants or (scene.application.tenant_id,)
    message = mask(group.message)[:500]
    insight = scene.insight(
        insight_type=InsightType.ERROR_PATTERN,
        component=group.component,
        metric_name=scene.application.telemetry.errors_metric,
        fingerprint=group.fingerprint,
        severity=error_severity(
            numbers.get("error_ratio"),
            baseline_error_ratio=numbers.get("baseline_error_ratio"),
            component_ratio=numbers.get("component_error_ratio"),
        ),
        confidence=min(MAX_CONFIDENCE, (group.count + 1) / (group.count + 2)),
        kind="errors",
        tenants=tenants,
        started_at=group.first_seen if group.first_seen > scene.window.start else None,
        first_seen=group.first_seen,
        last_seen=group.last_seen,
        description=(
            f"{group.component}: {group.error_type}{where} {group.count:,} times in the window{share}, "
            f"first at {group.first_seen:%Y-%m-%d %H:%M:%S} UTC, last at {group.last_seen:%H:%M:%S}"
        ),
        recommended_action=f"Make {group.component!r} cope with what raises {group.error_type}{where}.",
        numbers=numbers,
        samples=(message,),
        location=group.location,
        error_type=group.error_type,
        error_message=message,
    )
    return Finding(insight, scene.of(group.component, Measure.ERRORS))


def _numbers(scene: Scene, group: ErrorGroup) -> dict[str, float]:
    """The numbers that could be measured; a ratio without its requests is left out."""
    start, end, before = scene.start, scene.end, scene.baseline_start
    numbers = {"errors": float(group.count), "affected_tenants": float(max(1, len(group.tenants)))}
    requests = scene.total(group.component, Measure.REQUESTS, start, end)
    if requests:
        numbers |= {"requests": requests, "error_ratio": min(1.0, group.count / requests)}
    for name, since, until in (("component_error_ratio", start, end), ("baseline_error_ratio", before, start)):
        errors = scene.total(group.component, Measure.ERRORS, since, until)
        served = scene.total(group.component, Measure.REQUESTS, since, until)
        if errors is not None and served:
            numbers[name] = errors / served
    series = scene.of(group.component, Measure.ERRORS)
    values = series.within(start, end) if series is not None else None
    if values is not None and values.any():
        numbers["frequency"] = float((values > 0).mean())
    return numbers
