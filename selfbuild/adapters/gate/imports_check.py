"""Imports every changed file in the sandbox: cycles, missing packages and errors at import show before the tests do."""

import json
from pathlib import Path, PurePosixPath

from selfbuild.adapters.gate.outcome import PASSED, Outcome, failed, skipped
from selfbuild.adapters.sandbox.staging import interpreter_paths
from selfbuild.ports import Sandbox, SandboxLimits, SandboxResult

_LIMITS = SandboxLimits(wall_s=60, cpu_s=30)
_PROGRAM = """
import importlib, json, sys, traceback
failures = {}
for path, root, name in json.loads(sys.argv[1]):
    sys.path[:0] = [root, ".", "src"]
    try:
        importlib.import_module(name)
    except BaseException as error:
        failures[path] = "".join(traceback.format_exception_only(error)).strip()[-500:]
sys.stdout.write("\\n" + json.dumps(failures))
sys.stdout.flush()
"""


async def imports(
    sandbox: Sandbox, *, base_tree: Path, patched_tree: Path, changed: tuple[str, ...], python: str
) -> Outcome:
    """Fails for a file that imported on the base and does not on the patch.

    Raises:
        Unreachable: the sandbox did not start.
    """
    paths = [path for path in changed if path.endswith(".py")]
    if not paths:
        return PASSED
    result = await _run(sandbox, patched_tree, paths, python)
    failures = _failures(result)
    if failures == {}:
        return PASSED
    base = _failures(await _run(sandbox, base_tree, paths, python))
    if base is None or set(failures or paths) <= set(base):
        reason = "; ".join(f"{path}: {text}" for path, text in sorted((base or {}).items()))
        return skipped(f"the base cannot be imported either: {reason or 'no answer'}"[:1000])
    if failures is None:
        return failed(f"importing ended without an answer ({result.limit or result.exit_code})", place=paths[0])
    path = min(set(failures) - set(base))
    return failed(f"{path} cannot be imported: {failures[path]}", place=path, findings=tuple(failures.values()))


async def _run(sandbox: Sandbox, tree: Path, paths: list[str], python: str) -> SandboxResult:
    plan = json.dumps([[path, *_module(tree, path)] for path in paths])
    command = [python, "-c", _PROGRAM, plan]
    return await sandbox.run(command, tree=tree, limits=_LIMITS, readable=interpreter_paths(python))


def _failures(result: SandboxResult) -> dict[str, str] | None:
    """Path -> error; None where the program did not reach its end."""
    if result.limit is not None or result.exit_code != 0:
        return None
    try:
        found = json.loads(result.stdout.rpartition("\n")[2])
    except ValueError:
        return None
    return {str(path): str(text) for path, text in found.items()} if isinstance(found, dict) else None


def _module(tree: Path, path: str) -> tuple[str, str]:
    """(folder to import from, dotted name) of a file, by the packages around it."""
    file = PurePosixPath(path)
    names = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while str(folder) != "." and (tree / folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(names) or file.parent.name
