"""Types of the changed files as the difference between base and patch; mypy's cache is kept for each base."""

import asyncio
import itertools
import os
import re
import shutil
import sys
import tempfile
import weakref
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from selfbuild.adapters.gate.outcome import Finding, Outcome, delta, skipped
from selfbuild.adapters.gate.tools import Answer, ask, tool_version
from selfbuild.adapters.sandbox.staging import copy_tree

_BASES = 4
"""Bases whose tree and cache are kept; one takes about 20 MB."""
_LINE = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<message>.+?)(?:  \[(?P<rule>[a-z0-9-]+)\])?$")


@dataclass
class _Base:
    folder: Path
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    findings: dict[tuple[str, ...], Counter[Finding]] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        return self.folder / "tree"


class TypeChecker:
    """Runs mypy on files of one base after another; `close` removes what it kept."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="selfbuild-types-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._bases: OrderedDict[str, _Base] = OrderedDict()
        self._seconds = itertools.count(1_000_000_000)

    def close(self) -> None:
        """Remove the kept trees and caches; left undone, it happens when the process ends."""
        self._remove()

    async def check(self, base_tree: Path, digest: str, new: Mapping[str, str], *, python: str) -> Outcome:
        """Fails for errors the patched files have and the base's have not.

        Args:
            base_tree: The application as it is.
            digest: Of the base tree's content: the same digest reuses what is known.
            new: Path -> patched text.
            python: Interpreter of the application, for the packages it has.
        """
        if tool_version("mypy") is None:
            return skipped("mypy is not installed: run 'pip install mypy'")
        paths = tuple(sorted(path for path in new if path.endswith(".py")))
        base = await self._base(base_tree, digest)
        async with base.lock:
            return await self._compare(base, paths, new, python)

    async def _base(self, base_tree: Path, digest: str) -> _Base:
        base = self._bases.get(digest)
        if base is None:
            base = _Base(self._folder / digest)
            base.folder.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(self._prepare, base, base_tree)
            self._bases[digest] = base
            while len(self._bases) > _BASES:
                oldest = next(iter(self._bases))
                if self._bases[oldest].lock.locked():
                    break
                shutil.rmtree(self._bases.pop(oldest).folder, ignore_errors=True)
        self._bases.move_to_end(digest)
        return base

    def _prepare(self, base: _Base, base_tree: Path) -> None:
        if base.tree.exists():
            return
        copy_tree(base_tree, base.tree, uid=None)
        # What mypy knows of the standard library and of packages serves every base: that halves a cold start.
        for other in reversed(self._bases.values()):
            if (other.folder / "cache").is_dir() and not other.lock.locked():
                shutil.copytree(other.folder / "cache", base.folder / "cache", dirs_exist_ok=True)
                return

    async def _compare(self, base: _Base, paths: tuple[str, ...], new: Mapping[str, str], python: str) -> Outcome:
        known = base.findings.get(paths)
        if known is None:
            answer = await self._ask(base, paths, python)
            if answer.return_code not in (0, 1):
                return skipped(f"mypy gave no answer on the base: {(answer.stdout + answer.stderr)[-500:]}")
            known, _ = _read(answer, base.tree)
            base.findings[paths] = known
        old = {path: (base.tree / path).read_bytes() for path in paths}
        try:
            for path in paths:
                self._write(base.tree / path, new[path].encode())
            answer = await self._ask(base, paths, python)
        finally:
            for path, content in old.items():
                self._write(base.tree / path, content)
        if answer.return_code not in (0, 1):
            return skipped(f"mypy gave no answer: {(answer.stdout + answer.stderr)[-500:]}")
        found, lines = _read(answer, base.tree)
        return delta(known, found, lines)

    def _write(self, path: Path, content: bytes) -> None:
        """Each version gets its own second: mypy takes a file of equal size and second for unchanged."""
        path.write_bytes(content)
        second = next(self._seconds)
        os.utime(path, (second, second))

    async def _ask(self, base: _Base, paths: tuple[str, ...], python: str) -> Answer:
        command = [sys.executable, "-I", "-m", "mypy", "--config-file=", "--cache-dir", str(base.folder / "cache")]
        command += ["--python-executable", python, "--no-error-summary", "--hide-error-context", "--no-color-output"]
        command += ["--show-error-codes", "--no-pretty", "--ignore-missing-imports", "--follow-imports=silent"]
        # A missing annotation is no wrong type: code without any may be patched in its own style.
        command += [
            "--check-untyped-defs",
            "--disable-error-code=var-annotated",
            "--explicit-package-bases",
            "--namespace-packages",
        ]
        command += [str(base.tree / path) for path in paths]
        roots = [str(root) for root in (base.tree, base.tree / "src") if root.is_dir()]
        return await ask(command, folder=base.folder, environment={"MYPYPATH": os.pathsep.join(reversed(roots))})


def _read(answer: Answer, tree: Path) -> tuple[Counter[Finding], dict[Finding, int]]:
    found: Counter[Finding] = Counter()
    lines: dict[Finding, int] = {}
    for line in answer.stdout.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        path = _in_repository(match["file"], tree)
        finding = Finding(path, match["rule"] or "error", match["message"])
        found[finding] += 1
        lines[finding] = int(match["line"])
    return found, lines


def _in_repository(file: str, tree: Path) -> str:
    """The path in the repository of a file mypy names relative to where it ran."""
    path = Path(os.path.normpath(tree.parent / file))
    return path.relative_to(tree).as_posix() if path.is_relative_to(tree) else file
