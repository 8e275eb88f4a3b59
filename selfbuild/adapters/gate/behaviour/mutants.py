"""Says whether the tests and the comparison are strong enough to judge a patch: they must find faults put into it."""

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfbuild.adapters.gate.behaviour.calls import pytest_arguments
from selfbuild.adapters.gate.behaviour.differential import Difference, judge, replay
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, skipped
from selfbuild.adapters.sandbox.staging import copy_tree, interpreter_paths
from selfbuild.domain.patches import CheckVerdict
from selfbuild.gate.mutation import Mutant, mutants_of
from selfbuild.ports import Sandbox, SandboxLimits

MUTANTS = 10
ENOUGH_RATIO = 0.5
"""Of ten faults some change nothing (a third is common), so that not all can be found; where fewer than half are, a
real fault in the patch would more likely than not be missed."""
_BUDGET_S = 3.0
_AT_LEAST = 2
_TOGETHER = 2
_LONGEST_S = 60
_SLOWER = 4
"""A fault may make the tests endless: after so many times their duration, and a second, they count as failed."""


@dataclass(frozen=True)
class MutantReport:
    """What became of the faults."""

    outcome: Outcome
    """Passed where enough were found; skipped, with the reason, where the patch cannot be judged by these checks: no
    fault of the patch, but a person should look. Never failed."""
    killed: int = 0
    total: int = 0
    """Faults that were tried; fewer than there are where time ran out."""
    survivors: tuple[str, ...] = ()


async def mutants(
    sandbox: Sandbox,
    versions: Versions,
    *,
    compared: Difference | None,
    suite_s: float | None = None,
    budget_s: float = _BUDGET_S,
) -> MutantReport:
    """Put faults into the changed lines of the patched version, and see which the comparison or the tests find.

    Args:
        sandbox: Where.
        versions: What is compared.
        compared: The result of `differences`, whose answers of the base are used again; None = the tests alone.
        suite_s: How long the application's tests take; None = they are run once to find out. Tests that take longer
            than the budget are not run: the comparison decides alone.
        budget_s: No further fault is tried afterwards; at least two are.

    Raises:
        Unreachable: the sandbox did not start.
    """
    chosen = await asyncio.to_thread(_chosen, versions)
    if not chosen:
        return MutantReport(skipped("no changed line can be given a fault"))
    if suite_s is None:
        started = time.monotonic()
        await fails_tests(sandbox, versions, {}, limit_s=_LONGEST_S)
        suite_s = time.monotonic() - started
    until = time.monotonic() + budget_s
    limit_s = None if suite_s > max(budget_s, 1) else _SLOWER * suite_s + 1
    waiting, results = list(enumerate(chosen)), dict[int, bool]()

    async def work() -> None:
        while waiting and (time.monotonic() < until or len(chosen) - len(waiting) < _AT_LEAST):
            number, (path, mutant) = waiting.pop(0)
            results[number] = await _is_killed(sandbox, versions, {path: mutant.text}, compared, limit_s)

    await asyncio.gather(*(work() for _ in range(_TOGETHER)))
    return report([(chosen[number], killed) for number, killed in sorted(results.items())])


def report(results: Sequence[tuple[tuple[str, Mutant], bool]]) -> MutantReport:
    """Count what was found."""
    total, killed = len(results), sum(found for _, found in results)
    survivors = tuple(f"not found: {path}: {mutant.description}" for (path, mutant), found in results if not found)
    summary = f"{killed} of {total} faults put into the changed lines were found"
    if killed >= ENOUGH_RATIO * total:
        return MutantReport(Outcome(CheckVerdict.PASSED, findings=(summary, *survivors)), killed, total, survivors)
    reason = f"the checks are too weak to judge this patch: {summary}"
    return MutantReport(Outcome(CheckVerdict.SKIPPED, reason, findings=survivors), killed, total, survivors)


def _chosen(versions: Versions) -> list[tuple[str, Mutant]]:
    """An even selection over all changed functions, in an order that mixes them."""
    found: list[tuple[str, Mutant]] = []
    for path in sorted(versions.new):
        ranges = [lines for each in versions.functions if each.path == path for lines in each.changed_lines]
        if ranges:
            found += [(path, mutant) for mutant in mutants_of(versions.new[path], ranges, limit=2 * MUTANTS)]
    count = min(MUTANTS, len(found))
    even = [found[place * len(found) // count] for place in range(count)]
    return even[::2] + even[1::2]


async def _is_killed(
    sandbox: Sandbox, versions: Versions, files: Mapping[str, str], compared: Difference | None, limit_s: float | None
) -> bool:
    evidence = compared.evidence if compared is not None else None
    if evidence is not None:
        answer = await replay(sandbox, versions, evidence.plan, new=True, files=files)
        if judge(evidence.plan, evidence.old, evidence.again, answer).outcome.verdict is CheckVerdict.FAILED:
            return True
    return limit_s is not None and await fails_tests(sandbox, versions, files, limit_s=limit_s)


async def fails_tests(sandbox: Sandbox, versions: Versions, files: Mapping[str, str], *, limit_s: float) -> bool:
    """Whether the patched version's tests fail with other texts of files; False where they cannot be run."""
    arguments = pytest_arguments(versions.test_command)
    if arguments is None:
        return False
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-mutant-"))
    try:
        await asyncio.to_thread(copy_tree, versions.patched_tree, folder / "tree", uid=None)
        for path, text in files.items():
            (folder / "tree" / path).write_bytes(text.encode("utf-8"))
        result = await sandbox.run(
            [versions.python, "-m", "pytest", *arguments, "-x", "-q", "-p", "no:cacheprovider"],
            tree=folder / "tree",
            limits=SandboxLimits(wall_s=limit_s, cpu_s=math.ceil(limit_s), memory_bytes=1 << 30, output_bytes=4 << 20),
            readable=interpreter_paths(versions.python),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result.exit_code not in (0, 5)
