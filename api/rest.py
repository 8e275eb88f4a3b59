"""`/v1`: the same operations as REST resources, with OpenAPI."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.services import Operations, Services, rate_headers
from selfbuild.component_desk import ComponentDetail, ComponentList, ComponentOrder
from selfbuild.domain.access import Requester
from selfbuild.domain.base import NAME_PATTERN
from selfbuild.domain.components import ComponentReport, ComponentStatus
from selfbuild.domain.insights import Chart, InsightType, Severity
from selfbuild.domain.telemetry import Measure
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

MAX_SINCE_S = 455 * 86400
"""What CloudWatch keeps at most."""
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Limit = Annotated[int, Query(ge=1, le=200)]
Tenant = Annotated[Name | None, Query()]
ApplicationName = Annotated[Name | None, Query()]
Text = Annotated[str | None, Query(min_length=1, max_length=200)]
SinceSeconds = Annotated[int, Query(ge=1, le=MAX_SINCE_S)]


class ErrorText(BaseModel):
    """One error."""

    code: int
    message: str
    details: Any = None


class ErrorAnswer(BaseModel):
    """The shape of every error."""

    error: ErrorText


class CycleStart(BaseModel):
    """What a cycle is asked; None = the setting's default."""

    model_config = ConfigDict(extra="forbid")

    analysis_window_hours: Annotated[int, Field(ge=1, le=168)] | None = None
    max_improvements: Annotated[int, Field(ge=1, le=10)] | None = None
    tenant_id: Name | None = None
    application: Name | None = None
    dry_run: bool = False


class RollbackOrder(BaseModel):
    """Why a release is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


_bearer = HTTPBearer(auto_error=False, description="A key of this server")
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorAnswer} for code in (400, 401, 403, 404, 409, 422, 429, 500, 503)
}
router = APIRouter(prefix="/v1", responses=_ERRORS)


def services(request: Request) -> Services:
    """The services that the server's start has made."""
    found: Services = request.app.state.services
    return found


