"""What callers can ask of components: generate, list, read. Flags, load and risk are weighed here, before any work."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import structlog
from pydantic import ConfigDict, Field, ValidationError

from selfbuild.component_ports import ComponentRegistry
from selfbuild.domain.access import Requester, Scope
from selfbuild.domain.base import AwareDatetime, Value
from selfbuild.domain.components import (
    ComponentFile,
    ComponentReport,
    ComponentRequest,
    ComponentRequirements,
    ComponentStatus,
    ComponentType,
    Decline,
    QualityRequirements,
    component_workflow_id,
    new_report,
    next_steps,
)
from selfbuild.domain.errors import InvalidRequest, MalformedAnswer, Misconfigured, NotFound
from selfbuild.gate.component_risk import risk_of
from selfbuild.ports import Artifacts

log = structlog.get_logger()

WAIT_S = 25.0
"""A scaffold is made within seconds; a client does not wait longer for a model. Below the clients' usual 30 s."""


class QualityOrder(QualityRequirements):
    """As `QualityRequirements`; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class RequirementsOrder(ComponentRequirements):
    """As `ComponentRequirements`; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    quality_requirements: QualityOrder = QualityOrder()


class ComponentOrder(Value):
    """What a caller asks for."""

    model_config = ConfigDict(extra="forbid")

    component_type: ComponentType
    requirements: RequirementsOrder
    context: dict[str, Any] = Field(default={}, description="Whatever helps to write it; data for a model")
    tenant_id: str | None = None


class ComponentDetail(ComponentReport):
    """A component with the contents of its files."""

    files: tuple[ComponentFile, ...] = ()


class ComponentSummary(Value):
    """A component in a list."""

    component_id: str
    tenant_id: str
    name: str
    component_type: ComponentType
    version: int | None
    status: ComponentStatus
    scaffold: bool
    provider: str | None
    branch: str | None
    commit: str | None
    reason: str
    created_at: AwareDatetime


class ComponentList(Value):
    """Components, newest first."""

    components: tuple[ComponentSummary, ...]


class DeskSettings(Value):
    """What of the settings decides over components."""

    generation_enabled: bool
    agent_enabled: bool
    max_concurrent: int
    allowed_dependencies: tuple[str, ...]
    providers: tuple[str, ...]
    timeout_s: float
    provider_attempts: int
    provider_wait_s: float


class Live(Protocol):
    """Component requests as they run; `live_components.LiveComponents`."""

    async def running(self, tenant_id: str) -> int: ...

    async def generate(self, request: ComponentRequest, *, wait_s: float) -> ComponentReport | None: ...

    async def report(self, workflow_id: str) -> ComponentReport | None: ...


