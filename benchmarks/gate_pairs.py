"""How well tests and the comparison of behaviour tell right patches from wrong ones, on small classic programs.

Run by `python -m benchmarks.gate_pairs [--pairs 44] [--mutants 5]`. Each file of `gate_programs` holds a program, its
tests, and one fault by which it becomes the buggy version. Three questions are asked of each:

- fix: from buggy to correct, with the tests that pass on the buggy version as the suite and the others as the
  reproduction: is it accepted?
- bug: from correct to buggy, sold as a change that keeps behaviour: is it refused?
- mutants: from correct to correct with one fault put in by machine: is it refused? Faults that change nothing count as
  accepted.
"""

import argparse
import asyncio
import logging
import random
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from benchmarks.machine import ROOT, describe
from selfbuild.adapters.gate.behaviour.calls import RecordedCalls, record_calls
from selfbuild.adapters.gate.behaviour.differential import differential
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.suite import ApplicationTests
from selfbuild.adapters.sandbox import find_sandbox
from selfbuild.adapters.sandbox.staging import interpreter_paths
from selfbuild.domain.patches import CheckVerdict
from selfbuild.gate.mutation import Mutant, mutants_of
from selfbuild.ports import Sandbox, SandboxLimits

Result = TypeVar("Result")
PATH = "program.py"
TESTS = "tests/test_program.py"
COMMAND = ("python", "-m", "pytest", "-q", "tests")
TOGETHER = 2
_SECTION = re.compile(r"^=== (\w+)\n", re.MULTILINE)
_PASSED = re.compile(r"^PASSED (\S+)", re.MULTILINE)
_FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)
_ALWAYS = "\n\ndef test_imports():\n    assert __name__\n"
_LIMITS = SandboxLimits(wall_s=20, cpu_s=3)
"""What these suites need many times over; faults that never end cost no more."""


@dataclass(frozen=True)
class Pair:
    """One program in two versions."""

    name: str
    correct: str
    buggy: str
    tests: str


@dataclass(frozen=True)
class Judged:
    """What the two checks said of a patch."""

    name: str
    tests: CheckVerdict
    behaviour: CheckVerdict
    remedy: str = ""

    @property
    def refused(self) -> bool:
        """Whether either of them did."""
        return CheckVerdict.FAILED in (self.tests, self.behaviour)


def read_pairs(count: int | None = None) -> list[Pair]:
    """The first so many, by name."""
    pairs = []
    for file in sorted((ROOT / "benchmarks" / "gate_programs").glob("*.txt"))[:count]:
        _, *parts = _SECTION.split(file.read_text(encoding="utf-8"))
        found = dict(zip(parts[::2], parts[1::2], strict=True))
        buggy = found["source"].replace(found["search"].rstrip("\n"), found["replace"].rstrip("\n"))
        pairs.append(Pair(file.stem, found["source"], buggy, found["tests"] + _ALWAYS))
    return pairs


