"""The shape a patch must leave alone: signatures, decorators, module constants, definitions, import-time statements."""

import ast
import builtins
import copy
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from selfbuild.gate.facts import is_bare
from selfbuild.gate.names import Names
from selfbuild.gate.regions import Definition, Function
from selfbuild.gate.vocabulary import CONSTANT_MAKERS, REPLACEABLE_DECORATORS, SAFE_DECORATORS

_BUILTINS = frozenset(dir(builtins))
_GUTTED_STATEMENTS = 3
"""A body of at least so many statements that shrinks to a bare return has lost its behaviour."""
_WEIGHTY = re.compile(
    r"role|admin|permission|auth|allow|deny|secret|token|key|password|csrf|origin|host|url|uri|endpoint|base|verify",
    re.IGNORECASE,
)
"""Names of constants whose change is an attack rather than a change too many."""


class Shape:
    """The definitions of a module in both versions, and which of them a patch touches."""

    def __init__(self, old: ast.Module, new: ast.Module, old_names: Names, new_names: Names) -> None:
        self.old, self.new = old, new
        self.old_names, self.new_names = old_names, new_names
        self.before, self.after = _by_name(old), _by_name(new)
        self._touched = {id(node) for names in (old_names, new_names) for node in names.nodes}

    def touches(self, node: ast.AST) -> bool:
        """Whether the node lies in a statement that differs; a class as such is always looked at."""
        return isinstance(node, ast.ClassDef) or id(node) in self._touched

    @cached_property
    def taken(self) -> set[str]:
        """Names the old module binds."""
        return _bound(self.old, self.old_names)


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


def reach_findings(shape: Shape, targets: Sequence[str] | None) -> Iterator[str]:
    """Changes of what lies outside of the functions that may change, or of what others rely on in them.

    Args:
        shape: The module in both versions.
        targets: Names of functions and classes that may change; None = every one may.
    """
    for name, (_, node) in shape.before.items():
        found = shape.after.get(name)
        if found is None:
            yield f"{name} is removed"
            continue
        if not (shape.touches(node) or shape.touches(found[1])):
            continue
        if type(node) is not type(found[1]) or not _same_signature(node, found[1]):
            yield f"the signature of {name} changes"
    for gone in _changed_constants(shape):
        if not _is_weighty(gone):
            yield f"a statement of the module or of a class changes or goes: {ast.unparse(gone)[:60]}"
    if targets is not None:
        yield from _unused(shape)


def outside_targets(shape: Shape, targets: Sequence[str]) -> str | None:
    """The first existing definition that changed, went or came again without being a target, or None."""
    for name, (count, node) in shape.before.items():
        if _is_target(name, targets):
            continue
        found = shape.after.get(name)
        if found is None or found[0] > count:
            return name
        if (shape.touches(node) or shape.touches(found[1])) and _differs(node, found[1]):
            return name
    return None


def _differs(old: Definition, new: Definition) -> bool:
    return not isinstance(old, ast.ClassDef) and ast.dump(old) != ast.dump(new)


def _unused(shape: Shape) -> Iterator[str]:
    """New functions and classes that nothing in the touched code uses."""
    references = Counter(_references(shape.new_names.nodes))
    for name, (_, node) in shape.after.items():
        owner, _, last = name.rpartition(".")
        if name in shape.before or last == "__init__" or (owner and owner not in shape.before):
            continue
        if references[last] <= Counter(_references(ast.walk(node)))[last]:
            yield f"{name} is new, and nothing that may change uses it"


