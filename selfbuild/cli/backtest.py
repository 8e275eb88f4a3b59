"""`selfbuild backtest`: the agent's judgement on recorded data, without a server. JSON lines on stdout.

Each command imports what it needs when it runs: starting must stay fast.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from selfbuild.cli.client import NOT_FOUND, OK, UNAVAILABLE, USAGE
from selfbuild.cli.durations import SinceOption
from selfbuild.cli.output import say

app = typer.Typer(
    no_args_is_help=True,
    help="Try the judgement on your own data: no server, no Temporal. JSON lines on stdout, remarks on stderr; "
    "exit 2 with the line's number where the input is wrong. `-` reads from stdin.",
)

STDIN = "-"
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The recorded data; - for stdin.")]


class Worse(StrEnum):
    """Which way of a metric is worse."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


@app.command()
def metrics(
    file: FileArgument,
    period: Annotated[
        int | None, typer.Option("--period", min=1, help="Seconds between two rows; else found in the file.")
    ] = None,
    direction: Annotated[Worse, typer.Option("--direction", help="Which way is worse.")] = Worse.BOTH,
    scores: Annotated[bool, typer.Option("--scores", help="A score for every row, not only the alerts.")] = False,
) -> None:
    """Alerts of the detector on a CSV file with the columns timestamp (ISO 8601, UTC) and value.

    Each line depends on earlier rows only.

    Example: selfbuild backtest metrics cpu.csv --period 300 --direction up
    """
    with _input_errors(), _lines(file) as lines:
        from selfbuild.analysis.backtest_metrics import BadRow, alert_rows, read_rows, score_rows
        from selfbuild.domain.errors import InvalidRequest
        from selfbuild.domain.telemetry import Direction

        rows = csv.reader(lines)
        try:
            read = read_rows(rows)
        except BadRow as error:
            raise InvalidRequest(str(error)) from error
        except csv.Error as error:
            raise InvalidRequest(f"line {rows.line_num}: no CSV: {error}") from error
        judged = score_rows if scores else alert_rows
        _print(judged(read, direction=Direction(direction.value), period_s=period))


@app.command()
def logs(file: FileArgument) -> None:
    """The group and the template of each log line; lines are text, or JSON objects with `message`.

    Example: selfbuild backtest logs app.log
    """
    with _input_errors(), _lines(file) as lines:
        from selfbuild.analysis.backtest_logs import backtest_logs

        _print(row._asdict() for row in backtest_logs(lines))


@app.command()
def tracebacks(file: FileArgument) -> None:
    """The fingerprint of each traceback; lines are JSON objects with `traceback`.

    Example: selfbuild backtest tracebacks tracebacks.jsonl
    """
    with _input_errors(), _lines(file) as lines:
        from selfbuild.analysis.backtest_tracebacks import backtest_tracebacks

        _print((row._asdict() for row in backtest_tracebacks(lines)), live=file == STDIN)


@app.command("judge")
def judge_file(
    file: FileArgument,
    share: Annotated[
        float | None, typer.Option("--share", min=0.001, max=0.999, help="Planned share of the canary's traffic, 0-1.")
    ] = None,
) -> None:
    """The verdict after each minute of a canary, from a CSV file; the last line is the final one.

    Columns: minute, arm (canary, baseline, history), requests, errors, slow, p50_ms, p95_ms. Slow are the requests
    above a threshold that was frozen before the deploy.

    Example: selfbuild backtest judge canary.csv --share 0.5
    """
    with _input_errors(), _lines(file) as lines:
        from selfbuild.backtest_judge import backtest_judge

        _print(backtest_judge(lines, share=share, remark=say))


@app.command()
def cycles(
    since: SinceOption = "30d",  # type: ignore[assignment]
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's applications.")] = None,
    application: Annotated[str | None, typer.Option("--application", help="Only this application.")] = None,
) -> None:
    """The cycles that the schedule would have started, with their opportunities, from the telemetry store.

    Reads the settings and the store of this machine; nothing is changed.

    Example: selfbuild backtest cycles --since 30d
    """
    from selfbuild.domain.errors import Misconfigured

    with _input_errors():
        try:
            _print(_cycles(since, tenant, application))
        except Misconfigured as error:
            say(str(error))
            raise typer.Exit(USAGE) from error


def _cycles(since: timedelta, tenant: str | None, application: str | None) -> Iterator[Mapping[str, Any]]:
    from selfbuild.backtest_cycles import backtest_cycles
    from selfbuild.settings import Settings
    from selfbuild.telemetry_setup import open_store

    settings = Settings.load()
    chosen = [
        each
        for each in settings.applications()
        if tenant in (None, each.tenant_id) and application in (None, each.name)
    ]
    if not chosen:
        say("no such application: name yours in APPLICATIONS_FILE, or leave out --tenant and --application")
        raise typer.Exit(NOT_FOUND)
    now = datetime.now(UTC)
    with open_store(settings) as store:
        for each in chosen:
            yield from backtest_cycles(
                store,
                each,
                policy=settings.policy(tenant_id=each.tenant_id),
                interval=timedelta(hours=settings.improvement_cycle_interval_hours),
                since=now - since,
                until=now,
            )


@contextmanager
def _lines(file: str) -> Iterator[Iterable[str]]:
    """The lines of a file or of stdin, read as they are asked for. Bytes that are no UTF-8 are replaced."""
    if file == STDIN:
        stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace", newline="\n")
        try:
            yield stream
        finally:
            stream.detach()
        return
    with ExitStack() as stack:
        try:
            lines = stack.enter_context(Path(file).open(encoding="utf-8-sig", errors="replace", newline="\n"))
        except OSError as error:
            say(f"{file}: {error.strerror}: name a file that can be read, or - for stdin")
            raise typer.Exit(USAGE) from error
        yield lines


def _print(rows: Iterable[Mapping[str, Any]], *, live: bool = False) -> None:
    """Each row as one line of JSON; at once where the input may come slowly."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        if live:
            sys.stdout.flush()
    sys.stdout.flush()


@contextmanager
def _input_errors() -> Iterator[None]:
    """Say on stderr what is wrong with the input; end quietly when nobody reads the output any more."""
    from selfbuild.domain.errors import InvalidRequest, TransientError

    try:
        yield
    except BrokenPipeError as error:
        # What is still buffered would be written at exit, and fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from error
    except InvalidRequest as error:
        sys.stdout.flush()
        say(str(error))
        raise typer.Exit(USAGE) from error
    except TransientError as error:
        say(str(error))
        raise typer.Exit(UNAVAILABLE) from error
