"""Compares the processor time of the changed functions in both versions, measured in turns on the same arguments."""

import asyncio
import random
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfbuild.adapters.gate.behaviour.calls import RecordedCalls
from selfbuild.adapters.gate.behaviour.differential import Plan, key_of, plan_of
from selfbuild.adapters.gate.behaviour.programs import run_program
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, failed, skipped
from selfbuild.adapters.sandbox.staging import copy_tree
from selfbuild.domain.patches import CheckVerdict
from selfbuild.gate.changes import FunctionRef
from selfbuild.ports import Sandbox, SandboxLimits

LIMITS = SandboxLimits(wall_s=30, cpu_s=12)
SLOWER_RATIO = 1.10
"""A change of less is what the same code measured twice shows on a shared machine."""
MUCH_SLOWER_RATIO = 2.0
"""What no difference between the tests' arguments and production's excuses."""
_FASTER_RATIO = 0.90
_ROUNDS = 7
_CALL_S = 0.3
_ALL_S = 1.5
"""After so much time no further size is begun."""
_RESAMPLES = 400
_SMALLEST_NS = 20_000
"""A round of less is the timer's noise."""


@dataclass(frozen=True)
class Ratio:
    """New over old of one function on arguments of one size."""

    function: FunctionRef
    size: int
    """1 = as given, 10 and 100 = with so many times the elements."""
    ratio: float
    low: float
    high: float
    """Ends of the interval that holds the ratio in nine of ten cases."""
    old_wait_s: float = 0.0
    new_wait_s: float = 0.0
    """What `sleep` was asked for in a round, and not given."""

    def text(self) -> str:
        """For people: `0.013 (77x faster)`."""
        change = f"{1 / max(self.ratio, 1e-6):.3g}x faster" if self.ratio < 1 else f"{self.ratio:.3g}x as long"
        if self.low <= 1 <= self.high:
            change = "no difference beyond chance"
        text = (
            f"{self.function.label}, size x{self.size}: {self.ratio:.3g} ({change}; {self.low:.3g} to {self.high:.3g})"
        )
        if self.old_wait_s or self.new_wait_s:
            text += f"; sleeps {self.old_wait_s:.3g} s, then {self.new_wait_s:.3g} s"
        return text


async def micro_benchmark(sandbox: Sandbox, versions: Versions, *, calls: RecordedCalls | None) -> Outcome:
    """Fails where a changed function needs at least twice the processor time, beyond chance.

    A tenth more is said (skipped, never passed): production's arguments may be others than those of the tests, and the
    canary measures with them.

    Arguments of tests are often too small to show what a patch is for: a function that is slower on them but faster on
    the grown ones passes. Waiting (input, output, `sleep`) costs no processor time: it is not measured but said.

    Args:
        sandbox: Where.
        versions: What is compared.
        calls: What the tests call the functions with; without any, made-up arguments are used.

    Raises:
        Unreachable: the sandbox did not start.
    """
    plan = await asyncio.to_thread(plan_of, versions, calls or RecordedCalls())
    if not plan.functions:
        return skipped(f"nothing can be measured: {'; '.join(plan.notes) or 'no function is changed'}"[:1500])
    outcome = await _measured(sandbox, versions, plan)
    # Other work on the machine can spoil one measurement; the same finding twice is no chance.
    return await _measured(sandbox, versions, plan) if outcome.verdict is CheckVerdict.FAILED else outcome


async def _measured(sandbox: Sandbox, versions: Versions, plan: Plan) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-measure-"))
    try:
        tree = folder / "trees"
        tree.mkdir()
        await asyncio.to_thread(copy_tree, versions.base_tree, tree / "old", uid=None)
        await asyncio.to_thread(copy_tree, versions.patched_tree, tree / "new", uid=None)
        asked = {**plan.arguments(), "rounds": _ROUNDS, "call_s": _CALL_S, "all_s": _ALL_S}
        answer = await run_program(sandbox, "measure", tree=tree, plan=asked, python=versions.python, limits=LIMITS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return judge(_ratios(plan, answer.parts), answer.problem)


def judge(ratios: Sequence[Ratio], problem: str | None = None) -> Outcome:
    """What the ratios say of the patch."""
    if not ratios:
        return skipped(
            f"nothing could be measured: {problem or 'the functions take too little processor time, or raise'}"
        )
    findings = tuple(each.text() for each in ratios)[:20]
    for function in dict.fromkeys(each.function for each in ratios):
        own = [each for each in ratios if each.function == function]
        slower = [each for each in own if each.low > SLOWER_RATIO]
        faster = [each for each in own if each.high < _FASTER_RATIO]
        largest = max(own, key=lambda each: each.size)
        if slower and (largest in slower or not faster):
            worst = max(slower, key=lambda each: each.low)
            if worst.low >= MUCH_SLOWER_RATIO:
                return failed(f"slower than before: {worst.text()}", place=function.label, findings=findings)
            doubt = f"a little slower on arguments of the tests, made larger: {worst.text()}"
            return Outcome(CheckVerdict.SKIPPED, doubt, function.label, findings)
    return Outcome(CheckVerdict.PASSED, findings=findings)


def ratio_of(function: FunctionRef, size: int, rounds: Sequence[Sequence[float]]) -> Ratio | None:
    """Median over the rounds with an interval from resampling them; None where there is nothing to divide.

    Args:
        function: Which.
        size: Of the arguments.
        rounds: Old nanoseconds, old seconds asked to wait, new nanoseconds, new seconds asked to wait.
    """
    if len(rounds) < 5 or statistics.median(each[0] for each in rounds) < _SMALLEST_NS:
        return None
    each_round = [new / old for old, _, new, _ in rounds if old > 0]
    rng = random.Random(f"{function.label} {size}")
    medians = sorted(statistics.median(rng.choices(each_round, k=len(each_round))) for _ in range(_RESAMPLES))
    low, high = medians[_RESAMPLES // 20], medians[-_RESAMPLES // 20 - 1]
    return Ratio(function, size, statistics.median(each_round), low, high, rounds[-1][1], rounds[-1][3])


def _ratios(plan: Plan, parts: Sequence[Mapping[str, Any]]) -> list[Ratio]:
    functions = {key_of(each): each for each in plan.functions}
    found = []
    for part in parts:
        function, size, rounds = functions.get(str(part.get("key"))), part.get("size"), part.get("rounds")
        if function is None or not isinstance(size, int) or not _are_rounds(rounds):
            continue
        ratio = ratio_of(function, size, rounds or ())
        if ratio is not None:
            found.append(ratio)
    return found


def _are_rounds(rounds: object) -> bool:
    return isinstance(rounds, list) and all(
        isinstance(each, list) and len(each) == 4 and all(isinstance(number, int | float) for number in each)
        for each in rounds
    )
