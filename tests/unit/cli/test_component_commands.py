"""`selfbuild component`: orders from files, polling, exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from selfbuild.cli import components
from selfbuild.cli.client import CallFailed
from selfbuild.cli.main import app

ORDER = {"component_type": "skill", "requirements": {"name": "x1", "description": "d", "capabilities": ["c"]}}


class FakeServer:
    """Answers POSTs in turn, and remembers them."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.posted: list[Any] = []

    def post(self, path: str, body: Any = None) -> Any:
        self.posted.append(body)
        if self.statuses[0] == "refused":
            raise CallFailed("Generation failed: timeout (component cmp_1)", 2)
        return {"component_id": "cmp_1", "status": self.statuses.pop(0), "next_steps": []}

    def get(self, path: str, **query: Any) -> Any:
        if path == "/v1/components":
            return {"components": [_row()]}
        if path == "/v1/components/cmp_1":
            status = self.statuses.pop(0) if self.statuses else "registered"
            return _row() | {"files": [], "status": "rejected" if status == "refused" else status}
        raise CallFailed("no component", 4)


def _row() -> dict[str, Any]:
    return {
        "component_id": "cmp_1",
        "name": "x1",
        "version": 1,
        "component_type": "skill",
        "status": "registered",
        "scaffold": True,
        "reason": "a skeleton",
    }


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(components, "POLL_S", 0.0)

    def run_command(server: FakeServer, *arguments: str, stdin: str | None = None) -> Any:
        monkeypatch.setattr(components, "reach", lambda *_: server)  # the server is reached over HTTP elsewhere
        return CliRunner().invoke(app, ["component", *arguments], input=stdin)

    return run_command


@pytest.mark.parametrize(
    ("name", "text"),
    [("order.json", json.dumps(ORDER)), ("order.yaml", json.dumps(ORDER)), ("order.yml", "component_type: skill\n")],
)
def test_order_is_read_from_a_file(run: Any, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    server = FakeServer("registered")

    result = run(server, "generate", "-f", str(tmp_path / name), "--tenant", "acme")

    assert result.exit_code == 0
    assert server.posted[0]["component_type"] == "skill"
    assert server.posted[0]["tenant_id"] == "acme"


def test_command_waits_until_the_component_is_made(run: Any) -> None:
    server = FakeServer("generating", "generating", "registered")

    result = run(server, "generate", "-f", "-", "-o", "json", stdin=json.dumps(ORDER))

    assert result.exit_code == 0
    assert len(server.posted) == 1
    assert server.statuses == []
    assert json.loads(result.stdout)["status"] == "registered"


@pytest.mark.parametrize(
    ("status", "code"), [("registered", 0), ("declined", 1), ("rejected", 1), ("failed", 1), ("cancelled", 1)]
)
def test_exit_code_tells_the_outcome(run: Any, status: str, code: int) -> None:
    assert run(FakeServer(status), "generate", "-f", "-", stdin=json.dumps(ORDER)).exit_code == code


def test_component_that_nobody_can_make_is_shown_and_a_negative_result(run: Any) -> None:
    server = FakeServer("refused")
    result = run(server, "generate", "-f", "-", "-o", "json", stdin=json.dumps(ORDER))

    assert result.exit_code == 1
    assert json.loads(result.stdout)["component_id"] == "cmp_1"


def test_order_that_the_server_refuses_is_a_usage_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer("registered")

    def refuse(*_: Any) -> Any:
        raise CallFailed("Validation failed: body.requirements.name: too short", 2)

    monkeypatch.setattr(server, "post", refuse)

    assert run(server, "generate", "-f", "-", stdin=json.dumps(ORDER)).exit_code == 2


def test_without_waiting_generating_is_no_failure(run: Any) -> None:
    assert run(FakeServer("generating"), "generate", "--no-wait", "-f", "-", stdin=json.dumps(ORDER)).exit_code == 0


@pytest.mark.parametrize("text", ["[1]", "{", ": :"])
def test_order_that_is_no_object_is_a_usage_error(run: Any, text: str) -> None:
    server = FakeServer()

    assert run(server, "generate", "-f", "-", stdin=text).exit_code == 2
    assert server.posted == []


def test_components_are_listed_and_shown(run: Any) -> None:
    listed, shown = run(FakeServer(), "list"), run(FakeServer(), "show", "cmp_1", "-o", "yaml")

    assert "a skeleton" in listed.stdout
    assert "component_id: cmp_1" in shown.stdout
    assert run(FakeServer(), "show", "cmp_2").exit_code == 4
