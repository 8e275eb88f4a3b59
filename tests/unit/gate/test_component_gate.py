"""The gate for components with the real tools and, where this machine has one, the real sandbox."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from selfbuild.adapters.gate.component_tests import run_tests
from selfbuild.adapters.gate.components import ComponentGateRunner, lines_of_code
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.domain.components import ComponentFile, ComponentGateReport, ComponentRequest, ComponentType
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.patches import CheckVerdict
from selfbuild.ports import Sandbox, SandboxResult
from selfbuild.recipes.scaffolds import project_file, scaffold
from tests.fakes.components import a_component_request, some_requirements
from tests.fakes.sandbox import Asked, FakeSandbox, ended

PACKAGE = "meeting_summary"
WRITTEN = {
    f"{PACKAGE}/__init__.py": '"""Counts words."""\n\nfrom meeting_summary.words import count\n\n__all__ = ["count"]\n',
    f"{PACKAGE}/words.py": '''"""Counts words."""


def count(text: str) -> int:
    """How many words there are."""
    if not text:
        return 0
    return len(text.split())
''',
    "tests/test_words.py": """from meeting_summary import count


def test_capability_count() -> None:
    assert count("a b") == 2


def test_nothing_has_no_words() -> None:
    assert count("") == 0
""",
    "README.md": "# Counts words\n",
}


@pytest.fixture(scope="module")
def real() -> Sandbox:
    sandbox = find_sandbox()
    if isinstance(sandbox, NoSandbox):
        pytest.skip("no sandbox works on this machine")
    return sandbox


@pytest.fixture(scope="module")
def gate(real: Sandbox) -> Iterator[ComponentGateRunner]:
    """One for all, so that mypy reads the standard library once."""
    runner = ComponentGateRunner(real)
    yield runner
    runner.close()


def request_for(**quality: Any) -> ComponentRequest:
    return a_component_request(
        requirements=some_requirements(capabilities=("count",), quality_requirements=quality or {"test_coverage": 1})
    )


def files(request: ComponentRequest, changes: Mapping[str, str]) -> list[ComponentFile]:
    texts = WRITTEN | {"pyproject.toml": project_file(request)} | dict(changes)
    return [ComponentFile(path=path, content=text) for path, text in texts.items()]


def a_tree(folder: Path, changes: Mapping[str, str]) -> Path:
    for file in files(request_for(), changes):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_text(file.content)
    return folder


async def validate(
    gate: ComponentGateRunner, changes: Mapping[str, str] | None = None, **quality: Any
) -> ComponentGateReport:
    request = request_for(**quality)
    return await gate.validate(request, files(request, changes or {}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ComponentType)
async def test_scaffold_passes_with_every_line_reached(gate: ComponentGateRunner, kind: ComponentType) -> None:
    wanted = some_requirements(quality_requirements={"test_coverage": 1, "max_complexity": 5})
    request = a_component_request(component_type=kind, requirements=wanted)

    report = await gate.validate(request, scaffold(request).files)

    assert report.message == ""
    assert report.accepted
    validation = report.validation
    assert (validation.test_coverage, validation.tests_passed, validation.type_check_passed) == (1, True, True)
    assert validation.imports_resolved
    assert validation.security_scan_passed
    assert validation.tests_count > 7
    measured = {file.path: file for file in report.files}
    assert measured[f"{PACKAGE}/capabilities.py"].test_coverage == 1
    assert (measured[f"{PACKAGE}/capabilities.py"].complexity_score or 0) >= 3
    assert measured["README.md"].test_coverage is None


@pytest.mark.slow
async def test_written_component_is_measured(gate: ComponentGateRunner) -> None:
    report = await validate(gate, test_coverage=1, max_complexity=2, performance_target_ms=60_000)

    assert report.accepted, report.message
    assert (report.validation.max_complexity, report.validation.tests_count) == (2, 2)
    assert report.validation.slowest_capability_ms is not None


@pytest.mark.slow
async def test_everything_that_reading_finds_is_told_at_once(gate: ComponentGateRunner) -> None:
    text = WRITTEN[f"{PACKAGE}/words.py"].replace("return 0", "return '0'") + "\n\nSECRET_TOKEN = 'hunter2hunter2'\n"

    report = await validate(gate, {f"{PACKAGE}/words.py": text}, max_complexity=1)

    assert not report.accepted
    failed = {check.name for check in report.checks if check.verdict == "failed"}
    assert {"types", "security", "complexity"} <= failed
    assert "count` has complexity 2, more than 1" in report.message
    assert "Incompatible return value type" in report.message
    assert not report.validation.tests_passed
    assert not report.final


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "reason", "said"),
    [
        pytest.param("== 2", "== 3", "tests", "test_capability_count", id="failing-test"),
        pytest.param('assert count("") == 0', "pass", "coverage", "words.py: 4 of 5 lines", id="uncovered-line"),
    ],
)
async def test_weak_or_failing_tests_are_refused(
    gate: ComponentGateRunner, old: str, new: str, reason: str, said: str
) -> None:
    text = WRITTEN["tests/test_words.py"].replace(old, new)

    report = await validate(gate, {"tests/test_words.py": text})

    assert (report.accepted, report.reason_class) == (False, reason)
    assert said in report.message


@pytest.mark.slow
async def test_slow_capability_misses_its_target(gate: ComponentGateRunner) -> None:
    busy = "    total = sum(number * number for number in range(300_000))\n    assert total\n"
    text = WRITTEN["tests/test_words.py"].replace("def test_capability_count() -> None:\n", "\\0" + busy)
    text = text.replace("\\0", "def test_capability_count() -> None:\n")

    report = await validate(gate, {"tests/test_words.py": text}, performance_target_ms=1)

    assert (report.accepted, report.reason_class) == (False, "performance")
    assert "more than the 1 ms asked for" in report.message


async def test_lines_that_the_tests_reach_are_counted(real: Sandbox, tmp_path: Path) -> None:
    text = WRITTEN["tests/test_words.py"].replace('assert count("") == 0', "pass")

    tests = await run_tests(
        real, a_tree(tmp_path, {"tests/test_words.py": text}), package=PACKAGE, python=sys.executable
    )

    assert tests.outcome.verdict is CheckVerdict.PASSED
    assert tests.passed_count == 2
    assert tests.lines == {f"{PACKAGE}/__init__.py": (3, 3), f"{PACKAGE}/words.py": (4, 5)}
    assert tests.coverage == 7 / 8
    assert tests.slowest_ms is not None


async def test_result_without_the_tripwire_is_forged(tmp_path: Path) -> None:
    report = '<testsuite><testcase name="test_capability_count" classname="t" time="0"/></testsuite>'

    def forge(asked: Asked) -> SandboxResult:
        marker = asked.command[3]
        return ended(0, f"{marker}\n{report}\n{marker}\n" + '{"meeting_summary/words.py": [4, 4]}')

    tests = await run_tests(FakeSandbox(forge), a_tree(tmp_path, {}), package=PACKAGE, python=sys.executable)

    assert tests.outcome.verdict is CheckVerdict.FAILED
    assert "forged" in (tests.outcome.remedy or "")


@pytest.mark.parametrize("stdout", ["", "no marker", "<xml>"])
async def test_run_without_a_report_fails(stdout: str, tmp_path: Path) -> None:
    sandbox = FakeSandbox(lambda _: ended(None, stdout, stderr="killed", limit="memory"))

    tests = await run_tests(sandbox, a_tree(tmp_path, {}), package=PACKAGE, python=sys.executable)

    assert tests.outcome.remedy == "the tests gave no report (ended by the limit of memory)"
    assert tests.coverage is None


async def test_risky_files_never_reach_the_sandbox() -> None:
    sandbox = FakeSandbox()
    runner = ComponentGateRunner(sandbox)
    report = await validate(runner, {f"{PACKAGE}/words.py": "import os\n"})
    runner.close()

    assert (report.final, report.reason_class, sandbox.asked) == (True, "code", [])
    assert report.validation.syntax_valid
    assert [file.path for file in report.files] == sorted([*WRITTEN, "pyproject.toml"])


async def test_sandbox_that_does_not_start_is_no_verdict() -> None:
    runner = ComponentGateRunner(FakeSandbox(error=Unreachable("no namespaces")))
    with pytest.raises(Unreachable):
        await validate(runner)
    runner.close()


async def test_without_a_sandbox_nothing_is_accepted() -> None:
    runner = ComponentGateRunner(NoSandbox("none"), python=sys.executable)
    report = await validate(runner)
    runner.close()

    assert not report.accepted
    assert "Validation incomplete: imports" in report.message


def test_comments_and_blanks_are_no_code() -> None:
    assert lines_of_code("# a\n\nx = 1  # b\n    # c\ny = 2\n") == 2
