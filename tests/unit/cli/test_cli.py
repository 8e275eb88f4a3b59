"""The command line: results on stdout, everything else on stderr, promised exit codes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from selfbuild.cli.main import app
from selfbuild.domain.cycles import CycleStatus, Phase
from selfbuild.reading import RunningState
from selfbuild.status import system_status
from selfbuild.views import Links, cycle_view, improvement_view
from tests.fakes.operations import a_measurement
from tests.fakes.values import NOON, a_cycle, an_improvement

CYCLE_ID = a_cycle().cycle_id
KEY = "key-of-the-tests"


def cycle_json(**changes: Any) -> Any:
    return cycle_view(a_cycle(**changes), links=Links(None, "selfbuild"), now=NOON).model_dump(mode="json")


def improvements_json() -> Any:
    return {"improvements": [improvement_view(an_improvement()).model_dump(mode="json")]}


def refusal(code: int, message: str) -> Any:
    return {"error": {"code": code, "message": message}}


class StandIn:
    """A server whose answers the test lays out; each path gives its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, str, Any, str | None]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer(json.loads(content) if content else None)

            def _answer(self, body: Any) -> None:
                stand_in.requests.append((self.command, self.path, body, self.headers.get("Authorization")))
                waiting = stand_in.answers.get(self.path.partition("?")[0], [(404, refusal(404, "no such route"))])
                code, answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(code)
                if code == 429:
                    self.send_header("Retry-After", "120")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def lay_out(self, path: str, *answers: tuple[int, Any]) -> None:
        self.answers[path] = list(answers)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELFBUILD_SERVER", stand_in.url)
    monkeypatch.setenv("SELF_BUILDING_MCP_API_KEY", KEY)
    yield stand_in
    stand_in.stop()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_status_as_json_is_what_the_server_said(server: StandIn) -> None:
    status = system_status(a_measurement()).model_dump(mode="json")
    server.lay_out("/v1/status", (200, status))

    result = run("status", "-o", "json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == status
    assert server.requests == [("GET", "/v1/status", None, f"Bearer {KEY}")]


def test_status_as_yaml_and_table_tells_the_same(server: StandIn) -> None:
    status = system_status(a_measurement()).model_dump(mode="json")
    server.lay_out("/v1/status", (200, status))

    assert yaml.safe_load(run("status", "-o", "yaml").stdout) == status
    table = dict(line.split(maxsplit=1) for line in run("status").stdout.splitlines())
    assert table["components.learning_engine.telemetry_buffer_size"] == "3420"
    assert table["system_health"] == "healthy"


def test_unhealthy_status_is_a_negative_result(server: StandIn) -> None:
    unhealthy = system_status(a_measurement(running=RunningState(problem="gone")))
    server.lay_out("/v1/status", (200, unhealthy.model_dump(mode="json")))

    assert run("status").exit_code == 1


def test_start_sends_what_was_asked_and_nothing_else(server: StandIn) -> None:
    server.lay_out("/v1/cycles", (202, {"cycle_id": CYCLE_ID}))

    result = run("cycle", "start", "--tenant", "acme", "--window", "168", "--max", "2")

    assert result.exit_code == 0
    assert CYCLE_ID in result.stdout
    assert server.requests[0][2] == {
        "tenant_id": "acme",
        "analysis_window_hours": 168,
        "max_improvements": 2,
        "dry_run": False,
    }


@pytest.mark.parametrize(
    ("code", "exit_code"), [(400, 2), (401, 3), (403, 3), (404, 4), (409, 5), (422, 2), (429, 6), (500, 7), (503, 7)]
)
def test_refusal_has_its_exit_code(server: StandIn, code: int, exit_code: int) -> None:
    server.lay_out("/v1/cycles", (code, refusal(code, "no: because")))

    result = run("cycle", "start")

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.startswith("no: because")
    assert ("try again in 120 s" in result.stderr) is (code == 429)


def test_silent_server_is_unavailable(server: StandIn) -> None:
    result = run("status", "--server", "http://127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (7, "")
    assert "is it running?" in result.stderr


def test_answer_that_is_no_json_is_unavailable(server: StandIn) -> None:
    server.lay_out("/v1/status", (200, b"<html>"))

    assert run("status").exit_code == 7


@pytest.mark.parametrize(
    "arguments",
    [["cycle", "start", "--window", "169"], ["cycle", "start", "--max", "0"], ["nonsense"], ["cycle", "get"]],
)
def test_wrong_usage_calls_nobody(server: StandIn, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert server.requests == []


def test_watch_shows_each_phase_once_until_the_end(server: StandIn) -> None:
    running = [
        (200, cycle_json(status=CycleStatus.RUNNING, phase=phase, finished_at=None))
        for phase in (Phase.COLLECTING, Phase.COLLECTING, Phase.ANALYZING)
    ]
    server.lay_out(f"/v1/cycles/{CYCLE_ID}", *running, (503, refusal(503, "restarting")), (200, cycle_json()))
    server.lay_out("/v1/improvements", (200, improvements_json()))

    result = run("cycle", "watch", CYCLE_ID, "--interval", "0.1", "-o", "json")

    said = [line.split()[:2] for line in result.stderr.splitlines()]
    assert said == [["in_progress", "collecting"], ["in_progress", "analyzing"], ["restarting"], ["completed", "done"]]
    assert json.loads(result.stdout)["status"] == "completed"
    assert result.exit_code == 0


def test_watch_of_a_failed_cycle_is_a_negative_result(server: StandIn) -> None:
    server.lay_out(f"/v1/cycles/{CYCLE_ID}", (200, cycle_json(status=CycleStatus.FAILED)))
    server.lay_out("/v1/improvements", (200, {"improvements": []}))

    assert run("cycle", "watch", CYCLE_ID).exit_code == 1


def test_watch_of_an_unknown_cycle_ends_at_once(server: StandIn) -> None:
    server.lay_out("/v1/cycles/x", (404, refusal(404, "no cycle 'x'")))

    assert run("cycle", "watch", "x").exit_code == 4
    assert len(server.requests) == 1


def test_lists_are_tables_with_a_head(server: StandIn) -> None:
    server.lay_out("/v1/cycles", (200, {"cycles": [cycle_json()]}))
    server.lay_out("/v1/improvements", (200, improvements_json()))

    cycles, improvements = run("cycle", "list").stdout, run("improvement", "list").stdout

    assert cycles.splitlines()[0].split()[:2] == ["CYCLE", "TENANT"]
    assert cycles.splitlines()[1].startswith(CYCLE_ID)
    assert an_improvement().improvement_id in improvements


def test_empty_list_says_so_on_stderr(server: StandIn) -> None:
    server.lay_out("/v1/cycles", (200, {"cycles": []}))

    result = run("cycle", "list")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "none\n")


def test_rollback_carries_its_reason(server: StandIn) -> None:
    server.lay_out("/v1/improvements/i-1:rollback", (202, {"status": "rolled_back"}))

    result = run("improvement", "rollback", "i-1", "--reason", "wrong totals")

    assert result.exit_code == 0
    assert server.requests[0][:3] == ("POST", "/v1/improvements/i-1:rollback", {"reason": "wrong totals"})
    assert run("improvement", "rollback", "i-1").exit_code == 2


def test_key_is_also_read_from_the_env_file(server: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SELF_BUILDING_MCP_API_KEY")
    (tmp_path / ".env").write_text("SELF_BUILDING_MCP_API_KEY=from-the-file  # the guide's place\n")
    server.lay_out("/v1/cycles", (200, {"cycles": []}))

    run("cycle", "list")

    assert server.requests[0][3] == "Bearer from-the-file"


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        *(["cycle", verb] for verb in ("start", "list", "get", "cancel", "watch")),
        *(["improvement", verb] for verb in ("list", "get", "rollback")),
        *(["insight", verb] for verb in ("list", "show")),
        *(["telemetry", verb] for verb in ("list", "query")),
        *(["check", verb] for verb in ("telemetry", "baseline")),
        *(["backtest", verb] for verb in ("metrics", "logs", "tracebacks", "judge", "cycles")),
    ],
    ids=" ".join,
)
def test_each_help_has_an_example(command: list[str]) -> None:
    result = run(*command, "--help")

    assert result.exit_code == 0
    assert f"Example: selfbuild {' '.join(command)}" in " ".join(result.stdout.split())


def test_help_loads_no_heavy_library() -> None:
    probe = (
        "import sys, selfbuild.cli.main; "
        "print([m for m in ('temporalio', 'sqlalchemy', 'httpx2', 'pydantic', 'numpy') if m in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout == "[]\n"
