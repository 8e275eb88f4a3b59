"""Types of a component's files. Everything is new, so every error counts; mypy's cache outlives a component."""

import asyncio
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from selfbuild.adapters.gate.outcome import PASSED, Outcome, failed, skipped
from selfbuild.adapters.gate.tools import ask, tool_version

_ERROR = re.compile(r"^.+?:\d+: error: ", re.MULTILINE)


class ComponentTypes:
    """Runs mypy on one component after another; `close` removes the cache."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="selfbuild-component-types-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._lock = asyncio.Lock()

    def close(self) -> None:
        """Remove the cache; left undone, it happens when the process ends."""
        self._remove()

    async def check(self, tree: Path, paths: Sequence[str], *, python: str) -> Outcome:
        """Fails for any error in the files; packages that the interpreter lacks count as untyped."""
        if tool_version("mypy") is None:
            return skipped("mypy is not installed: run 'pip install mypy'")
        command = [sys.executable, "-I", "-m", "mypy", "--config-file=", "--cache-dir", str(self._folder / "cache")]
        command += ["--python-executable", python, "--no-error-summary", "--hide-error-context", "--no-color-output"]
        command += ["--show-error-codes", "--no-pretty", "--ignore-missing-imports", "--follow-imports=silent"]
        command += ["--check-untyped-defs", "--explicit-package-bases", "--namespace-packages"]
        command += [str(tree / path) for path in paths]
        async with self._lock:
            answer = await ask(command, folder=self._folder, environment={"MYPYPATH": str(tree)})
        if answer.return_code not in (0, 1):
            return skipped(f"mypy gave no answer: {(answer.stdout + answer.stderr)[-500:]}")
        errors = [_relative(line, tree) for line in answer.stdout.splitlines() if _ERROR.match(line)]
        if not errors:
            return PASSED
        return failed(errors[0], place=errors[0].partition(": error")[0], findings=tuple(errors[:20]))


def _relative(line: str, tree: Path) -> str:
    """mypy names files relative to where it runs."""
    _, found, rest = line.partition(f"{tree.name}/")
    return rest if found else line
