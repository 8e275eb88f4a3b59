"""One window in, insights and ranked opportunities out. Pure; missing telemetry is noted, never taken for zero."""

from collections.abc import Sequence
from typing import NamedTuple

from selfbuild.analysis.blame import with_blame
from selfbuild.analysis.charts import chart_of
from selfbuild.analysis.error_findings import error_findings
from selfbuild.analysis.findings import Finding, Scene
from selfbuild.analysis.rank import rank_opportunities
from selfbuild.analysis.resource_findings import (
    cache_findings,
    call_findings,
    creep_findings,
    exhaustion_findings,
)
from selfbuild.analysis.shifts import (
    declared_findings,
    error_ratio_findings,
    latency_findings,
    spike_findings,
    throughput_findings,
)
from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Analysis, Chart
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import TelemetryWindow

MAX_INSIGHTS = 100
"""A window that shows more is one incident, not a hundred; the best ranked are kept and the rest is noted."""


class Examined(NamedTuple):
    """An analysis, and the charts behind it by insight id."""

    analysis: Analysis
    charts: dict[str, Chart]


def analyze(
    window: TelemetryWindow, *, policy: CyclePolicy, application: Application, commits: Sequence[CommitInfo] = ()
) -> Analysis:
    """As `examine`, without the charts."""
    return examine(window, policy=policy, application=application, commits=commits).analysis


def examine(
    window: TelemetryWindow, *, policy: CyclePolicy, application: Application, commits: Sequence[CommitInfo] = ()
) -> Examined:
    """Find what got worse, what keeps failing, what runs out and what is wasted.

    Args:
        window: Telemetry of one application; series and groups in any order.
        policy: `performance_degradation_threshold` and `error_frequency_threshold` are used.
        application: Whose telemetry it is; its key goes into the ids of the insights.
        commits: Known commits of its repository, to name the one with which a regression began.

    Returns:
        Insights by falling impact, then those that are no opportunity; the same window gives the same ids.
    """
    scene = Scene(window, policy, application)
    notes = list(window.notes)
    findings = with_blame(_findings(scene, notes), scene, commits)
    if not window.series:
        notes.append("no metric series in the window: nothing can be said on latency and throughput")
    notes.extend(f"{f.insight.component}: {f.insight.blocked}" for f in findings if f.insight.blocked)
    opportunities = rank_opportunities(finding.insight for finding in findings)
    rank = {o.opportunity_id: n for n, o in enumerate(opportunities)}
    findings.sort(key=lambda f: (rank.get(f.insight.insight_id, len(rank)), f.insight.insight_id))
    if len(findings) > MAX_INSIGHTS:
        notes.append(f"{len(findings) - MAX_INSIGHTS} further insights of lower rank are left out")
        findings = findings[:MAX_INSIGHTS]
    analysis = Analysis(
        insights=tuple(f.insight for f in findings),
        opportunities=opportunities[:MAX_INSIGHTS],
        notes=tuple(dict.fromkeys(notes)),
    )
    return Examined(analysis, _charts(findings, window))


def _findings(scene: Scene, notes: list[str]) -> list[Finding]:
    latency = list(latency_findings(scene, notes))
    errors = list(error_findings(scene, notes))
    declared = list(declared_findings(scene))
    slow = frozenset(f.insight.component for f in (*latency, *declared))
    return [
        *latency,
        *declared,
        *spike_findings(scene, slow),
        *throughput_findings(scene),
        *errors,
        *error_ratio_findings(scene, frozenset(f.insight.component for f in errors)),
        *exhaustion_findings(scene),
        *creep_findings(scene, frozenset(f.insight.component for f in latency)),
        *cache_findings(scene),
        *call_findings(scene),
    ]


def _charts(findings: Sequence[Finding], window: TelemetryWindow) -> dict[str, Chart]:
    return {
        f.insight.insight_id: chart_of(f.insight, f.series, window, baseline=f.baseline, threshold=f.threshold)
        for f in findings
        if f.series is not None
    }
