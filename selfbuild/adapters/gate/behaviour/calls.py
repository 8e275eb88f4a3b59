"""Records what the application's tests call its functions with. The arguments stay opaque to this process."""

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from selfbuild.adapters.gate.behaviour.programs import run_program
from selfbuild.gate.changes import FunctionRef
from selfbuild.ports import Sandbox, SandboxLimits

RECORD_LIMITS = SandboxLimits(wall_s=120, cpu_s=90, memory_bytes=2 << 30, output_bytes=8 << 20)
_LARGEST_BYTES = 64_000


@dataclass(frozen=True)
class RecordedCall:
    """The arguments of one call as they were when it began."""

    function: FunctionRef
    arguments: bytes
    """Pickled `(args, kwargs)`, `self` included. To be unpickled in the sandbox alone."""
    test: str
    """Id of the test that led to the call; empty during collection."""


@dataclass(frozen=True)
class RecordedCalls:
    """What a run of the tests led to."""

    calls: tuple[RecordedCall, ...] = ()
    """In the order they began; calls with equal arguments are kept once."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Label of a function -> calls whose arguments cannot be pickled or are large."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """Label of a function -> calls that were looked at, kept or not."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Path -> name under which the tests imported it."""
    paths: tuple[str, ...] = ()
    """Folders of the tree that modules were imported from, the first one first."""
    duration_s: float = 0.0
    """How long the tests took, with the start of the interpreter."""
    problem: str | None = None
    """Why nothing could be recorded; failing tests are no problem."""

    def of(self, function: FunctionRef) -> tuple[RecordedCall, ...]:
        """The calls of one function."""
        return tuple(call for call in self.calls if _key(call.function) == _key(function))


async def record_calls(
    sandbox: Sandbox,
    *,
    tree: Path,
    functions: Sequence[FunctionRef],
    test_command: Sequence[str],
    python: str,
    per_function: int = 20,
) -> RecordedCalls:
    """Run the application's tests once and keep the arguments of calls of the functions.

    Args:
        sandbox: Where.
        tree: The version whose tests are run.
        functions: Whose calls are kept; what is nested in a function cannot be named.
        test_command: The application's; one that does not run pytest records nothing.
        python: The application's interpreter.
        per_function: Most calls kept of one function.

    Raises:
        Unreachable: the sandbox did not start.
    """
    arguments = pytest_arguments(test_command)
    if arguments is None:
        return RecordedCalls(problem=f"the test command {list(test_command)} does not run pytest")
    if not functions:
        return RecordedCalls()
    plan = {
        "functions": [{"path": each.path, "name": each.qualified_name, "kind": each.kind} for each in functions],
        "per_function": per_function,
        "arguments": [*arguments, "-p", "no:cacheprovider", "-q"],
    }
    started = time.perf_counter()
    answer = await run_program(sandbox, "record", tree=tree, plan=plan, python=python, limits=RECORD_LIMITS)
    if answer.problem is not None or len(answer.parts) != 1:
        return RecordedCalls(problem=answer.problem or "the recording was sent more than once")
    try:
        return replace(_recorded(answer.parts[0], functions), duration_s=time.perf_counter() - started)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return RecordedCalls(problem=f"the recording cannot be read: {error}")


def pytest_arguments(command: Sequence[str]) -> list[str] | None:
    """What follows `pytest` in a command such as `python -m pytest -q`; None where it is no such command."""
    words = list(command)
    if words[:1] == ["pytest"]:
        return words[1:]
    return words[3:] if words[1:3] == ["-m", "pytest"] else None


def module_of(tree: Path, path: str) -> tuple[str, str]:
    """(folder to import from, dotted name) of a file, by the packages around it."""
    file = PurePosixPath(path)
    names = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while str(folder) != "." and (tree / folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(names) or file.parent.name


def _recorded(value: Mapping[str, Any], functions: Sequence[FunctionRef]) -> RecordedCalls:
    calls = []
    for index, text, test in value["calls"]:
        try:
            arguments = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error
        if len(arguments) <= _LARGEST_BYTES and index >= 0:
            calls.append(RecordedCall(functions[index], arguments, str(test)))
    known = {each.path for each in functions}
    problem = value["problem"]
    return RecordedCalls(
        calls=tuple(calls),
        skipped=_counts(value["skipped"], functions),
        seen=_counts(value["seen"], functions),
        modules={str(path): str(name) for path, name in value["modules"].items() if path in known},
        paths=tuple(str(path) for path in value["paths"] if _stays_inside(str(path))),
        problem=None if problem is None else str(problem),
    )


def _counts(counts: Sequence[int], functions: Sequence[FunctionRef]) -> dict[str, int]:
    return {each.label: int(count) for each, count in zip(functions, counts, strict=True) if count}


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _key(function: FunctionRef) -> tuple[str, str, bool]:
    return function.path, function.qualified_name, function.kind == "setter"
