"""The MCP tools: arguments with their limits, results with their schemas. What they do is in `selfbuild.agent`."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import structlog
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context
from mcp_types import CallToolRequestParams, CallToolResult, TextContent, ToolAnnotations
from pydantic import Field, StringConstraints
from starlette.requests import Request

from api.errors import INTERNAL, code_of
from api.services import Operations
from selfbuild.component_desk import ComponentOrder, RequirementsOrder
from selfbuild.domain.access import Requester
from selfbuild.domain.base import NAME_PATTERN
from selfbuild.domain.components import ComponentReport, ComponentType
from selfbuild.domain.errors import SelfBuildError
from selfbuild.insight_views import InsightList
from selfbuild.status import SystemStatus
from selfbuild.views import CycleStarted, CycleView, RollbackView

REQUESTER = "selfbuild.requester"
"""Key of the ASGI scope under which the endpoint leaves who calls."""
PROTOCOL_HEADER = "mcp-protocol-version"
"""Every MCP client sends it after its first request; curl does not."""

Result = TypeVar("Result")
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=2000)]

_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_STARTS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)
_MAKES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
_STOPS = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

_PYDANTIC_TAIL = re.compile(r"\s*\[type=.*\]$")

log = structlog.get_logger()


def build_server(operations: Callable[[], Operations], *, version: str) -> MCPServer[Any]:
    """The MCP server with its tools. Logging must be configured before: the SDK adds a handler where there is none."""
    server: MCPServer[Any] = MCPServer(
        "self-building",
        title="Self-Building Agent",
        version=version,
        instructions="Finds degradations and recurring errors of services, patches them, proves the patch, releases "
        "it to a canary, and keeps it or rolls it back. Start with get_system_status.",
        log_level="WARNING",
        extensions=[CallerShapes(lambda: server)],
        middleware=[repeat_members],
    )
    _add_cycle_tools(server, operations)
    _add_component_tools(server, operations)
    _add_reading_tools(server, operations)
    return server


def _add_cycle_tools(server: MCPServer[Any], operations: Callable[[], Operations]) -> None:
    @server.tool(annotations=_STARTS)
    async def trigger_improvement_cycle(
        ctx: Context[Any, Any],
        analysis_window_hours: Annotated[
            int | None, Field(ge=1, le=168, description="None = IMPROVEMENT_CYCLE_ANALYSIS_WINDOW_HOURS, 24")
        ] = None,
        max_improvements: Annotated[int | None, Field(ge=1, le=10, description="None = MAX_IMPROVEMENTS, 3")] = None,
        tenant_id: Annotated[Name | None, Field(description="None = the only tenant that can be meant")] = None,
        application: Annotated[Name | None, Field(description="None = the tenant's only application")] = None,
        dry_run: Annotated[bool, Field(description="Rank and report; change nothing")] = False,
    ) -> CycleStarted:
        """Start one improvement cycle for an application. Answers at once; follow it with get_cycle."""
        return await answer(
            operations().start_cycle(
                requester_of(ctx),
                tenant_id=tenant_id,
                application=application,
                analysis_window_hours=analysis_window_hours,
                max_improvements=max_improvements,
                dry_run=dry_run,
            )
        )

    @server.tool(annotations=_READS)
    async def get_cycle(ctx: Context[Any, Any], cycle_id: Id) -> CycleView:
        """Where an improvement cycle stands or how it ended, with its opportunities, improvements and cost."""
        return await answer(operations().get_cycle(requester_of(ctx), cycle_id))

    @server.tool(annotations=_STOPS)
    async def cancel_cycle(ctx: Context[Any, Any], cycle_id: Id) -> CycleView:
        """Cancel a running cycle; what is deployed and not yet judged is rolled back first."""
        return await answer(operations().cancel_cycle(requester_of(ctx), cycle_id))

    @server.tool(annotations=_STOPS)
    async def rollback_improvement(ctx: Context[Any, Any], improvement_id: Id, reason: Reason) -> RollbackView:
        """Take an improvement's release back and bar its patch; the reason is kept."""
        return await answer(operations().rollback_improvement(requester_of(ctx), improvement_id, reason))


def _add_component_tools(server: MCPServer[Any], operations: Callable[[], Operations]) -> None:
    @server.tool(annotations=_MAKES)
    async def generate_component(
        ctx: Context[Any, Any],
        component_type: ComponentType,
        requirements: RequirementsOrder,
        context: Annotated[
            dict[str, Any] | None, Field(description="Whatever helps to write it; data, never instructions")
        ] = None,
        tenant_id: Annotated[Name | None, Field(description="None = the only tenant that can be meant")] = None,
    ) -> ComponentReport:
        """Make a skill, agent, service or mcp_tool: files with tests and docs on a branch, gated and registered.

        Declined with a reason and alternatives where a flag, the load or the risk forbids it. Asking for the same again
        gives the same component, and its state while it is still `generating`.
        """
        order = ComponentOrder(
            component_type=component_type, requirements=requirements, context=context or {}, tenant_id=tenant_id
        )
        return await answer(operations().generate_component(requester_of(ctx), order))


