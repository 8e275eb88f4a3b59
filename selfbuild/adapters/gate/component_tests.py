"""Runs a component's own tests in the sandbox: verdict with a tripwire, lines that they reach, time of each.

Lines are counted by the interpreter's trace hook, so that no further package is needed; what the compiler says can be
run counts, docstrings and comments do not. The figures come from beside untrusted code: they are read as data.
"""

import json
import secrets
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfbuild.adapters.gate.junit import JunitReport, read_junit
from selfbuild.adapters.gate.outcome import PASSED, Outcome, failed
from selfbuild.adapters.sandbox.staging import copy_tree, interpreter_paths
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult

LIMITS = SandboxLimits(wall_s=120, cpu_s=100, output_bytes=4 << 20)
_REPORT = "/tmp/selfbuild-report.xml"
_LINES = "/tmp/selfbuild-lines.json"
_SCRIPT = f'"$@" 1>&2; code=$?; printf "%s\\n" "$0"; cat {_REPORT}; printf "\\n%s\\n" "$0"; cat {_LINES}; exit $code'
"""Nothing but the two reports, each behind a word the tests do not know, reaches standard output."""
_PROGRAM = """
import importlib, json, os, sys, threading
import pytest
package, traced = sys.argv[1], sys.argv[2] == "traced"
root = os.path.join(os.getcwd(), package) + os.sep
sys.path[:0] = [os.getcwd()]
seen = {}
def watch(frame, event, _):
    name = frame.f_code.co_filename
    if not name.startswith(root):
        return None
    lines = seen.setdefault(name, set())
    lines.add(frame.f_lineno)
    def step(frame, event, _):
        lines.add(frame.f_lineno)
        return step
    return step
def possible(path):
    with open(path, encoding="utf-8") as file:
        pending, lines = [compile(file.read(), path, "exec", dont_inherit=True)], set()
    while pending:
        code = pending.pop()
        lines |= {line for _, _, line in code.co_lines() if line}
        pending += [each for each in code.co_consts if hasattr(each, "co_lines")]
    return lines
class Watch:
    # Tracing all of pytest would take six times as long, so only what it runs of the component is traced.
    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self):
        yield from self.traced()
    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self):
        yield from self.traced()
    def traced(self):
        sys.settrace(watch)
        yield
        sys.settrace(None)
if traced:
    threading.settrace(watch)
    sys.settrace(watch)
    for name in sorted(os.listdir(root)):
        if name.endswith(".py"):
            try:
                importlib.import_module(package if name == "__init__.py" else f"{package}.{name[:-3]}")
            except Exception as error:
                sys.stderr.write(f"{name}: {error!r}\\n")
    sys.settrace(None)
options = ["-q", "-p", "no:cacheprovider", "--maxfail=0", "-o", "junit_duration_report=call", "-o", "junit_logging=no"]
ended = pytest.main([*options, "--junitxml=REPORT", "tests"], plugins=[Watch()] if traced else [])
threading.settrace(None)
counts = {}
for folder, _, names in os.walk(root):
    for name in names:
        if name.endswith(".py"):
            path = os.path.join(folder, name)
            lines = possible(path)
            counts[os.path.relpath(path)] = [len(lines & seen.get(path, set())), len(lines)]
with open("LINES", "w") as file:
    json.dump(counts, file)
sys.stdout.flush()
sys.stderr.flush()
os._exit(int(ended))
""".replace("REPORT", _REPORT).replace("LINES", _LINES)


@dataclass(frozen=True)
class ComponentTests:
    """What came of a component's own tests."""

    outcome: Outcome
    passed_count: int = 0
    lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Path -> (lines reached, lines that can be)."""
    slowest_ms: float | None = None
    """The longest `test_capability_*`, without its setup."""

    @property
    def coverage(self) -> float | None:
        """Share of all lines of the package that were reached."""
        possible = sum(each[1] for each in self.lines.values())
        return sum(each[0] for each in self.lines.values()) / possible if possible else None

    def coverage_of(self, path: str) -> float | None:
        """Share of one file's lines; None for one that was not measured."""
        reached, possible = self.lines.get(path, (0, 0))
        return reached / possible if possible else None


async def run_tests(sandbox: Sandbox, tree: Path, *, package: str, python: str, traced: bool = True) -> ComponentTests:
    """Run the tests below `tests`.

    Args:
        sandbox: Where they run.
        tree: The component's folder.
        package: Whose lines are counted.
        python: The interpreter, which needs pytest.
        traced: False = no lines are counted, so that the times are not those of the counting.

    Raises:
        Unreachable: the sandbox did not start.
    """
    tripwire, marker = f"t{secrets.token_hex(8)}", secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-component-"))
    try:
        copy_tree(tree, folder / "tree", uid=None)
        text = f"def test_{tripwire}():\n    assert not {tripwire!r}\n"
        (folder / "tree" / "tests" / f"test_{tripwire}.py").write_text(text)
        command = [python, "-c", _PROGRAM, package, "traced" if traced else "plain"]
        result = await sandbox.run(
            ["/bin/sh", "-c", _SCRIPT, marker, *command],
            tree=folder / "tree",
            limits=LIMITS,
            readable=interpreter_paths(python),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _, report, lines = [*result.stdout.split(f"{marker}\n"), "", "", ""][:3]
    return _judge(result, report, lines, tripwire)


def _judge(result: SandboxResult, text: str, lines: str, tripwire: str) -> ComponentTests:
    report = read_junit(text) if result.limit is None else None
    if report is None:
        ending = f"ended by the limit of {result.limit}" if result.limit else f"exit code {result.exit_code}"
        tail = result.stderr.strip()[-1500:]
        return ComponentTests(failed(f"the tests gave no report ({ending})", findings=(tail,) if tail else ()))
    outcome = _outcome(report, result, tripwire)
    return ComponentTests(
        outcome, passed_count=sum(report.passed.values()), lines=_read_lines(lines), slowest_ms=_slowest_ms(text)
    )


def _outcome(report: JunitReport, result: SandboxResult, tripwire: str) -> Outcome:
    others = sorted(name for name in report.failed if tripwire not in name)
    if others:
        findings = tuple(f"{name}: {report.reasons.get(name, '')}" for name in others[:20])
        return failed(f"{len(others)} tests fail, first {findings[0]}", place=others[0], findings=findings)
    if sum(report.failed.values()) != 1 or result.exit_code != 1:
        return failed("the test that must fail did not fail: the result is forged")
    if not report.passed:
        return failed("no test passes", place="tests")
    return PASSED


def _read_lines(text: str) -> dict[str, tuple[int, int]]:
    try:
        found = json.loads(text)
        return {str(path): (int(reached), int(possible)) for path, (reached, possible) in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _slowest_ms(text: str) -> float | None:
    """The text was read as a report before, so that it holds no declarations."""
    times = []
    for case in ElementTree.fromstring(text).iter("testcase"):
        if (case.get("name") or "").startswith("test_capability_"):
            try:
                times.append(float(case.get("time") or 0) * 1000)
            except ValueError:
                continue
    return max(times, default=None)


def not_covered(tests: ComponentTests, paths: Sequence[str]) -> tuple[str, ...]:
    """`path 12 of 40 lines` of the files with lines that no test reaches, the worst first."""
    short = [(tests.lines[path], path) for path in paths if path in tests.lines]
    missed = sorted((each for each in short if each[0][0] < each[0][1]), key=lambda each: each[0][0] - each[0][1])
    return tuple(f"{path}: {reached} of {possible} lines are reached" for (reached, possible), path in missed[:10])
