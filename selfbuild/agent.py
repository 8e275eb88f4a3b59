"""What callers can ask of the agent. MCP, REST and the command line all come through here; grants are checked here."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic

import structlog
from pydantic import ValidationError
from temporalio.client import Client

from selfbuild.component_desk import (
    ComponentDesk,
    ComponentDetail,
    ComponentList,
    ComponentOrder,
    DeskSettings,
    no_desk,
)
from selfbuild.component_ports import ComponentRegistry
from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.applications import Application
from selfbuild.domain.components import ComponentReport
from selfbuild.domain.cycles import CyclePolicy, CycleRequest, CycleStatus
from selfbuild.domain.errors import Conflict, InvalidRequest, Misconfigured, NotFound, Unreachable
from selfbuild.domain.messages import RollbackRequest
from selfbuild.live import Execution, LiveWorkflows
from selfbuild.live_components import LiveComponents
from selfbuild.observations import Observations
from selfbuild.ports import Artifacts, Records, SpendLedger, TelemetryStore
from selfbuild.reading import Current, StateReader
from selfbuild.settings import Settings
from selfbuild.status import Measured, SystemStatus, system_status
from selfbuild.telemetry_desk import TelemetryDesk
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

STATUS_CACHE_S = 1.5
"""Status fans out to Temporal; callers that poll it must not."""
ROLLBACK_WAIT_S = 10.0
"""Most rollbacks end within seconds; a caller does not wait longer for the rest."""
VERSION = "0.1.0"

log = structlog.get_logger()


class Agent(Observations):
    """Starts, shows and stops cycles and improvements for a requester."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        client: Client,
        *,
        telemetry: TelemetryStore | None = None,
        artifacts: Artifacts | None = None,
        components: ComponentRegistry | None = None,
        ledger: SpendLedger | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:

        def policy_of(tenant_id: str) -> CyclePolicy:
            return settings.policy(tenant_id=tenant_id)

        super().__init__(
            settings.applications(),
            records,
            desk=TelemetryDesk(telemetry, records, lambda tenant: settings.policy(tenant_id=tenant))
            if telemetry
            else None,
            artifacts=artifacts,
            clock=clock,
        )
        self._settings = settings
        self._live = LiveWorkflows(client)
        self._components = (
            ComponentDesk(_desk_settings(settings), components, LiveComponents(client), artifacts, clock=clock)
            if components is not None
            else None
        )
        self._started = monotonic()
        self._state = StateReader(self._applications, records, self._live, ledger)
        self._links = Links(settings.temporal_ui_url, settings.temporal_namespace)
        self._checked: tuple[float, dict[str, str]] | None = None
        self._statuses: dict[tuple[str, ...] | None, tuple[float, SystemStatus]] = {}

    @property
    def uptime_s(self) -> float:
        """Seconds since this was made."""
        return monotonic() - self._started

    async def check(self) -> dict[str, str]:
        """Problems by component: `store`, `temporal`. Empty where all can work; at most 1.5 seconds old."""
        if self._checked is None or monotonic() - self._checked[0] > STATUS_CACHE_S:
            self._checked = (monotonic(), await self._problems())
        return self._checked[1]

    async def _problems(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        try:
            await self._records.cycles(tenants=None, limit=1)
        except Unreachable as error:
            problems["store"] = str(error)
        try:
            await self._live.pollers()
        except (Unreachable, Misconfigured) as error:
            problems["temporal"] = str(error)
        return problems

    # Cycles

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
        """Start one cycle.

        Raises:
            Conflict: the application has a running cycle; the text names its id.
            InvalidRequest: a choice is missing; the text names what can be chosen.
            TenantDenied, AccessDenied, NotFound, Unreachable, Misconfigured: as their docstrings say.
        """
        requester.require_scope(Scope.CYCLES_WRITE)
        if not self._settings.enable_self_building:
            raise Misconfigured("cycles are off: set ENABLE_SELF_BUILDING=true")
        chosen = self._choose_application(self.choose_tenant(requester, tenant_id), application)
        policy = self._policy(chosen.tenant_id, analysis_window_hours, max_improvements)
        execution = await self._live.start_cycle(
            CycleRequest(
                application=chosen,
                policy=policy,
                providers=self._settings.providers(),
                requested_by=requester.principal,
                dry_run=dry_run,
                deploy_allowed=self._settings.enable_autonomous_improvements,
            )
        )
        log.info(
            "cycle.started",
            cycle_id=execution.cycle_id,
            tenant_id=chosen.tenant_id,
            app_id=chosen.name,
            requested_by=requester.principal,
        )
        return self._started_view(execution, chosen, dry_run=dry_run)

    async def get_cycle(self, requester: Requester, cycle_id: str) -> CycleView:
        """Where a cycle stands: what its workflow says, else the read model. Raises NotFound."""
        requester.require_scope(Scope.CYCLES_READ)
        record = await self._state.recorded_cycle(requester, cycle_id)
        if record is not None and record.status is not CycleStatus.RUNNING:
            return self._show(Current(report=record))
        execution = await self._state.execution_of(requester, cycle_id, record)
        if execution is None and record is None:
            raise NotFound(f"no cycle {cycle_id!r}")
        return self._show(await self._state.current(execution, record))

    async def list_cycles(self, requester: Requester, *, tenant_id: str | None = None, limit: int = 50) -> CycleList:
        """Cycles, newest first; running ones as their workflows say, unless Temporal cannot be reached."""
        requester.require_scope(Scope.CYCLES_READ)
        tenants = self._readable(requester, tenant_id)
        recorded = {each.cycle_id: each for each in await self._records.cycles(tenants=tenants, limit=limit)}
        views = {cycle_id: self._show(Current(report=report)) for cycle_id, report in recorded.items()}
        try:
            for execution in await self._state.running(tenants):
                current = await self._state.current(execution, recorded.get(execution.cycle_id))
                views[execution.cycle_id] = self._show(current)
        except Unreachable as error:
            log.warning("cycles.read_without_temporal", error_message=str(error))
        newest = sorted(views.values(), key=lambda view: (view.started_at, view.cycle_id), reverse=True)
        return CycleList(cycles=tuple(newest[:limit]))

    async def cancel_cycle(self, requester: Requester, cycle_id: str) -> CycleView:
        """Ask a cycle to end; what is deployed and not yet judged is rolled back first.

        Raises:
            Conflict: it has ended already.
            NotFound: there is none.
        """
        requester.require_scope(Scope.CYCLES_WRITE)
        record = await self._state.recorded_cycle(requester, cycle_id)
        execution = await self._state.execution_of(requester, cycle_id, record)
        if execution is None and record is None:
            raise NotFound(f"no cycle {cycle_id!r}")
        if execution is None or not execution.running:
            raise Conflict(f"cycle {cycle_id!r} has ended: there is nothing to cancel")
        await self._live.cancel(execution)
        log.info("cycle.cancel_requested", cycle_id=cycle_id, requested_by=requester.principal)
        return self._show(await self._state.current(execution, record))

    # Improvements

    async def list_improvements(
        self, requester: Requester, *, tenant_id: str | None = None, cycle_id: str | None = None, limit: int = 50
    ) -> ImprovementList:
        """Improvements, newest first; running ones as their workflows say, unless Temporal cannot be reached."""
        requester.require_scope(Scope.CYCLES_READ)
        tenants = self._readable(requester, tenant_id)
        recorded = await self._state.improvements(tenants=tenants, cycle_id=cycle_id, limit=limit)
        found = {report.improvement_id: report for report in recorded}
        try:
            active, _ = await self._state.active(await self._state.running(tenants))
        except Unreachable as error:
            log.warning("improvements.read_without_temporal", error_message=str(error))
            active = []
        found |= {report.improvement_id: report for report in active if cycle_id in (None, report.cycle_id)}
        newest = sorted(found.values(), key=lambda report: (report.started_at, report.improvement_id), reverse=True)
        return ImprovementList(improvements=tuple(improvement_view(report) for report in newest[:limit]))

    async def get_improvement(self, requester: Requester, improvement_id: str) -> ImprovementDetail:
        """One improvement with its evidence, patch, checks and verdict. Raises NotFound."""
        requester.require_scope(Scope.CYCLES_READ)
        report, _ = await self._state.improvement(requester, improvement_id)
        return improvement_detail(report)

    async def rollback_improvement(self, requester: Requester, improvement_id: str, reason: str) -> RollbackView:
        """Take an improvement's release back, whether on trial or kept; needs neither telemetry nor a model.

        Raises:
            Conflict: it has released nothing, or later commits touch the same lines.
            NotFound: there is no such improvement.
        """
        requester.require_scope(Scope.IMPROVEMENTS_ROLLBACK)
        if not self._settings.enable_improvement_rollback:
            raise Misconfigured("rollbacks by request are off: set ENABLE_IMPROVEMENT_ROLLBACK=true")
        report, execution = await self._state.improvement(requester, improvement_id)
        if report.release is None:
            raise Conflict(f"improvement {improvement_id!r} has released nothing: there is nothing to roll back")
        release_id = report.release.release_id
        log.info("rollback.requested", release_id=release_id, requested_by=requester.principal)
        if execution is not None and execution.running:
            await self._live.ask_roll_back(execution, f"{reason} (by {requester.principal})")
            return RollbackView(
                improvement_id=improvement_id,
                release_id=release_id,
                workflow_id=execution.workflow_id,
                status="rolling_back",
            )
        rollback = report.rollback or await self._live.roll_back(
            RollbackRequest(release_id=release_id, reason=reason, requested_by=requester.principal),
            wait_s=ROLLBACK_WAIT_S,
        )
        return RollbackView(
            improvement_id=improvement_id,
            release_id=release_id,
            workflow_id=f"rollback/{release_id}",
            status="rolling_back" if rollback is None else "rolled_back",
            serving_sha=rollback.serving_sha if rollback else None,
            revert_sha=rollback.revert_sha if rollback else None,
        )

    # Components

    async def generate_component(self, requester: Requester, order: ComponentOrder) -> ComponentReport:
        """Make a component, or say why not; see `ComponentDesk`."""
        requester.require_scope(Scope.COMPONENTS_WRITE)
        return await self._component_desk().generate(requester, self.choose_tenant(requester, order.tenant_id), order)

    async def list_components(
        self, requester: Requester, *, tenant_id: str | None = None, name: str | None = None, limit: int = 50
    ) -> ComponentList:
        """Components that were registered, declined or rejected, newest first."""
        tenants = self._readable(requester, tenant_id)
        return await self._component_desk().list(requester, tenants, name=name, limit=limit)

    async def get_component(self, requester: Requester, component_id: str) -> ComponentDetail:
        """One component with its files. Raises NotFound."""
        tenants = requester.tenants or sorted({each.tenant_id for each in self._applications})
        return await self._component_desk().get(requester, component_id, tenants)

    def _component_desk(self) -> ComponentDesk:
        if self._components is None:
            raise no_desk()
        return self._components

    # Status

    async def status(self, requester: Requester) -> SystemStatus:
        """The state of the whole agent, as far as the requester may see it; at most 1.5 seconds old."""
        requester.require_scope(Scope.STATUS_READ)
        cached = self._statuses.get(requester.tenants)
        if cached is None or monotonic() - cached[0] > STATUS_CACHE_S:
            cached = (monotonic(), system_status(await self._measure(requester.tenants)))
            self._statuses[requester.tenants] = cached
        return cached[1]

    # Choosing

    def choose_tenant(self, requester: Requester, tenant_id: str | None) -> str:
        """The tenant that is meant: the one named, else the only one there is, else the key's only one.

        Raises:
            TenantDenied: no grant, or no such tenant: both read the same.
            InvalidRequest: several could be meant; the text names them.
        """
        if tenant_id is not None:
            requester.require_tenant(tenant_id)
            return tenant_id
        all_tenants = sorted({each.tenant_id for each in self._applications})
        if len(all_tenants) == 1:
            requester.require_tenant(all_tenants[0])
            return all_tenants[0]
        if requester.tenants is not None and len(requester.tenants) == 1:
            return requester.tenants[0]
        choices = [repr(tenant) for tenant in all_tenants if requester.may_use(tenant)]
        if not all_tenants:
            raise Misconfigured("no application is configured: name them in APPLICATIONS_FILE")
        raise InvalidRequest(
            f"tenant_id is missing: choose one of {', '.join(choices) or 'the tenants you have a grant for'} "
            "(system-wide cycles come with a later release)"
        )

    def _choose_application(self, tenant_id: str, name: str | None) -> Application:
        mine = [each for each in self._applications if each.tenant_id == tenant_id]
        names = ", ".join(repr(each.name) for each in mine)
        if not mine:
            raise NotFound(f"tenant {tenant_id!r} has no application: add one to APPLICATIONS_FILE")
        if name is None and len(mine) > 1:
            raise InvalidRequest(f"application is missing: choose one of {names}")
        found = [each for each in mine if name in (None, each.name)]
        if not found:
            raise NotFound(f"tenant {tenant_id!r} has no application {name!r}: choose one of {names}")
        return found[0]

    def _policy(self, tenant_id: str, hours: int | None, max_improvements: int | None) -> CyclePolicy:
        if hours is not None and not 1 <= hours <= 168:
            raise InvalidRequest(f"analysis_window_hours={hours}: must be between 1 and 168")
        try:
            return self._settings.policy(hours, max_improvements, tenant_id=tenant_id)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    async def _measure(self, tenants: tuple[str, ...] | None) -> Measured:
        now = self._clock()
        recorded, running = await asyncio.gather(
            self._state.recorded_state(tenants, now), self._state.running_state(tenants)
        )
        return Measured(
            now=now,
            uptime_s=self.uptime_s,
            version=VERSION,
            applications=tuple(each for each in self._applications if tenants is None or each.tenant_id in tenants),
            providers=self._settings.providers(),
            budgets=self._settings.llm_budgets(),
            feature_flags=self._settings.feature_flags(),
            temporal_detail=f"{self._settings.temporal_address}, namespace {self._settings.temporal_namespace}",
            recorded=recorded,
            running=running,
        )

    def _started_view(self, execution: Execution, application: Application, *, dry_run: bool) -> CycleStarted:
        return CycleStarted(
            cycle_id=execution.cycle_id,
            workflow_id=execution.workflow_id,
            run_id=execution.run_id,
            status="in_progress",
            tenant_id=application.tenant_id,
            application=application.name,
            dry_run=dry_run,
            links=self._links.of_cycle(execution.cycle_id, execution.workflow_id, execution.run_id),
        )

    def _show(self, current: Current) -> CycleView:
        return cycle_view(current.report, links=self._links, now=self._clock(), queued=current.queued)


def _desk_settings(settings: Settings) -> DeskSettings:
    return DeskSettings(
        generation_enabled=settings.enable_component_generation,
        agent_enabled=settings.enable_self_building,
        max_concurrent=settings.max_concurrent_components,
        allowed_dependencies=settings.component_allowed_dependencies,
        providers=settings.providers(),
        timeout_s=settings.generation_timeout_seconds,
        provider_attempts=settings.circuit_breaker_failure_threshold,
        provider_wait_s=settings.circuit_breaker_recovery_timeout,
    )
