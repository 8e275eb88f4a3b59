"""The embedded stack on free ports, with windows of seconds, and what must hold when a cycle has ended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from selfbuild.embedded.children import Child, free_ports
from selfbuild.embedded.demo import BAD_PATCH
from selfbuild.embedded.stack import APPLICATION, TENANT, Plan, Ports, Stack, new_api_key

FAST = {
    "SELFBUILD_CLOUDWATCH_METRICS_PERIOD": "5",
    "SELFBUILD_ANALYSIS_WINDOW_SECONDS": "20",
    "SELFBUILD_BASELINE_WINDOW_SECONDS": "10",
    "SELFBUILD_JUDGE_PERIOD_SECONDS": "5",
    "SELFBUILD_MONITORING_CHECK_INTERVAL_SECONDS": "5",
    "SELFBUILD_MONITORING_DURATION_SECONDS": "30",
    "SELFBUILD_MAX_ERROR_RATIO": "0.1",
    # What a busy machine leaves undecided is looked at for longer.
    "SELFBUILD_MAX_WINDOW_EXTENSIONS": "4",
    "SELFBUILD_MAX_IMPROVEMENTS": "1",
    "SELFBUILD_ENABLE_AUTONOMOUS_IMPROVEMENTS": "true",
}
ERRORS_ONLY = ("--rate", "30", "--growth-after", "100000", "--errors-after", "0", "--tenants", TENANT)
BOUND_S = 300
StackFactory = Callable[..., AbstractContextManager["Run"]]


class Run:
    """A running stack and one cycle on it."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.stack = stack
        self.client = httpx2.Client(base_url=stack.api_url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def start_cycle(self) -> str:
        """Wait for enough traffic, then start."""
        self.until(lambda: self.served() > 600)
        answer = self.client.post("/v1/cycles", json={"tenant_id": TENANT, "application": APPLICATION})
        assert answer.status_code == 202, answer.text
        cycle_id: str = answer.json()["cycle_id"]
        return cycle_id

    def ended(self, cycle_id: str) -> dict[str, Any]:
        """The cycle once it has ended, with its improvements in full; an API that is down meanwhile is asked again."""
        last: dict[str, Any] = {}

        def over() -> bool:
            try:
                answer = self.client.get(f"/v1/cycles/{cycle_id}")
            except httpx2.HTTPError:
                return False
            if answer.status_code == 200:
                last.update(answer.json())
            return last.get("finished_at") is not None

        self.until(over)
        last["improvements"] = [
            self.client.get(f"/v1/improvements/{each['improvement_id']}").json() for each in last["improvements"]
        ]
        return last

    def kill(self, name: str) -> None:
        """SIGKILL, which no process can prepare for."""
        child = self.stack.child(name)
        child.process.kill()
        child.process.wait()
        self.stack.children.started.remove(child)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, at most BOUND_S."""
        deadline = time.monotonic() + BOUND_S
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def served(self) -> int:
        """Requests that the load generator has finished."""
        return int(self.load().get("sent", 0))

    def load(self) -> dict[str, Any]:
        """The load generator's statistics."""
        path = self.stack.plan.state / "load.json"
        loaded: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return loaded

    def target(self) -> dict[str, Any]:
        """What the supervisor runs."""
        status: dict[str, Any] = httpx2.get(f"http://127.0.0.1:{self.stack.plan.ports.control}/status").json()
        return status

    def trailers(self, key: str) -> list[str]:
        """Values of a trailer over the application's branch, newest first."""
        command = ["git", "-C", str(self.stack.repository), "log", f"--format=%(trailers:key={key},valueonly)", "main"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [line for line in out.splitlines() if line]

    def logs(self) -> str:
        """The end of each process's log."""
        return "\n".join(f"--- {child.name}\n{child.tail()}" for child in self.stack.children.started)


@pytest.fixture
def run_stack(tmp_path: Path) -> Iterator[StackFactory]:
    """Starts stacks; when the test is over, no process of theirs may be left."""
    key = new_api_key()

    @contextmanager
    def start(
        *,
        hold: str = "",
        bad_patch: bool = False,
        ports: Ports | None = None,
        state: Path | None = None,
        settings: Mapping[str, str] = {},
    ) -> Iterator[Run]:
        settings = {**FAST, "HOLD_STEPS": hold, "HOLD_FOLDER": str(tmp_path), **settings}
        if bad_patch:
            settings |= BAD_PATCH
        plan = Plan(
            state=state or tmp_path / "state",
            ports=ports or Ports(*free_ports(6)),
            settings=settings,
            load=ERRORS_ONLY,
            worker_command=(sys.executable, str(Path(__file__).parent / "held_worker.py")),
        )
        with Stack(plan, key) as stack:
            run = Run(stack, key)
            try:
                yield run
            finally:
                run.client.close()

    yield start
    assert not processes_naming(str(tmp_path))


def processes_naming(text: str) -> list[str]:
    """Command lines of running processes, other than ours, that name `text`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in command and state != "Z":
            found.append(command)
    return found


__all__ = ["Child", "Run", "StackFactory"]
