"""`selfbuild sandbox`: a command under the gate's sandbox, its output, its exit code, and what ended it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfbuild.adapters.sandbox import NoSandbox, find_sandbox

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def _working_sandbox() -> None:
    if isinstance(find_sandbox(), NoSandbox):
        pytest.skip("no sandbox works on this machine")


def selfbuild(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "selfbuild.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=60)


def test_output_and_exit_code_are_passed_on_and_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello\n")
    script = "cat note.txt; echo changed > note.txt; echo aside >&2; exit 3"

    done = selfbuild("sandbox", "run", "--cwd", str(tmp_path), "--", "sh", "-c", script)

    assert (done.returncode, done.stdout) == (3, "hello\n")
    assert "aside" in done.stderr
    assert "enforced: network, files" in done.stderr
    assert (tmp_path / "note.txt").read_text() == "hello\n"


def test_limit_that_ended_the_command_is_named() -> None:
    done = selfbuild("sandbox", "run", "--no-probe", "--wall", "0.5", "--", "sleep", "20")

    assert done.returncode == 124
    assert "ended by the limit of wall" in done.stderr


def test_command_that_does_not_exist_never_ran() -> None:
    done = selfbuild("sandbox", "run", "--no-probe", "--", "/no/such/program")

    assert done.returncode == 7
    assert "no such command: /no/such/program" in done.stderr


def test_missing_folder_is_wrong_usage() -> None:
    done = selfbuild("sandbox", "run", "--cwd", "/no/such/folder", "--", "true")

    assert done.returncode == 2
    assert "/no/such/folder" in done.stderr


@pytest.mark.parametrize("command", [["sandbox", "probe", "-o", "json"], ["check", "sandbox", "-o", "json"]])
def test_probe_tells_what_is_enforced(command: list[str]) -> None:
    done = selfbuild(*command)

    assert '"enforced": [' in done.stdout
    assert done.returncode == (0 if '"safe": true' in done.stdout else 1)
