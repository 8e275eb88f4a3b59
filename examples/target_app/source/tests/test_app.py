from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from meetnotes.observe import Scope, observed
from tests.conftest import Service


def test_topics_are_answered(service: Service) -> None:
    status, answer = service.post("/topics", {"transcript": ["Budget", "hiring", "budget"]})

    assert (status, answer) == (200, {"topics": ["budget", "hiring"]})


def test_actions_are_answered(service: Service) -> None:
    status, answer = service.post("/actions", {"items": [{"text": "Send it", "owner": "Ada"}]})

    assert status == 200
    assert answer == {"actions": [{"owner": "Ada", "text": "Send it", "due": "open"}]}


def test_summary_is_answered(service: Service) -> None:
    status, answer = service.post("/summary", {"title": "Weekly", "items": [{"text": "a"}]})

    assert status == 200
    assert answer["by_owner"] == {"unassigned": 1}


def test_healthz_shows_the_release(service: Service) -> None:
    assert service.get("/healthz") == (
        200,
        {"status": "ok", "release": "r7", "telemetry_dropped": 0},
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/topics", {"transcript": "budget"}),
        ("/topics", {"transcript": [1]}),
        ("/topics", ["budget"]),
        ("/actions", {"items": [{"owner": "Ada"}]}),
        ("/summary", {}),
    ],
)
def test_malformed_request_is_refused(service: Service, path: str, body: object) -> None:
    status, answer = service.post(path, body)

    assert status == 400
    assert answer["error"]
    assert service.documents()[0]["Errors"] == 0


def test_request_is_logged_with_its_metrics(service: Service) -> None:
    service.post("/topics", {"transcript": []}, x_tenant_id="acme", x_request_id="q1")

    document = service.documents()[0]
    assert document["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Test"
    assert {key: document[key] for key in ("component", "tenant_id", "release", "request_id")} == {
        "component": "topics",
        "tenant_id": "acme",
        "release": "r7",
        "request_id": "q1",
    }
    assert (document["Requests"], document["Errors"], document["level"]) == (1, 0, "INFO")
    assert document["ResponseLatency"] > 0


def test_tenant_unfit_for_a_dimension_is_unknown(service: Service) -> None:
    service.post("/topics", {"transcript": []}, x_tenant_id="a b")

    assert service.documents()[0]["tenant_id"] == "unknown"


def test_exception_is_answered_with_500_and_located(
    service: Service, request_to: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    def broken(body: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    endpoint = observed("broken", broken, service.emitter, Scope("r7", "Test"))
    app = Starlette(routes=[Route("/broken", endpoint, methods=["POST"])])

    assert request_to(app, "POST", "/broken", b"{}") == (500, {"error": "internal"})
    document = service.documents()[0]
    assert document["Errors"] == 1
    assert document["error"]["type"] == "ZeroDivisionError"
    assert document["error"]["file"] == "tests/test_app.py"
    assert document["error"]["function"] == "broken"
    assert 'File "tests/test_app.py"' in document["stack"]
