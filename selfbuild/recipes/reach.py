"""Which functions serve a component, told from the shown files alone: its handlers and all they lead to, by name."""

import ast
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_ROUTE = re.compile(r"/[\w\-./{}<>:*]*|[A-Za-z][\w\-]*")
_COMMON = 4
"""A method name that so many classes have leads nowhere: it would tie every component to every other."""
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class _Function:
    path: str
    name: str
    owner: str | None
    """The class it is a method of."""
    called: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)


@dataclass
class _Index:
    functions: list[_Function] = field(default_factory=list)
    classes: dict[str, str] = field(default_factory=dict)
    """Class -> path."""
    routes: list[tuple[str, set[str], tuple[str, str] | None]] = field(default_factory=list)
    """(text, names that stand with it, the function whose branch it is)."""


def reachable(texts: Mapping[str, str], component: str) -> dict[str, frozenset[str]] | None:
    """Path -> bare names of the functions that serve the component; None where no handler of it can be found.

    A handler is a function or class that carries the component's words in its name, is registered under a route or
    name that does, or answers in a branch on one. From there calls are followed by name; a method name that many
    classes share is not.
    """
    index = _read(texts)
    wanted = _normal(component)
    if not wanted:
        return None
    named = {name for text, names, _ in index.routes if _mentions(text, wanted) for name in names}
    branches = {branch for text, _, branch in index.routes if branch is not None and _mentions(text, wanted)}
    seeds = [each for each in index.functions if _is_seed(each, wanted, named)]
    found = _closure(index, seeds)
    for path, function in branches:
        found.setdefault(path, set()).add(function)
    return {path: frozenset(names) for path, names in found.items()} or None


def unclaimed(texts: Mapping[str, str], component: str) -> dict[str, frozenset[str]]:
    """Path -> functions that no handler of another component leads to, beyond those of the component itself."""
    index = _read(texts)
    wanted = _normal(component)
    others = {name for text, names, _ in index.routes if not _mentions(text, wanted) for name in names}
    own = reachable(texts, component) or {}
    claimed = _closure(index, [each for each in index.functions if each.name in others])
    free: dict[str, set[str]] = {path: set(names) for path, names in own.items()}
    for each in index.functions:
        if each.name not in claimed.get(each.path, set()):
            free.setdefault(each.path, set()).add(each.name)
    return {path: frozenset(names) for path, names in free.items()}


def _closure(index: _Index, seeds: Iterable[_Function]) -> dict[str, set[str]]:
    by_name: dict[str, list[_Function]] = {}
    for each in index.functions:
        by_name.setdefault(each.name, []).append(each)
    found: dict[str, set[str]] = {}
    waiting = list(seeds)
    while waiting:
        function = waiting.pop()
        if function.name in found.setdefault(function.path, set()):
            continue
        found[function.path].add(function.name)
        for name in function.called:
            waiting += [each for each in by_name.get(name, []) if each.owner is None or each.path == function.path]
            waiting += [each for each in index.functions if each.owner == name and each.name.startswith("__")]
        for name in function.attributes:
            methods = by_name.get(name, [])
            waiting += methods if len(methods) < _COMMON else []
    return found


def _is_seed(function: _Function, wanted: tuple[str, ...], named: set[str]) -> bool:
    if function.name in named or (function.owner is not None and function.owner in named):
        return True
    return any(_contains(_normal(name), wanted) for name in (function.name, function.owner) if name)


def _normal(text: str) -> tuple[str, ...]:
    """The words of a name, in lower case and singular."""
    return tuple(word.lower().rstrip("s") or word.lower() for word in _WORDS.findall(text))


def _contains(words: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


def _mentions(text: str, wanted: tuple[str, ...]) -> bool:
    return len(text) <= 80 and _contains(_normal(text), wanted)


def _read(texts: Mapping[str, str]) -> _Index:
    index = _Index()
    for path in sorted(texts):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(texts[path])
            _definitions(index, path, tree.body, None)
            _Routes(index, path).visit(tree)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return index


def _definitions(index: _Index, path: str, body: Iterable[ast.AST], owner: str | None) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            index.classes[node.name] = path
            _definitions(index, path, node.body, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = _Function(path, node.name, owner)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                    function.called.add(inner.id)
                elif isinstance(inner, ast.Attribute):
                    function.attributes.add(inner.attr)
            index.functions.append(function)
            _definitions(index, path, node.body, owner)
        else:
            _definitions(index, path, ast.iter_child_nodes(node), owner)


class _Routes(ast.NodeVisitor):
    """Texts that stand together with names of functions: routes, tables of handlers, branches on a path."""

    def __init__(self, index: _Index, path: str) -> None:
        self._index = index
        self._path = path
        self._within: list[str] = []

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            for text in _texts(decorator):
                self._index.routes.append((text, {node.name}, None))
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    visit_FunctionDef = _definition
    visit_AsyncFunctionDef = _definition

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                for text in _texts(key):
                    self._index.routes.append((text, _names(value), None))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if first is not None and len(node.args) + len(node.keywords) > 1:
            names = set().union(*(_names(each) for each in [*node.args[1:], *(word.value for word in node.keywords)]))
            for text in _texts(first) if not isinstance(first, ast.Call) else ():
                if text.startswith("/"):
                    self._index.routes.append((text, names, None))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        names = set().union(*(_names(each) for each in node.body))
        self._branch(_texts(node.test), names)
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        names = set().union(*(_names(each) for each in node.body))
        self._branch(_texts(node.pattern), names)
        self.generic_visit(node)

    def _branch(self, texts: list[str], names: set[str]) -> None:
        within = (self._path, self._within[-1]) if self._within else None
        for text in texts:
            if text.startswith("/"):
                self._index.routes.append((text, names, within))


def _texts(node: ast.AST) -> list[str]:
    found = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return [text for text in found if _ROUTE.fullmatch(text)]


def _names(node: ast.AST) -> set[str]:
    bare = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return bare | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
