"""Builders of what a recipe is asked."""

from datetime import UTC, datetime, timedelta
from textwrap import dedent

from selfbuild.domain.applications import RecipePolicy
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.insights import Evidence, Insight, InsightType, Opportunity, Severity
from selfbuild.domain.patches import PatchRequest, SourceFile

PATH = "shop/orders.py"
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def a_request(
    source: str = "",
    *,
    insight_type: InsightType = InsightType.PERFORMANCE_DEGRADATION,
    function: str | None = None,
    line: int | None = None,
    error_type: str | None = None,
    error_message: str | None = None,
    defaults: dict[str, str] | None = None,
    targets: dict[str, tuple[str, ...]] | None = None,
    files: tuple[SourceFile, ...] | None = None,
    path: str = PATH,
    policy: RecipePolicy | None = None,
    component: str = "orders",
    kind: str = "",
    metric: str | None = None,
    tried: tuple[str, ...] = (),
) -> PatchRequest:
    """A request about one file; without a function and a line the insight names no place."""
    place = None if function is None and line is None else CodeLocation(path=path, line=line, function=function)
    insight = Insight(
        insight_id="i1",
        insight_type=insight_type,
        severity=Severity.HIGH,
        component=component,
        kind=kind,
        metric_name=metric,
        fingerprint="f1",
        description="slow",
        recommended_action="look",
        confidence=0.9,
        location=place,
        error_type=error_type,
        error_message=error_message,
        evidence=Evidence(window_start=AT, window_end=AT + timedelta(hours=1), baseline_start=AT, numbers={}),
    )
    return PatchRequest(
        opportunity=Opportunity(insight=insight, impact_score=1.0, factors={}, risk=0.1),
        files=files if files is not None else (SourceFile(path=PATH, text=dedent(source)),),
        target_symbols=targets or {},
        missing_key_defaults=defaults or {},
        recipes=policy or RecipePolicy(),
        tried=tried,
    )


def a_key_error(key: str = "owner", *, function: str | None = "actions", line: int | None = None) -> PatchRequest:
    """A request about a KeyError, with a default for the key `owner`."""
    return a_request(
        insight_type=InsightType.ERROR_PATTERN,
        function=function,
        line=line,
        error_type="KeyError",
        error_message=repr(key),
        defaults={"owner": "unassigned"},
    )
