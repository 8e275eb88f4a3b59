"""The curl lines of the operators' guide, by the real curl against a real server process."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

KEY = "key-of-the-guide"
STARTUP_S = 30
STATUS = '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"get_system_status"},"id":1}'
CYCLE = """{
    "jsonrpc":"2.0",
    "method":"tools/call",
    "params":{
      "name":"trigger_improvement_cycle",
      "arguments":{"analysis_window_hours":168}
    },
    "id":1
  }"""
APPLICATIONS = """
[[application]]
tenant_id = "acme"
name = "meetnotes"
[application.telemetry]
log_group = "/apps/meetnotes"
[application.repository]
url = "meetnotes.git"
[application.release]
control_url = "http://127.0.0.1:9100"
"""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment_of(tmp_path: Path, port: int, key: str | None) -> dict[str, str]:
    """Temporal is not there: the server starts and answers all the same."""
    (tmp_path / "applications.toml").write_text(APPLICATIONS)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "STATE_DIR": str(tmp_path / "state"),
        "APPLICATIONS_FILE": str(tmp_path / "applications.toml"),
        "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",
        "MCP_PORT": str(port),
        "LOG_FORMAT": "json",
    } | ({} if key is None else {"SELF_BUILDING_MCP_API_KEY": key})


class Server:
    """A server process on a free port."""

    def __init__(self, tmp_path: Path, key: str | None) -> None:
        self.port = free_port()
        self._log = (tmp_path / "stderr.txt").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            cwd=tmp_path,
            env=environment_of(tmp_path, self.port, key),
            stderr=self._log,
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + STARTUP_S
        while b"Application startup complete" not in self.log():
            assert self._process.poll() is None, self.log().decode()
            assert time.monotonic() < deadline, self.log().decode()
            time.sleep(0.05)

    def log(self) -> bytes:
        return Path(self._log.name).read_bytes()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), KEY)
    try:
        started.wait_until_up()
        yield started
    finally:
        started.stop()


def curl(server: Server, *arguments: str) -> Any:
    answer = subprocess.run(
        ["curl", "-sS", "-X", "POST", f"http://localhost:{server.port}/mcp", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return json.loads(answer.stdout)


def test_status_with_the_correct_header(server: Server) -> None:
    answer = curl(server, "-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json", "-d", STATUS)

    assert answer["id"] == 1
    assert answer["result"]["components"]["temporal"]["status"] == "unreachable"
    assert answer["result"]["system_health"] == "unhealthy"


def test_telemetry_buffer_is_found_where_the_guide_looks(server: Server) -> None:
    """jq '.result.components.learning_engine.telemetry_buffer_size'"""
    found = curl(server, "-H", f"Authorization: Bearer {KEY}", "-d", STATUS)

    for name in ("result", "components", "learning_engine", "telemetry_buffer_size"):
        found = found[name]
    assert found == 0


def test_cycle_with_a_longer_window_reaches_temporal(server: Server) -> None:
    answer = curl(server, "-H", f"Authorization: Bearer {KEY}", "-d", CYCLE)

    assert answer["error"]["code"] == 503
    assert "Temporal" in answer["error"]["message"]


def test_missing_key_gives_the_guides_symptom(server: Server) -> None:
    answer = curl(server, "-d", STATUS)

    assert answer["error"] == {"code": 401, "message": "Unauthorized: Invalid or missing API key"}


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
async def test_official_client_speaks_each_era(server: Server, mode: str) -> None:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as http,
        Client(streamable_http_client(f"http://127.0.0.1:{server.port}/mcp", http_client=http), mode=mode) as client,
    ):
        tools = await client.list_tools()
        status = await client.call_tool("get_system_status", {})
        refused = await client.call_tool("get_cycle", {"cycle_id": "cycle_x"})

    assert "trigger_improvement_cycle" in {tool.name for tool in tools.tools}
    assert status.structured_content is not None
    assert status.structured_content["components"]["store"]["status"] == "connected"
    assert refused.is_error


def test_key_is_not_in_the_log(server: Server) -> None:
    curl(server, "-H", f"Authorization: Bearer {KEY}", "-d", STATUS)

    assert KEY.encode() not in server.log()


def test_without_a_key_the_server_makes_one_and_shows_it_once(tmp_path: Path) -> None:
    server = Server(tmp_path, None)
    try:
        server.wait_until_up()
        shown = [line for line in server.log().decode().splitlines() if "SELF_BUILDING_MCP_API_KEY=" in line]
        key = shown[0].partition("=")[2]
        answer = curl(server, "-H", f"Authorization: Bearer {key}", "-d", STATUS)
    finally:
        server.stop()

    assert len(shown) == 1
    assert answer["result"]["uptime_seconds"] > 0


def test_wrong_setting_stops_the_start_with_its_line(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, 0, KEY) | {"CLOUDWATCH_METRICS_PERIOD": "30", "MAX_ERROR_RATIO": "x"}

    ended = subprocess.run(
        [sys.executable, "-m", "api"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STARTUP_S,
        check=False,
    )

    assert ended.returncode == 2
    assert [line.partition("=")[0] for line in ended.stderr.splitlines()] == [
        "CLOUDWATCH_METRICS_PERIOD",
        "MAX_ERROR_RATIO",
    ]
