"""Runs one of the programs of `inside` in the sandbox and reads its answer as data."""

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfbuild.adapters.sandbox.staging import copy_tree, interpreter_paths
from selfbuild.ports import Sandbox, SandboxLimits

Program = Literal["record", "replay", "measure", "reproduce"]
_INSIDE = Path(__file__).with_name("inside")
_FILES = tuple(path for path in sorted(_INSIDE.glob("*.py")) if path.name != "__init__.py")


@dataclass(frozen=True)
class Answer:
    """What a program sent, in its order."""

    parts: tuple[Mapping[str, Any], ...] = ()
    problem: str | None = None
    """Why it did not reach its end; None where it did."""


async def run_program(
    sandbox: Sandbox,
    program: Program,
    *,
    tree: Path,
    plan: Mapping[str, Any],
    python: str,
    limits: SandboxLimits,
    hash_seed: int = 0,
    files: Mapping[str, str] | None = None,
) -> Answer:
    """Run it beside a copy of the tree. The answer was written by a process the application shares: only its form is
    certain.

    Args:
        sandbox: Where.
        program: Which.
        tree: The application.
        plan: What the program is told.
        python: The application's interpreter.
        limits: Bounds of the run.
        hash_seed: Of the order of sets and of hashes.
        files: Texts that replace those of the tree.

    Raises:
        Unreachable: the sandbox did not start.
    """
    word = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-behaviour-"))
    try:
        staged, name = folder / "tree", f".selfbuild-{secrets.token_hex(8)}"
        await asyncio.to_thread(_stage, tree, staged, name, {**plan, "word": word}, files or {})
        result = await sandbox.run(
            [python, f"{name}/{program}.py", name],
            tree=staged,
            limits=limits,
            readable=interpreter_paths(python),
            environment={"PYTHONHASHSEED": str(hash_seed)},
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    parts = _read(result.stdout, word)
    if parts and parts[-1] == {"end": True} and result.limit is None:
        return Answer(parts[:-1])
    if result.limit is not None:
        return Answer(parts, f"ended by the limit of {result.limit}")
    return Answer(parts, f"ended early with exit code {result.exit_code}: {result.stderr.strip()[-500:]}")


def _stage(tree: Path, staged: Path, name: str, plan: Mapping[str, Any], files: Mapping[str, str]) -> None:
    copy_tree(tree, staged, uid=None)
    for path, text in files.items():
        (staged / path).write_bytes(text.encode("utf-8"))
    (staged / name).mkdir()
    for file in _FILES:
        shutil.copyfile(file, staged / name / file.name)
    (staged / name / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def _read(output: str, word: str) -> tuple[Mapping[str, Any], ...]:
    """The parts that are well-formed; what follows one that is not is not read."""
    parts: list[Mapping[str, Any]] = []
    for line in output.split("\n"):
        if not line.startswith(word):
            continue
        try:
            part = json.loads(line.removeprefix(word))
        except (ValueError, RecursionError):
            break
        if not isinstance(part, dict):
            break
        parts.append(part)
    return tuple(parts)
