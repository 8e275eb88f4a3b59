"""The gate on the example application with what its telemetry reports, and what a missing tool means."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.target_app import history
from selfbuild.adapters.gate import GateRunner, static_checks
from selfbuild.adapters.gate import types_check as types_module
from selfbuild.adapters.gate.static_checks import lint, security
from selfbuild.adapters.gate.suite import ApplicationTests
from selfbuild.adapters.gate.types_check import TypeChecker
from selfbuild.adapters.gate.workspace import Workspace, workspace
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.patches import CheckName, CheckVerdict, Edit, GateReport, Patch
from selfbuild.ports import Sandbox
from tests.builders import an_application, an_insight

ACTIONS = "meetnotes/actions.py"
PLAIN_PYTHON = Path("/usr/bin/python3")


@pytest.fixture(scope="module")
def real() -> Sandbox:
    sandbox = find_sandbox()
    if isinstance(sandbox, NoSandbox):
        pytest.skip("no sandbox works on this machine")
    return sandbox


@pytest.fixture
def application_tree(tmp_path: Path) -> Path:
    tree = tmp_path / "meetnotes"
    shutil.copytree(history.SOURCE, tree, ignore=shutil.ignore_patterns(".ruff_cache", "__pycache__"))
    return tree


async def validate(real: Sandbox, tree: Path, replace: str, **insight: Any) -> GateReport:
    application = an_application()
    repository = application.repository.model_copy(update={"url": str(tree), "allowed_paths": ("meetnotes/**",)})
    text = (tree / ACTIONS).read_text()
    line = next(number for number, each in enumerate(text.splitlines(), 1) if 'item["owner"]' in each)
    runner = GateRunner(real)
    try:
        return await runner.validate(
            patch=Patch(summary="change", edits=(Edit(path=ACTIONS, search='item["owner"]', replace=replace),)),
            base_tree=tree,
            application=application.model_copy(update={"repository": repository}),
            shown_files=(ACTIONS,),
            target_symbols={ACTIONS: ("action_items",)},
            quality_threshold=0.85,
            insight=an_insight(
                **{"location": CodeLocation(path=ACTIONS, line=line, function="action_items"), **insight}
            ),
        )
    finally:
        runner.close()


def check(report: GateReport, name: CheckName) -> CheckVerdict | None:
    return next((each.verdict for each in report.checks if each.name == name), None)


async def test_reported_error_of_the_example_is_rebuilt_and_repaired(real: Sandbox, application_tree: Path) -> None:
    report = await validate(real, application_tree, 'item.get("owner", "unassigned")')

    assert report.accepted, report.message
    assert check(report, CheckName.REPRODUCER) is CheckVerdict.PASSED
    assert report.needs_approval == ()


async def test_patch_of_the_example_that_leaves_the_error_goes_back(real: Sandbox, application_tree: Path) -> None:
    report = await validate(real, application_tree, 'str(item["owner"])')

    assert (report.accepted, report.reason_class) == (False, "reproducer")
    assert report.message.startswith("Validation failed: reproducer: the reported error is not repaired")


async def test_error_that_cannot_be_rebuilt_needs_a_person(real: Sandbox, application_tree: Path) -> None:
    report = await validate(real, application_tree, 'item.get("owner", "unassigned")', error_type="MemoryError")

    assert report.accepted, report.message
    assert check(report, CheckName.REPRODUCER) is CheckVerdict.SKIPPED
    assert report.needs_approval[0].startswith("no reproducer could be built: ")


@contextmanager
def a_workspace(folder: Path) -> Iterator[Workspace]:
    (folder / "a.py").write_text("x = 1\n")
    with workspace(folder, {"a.py": "x = 1\n"}, {"a.py": "x = undefined\n"}) as made:
        yield made


async def test_missing_tools_are_skipped_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tools are installed where tests run: only their absence is made up.
    monkeypatch.setattr(static_checks, "find_program", lambda name: None)
    monkeypatch.setattr(static_checks, "tool_version", lambda package: None)
    monkeypatch.setattr(types_module, "tool_version", lambda package: None)
    types = TypeChecker()

    with a_workspace(tmp_path) as made:
        outcomes = {
            "ruff": await lint(made),
            "bandit": await security(made, {"a.py": "x = 2\n"}, {"a.py": "x = 1\n"}),
            "mypy": await types.check(tmp_path, "digest", {"a.py": "x = 2\n"}, python="python"),
        }
    types.close()

    for tool, outcome in outcomes.items():
        assert outcome.verdict is CheckVerdict.SKIPPED
        assert f"{tool} is not installed" in (outcome.remedy or "")


@pytest.mark.skipif(not PLAIN_PYTHON.exists(), reason="this machine has no interpreter without packages")
async def test_interpreter_without_pytest_is_skipped(real: Sandbox, application_tree: Path) -> None:
    outcome = await ApplicationTests(real).check(
        application_tree,
        application_tree,
        digest="d",
        command=("python", "-m", "pytest"),
        python=str(PLAIN_PYTHON),
    )

    assert outcome.verdict is CheckVerdict.SKIPPED, outcome
    assert "the base's tests gave no report" in (outcome.remedy or "")