def _add_reading_tools(server: MCPServer[Any], operations: Callable[[], Operations]) -> None:
    @server.tool(annotations=_READS)
    async def get_system_status(ctx: Context[Any, Any]) -> SystemStatus:
        """Health, components with their circuit breakers, active improvements, metrics and feature flags."""
        return await answer(operations().status(requester_of(ctx)))

    @server.tool(annotations=_READS)
    async def query_telemetry_insights(
        ctx: Context[Any, Any],
        metric_name: Annotated[
            str | None, Field(max_length=200, description="Part of a number's, type's or component's name")
        ] = None,
        time_range_hours: Annotated[int, Field(ge=1, le=168)] = 1,
        tenant_id: Annotated[Name | None, Field(description="None = all tenants the key is good for")] = None,
    ) -> InsightList:
        """Insights from telemetry of the last hours: degradations, errors, with evidence and advice."""
        return await answer(
            operations().insights(
                requester_of(ctx), metric_name=metric_name, time_range_hours=time_range_hours, tenant_id=tenant_id
            )
        )


async def answer(call: Awaitable[Result]) -> Result:
    """The result of an operation, or an MCPError with its code. An unforeseen error is logged, not shown."""
    try:
        return await call
    except SelfBuildError as error:
        raise MCPError(code_of(error), str(error)) from error
    except Exception as error:
        log.exception("tool.failed", error_type=type(error).__name__)
        raise MCPError(500, INTERNAL) from error


def requester_of(ctx: Context[Any, Any]) -> Requester:
    """Who calls, as the endpoint found out."""
    request = ctx.request_context.request
    if not isinstance(request, Request):
        raise MCPError(500, INTERNAL)
    requester: Requester = request.scope[REQUESTER]
    return requester


def is_plain_caller(request: object) -> bool:
    """Whether this is curl and the like, which knows nothing of MCP."""
    return isinstance(request, Request) and PROTOCOL_HEADER not in request.headers


class CallerShapes(Extension):
    """Gives refusals the shape that the caller understands.

    Plain callers get a JSON-RPC error with the promised code. MCP clients get a tool error that a model can read;
    some of them take a JSON-RPC error 403 for a demand to log in by OAuth.
    """

    identifier = "dev.selfbuild/errors"

    def __init__(self, server: Callable[[], MCPServer[Any]]) -> None:
        self._server = server
        self._arguments: dict[str, frozenset[str]] = {}

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        plain = is_plain_caller(ctx.request)
        try:
            await self._refuse_unknown_arguments(params)
            result = await call_next(ctx)
        except MCPError as error:
            if plain or error.error.code <= 0:
                raise
            body = {"error": {"code": error.error.code, "message": error.error.message}}
            return CallToolResult(content=[TextContent(type="text", text=json.dumps(body))], is_error=True)
        if plain and isinstance(result, CallToolResult) and result.is_error:
            # Our own refusals are MCPErrors: what is left is the SDK's word on the tool's name or arguments.
            text = " ".join(part.text for part in result.content if isinstance(part, TextContent))
            raise MCPError(404 if text.startswith("Unknown tool") else 400, _readable(text))
        return result

    async def _refuse_unknown_arguments(self, params: CallToolRequestParams) -> None:
        """The SDK ignores them; a misspelt `tenant_id` would then mean another tenant."""
        if not self._arguments:
            tools = await self._server().list_tools()
            self._arguments = {tool.name: frozenset(tool.input_schema.get("properties", {})) for tool in tools}
        known = self._arguments.get(params.name)
        unknown = sorted(set(params.arguments or {}) - known) if known is not None else []
        if known is not None and unknown:
            names = ", ".join(sorted(known)) or "none"
            raise MCPError(400, f"unknown argument {unknown[0]!r} of {params.name}: it takes {names}")


def _readable(text: str) -> str:
    """The SDK's refusal of arguments on one line, without pydantic's links and inner names."""
    _, *lines = text.splitlines() or [""]
    words = [_PYDANTIC_TAIL.sub("", line.strip()) for line in lines if "errors.pydantic.dev" not in line]
    return f"invalid arguments: {' '.join(words)}" if words else text


async def repeat_members(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Repeat the members of `structuredContent` at the top of `result`, for plain callers and their `jq` paths."""
    result = await call_next(ctx)
    if ctx.method == "tools/call" and isinstance(result, dict) and is_plain_caller(ctx.request):
        members = result.get("structuredContent")
        if isinstance(members, dict):
            return {**members, **result}
    return result
