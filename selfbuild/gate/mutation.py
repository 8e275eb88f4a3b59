"""Small faults put into a source, one at a time: a check that finds none of them cannot judge the source."""

import ast
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Mutant:
    """A source with one fault."""

    text: str
    line: int
    """Where the fault is in the original text."""
    description: str


def mutants_of(text: str, ranges: Sequence[tuple[int, int]] | None = None, *, limit: int | None = None) -> list[Mutant]:
    """Different sources with one fault each, on the given lines; an even selection where there are more than `limit`.

    Args:
        text: A Python source that can be parsed.
        ranges: Lines from 1, both ends included; None = everywhere in functions.
        limit: Most of them; None = all.

    Raises:
        SyntaxError: it cannot.
    """
    tree = ast.parse(text)
    original = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    for line, description, change, undo in _faults(tree, ranges):
        change()
        mutated = ast.unparse(ast.fix_missing_locations(copy.copy(tree)))
        undo()
        if mutated != original:
            found.setdefault(mutated, Mutant(mutated, line, description))
    mutants = list(found.values())
    if limit is None or len(mutants) <= limit:
        return mutants
    return [mutants[place * len(mutants) // limit] for place in range(limit)]


_Fault = tuple[int, str, Callable[[], None], Callable[[], None]]


def _faults(tree: ast.Module, ranges: Sequence[tuple[int, int]] | None) -> Iterator[_Fault]:
    parents = {id(child): parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in list(ast.walk(tree)):
        line = getattr(node, "lineno", None)
        if line is None or not _wanted(node, line, ranges, parents):
            continue
        for field, value, description in _replacements(node, parents.get(id(node))):
            yield line, f"{description} on line {line}", *_setting(node, field, value)
        for statements, place, replacement, description in _statements(node, parents.get(id(node))):
            yield line, f"{description} on line {line}", *_placing(statements, place, replacement)


def _wanted(node: ast.AST, line: int, ranges: Sequence[tuple[int, int]] | None, parents: dict[int, ast.AST]) -> bool:
    if ranges is not None:
        return any(first <= line <= last for first, last in ranges)
    above: ast.AST | None = parents.get(id(node))
    while above is not None:
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        above = parents.get(id(above))
    return False


def _setting(node: ast.AST, field: str, value: object) -> tuple[Callable[[], None], Callable[[], None]]:
    before = getattr(node, field)
    return lambda: setattr(node, field, value), lambda: setattr(node, field, before)


def _placing(
    statements: list[ast.stmt], place: int, replacement: ast.stmt
) -> tuple[Callable[[], None], Callable[[], None]]:
    before = statements[place]

    def put(statement: ast.stmt) -> None:
        statements[place] = statement

    return lambda: put(replacement), lambda: put(before)


def _replacements(node: ast.AST, parent: ast.AST | None) -> Iterator[tuple[str, object, str]]:
    """Field, its other value, what that is."""
    if isinstance(node, ast.Compare):
        operator = type(node.ops[0])
        if operator in _BOUNDARIES:
            yield (
                "ops",
                [_BOUNDARIES[operator](), *node.ops[1:]],
                f"{operator.__name__} for {_BOUNDARIES[operator].__name__}",
            )
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        other = _ARITHMETIC[type(node.op)]
        yield "op", other(), f"{type(node.op).__name__} for {other.__name__}"
    elif isinstance(node, ast.BoolOp):
        yield "op", ast.Or() if isinstance(node.op, ast.And) else ast.And(), "and for or"
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "test", ast.UnaryOp(ast.Not(), node.test), "condition negated"
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "value", ast.Constant(None), "returns None"
    elif isinstance(node, ast.Constant) and not isinstance(
        parent, ast.Expr | ast.arg | ast.JoinedStr | ast.FormattedValue
    ):
        yield from _constants(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, object, str]]:
    if len(node.args) >= 2 and not any(isinstance(each, ast.Starred) for each in node.args[:2]):
        yield "args", [node.args[1], node.args[0], *node.args[2:]], "first two arguments swapped"


def _constants(node: ast.Constant) -> Iterator[tuple[str, object, str]]:
    if isinstance(node.value, bool):
        yield "value", not node.value, "truth value negated"
    elif isinstance(node.value, int | float):
        yield "value", node.value + 1, f"{node.value} plus 1"
        yield "value", node.value - 1, f"{node.value} minus 1"


def _statements(node: ast.AST, parent: ast.AST | None) -> Iterator[tuple[list[ast.stmt], int, ast.stmt, str]]:
    removable = isinstance(node, ast.Assign | ast.AugAssign | ast.Continue | ast.Break | ast.Raise) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    )
    if not removable or parent is None or isinstance(parent, ast.Module):
        return
    for field in ("body", "orelse", "finalbody"):
        statements = getattr(parent, field, None)
        if isinstance(statements, list) and node in statements:
            yield statements, statements.index(node), ast.Pass(), "statement removed"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
