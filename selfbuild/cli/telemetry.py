"""`selfbuild telemetry`: list, query."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from selfbuild.cli.durations import SinceOption, seconds
from selfbuild.cli.options import (
    ApplicationOption,
    ComponentOption,
    KeyOption,
    OutputOption,
    ServerOption,
    TenantOption,
    exit_codes,
    reach,
)
from selfbuild.cli.output import Format, say, write
from selfbuild.cli.sparklines import sparkline

app = typer.Typer(no_args_is_help=True, help="Telemetry that the store holds.")


@app.command("list")
def list_telemetry(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    application: ApplicationOption = None,
    component: ComponentOption = None,
) -> None:
    """List the series that the store holds, with their newest samples.

    Example: selfbuild telemetry list --component summary
    """
    with exit_codes():
        found = reach(server, key).get("/v1/telemetry", tenant_id=tenant, application=application, component=component)[
            "series"
        ]
    rows = [
        {
            "application": f"{each['tenant_id']}/{each['application']}",
            "component": each["component"],
            "measure": each["measure"],
            "metric": each["metric"],
            "unit": each["unit"],
            "period": f"{each['period_seconds']}s",
            "points": each["points"],
            "newest": each["newest_at"],
            "value": each["newest_value"],
            "source": each["source"],
        }
        for each in found
    ]
    write(found, output, rows=rows)


@app.command()
def query(
    metric: Annotated[str | None, typer.Option("--metric", help="The application's own name of it.")] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure",
            help="Whatever its name: requests, errors, latency_p50, latency_p95, latency_mean, utilization, "
            "cache_hit_ratio, calls, level.",
        ),
    ] = None,
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    application: ApplicationOption = None,
    component: ComponentOption = None,
    since: SinceOption = "24h",  # type: ignore[assignment]
    period: Annotated[
        int | None, typer.Option("--period", min=1, max=86400, help="Seconds; as stored without it.")
    ] = None,
) -> None:
    """Show the points of a metric or a measure; a period without a sample is a gap, never zero.

    Example: selfbuild telemetry query --metric ResponseLatency --component summary --since 6h --period 300
    """
    if metric is None and measure is None:
        raise typer.BadParameter("give one of them", param_hint="--metric or --measure")
    with exit_codes():
        found = reach(server, key).get(
            "/v1/telemetry/query",
            metric=metric,
            measure=measure,
            component=component,
            tenant_id=tenant,
            application=application,
            since_seconds=seconds(since),
            period_seconds=period,
        )
    if output is not Format.TABLE:
        write(found, output)
        return
    for number, series in enumerate(found["series"]):
        if number:
            print()
        _write_series(series, output)


def _write_series(series: Mapping[str, Any], output: Format) -> None:
    """A head, the shape, and the points as a table."""
    values = [point["value"] for point in series["points"]]
    known = [value for value in values if value is not None]
    print(
        f"{series['tenant_id']}/{series['application']} {series['component']} {series['measure']} "
        f"({series['metric'] or 'without a name'}, {series['unit']}), {series['period_seconds']} s, "
        f"{series['statistic']}, source: {series['source'] or 'unknown'}"
    )
    if not known:
        say("no sample in that time")
        return
    print(f"[{sparkline(values)}] {min(known):.4g} to {max(known):.4g}, {series['missing']} of {len(values)} missing")
    rows = [{"timestamp": point["timestamp"], "value": point["value"]} for point in series["points"]]
    write(series, output, rows=rows)
