"""`POST /mcp` by plain callers: what the operators' guide shows works as it stands there."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.mcp import MAX_BODY_BYTES
from selfbuild.domain import errors
from tests.fakes.operations import FakeOperations
from tests.fakes.values import a_cycle
from tests.unit.api.conftest import ADMIN_KEY

TOOLS = {
    "generate_component",
    "trigger_improvement_cycle",
    "get_system_status",
    "query_telemetry_insights",
    "get_cycle",
    "cancel_cycle",
    "rollback_improvement",
}


def call(client: TestClient, tool: str, arguments: Any = None, **headers: str) -> Any:
    params: dict[str, Any] = {"name": tool} | ({} if arguments is None else {"arguments": arguments})
    body = {"jsonrpc": "2.0", "method": "tools/call", "params": params, "id": 1}
    return client.post("/mcp", content=json.dumps(body), headers=headers)


def error_of(answer: Any) -> tuple[int, str]:
    error = answer.json()["error"]
    return error["code"], error["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded"], ids=["json", "as-curl-sends"]
)
def test_members_of_the_result_stand_at_its_top(client: TestClient, content_type: str) -> None:
    answer = call(client, "get_system_status", **{"Content-Type": content_type})

    result = answer.json()["result"]
    assert result["components"]["learning_engine"]["telemetry_buffer_size"] == 3420
    assert result["structuredContent"]["components"] == result["components"]
    assert result["llm_circuit_breaker_state"] == "closed"


def test_cycle_is_triggered_with_the_guides_arguments(client: TestClient, operations: FakeOperations) -> None:
    answer = call(client, "trigger_improvement_cycle", {"analysis_window_hours": 168})

    assert answer.json()["result"]["cycle_id"] == a_cycle().cycle_id
    assert operations.started == [{"tenant_id": "acme", "analysis_window_hours": 168, "dry_run": False}]


def test_tools_are_listed_with_their_schemas(client: TestClient) -> None:
    answer = client.post("/mcp", json={"jsonrpc": "2.0", "method": "tools/list", "id": 1})

    tools = {tool["name"]: tool for tool in answer.json()["result"]["tools"]}
    hours = tools["trigger_improvement_cycle"]["inputSchema"]["properties"]["analysis_window_hours"]["anyOf"][0]
    assert set(tools) == TOOLS
    assert (hours["minimum"], hours["maximum"]) == (1, 168)
    assert all(tool["outputSchema"] and tool["description"] and tool["annotations"] for tool in tools.values())


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", "Basic YWxpY2U6eA==", "Bearer " + "x" * 5000], ids=str
)
def test_wrong_key_gets_the_promised_body(client: TestClient, authorization: str) -> None:
    answer = call(client, "get_system_status", Authorization=authorization)

    assert answer.status_code == 401
    assert answer.json() == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": 401, "message": "Unauthorized: Invalid or missing API key"},
    }
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_foreign_tenant_is_denied_whether_it_exists_or_not(client: TestClient) -> None:
    for tenant in ("globex", "nobody"):
        answer = call(client, "trigger_improvement_cycle", {"tenant_id": tenant})
        assert error_of(answer) == (403, "Tenant access denied")


def test_missing_choice_names_the_tenants(client: TestClient) -> None:
    answer = call(client, "trigger_improvement_cycle", {}, Authorization=f"Bearer {ADMIN_KEY}")

    assert error_of(answer) == (400, "tenant_id is missing: choose one of 'acme', 'globex'")


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "said"),
    [
        pytest.param("trigger_improvement_cycle", {"analysis_window_hours": 0}, 400, "analysis_window_hours", id="low"),
        pytest.param("trigger_improvement_cycle", {"analysis_window_hours": 169}, 400, "equal to 168", id="high"),
        pytest.param("trigger_improvement_cycle", {"max_improvements": 11}, 400, "max_improvements", id="too-many"),
        pytest.param("trigger_improvement_cycle", {"tenant": "acme"}, 400, "unknown argument 'tenant'", id="unknown"),
        pytest.param("query_telemetry_insights", {"time_range_hours": 500}, 400, "time_range_hours", id="range"),
        pytest.param("rollback_improvement", {"improvement_id": "i"}, 400, "reason", id="missing"),
        pytest.param("make_coffee", {}, 404, "Unknown tool: make_coffee", id="no-tool"),
        pytest.param("get_cycle", {"cycle_id": "cycle_x"}, 404, "no cycle 'cycle_x'", id="no-cycle"),
    ],
)
def test_refused_call_is_a_json_rpc_error(
    client: TestClient, tool: str, arguments: dict[str, Any], code: int, said: str
) -> None:
    found, message = error_of(call(client, tool, arguments))

    assert found == code
    assert said in message
    assert "pydantic.dev" not in message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("x"), 400),
        (errors.TenantDenied("x"), 403),
        (errors.AccessDenied("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.MalformedAnswer("x"), 422),
        (errors.Unreachable("x"), 503),
        (errors.Throttled("x"), 503),
        (errors.Misconfigured("x"), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_code(
    client: TestClient, operations: FakeOperations, error: errors.SelfBuildError, code: int
) -> None:
    operations.refuse_with(error)

    assert error_of(call(client, "get_system_status")) == (code, "x")


def test_unforeseen_error_is_not_shown(client: TestClient, operations: FakeOperations) -> None:
    operations.refuse_with(ZeroDivisionError("inner secret"))

    answer = call(client, "get_system_status")

    assert error_of(answer)[0] == 500
    assert "inner secret" not in answer.text


def test_mcp_client_gets_a_tool_error_instead(client: TestClient, operations: FakeOperations) -> None:
    operations.refuse_with(errors.Conflict("cycle cycle_1 already runs"))

    answer = call(
        client,
        "get_system_status",
        **{"MCP-Protocol-Version": "2025-06-18", "Accept": "application/json, text/event-stream"},
    )

    data = next(line for line in answer.text.splitlines() if line.startswith("data: {"))
    result = json.loads(data.removeprefix("data: "))["result"]
    assert result["isError"] is True
    assert json.loads(result["content"][0]["text"]) == {"error": {"code": 409, "message": "cycle cycle_1 already runs"}}


def test_mcp_client_gets_the_clean_form(client: TestClient) -> None:
    answer = call(
        client, "get_system_status", **{"MCP-Protocol-Version": "2025-06-18", "Accept": "application/json, text/*"}
    )

    assert "components" not in answer.json()["result"]


def test_get_is_not_allowed(client: TestClient) -> None:
    answer = client.get("/mcp")

    assert (answer.status_code, answer.headers["Allow"], answer.json()["error"]["code"]) == (405, "POST", 405)


@pytest.mark.parametrize("body", ["{", "[]", "null", "[" * 100_000], ids=["cut", "list", "null", "deep"])
def test_body_that_is_no_call_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/mcp", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] < 0


def test_endless_body_is_refused(client: TestClient) -> None:
    assert client.post("/mcp", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413


def test_foreign_host_is_refused_on_loopback(client: TestClient) -> None:
    assert call(client, "get_system_status", Host="evil.example.com").status_code == 421


def test_named_host_is_answered(start: Callable[..., TestClient]) -> None:
    client = start(mcp_allowed_hosts="agent.example.com")

    assert call(client, "get_system_status", Host="agent.example.com").status_code == 200


def test_eleventh_cycle_of_the_hour_is_refused_on_every_server(start: Callable[..., TestClient]) -> None:
    first, second = start(), start()
    answers = [call(client, "trigger_improvement_cycle", {}) for client in (first, second) * 5]
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]

    refused = call(second, "trigger_improvement_cycle", {"tenant_id": "acme"})

    assert left == list(range(9, -1, -1))
    assert refused.status_code == 429
    assert error_of(refused) == (429, "Rate limit exceeded: 10 calls of trigger_improvement_cycle an hour")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["X-RateLimit-Limit"] == "10"


@pytest.mark.parametrize(("tool", "limit"), [("get_system_status", 100), ("query_telemetry_insights", 50)])
def test_promised_limit_is_announced(client: TestClient, tool: str, limit: int) -> None:
    answer = call(client, tool)

    assert answer.headers["X-RateLimit-Limit"] == str(limit)
    assert answer.headers["X-RateLimit-Remaining"] == str(limit - 1)
    assert int(answer.headers["X-RateLimit-Reset"]) > 0


def test_each_tenant_has_its_own_hour(start: Callable[..., TestClient]) -> None:
    client = start(rate_limit_trigger_improvement_cycle=1)
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}

    assert call(client, "trigger_improvement_cycle", {}).status_code == 200
    assert call(client, "trigger_improvement_cycle", {"tenant_id": "acme"}, **admin).status_code == 429
    assert call(client, "trigger_improvement_cycle", {"tenant_id": "globex"}, **admin).status_code == 200
