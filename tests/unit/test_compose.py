"""docker-compose.yml is valid by the Compose specification's own schema, and holds no secret."""

import subprocess
import sys
from pathlib import Path

import yaml

from selfbuild.applications_file import read_applications

ROOT = Path(__file__).parents[2]


def test_compose_file_is_valid_by_the_specification() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]

    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


def test_compose_publishes_on_loopback_only_and_has_no_default_secret() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    ports = [port for service in services.values() for port in service.get("ports", [])]
    secrets = [
        value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if name.endswith(("PASSWORD", "PWD", "API_KEY"))
    ]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    optional = {"${ANTHROPIC_API_KEY:-}", "${OPENAI_API_KEY:-}"}
    assert optional < set(secrets)
    assert all(value.endswith("in .env}") or value in optional for value in secrets)


def test_applications_of_the_compose_file_are_valid() -> None:
    applications = read_applications(ROOT / "infra" / "compose-applications.toml")

    assert [each.key for each in applications] == ["meetmind/meetnotes"]
