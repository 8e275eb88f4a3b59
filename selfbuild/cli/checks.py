"""`selfbuild check`: telemetry, baseline. Exit 0 where all is well, 1 where something is missing."""

from collections.abc import Mapping
from typing import Any

import typer

from selfbuild.cli.client import NEGATIVE
from selfbuild.cli.durations import SinceOption, seconds, show_seconds
from selfbuild.cli.options import (
    ApplicationOption,
    KeyOption,
    OutputOption,
    ServerOption,
    TenantOption,
    exit_codes,
    reach,
)
from selfbuild.cli.output import Format, say, write
from selfbuild.cli.sandbox import show

app = typer.Typer(no_args_is_help=True, help="Checks with their remedies; exit 1 where one fails.")

MAX_GAPS = 5
"""Gaps of a component that are told beside a table; JSON and YAML have more."""


@app.command()
def telemetry(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    application: ApplicationOption = None,
    since: SinceOption = "24h",  # type: ignore[assignment]
) -> None:
    """Whether telemetry arrives, and completely; exit 1 with the remedies where it does not.

    Example: selfbuild check telemetry --since 24h
    """
    with exit_codes():
        found = reach(server, key).get(
            "/v1/telemetry/check", tenant_id=tenant, application=application, since_seconds=seconds(since)
        )
    rows = [
        {
            "application": f"{each['tenant_id']}/{each['application']}",
            "component": component["component"],
            "requests": component["requests"],
            "errors": component["errors"],
            "latency": component["latency"],
            "coverage": f"{component['coverage_percent']:.1f} %",
            "gaps": component["gap_count"],
            "age": show_seconds(component["age_seconds"]),
            "lag": show_seconds(each["lag_seconds"]),
            "source": each["source"],
        }
        for each in found["applications"]
        for component in each["components"]
    ]
    write(found, output, rows=rows)
    if output is Format.TABLE:
        for each in found["applications"]:
            _tell_application(each)
    _end(healthy=found["healthy"])


@app.command()
def baseline(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    application: ApplicationOption = None,
) -> None:
    """Whether each series has a past that a cycle started now could compare with; exit 1 where one has not.

    Example: selfbuild check baseline --application meetnotes
    """
    with exit_codes():
        found = reach(server, key).get("/v1/baseline/check", tenant_id=tenant, application=application)
    rows = [
        {
            "application": f"{each['tenant_id']}/{each['application']}",
            "component": series["component"],
            "measure": series["measure"],
            "metric": series["metric"],
            "ready": series["ready"],
            "days": round(series["history_days"], 2),
            "missing": f"{series['missing_percent']:.1f} %",
            "flat": series["flat"],
            "window": series["window_samples"],
            "comparable": series["comparable"],
        }
        for each in found["applications"]
        for series in each["series"]
    ]
    write(found, output, rows=rows)
    if output is Format.TABLE:
        for each in found["applications"]:
            _tell_problems(f"{each['tenant_id']}/{each['application']}", each)
            for series in each["series"]:
                place = f"{series['component']} {series['metric'] or series['measure']} ({series['measure']})"
                _tell_problems(place, series)
                for remark in series["remarks"]:
                    say(f"{place}: {remark}")
    _end(healthy=found["healthy"])


@app.command()
def sandbox(output: OutputOption = Format.TABLE) -> None:
    """Whether generated code is isolated on this machine; exit 1 with the remedies where something is missing.

    Example: selfbuild check sandbox
    """
    show(None, output)


def _tell_application(application: Mapping[str, Any]) -> None:
    place = f"{application['tenant_id']}/{application['application']}"
    _tell_problems(place, application)
    if application["collected_percent"] < 100:
        say(f"{place}: {application['collected_percent']:.1f} % of the time was collected")
    for note in application["notes"]:
        say(f"{place}: {note}")
    for component in application["components"]:
        _tell_problems(component["component"], component)
        longest = sorted(component["gaps"], key=lambda gap: -gap["periods"])[:MAX_GAPS]
        for gap in sorted(longest, key=lambda gap: str(gap["start"])):
            cause = gap["cause"].replace("_", " ")
            say(f"{component['component']}: gap {gap['start']} to {gap['end']}, {gap['periods']} periods, {cause}")


def _tell_problems(place: str, checked: Mapping[str, Any]) -> None:
    for each in checked["problems"]:
        say(f"{place}: {each['problem']}: {each['remedy']}")


def _end(*, healthy: bool) -> None:
    if not healthy:
        raise typer.Exit(NEGATIVE)
