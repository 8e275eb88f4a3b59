"""An expression that failed on a value that is not there gets the value the application's policy gives for it."""

import re
from collections.abc import Iterator

import libcst as cst

from selfbuild.domain.applications import Scalar
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, run_rule
from selfbuild.recipes.plan import PlannedRule, walk
from selfbuild.recipes.shapes import is_plain_read

_KINDS = (
    ("none", re.compile(r"'NoneType' object (has no attribute|is not subscriptable)")),
    ("index", re.compile(r"(list|tuple) index out of range")),
    ("division", re.compile(r"division by zero|modulo by zero|division or modulo")),
    (
        "number",
        re.compile(r"invalid literal for int\(\)|could not convert string to float|must be a string.*'NoneType'"),
    ),
)
_ERRORS = {
    "none": {"AttributeError", "TypeError"},
    "index": {"IndexError"},
    "division": {"ZeroDivisionError"},
    "number": {"ValueError", "TypeError"},
}
_ATTRIBUTE = re.compile(r"has no attribute '(\w+)'")


class MissingValue:
    """Gives one failing read, division or conversion the value of `value_defaults`.

    `user.name` becomes `(user.name if user is not None else "unknown")`, `xs[0]` becomes `(xs[0] if xs else V)`,
    `xs[i]["at"]` becomes `(xs[i]["at"] if -len(xs) <= i < len(xs) else V)`, `a / n` becomes `(a / n if n else V)`,
    `n = int(raw)` gets a handler of the error that sets `n = V`. Further reads of an object that was None, in the
    same function and without a question before them, get their values too: they would fail next.

    Refuses unless the traceback names file and line and the error is one of these, the expressions of the line that
    can have failed so read the same object, it stands in a function, its operand may be read twice, and the policy has
    a value for the key, the attribute, the variable assigned to or the function that returns it. A value is never
    guessed.
    """

    name = "missing_value"
    insight_types = frozenset({InsightType.ERROR_PATTERN})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        insight = request.opportunity.insight
        kind = _kind_of(insight)
        if kind is None:
            return Refusal(
                reason="the error is no missing value, empty list, division by zero or text that is no number"
            )
        location = insight.location
        if location is None or location.path != path or location.line is None:
            return Refusal(reason="the traceback names no line of this file")
        line = location.line
        defaults: dict[str, Scalar] = {**request.missing_key_defaults, **request.recipes.value_defaults}
        return run_rule(
            source,
            lambda: _Rule(kind, line, insight.error_message or "", defaults),
            summary="Give a value where there is none",
            nothing=f"line {line} holds nothing that can fail so",
            effect=effect_of(request, "errors_gone"),
        )


def _kind_of(insight: Insight) -> str | None:
    error = (insight.error_type or "").rpartition(".")[2]
    for kind, pattern in _KINDS:
        if error in _ERRORS[kind] and pattern.search(insight.error_message or ""):
            return kind
    return "division" if error == "ZeroDivisionError" else None


