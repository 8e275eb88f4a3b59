"""A list as a default is shared by all calls and grows for ever; each call gets its own."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest, SourceFile
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule, words
from selfbuild.recipes.plan import PlannedRule, method_of, uses, walk

_CHANGES = words("append extend add update insert setdefault appendleft pop remove")
_EMPTY = {"[]": "[]", "{}": "{}", "list()": "[]", "dict()": "{}", "set()": "set()"}


class MutableDefault:
    """`def f(x, found=[])` that changes `found` begins with `if not found: found = []`.

    Refuses unless the default is an empty container, the function changes or keeps it, no shown call passes that
    argument something that may be empty and is used afterwards, and it does not serve as a cache (searched and
    answered from).
    The signature stays as it is, so that callers and introspection see no difference.
    """

    name = "mutable_default"
    insight_types = frozenset(
        {
            InsightType.RESOURCE_EXHAUSTION,
            InsightType.PERFORMANCE_DEGRADATION,
            InsightType.THROUGHPUT_DROP,
            InsightType.OPTIMIZATION_OPPORTUNITY,
        }
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        others = tuple(file for file in request.files if file.path != path)
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), others),
            summary="Give each call its own container",
            nothing="no default that a function changes",
            effect=effect_of(request, "growth_stopped"),
            needles=("=[]", "={}", "= []", "= {}", "=list()", "=dict()", "=set()", "= list()", "= dict()", "= set()"),
        )


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, others: tuple[SourceFile, ...]) -> None:
        super().__init__(functions)
        self._others = others

    def plan(self, module: cst.Module) -> None:
        for function in walk(module, cst.FunctionDef):
            if not self.wanted(function):
                continue
            positional = [*function.params.posonly_params, *function.params.params]
            for parameter in (*positional, *function.params.kwonly_params):
                empty = _EMPTY.get(code_of(parameter.default)) if parameter.default is not None else None
                if empty is None or not self._changed(function, parameter.name.value):
                    continue
                place = positional.index(parameter) if parameter in positional else None
                self.attempt(parameter, self._own, module, function, parameter.name.value, empty, place)

    def _changed(self, function: cst.FunctionDef, name: str) -> bool:
        first = _first_statement(function)
        if first is not None and code_of(first).strip().startswith(f"if not {name}:"):
            return False
        return any(self._changes(use) for use in uses(function.body, name))

    def _changes(self, use: cst.Name) -> bool:
        called = method_of(use, self.parent)
        if called is not None:
            return called[0] in _CHANGES
        parent = self.parent(use)
        if isinstance(parent, cst.Subscript) and parent.value is use:
            return isinstance(self.parent(parent), cst.AssignTarget | cst.AugAssign)
        return isinstance(parent, cst.AugAssign) and parent.target is use

    def _own(self, module: cst.Module, function: cst.FunctionDef, name: str, empty: str, place: int | None) -> None:
        if self._is_cache(function, name):
            raise RefusedError(f"{name} may serve as a cache from call to call")
        if any(
            isinstance(self.scope(use), cst.FunctionDef) and self.scope(use) is not function
            for use in uses(function.body, name)
        ):
            raise RefusedError(f"{name} is used in an inner function")
        method = isinstance(self.scope(function), cst.ClassDef) and not any(
            code_of(each.decorator) == "staticmethod" for each in function.decorators
        )
        index = None if place is None else place - int(method)
        trees = [module, *(cst.parse_module(each.text) for each in self._others)]
        for call in (each for tree in trees for each in walk(tree, cst.Call)):
            filled = index is not None and self._passes_filled(call, function, name, index)
            passed = _last(call.func) == function.name.value and _passes(call, name, index) and not filled
            if passed and not _gives_away(call, trees, name, index):
                raise RefusedError(f"a call of {function.name.value} passes {name}, which may be empty and kept")
        first = _first_statement(function)
        if first is None:
            raise RefusedError("the function's body shares its line")
        self.before[first] = [f"if not {name}:\n    {name} = {empty}\n"]
        self.applied.append(f"{name} of {function.name.value}")

    def _passes_filled(self, call: cst.Call, function: cst.FunctionDef, name: str, index: int) -> bool:
        """Whether the function passes its own container on, after something was put in for certain."""
        given = [argument for argument in call.args if code_of(argument.value) == name]
        if len(given) != 1 or function not in self.enclosing_functions(call) or any(each.star for each in call.args):
            return False
        own = given[0].keyword
        if own.value != name if own is not None else call.args.index(given[0]) != index:
            return False
        for statement in function.body.body:
            if any(each is call for each in walk(statement, cst.Call)):
                return False
            if isinstance(statement, cst.SimpleStatementLine) and _puts_in(statement, name):
                return True
        return False

    def _is_cache(self, function: cst.FunctionDef, name: str) -> bool:
        if any(part in name.lower() for part in ("cache", "memo", "_seen")):
            return True
        tested = any(isinstance(self.parent(use), cst.ComparisonTarget) for use in uses(function.body, name))
        returned = [each for each in walk(function.body, cst.Return) if each.value is not None]
        return tested and any(
            isinstance(each.value, cst.Subscript) and code_of(each.value.value) == name for each in returned
        )


def _first_statement(function: cst.FunctionDef) -> cst.BaseStatement | None:
    if not isinstance(function.body, cst.IndentedBlock):
        return None
    body = list(function.body.body)
    if len(body) > 1 and function.get_docstring() is not None:
        body = body[1:]
    return body[0]


def _gives_away(call: cst.Call, trees: list[cst.Module], name: str, index: int | None) -> bool:
    """Whether what is passed is made there, or is part of what a function was given that ends with this call."""
    named = [each for each in call.args if each.keyword is not None and each.keyword.value == name]
    given = named[0].value if named else call.args[index or 0].value
    made = (cst.List, cst.ListComp, cst.Dict, cst.DictComp)
    if isinstance(given, made) or code_of(given).startswith(("list(", "dict(", "sorted(")):
        return True
    if not isinstance(given, cst.Subscript) or not isinstance(given.value, cst.Name):
        return False
    for function in (each for tree in trees for each in walk(tree, cst.FunctionDef)):
        for answer in walk(function.body, cst.Return):
            if any(each is call for each in walk(answer, cst.Call)):
                own = any(each.name.value == given.value.value for each in walk(function.params, cst.Param))
                return own and len(uses(answer, given.value.value)) == len(uses(call, given.value.value))
    return False


def _puts_in(statement: cst.SimpleStatementLine, name: str) -> bool:
    text = code_of(statement).strip()
    return text.startswith((f"{name}.append(", f"{name}.add(", f"{name}["))


def _last(function: cst.BaseExpression) -> str:
    if isinstance(function, cst.Attribute):
        return function.attr.value
    return function.value if isinstance(function, cst.Name) else ""


def _passes(call: cst.Call, name: str, index: int | None) -> bool:
    if any(argument.star for argument in call.args):
        return True
    if any(argument.keyword is not None and argument.keyword.value == name for argument in call.args):
        return True
    return index is not None and sum(argument.keyword is None for argument in call.args) > index
