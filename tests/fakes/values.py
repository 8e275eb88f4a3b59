"""Values of the read model with valid defaults; a test states only what matters to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig
from selfbuild.domain.cycles import CycleReport, CycleStatus, ImprovementReport, ImprovementStatus, Phase
from selfbuild.domain.insights import Evidence, Insight, InsightType, Opportunity, Severity
from selfbuild.domain.releases import Release, ReleaseState
from selfbuild.ports import LedgerEntry

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN_ID = "0198f000-1111-7222-8333-444455556666"


def an_application(tenant_id: str = "acme", name: str = "meetnotes", **changes: Any) -> Application:
    defaults: dict[str, Any] = {
        "tenant_id": tenant_id,
        "name": name,
        "telemetry": TelemetryConfig(log_group="/apps/meetnotes"),
        "repository": RepositoryConfig(url="https://git.example.com/meetnotes.git"),
        "release": ProcessTarget(control_url="http://127.0.0.1:9100"),
    }
    return Application(**(defaults | changes))


def an_insight(insight_id: str = "ins-1", *, window_end: datetime = NOON, **changes: Any) -> Insight:
    defaults: dict[str, Any] = {
        "insight_id": insight_id,
        "insight_type": InsightType.PERFORMANCE_DEGRADATION,
        "severity": Severity.HIGH,
        "component": "summary",
        "tenants": ("acme",),
        "fingerprint": "f" * 16,
        "description": "p95 of summary rose from 40 to 130 ms",
        "recommended_action": "look at summary.rank",
        "confidence": 0.9,
        "evidence": Evidence(
            window_start=window_end - timedelta(hours=1),
            window_end=window_end,
            baseline_start=window_end - timedelta(days=7),
            numbers={"p95_ms": 130.0, "baseline_p95_ms": 40.0},
        ),
    }
    return Insight(**(defaults | changes))


def an_opportunity(**changes: Any) -> Opportunity:
    defaults: dict[str, Any] = {"insight": an_insight(), "impact_score": 12.5, "factors": {"gain": 0.5}, "risk": 0.05}
    return Opportunity(**(defaults | changes))


def a_cycle(cycle_id: str = "cycle_20260301_120000_0198f000", **changes: Any) -> CycleReport:
    defaults: dict[str, Any] = {
        "cycle_id": cycle_id,
        "workflow_id": "cycle/acme/meetnotes",
        "run_id": RUN_ID,
        "tenant_id": "acme",
        "application": "meetnotes",
        "status": CycleStatus.COMPLETED,
        "phase": Phase.DONE,
        "outcome": "improved",
        "started_at": NOON,
        "finished_at": NOON + timedelta(minutes=3),
    }
    return CycleReport(**(defaults | changes))


def an_improvement(improvement_id: str = "acme-meetnotes-0198f000-1", **changes: Any) -> ImprovementReport:
    defaults: dict[str, Any] = {
        "improvement_id": improvement_id,
        "cycle_id": "cycle_20260301_120000_0198f000",
        "tenant_id": "acme",
        "application": "meetnotes",
        "status": ImprovementStatus.KEPT,
        "opportunity": an_opportunity(),
        "started_at": NOON,
        "finished_at": NOON + timedelta(minutes=2),
    }
    return ImprovementReport(**(defaults | changes))


def a_release(release_id: str = "rel-1") -> Release:
    return Release(
        release_id=release_id,
        application_key="acme/meetnotes",
        baseline_sha="a" * 40,
        sha="b" * 40,
        canary_share=0.25,
        deployed_at=NOON,
    )


def a_ledger_entry(release_id: str = "rel-1", state: ReleaseState = ReleaseState.DEPLOYING) -> LedgerEntry:
    return LedgerEntry(
        release_id=release_id,
        application=an_application(),
        workflow_id="cycle/acme/meetnotes/0198f000/1",
        state=state,
        improvement_id="acme-meetnotes-0198f000-1",
        patch_digest="d" * 64,
        updated_at=NOON,
    )
