"""What the server's routes stand on: the operations, the keys and the rate windows, made at the start."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from api.errors import RateLimited, Unauthorized
from selfbuild.component_desk import ComponentDetail, ComponentList, ComponentOrder
from selfbuild.domain.access import RateDecision, Requester
from selfbuild.domain.components import ComponentReport
from selfbuild.domain.errors import SelfBuildError
from selfbuild.domain.insights import Chart, InsightType, Severity
from selfbuild.insight_views import InsightDetail, InsightList
from selfbuild.status import SystemStatus
from selfbuild.telemetry_desk import TelemetryQuery
from selfbuild.telemetry_views import BaselineCheck, SeriesList, TelemetryCheck, TelemetryPoints
from selfbuild.views import (
    CycleList,
    CycleStarted,
    CycleView,
    ImprovementDetail,
    ImprovementList,
    RollbackView,
)

MAX_KEY_LENGTH = 512
ALL_TENANTS = "*"
"""Whose hour a call counts for that names no tenant and could mean several."""


class Operations(Protocol):
    """What callers can ask; `selfbuild.agent.Agent` does it."""

    @property
    def uptime_s(self) -> float: ...

    async def check(self) -> dict[str, str]: ...

    def choose_tenant(self, requester: Requester, tenant_id: str | None) -> str: ...

    async def start_cycle(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        analysis_window_hours: int | None = None,
        max_improvements: int | None = None,
        dry_run: bool = False,
    ) -> CycleStarted: ...

    async def get_cycle(self, requester: Requester, cycle_id: str) -> CycleView: ...

    async def list_cycles(
        self, requester: Requester, *, tenant_id: str | None = None, limit: int = 50
    ) -> CycleList: ...

    async def cancel_cycle(self, requester: Requester, cycle_id: str) -> CycleView: ...

    async def list_improvements(
        self, requester: Requester, *, tenant_id: str | None = None, cycle_id: str | None = None, limit: int = 50
    ) -> ImprovementList: ...

    async def get_improvement(self, requester: Requester, improvement_id: str) -> ImprovementDetail: ...

    async def rollback_improvement(self, requester: Requester, improvement_id: str, reason: str) -> RollbackView: ...

    async def generate_component(self, requester: Requester, order: ComponentOrder) -> ComponentReport: ...

    async def list_components(
        self, requester: Requester, *, tenant_id: str | None = None, name: str | None = None, limit: int = 50
    ) -> ComponentList: ...

    async def get_component(self, requester: Requester, component_id: str) -> ComponentDetail: ...

    async def insights(
        self,
        requester: Requester,
        *,
        metric_name: str | None = None,
        time_range_hours: int = 1,
        tenant_id: str | None = None,
        since_seconds: int | None = None,
        insight_types: Sequence[InsightType] = (),
        severities: Sequence[Severity] = (),
    ) -> InsightList: ...

    async def get_insight(self, requester: Requester, insight_id: str) -> InsightDetail: ...

    async def insight_chart(self, requester: Requester, insight_id: str) -> Chart: ...

    async def list_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        component: str | None = None,
    ) -> SeriesList: ...

    async def query_telemetry(self, requester: Requester, query: TelemetryQuery) -> TelemetryPoints: ...

    async def check_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        since_seconds: int = 86400,
    ) -> TelemetryCheck: ...

    async def check_baseline(
        self, requester: Requester, *, tenant_id: str | None = None, application: str | None = None
    ) -> BaselineCheck: ...

    async def status(self, requester: Requester) -> SystemStatus: ...


class Access(Protocol):
    """Who may call, and how often; `selfbuild.adapters.access.SqlAccess` knows."""

    async def authenticate(self, key: str, now: datetime) -> Requester | None: ...

    async def hit(self, tool: str, tenant_id: str, *, limit: int, now: datetime) -> RateDecision: ...


class Services:
    """Operations behind keys and rate windows."""

    def __init__(self, operations: Operations, access: Access, *, limits: dict[str, int]) -> None:
        self.operations = operations
        self._access = access
        self._limits = limits

    async def requester(self, authorization: str | None) -> Requester:
        """The holder of the key in an `Authorization: Bearer KEY` header. Raises Unauthorized."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or len(key) > MAX_KEY_LENGTH:
            raise Unauthorized
        requester = await self._access.authenticate(key, datetime.now(UTC))
        if requester is None:
            raise Unauthorized
        return requester

    async def count(self, requester: Requester, tool: str, tenant_id: object) -> RateDecision | None:
        """Count one call of a tool; None where it has no limit. Raises RateLimited."""
        limit = self._limits.get(tool)
        if limit is None:
            return None
        tenant = self._charged(requester, tenant_id if isinstance(tenant_id, str) else None)
        decision = await self._access.hit(tool, tenant, limit=limit, now=datetime.now(UTC))
        if not decision.allowed:
            raise RateLimited(tool, decision)
        return decision

    def _charged(self, requester: Requester, tenant_id: str | None) -> str:
        try:
            return self.operations.choose_tenant(requester, tenant_id)[:63]
        except SelfBuildError:
            # The call itself will be refused, or concerns several tenants; it still counts.
            return ALL_TENANTS


def rate_headers(decision: RateDecision | None, now_s: float) -> dict[str, str]:
    """What tells a caller how many calls are left."""
    if decision is None:
        return {}
    headers = {
        "X-RateLimit-Limit": str(decision.limit),
        "X-RateLimit-Remaining": str(decision.remaining),
        "X-RateLimit-Reset": str(decision.reset_at),
    }
    if not decision.allowed:
        headers["Retry-After"] = str(max(1, decision.reset_at - int(now_s)))
    return headers