def _references(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


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


def structure_findings(shape: Shape) -> Iterator[str]:
    """What the patch changes of the module's shape and may do harm, in words."""
    for name, (count, node) in shape.before.items():
        found = shape.after.get(name)
        if found is not None and (shape.touches(node) or shape.touches(found[1])):
            yield from _changed_definition(name, node, found[1], shape.new_names, shape.old_names)
        if found is not None and found[0] > count:
            yield f"{name} is defined once more"
    for name, (count, node) in shape.after.items():
        if name not in shape.before:
            yield from _new_definition(name, node, shape.new_names, shape.taken)
            if count > 1:
                yield f"{name} is defined more than once"
    for gone in _changed_constants(shape):
        if _is_weighty(gone):
            yield f"a statement of the module or of a class changes or goes: {ast.unparse(gone)[:60]}"
    yield from _import_time(shape)


def _changed_definition(name: str, old: Definition, new: Definition, names: Names, old_names: Names) -> Iterator[str]:
    yield from _decorators(name, old, new, names, old_names)
    if isinstance(old, Function) and isinstance(new, Function):
        if _generates(old) != _generates(new):
            yield f"{name} becomes, or stops being, a generator"
        if _size(old) >= _GUTTED_STATEMENTS and _is_gutted(new) and not _is_gutted(old):
            yield f"{name} loses its behaviour"


def _same_signature(old: Definition, new: Definition) -> bool:
    """Whether callers may go on as before; a mutable default may become None, and its annotation say so."""
    if isinstance(old, ast.ClassDef) or isinstance(new, ast.ClassDef) or _signature(old) == _signature(new):
        return _signature(old) == _signature(new)
    mended = [name for name, default in _defaults(old).items() if isinstance(default, ast.List | ast.Dict | ast.Set)]
    now = _defaults(new)
    mended = [name for name in mended if isinstance(now.get(name), ast.Constant) and ast.unparse(now[name]) == "None"]
    return bool(mended) and _signature(_without(old, mended)) == _signature(_without(new, mended))


def _defaults(node: Function) -> dict[str, ast.expr]:
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs = [*zip(positional[::-1], node.args.defaults[::-1], strict=False)]
    pairs += [
        (each, default) for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if default
    ]
    return {each.arg: default for each, default in pairs}


def _without(node: Function, names: Sequence[str]) -> Function:
    """A copy whose named parameters have neither annotation nor a default that tells."""
    copied = copy.deepcopy(node)
    for each in (*copied.args.posonlyargs, *copied.args.args, *copied.args.kwonlyargs):
        if each.arg in names:
            each.annotation = None
    replaced = {id(default) for name, default in _defaults(copied).items() if name in names}
    nothing = ast.Constant(None)
    copied.args.defaults = [nothing if id(each) in replaced else each for each in copied.args.defaults]
    copied.args.kw_defaults = [nothing if id(each) in replaced else each for each in copied.args.kw_defaults]
    return copied


def _signature(node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return ast.dump(ast.Tuple(elts=[*node.bases, *(word.value for word in node.keywords)], ctx=ast.Load()))
    return ast.dump(node.args) + ("" if node.returns is None else ast.dump(node.returns))


def _decorators(name: str, old: Definition, new: Definition, names: Names, old_names: Names) -> Iterator[str]:
    before = Counter(ast.unparse(item) for item in old.decorator_list)
    after = Counter(ast.unparse(item) for item in new.decorator_list)
    for item in new.decorator_list:
        if ast.unparse(item) not in before and not _is_safe_decorator(item, names):
            yield f"{name} gets the decorator {ast.unparse(item)[:60]}"
    for item in old.decorator_list:
        if ast.unparse(item) not in after and decorator_name(item, old_names) not in REPLACEABLE_DECORATORS:
            yield f"{name} loses the decorator {ast.unparse(item)[:60]}"


def _is_safe_decorator(item: ast.expr, names: Names) -> bool:
    arguments = [*item.args, *(word.value for word in item.keywords)] if isinstance(item, ast.Call) else []
    return decorator_name(item, names) in SAFE_DECORATORS and all(_is_simple(each, names) for each in arguments)


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
        if not _is_safe_decorator(item, names):
            yield f"{name} has the decorator {ast.unparse(item)[:60]}"
    if isinstance(node, ast.ClassDef):
        if node.keywords:
            yield f"{name} has a metaclass or class arguments"
    elif not all(_is_simple(each, names) for each in (*node.args.defaults, *node.args.kw_defaults) if each):
        yield f"{name} has a default that runs at import"


def _bound(tree: ast.Module, names: Names) -> set[str]:
    bound = set(names.imported) | {name for name, _ in definitions(tree.body)}
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound |= {inner.id for inner in ast.walk(statement) if isinstance(inner, ast.Name) and _stores(inner)}
    return bound


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _bodies(shape: Shape) -> Iterator[tuple[str, list[ast.stmt], list[ast.stmt]]]:
    """(what it is, old statements, new statements) of the module and of every class, touched ones only."""
    yield "the module", shape.old.body, shape.new.body
    for name, (_, node) in shape.after.items():
        if isinstance(node, ast.ClassDef):
            was = shape.before.get(name, (0, None))[1]
            yield f"class {name}", was.body if isinstance(was, ast.ClassDef) else [], node.body


def _changed_constants(shape: Shape) -> Iterator[ast.stmt]:
    for _, old, new in _bodies(shape):
        after = _plain(new, shape)
        yield from (node for key, node in _plain(old, shape).items() if key not in after)


def _is_weighty(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(_WEIGHTY.search(name) for name in _targets(node))


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _import_time(shape: Shape) -> Iterator[str]:
    for where, old, new in _bodies(shape):
        before, after = _plain(old, shape), _plain(new, shape)
        gone = {
            name
            for key, node in before.items()
            if key not in after and isinstance(node, ast.Assign | ast.AnnAssign)
            for name in _targets(node)
        }
        taken = (shape.taken if where == "the module" else set()) - gone
        for key, node in after.items():
            if key not in before and not _is_new_constant(node, shape, taken):
                yield f"{where} gets a statement that runs at import: {ast.unparse(node)[:60]}"


def _plain(body: Sequence[ast.stmt], shape: Shape) -> Mapping[str, ast.stmt]:
    skipped = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)
    counts: Counter[str] = Counter()
    found: dict[str, ast.stmt] = {}
    for node in body:
        if (
            isinstance(node, skipped)
            or not shape.touches(node)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ):
            continue
        key = ast.dump(node)
        counts[key] += 1
        found[f"{key}#{counts[key]}"] = node
    return found


def _is_new_constant(node: ast.stmt, shape: Shape, taken: set[str]) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    for target in node.targets if isinstance(node, ast.Assign) else (node.target,):
        if not isinstance(target, ast.Name) or target.id in taken | _BUILTINS:
            return False
        if target.id.startswith("__") and target.id != "__all__":
            return False
    return node.value is None or _is_simple(node.value, shape.new_names) or _is_hoisted(node.value, shape)


def _is_hoisted(value: ast.expr, shape: Shape) -> bool:
    """Whether the expression stood in a touched function, out of which it was taken."""
    text = ast.dump(value)
    return any(isinstance(node, ast.Call) and ast.dump(node) == text for node in shape.old_names.nodes)


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
