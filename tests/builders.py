"""Valid values with defaults, so that a test states only what matters to it."""

from datetime import UTC, datetime
from typing import Any

from selfbuild.domain.applications import (
    Application,
    Mode,
    ProcessTarget,
    RecipePolicy,
    RepositoryConfig,
    TelemetryConfig,
)
from selfbuild.domain.base import ArtifactRef, CodeLocation
from selfbuild.domain.cycles import CyclePolicy, CycleRequest
from selfbuild.domain.insights import Evidence, Insight, InsightType, Opportunity, Severity
from selfbuild.domain.patches import ExpectedEffect, StoredPatch

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SHA_A, SHA_B, SHA_C = "a" * 40, "b" * 40, "c" * 40


def an_application(**changes: Any) -> Application:
    fields: dict[str, Any] = {
        "tenant_id": "acme",
        "name": "shop",
        "mode": Mode.AUTO,
        "telemetry": TelemetryConfig(log_group="/acme/shop"),
        "repository": RepositoryConfig(url="/nowhere/shop.git", allowed_paths=("shop/**",)),
        "release": ProcessTarget(control_url="http://127.0.0.1:1", workers=2, canary_workers=1),
        "recipes": RecipePolicy(missing_key_defaults={"owner": "unassigned"}),
    }
    return Application(**{**fields, **changes})


def an_insight(**changes: Any) -> Insight:
    fields: dict[str, Any] = {
        "insight_id": "insight-1",
        "insight_type": InsightType.ERROR_PATTERN,
        "severity": Severity.HIGH,
        "component": "actions",
        "tenants": ("acme",),
        "fingerprint": "f" * 64,
        "description": "actions fails in 20 % of its requests with KeyError 'owner'",
        "recommended_action": "handle a missing owner",
        "confidence": 0.99,
        "location": CodeLocation(path="shop/actions.py", line=8, function="action_items"),
        "error_type": "KeyError",
        "error_message": "'owner'",
        "evidence": Evidence(
            window_start=NOON, window_end=NOON, baseline_start=NOON, numbers={"error_ratio": 0.2, "errors": 100.0}
        ),
    }
    return Insight(**{**fields, **changes})


def an_opportunity(*, impact_score: float = 10.0, risk: float = 0.05, **insight: Any) -> Opportunity:
    return Opportunity(insight=an_insight(**insight), impact_score=impact_score, factors={"gain": 1.0}, risk=risk)


def a_stored_patch(**changes: Any) -> StoredPatch:
    fields: dict[str, Any] = {
        "ref": ArtifactRef(digest="d" * 64, size_bytes=10),
        "fingerprint": "e" * 64,
        "summary": "use a default owner",
        "provider": "recipes",
        "model": "missing_key",
        "files": ("shop/actions.py",),
        "expected_effect": ExpectedEffect(component="actions", kind="errors_gone"),
    }
    return StoredPatch(**{**fields, **changes})


def a_policy(**changes: Any) -> CyclePolicy:
    return CyclePolicy(**changes)


def a_cycle_request(**changes: Any) -> CycleRequest:
    fields: dict[str, Any] = {
        "application": an_application(),
        "policy": a_policy(),
        "providers": ("recipes",),
        "requested_by": "alice",
        "deploy_allowed": True,
    }
    return CycleRequest(**{**fields, **changes})
