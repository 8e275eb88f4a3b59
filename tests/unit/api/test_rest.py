"""`/v1` and health: codes, shapes, headers."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from selfbuild.domain import errors
from selfbuild.telemetry_desk import TelemetryQuery
from tests.fakes.operations import FakeOperations
from tests.fakes.values import a_cycle, an_improvement

CYCLE = f"/v1/cycles/{a_cycle().cycle_id}"


def test_started_cycle_is_accepted_with_its_place(client: TestClient) -> None:
    answer = client.post("/v1/cycles", json={"tenant_id": "acme", "dry_run": True})

    assert answer.status_code == 202
    assert answer.headers["Location"] == CYCLE
    assert answer.headers["X-RateLimit-Remaining"] == "9"
    assert (answer.json()["tenant_id"], answer.json()["dry_run"]) == ("acme", True)


def test_cycle_may_be_started_without_a_body(client: TestClient) -> None:
    assert client.post("/v1/cycles").status_code == 202


def test_finished_cycle_reports_the_promised_members(client: TestClient) -> None:
    cycle = client.get(CYCLE).json()

    assert cycle["status"] == "completed"
    assert cycle["execution_time_seconds"] == 180.0
    assert set(cycle["analysis_summary"]) == {
        "telemetry_events_analyzed",
        "insights_generated",
        "opportunities_identified",
    }
    assert {"llm_input_tokens", "llm_output_tokens", "llm_cost_usd", "cloudwatch_api_calls"} <= set(cycle["cost"])
    assert {"improvement_id", "title", "impact_score", "status", "affected_components", "metrics", "verdict"} <= set(
        cycle["improvements"][0]
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/cycles", 200),
        ("GET", CYCLE, 200),
        ("POST", f"{CYCLE}:cancel", 202),
        ("GET", "/v1/improvements", 200),
        ("GET", f"/v1/improvements/{an_improvement().improvement_id}", 200),
        ("GET", "/v1/insights?time_range_hours=24", 200),
        ("GET", "/v1/insights?since_seconds=90&insight_type=error_pattern&severity=low&severity=high", 200),
        ("GET", "/v1/insights?severity=awful", 422),
        ("GET", "/v1/insights/ins-1", 200),
        ("GET", "/v1/insights/ins-2", 404),
        ("GET", "/v1/insights/ins-1/chart", 404),
        ("GET", "/v1/telemetry", 200),
        ("GET", "/v1/telemetry/query?measure=requests&since_seconds=3600&period_seconds=300", 200),
        ("GET", "/v1/telemetry/query?measure=speed", 422),
        ("GET", "/v1/telemetry/query?metric=Requests&since_seconds=0", 422),
        ("GET", "/v1/telemetry/check?since_seconds=86400&application=meetnotes", 200),
        ("GET", "/v1/baseline/check?tenant_id=acme", 200),
        ("GET", "/v1/status", 200),
        ("GET", "/v1/cycles/cycle_x", 404),
        ("POST", "/v1/cycles/cycle_x:cancel", 404),
        ("GET", "/v1/cycles?limit=0", 422),
        ("GET", "/v1/insights?time_range_hours=169", 422),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/status", 405),
    ],
)
def test_route_answers(client: TestClient, method: str, path: str, code: int) -> None:
    answer = client.request(method, path)

    assert answer.status_code == code
    if code >= 400:
        assert answer.json()["error"]["code"] == code


def test_rollback_needs_a_reason(client: TestClient) -> None:
    path = f"/v1/improvements/{an_improvement().improvement_id}:rollback"

    assert client.post(path, json={}).status_code == 422
    assert client.post(path, json={"reason": "wrong totals"}).json()["status"] == "rolled_back"


def test_unknown_member_is_refused_with_its_place(client: TestClient) -> None:
    answer = client.post("/v1/cycles", json={"tenant": "acme"})

    error = answer.json()["error"]
    assert error["code"] == 422
    assert error["details"][0]["field"] == "body.tenant"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/status",
        "/v1/cycles",
        CYCLE,
        "/v1/improvements",
        "/v1/insights",
        "/v1/insights/ins-1",
        "/v1/insights/ins-1/chart",
        "/v1/telemetry",
        "/v1/telemetry/query",
        "/v1/telemetry/check",
        "/v1/baseline/check",
    ],
)
def test_without_a_key_nothing_is_told(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Authorization": ""})

    assert answer.status_code == 401
    assert answer.json() == {"error": {"code": 401, "message": "Unauthorized: Invalid or missing API key"}}


def test_conflict_names_the_running_cycle(client: TestClient, operations: FakeOperations) -> None:
    operations.refuse_with(errors.Conflict("cycle cycle_1 already runs for 'acme/meetnotes'"))

    answer = client.post("/v1/cycles", json={})

    assert answer.status_code == 409
    assert answer.json() == {"error": {"code": 409, "message": "cycle cycle_1 already runs for 'acme/meetnotes'"}}


def test_unforeseen_error_is_not_shown(client: TestClient, operations: FakeOperations) -> None:
    operations.refuse_with(ZeroDivisionError("inner secret"))

    answer = client.get("/v1/cycles")

    assert answer.json()["error"]["code"] == 500
    assert "inner secret" not in answer.text


def test_rest_and_mcp_share_the_hour(start: Callable[..., TestClient]) -> None:
    client = start(rate_limit_trigger_improvement_cycle=1)
    body: dict[str, Any] = {
        "jsonrpc": "2.0",
        "method": "tools/call",
        "params": {"name": "trigger_improvement_cycle"},
        "id": 1,
    }

    assert client.post("/mcp", json=body).status_code == 200
    refused = client.post("/v1/cycles", json={})

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == 429
    assert "Retry-After" in refused.headers


def test_health_is_told_without_a_key(client: TestClient) -> None:
    answer = client.get("/health", headers={"Authorization": ""})

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "agent": "self-building",
        "version": "0.1.0",
        "uptime_seconds": 12.5,
        "components": {"store": "connected", "temporal": "connected"},
    }


def test_health_without_temporal_is_503_but_the_process_lives(client: TestClient, operations: FakeOperations) -> None:
    operations.problems = {"temporal": "no server at 127.0.0.1:7233"}

    health, ready, live = client.get("/health"), client.get("/readyz"), client.get("/livez")

    assert (health.status_code, ready.status_code, live.status_code) == (503, 503, 200)
    assert health.json()["components"] == {"store": "connected", "temporal": "unreachable"}
    assert "7233" not in health.text + ready.text


def test_openapi_tells_routes_and_errors(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    start = document["paths"]["/v1/cycles"]["post"]
    assert document["openapi"].startswith("3.1")
    assert {"202", "400", "401", "403", "409", "422", "429", "503"} <= set(start["responses"])
    assert "/v1/improvements/{improvement_id}:rollback" in document["paths"]


def test_openapi_tells_the_routes_of_telemetry_and_charts(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    chart = document["paths"]["/v1/insights/{insight_id}/chart"]["get"]["responses"]
    query = document["paths"]["/v1/telemetry/query"]["get"]
    assert chart["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Chart")
    assert "404" in chart
    assert {"metric", "measure", "component", "since_seconds", "period_seconds"} <= {
        each["name"] for each in query["parameters"]
    }
    assert {"/v1/telemetry", "/v1/telemetry/check", "/v1/baseline/check"} <= document["paths"].keys()


def test_query_reaches_the_agent_as_it_was_asked(client: TestClient, operations: FakeOperations) -> None:
    client.get("/v1/telemetry/query?metric=Requests&component=summary&since_seconds=60&tenant_id=acme")

    assert operations.asked == TelemetryQuery(tenant_id="acme", component="summary", metric="Requests", since_s=60)
