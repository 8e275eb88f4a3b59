"""The three checks of behaviour in one go: recorded calls and the base's answers are shared between them."""

from dataclasses import dataclass

from selfbuild.adapters.gate.behaviour.calls import RecordedCalls, record_calls
from selfbuild.adapters.gate.behaviour.differential import Difference, differences
from selfbuild.adapters.gate.behaviour.micro_benchmark import micro_benchmark
from selfbuild.adapters.gate.behaviour.mutants import MutantReport, mutants
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, skipped
from selfbuild.domain.patches import CheckVerdict
from selfbuild.ports import Sandbox

_STOPPED = "the patch changes behaviour: nothing further was tried"


@dataclass(frozen=True)
class BehaviourReport:
    """What the checks found."""

    compared: Difference
    mutants: MutantReport
    speed: Outcome
    calls: RecordedCalls


async def check_behaviour(
    sandbox: Sandbox, versions: Versions, *, calls: RecordedCalls | None = None
) -> BehaviourReport:
    """Whether the patch behaves as before, whether that could be told, and whether it is slower.

    Args:
        sandbox: Where.
        versions: What is compared.
        calls: Calls recorded on the base; None = the tests are run once to record them.

    Raises:
        Unreachable: the sandbox did not start.
    """
    if calls is None:
        calls = await record_calls(
            sandbox,
            tree=versions.base_tree,
            functions=versions.functions,
            test_command=versions.test_command,
            python=versions.python,
        )
    compared = await differences(sandbox, versions, calls=calls)
    if compared.outcome.verdict is CheckVerdict.FAILED:
        return BehaviourReport(compared, MutantReport(skipped(_STOPPED)), skipped(_STOPPED), calls)
    # One after the other: both want the cores for themselves.
    speed = await micro_benchmark(sandbox, versions, calls=calls)
    suite_s = calls.duration_s or None
    found = await mutants(sandbox, versions, compared=compared, suite_s=suite_s)
    return BehaviourReport(compared, found, speed, calls)