class _Rule(PlannedRule):
    def __init__(self, kind: str, line: int, message: str, defaults: dict[str, Scalar]) -> None:
        super().__init__(None)
        self._kind = kind
        self._line = line
        self._message = message
        self._defaults = defaults

    def plan(self, module: cst.Module) -> None:
        here = [node for node in self._candidates(module) if self.line(node) == self._line and self.in_function(node)]
        if not here:
            return
        if len({code_of(_operand(node)) for node in here}) > 1:
            raise RefusedError(f"line {self._line}: {len(here)} expressions can have failed: which one is not known")
        if any(self._guarded(node) for node in here):
            raise RefusedError(f"line {self._line}: the expression has a value for that case already")
        for node in [*here, *self._again(here[0], module)]:
            if self._kind == "number":
                self._handle(node)
            else:
                self._condition(node)

    def _again(self, node: cst.BaseExpression, module: cst.Module) -> Iterator[cst.BaseExpression]:
        """Further reads of the same absent object in the same function, which would fail next."""
        if self._kind != "none":
            return
        operand, function = code_of(_operand(node)), self.function(node)
        reads = [*walk(module, cst.Attribute), *(each for each in walk(module, cst.Subscript) if self._is_load(each))]
        for each in reads:
            same = code_of(_operand(each)) == operand and self.function(each) is function
            if same and self.line(each) > self._line and self._is_unconditional(each):
                yield each

    def _is_unconditional(self, node: cst.BaseExpression) -> bool:
        """Whether nothing between the function and the read asks for the object first."""
        operand, current = code_of(_operand(node)), self.parent(node)
        while current is not None and not isinstance(current, cst.FunctionDef):
            if isinstance(current, cst.If | cst.IfExp | cst.While) and operand in code_of(current.test):
                return False
            if isinstance(current, cst.BooleanOperation):
                return False
            current = self.parent(current)
        return True

    def _candidates(self, module: cst.Module) -> Iterator[cst.BaseExpression]:
        if self._kind == "none":
            found = _ATTRIBUTE.search(self._message)
            if found is None:
                yield from (each for each in walk(module, cst.Subscript) if self._is_load(each))
            else:
                yield from (each for each in walk(module, cst.Attribute) if each.attr.value == found.group(1))
        elif self._kind == "index":
            yield from (each for each in walk(module, cst.Subscript) if _is_plain_index(each) and self._is_load(each))
        elif self._kind == "division":
            divisions = (cst.Divide, cst.FloorDivide, cst.Modulo)
            yield from (each for each in walk(module, cst.BinaryOperation) if isinstance(each.operator, divisions))
        else:
            failed = _CONVERSIONS
            if "could not convert" in self._message:
                failed = frozenset({"builtins.float"})
            elif "for int()" in self._message:
                failed = frozenset({"builtins.int"})
            yield from (each for each in walk(module, cst.Call) if self.is_one_of(each.func, failed) and each.args)

    def _is_load(self, node: cst.Subscript) -> bool:
        return not isinstance(self.parent(node), cst.AssignTarget | cst.AugAssign | cst.Del)

    def _condition(self, node: cst.BaseExpression) -> None:
        operand = _operand(node)
        if not _repeatable(operand):
            raise RefusedError(f"line {self._line}: {code_of(operand)[:40]} may not be evaluated twice")
        parent = self.parent(node)
        if isinstance(parent, cst.Call) and parent.func is node:
            self._read_default(node, operand)
            return
        read = self._whole_read(node)
        parent = self.parent(read)
        if isinstance(parent, cst.AssignTarget | cst.AugAssign | cst.Del | cst.Attribute | cst.Subscript):
            raise RefusedError(f"line {self._line}: more is done with the value than reading it")
        if isinstance(parent, cst.Call) and parent.func is read:
            raise RefusedError(f"line {self._line}: more is done with the value than reading it")
        self._swap(read, self._test(node, operand), self._value(read, operand))

    def _whole_read(self, node: cst.BaseExpression) -> cst.BaseExpression:
        """`xs[0]["at"]` for `xs[0]`: where the first is not there, neither is what is read of it."""
        current, parent = node, self.parent(node)
        while isinstance(parent, cst.Attribute | cst.Subscript) and parent.value is current:
            current, parent = parent, self.parent(parent)
        return current

    def _test(self, node: cst.BaseExpression, operand: cst.BaseExpression) -> str:
        text = code_of(operand)
        if self._kind == "none":
            return f"{text} is not None"
        if self._kind == "index" and isinstance(node, cst.Subscript) and not _end_index(node):
            return f"-len({text}) <= {code_of(node.slice[0]).strip()} < len({text})"
        return text

    def _swap(self, node: cst.BaseExpression, test: str, value: str) -> None:
        text = f"({code_of(node)} if {test} else {value})"
        self.swaps[node] = lambda _: cst.parse_expression(text)
        self.applied.append(f"{code_of(node)[:60]} on line {self._line}")

    def _read_default(self, node: cst.BaseExpression, operand: cst.BaseExpression) -> None:
        """`d.get("k").strip()`: the read, not the method, gets the value; only one of the same type has the method."""
        names = [*_keys(operand), *([operand.value] if isinstance(operand, cst.Name) else [])]
        name = next((each for each in names if each in self._defaults), None)
        if name is None:
            raise RefusedError(f"line {self._line}: the policy gives no value for {' or '.join(names) or 'it'}")
        value = self._defaults[name]
        if not isinstance(node, cst.Attribute) or not hasattr(value, node.attr.value):
            raise RefusedError(f"line {self._line}: the policy's value for {name} has no such method")
        text = f"({code_of(operand)} if {code_of(operand)} is not None else {_literal(value)})"
        self.swaps[operand] = lambda _: cst.parse_expression(text)
        self.applied.append(f"{code_of(operand)[:60]} on line {self._line}")

    def _handle(self, node: cst.BaseExpression) -> None:
        statement = self.statement(node)
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        value = self._value(node, node)
        if not isinstance(small, cst.Assign) or len(small.targets) != 1 or small.value is not node:
            raise RefusedError(f"line {self._line}: the conversion is not assigned to a name by itself")
        target = small.targets[0].target
        if not isinstance(target, cst.Name):
            raise RefusedError(f"line {self._line}: the conversion is not assigned to a name by itself")
        error = "TypeError" if "NoneType" in self._message else "ValueError"
        text = f"try:\n    {code_of(small)}\nexcept {error}:\n    {target.value} = {value}\n"
        self.swaps[statement] = lambda _: cst.parse_statement(text)
        self.applied.append(f"{code_of(node)[:60]} on line {self._line}")

    def _value(self, node: cst.BaseExpression, operand: cst.BaseExpression) -> str:
        names = [*self._targets(node), *_keys(node), *_keys(operand)]
        for name in names:
            if name in self._defaults:
                return _literal(self._defaults[name])
        raise RefusedError(
            f"line {self._line}: the policy gives no value for {' or '.join(dict.fromkeys(names)) or 'it'}"
        )

    def _targets(self, node: cst.BaseExpression) -> Iterator[str]:
        parent = self.parent(node)
        if isinstance(parent, cst.Assign) and isinstance(parent.targets[0].target, cst.Name):
            yield parent.targets[0].target.value
        elif isinstance(parent, cst.AnnAssign) and isinstance(parent.target, cst.Name):
            yield parent.target.value
        elif isinstance(parent, cst.DictElement) and isinstance(parent.key, cst.SimpleString):
            yield str(parent.key.evaluated_value)
        elif isinstance(parent, cst.Arg) and parent.keyword is not None:
            yield parent.keyword.value
        elif isinstance(parent, cst.Return):
            function = self.function(node)
            if function is not None:
                yield function.name.value

    def _guarded(self, node: cst.CSTNode) -> bool:
        inner, current = node, self.parent(node)
        while current is not None and not isinstance(current, cst.FunctionDef):
            if isinstance(current, cst.IfExp) and inner is current.body:
                return code_of(_operand(node)) in code_of(current.test)
            if isinstance(current, cst.Try) and inner is current.body and self._kind == "number":
                return True
            inner, current = current, self.parent(current)
        return False


