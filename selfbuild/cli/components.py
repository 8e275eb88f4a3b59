"""`selfbuild component`: generate, list, show."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from selfbuild.cli.client import NEGATIVE, CallFailed, Server
from selfbuild.cli.options import (
    KeyOption,
    LimitOption,
    OutputOption,
    ServerOption,
    TenantOption,
    exit_codes,
    reach,
)
from selfbuild.cli.output import Format, say, write

app = typer.Typer(
    no_args_is_help=True, help="Components: skills, agents, services and MCP tools made from requirements."
)
POLL_S = 2.0
_NOT_MADE = re.compile(r"\(component (cmp_[0-9a-z]+)\)$")

FileOption = Annotated[
    Path, typer.Option("--file", "-f", help="JSON or YAML: component_type, requirements, context; - reads stdin.")
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is no longer generating.")]


@app.command()
def generate(
    file: FileOption,
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    wait: WaitOption = True,
) -> None:
    """Make a component; exit 1 where it is declined, rejected or failed.

    Example: selfbuild component generate -f meeting-summary.yaml
    """
    order = _order(file)
    if tenant is not None:
        order["tenant_id"] = tenant
    with exit_codes():
        reached = reach(server, key)
        found = _asked(reached, order)
        while wait and found["status"] == "generating":
            say(f"{found['component_id']} is generating")
            time.sleep(POLL_S)
            # Reading is not counted against the calls of the hour.
            found = reached.get(f"/v1/components/{found['component_id']}")
            found.pop("files", None)
    _write(found, output)
    if found["status"] not in ("registered", "generating"):
        raise typer.Exit(NEGATIVE)


@app.command("list")
def list_components(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    name: Annotated[str | None, typer.Option("--name", help="Only components of this name.")] = None,
    limit: LimitOption = 20,
) -> None:
    """List components, newest first.

    Example: selfbuild component list --name meeting-summary
    """
    with exit_codes():
        found = reach(server, key).get("/v1/components", tenant_id=tenant, name=name, limit=limit)["components"]
    rows = [
        {
            "component": each["component_id"],
            "name": each["name"],
            "version": each["version"],
            "type": each["component_type"],
            "status": each["status"],
            "scaffold": each["scaffold"],
            "reason": each["reason"],
        }
        for each in found
    ]
    write(found, output, rows=rows)


@app.command()
def show(
    component_id: Annotated[str, typer.Argument(metavar="COMPONENT_ID", help="For example cmp_0198f000aabbccdd.")],
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a component with its checks and, as JSON or YAML, the contents of its files.

    Example: selfbuild component show cmp_0198f000aabbccdd -o yaml
    """
    with exit_codes():
        found = reach(server, key).get(f"/v1/components/{quote(component_id, safe='')}")
    _write(found, output)


def _asked(server: Server, order: dict[str, Any]) -> Any:
    """What became of the order; one that nobody could make is an error of the server with a report behind it."""
    try:
        return server.post("/v1/components", order)
    except CallFailed as error:
        made = _NOT_MADE.search(str(error))
        if made is None:
            raise
        return server.get(f"/v1/components/{made[1]}")


def _write(found: dict[str, Any], output: Format) -> None:
    """As a table only what a person decides by, with the next steps on stderr."""
    if output is not Format.TABLE:
        write(found, output)
        return
    names = ("component_id", "status", "name", "component_type", "reason", "scaffold", "missing", "attempts")
    shown = {name: found.get(name) for name in names}
    shown["validation"] = found.get("validation") or {}
    shown["files"] = [file["path"] for file in found.get("files_generated", ())]
    write(shown | {"registration": found.get("registration") or "-"}, output)
    for step in found.get("next_steps", ()):
        say(f"next: {step}")


def _order(file: Path) -> dict[str, Any]:
    import yaml

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        order = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{file}: {error}") from error
    if not isinstance(order, dict):
        raise typer.BadParameter(f"{file}: holds no object with component_type and requirements")
    return order
