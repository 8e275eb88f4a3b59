"""Flow of control that says one thing and does another: fixed conditions, dead code, hidden errors, endless loops."""

import ast
import builtins
from collections.abc import Iterator

from selfbuild.gate.names import Names

_BUILTINS = frozenset(dir(builtins))
_LONGEST_WAIT_S = 30
"""Longest literal wait between two attempts."""
_LONGEST_POWER = 40
"""Digits of the base times the exponent; 2**32 has 32."""
_CLOCKS = {"time.monotonic", "time.perf_counter", "time.process_time", "time.time", "time.monotonic_ns"}


def block_facts(node: ast.AST) -> Iterator[str]:
    """Facts of one node that must not become more."""
    if _has_dead_code(node):
        yield "statements that are never reached"
    if isinstance(node, ast.While):
        if _is_fixed(node.test) and not _leaves(node):
            yield "a loop without an end"
    elif isinstance(node, ast.If | ast.IfExp | ast.Assert):
        if _is_fixed(node.test):
            yield "a condition that is always the same"
    elif isinstance(node, ast.expr):
        yield from _expression_facts(node)
    elif isinstance(node, ast.Try | ast.TryStar) and any(
        _ends(inner) and not isinstance(inner, ast.Raise) for s in node.finalbody for inner in ast.walk(s)
    ):
        yield "a jump that hides errors"


def _expression_facts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Compare):
        yield from _compare_facts(node)
    elif isinstance(node, ast.BoolOp) and _decided(node):
        yield "a condition that is always the same"
    elif isinstance(node, ast.BinOp) and _is_huge(node):
        yield "a number beyond measure"


def _is_huge(node: ast.BinOp) -> bool:
    base, exponent = _whole(node.left), _whole(node.right)
    if not isinstance(node.op, ast.Pow) or base is None or exponent is None:
        return False
    return len(str(abs(base))) * exponent > _LONGEST_POWER


def _whole(node: ast.expr) -> int | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int) else None


def _has_dead_code(node: ast.AST) -> bool:
    blocks = (getattr(node, name, None) for name in ("body", "orelse", "finalbody"))
    return any(_ends(statement) for block in blocks if isinstance(block, list) for statement in block[:-1])


def _leaves(node: ast.While) -> bool:
    return any(isinstance(inner, ast.Break | ast.Return | ast.Raise | ast.Yield) for inner in ast.walk(node))


def _decided(node: ast.BoolOp) -> bool:
    *first, last = node.values
    if any(_is_fixed(value) for value in first):
        return True
    if isinstance(last, ast.Constant):
        return isinstance(last.value, bool)
    return isinstance(last, ast.Compare | ast.UnaryOp | ast.BoolOp) and _is_fixed(last) and not _is_number(last)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not)


def _is_fixed(node: ast.expr) -> bool:
    """Whether an expression depends on nothing."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Await | ast.Yield) or (isinstance(inner, ast.Name) and inner.id not in _BUILTINS):
            return False
    return True


def _compare_facts(node: ast.Compare) -> Iterator[str]:
    sides = [node.left, *node.comparators]
    texts = [ast.dump(side) for side in sides]
    # `x != x` is how NaN is told from numbers.
    if len(texts) == 2 and texts[0] == texts[1] and not isinstance(node.ops[0], ast.NotEq):
        yield "a condition that is always the same"
    if any(isinstance(side, ast.Attribute) and side.attr == "__name__" for side in sides):
        yield "a decision by the name of a type or function"


def _ends(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break)


def clock_facts(names: Names) -> Iterator[str]:
    """Comparisons of a clock itself, not of a span, with a number: what begins to act at a certain time."""
    for node in names.nodes:
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            clock = any(isinstance(side, ast.Call) and names.dotted(side.func) in _CLOCKS for side in sides)
            if clock and any(isinstance(side, ast.Constant | ast.BinOp) for side in sides):
                yield "a decision by the clock"


def excused(names: Names) -> frozenset[int]:
    """Ids of nodes that are harmless where they stand.

    Those are: names in annotations; a short wait where an error is handled; `continue` in a loop of so many attempts
    which ends in a raise.
    """
    found: set[int] = set()
    for node in names.nodes:
        if isinstance(node, ast.ExceptHandler | ast.For):
            found.update(_waits(node, names))
        for name in ("annotation", "returns"):
            annotation = getattr(node, name, None)
            if isinstance(annotation, ast.Name | ast.Attribute | ast.Subscript | ast.BinOp):
                found.update(_plain_references(annotation))
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                found.update(_attempts(block))
    return frozenset(found)


def _plain_references(annotation: ast.expr) -> Iterator[int]:
    inner = list(ast.walk(annotation))
    if not any(isinstance(each, ast.Call | ast.Lambda | ast.NamedExpr) for each in inner):
        yield from (id(each) for each in inner if isinstance(each, ast.Attribute | ast.Name) and not _is_dunder(each))


def _is_dunder(node: ast.Attribute | ast.Name) -> bool:
    return (node.attr if isinstance(node, ast.Attribute) else node.id).startswith("__")


def _waits(node: ast.ExceptHandler | ast.For, names: Names) -> Iterator[int]:
    """Waits between attempts: in a handler, or in a loop over `range` that handles errors."""
    if isinstance(node, ast.For) and not (_is_range(node) and any(isinstance(e, ast.Try) for e in ast.walk(node))):
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and names.dotted(inner.func) == "time.sleep":
            numbers = [each.value for each in ast.walk(inner) if isinstance(each, ast.Constant)]
            if all(isinstance(each, int | float) and each <= _LONGEST_WAIT_S for each in numbers):
                yield id(inner.func)


def _attempts(block: list[ast.stmt]) -> Iterator[int]:
    for statement, following in zip(block, [*block[1:], None], strict=False):
        if not isinstance(statement, ast.For) or not _is_range(statement):
            continue
        if isinstance(following, ast.Raise) or any(isinstance(each, ast.Raise) for each in statement.orelse):
            yield from (id(each) for each in ast.walk(statement) if isinstance(each, ast.ExceptHandler) and each.type)


def _is_range(node: ast.For) -> bool:
    return isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) and node.iter.func.id == "range"
