"""A loop that looks through all rows for those that match another row finds them by an index made once."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, method_of, only_reads, stored_targets, uses, walk
from selfbuild.recipes.shapes import is_plain_read

_INDEX = '''

def {index}(rows{rows}, key{text}){found}:
    """Rows by their text or number under a key; None where that is not what all rows have."""
    if not isinstance(rows, list):
        return None
    found{annotation} = {{}}
    for row in rows:
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, (str, int, float)):
            return None
        found.setdefault(value, []).append(row)
    return found
'''


class NestedJoin:
    """`for o in orders: for u in users: if u["id"] == o["user_id"]` goes over the users of that id alone.

    An index of `users` is made before the outer loop; rows are compared as before, in their order. Where the rows are
    no list of mappings with a text or number under the key, all are gone through, as before.

    Refuses unless the inner loop goes over a plain name that is only read in the outer loop, does nothing but under
    the comparison of a literal key of its row with what may be read before it, and passes no row to a function but
    methods that keep it.
    """

    name = "nested_join"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Find rows by an index",
            nothing="no loop looks through rows for those that match another",
            effect=effect_of(request, "latency_down"),
            needles=("==",),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        self._maker: str | None = None
        self._indexes: dict[tuple[cst.CSTNode, str, str], str] = {}
        for inner in walk(module, cst.For, cst.CompFor):
            if not isinstance(inner.iter, cst.Name) or not isinstance(inner.target, cst.Name):
                continue
            if not self.in_function(inner) or not self.wanted(inner):
                continue
            test = _first_test(inner)
            if test is not None:
                self.attempt(inner, self._join, inner, inner.iter.value, inner.target.value, test)

    def _join(self, inner: cst.For | cst.CompFor, rows: str, row: str, test: cst.BaseExpression) -> None:
        found = _compared(test, row)
        if found is None:
            return
        key, wanted = found
        own = self.parent(inner) if isinstance(inner, cst.CompFor) else inner
        around = [loop for loop in self.loops(own) if loop is not own] if own is not None else []
        outermost = self._outermost(around, rows)
        if not is_plain_read(wanted) or uses(wanted, row):
            raise RefusedError(f"{rows} is searched for something computed")
        self._require_kept(inner, row)
        statement = self.statement(outermost)
        if isinstance(outermost, cst.BaseComp) and not self.straight(outermost, statement):
            raise RefusedError("the loop stands in a part of the statement that may not run")
        self._index(inner, statement, rows, key, wanted)

    def _outermost(self, around: list[cst.CSTNode], rows: str) -> cst.CSTNode:
        outermost: cst.CSTNode | None = None
        for loop in around:
            stored = any(each.value == rows for target in stored_targets(loop) for each in walk(target, cst.Name))
            if stored or not all(only_reads(self, use) for use in uses(loop, rows)):
                break
            outermost = loop
        if outermost is None:
            raise RefusedError(f"{rows} is looked through once only, or may change in the loop")
        return outermost

    def _require_kept(self, inner: cst.For | cst.CompFor, row: str) -> None:
        body = inner.body if isinstance(inner, cst.For) else self.parent(inner)
        for use in uses(body, row) if body is not None else ():
            parent, called = self.parent(use), method_of(use, self.parent)
            changed = called is not None and called[0] not in ("get", "items", "keys", "values", "copy")
            if isinstance(parent, cst.Subscript) and parent.value is use:
                changed = isinstance(self.parent(parent), cst.AssignTarget | cst.AugAssign | cst.Del)
            call = self.parent(parent) if isinstance(parent, cst.Arg) else None
            if isinstance(call, cst.Call):
                names = self.names(call.func)
                keeps = isinstance(call.func, cst.Attribute) and call.func.attr.value in ("append", "add")
                harmless = bool(names) and all(each.startswith("builtins.") for each in names)
                changed = not keeps and not harmless
            if changed:
                raise RefusedError(f"{row} may change on line {self.line(use)}")

    def _index(
        self,
        inner: cst.For | cst.CompFor,
        statement: cst.CSTNode,
        rows: str,
        key: str,
        wanted: cst.BaseExpression,
    ) -> None:
        if self._maker is None:
            self._maker = self.fresh("_rows_by")
            typed = isinstance(self.function(inner), cst.FunctionDef) and _is_typed(self.function(inner))
            if typed:
                self.need_import("typing", "Any")
            self.constants.append(_INDEX.format(index=self._maker, **_annotations(typed=typed)))
        place = (statement, rows, key)
        if place not in self._indexes:
            self._indexes[place] = self.fresh(f"{rows}_by_{_word(key)}")
            self.before.setdefault(statement, []).append(f"{self._indexes[place]} = {self._maker}({rows}, {key})\n")
        index = self._indexes[place]
        test, source = f"{index} is None", code_of(wanted)
        if isinstance(wanted, cst.Subscript):
            owner = code_of(wanted.value)
            mapping = f"not isinstance({owner}, dict)"
            text = code_of(wanted.slice[0]).strip()
            test, source = f"{test} or {mapping}", f"{owner}.get({text})"
        plain = f"isinstance({source}, (str, int, float))"
        matching = f"({rows} if {test} or not {plain} else {index}.get({source}, []))"
        self.swap_expression(inner.iter, matching)
        self.applied.append(f"{rows} by {key} on line {self.line(inner)}")


def _first_test(inner: cst.For | cst.CompFor) -> cst.BaseExpression | None:
    if isinstance(inner, cst.CompFor):
        return inner.ifs[0].test if inner.ifs else None
    body = list(inner.body.body)
    first = body[0] if len(body) == 1 else None
    return first.test if isinstance(first, cst.If) and first.orelse is None else None


def _compared(test: cst.BaseExpression, row: str) -> tuple[str, cst.BaseExpression] | None:
    """(key of the row as source, what it is compared with) of `row[key] == wanted`, first in a row of `and`."""
    while isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        test = test.left
    if not isinstance(test, cst.Comparison) or len(test.comparisons) != 1:
        return None
    if not isinstance(test.comparisons[0].operator, cst.Equal):
        return None
    sides = (test.left, test.comparisons[0].comparator)
    for side, other in (sides, sides[::-1]):
        key = _row_key(side, row)
        if key is not None:
            return key, other
    return None


def _row_key(node: cst.BaseExpression, row: str) -> str | None:
    if isinstance(node, cst.Subscript) and code_of(node.value) == row and is_plain_read(node):
        return code_of(node.slice[0]).strip()
    if isinstance(node, cst.Call) and code_of(node.func) == f"{row}.get" and len(node.args) == 1:
        key = node.args[0].value
        return code_of(key) if isinstance(key, cst.SimpleString) else None
    return None


def _word(key: str) -> str:
    word = "".join(letter for letter in key if letter.isalnum() or letter == "_")
    return word if word.isidentifier() else "key"


def _is_typed(function: cst.FunctionDef | None) -> bool:
    return function is not None and function.returns is not None


def _annotations(*, typed: bool) -> dict[str, str]:
    if not typed:
        return dict.fromkeys(("rows", "text", "found", "annotation"), "")
    answer = "dict[Any, list[Any]]"
    return {"rows": ": Any", "text": ": str", "found": f" -> {answer} | None", "annotation": f": {answer}"}