class ComponentDesk:
    """Generates and shows components for a requester."""

    def __init__(
        self,
        settings: DeskSettings,
        registry: ComponentRegistry,
        live: Live,
        artifacts: Artifacts | None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._live = live
        self._artifacts = artifacts
        self._clock = clock

    async def generate(self, requester: Requester, tenant_id: str, order: ComponentOrder) -> ComponentReport:
        """Make a component, or say why not. Asking twice gives the same component.

        Raises:
            InvalidRequest: the context is too large or no JSON.
            MalformedAnswer: nobody could make it within the wait; the text says why, the registry keeps the report.
            Unreachable: Temporal does not answer.
        """
        requester.require_scope(Scope.COMPONENTS_WRITE)
        request = self._request(requester, tenant_id, order)
        known = await self._registry.find(request.component_id)
        if known is not None and known.status is ComponentStatus.REGISTERED:
            return known
        declined = await self._decline(request)
        if declined is not None:
            log.info("component.declined", tenant_id=tenant_id, reason=declined.reason_class)
            return await self._registry.save(self._declined(request, declined))
        log.info("component.requested", tenant_id=tenant_id, component_id=request.component_id)
        report = await self._live.generate(request, wait_s=WAIT_S)
        if report is not None and report.status in (ComponentStatus.REJECTED, ComponentStatus.FAILED):
            raise _not_made(report)
        return report or new_report(request, self._clock(), workflow_id=component_workflow_id(request))

    async def list(
        self, requester: Requester, tenants: Sequence[str] | None, *, name: str | None, limit: int
    ) -> ComponentList:
        """Components that were registered, declined or rejected; those being made are read by their ids."""
        requester.require_scope(Scope.COMPONENTS_WRITE)
        found = await self._registry.components(tenants=tenants, name=name, limit=limit)
        return ComponentList(components=tuple(_summary(each) for each in found))

    async def get(self, requester: Requester, component_id: str, tenants: Sequence[str]) -> ComponentDetail:
        """One component with its files; one that is still being made is looked for among `tenants`. Raises NotFound."""
        requester.require_scope(Scope.COMPONENTS_WRITE)
        report = await self._registry.find(component_id)
        if report is None or not requester.may_use(report.tenant_id):
            report = await self._running(component_id, [each for each in tenants if requester.may_use(each)])
        if report is None:
            raise NotFound(f"no component {component_id!r}: see 'selfbuild component list'")
        return ComponentDetail(**report.model_dump(), files=await self._files(report))

    async def _running(self, component_id: str, tenants: Sequence[str]) -> ComponentReport | None:
        for tenant in tenants:
            found = await self._live.report(f"component/{tenant}/{component_id}")
            if found is not None:
                return found
        return None

    async def _files(self, report: ComponentReport) -> tuple[ComponentFile, ...]:
        if report.stored_files is None or self._artifacts is None:
            return ()
        try:
            content = await self._artifacts.get(report.stored_files)
        except NotFound:
            return ()
        return tuple(ComponentFile.model_validate(each) for each in json.loads(content))

    def _request(self, requester: Requester, tenant_id: str, order: ComponentOrder) -> ComponentRequest:
        try:
            return ComponentRequest(
                tenant_id=tenant_id,
                component_type=order.component_type,
                requirements=ComponentRequirements.model_validate(order.requirements.model_dump()),
                context=order.context,
                requested_by=requester.principal,
                providers=self._settings.providers,
                timeout_s=self._settings.timeout_s,
                provider_attempts=self._settings.provider_attempts,
                provider_wait_s=self._settings.provider_wait_s,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise InvalidRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    async def _decline(self, request: ComponentRequest) -> Decline | None:
        settings = self._settings
        if not settings.generation_enabled:
            return Decline(
                reason_class="flag",
                reason="generating components is off",
                alternatives=("have an operator set ENABLE_COMPONENT_GENERATION=true",),
            )
        if not settings.agent_enabled:
            return Decline(
                reason_class="paused",
                reason="the agent is paused",
                alternatives=("ask again when it goes on", "have an operator set ENABLE_SELF_BUILDING=true"),
            )
        risk = risk_of(request, allowed_dependencies=settings.allowed_dependencies)
        if risk is not None:
            return risk
        # The same component in the making is joined, not counted against itself.
        if await self._live.report(component_workflow_id(request)) is None:
            running = await self._live.running(request.tenant_id)
            if running >= settings.max_concurrent:
                return Decline(
                    reason_class="load",
                    reason=f"{running} components of tenant {request.tenant_id!r} are being made, as many as may be",
                    alternatives=("ask again in a minute", "have an operator raise MAX_CONCURRENT_COMPONENTS"),
                )
        return None

    def _declined(self, request: ComponentRequest, declined: Decline) -> ComponentReport:
        report = new_report(request, self._clock(), workflow_id=None).model_copy(
            update={
                "status": ComponentStatus.DECLINED,
                "declined": declined,
                "reason": declined.reason,
                "finished_at": self._clock(),
            }
        )
        return report.model_copy(update={"next_steps": next_steps(report)})


def no_desk() -> Misconfigured:
    """What a server answers that was started without a registry."""
    return Misconfigured("this server was started without a registry of components")


def _not_made(report: ComponentReport) -> MalformedAnswer:
    reason = report.reason.removeprefix("gate: ")
    said = reason if reason.startswith("Validation failed: ") else f"Generation failed: {reason}"
    return MalformedAnswer(f"{said} (component {report.component_id})")


def _summary(report: ComponentReport) -> ComponentSummary:
    where = report.registration
    return ComponentSummary(
        component_id=report.component_id,
        tenant_id=report.tenant_id,
        name=report.name,
        component_type=report.component_type,
        version=where.version if where else None,
        status=report.status,
        scaffold=report.scaffold,
        provider=report.provider,
        branch=where.branch if where else None,
        commit=where.commit if where else None,
        reason=report.reason,
        created_at=report.created_at,
    )
