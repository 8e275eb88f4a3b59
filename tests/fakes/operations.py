"""What the API stands on, without Temporal: answers from builders, refusals as the test asks."""

from collections.abc import Sequence

from selfbuild.component_desk import ComponentDesk, ComponentDetail, ComponentList, ComponentOrder, DeskSettings
from selfbuild.domain.access import Requester
from selfbuild.domain.components import ComponentReport, ComponentRequest, ComponentStatus
from selfbuild.domain.errors import InvalidRequest, NotFound, SelfBuildError
from selfbuild.domain.insights import Chart, InsightType, Severity
from selfbuild.insight_views import InsightDetail, InsightList, QueryParameters, insight_detail, insight_list
from selfbuild.reading import RecordedState, RunningState
from selfbuild.status import Measured, SystemStatus, system_status
from selfbuild.telemetry_desk import TelemetryQuery
from selfbuild.telemetry_views import BaselineCheck, SeriesList, TelemetryCheck, TelemetryPoints
from selfbuild.views import (
    CycleList,
    CycleStarted,
    CycleView,
    ImprovementDetail,
    ImprovementList,
    Links,
    RollbackView,
    cycle_view,
    improvement_detail,
    improvement_view,
)
from tests.fakes.components import FakeComponents, a_registered
from tests.fakes.values import NOON, a_cycle, an_application, an_improvement, an_insight

TENANTS = ("acme", "globex")


class FakeLiveComponents:
    """Component requests without Temporal: each is registered at once, unless it is to be `slow`."""

    def __init__(self, registry: FakeComponents | None = None) -> None:
        self.registry = registry or FakeComponents()
        self.busy = 0
        self.slow = False
        self.reason = ""
        """Why nobody can make it, where that is so."""
        self.made: list[ComponentRequest] = []

    async def running(self, tenant_id: str) -> int:
        return self.busy

    async def generate(self, request: ComponentRequest, *, wait_s: float) -> ComponentReport | None:
        self.made.append(request)
        changes = {"status": ComponentStatus.REJECTED, "registration": None, "reason": self.reason}
        report = a_registered(request, **changes if self.reason else {})
        return None if self.slow else await self.registry.save(report)

    async def report(self, workflow_id: str) -> ComponentReport | None:
        return None


def a_desk(live: FakeLiveComponents, **changes: object) -> ComponentDesk:
    """A desk that declines nothing by itself."""
    settings = {
        "generation_enabled": True,
        "agent_enabled": True,
        "max_concurrent": 2,
        "allowed_dependencies": ("pydantic",),
        "providers": ("recipes",),
        "timeout_s": 60,
        "provider_attempts": 3,
        "provider_wait_s": 60,
    }
    return ComponentDesk(DeskSettings.model_validate(settings | changes), live.registry, live, None, clock=lambda: NOON)


