"""The gate for components: the same tools as for patches, on files that are all new, and the request's own targets."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from selfbuild.adapters.gate.component_tests import ComponentTests, not_covered, run_tests
from selfbuild.adapters.gate.component_types import ComponentTypes
from selfbuild.adapters.gate.imports_check import imports
from selfbuild.adapters.gate.outcome import PASSED, Outcome, failed, skipped
from selfbuild.adapters.gate.static_checks import lint, security
from selfbuild.adapters.gate.tools import ask, find_program, tool_version
from selfbuild.adapters.gate.workspace import Workspace, workspace
from selfbuild.domain.components import (
    ComponentFile,
    ComponentGateReport,
    ComponentRequest,
    ComponentValidation,
    GeneratedFile,
)
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.patches import CheckResult, CheckVerdict
from selfbuild.gate.components import Refusal, check_files
from selfbuild.ports import Sandbox

_log = structlog.get_logger()
_COMPLEXITY = re.compile(r"\((\d+) > 0\)")
_REQUIRED = frozenset({"syntax", "imports", "types", "security", "tests", "complexity", "coverage"})
"""Where one of these could not be checked, nothing is accepted."""


@dataclass
class _Case:
    request: ComponentRequest
    files: dict[str, str]
    work: Workspace
    complexity: dict[str, int] = field(default_factory=dict)
    tests: ComponentTests | None = None
    checks: list[CheckResult] = field(default_factory=list)


class ComponentGateRunner:
    """Implements `component_ports.ComponentGate`. `close` removes what it kept between two components."""

    def __init__(self, sandbox: Sandbox, *, python: str = sys.executable) -> None:
        self._sandbox = sandbox
        self._python = python
        self._types = ComponentTypes()

    def close(self) -> None:
        """Remove the types' cache."""
        self._types.close()

    async def validate(self, request: ComponentRequest, files: Sequence[ComponentFile]) -> ComponentGateReport:
        """Say whether the files may be registered.

        Raises:
            Unreachable: the sandbox did not start; try again.
        """
        started = time.perf_counter()
        refusal = check_files(request, files)
        texts = {file.path: file.content for file in files}
        if refusal is not None:
            report = _refused(refusal, texts, (time.perf_counter() - started) * 1000)
        else:
            with (
                TemporaryDirectory(prefix="selfbuild-empty-") as nothing,
                workspace(Path(nothing), dict.fromkeys(texts, ""), texts) as work,
            ):
                report = await self._validate(_Case(request, texts, work))
        _log.info("component.validated", accepted=report.accepted, reason=report.reason_class)
        return report

    async def _validate(self, case: _Case) -> ComponentGateReport:
        for name in ("path", "size", "unicode", "shape", "syntax", "code"):
            case.checks.append(_result(name, "guard", PASSED, 0.0))
        old = dict.fromkeys(case.files, "")
        planned: tuple[tuple[str, str, Callable[[], Awaitable[Outcome]]], ...] = (
            ("imports", "sandbox", lambda: self._import(case)),
            ("lint", _tool("ruff"), lambda: lint(case.work)),
            ("types", _tool("mypy"), lambda: self._type(case)),
            ("security", _tool("bandit"), lambda: security(case.work, _python_only(case.files), old)),
            ("complexity", _tool("ruff"), lambda: _complexity(case)),
        )
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_measured(*each)) for each in planned]
        except BaseExceptionGroup as failures:
            # Callers tell errors apart by class: the first one is what ended the others.
            raise failures.exceptions[0] from failures
        case.checks += [task.result() for task in running]
        if not any(each.verdict is CheckVerdict.FAILED for each in case.checks):
            case.checks.append(await _measured("tests", _tool("pytest"), lambda: self._test(case)))
            if case.tests is not None and case.tests.outcome.verdict is CheckVerdict.PASSED:
                case.checks.append(_result("coverage", "trace", _coverage(case, case.tests), 0.0))
                case.checks.append(await _measured("performance", _tool("pytest"), lambda: self._time(case)))
        return _report(case)

    async def _import(self, case: _Case) -> Outcome:
        try:
            return await imports(
                self._sandbox,
                base_tree=case.work.base_files,
                patched_tree=case.work.patched_tree,
                changed=case.work.changed,
                python=self._python,
            )
        except Misconfigured as error:
            return skipped(str(error))

    async def _type(self, case: _Case) -> Outcome:
        paths = sorted(_python_only(case.files))
        return await self._types.check(case.work.patched_tree, paths, python=self._python)

    async def _test(self, case: _Case) -> Outcome:
        try:
            case.tests = await self._run(case, traced=True)
        except Misconfigured as error:
            return skipped(str(error))
        return case.tests.outcome

    async def _time(self, case: _Case) -> Outcome:
        """Against the target where there is one; a run that was slowed by the counting of lines is made again."""
        target, tests = case.request.requirements.quality_requirements.performance_target_ms, case.tests
        if target is None or tests is None or tests.slowest_ms is None:
            return PASSED
        if tests.slowest_ms > target:
            again = await self._run(case, traced=False)
            if again.slowest_ms is not None and again.slowest_ms < tests.slowest_ms:
                case.tests = tests = replace(tests, slowest_ms=again.slowest_ms)
        slowest = tests.slowest_ms or 0.0
        if slowest <= target:
            return PASSED
        return failed(f"the slowest test of a capability takes {slowest:.1f} ms, more than the {target:g} ms asked for")

    async def _run(self, case: _Case, *, traced: bool) -> ComponentTests:
        tree, package = case.work.patched_tree, case.request.package
        return await run_tests(self._sandbox, tree, package=package, python=self._python, traced=traced)


