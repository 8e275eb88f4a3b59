"""Which functions a patch changes, so that their behaviour can be compared. Reads texts, runs nothing."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Function = ast.FunctionDef | ast.AsyncFunctionDef
Kind = Literal["function", "method", "staticmethod", "classmethod", "property", "setter"]
_GETTERS = {"property", "cached_property"}


@dataclass(frozen=True)
class FunctionRef:
    """A function, method or property of the application; what is nested within counts as part of it."""

    path: str
    """Of the file, relative to the repository."""
    qualified_name: str
    """`total`, or `Basket.weight`."""
    kind: Kind = "function"
    is_async: bool = False
    changed_lines: tuple[tuple[int, int], ...] = ()
    """Ranges of the new text that are new or different, both ends included; empty where lines were only removed, or
    where only something the function uses was changed."""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.path}:{self.qualified_name}"


@dataclass(frozen=True)
class Definition:
    """A function where it stands in the text."""

    qualified_name: str
    kind: Kind
    node: Function
    owner: ast.ClassDef | None

    @property
    def is_async(self) -> bool:
        """Whether a call must be awaited or iterated asynchronously."""
        return isinstance(self.node, ast.AsyncFunctionDef)


def changed_functions(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[FunctionRef, ...]:
    """Functions that stand in both versions and may behave differently, in the order of the new text.

    That is: those whose own text differs, those that use a name of the module whose text differs, and the methods of a
    class whose other statements differ. Texts that are no Python, and files of one version only, have none.
    """
    found: list[FunctionRef] = []
    for path in sorted(set(old) & set(new)):
        if path.endswith(".py") and old[path] != new[path]:
            found += _changed(path, old[path], new[path])
    return tuple(found)


def definitions(tree: ast.Module) -> list[Definition]:
    """Functions and methods of the module, those defined within functions left out; of two of one name, the last."""
    found = {(each.qualified_name, each.kind == "setter"): each for each in _defined(tree.body, "", None)}
    return list(found.values())


def _changed(path: str, old: str, new: str) -> Iterator[FunctionRef]:
    try:
        before, after = ast.parse(old), ast.parse(new)
    except (SyntaxError, ValueError, RecursionError):
        return
    was = {(each.qualified_name, each.kind): each for each in definitions(before)}
    changed_names = _changed_names(before, after)
    ranges = changed_ranges(old, new)
    for each in definitions(after):
        previous = was.get((each.qualified_name, each.kind))
        if previous is None:
            continue
        own = _text(previous.node) != _text(each.node)
        if own or _uses(each, changed_names) or _class_differs(previous.owner, each.owner):
            first, last = _lines(each.node)
            inside = tuple((max(a, first), min(b, last)) for a, b in ranges if a <= last and b >= first)
            yield FunctionRef(path, each.qualified_name, each.kind, each.is_async, inside)


def changed_ranges(old: str, new: str) -> list[tuple[int, int]]:
    """Lines of the new text that are new or different, counted from 1, both ends included."""
    matcher = SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    return [(j1 + 1, j2) for tag, _, _, j1, j2 in matcher.get_opcodes() if tag in ("insert", "replace")]


def _defined(body: Sequence[ast.stmt], prefix: str, owner: ast.ClassDef | None) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(f"{prefix}{node.name}", _kind(node, owner), node, owner)
        elif isinstance(node, ast.ClassDef):
            yield from _defined(node.body, f"{prefix}{node.name}.", node)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for name in ("body", "orelse", "finalbody"):
                yield from _defined(getattr(node, name, []), prefix, owner)


def _kind(node: Function, owner: ast.ClassDef | None) -> Kind:
    if owner is None:
        return "function"
    for decorator in node.decorator_list:
        text = ast.unparse(decorator)
        if text in ("staticmethod", "classmethod"):
            return "staticmethod" if text == "staticmethod" else "classmethod"
        if text.rpartition(".")[2] in _GETTERS:
            return "property"
        if text.endswith((".setter", ".deleter")):
            return "setter"
    return "classmethod" if node.name in ("__init_subclass__", "__class_getitem__") else "method"


def _changed_names(before: ast.Module, after: ast.Module) -> frozenset[str]:
    """Names of the module that are bound by other text than before, functions of the application left out: those are
    compared themselves."""
    was, is_ = _bindings(before), _bindings(after)
    return frozenset(name for name in was.keys() & is_.keys() if was[name] != is_[name])


def _bindings(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
        for name in names:
            found[name] = found.get(name, "") + _text(node)
    return found


def _uses(each: Definition, names: frozenset[str]) -> bool:
    return bool(names) and any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(each.node))


def _class_differs(old: ast.ClassDef | None, new: ast.ClassDef | None) -> bool:
    return old is not None and new is not None and _class_text(old) != _class_text(new)


def _class_text(node: ast.ClassDef) -> list[str]:
    own = [each for each in node.body if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return [_text(each) for each in (*node.bases, *node.keywords, *node.decorator_list, *own)]


def _text(node: ast.AST) -> str:
    return ast.dump(node)


def _lines(node: Function) -> tuple[int, int]:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return first, node.end_lineno or node.lineno