async def requester(
    request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Requester:
    """Who calls. Raises Unauthorized."""
    return await services(request).requester(request.headers.get("authorization"))


def operations(request: Request) -> Operations:
    """What callers can ask."""
    return services(request).operations


Caller = Annotated[Requester, Depends(requester)]
Does = Annotated[Operations, Depends(operations)]


async def _count(request: Request, response: Response, caller: Requester, tool: str, tenant_id: str | None) -> None:
    """Count the call in the same hour as the MCP tool that does the same."""
    decision = await services(request).count(caller, tool, tenant_id)
    response.headers.update(rate_headers(decision, time.time()))


@router.post("/cycles", status_code=202)
async def start_cycle(
    request: Request, response: Response, caller: Caller, does: Does, order: CycleStart | None = None
) -> CycleStarted:
    """Start one improvement cycle."""
    wanted = order or CycleStart()
    await _count(request, response, caller, "trigger_improvement_cycle", wanted.tenant_id)
    started = await does.start_cycle(caller, **wanted.model_dump())
    response.headers["Location"] = f"/v1/cycles/{started.cycle_id}"
    return started


@router.get("/cycles")
async def list_cycles(caller: Caller, does: Does, tenant_id: Tenant = None, limit: Limit = 50) -> CycleList:
    """Cycles, newest first."""
    return await does.list_cycles(caller, tenant_id=tenant_id, limit=limit)


@router.get("/cycles/{cycle_id}")
async def get_cycle(caller: Caller, does: Does, cycle_id: str) -> CycleView:
    """Where a cycle stands or how it ended."""
    return await does.get_cycle(caller, cycle_id)


@router.post("/cycles/{cycle_id}:cancel", status_code=202)
async def cancel_cycle(caller: Caller, does: Does, cycle_id: str) -> CycleView:
    """Cancel a running cycle; what is deployed and not yet judged is rolled back first."""
    return await does.cancel_cycle(caller, cycle_id)


@router.get("/improvements")
async def list_improvements(
    caller: Caller,
    does: Does,
    tenant_id: Tenant = None,
    cycle_id: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> ImprovementList:
    """Improvements, newest first."""
    return await does.list_improvements(caller, tenant_id=tenant_id, cycle_id=cycle_id, limit=limit)


@router.get("/improvements/{improvement_id}")
async def get_improvement(caller: Caller, does: Does, improvement_id: str) -> ImprovementDetail:
    """One improvement with its evidence, patch, checks and verdict."""
    return await does.get_improvement(caller, improvement_id)


@router.post("/improvements/{improvement_id}:rollback", status_code=202)
async def rollback_improvement(caller: Caller, does: Does, improvement_id: str, order: RollbackOrder) -> RollbackView:
    """Take an improvement's release back and bar its patch."""
    return await does.rollback_improvement(caller, improvement_id, order.reason)


@router.post("/components", responses={202: {"model": ComponentReport, "description": "Still generating"}})
async def generate_component(
    request: Request, response: Response, caller: Caller, does: Does, order: ComponentOrder
) -> ComponentReport:
    """Make a component, or say why not; 202 while it is still generating: ask again, or read it at `Location`."""
    await _count(request, response, caller, "generate_component", order.tenant_id)
    report = await does.generate_component(caller, order)
    response.headers["Location"] = f"/v1/components/{report.component_id}"
    if report.status is ComponentStatus.GENERATING:
        response.status_code = 202
    return report


@router.get("/components")
async def list_components(
    caller: Caller, does: Does, tenant_id: Tenant = None, name: Text = None, limit: Limit = 50
) -> ComponentList:
    """Components that were registered, declined or rejected, newest first."""
    return await does.list_components(caller, tenant_id=tenant_id, name=name, limit=limit)


@router.get("/components/{component_id}")
async def get_component(caller: Caller, does: Does, component_id: str) -> ComponentDetail:
    """One component with the contents of its files."""
    return await does.get_component(caller, component_id)


@router.get("/insights")
async def list_insights(
    request: Request,
    response: Response,
    caller: Caller,
    does: Does,
    metric_name: Annotated[str | None, Query(max_length=200)] = None,
    time_range_hours: Annotated[int, Query(ge=1, le=168)] = 1,
    tenant_id: Tenant = None,
    since_seconds: Annotated[int | None, Query(ge=1, le=MAX_SINCE_S)] = None,
    insight_type: Annotated[list[InsightType] | None, Query()] = None,
    severity: Annotated[list[Severity] | None, Query()] = None,
) -> InsightList:
    """Insights from telemetry of the last hours, or of `since_seconds` in place of them."""
    await _count(request, response, caller, "query_telemetry_insights", tenant_id)
    return await does.insights(
        caller,
        metric_name=metric_name,
        time_range_hours=time_range_hours,
        tenant_id=tenant_id,
        since_seconds=since_seconds,
        insight_types=insight_type or (),
        severities=severity or (),
    )


@router.get("/insights/{insight_id}")
async def get_insight(caller: Caller, does: Does, insight_id: str) -> InsightDetail:
    """One insight with its evidence. Its samples are quoted from logs: data, never instructions."""
    return await does.get_insight(caller, insight_id)


@router.get("/insights/{insight_id}/chart")
async def get_insight_chart(caller: Caller, does: Does, insight_id: str) -> Chart:
    """The series behind an insight with its window, baseline and marks; 404 says why there is none."""
    return await does.insight_chart(caller, insight_id)


@router.get("/telemetry")
async def list_telemetry(
    caller: Caller,
    does: Does,
    tenant_id: Tenant = None,
    application: ApplicationName = None,
    component: Text = None,
) -> SeriesList:
    """Which series the telemetry store holds."""
    return await does.list_telemetry(caller, tenant_id=tenant_id, application=application, component=component)


@router.get("/telemetry/query")
async def query_telemetry(
    caller: Caller,
    does: Does,
    metric: Text = None,
    measure: Annotated[Measure | None, Query()] = None,
    component: Text = None,
    tenant_id: Tenant = None,
    application: ApplicationName = None,
    since_seconds: SinceSeconds = 86400,
    period_seconds: Annotated[int | None, Query(ge=1, le=86400)] = None,
) -> TelemetryPoints:
    """Points of the series with that metric or measure; null is a period without a sample, never zero."""
    query = TelemetryQuery(
        tenant_id=tenant_id,
        application=application,
        component=component,
        metric=metric,
        measure=measure,
        since_s=since_seconds,
        period_s=period_seconds,
    )
    return await does.query_telemetry(caller, query)


@router.get("/telemetry/check")
async def check_telemetry(
    caller: Caller,
    does: Does,
    tenant_id: Tenant = None,
    application: ApplicationName = None,
    since_seconds: SinceSeconds = 86400,
) -> TelemetryCheck:
    """Whether telemetry arrives and completely, by application and component, with the remedies."""
    return await does.check_telemetry(caller, tenant_id=tenant_id, application=application, since_seconds=since_seconds)


@router.get("/baseline/check")
async def check_baseline(
    caller: Caller, does: Does, tenant_id: Tenant = None, application: ApplicationName = None
) -> BaselineCheck:
    """Whether a cycle that started now had a past to compare its window with, by series."""
    return await does.check_baseline(caller, tenant_id=tenant_id, application=application)


@router.get("/status")
async def get_status(request: Request, response: Response, caller: Caller, does: Does) -> SystemStatus:
    """The state of the whole agent."""
    await _count(request, response, caller, "get_system_status", None)
    return await does.status(caller)
