"""Puts the checks together: guard, then what reads the patch as data, then what runs it in the sandbox."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.effect import Effect, check_effect
from selfbuild.adapters.gate.imports_check import imports
from selfbuild.adapters.gate.outcome import Outcome, measured, skipped
from selfbuild.adapters.gate.static_checks import lint, security
from selfbuild.adapters.gate.suite import ApplicationTests
from selfbuild.adapters.gate.tools import tool_version
from selfbuild.adapters.gate.types_check import TypeChecker
from selfbuild.adapters.gate.workspace import Listing, Workspace, digest_tree, list_tree, read_sources, workspace
from selfbuild.domain.applications import Application
from selfbuild.domain.base import Verdict
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.insights import Insight
from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict, GateReport, Patch
from selfbuild.gate import GuardResult, PathPolicy, guard, quality_score
from selfbuild.gate.guard import first_failure
from selfbuild.ports import Sandbox, SandboxStatus

_log = structlog.get_logger()
REQUIRED = (CheckName.SYNTAX, CheckName.IMPORTS, CheckName.TESTS)
"""Checks without which nothing is accepted, however well the others went."""


@dataclass(frozen=True)
class _Case:
    base_tree: Path
    digest: str
    application: Application
    python: str
    old: dict[str, str]
    guarded: GuardResult
    workspace: Workspace
    insight: Insight | None

    @property
    def versions(self) -> Versions:
        """What differs, for those who run both."""
        new, policy = dict(self.guarded.files), self.application.recipes
        return Versions(
            self.base_tree,
            self.workspace.patched_tree,
            {path: self.old[path] for path in new},
            new,
            self.python,
            tuple(self.application.repository.test_command),
            frozenset(name.rpartition(".")[2] for name in (*policy.staleness_s, *policy.pure_functions)),
        )


class GateRunner:
    """Validates patches. One instance serves many; `close` removes what it kept between them."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        python: str = sys.executable,
        types: TypeChecker | None = None,
        sandbox_status: SandboxStatus | None = None,
    ) -> None:
        """
        Args:
            sandbox: Where the patch is run.
            python: Interpreter of applications that name none.
            types: Shared between runners, whose `close` then leaves it alone; None = one of its own.
            sandbox_status: What the sandbox was found to enforce; None = it was not asked.
        """
        self._sandbox = sandbox
        self.sandbox_status = sandbox_status
        self._python = python
        self._types = types or TypeChecker()
        self._owns_types = types is None
        self._tests = ApplicationTests(sandbox)

    def close(self) -> None:
        """Remove cached trees."""
        if self._owns_types:
            self._types.close()

    async def validate(
        self,
        *,
        patch: Patch,
        base_tree: Path,
        application: Application,
        shown_files: Sequence[str],
        target_symbols: Mapping[str, Sequence[str]],
        quality_threshold: float,
        insight: Insight | None = None,
    ) -> GateReport:
        """Say whether the patch may be deployed. The base tree is read only.

        Args:
            patch: The proposal.
            base_tree: The application's source as it is, without git's own files needed.
            application: Whose policy, test command and interpreter apply.
            shown_files: What the generator was shown; nothing else may change.
            target_symbols: Path -> functions and classes that may change; a path without an entry may change anywhere.
            quality_threshold: Smallest quality score that is accepted, 0 to 1.
            insight: What the patch is for; decides whether it has to repair an error or to keep behaviour.

        Raises:
            Unreachable: the sandbox did not start; try again.
        """
        listing = await asyncio.to_thread(list_tree, base_tree)
        guarded, old = await self._guard(patch, base_tree, application, shown_files, target_symbols, listing)
        checks = list(guarded.checks)
        effect = Effect()
        if guarded.accepted:
            with workspace(base_tree, old, guarded.files) as prepared:
                digest = await asyncio.to_thread(digest_tree, base_tree, listing)
                python = application.repository.python or self._python
                case = _Case(base_tree, digest, application, python, old, guarded, prepared, insight)
                made, effect = await self._run_checks(case)
                checks += made
        unsafe = self.sandbox_status.approval_reason if self.sandbox_status is not None else None
        needs_approval = (*effect.needs_approval, *((unsafe,) if unsafe is not None else ()))
        report = _report(guarded, checks, quality_threshold).model_copy(
            update={"needs_approval": needs_approval, "unshown": effect.unshown}
        )
        _log.info("patch.validated", verdict=report.verdict, reason=report.reason_class, quality=report.quality_score)
        return report

    async def _guard(
        self,
        patch: Patch,
        base_tree: Path,
        application: Application,
        shown_files: Sequence[str],
        target_symbols: Mapping[str, Sequence[str]],
        listing: Listing,
    ) -> tuple[GuardResult, dict[str, str]]:
        old = await asyncio.to_thread(read_sources, base_tree, tuple(shown_files), listing)
        guarded = guard(
            patch,
            old,
            shown=shown_files,
            target_symbols=target_symbols,
            regular_files=listing.files,
            links=listing.links,
            policy=PathPolicy.of(application.repository),
            clock=time.perf_counter,
        )
        return guarded, old

    async def _run_checks(self, case: _Case) -> tuple[list[CheckResult], Effect]:
        checks = await self._static(case)
        if first_failure(checks) is None:
            checks.append(await measured(CheckName.TESTS, _tool("pytest"), lambda: self._test(case)))
        if case.insight is not None and checks[-1].name == CheckName.TESTS and first_failure(checks) is None:
            effect = await check_effect(self._sandbox, case.versions, case.insight)
            return [*checks, *effect.checks], effect
        return checks, Effect()

    async def _static(self, case: _Case) -> list[CheckResult]:
        """All of them, whether one fails or not: a repair should know everything at once."""
        new = dict(case.guarded.files)
        level = getattr(self._sandbox, "level", "")
        planned: tuple[tuple[CheckName, str, Callable[[], Awaitable[Outcome]]], ...] = (
            (CheckName.IMPORTS, f"sandbox {level}".strip(), lambda: self._import(case)),
            (CheckName.LINT, _tool("ruff"), lambda: lint(case.workspace)),
            (CheckName.TYPES, _tool("mypy"), lambda: self._type(case)),
            (CheckName.SECURITY, _tool("bandit"), lambda: security(case.workspace, new, case.old)),
        )
        try:
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(measured(name, tool, check)) for name, tool, check in planned]
        except BaseExceptionGroup as failures:
            # Callers tell errors apart by class: the first one is what ended the others.
            raise failures.exceptions[0] from failures
        return [task.result() for task in running]

    async def _type(self, case: _Case) -> Outcome:
        return await self._types.check(case.base_tree, case.digest, case.guarded.files, python=case.python)

    async def _import(self, case: _Case) -> Outcome:
        try:
            return await imports(
                self._sandbox,
                base_tree=case.base_tree,
                patched_tree=case.workspace.patched_tree,
                changed=case.workspace.changed,
                python=case.python,
            )
        except Misconfigured as error:
            return skipped(str(error))

    async def _test(self, case: _Case) -> Outcome:
        try:
            return await self._tests.check(
                case.base_tree,
                case.workspace.patched_tree,
                digest=case.digest,
                command=case.application.repository.test_command,
                python=case.python,
            )
        except Misconfigured as error:
            return skipped(str(error))


