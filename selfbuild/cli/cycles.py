"""`selfbuild cycle`: start, list, get, cancel, watch."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from selfbuild.cli.client import NEGATIVE, OK, CallFailed, Server
from selfbuild.cli.client import UNAVAILABLE as GONE
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

app = typer.Typer(no_args_is_help=True, help="Improvement cycles.")

CycleArgument = Annotated[str, typer.Argument(metavar="CYCLE_ID", help="For example cycle_20260301_120000_0198f000.")]
IntervalOption = Annotated[float, typer.Option("--interval", min=0.1, max=60, help="Seconds between two looks.")]
_RUNNING = ("queued", "in_progress")
_PATIENCE = 5
"""Looks in a row that may fail before watching ends: a restart of the server is no reason to give up."""


@app.command()
def start(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    application: Annotated[str | None, typer.Option("--application", help="One of the tenant's.")] = None,
    window: Annotated[
        int | None, typer.Option("--window", min=1, max=168, help="Hours of telemetry to analyse.")
    ] = None,
    max_improvements: Annotated[int | None, typer.Option("--max", min=1, max=10, help="Improvements at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Rank and report; change nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it to its end; exit 1 where it fails.")] = False,
) -> None:
    """Start a cycle.

    Example: selfbuild cycle start --tenant acme --window 168 --wait
    """
    reached = reach(server, key)
    body = {
        "tenant_id": tenant,
        "application": application,
        "analysis_window_hours": window,
        "max_improvements": max_improvements,
        "dry_run": dry_run,
    }
    with exit_codes():
        started = reached.post("/v1/cycles", {name: value for name, value in body.items() if value is not None})
        if wait:
            say(f"{started['cycle_id']} started")
            _finish(_follow(reached, started["cycle_id"], 1.0), output)
        write(started, output)


@app.command("list")
def list_cycles(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    limit: LimitOption = 20,
) -> None:
    """List cycles, newest first.

    Example: selfbuild cycle list --limit 5 -o json
    """
    with exit_codes():
        found = reach(server, key).get("/v1/cycles", tenant_id=tenant, limit=limit)["cycles"]
    rows = [
        {
            "cycle": each["cycle_id"],
            "tenant": each["tenant_id"],
            "application": each["application"],
            "status": each["status"],
            "phase": each["phase"],
            "outcome": each["outcome"],
            "improvements": len(each["improvements"]),
            "seconds": each["execution_time_seconds"],
        }
        for each in found
    ]
    write(found, output, rows=rows)


@app.command()
def get(
    cycle_id: CycleArgument, server: ServerOption = None, key: KeyOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Show where a cycle stands.

    Example: selfbuild cycle get cycle_20260301_120000_0198f000
    """
    with exit_codes():
        write(reach(server, key).get(f"/v1/cycles/{_quoted(cycle_id)}"), output)


@app.command()
def cancel(
    cycle_id: CycleArgument, server: ServerOption = None, key: KeyOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Cancel a cycle; what is deployed and not yet judged is rolled back first.

    Example: selfbuild cycle cancel cycle_20260301_120000_0198f000
    """
    with exit_codes():
        write(reach(server, key).post(f"/v1/cycles/{_quoted(cycle_id)}:cancel"), output)


@app.command()
def watch(
    cycle_id: CycleArgument,
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    interval: IntervalOption = 1.0,
) -> None:
    """Show each phase on stderr until the cycle ends; exit 1 where it fails or is cancelled.

    Example: selfbuild cycle watch cycle_20260301_120000_0198f000
    """
    with exit_codes():
        _finish(_follow(reach(server, key), cycle_id, interval), output)


def _follow(server: Server, cycle_id: str, interval_s: float) -> dict[str, Any]:
    """The cycle at its end; whatever changes meanwhile is said on stderr."""
    said = ""
    failures = 0
    while True:
        try:
            cycle: dict[str, Any] = server.get(f"/v1/cycles/{_quoted(cycle_id)}")
            active = server.get("/v1/improvements", cycle_id=cycle_id)["improvements"]
            failures = 0
        except CallFailed as error:
            failures += 1
            if error.exit_code != GONE or failures >= _PATIENCE:
                raise
            say(str(error))
        else:
            line = _progress(cycle, active)
            if line != said:
                say(line)
                said = line
            if cycle["status"] not in _RUNNING:
                return cycle
        time.sleep(interval_s)


def _progress(cycle: Mapping[str, Any], improvements: list[dict[str, Any]]) -> str:
    stages = [f"{each['improvement_id']}={each['status']}" for each in improvements]
    return "  ".join([cycle["status"], cycle["phase"], *sorted(stages)])


def _finish(cycle: dict[str, Any], output: Format) -> None:
    write(cycle, output)
    raise typer.Exit(OK if cycle["status"] == "completed" else NEGATIVE)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
