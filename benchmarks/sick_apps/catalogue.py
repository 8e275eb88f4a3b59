"""The services: what each one's `sick.toml` says, its git repository, and its table of the applications file."""

import json
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
APPS = HERE / "apps"
HEALTHY = "healthy"
COMMITTED_AT = "2026-03-02T09:00:00+00:00"
DEFAULT_WAIT_S = 27.0
"""The analysed window and what telemetry takes to arrive."""
SYMPTOMS = ("errors", "latency", "growth", "none")
INSIGHTS = {
    "errors": ("error_pattern",),
    "latency": ("performance_degradation", "optimization_opportunity"),
    "growth": ("resource_exhaustion", "performance_degradation"),
    "none": (),
}
"""Insight types that name what is seeded, by how it shows."""
_FIELDS = {
    "kind",
    "package",
    "component",
    "symptom",
    "shows",
    "gauge",
    "environment",
    "recipes",
    "metrics",
    "upstream",
    "wait_s",
}
_KEPT = {".py", ".json"}
_PYPROJECT = """\
[project]
name = "{name}"
version = "1.0.0"
requires-python = ">=3.11"
dependencies = ["starlette", "uvicorn"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
addopts = "-p no:asyncio"
"""

Symptom = Literal["errors", "latency", "growth", "none"]


@dataclass(frozen=True)
class SickApp:
    """One service of the collection."""

    name: str
    folder: Path
    kind: str
    package: str
    """Importable name; `PACKAGE.app:app` is served and `PACKAGE/**` may be changed."""
    component: str
    """Where the bug shows; of a healthy one, the component with the most traffic."""
    symptom: Symptom
    shows: str
    """What telemetry should show, in a sentence."""
    gauge: str | None
    """Published level that a bug of growth drives up."""
    wait_s: float
    """How long the bug shows before the cycle is started."""
    upstream: bool
    """Whether `upstream.py` of the folder is to run beside it."""
    environment: Mapping[str, str]
    recipes: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]

    @property
    def healthy(self) -> bool:
        return self.kind == HEALTHY

    @property
    def namespace(self) -> str:
        return f"Sick/{self.name}"

    @property
    def log_group(self) -> str:
        return f"/sick/{self.name}"


def read_app(folder: Path) -> SickApp:
    """Read one service.

    Raises:
        ValueError: a field is missing, unknown or wrong; the text names the file and the field.
    """
    path = folder / "sick.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown, missing = set(table) - _FIELDS, {"kind", "package", "component", "symptom", "shows"} - set(table)
    if unknown or missing:
        raise ValueError(f"{path}: unknown fields {sorted(unknown)}, missing fields {sorted(missing)}")
    if table["symptom"] not in SYMPTOMS or (table["symptom"] == "none") != (table["kind"] == HEALTHY):
        raise ValueError(f"{path}: symptom {table['symptom']!r} does not fit kind {table['kind']!r}")
    if (table["symptom"] == "growth") != ("gauge" in table):
        raise ValueError(f"{path}: a bug of growth, and no other, names its gauge")
    return SickApp(
        name=folder.name.replace("_", "-"),
        folder=folder,
        kind=table["kind"],
        package=table["package"],
        component=table["component"],
        symptom=table["symptom"],
        shows=table["shows"],
        gauge=table.get("gauge"),
        wait_s=float(table.get("wait_s", DEFAULT_WAIT_S)),
        upstream=bool(table.get("upstream", False)),
        environment={name: str(value) for name, value in table.get("environment", {}).items()},
        recipes=table.get("recipes", {}),
        metrics=tuple(table.get("metrics", ())),
    )


def read_apps() -> tuple[SickApp, ...]:
    """All services, by name."""
    return tuple(read_app(path.parent) for path in sorted(APPS.glob("*/sick.toml")))


def repository_files(app: SickApp) -> dict[str, str]:
    """Text of every file of the service's repository: its package, its tests, the shell, and what describes it."""
    files = {"pyproject.toml": _PYPROJECT.format(name=app.name), "tests/__init__.py": ""}
    for root, folder in ((app.folder, app.package), (app.folder, "tests"), (HERE / "shell", ".")):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _KEPT and "__pycache__" not in path.parts:
                name = path.relative_to(root).as_posix()
                files[f"shell/{name}" if folder == "." else name] = path.read_text(encoding="utf-8")
    return files


def build_tree(app: SickApp, folder: Path) -> None:
    """Write the service's repository files into a folder."""
    for name, text in repository_files(app).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def build_repository(app: SickApp, bare: Path) -> str:
    """Make the service's bare repository with one commit on `main`; its sha."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _identity(app).items()},
    }

    def git(*arguments: str, cwd: Path) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    bare.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        build_tree(app, tree)
        git("init", "--quiet", "--initial-branch=main", cwd=tree)
        git("add", ".", cwd=tree)
        git("commit", "--quiet", "-m", f"{app.package}: first release", cwd=tree)
        git("clone", "--quiet", "--bare", str(tree), str(bare), cwd=bare.parent)
    return git("rev-parse", "main", cwd=bare)


def _identity(app: SickApp) -> dict[str, str]:
    return {"NAME": f"{app.package} developers", "EMAIL": f"dev@{app.name}.example", "DATE": COMMITTED_AT}


def application_table(app: SickApp, *, repository: Path, control_port: int, workers: int, canary_workers: int) -> str:
    """What the owner of the service writes into the applications file."""
    lines = [
        "[[application]]",
        f'tenant_id = "{app.name}"',
        f'name = "{app.name}"',
        'mode = "auto"',
        "[application.telemetry]",
        f'namespace = "{app.namespace}"',
        f'log_group = "{app.log_group}"',
    ]
    for metric in app.metrics:
        lines += ["[[application.telemetry.metrics]]", *(f"{name} = {_toml(value)}" for name, value in metric.items())]
    lines += [
        "[application.repository]",
        f'url = "{repository}"',
        f'allowed_paths = ["{app.package}/**"]',
        "[application.release]",
        f'control_url = "http://127.0.0.1:{control_port}"',
        f"workers = {workers}",
        f"canary_workers = {canary_workers}",
    ]
    if app.recipes:
        lines += ["[application.recipes]", *(f"{name} = {_toml(value)}" for name, value in app.recipes.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value)
