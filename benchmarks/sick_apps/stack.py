"""One stack for all services: Temporal, a local AWS, worker and API; each service with a supervisor of its own."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from benchmarks.sick_apps.catalogue import SickApp, application_table, build_repository, build_tree
from selfbuild.embedded.children import Child, Children, answers, free_ports
from selfbuild.embedded.stack import Plan, Ports, Stack

WORKERS = 2
CANARY_WORKERS = 1
BASELINE_S = 35
"""Healthy traffic before the bug shows."""
WINDOW_S = 25
"""Traffic that shows it: what is analysed."""
PERIOD_S = 5
MONITORING_S = 45

TIMING = {
    "SELFBUILD_CLOUDWATCH_METRICS_PERIOD": str(PERIOD_S),
    "SELFBUILD_ANALYSIS_WINDOW_SECONDS": str(WINDOW_S),
    "SELFBUILD_BASELINE_WINDOW_SECONDS": str(BASELINE_S + WINDOW_S),
    "SELFBUILD_JUDGE_PERIOD_SECONDS": str(PERIOD_S),
    "SELFBUILD_MONITORING_CHECK_INTERVAL_SECONDS": str(PERIOD_S),
    "SELFBUILD_MONITORING_DURATION_SECONDS": str(MONITORING_S),
    # Some hundred requests cannot show an error ratio below 1 %, the limit in production.
    "SELFBUILD_MAX_ERROR_RATIO": "0.05",
    "SELFBUILD_ENABLE_AUTONOMOUS_IMPROVEMENTS": "true",
    "SELFBUILD_LLM_PROVIDER": "recipes",
    # Collections of thirty services at once would take the processor from the services.
    "SELFBUILD_ENABLE_CLOUDWATCH_STREAMING": "false",
}
"""Sixty seconds and an hour in production; the same code."""


@dataclass(frozen=True)
class AppPorts:
    """Loopback ports of one service."""

    application: int
    control: int
    upstream: int


@dataclass
class SickStack(Stack):
    """The stack of the demonstration with the collection's services in place of its example."""

    apps: Sequence[SickApp] = ()
    app_ports: Mapping[str, AppPorts] = field(init=False)
    shas: Mapping[str, str] = field(init=False)
    """First release of each service."""

    def __post_init__(self) -> None:
        numbers = iter(free_ports(3 * len(self.apps)))
        self.app_ports = {app.name: AppPorts(next(numbers), next(numbers), next(numbers)) for app in self.apps}
        super().__post_init__()

    def _start_example(self) -> None:
        port = self.plan.ports.aws
        aws = self.children.start("localaws", [sys.executable, "-m", "localaws", "--port", str(port)])
        tables = (
            application_table(
                app,
                repository=self.repository_of(app),
                control_port=self.app_ports[app.name].control,
                workers=WORKERS,
                canary_workers=CANARY_WORKERS,
            )
            for app in self.apps
        )
        (self.plan.state / "applications.toml").write_text("\n".join(tables))
        self.shas = {app.name: build_repository(app, self.repository_of(app)) for app in self.apps}
        self.children.wait_until(aws, lambda: answers(port), timeout_s=30)

    def repository_of(self, app: SickApp) -> Path:
        """The service's bare repository."""
        return self.plan.state / "repositories" / f"{app.name}.git"


@dataclass
class Serving:
    """One service that serves under load; a context manager that leaves no process behind."""

    stack: SickStack
    app: SickApp
    folder: Path = field(init=False)
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        folder = self.stack.plan.state / "apps" / self.app.name
        environment = {
            **self.stack.children.environment,
            **self.app.environment,
            "SERVICE_TENANT": self.app.name,
            "SERVICE_NAMESPACE": self.app.namespace,
            "SERVICE_LOG_GROUP": self.app.log_group,
            "UPSTREAM_URL": f"http://127.0.0.1:{self.ports.upstream}",
        }
        self.children = Children(folder / "logs", environment)
        self.folder = folder

    @property
    def ports(self) -> AppPorts:
        return self.stack.app_ports[self.app.name]

    @property
    def samples(self) -> Path:
        """What the load generator writes."""
        return self.folder / "samples.jsonl"

    def __enter__(self) -> "Serving":
        try:
            self._start()
        except BaseException:
            self.children.stop(grace_s=2)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.children.stop(grace_s=8)

    def _start(self) -> None:
        self.folder.mkdir(parents=True)
        sha = self.stack.shas[self.app.name]
        tree = self.stack.plan.state / "releases" / self.app.name / self.app.name / sha
        if not tree.exists():
            build_tree(self.app, tree)
        if self.app.upstream:
            command = [sys.executable, str(self.app.folder / "upstream.py"), str(self.ports.upstream)]
            child = self.children.start("upstream", command)
            self.children.wait_until(child, lambda: answers(self.ports.upstream), timeout_s=20)
        self._start_supervisor(sha, tree)

    def _start_supervisor(self, sha: str, tree: Path) -> None:
        names = [f"--env={name}={value}" for name, value in self.app.environment.items()]
        child = self.children.start(
            "supervisor",
            [
                *(sys.executable, "-m", "selfbuild.supervisor", "--state", str(self.folder / "supervisor")),
                *("--listen", f"127.0.0.1:{self.ports.application}", "--control", f"127.0.0.1:{self.ports.control}"),
                *("--app", f"{self.app.package}.app:app", "--sha", sha, "--tree", str(tree)),
                *("--workers", str(WORKERS), "--canary-workers", str(CANARY_WORKERS), *names),
            ],
        )
        self.children.wait_until(child, lambda: _healthy(f"{self.url}/healthz"), timeout_s=60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.application}"

    def start_load(self) -> Child:
        """Traffic from here on: healthy for `BASELINE_S`, then what shows the bug."""
        arguments = ["--url", self.url, "--output", str(self.samples), "--sick-after", str(BASELINE_S)]
        script = str(self.app.folder / "load.py")
        return self.children.start(
            "load", [sys.executable, "-m", "benchmarks.sick_apps.load", "--script", script, *arguments]
        )


def sick_stack(state: Path, key: str, apps: Sequence[SickApp], settings: Mapping[str, str]) -> SickStack:
    """The stack for these services on free ports; `settings` win over the compressed timing."""
    plan = Plan(state=state, ports=Ports(*free_ports(6)), settings={**TIMING, **settings})
    return SickStack(plan, key, apps=apps)


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