_CONVERSIONS = frozenset({"builtins.int", "builtins.float"})


def _operand(node: cst.CSTNode) -> cst.BaseExpression:
    if isinstance(node, cst.BinaryOperation):
        return node.right
    if isinstance(node, cst.Attribute | cst.Subscript):
        return node.value
    if isinstance(node, cst.Call) and node.args:
        return node.args[0].value
    raise RefusedError("nothing to look at")


def _repeatable(node: cst.BaseExpression) -> bool:
    """A plain read, `len` of one, or `.get` with literals on one."""
    if is_plain_read(node):
        return True
    if not isinstance(node, cst.Call):
        return False
    literal = all(isinstance(each.value, cst.SimpleString | cst.Integer) for each in node.args)
    if isinstance(node.func, cst.Attribute) and node.func.attr.value == "get":
        return literal and is_plain_read(node.func.value)
    return code_of(node.func) == "len" and len(node.args) == 1 and is_plain_read(node.args[0].value)


def _end_index(node: cst.Subscript) -> bool:
    return len(node.slice) == 1 and code_of(node.slice[0]).strip() in ("0", "-1")


def _is_plain_index(node: cst.Subscript) -> bool:
    """One index, of which evaluating it twice changes nothing."""
    index = node.slice[0].slice if len(node.slice) == 1 else None
    return _end_index(node) or (isinstance(index, cst.Index) and isinstance(index.value, cst.Name | cst.Integer))


def _keys(node: cst.CSTNode) -> Iterator[str]:
    """The key or attribute an expression reads, looking through a conversion and `.get`."""
    if isinstance(node, cst.Attribute):
        yield node.attr.value
    elif isinstance(node, cst.Subscript):
        index = node.slice[0].slice
        if isinstance(index, cst.Index) and isinstance(index.value, cst.SimpleString):
            yield str(index.value.evaluated_value)
    elif isinstance(node, cst.Call) and node.args:
        first = node.args[0].value
        if isinstance(node.func, cst.Attribute) and isinstance(first, cst.SimpleString):
            yield str(first.evaluated_value)
        else:
            yield from _keys(first)
    elif isinstance(node, cst.Name):
        yield node.value


def _literal(value: Scalar) -> str:
    if isinstance(value, str) and value.isprintable() and not set(value) & {'"', "\\"}:
        return f'"{value}"'
    return repr(value)
