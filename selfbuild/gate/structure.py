"""The shape a patch must leave alone: signatures, decorators, module constants, definitions, import-time statements."""

import ast
import builtins
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from selfbuild.gate.facts import Function, is_bare
from selfbuild.gate.names import Names
from selfbuild.gate.vocabulary import CONSTANT_MAKERS, REPLACEABLE_DECORATORS, SAFE_DECORATORS

_BUILTINS = frozenset(dir(builtins))
Definition = Function | ast.ClassDef
_GUTTED_STATEMENTS = 3
"""A body of at least so many statements that shrinks to a bare return has lost its behaviour."""


def definitions(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """(qualified name, definition) of functions and classes, nested classes' members too, in source order."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for _, block in ast.iter_fields(node):
                if isinstance(block, list):
                    yield from definitions([item for item in block if isinstance(item, ast.stmt)], prefix)


def outside_targets(old: ast.Module, new: ast.Module, targets: Sequence[str]) -> str | None:
    """The first existing function or method that changed without being a target, or None."""
    before, after = _by_name(old), _by_name(new)
    for name, (_, node) in before.items():
        if isinstance(node, ast.ClassDef) or _is_target(name, targets) or name not in after:
            continue
        if ast.dump(node) != ast.dump(after[name][1]):
            return name
    return None


def _is_target(name: str, targets: Sequence[str]) -> bool:
    parts = name.split(".")
    return any(
        target in (name, parts[-1], *(".".join(parts[:count]) for count in range(1, len(parts)))) for target in targets
    )


def _by_name(tree: ast.Module) -> dict[str, tuple[int, Definition]]:
    found: dict[str, tuple[int, Definition]] = {}
    for name, node in definitions(tree.body):
        found[name] = (found.get(name, (0, node))[0] + 1, node)
    return found


def structure_findings(old: ast.Module, new: ast.Module, names: Names, old_names: Names) -> Iterator[str]:
    """What the patch changes of the module's shape, in words."""
    before, after = _by_name(old), _by_name(new)
    for name, (count, node) in before.items():
        if name not in after:
            yield f"{name} is removed"
        else:
            yield from _changed_definition(name, node, after[name][1], names, old_names)
            if after[name][0] > count:
                yield f"{name} is defined once more"
    taken = _bound(old, old_names)
    for name, (count, node) in after.items():
        if name not in before:
            yield from _new_definition(name, node, names, taken)
            if count > 1:
                yield f"{name} is defined more than once"
    yield from _statements(old.body, new.body, names, taken, "the module")
    for name, (_, node) in after.items():
        was = before.get(name, (0, None))[1]
        if isinstance(node, ast.ClassDef):
            members = was.body if isinstance(was, ast.ClassDef) else []
            yield from _statements(members, node.body, names, set(), f"class {name}")


def _changed_definition(name: str, old: Definition, new: Definition, names: Names, old_names: Names) -> Iterator[str]:
    if type(old) is not type(new) or _signature(old) != _signature(new):
        yield f"the signature of {name} changes"
    yield from _decorators(name, old, new, names, old_names)
    if isinstance(old, Function) and isinstance(new, Function):
        if _generates(old) != _generates(new):
            yield f"{name} becomes, or stops being, a generator"
        if _size(old) >= _GUTTED_STATEMENTS and _is_gutted(new) and not _is_gutted(old):
            yield f"{name} loses its behaviour"


def _signature(node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return ast.dump(ast.Tuple(elts=[*node.bases, *(word.value for word in node.keywords)], ctx=ast.Load()))
    return ast.dump(node.args) + ("" if node.returns is None else ast.dump(node.returns))


def _decorators(name: str, old: Definition, new: Definition, names: Names, old_names: Names) -> Iterator[str]:
    before = Counter(ast.unparse(item) for item in old.decorator_list)
    after = Counter(ast.unparse(item) for item in new.decorator_list)
    for item in new.decorator_list:
        if ast.unparse(item) not in before and decorator_name(item, names) not in SAFE_DECORATORS:
            yield f"{name} gets the decorator {ast.unparse(item)[:60]}"
    for item in old.decorator_list:
        if ast.unparse(item) not in after and decorator_name(item, old_names) not in REPLACEABLE_DECORATORS:
            yield f"{name} loses the decorator {ast.unparse(item)[:60]}"


def decorator_name(item: ast.expr, names: Names) -> str | None:
    """The dotted name of a decorator, called or not."""
    return names.dotted(item.func if isinstance(item, ast.Call) else item)


def _generates(node: Function) -> bool:
    return any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node))


def _size(node: Function) -> int:
    return sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1


def _is_gutted(node: Function) -> bool:
    body = [item for item in node.body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
    return all(isinstance(item, ast.Pass) or (isinstance(item, ast.Return) and is_bare(item.value)) for item in body)


def _new_definition(name: str, node: Definition, names: Names, taken: set[str]) -> Iterator[str]:
    last = name.rpartition(".")[2]
    if last.startswith("__") and last != "__init__":
        yield f"{name} is a new hook of the interpreter"
    if name in taken or ("." not in name and name in _BUILTINS):
        yield f"{name} shadows another name"
    for item in node.decorator_list:
        if decorator_name(item, names) not in SAFE_DECORATORS:
            yield f"{name} has the decorator {ast.unparse(item)[:60]}"
    if isinstance(node, ast.ClassDef) and node.keywords:
        yield f"{name} has a metaclass or class arguments"


def _bound(tree: ast.Module, names: Names) -> set[str]:
    bound = set(names.imported) | {name for name, _ in definitions(tree.body)}
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound |= {inner.id for inner in ast.walk(statement) if isinstance(inner, ast.Name) and _stores(inner)}
    return bound


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _statements(
    old: Sequence[ast.stmt], new: Sequence[ast.stmt], names: Names, taken: set[str], where: str
) -> Iterator[str]:
    before, after = _plain(old), _plain(new)
    for key, node in before.items():
        if key not in after:
            yield f"a statement of {where} changes or goes: {ast.unparse(node)[:60]}"
    for key, node in after.items():
        if key not in before and not _is_new_constant(node, names, taken):
            yield f"{where} gets a statement that runs at import: {ast.unparse(node)[:60]}"


def _plain(body: Sequence[ast.stmt]) -> Mapping[str, ast.stmt]:
    skipped = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)
    counts: Counter[str] = Counter()
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, skipped) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        key = ast.dump(node)
        counts[key] += 1
        found[f"{key}#{counts[key]}"] = node
    return found


def _is_new_constant(node: ast.stmt, names: Names, taken: set[str]) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    value = node.value
    for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
        if not isinstance(target, ast.Name) or target.id in taken | _BUILTINS or target.id.startswith("__"):
            return False
    return value is None or _is_simple(value, names)


def _is_simple(node: ast.expr, names: Names) -> bool:
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.Name | ast.Attribute):
        return names.dotted(node) is not None
    if isinstance(node, ast.Call):
        arguments = [*node.args, *(word.value for word in node.keywords)]
        return names.dotted(node.func) in CONSTANT_MAKERS and all(_is_simple(item, names) for item in arguments)
    allowed = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp, ast.Subscript)
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return isinstance(node, allowed) and all(_is_simple(child, names) for child in children)
