"""`selfbuild gate`: one JSON object on stdout, promised exit codes, no server."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from selfbuild.cli.main import app

ROOT = Path(__file__).resolve().parents[3]
ANSWERS = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "answers"
CASES = sorted(path for path in ANSWERS.glob("*.json") if path.name != "request.json") if ANSWERS.is_dir() else []
ADD = "def add(a: int, b: int) -> int:\n    return a + b\n"


def run(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["gate", *map(str, arguments)], input=given, catch_exceptions=False)


def an_answer(search: str, replace: str, path: str = "calc.py") -> str:
    return json.dumps({"summary": "fix", "edits": [{"path": path, "search": search, "replace": replace}]})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One module with its test."""
    folder = tmp_path / "calc"
    (folder / "tests").mkdir(parents=True)
    (folder / "calc.py").write_text(ADD)
    (folder / "tests" / "test_calc.py").write_text(
        "from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n"
    )
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    return folder


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"shown_files": ["calc.py"], "target_symbols": {"calc.py": ["add"]}}))
    return file


def options(repository: Path, request_file: Path, *more: str) -> Sequence[str | Path]:
    return ("--repo", repository, "--request", request_file, "--answer", "-", *more)


def test_harmless_answer_is_accepted(repository: Path, request_file: Path) -> None:
    result = run(*options(repository, request_file, "--static-only"), given=an_answer("a + b", "b + a"))

    found = json.loads(result.stdout)
    assert (result.exit_code, found["accepted"], found["reason_class"]) == (0, True, None)
    assert {check["passed"] for check in found["checks"]} == {True}
    assert all(set(check) == {"name", "passed", "place", "remedy"} for check in found["checks"])
    assert (repository / "calc.py").read_text() == ADD


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("no JSON", "format"),
        ("\ufeff" + an_answer("a + b", "b + a"), "format"),
        (json.dumps({"summary": "x" * 70_000, "edits": []}), "size"),
        (an_answer("a", "b", "../x.py"), "path"),
        (an_answer("a", "b", "tests/test_calc.py"), "scope"),
        (an_answer("a + b", "a + b  # \u202e"), "unicode"),
        (an_answer("a - b", "b"), "apply"),
        (an_answer("a + b", "eval('a + b')"), "code"),
        (an_answer("a + b", "a + ("), "syntax"),
    ],
    ids=["format", "bom", "size", "path", "scope", "unicode", "apply", "code", "syntax"],
)
def test_refusal_names_its_class(repository: Path, request_file: Path, answer: str, reason: str) -> None:
    result = run(*options(repository, request_file), given=answer)

    found = json.loads(result.stdout)
    failed = [check for check in found["checks"] if check["passed"] is False]
    assert (result.exit_code, found["accepted"], found["reason_class"]) == (1, False, reason)
    assert failed[0]["name"] == reason
    assert failed[0]["remedy"]
    assert result.stdout.isascii()


def test_link_that_a_checkout_wrote_as_text_is_a_link(repository: Path, request_file: Path) -> None:
    (repository / "legacy.py").write_text("../outside/secret.py")
    (repository / "vendor").write_text("../outside")

    for path in ("legacy.py", "vendor/secret.py"):
        result = run(*options(repository, request_file), given=an_answer("a", "b", path))
        assert json.loads(result.stdout)["reason_class"] == "path"


@pytest.mark.parametrize("output", ["table", "yaml"])
def test_result_can_be_written_for_people(repository: Path, request_file: Path, output: str) -> None:
    result = run(*options(repository, request_file, "-o", output), given=an_answer("a", "b", "../\u202ex.py"))

    assert result.exit_code == 1
    assert "path" in result.stdout
    assert "\u202e" not in result.stdout


def test_wrong_input_ends_with_usage_and_says_what_is_wrong(repository: Path, request_file: Path) -> None:
    broken = request_file.with_name("broken.json")
    broken.write_text('{"shown_files": "calc.py"}')
    nothing = repository / "nothing"

    for arguments, word in (
        (("--repo", nothing, "--request", request_file, "--answer", request_file), "no such folder"),
        (("--repo", repository, "--request", broken, "--answer", request_file), "shown_files"),
        (("--repo", repository, "--request", nothing, "--answer", request_file), "No such file"),
        (("--repo", repository, "--request", request_file, "--answer", nothing), "No such file"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert word in result.stderr


@pytest.mark.slow
def test_repository_without_tests_is_not_accepted_and_says_so(repository: Path, request_file: Path) -> None:
    shutil.rmtree(repository / "tests")

    result = run(*options(repository, request_file), given=an_answer("a + b", "b + a"))

    checks: dict[str, dict[str, Any]] = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["tests"]["passed"] is None
    assert checks["tests"]["remedy"].startswith("skipped: ")


@pytest.mark.slow
@pytest.mark.skipif(not CASES, reason=f"no answers in {ANSWERS}: set SELFBUILD_SHARED_DATA")
@pytest.mark.parametrize("file", CASES, ids=lambda path: path.stem)
def test_example_answer_gets_the_expected_verdict(file: Path, tmp_path: Path) -> None:
    case = json.loads(file.read_text())
    answer = tmp_path / "answer.json"
    answer.write_text(case["answer"])

    result = run("--repo", ANSWERS / "sample_repo", "--request", ANSWERS / "request.json", "--answer", answer)

    found = json.loads(result.stdout)
    assert found["accepted"] is (case["expected"] == "accepted"), found
    assert (found["reason_class"] or "") == case["reason_class"], found
    assert result.exit_code == (0 if found["accepted"] else 1)
