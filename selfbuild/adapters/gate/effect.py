"""Whether a patch does what it is for: one for an error removes it, any other keeps the behaviour and is not slower."""

from dataclasses import dataclass

from selfbuild.adapters.gate.behaviour.calls import record_calls
from selfbuild.adapters.gate.behaviour.differential import Difference, differences
from selfbuild.adapters.gate.behaviour.micro_benchmark import micro_benchmark
from selfbuild.adapters.gate.behaviour.mutants import mutants
from selfbuild.adapters.gate.behaviour.reproducer import reproduce
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, measured
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict
from selfbuild.ports import Sandbox


@dataclass(frozen=True)
class Effect:
    """What was found."""

    checks: tuple[CheckResult, ...] = ()
    """In their order; those after a failure are not run."""
    needs_approval: tuple[str, ...] = ()
    """What must be shown before anything is deployed without a person, and could not."""
    unshown: tuple[str, ...] = ()
    """What could not be shown of behaviour; a patch whose rule proves it can do without."""


async def check_effect(sandbox: Sandbox, versions: Versions, insight: Insight) -> Effect:
    """Run the checks that fit what the patch is for.

    Args:
        sandbox: Where.
        versions: Base and patch, whose tests pass.
        insight: What the patch is for.

    Raises:
        Unreachable: the sandbox did not start.
    """
    tool = f"sandbox {getattr(sandbox, 'level', '')}".strip()
    if insight.insight_type is InsightType.ERROR_PATTERN:
        check = await measured(CheckName.REPRODUCER, tool, lambda: reproduce(sandbox, versions, insight))
        return Effect((check,), needs_approval=_unless_passed(check))
    return await _Behaviour(sandbox, versions, tool).check()


class _Behaviour:
    """The checks of a patch that is no fix of an error, one after the other: each wants the cores for itself."""

    def __init__(self, sandbox: Sandbox, versions: Versions, tool: str) -> None:
        self._sandbox = sandbox
        self._versions = versions
        self._tool = tool
        self._compared: Difference | None = None
        self._faults = 0

    async def check(self) -> Effect:
        """All three, or the first alone where the patch changes behaviour."""
        self._calls = await record_calls(
            self._sandbox,
            tree=self._versions.base_tree,
            functions=self._versions.functions,
            test_command=self._versions.test_command,
            python=self._versions.python,
        )
        compared = await measured(CheckName.BEHAVIOUR, self._tool, self._compare)
        if compared.verdict is CheckVerdict.FAILED:
            return Effect((compared,))
        speed = await measured(CheckName.SPEED, self._tool, self._measure)
        if speed.verdict is CheckVerdict.FAILED:
            return Effect((compared, speed))
        faults = await measured(CheckName.MUTANTS, self._tool, self._mutate)
        # Without a line that can be given a fault there is nothing the checks could miss.
        weak = _unless_passed(faults) if self._faults else ()
        doubt = _unless_passed(speed) if speed.place is not None else ()
        return Effect((compared, faults, speed), unshown=(*_unless_passed(compared), *weak, *doubt))

    async def _compare(self) -> Outcome:
        self._compared = await differences(self._sandbox, self._versions, calls=self._calls)
        return self._compared.outcome

    async def _mutate(self) -> Outcome:
        suite_s = self._calls.duration_s or None
        report = await mutants(self._sandbox, self._versions, compared=self._compared, suite_s=suite_s)
        self._faults = report.total
        return report.outcome

    async def _measure(self) -> Outcome:
        return await micro_benchmark(self._sandbox, self._versions, calls=self._calls)


def _unless_passed(check: CheckResult) -> tuple[str, ...]:
    if check.verdict is not CheckVerdict.SKIPPED:
        return ()
    return (check.remedy or f"{check.name} was not shown",)
