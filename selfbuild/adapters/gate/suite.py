"""The application's tests in the sandbox, on base and on patch, with a tripwire that a forged result cannot know.

pytest's exit code can be forged by the code under test. So a test with a random name that must fail is added: the patch
is accepted only when exactly that one fails and the passed tests are those of the base.
"""

import asyncio
import secrets
import shutil
import tempfile
import tomllib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from selfbuild.adapters.gate.junit import JunitReport, read_junit
from selfbuild.adapters.gate.outcome import PASSED, Outcome, failed, skipped
from selfbuild.adapters.sandbox.staging import copy_tree, interpreter_paths
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult

TEST_LIMITS = SandboxLimits(wall_s=300, cpu_s=240, memory_bytes=2 << 30, output_bytes=8 << 20)
_BASES = 16
_REPORT = '"$TMPDIR/selfbuild-report.xml"'
_SCRIPT = f'"$@" --junitxml={_REPORT} 1>&2; code=$?; printf "%s\\n" "$0"; cat {_REPORT}; exit $code'
"""Nothing but the report, behind a word the tests do not know, reaches standard output."""


class BaseFailed(Exception):
    """The base's own tests do not pass, so that nothing can be said of a patch."""


class ApplicationTests:
    """Runs test commands; the base's result is kept by the digest of its tree."""

    def __init__(self, sandbox: Sandbox, *, limits: SandboxLimits = TEST_LIMITS) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._bases: OrderedDict[tuple[str, ...], JunitReport] = OrderedDict()
        self._locks: dict[tuple[str, ...], asyncio.Lock] = {}

    async def check(
        self, base_tree: Path, patched_tree: Path, *, digest: str, command: Sequence[str], python: str
    ) -> Outcome:
        """Compare the patched tree's tests with the base's.

        Raises:
            Unreachable: the sandbox did not start.
        """
        pytest_command = _pytest(command, python)
        if pytest_command is None:
            return skipped(f"the test command {list(command)} does not run pytest, whose report is needed")
        async with self._locks.setdefault((digest, python), asyncio.Lock()):
            try:
                base, patched = await asyncio.gather(
                    self._base(base_tree, digest, pytest_command, python),
                    self._run(patched_tree, pytest_command, python),
                )
            except BaseFailed as error:
                return skipped(str(error))
        return _judge(base, *patched)

    async def _base(self, tree: Path, digest: str, command: Sequence[str], python: str) -> JunitReport:
        key = (digest, python, *command)
        if key not in self._bases:
            self._bases[key] = await self._run_base(tree, command, python)
            while len(self._bases) > _BASES:
                oldest, _ = self._bases.popitem(last=False)
                self._locks.pop(oldest[:2], None)
        return self._bases[key]

    async def _run_base(self, tree: Path, command: Sequence[str], python: str) -> JunitReport:
        result, report, tripwire = await self._run(tree, command, python)
        if report is None:
            raise BaseFailed(f"the base's tests gave no report ({_ending(result)}): {result.stderr.strip()[-500:]}")
        others = sorted(name for name in report.failed if tripwire not in name)
        if others:
            raise BaseFailed(f"the base's own tests fail: {', '.join(others[:5])}")
        if sum(report.failed.values()) != 1:
            raise BaseFailed("the base's test command does not collect tests added beside its own")
        if not report.passed:
            raise BaseFailed("the base has no test that passes")
        return report

    async def _run(
        self, tree: Path, command: Sequence[str], python: str
    ) -> tuple[SandboxResult, JunitReport | None, str]:
        tripwire, marker = f"t{secrets.token_hex(8)}", secrets.token_hex(16)
        folder = Path(tempfile.mkdtemp(prefix="selfbuild-tests-"))
        try:
            await asyncio.to_thread(copy_tree, tree, folder / "tree", uid=None)
            place = _tests_folder(folder / "tree", command)
            text = f"def test_{tripwire}():\n    assert not {tripwire!r}\n"
            file = place / f"test_{tripwire}_test.py"
            file.write_text(text)
            # Where single files are named, the folder beside them is not collected.
            named = [file.relative_to(folder / "tree").as_posix()] if _names_files(folder / "tree", command) else []
            result = await self._sandbox.run(
                ["/bin/sh", "-c", _SCRIPT, marker, *command, *named],
                tree=folder / "tree",
                limits=self._limits,
                readable=interpreter_paths(python),
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        _, found, text = result.stdout.partition(f"{marker}\n")
        report = read_junit(text) if found and result.limit is None else None
        return result, report, tripwire


def _pytest(command: Sequence[str], python: str) -> list[str] | None:
    words = [python if word in ("python", "python3") and index == 0 else word for index, word in enumerate(command)]
    if words[:1] == ["pytest"]:
        words = [python, "-m", *words]
    if words[1:3] != ["-m", "pytest"]:
        return None
    options = ["-p", "no:cacheprovider", "--maxfail=0", "-o", "junit_logging=no"]
    return [*words, *options]


def _tests_folder(tree: Path, command: Sequence[str]) -> Path:
    """A folder the command collects tests from."""
    named = [word.partition("::")[0] for word in command[3:] if not word.startswith("-")]
    for path in (*named, *_testpaths(tree), "tests", "test"):
        folder = tree / path if (tree / path).is_dir() else (tree / path).parent
        if (tree / path).exists() and folder.resolve().is_relative_to(tree.resolve()):
            return next((file.parent for file in sorted(folder.rglob("test_*.py"))), folder)
    return next((file.parent for file in sorted(tree.rglob("test_*.py"))), tree)


def _names_files(tree: Path, command: Sequence[str]) -> bool:
    return any((tree / word.partition("::")[0]).is_file() for word in command[3:] if not word.startswith(("-", "/")))


def _testpaths(tree: Path) -> list[str]:
    try:
        settings = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
        paths = settings["tool"]["pytest"]["ini_options"]["testpaths"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else str(paths).split()


def _ending(result: SandboxResult) -> str:
    return f"ended by the limit of {result.limit}" if result.limit else f"exit code {result.exit_code}"


def _judge(base: JunitReport, result: SandboxResult, report: JunitReport | None, tripwire: str) -> Outcome:
    if report is None:
        tail = result.stderr.strip()[-1500:]
        return failed(f"the tests gave no report ({_ending(result)})", findings=(tail,) if tail else ())
    others = sorted(name for name in report.failed if tripwire not in name)
    if others:
        findings = tuple(f"{name}: {report.reasons.get(name, '')}" for name in others[:20])
        return failed(f"{len(others)} tests fail, first {findings[0]}", place=others[0], findings=findings)
    if sum(report.failed.values()) != 1:
        return failed("the test that must fail did not fail: the result is forged")
    if report.passed != base.passed:
        missing = sorted((base.passed - report.passed) or (report.passed - base.passed))
        return failed(f"other tests pass than on the base: {', '.join(missing[:5])}", place=missing[0])
    if result.exit_code != 1:
        return failed(f"pytest ended with exit code {result.exit_code} where the test that must fail gives 1")
    return PASSED