def write_tree(folder: Path, source: str, tests: str) -> Path:
    """An application of one file."""
    for path, text in {
        PATH: source,
        TESTS: tests,
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


class Trial:
    """Asks the questions of one pair after the other."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._suite = ApplicationTests(sandbox, limits=_LIMITS)

    async def fix(self, pair: Pair) -> tuple[bool, str]:
        """Whether the fix is accepted, and what stands against it."""
        base = write_tree(self._folder / f"{pair.name}-buggy", pair.buggy, pair.tests)
        patched = write_tree(self._folder / f"{pair.name}-fixed", pair.correct, pair.tests)
        failing, _ = await self._run(base)
        failing_after, passing_after = await self._run(patched)
        if not failing or failing_after or not set(failing) <= set(passing_after):
            return False, f"reproduction: {len(failing)} tests fail before, {len(failing_after)} after"
        command = (*COMMAND, *(f"--deselect={name}" for name in failing))
        outcome = await self._suite.check(
            base, patched, digest=f"{pair.name} buggy", command=command, python=sys.executable
        )
        return outcome.verdict is CheckVerdict.PASSED, outcome.remedy or ""

    async def _run(self, tree: Path) -> tuple[list[str], list[str]]:
        """Names of the failing and of the passing tests."""
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--tb=no", "tests"]
        result = await self._sandbox.run(command, tree=tree, limits=_LIMITS, readable=interpreter_paths(sys.executable))
        return _FAILED.findall(result.stdout), _PASSED.findall(result.stdout)

    async def calls(self, pair: Pair) -> RecordedCalls:
        """What the tests call the correct version with."""
        given = self.versions(pair, pair.buggy, "recorded")
        whole = Versions(**{**given.__dict__, "new": {PATH: _touched(pair.correct)}})
        return await record_calls(
            self._sandbox,
            tree=given.base_tree,
            functions=whole.functions,
            test_command=COMMAND,
            python=sys.executable,
        )

    def versions(self, pair: Pair, text: str, name: str) -> Versions:
        """The correct version as the base, another text as the patch."""
        base = write_tree(self._folder / f"{pair.name}-{name}-base", pair.correct, pair.tests)
        patched = write_tree(self._folder / f"{pair.name}-{name}-patched", text, pair.tests)
        return Versions(base, patched, {PATH: pair.correct}, {PATH: text}, sys.executable, COMMAND)

    async def same_behaviour(self, pair: Pair, text: str, name: str, calls: RecordedCalls | None) -> Judged:
        """What tests and comparison say of a change that should keep behaviour."""
        given = self.versions(pair, text, name)
        tests = await self._suite.check(
            given.base_tree, given.patched_tree, digest=pair.name, command=COMMAND, python=sys.executable
        )
        compared = await differential(self._sandbox, given, calls=calls)
        return Judged(f"{pair.name} {name}", tests.verdict, compared.verdict, compared.remedy or "")


def _touched(text: str) -> str:
    """The text with every function changed, so that all of them are recorded."""
    return re.sub(r"^( *)((?:async )?def .*:)$", r"\1\2\n\1    0", text, flags=re.MULTILINE)


async def in_turns(tasks: Sequence[Awaitable[Result]]) -> list[Result]:
    """Run them, two at a time, and keep their order."""
    gate = asyncio.Semaphore(TOGETHER)

    async def one(task: Awaitable[Result]) -> Result:
        async with gate:
            return await task

    return list(await asyncio.gather(*(one(task) for task in tasks)))


def chosen_mutants(pair: Pair, count: int) -> list[Mutant]:
    """So many of the program's, drawn by its name."""
    every = mutants_of(pair.correct)
    return random.Random(pair.name).sample(every, min(count, len(every)))


async def run(pairs: Sequence[Pair], mutants_each: int) -> None:
    """Ask everything and print it."""
    sandbox = find_sandbox()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="selfbuild-pairs-") as folder:
        trial = Trial(sandbox, Path(folder))
        fixes = await in_turns([trial.fix(pair) for pair in pairs])
        recorded = await in_turns([trial.calls(pair) for pair in pairs])
        calls = dict(zip([pair.name for pair in pairs], recorded, strict=True))
        bugs = await in_turns([trial.same_behaviour(pair, pair.buggy, "bug", calls[pair.name]) for pair in pairs])
        plain = await in_turns([trial.same_behaviour(pair, pair.buggy, "plain", None) for pair in pairs])
        mutants = [(pair, mutant) for pair in pairs for mutant in chosen_mutants(pair, mutants_each)]
        judged = await in_turns(
            [
                trial.same_behaviour(pair, mutant.text, str(number), calls[pair.name])
                for number, (pair, mutant) in enumerate(mutants)
            ]
        )
    print(f"{len(pairs)} pairs, sandbox {getattr(sandbox, 'level', '')}, {time.perf_counter() - started:.0f} s")
    _print_fixes(pairs, fixes)
    _print_refused("bugs sold as the same behaviour", bugs, comparison=True)
    _print_refused("the same, without recorded arguments", plain, comparison=True)
    _print_refused("mutants of the correct version", judged)
    for verdict, (pair, mutant) in zip(judged, mutants, strict=True):
        if not verdict.refused:
            print(f"  accepted: {pair.name}: {mutant.description}")
    print(describe())


def _print_fixes(pairs: Sequence[Pair], fixes: Sequence[tuple[bool, str]]) -> None:
    print(f"fixes accepted: {sum(accepted for accepted, _ in fixes)} of {len(fixes)}")
    for pair, (accepted, reason) in zip(pairs, fixes, strict=True):
        if not accepted:
            print(f"  refused: {pair.name}: {reason[:160]}")


def _print_refused(title: str, judged: Sequence[Judged], *, comparison: bool = False) -> None:
    refused = sum(each.refused for each in judged)
    by_tests = sum(each.tests is CheckVerdict.FAILED for each in judged)
    by_behaviour = sum(each.behaviour is CheckVerdict.FAILED for each in judged)
    skipped = [each for each in judged if each.behaviour is CheckVerdict.SKIPPED]
    accepted = len(judged) - refused
    print(
        f"{title}: {refused} of {len(judged)} refused (tests {by_tests}, comparison {by_behaviour}); "
        f"{accepted} accepted = {100 * accepted / max(1, len(judged)):.1f} %; not comparable {len(skipped)}"
    )
    for each in judged:
        if comparison and each.behaviour is not CheckVerdict.FAILED:
            print(f"  comparison did not refuse {each.name}: {each.behaviour} {each.remedy[:160]}")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description="Right and wrong patches of small programs")
    parser.add_argument("--pairs", type=int, default=None, help="only the first so many")
    parser.add_argument("--mutants", type=int, default=5, help="of each program")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(run(read_pairs(options.pairs), options.mutants))


if __name__ == "__main__":
    main()
