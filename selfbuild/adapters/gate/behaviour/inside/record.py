"""Runs the application's tests in process and keeps pickled copies of the arguments of some functions' calls.

Run as `python FOLDER/record.py FOLDER`. A call is noted by a statement put at the start of each function when its
module is compiled, so that decorators, methods, generators and coroutines need no care of their own.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib.machinery
import os
import pickle
import sys

from channel import Channel  # type: ignore[import-not-found]

# The application may have a module of that name.
del sys.modules["channel"]
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HOOK = "__selfbuild_note__"
_LARGEST_BYTES = 32_768


class Recorder:
    """Collects calls up to a number for each function; equal arguments are kept once."""

    def __init__(self, count: int, per_function: int) -> None:
        self.calls: list[list[Any]] = []
        self.skipped = [0] * count
        self.seen = [0] * count
        self._limit = per_function
        self._kept: list[set[bytes]] = [set() for _ in range(count)]
        self.test = ""
        self._busy = False

    def note(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Called by the application's functions."""
        if self._busy:
            return
        self.seen[index] += 1
        if len(self._kept[index]) >= self._limit or self.seen[index] > 50 * self._limit:
            return
        self._busy = True
        try:
            pickled = pickle.dumps((args, kwargs), protocol=4)
        except Exception:  # noqa: BLE001 - whatever the application's own reduction raises
            self.skipped[index] += 1
            return
        finally:
            self._busy = False
        if len(pickled) > _LARGEST_BYTES:
            self.skipped[index] += 1
        elif pickled not in self._kept[index]:
            self._kept[index].add(pickled)
            self.calls.append([index, base64.b64encode(pickled).decode(), self.test])


class _Loader(importlib.machinery.SourceFileLoader):
    targets: dict[str, dict[tuple[str, str], int]] = {}
    modules: dict[str, str] = {}

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path))
        relative = os.path.relpath(path)
        self.modules[relative] = fullname
        insert(tree, self.targets[relative])
        return compile(tree, path, "exec", dont_inherit=True)


class _Finder:
    """Hands out the noting loader for the files in question."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin and os.path.relpath(spec.origin) in _Loader.targets:
            spec.loader = _Loader(name, spec.origin)
        return spec


def insert(tree: ast.Module, wanted: dict[tuple[str, str], int]) -> None:
    """Put a noting statement at the start of each wanted function, by (qualified name, `setter` or nothing)."""

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                setter = any(ast.unparse(each).endswith(".setter") for each in node.decorator_list)
                index = wanted.get((prefix + node.name, "setter" if setter else ""))
                if index is not None:
                    _prepend(node, index)
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            else:
                for name in ("body", "orelse", "finalbody"):
                    visit(getattr(node, name, []), prefix)

    visit(tree.body, "")
    ast.fix_missing_locations(tree)


def _prepend(node: Any, index: int) -> None:
    spec = node.args
    names = [each.arg for each in (*spec.posonlyargs, *spec.args)]
    starred = [f"*{spec.vararg.arg}"] if spec.vararg else []
    named = [f"{each.arg!r}: {each.arg}" for each in spec.kwonlyargs] + ([f"**{spec.kwarg.arg}"] if spec.kwarg else [])
    positional = "".join(f"{name}, " for name in names + starred)
    text = f"{_HOOK}({index}, ({positional}), {{{', '.join(named)}}})"
    statement = ast.parse(text).body[0]
    for each in ast.walk(statement):
        ast.copy_location(each, node)
    described = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
    node.body.insert(1 if described else 0, statement)


class _Plugin:
    """Tells pytest's test of the moment to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        self._recorder.test = nodeid


def main() -> None:
    """Run the tests and answer with what was noted."""
    channel = Channel(sys.argv[1])
    functions: list[dict[str, str]] = channel.plan["functions"]
    recorder = Recorder(len(functions), channel.plan["per_function"])
    for index, each in enumerate(functions):
        key = (each["name"], "setter" if each["kind"] == "setter" else "")
        _Loader.targets.setdefault(each["path"], {})[key] = index
    note: Callable[..., None] = recorder.note
    setattr(builtins, _HOOK, note)
    sys.meta_path.insert(0, _Finder)
    # As `python -m pytest` has it.
    sys.path[0:1] = [os.getcwd()]
    problem = None
    try:
        import pytest

        sys.argv = ["pytest", *channel.plan["arguments"]]
        code = pytest.main(channel.plan["arguments"], plugins=[_Plugin(recorder)])
        problem = None if int(code) in (0, 1) else f"pytest ended with exit code {int(code)}"
    except BaseException as error:  # noqa: BLE001 - nothing the application raises may prevent the answer
        problem = f"the tests could not be run: {type(error).__name__}: {error}"[:500]
    here = os.getcwd()
    inside = [
        os.path.relpath(path) for path in map(os.path.abspath, sys.path) if path == here or path.startswith(here + "/")
    ]
    channel.send(
        {
            "calls": recorder.calls,
            "skipped": recorder.skipped,
            "seen": recorder.seen,
            "modules": _Loader.modules,
            "paths": list(dict.fromkeys(inside)),
            "problem": problem,
        }
    )
    channel.end()


main()
