"""`selfbuild`: the command line over the server's REST interface. Results on stdout, everything else on stderr."""

import typer

from selfbuild.cli import backtest, checks, components, cycles, gate, improvements, insights, sandbox, telemetry
from selfbuild.cli.client import NEGATIVE
from selfbuild.cli.options import KeyOption, OutputOption, ServerOption, exit_codes, reach
from selfbuild.cli.output import Format, write

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The Self-Building Agent. Exit codes: 0 ok, 1 negative result, 2 usage, 3 auth, 4 not found, 5 conflict, "
    "6 rate limited, 7 unavailable, 130 interrupted.",
)
app.add_typer(cycles.app, name="cycle")
app.add_typer(improvements.app, name="improvement")
app.add_typer(insights.app, name="insight")
app.add_typer(components.app, name="component")
app.add_typer(telemetry.app, name="telemetry")
app.add_typer(checks.app, name="check")
app.add_typer(backtest.app, name="backtest")
app.add_typer(sandbox.app, name="sandbox")
app.command("gate")(gate.gate)


@app.command()
def status(server: ServerOption = None, key: KeyOption = None, output: OutputOption = Format.TABLE) -> None:
    """Show the state of the whole agent; exit 1 unless it is healthy.

    Example: selfbuild status -o json
    """
    with exit_codes():
        found = reach(server, key).get("/v1/status")
    write(found, output)
    if found["system_health"] != "healthy":
        raise typer.Exit(NEGATIVE)


def main() -> None:
    """The entry point of the command `selfbuild`."""
    app()


if __name__ == "__main__":
    main()
