"""generate_component by MCP and REST: shapes, codes, limits, who sees what."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.fakes.operations import FakeOperations
from tests.unit.api.conftest import ADMIN_KEY

ORDER: dict[str, Any] = {
    "component_type": "service",
    "requirements": {
        "name": "simple_service",
        "description": "Simple service",
        "capabilities": ["single_capability"],
        "quality_requirements": {"test_coverage": 0.9, "max_complexity": 8, "performance_target_ms": 200},
    },
    "context": {"team": "notes"},
}
PROMISED = {"component_id", "status", "files_generated", "registration", "validation", "next_steps"}
VALIDATION = {
    "syntax_valid",
    "imports_resolved",
    "type_check_passed",
    "security_scan_passed",
    "tests_passed",
}


def call(client: TestClient, arguments: Any) -> Any:
    params = {"name": "generate_component", "arguments": arguments}
    return client.post(
        "/mcp", content=json.dumps({"jsonrpc": "2.0", "method": "tools/call", "params": params, "id": 1})
    )


def changed(**requirements: Any) -> dict[str, Any]:
    return ORDER | {"requirements": ORDER["requirements"] | requirements}


def test_component_is_made_by_a_plain_call(client: TestClient, operations: FakeOperations) -> None:
    answer = call(client, ORDER)

    result = answer.json()["result"]
    assert set(result["structuredContent"]) >= PROMISED
    assert set(result["validation"]) >= VALIDATION
    assert (result["status"], result["registration"]["version"]) == ("registered", 1)
    (request,) = operations.components.made
    assert (request.tenant_id, request.context) == ("acme", {"team": "notes"})
    assert request.requirements.quality_requirements.performance_target_ms == 200
    assert answer.headers["X-RateLimit-Limit"] == "20"


@pytest.mark.parametrize(
    "order",
    [
        changed(name="Not A Name"),
        changed(capabilities=[]),
        changed(quality_requirements={"test_coverage": 85}),
        changed(colour="red"),
        ORDER | {"component_type": "database"},
    ],
    ids=["name", "capabilities", "percent", "unknown-field", "type"],
)
def test_wrong_order_is_refused_by_both(client: TestClient, operations: FakeOperations, order: Any) -> None:
    by_mcp, by_rest = call(client, order), client.post("/v1/components", json=order)

    assert by_mcp.json()["error"]["code"] == 400
    assert (by_rest.status_code, by_rest.json()["error"]["code"]) == (422, 422)
    assert operations.components.made == []


def test_component_is_made_listed_and_read_by_rest(client: TestClient) -> None:
    made = client.post("/v1/components", json=ORDER)

    listed = client.get("/v1/components", params={"name": "simple_service"}).json()["components"]
    read = client.get(made.headers["Location"])
    assert made.status_code == 200
    assert [each["component_id"] for each in listed] == [made.json()["component_id"]]
    assert read.json()["registration"]["key"] == "acme/simple_service@1"
    assert read.json()["files"] == []


def test_component_that_takes_long_is_accepted(client: TestClient, operations: FakeOperations) -> None:
    operations.components.slow = True

    answer = client.post("/v1/components", json=ORDER)

    assert (answer.status_code, answer.json()["status"]) == (202, "generating")


def test_component_that_nobody_can_make_is_an_error_of_its_own(client: TestClient, operations: FakeOperations) -> None:
    operations.components.reason = "gate: Validation failed: Syntax error on line 42 of a.py: oops"

    by_rest, by_mcp = client.post("/v1/components", json=ORDER), call(client, ORDER)

    assert by_rest.status_code == 422
    assert by_rest.json()["error"] == by_mcp.json()["error"]
    assert by_rest.json()["error"]["message"].startswith("Validation failed: Syntax error on line 42")


def test_declined_component_is_an_answer(client: TestClient) -> None:
    answer = client.post("/v1/components", json=changed(capabilities=["read passwords"]))

    assert (answer.status_code, answer.json()["status"]) == (200, "declined")
    assert answer.json()["declined"]["alternatives"]


def test_foreign_component_is_not_found(client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    made = client.post("/v1/components", json=ORDER | {"tenant_id": "globex"}, headers=headers)

    assert made.status_code == 200
    assert client.get(made.headers["Location"]).status_code == 404
    assert client.get("/v1/components").json()["components"] == []
    assert client.post("/v1/components", json=ORDER | {"tenant_id": "globex"}).status_code == 403


def test_calls_of_both_count_in_one_hour(start: Callable[..., TestClient]) -> None:
    client = start(rate_limit_generate_component=2)
    call(client, ORDER)
    client.post("/v1/components", json=ORDER)

    refused = client.post("/v1/components", json=ORDER)

    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
