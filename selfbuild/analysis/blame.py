"""What lies behind the findings of a window: a release, a component further down, something that several share."""

from collections.abc import Sequence

from selfbuild.analysis.call_graph import Degraded, SharedIncident, find_shared_incidents
from selfbuild.analysis.deploys import attribute
from selfbuild.analysis.findings import Finding, Scene
from selfbuild.analysis.root_cause import Cause, ComponentGrid, Symptom, grid_of, rank_causes
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import Measure

SURE_SCORE = 0.5
"""Share of the blame from which another component is named as the cause."""
_SYMPTOMS = {
    InsightType.PERFORMANCE_DEGRADATION: Symptom.LATENCY,
    InsightType.ERROR_PATTERN: Symptom.ERRORS,
}
_GRID_MEASURES = frozenset(
    {Measure.LATENCY_MEAN, Measure.LATENCY_P50, Measure.LATENCY_P95, Measure.REQUESTS, Measure.ERRORS}
)


def with_blame(findings: Sequence[Finding], scene: Scene, commits: Sequence[CommitInfo]) -> list[Finding]:
    """The findings with release, cause, and the reason why nothing should be patched where there is one."""
    dated = [_with_release(finding, scene, commits) for finding in findings]
    shared = _shared(dated, scene)
    grid = _grid(scene) if scene.window.calls else None
    return [_blocked(_with_cause(finding, scene, grid), shared) for finding in dated]


def _with_release(finding: Finding, scene: Scene, commits: Sequence[CommitInfo]) -> Finding:
    insight = finding.insight
    if insight.started_at is None or not scene.window.releases:
        return finding
    found = attribute(
        insight.started_at.timestamp(),
        scene.window.releases,
        commits,
        period_s=scene.window.period_s,
        observed_since=scene.baseline_start,
        observed_until=scene.end,
        series=finding.series,
    )
    if found is None:
        return finding
    numbers = insight.evidence.numbers | {"release_confidence": found.confidence}
    changed = {
        "release": found.release,
        "description": f"{insight.description}; it {found.sentence}",
        "evidence": insight.evidence.model_copy(update={"numbers": numbers}),
    }
    return finding._replace(insight=insight.model_copy(update=changed))


def _shared(findings: Sequence[Finding], scene: Scene) -> tuple[SharedIncident, ...]:
    degraded = [
        Degraded(component=f.insight.component, started=f.insight.started_at.timestamp())
        for f in findings
        if f.insight.insight_type in _SYMPTOMS and f.insight.started_at is not None and f.insight.location is None
    ]
    return find_shared_incidents(
        degraded,
        scene.window.calls,
        components=scene.components,
        owned=scene.owned,
        period_s=scene.window.period_s,
        released_at=[
            seen.first_seen.timestamp()
            for seen in scene.window.releases
            if seen.first_seen.timestamp() >= scene.baseline_start + scene.window.period_s
        ],
    )


def _grid(scene: Scene) -> ComponentGrid | None:
    measured = [s for s in scene.series if s.measure in _GRID_MEASURES and s.period_s == scene.window.period_s]
    return grid_of(measured, window_start=scene.start, window_end=scene.end) if measured else None


def _with_cause(finding: Finding, scene: Scene, grid: ComponentGrid | None) -> Finding:
    insight = finding.insight
    symptom = _SYMPTOMS.get(insight.insight_type)
    # A traceback names the place by itself; the graph knows less.
    if grid is None or symptom is None or insight.location is not None:
        return finding
    causes = rank_causes(grid, scene.window.calls, target=insight.component, symptom=symptom)
    if not causes or causes[0].component == insight.component or causes[0].score < SURE_SCORE:
        return finding
    return finding._replace(insight=_caused(insight, causes[0]))


def _caused(insight: Insight, cause: Cause) -> Insight:
    numbers = insight.evidence.numbers | {"cause_score": cause.score}
    return insight.model_copy(
        update={
            "cause": cause.component,
            "description": f"{insight.description}; the cause lies in {cause.component} ({cause.reason})",
            "blocked": f"its cause lies in {cause.component}: nothing is changed in {insight.component}",
            "evidence": insight.evidence.model_copy(update={"numbers": numbers}),
        }
    )


def _blocked(finding: Finding, shared: Sequence[SharedIncident]) -> Finding:
    insight = finding.insight
    if insight.insight_type not in _SYMPTOMS or insight.location is not None:
        return finding
    incident = next((each for each in shared if insight.component in each.components), None)
    if incident is None:
        return finding
    changed = {
        "cause": incident.dependency or insight.cause,
        "blocked": f"shared incident of {', '.join(incident.components)}: {incident.reason}; no patch would help",
    }
    return finding._replace(insight=insight.model_copy(update=changed))