async def _complexity(case: _Case) -> Outcome:
    """ruff's C901 with a limit of zero names the complexity of every function."""
    program = find_program("ruff")
    if program is None:
        return skipped("ruff is not installed: run 'pip install ruff'")
    command = [program, "check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--select", "C901"]
    command += ["--config", "lint.mccabe.max-complexity=0", "--output-format", "json", str(case.work.patched_files)]
    answer = await ask(command, folder=case.work.folder)
    try:
        entries = json.loads(answer.stdout)
    except ValueError:
        return skipped(f"ruff gave no answer: {answer.stderr[-300:]}")
    limit, worst = case.request.requirements.quality_requirements.max_complexity, []
    for entry in entries:
        found = _COMPLEXITY.search(entry["message"])
        if entry.get("code") != "C901" or found is None:
            continue
        _, path = case.work.place(entry["filename"])
        case.complexity[path] = max(case.complexity.get(path, 0), int(found[1]))
        if int(found[1]) > limit and not path.startswith("tests/"):
            worst.append((int(found[1]), f"{path}:{entry['location']['row']}", entry["message"].partition(" is ")[0]))
    if not worst:
        return PASSED
    worst.sort(reverse=True)
    number, place, name = worst[0]
    findings = tuple(f"{at}: {function} has {count}" for count, at, function in worst[:20])
    return failed(f"{name} has complexity {number}, more than {limit} ({place})", place=place, findings=findings)


def _coverage(case: _Case, tests: ComponentTests) -> Outcome:
    wanted = case.request.requirements.quality_requirements.test_coverage
    if tests.coverage is None:
        return skipped("the run left no count of lines")
    if tests.coverage >= wanted:
        return PASSED
    findings = not_covered(tests, sorted(case.files))
    return failed(
        f"the tests reach {tests.coverage:.1%} of the lines, less than the {wanted:.1%} asked for: "
        + "; ".join(findings),
        findings=findings,
    )


def _report(case: _Case) -> ComponentGateReport:
    bad = next((each for each in case.checks if each.verdict is CheckVerdict.FAILED), None)
    bad = bad or next((e for e in case.checks if e.verdict is CheckVerdict.SKIPPED and e.name in _REQUIRED), None)
    if bad is None:
        message = ""
    elif bad.verdict is CheckVerdict.SKIPPED:
        message = f"Validation incomplete: {bad.name}: {bad.remedy}"
    else:
        message = "; ".join(
            f"Validation failed: {each.name}: {each.remedy}"
            for each in case.checks
            if each.verdict is CheckVerdict.FAILED
        )
    passed = {each.name for each in case.checks if each.verdict is CheckVerdict.PASSED}
    tests = case.tests
    package = [count for path, count in case.complexity.items() if not path.startswith("tests/")]
    return ComponentGateReport(
        accepted=bad is None,
        message=message,
        reason_class=bad.name if bad else None,
        checks=tuple(case.checks),
        files=tuple(_described(path, case) for path in sorted(case.files)),
        validation=ComponentValidation(
            syntax_valid="syntax" in passed,
            imports_resolved="imports" in passed,
            type_check_passed="types" in passed,
            security_scan_passed={"security", "code"} <= passed,
            tests_passed="tests" in passed,
            test_coverage=_rounded(tests.coverage) if tests else None,
            max_complexity=max(package, default=None),
            slowest_capability_ms=tests.slowest_ms if tests else None,
            tests_count=tests.passed_count if tests else 0,
        ),
    )


def _described(path: str, case: _Case) -> GeneratedFile:
    return GeneratedFile(
        path=path,
        lines_of_code=lines_of_code(case.files[path]),
        complexity_score=case.complexity.get(path),
        test_coverage=_rounded(case.tests.coverage_of(path)) if case.tests else None,
    )


def lines_of_code(text: str) -> int:
    """Lines that are neither empty nor only a comment."""
    return sum(1 for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#"))


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _refused(refusal: Refusal, texts: dict[str, str], duration_ms: float) -> ComponentGateReport:
    outcome = failed(refusal.reason, place=refusal.place)
    return ComponentGateReport(
        accepted=False,
        message=f"Validation failed: {refusal.reason}",
        reason_class=refusal.check,
        final=refusal.final,
        checks=(_result(refusal.check, "guard", outcome, duration_ms),),
        files=tuple(
            GeneratedFile(path=path, lines_of_code=lines_of_code(text), complexity_score=None, test_coverage=None)
            for path, text in sorted(texts.items())
        ),
        validation=ComponentValidation(syntax_valid=refusal.check == "code"),
    )


def _python_only(files: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in files.items() if path.endswith(".py")}


def _tool(package: str) -> str:
    return tool_version(package) or package


async def _measured(name: str, tool: str, check: Callable[[], Awaitable[Outcome]]) -> CheckResult:
    started = time.perf_counter()
    outcome = await check()
    return _result(name, tool, outcome, (time.perf_counter() - started) * 1000)


def _result(name: str, tool: str, outcome: Outcome, duration_ms: float) -> CheckResult:
    return CheckResult(
        name=name,
        verdict=outcome.verdict,
        tool=tool,
        duration_ms=duration_ms,
        place=outcome.place,
        remedy=outcome.remedy[:2000] if outcome.remedy else None,
        findings=outcome.findings,
    )
