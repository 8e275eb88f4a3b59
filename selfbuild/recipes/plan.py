"""What a recipe says before it changes anything: lines beside statements, expressions put in place of others."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import lru_cache
from textwrap import dedent
from typing import ParamSpec, TypeVar, overload

import libcst as cst
from libcst.metadata import ComprehensionScope, FunctionScope, ScopeProvider

from selfbuild.recipes.base import RefusedError, Rule, all_names, code_of, fresh_name, words
from selfbuild.recipes.shapes import after_imports

A = TypeVar("A", bound=cst.CSTNode)
B = TypeVar("B", bound=cst.CSTNode)
C = TypeVar("C", bound=cst.CSTNode)
P = ParamSpec("P")
Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
SCOPES = (cst.FunctionDef, cst.Lambda, cst.ClassDef)
LOOPS = (cst.For, cst.While, cst.BaseComp)


class PlannedRule(Rule):
    """A rule that plans on the original tree; the plan is carried out on the way back up."""

    def __init__(self, functions: frozenset[str] | None) -> None:
        super().__init__(functions)
        self.taken: set[str] = set()
        self.before: dict[cst.CSTNode, list[str]] = {}
        """Statement -> source put before it."""
        self.after: dict[cst.CSTNode, list[str]] = {}
        """Statement -> source put behind it."""
        self.swaps: dict[cst.CSTNode, Callable[[cst.CSTNode], cst.CSTNode]] = {}
        """Node -> what makes its replacement of the node as changed so far."""
        self.dropped: set[cst.CSTNode] = set()
        self.own: dict[str, cst.FunctionDef] = {}
        """The module's functions by name."""
        self.constants: list[str] = []
        """Source that goes behind the module's imports."""

    def plan(self, module: cst.Module) -> None:
        """Fill the plan; refuse by `refuse`, or by raising RefusedError for the whole file."""
        raise NotImplementedError

    def prepare(self, module: cst.Module) -> bool:
        self.taken = all_names(module)
        self.own = {each.name.value: each for each in module.body if isinstance(each, cst.FunctionDef)}
        self.plan(module)
        return bool(self.applied)

    def on_leave(self, original_node: cst.CSTNodeT, updated_node: cst.CSTNodeT) -> object:  # type: ignore[override]
        changed: object = super().on_leave(original_node, updated_node)
        swap = self.swaps.get(original_node)
        if swap is not None and isinstance(changed, cst.CSTNode):
            changed = swap(changed)
        if original_node in self.dropped:
            return cst.RemoveFromParent()
        first, last = self.before.get(original_node, []), self.after.get(original_node, [])
        if (first or last) and isinstance(changed, cst.CSTNode):
            return cst.FlattenSentinel([*statements(first), changed, *statements(last)])
        return changed

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        if not self.constants:
            return updated_node
        place = after_imports(updated_node)
        body = [*updated_node.body[:place], *statements(self.constants), *updated_node.body[place:]]
        return updated_node.with_changes(body=body)

    def fresh(self, wanted: str) -> str:
        """A name that stands nowhere in the file."""
        name = fresh_name(wanted, self.taken)
        self.taken.add(name)
        return name

    def swap_expression(self, node: cst.BaseExpression, text: str) -> None:
        """Put an expression in the place of another, in parentheses where that one had some."""

        def swap(changed: cst.CSTNode) -> cst.CSTNode:
            made = cst.parse_expression(text)
            bare = isinstance(changed, cst.BaseExpression) and not changed.lpar
            return made if bare or made.lpar else made.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])

        self.swaps[node] = swap

    def attempt(self, node: cst.CSTNode, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Take one step of the plan; where it refuses, the reason is kept and the next place is looked at."""
        try:
            step(*args, **kwargs)
        except RefusedError as refused:
            self.refuse(node, str(refused))

    def scope(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The function, lambda or class the node lies in; None = the module."""
        current = self.parent(node)
        while current is not None and not isinstance(current, SCOPES):
            current = self.parent(current)
        return current

    def function(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """The function whose own scope the node lies in."""
        found = self.scope(node)
        return found if isinstance(found, cst.FunctionDef) else None

    def in_function(self, node: cst.CSTNode) -> bool:
        scope = self.get_metadata(ScopeProvider, node, None)
        while isinstance(scope, ComprehensionScope):
            scope = scope.parent
        return isinstance(scope, FunctionScope)

    def loops(self, node: cst.CSTNode) -> list[cst.CSTNode]:
        """The loops and comprehensions of the node's own function whose repeated part it lies in, innermost first."""
        found: list[cst.CSTNode] = []
        inner, current = node, self.parent(node)
        while current is not None and not isinstance(current, SCOPES):
            repeated = isinstance(current, cst.BaseComp) or (isinstance(current, cst.For) and inner is current.body)
            if repeated or isinstance(current, cst.While):
                found.append(current)
            inner, current = current, self.parent(current)
        return found

    def statement(self, node: cst.CSTNode) -> Statement:
        """The statement the node belongs to, if lines can be put beside it."""
        current: cst.CSTNode | None = node
        while current is not None and not isinstance(current, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            if isinstance(current, cst.SimpleStatementSuite):
                break
            current = self.parent(current)
        block = self.parent(current) if current is not None else None
        if not isinstance(current, Statement) or not isinstance(block, cst.IndentedBlock | cst.Module):
            raise RefusedError("shares its line with another statement")
        if isinstance(current, cst.SimpleStatementLine) and len(current.body) != 1:
            raise RefusedError("shares its line with another statement")
        if isinstance(current, cst.If) and isinstance(self.parent(current), cst.If):
            raise RefusedError("stands in an elif")
        return current

    def straight(self, node: cst.CSTNode, statement: cst.CSTNode) -> bool:
        """Whether the node is evaluated once, always, whenever the statement is."""
        inner, current = node, self.parent(node)
        while inner is not statement and current is not None:
            if isinstance(current, cst.Lambda | cst.BaseComp | cst.IfExp | cst.BooleanOperation | cst.Comparison):
                first = isinstance(current, cst.Comparison | cst.BooleanOperation) and inner is current.left
                if not first:
                    return False
            if isinstance(current, cst.While | cst.FunctionDef | cst.Assert):
                return False
            inner, current = current, self.parent(current)
        return True


@overload
def walk(root: cst.CSTNode, kind: type[A], /) -> list[A]: ...
@overload
def walk(root: cst.CSTNode, kind: type[A], second: type[B], /) -> list[A | B]: ...
@overload
def walk(root: cst.CSTNode, kind: type[A], second: type[B], third: type[C], /) -> list[A | B | C]: ...
def walk(root: cst.CSTNode, *kinds: type[cst.CSTNode]) -> list[cst.CSTNode]:  # type: ignore[misc]
    """Every node of the kinds below and at the root, in source order."""
    return [node for node in nodes(root) if isinstance(node, kinds)]


@lru_cache(maxsize=1024)
def nodes(root: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    """Every node but commas, parentheses and blanks, each before what it holds."""
    found: list[cst.CSTNode] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        inner: list[cst.CSTNode] = []
        for name in _fields(type(node)):
            value = getattr(node, name)
            if isinstance(value, cst.CSTNode):
                inner.append(value)
            elif isinstance(value, list | tuple):
                inner += [each for each in value if isinstance(each, cst.CSTNode)]
        waiting += reversed(inner)
    return tuple(found)


@lru_cache(maxsize=256)
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    """Fields that hold code; libcst's own visitors go through every blank, which takes ten times as long."""
    skipped = ("whitespace", "lines", "lpar", "rpar", "comma", "semicolon", "header", "footer", "indent", "equal")
    return tuple(each.name for each in fields(kind) if not any(part in each.name for part in skipped))


def loops_in(root: cst.CSTNode) -> list[cst.CSTNode]:
    """Loops and comprehensions below the root."""
    return [
        *walk(root, cst.For, cst.While),
        *walk(root, cst.ListComp, cst.SetComp, cst.DictComp),
        *walk(root, cst.GeneratorExp),
    ]


def uses(root: cst.CSTNode, name: str) -> list[cst.Name]:
    """The name as a variable: not as an attribute and not as an argument's keyword."""
    return list(_variables(root).get(name, ()))


@lru_cache(maxsize=1024)
def _variables(root: cst.CSTNode) -> dict[str, list[cst.Name]]:
    others = {id(each.attr) for each in walk(root, cst.Attribute)}
    others |= {id(each.keyword) for each in walk(root, cst.Arg) if each.keyword is not None}
    found: dict[str, list[cst.Name]] = {}
    for each in walk(root, cst.Name):
        if id(each) not in others:
            found.setdefault(each.value, []).append(each)
    return found


def statements(sources: Iterable[str]) -> list[cst.BaseStatement]:
    """Source as statements."""
    return [
        each
        for source in sources
        for each in cst.parse_module(dedent(source)).body
        if isinstance(each, cst.BaseStatement)
    ]


def expression(text: str) -> Callable[[cst.CSTNode], cst.CSTNode]:
    """A swap for a fixed expression."""
    return lambda _: cst.parse_expression(text)


def method_of(use: cst.CSTNode, parent: Callable[[cst.CSTNode], cst.CSTNode | None]) -> tuple[str, cst.Call] | None:
    """(method, call) where the expression is called as `use.method(...)`."""
    attribute = parent(use)
    if not isinstance(attribute, cst.Attribute) or attribute.value is not use:
        return None
    call = parent(attribute)
    return (attribute.attr.value, call) if isinstance(call, cst.Call) and call.func is attribute else None


def parameters(function: cst.FunctionDef) -> Iterator[cst.Param]:
    """Every parameter that has a name."""
    every = function.params
    yield from (*every.posonly_params, *every.params, *every.kwonly_params)
    if isinstance(every.star_arg, cst.Param):
        yield every.star_arg
    if every.star_kwarg is not None:
        yield every.star_kwarg


def stored_targets(root: cst.CSTNode) -> list[cst.BaseExpression]:
    """What is assigned to below the root: by assignments of every kind, loops, comprehensions and `with`."""
    assigned = [
        *walk(root, cst.AssignTarget, cst.AnnAssign, cst.AugAssign),
        *walk(root, cst.NamedExpr, cst.For, cst.CompFor),
    ]
    return [each.target for each in assigned] + [each.name for each in walk(root, cst.AsName)]


def constant_names(module: cst.Module) -> dict[str, cst.BaseExpression]:
    """Variables of the module that are assigned exactly once in the whole file, with their values."""
    stored: dict[str, int] = {}
    values: dict[str, cst.BaseExpression] = {}
    for target in stored_targets(module):
        for name in walk(target, cst.Name):
            stored[name.value] = stored.get(name.value, 0) + 1
    for shared in walk(module, cst.Global):
        for item in shared.names:
            stored[item.name.value] = stored.get(item.name.value, 0) + 2
    for statement in module.body:
        if isinstance(statement, cst.SimpleStatementLine):
            for part in statement.body:
                if isinstance(part, cst.Assign) and len(part.targets) == 1:
                    values[code_of(part.targets[0].target)] = part.value
                elif isinstance(part, cst.AnnAssign) and part.value is not None:
                    values[code_of(part.target)] = part.value
    return {name: value for name, value in values.items() if stored.get(name) == 1}


PLAIN_TYPES = "(str, int, float)"
"""Types whose equality and hash agree with each other's; NaN is found by identity in a list and in a set alike."""
READING_METHODS = words(
    """
    index count get keys values items copy issubset issuperset isdisjoint union intersection difference startswith
    endswith split strip lower upper
    """
)
READERS = frozenset(
    f"builtins.{name}"
    for name in words("all any dict enumerate frozenset len list max min reversed set sorted sum tuple zip bool")
)
"""Builtins that read a collection and keep no hold of it."""


def only_reads(rule: PlannedRule, use: cst.CSTNode, *, depth: int = 3) -> bool:
    """Whether the place where a collection stands reads it, neither changing nor keeping it."""
    parent = rule.parent(use)
    called = method_of(use, rule.parent)
    if called is not None:
        return called[0] in READING_METHODS
    if isinstance(parent, cst.Subscript) and parent.value is use:
        around = rule.parent(parent)
        stored = isinstance(around, cst.AssignTarget | cst.AugAssign | cst.AnnAssign) and around.target is parent
        return not stored and not isinstance(around, cst.Del)
    if isinstance(parent, cst.For | cst.CompFor):
        return parent.iter is use
    if isinstance(parent, cst.Arg):
        call = rule.parent(parent)
        if not isinstance(call, cst.Call):
            return False
        names = rule.names(call.func)
        joins = isinstance(call.func, cst.Attribute) and call.func.attr.value == "join"
        return (bool(names) and names <= READERS) or joins or _callee_reads(rule, call, parent, depth)
    reading = (cst.Comparison, cst.ComparisonTarget, cst.FormattedStringExpression, cst.StarredElement)
    return isinstance(parent, reading) or is_truth_test(rule, use)


def _callee_reads(rule: PlannedRule, call: cst.Call, argument: cst.Arg, depth: int) -> bool:
    """Whether it is passed to a function of the module that only reads it too; `depth` calls deep at most."""
    callee = rule.own.get(call.func.value) if isinstance(call.func, cst.Name) else None
    if callee is None or callee.decorators or depth == 0 or any(each.star for each in call.args):
        return False
    if argument.keyword is not None:
        name = argument.keyword.value
    else:
        place = list(call.args).index(argument)
        positional = [*callee.params.posonly_params, *callee.params.params]
        if place >= len(positional):
            return False
        name = positional[place].name.value
    found = uses(callee.body, name)
    return all(rule.function(use) is callee and only_reads(rule, use, depth=depth - 1) for use in found)


def is_truth_test(rule: PlannedRule, use: cst.CSTNode) -> bool:
    """Whether nothing but the truth of the expression decides: `if x`, `while not x`, `a if x and y else b`."""
    inner, current = use, rule.parent(use)
    while isinstance(current, cst.BooleanOperation) or (
        isinstance(current, cst.UnaryOperation) and isinstance(current.operator, cst.Not)
    ):
        inner, current = current, rule.parent(current)
    negated = isinstance(inner, cst.UnaryOperation)
    return negated or (isinstance(current, cst.If | cst.While | cst.IfExp | cst.CompIf) and current.test is inner)


def unchanged_constants(rule: PlannedRule, module: cst.Module) -> frozenset[str]:
    """Variables of the module that are set once and that nothing in the file changes."""
    found = set()
    for name in constant_names(module):
        others = [
            use for use in uses(module, name) if not isinstance(rule.parent(use), cst.AssignTarget | cst.AnnAssign)
        ]
        if all(only_reads(rule, use) or isinstance(rule.parent(use), cst.BinaryOperation) for use in others):
            found.add(name)
    return frozenset(found)


def is_answered(rule: PlannedRule, use: cst.CSTNode) -> bool:
    """Whether it stands in a value that the function answers, passed to nothing."""
    current = rule.parent(use)
    while current is not None and not isinstance(current, cst.BaseSmallStatement):
        if isinstance(current, cst.Call | cst.Lambda):
            return False
        current = rule.parent(current)
    return isinstance(current, cst.Return)
