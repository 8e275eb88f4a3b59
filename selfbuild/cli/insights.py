"""`selfbuild insight`: list, show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from selfbuild.cli.client import UNAVAILABLE, USAGE, CallFailed, Server
from selfbuild.cli.durations import SinceOption, seconds
from selfbuild.cli.options import KeyOption, OutputOption, ServerOption, TenantOption, exit_codes, reach
from selfbuild.cli.output import Format, say, write
from selfbuild.cli.sparklines import sparkline, underline

app = typer.Typer(no_args_is_help=True, help="Insights: deviations shown by telemetry, with their evidence.")

InsightArgument = Annotated[str, typer.Argument(metavar="INSIGHT_ID", help="For example ins_5f0c1d2e3a4b5c6d.")]
PLOT_ENDINGS = (".svg", ".png")


@app.command("list")
def list_insights(
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    tenant: TenantOption = None,
    since: SinceOption = "24h",  # type: ignore[assignment]
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="performance_degradation, error_pattern, optimization_opportunity, resource_exhaustion or "
            "throughput_drop; may be given several times.",
        ),
    ] = None,
    severities: Annotated[
        list[str] | None, typer.Option("--severity", help="low, medium, high or critical; may be given several times.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Part of a metric's, number's or component's name.")
    ] = None,
) -> None:
    """List insights, newest window first.

    Example: selfbuild insight list --since 7d --type error_pattern --severity high --severity critical
    """
    with exit_codes():
        found = reach(server, key).get(
            "/v1/insights",
            tenant_id=tenant,
            since_seconds=seconds(since),
            insight_type=kinds or None,
            severity=severities or None,
            metric_name=metric,
        )["insights"]
    rows = [
        {
            "insight": each["insight_id"],
            "severity": each["severity"],
            "type": each["insight_type"],
            "component": each["affected_component"],
            "confidence": each["confidence_score"],
            "window_end": each["timestamp"],
            "description": each["description"],
        }
        for each in found
    ]
    write(found, output, rows=rows)


@app.command()
def show(
    insight_id: InsightArgument,
    server: ServerOption = None,
    key: KeyOption = None,
    output: OutputOption = Format.TABLE,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw its chart into FILE.svg or FILE.png.")
    ] = None,
) -> None:
    """Show an insight with all its evidence; `--plot` needs matplotlib, the extra `plots`.

    Example: selfbuild insight show ins_5f0c1d2e3a4b5c6d --plot insight.png
    """
    if plot is not None and plot.suffix.lower() not in PLOT_ENDINGS:
        raise typer.BadParameter(f"{plot}: the name must end in {' or '.join(PLOT_ENDINGS)}", param_hint="--plot")
    with exit_codes():
        reached = reach(server, key)
        path = f"/v1/insights/{quote(insight_id, safe='')}"
        found = reached.get(path)
        wanted = plot is not None or (output is Format.TABLE and found["chart"] is not None)
        chart = reached.get(f"{path}/chart") if plot is not None else _chart_if_any(reached, path) if wanted else None
    if output is Format.TABLE:
        _write_table(found, chart)
    else:
        write(found, output)
    if plot is not None and chart is not None:
        _draw(chart, plot)


def _chart_if_any(reached: Server, path: str) -> Any:
    """The chart; the rest of the insight is worth showing without it."""
    try:
        return reached.get(f"{path}/chart")
    except CallFailed as error:
        say(str(error))
        return None


def _write_table(insight: Mapping[str, Any], chart: Mapping[str, Any] | None) -> None:
    samples = insight["samples"]
    write({name: value for name, value in insight.items() if name not in ("samples", "chart")}, Format.TABLE)
    if samples:
        print(f"\nsamples ({insight['samples_note']}):")
        for sample in samples:
            print("".join(f"  > {line}\n" for line in sample.splitlines() or [""]).rstrip("\n"))
    if chart is not None:
        print(f"\n{chart['title']} ({chart['unit']})")
        _write_shape(chart)


def _write_shape(chart: Mapping[str, Any]) -> None:
    known = [value for value in chart["values"] if value is not None]
    if not known:
        say("the chart holds no sample")
        return
    marks = chart["marks"]
    window = (chart["window_start"], chart["window_end"])
    below = underline(chart["starts"], window=window, marks=[mark["at"] for mark in marks])
    levels = [f"{name} {chart[name]:.4g}" for name in ("baseline", "threshold") if chart[name] is not None]
    print(f"[{sparkline(chart['values'])}] {', '.join([f'{min(known):.4g} to {max(known):.4g}', *levels])}")
    print(f" {below}  - baseline, ^ window{', | ' if marks else ''}{', '.join(mark['label'] for mark in marks)}")


def _draw(chart: Any, plot: Path) -> None:
    from selfbuild.charts import save_chart
    from selfbuild.domain.errors import InvalidRequest, Misconfigured
    from selfbuild.domain.insights import Chart

    try:
        save_chart(Chart.model_validate(chart), plot)
    except (InvalidRequest, Misconfigured) as error:
        say(str(error))
        raise typer.Exit(UNAVAILABLE if isinstance(error, Misconfigured) else USAGE) from error
    say(f"wrote {plot}")
