"""`selfbuild improvement`: list, get, rollback."""

from typing import Annotated
from urllib.parse import quote

import typer

from selfbuild.cli.options import (
    KeyOption,
    LimitOption,
    OutputOption,
    ServerOption,
    TenantOption,
    exit_codes,
    reach,
)
from selfbuild.cli.output import Format, write

app = typer.Typer(no_args_is_help=True, help="Improvements: one opportunity each, carried through.")

ImprovementArgument = Annotated[
    str, typer.Argument(metavar="IMPROVEMENT_ID", help="For example acme-meetnotes-0198f000-1.")
]


@app.command("list")
def list_improvements(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    cycle: Annotated[str | None, typer.Option("--cycle", help="Only those of this cycle.")] = None,
    limit: LimitOption = 20,
) -> None:
    """List improvements, newest first.

    Example: selfbuild improvement list --cycle cycle_20260301_120000_0198f000
    """
    with exit_codes():
        found = reach(server, key).get("/v1/improvements", tenant_id=tenant, cycle_id=cycle, limit=limit)
    rows = [
        {
            "improvement": each["improvement_id"],
            "status": each["status"],
            "verdict": each["verdict"],
            "impact": each["impact_score"],
            "components": ", ".join(each["affected_components"]),
            "title": each["title"],
        }
        for each in found["improvements"]
    ]
    write(found["improvements"], output, rows=rows)


@app.command()
def get(
    improvement_id: ImprovementArgument,
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show an improvement with its evidence, patch, checks and verdict.

    Example: selfbuild improvement get acme-meetnotes-0198f000-1 -o yaml
    """
    with exit_codes():
        write(reach(server, key).get(f"/v1/improvements/{quote(improvement_id, safe='')}"), output)


@app.command()
def rollback(
    improvement_id: ImprovementArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the revert commit.")],
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Take an improvement's release back and bar its patch.

    Example: selfbuild improvement rollback acme-meetnotes-0198f000-1 --reason "wrong totals in reports"
    """
    path = f"/v1/improvements/{quote(improvement_id, safe='')}:rollback"
    with exit_codes():
        write(reach(server, key).post(path, {"reason": reason}), output)
