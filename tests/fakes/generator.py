"""A generator whose answers the test decides, and the request and the patch that tests use."""

from datetime import UTC, datetime

from selfbuild.domain.base import CodeLocation
from selfbuild.domain.errors import SelfBuildError
from selfbuild.domain.insights import Evidence, Insight, InsightType, Opportunity, Severity
from selfbuild.domain.model_calls import Exchange, Usage
from selfbuild.domain.patches import Edit, Patch, PatchRequest, Proposal, SourceFile

OWNER_PATCH = Patch(
    summary="An action without an owner raised KeyError.",
    edits=(Edit(path="app/actions.py", search='item["owner"]', replace='item.get("owner", "unassigned")'),),
)
"""Fits `a_patch_request`."""

Outcome = Patch | str | SelfBuildError
"""A patch, the reason of a refusal, or an error to raise."""


class FakeGenerator:
    """Gives the outcomes one after the other, the last one for ever, and keeps what it was asked."""

    def __init__(self, *outcomes: Outcome, name: str = "fake", usage: Usage | None = None) -> None:
        if not outcomes:
            raise ValueError("a fake generator needs at least one outcome")
        self.name = name
        self.requests: list[PatchRequest] = []
        self._outcomes = outcomes
        self._usage = usage or Usage(input_tokens=100, output_tokens=20, cost_usd=0.001)

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """The next outcome; errors are raised."""
        outcome = self._outcomes[min(len(self.requests), len(self._outcomes) - 1)]
        self.requests.append(request)
        if isinstance(outcome, SelfBuildError):
            raise outcome
        patch = outcome if isinstance(outcome, Patch) else None
        return Proposal(
            provider=self.name,
            patch=patch,
            refusal=outcome if isinstance(outcome, str) else None,
            model="fake-model",
            request_id=f"req_fake_{len(self.requests)}",
            stop_reason="refusal" if patch is None else "end_turn",
            usage=self._usage,
        )


def a_patch_request(component: str = "actions", exchanges: tuple[Exchange, ...] = ()) -> PatchRequest:
    """A request to repair a missing key in `app/actions.py`."""
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    evidence = Evidence(
        window_start=at, window_end=at, baseline_start=at, numbers={"errors": 12}, samples=("KeyError: 'owner'",)
    )
    insight = Insight(
        insight_id="insight-1",
        insight_type=InsightType.ERROR_PATTERN,
        severity=Severity.HIGH,
        component=component,
        fingerprint="f" * 16,
        description="KeyError in 12 of 100 requests",
        recommended_action="handle an action without an owner",
        confidence=0.9,
        location=CodeLocation(path="app/actions.py", line=2, function="owners"),
        error_type="KeyError",
        error_message="'owner'",
        evidence=evidence,
    )
    return PatchRequest(
        opportunity=Opportunity(insight=insight, impact_score=10, factors={}, risk=0.2),
        files=(
            SourceFile(
                path="app/actions.py", text='def owners(items):\n    return [item["owner"] for item in items]\n'
            ),
        ),
        target_symbols={"app/actions.py": ("owners",)},
        exchanges=exchanges,
    )
