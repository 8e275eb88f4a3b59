"""`selfbuild backtest`: JSON lines on stdout, remarks on stderr, promised exit codes; no server is there to call."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfbuild.cli.main import app
from selfbuild.domain.telemetry import Measure, Series, TelemetryBatch
from selfbuild.settings import Settings
from selfbuild.telemetry_setup import open_store
from tests.unit.cli.conftest import APPLICATIONS
from tests.unit.test_backtest_judge import a_file

TRACEBACK = "Traceback (most recent call last):\n  File \"/app/x.py\", line 3, in f\n    g()\nKeyError: 'a'\n"
HEAVY = ("temporalio", "boto3", "fastapi", "duckdb", "sqlalchemy", "httpx2", "pydantic_settings", "matplotlib")


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["backtest", *arguments], input=given, catch_exceptions=False)


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def metric_file(tmp_path: Path) -> Path:
    """Two weeks of a quiet metric, then six hours at ten times its level."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    lines = ["timestamp,value"]
    for n in range(14 * 288 + 72):
        value = 10 + n % 5 + (100 if n >= 14 * 288 else 0)
        lines.append(f"{(start + timedelta(seconds=300 * n)).isoformat()},{value}")
    file = tmp_path / "cpu.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_alert_stands_where_the_level_rose(metric_file: Path) -> None:
    result = run("metrics", str(metric_file), "--period", "300", "--direction", "up")

    found = rows(result)
    assert result.exit_code == 0
    assert {"timestamp", "value", "score", "severity", "baseline", "kind"} <= set(found[-1])
    assert str(found[-1]["timestamp"]).startswith("2026-03-15T0")
    assert run("metrics", str(metric_file), "--direction", "down").stdout == ""


def test_scores_has_one_row_a_sample(metric_file: Path) -> None:
    found = rows(run("metrics", str(metric_file), "--scores"))

    assert len(found) == 14 * 288 + 72
    assert set(found[0]) == {"timestamp", "value", "score"}


def test_scores_depend_on_earlier_rows_only(metric_file: Path) -> None:
    whole = rows(run("metrics", str(metric_file), "--scores", "--period", "300"))
    head = "\n".join(metric_file.read_text().splitlines()[: 1 + 14 * 288 + 10])

    part = rows(run("metrics", "-", "--scores", "--period", "300", given=head))

    assert part == whole[: len(part)]


def test_log_lines_of_one_kind_share_a_group() -> None:
    lines = "user 17 logged in\r\n" + json.dumps({"message": "user 9 logged in"}) + "\ndisk is full\n"

    found = rows(run("logs", "-", given=lines))

    assert [row["line"] for row in found] == [1, 2, 3]
    assert found[0]["group_id"] == found[1]["group_id"] != found[2]["group_id"]
    assert found[2]["template"] == "disk is full"


def test_traceback_has_its_fingerprint() -> None:
    found = rows(run("tracebacks", "-", given=json.dumps({"traceback": TRACEBACK}) + "\n"))

    assert set(found[0]) == {"line", "fingerprint", "exception", "frame"}
    assert (found[0]["line"], found[0]["exception"]) == (1, "KeyError")


def test_judge_has_one_row_a_minute_and_remarks_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "canary.csv"
    file.write_text("\ufeff" + "\n".join(a_file(canary_errors=0.05, share=0.2)))

    result = run("judge", str(file), "--share", "0.5")

    found = rows(result)
    assert result.exit_code == 0
    assert [set(row) for row in found] == [{"minute", "verdict", "reason", "numbers"}] * 60
    assert found[-1]["verdict"] == "FAIL"
    assert "planned were 50.0%" in result.stderr


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        pytest.param("metrics", "timestamp,value\n2026-03-01T00:00:00Z,x\n", "line 2: 'x' is no number", id="value"),
        pytest.param("metrics", "time;value\n", "line 1: the header", id="header"),
        pytest.param("tracebacks", f"{json.dumps({'traceback': TRACEBACK})}\nnope\n", "line 2 is not JSON", id="json"),
        pytest.param("judge", "minute,arm\n", "line 1: column 'requests' is missing", id="column"),
        pytest.param("judge", '1,"a\0', "line 1: ", id="no-csv"),
        pytest.param("judge", "\n".join(a_file(share=1.0, minutes=2)), "before and after", id="no-baseline"),
    ],
)
def test_wrong_input_is_named_by_its_line(command: str, given: str, said: str) -> None:
    result = run(command, "-", given=given)

    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("command", ["metrics", "logs", "tracebacks", "judge"])
def test_file_that_cannot_be_read_is_a_usage_error(command: str, tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path):
        result = run(command, str(file))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "name a file that can be read, or - for stdin" in result.stderr


def test_reader_that_leaves_early_hears_nothing(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text("".join(f"request {n} of user {n * 7} took {n} ms\n" for n in range(20_000)))

    command = [sys.executable, "-m", "selfbuild.cli.main", "backtest", "logs", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        code = process.wait(timeout=60)

    assert json.loads(first)["line"] == 1
    assert (code, said) == (0, b"")


@pytest.mark.parametrize("command", ["metrics", "logs", "tracebacks", "judge"])
def test_starting_loads_no_heavy_library(command: str) -> None:
    probe = (
        "import sys, typer\nfrom selfbuild.cli.main import app\n"
        f"try: app(['backtest', '{command}', '-'], standalone_mode=False)\n"
        "except (SystemExit, typer.Exit): pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )

    result = subprocess.run(
        [sys.executable, "-c", probe], input="", capture_output=True, text=True, timeout=60, check=True
    )

    assert result.stderr.splitlines()[-1] == "[]"


# cycles


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a machine with one application."""
    (tmp_path / "applications.toml").write_text(APPLICATIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("APPLICATIONS_FILE", str(tmp_path / "applications.toml"))
    return Settings.load()


def test_cycles_are_read_from_the_store_of_the_settings(settings: Settings) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    series = Series(
        component="summary",
        measure=Measure.REQUESTS,
        metric="Requests",
        unit="Count",
        start=(midnight - timedelta(days=1)).timestamp(),
        period_s=300,
        values=[60.0] * 288,
    )
    batch = TelemetryBatch(
        tenant_id="acme",
        application="meetnotes",
        start=midnight - timedelta(days=1),
        end=midnight,
        series=(series,),
    )
    with open_store(settings) as store:
        store.append(batch)

    result = run("cycles", "--since", "2d")

    found = rows(result)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [row["outcome"] for row in found] == ["no_telemetry", "no_opportunities"]
    assert [row["telemetry_events"] for row in found] == [0, 288]


def test_unknown_application_and_wrong_settings_are_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = run("cycles", "--application", "other")
    monkeypatch.setenv("TELEMETRY_STORE_URL", "ftp://nowhere")
    wrong = run("cycles")

    assert (unknown.exit_code, wrong.exit_code) == (4, 2)
    assert "APPLICATIONS_FILE" in unknown.stderr
    assert "TELEMETRY_STORE_URL" in wrong.stderr
    assert unknown.stdout + wrong.stdout == ""