class FakeOperations:
    """Implements `api.services.Operations` for two tenants."""

    uptime_s = 12.5

    def __init__(self) -> None:
        self.started: list[dict[str, object]] = []
        self.refusal: Exception | None = None
        self.problems: dict[str, str] = {}
        self.asked: TelemetryQuery | None = None
        self.components = FakeLiveComponents()
        self.desk = a_desk(self.components)

    async def check(self) -> dict[str, str]:
        return self.problems

    def choose_tenant(self, requester: Requester, tenant_id: str | None) -> str:
        if tenant_id is not None:
            requester.require_tenant(tenant_id)
            return tenant_id
        if requester.tenants is not None and len(requester.tenants) == 1:
            return requester.tenants[0]
        raise InvalidRequest("tenant_id is missing: choose one of 'acme', 'globex'")

    async def start_cycle(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        analysis_window_hours: int | None = None,
        max_improvements: int | None = None,
        dry_run: bool = False,
    ) -> CycleStarted:
        self._refuse()
        tenant = self.choose_tenant(requester, tenant_id)
        self.started.append({"tenant_id": tenant, "analysis_window_hours": analysis_window_hours, "dry_run": dry_run})
        cycle = a_cycle()
        return CycleStarted(
            cycle_id=cycle.cycle_id,
            workflow_id=cycle.workflow_id,
            run_id=cycle.run_id,
            status="in_progress",
            tenant_id=tenant,
            application=application or "meetnotes",
            dry_run=dry_run,
            links={"self": f"/v1/cycles/{cycle.cycle_id}"},
        )

    async def get_cycle(self, requester: Requester, cycle_id: str) -> CycleView:
        self._refuse()
        if cycle_id != a_cycle().cycle_id:
            raise NotFound(f"no cycle {cycle_id!r}")
        return self._view()

    async def list_cycles(self, requester: Requester, *, tenant_id: str | None = None, limit: int = 50) -> CycleList:
        self._refuse()
        return CycleList(cycles=(self._view(),)[:limit])

    async def cancel_cycle(self, requester: Requester, cycle_id: str) -> CycleView:
        return await self.get_cycle(requester, cycle_id)

    async def list_improvements(
        self, requester: Requester, *, tenant_id: str | None = None, cycle_id: str | None = None, limit: int = 50
    ) -> ImprovementList:
        self._refuse()
        return ImprovementList(improvements=(improvement_view(an_improvement()),))

    async def get_improvement(self, requester: Requester, improvement_id: str) -> ImprovementDetail:
        self._refuse()
        return improvement_detail(an_improvement(improvement_id))

    async def rollback_improvement(self, requester: Requester, improvement_id: str, reason: str) -> RollbackView:
        self._refuse()
        return RollbackView(
            improvement_id=improvement_id, release_id="rel-1", workflow_id="rollback/rel-1", status="rolled_back"
        )

    async def generate_component(self, requester: Requester, order: ComponentOrder) -> ComponentReport:
        self._refuse()
        return await self.desk.generate(requester, self.choose_tenant(requester, order.tenant_id), order)

    async def list_components(
        self, requester: Requester, *, tenant_id: str | None = None, name: str | None = None, limit: int = 50
    ) -> ComponentList:
        tenants = requester.tenants if tenant_id is None else [self.choose_tenant(requester, tenant_id)]
        return await self.desk.list(requester, tenants, name=name, limit=limit)

    async def get_component(self, requester: Requester, component_id: str) -> ComponentDetail:
        return await self.desk.get(requester, component_id, requester.tenants or TENANTS)

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
    ) -> InsightList:
        self._refuse()
        query = QueryParameters(
            metric_name=metric_name,
            time_range_hours=time_range_hours,
            tenant_id=tenant_id,
            since_seconds=since_seconds,
            insight_types=tuple(insight_types),
            severities=tuple(severities),
        )
        return insight_list(query, [("acme", an_insight())])

    async def get_insight(self, requester: Requester, insight_id: str) -> InsightDetail:
        self._refuse()
        if insight_id != an_insight().insight_id:
            raise NotFound(f"no insight {insight_id!r}")
        return insight_detail("acme", an_insight())

    async def insight_chart(self, requester: Requester, insight_id: str) -> Chart:
        self._refuse()
        raise NotFound(f"insight {insight_id!r} has no chart: it does not rest on a metric series")

    async def list_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        component: str | None = None,
    ) -> SeriesList:
        self._refuse()
        return SeriesList(series=())

    async def query_telemetry(self, requester: Requester, query: TelemetryQuery) -> TelemetryPoints:
        self._refuse()
        self.asked = query
        return TelemetryPoints(start=NOON, end=NOON, series=())

    async def check_telemetry(
        self,
        requester: Requester,
        *,
        tenant_id: str | None = None,
        application: str | None = None,
        since_seconds: int = 86400,
    ) -> TelemetryCheck:
        self._refuse()
        return TelemetryCheck(healthy=True, start=NOON, end=NOON, applications=())

    async def check_baseline(
        self, requester: Requester, *, tenant_id: str | None = None, application: str | None = None
    ) -> BaselineCheck:
        self._refuse()
        return BaselineCheck(healthy=True, checked_at=NOON, applications=())

    async def status(self, requester: Requester) -> SystemStatus:
        self._refuse()
        return system_status(a_measurement())

    def _refuse(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _view(self) -> CycleView:
        report = a_cycle(telemetry_events=3420, improvements=(an_improvement(),))
        return cycle_view(report, links=Links(None, "selfbuild"), now=NOON)

    def refuse_with(self, error: SelfBuildError | Exception) -> None:
        """Let every call from now on end so."""
        self.refusal = error


def a_measurement(**changes: object) -> Measured:
    """A healthy agent that has read 3,420 events."""
    measured = Measured(
        now=NOON,
        uptime_s=12.5,
        version="0.1.0",
        applications=(an_application(),),
        providers=("recipes",),
        feature_flags={"enable_self_building": True, "enable_autonomous_improvements": False},
        temporal_detail="127.0.0.1:7233, namespace selfbuild",
        recorded=RecordedState(cycles=(a_cycle(telemetry_events=3420),), improvements=(an_improvement(),)),
        running=RunningState(pollers=1, pending=()),
    )
    return measured.model_copy(update=changes)