def _tool(package: str) -> str:
    return tool_version(package) or package


def _report(guarded: GuardResult, checks: Sequence[CheckResult], threshold: float) -> GateReport:
    score = quality_score(checks)
    verdict, reason, message = _verdict(guarded, checks, score, threshold)
    return GateReport(
        verdict=verdict,
        checks=tuple(checks),
        quality_score=score,
        reason_class=reason,
        message=message,
        diff=guarded.diff,
        changed_lines=guarded.changed_lines,
        files=tuple(sorted(guarded.files)),
    )


def _verdict(
    guarded: GuardResult, checks: Sequence[CheckResult], score: float, threshold: float
) -> tuple[Verdict, str | None, str]:
    if not guarded.accepted:
        return Verdict.FAIL, guarded.reason_class, guarded.message
    failure = first_failure(checks)
    if failure is not None:
        return Verdict.FAIL, failure.name, f"Validation failed: {failure.name}: {failure.remedy}"
    done = {check.name: check for check in checks}
    for name in REQUIRED:
        check = done.get(name)
        if check is None or check.verdict is not CheckVerdict.PASSED:
            reason = check.remedy if check is not None and check.remedy else "it was not run"
            return Verdict.INCONCLUSIVE, name, f"Validation is inconclusive: {name}: {reason}"
    if score < threshold:
        message = f"Validation is inconclusive: the quality score {score:.2f} is below {threshold:.2f}"
        return Verdict.INCONCLUSIVE, "quality", message
    return Verdict.PASS, None, f"Validation passed: {len(checks)} checks, quality score {score:.2f}"
