"""A call that fails now and then and may be repeated is tried a few times, where the policy says so."""

import builtins
import http.client
import urllib.error
from collections.abc import Callable

import libcst as cst

from selfbuild.domain.applications import RetryCall
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, uses, walk


class BoundedRetry:
    """`x = fetch(u)` becomes a loop of at most so many attempts, with a wait that doubles between them.

    Refuses unless the policy lists the call and its errors, the call stands alone in a plain assignment, return or
    expression, the file can name the errors, no handler of them and no loop of attempts stands around it, and the
    insight is an error of that kind.
    """

    name = "bounded_retry"
    insight_types = frozenset({InsightType.ERROR_PATTERN})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        insight = request.opportunity.insight
        error = (insight.error_type or "").rpartition(".")[2]
        listed = {
            name: rule
            for name, rule in request.recipes.retry_calls.items()
            if not error or any(each.rpartition(".")[2] in _kinds_of(error) for each in rule.errors)
        }
        if not listed:
            return Refusal(reason=f"the policy lists no call that may be repeated after {error or 'an error'}")
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), listed),
            summary="Try again",
            nothing="no call that the policy lists as one that may be repeated",
            effect=effect_of(request, "errors_gone"),
        )


def _kinds_of(error: str) -> frozenset[str]:
    """The error's name and, where the standard library has it, those of the errors it is one of."""
    for module in (builtins, http.client, urllib.error):
        found = getattr(module, error, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return frozenset(each.__name__ for each in found.__mro__) - {"object", "BaseException", "Exception"}
    return frozenset({error})


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, listed: dict[str, RetryCall]) -> None:
        super().__init__(functions)
        self._listed = listed

    def plan(self, module: cst.Module) -> None:
        for call in walk(module, cst.Call):
            name = self._name(call)
            if name is not None and self.in_function(call) and self.wanted(call):
                self.attempt(call, self._repeat, module, call, name, self._listed[name])

    def _name(self, call: cst.Call) -> str | None:
        names = {*self.names(call.func), code_of(call.func)}
        return next((each for each in sorted(self._listed) if each in names), None)

    def _repeat(self, module: cst.Module, call: cst.Call, name: str, rule: RetryCall) -> None:
        statement = self.statement(call)
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        if not isinstance(small, cst.Assign | cst.AnnAssign | cst.Return | cst.Expr):
            raise RefusedError(f"{name} stands in no plain statement")
        if not self.straight(call, statement) or len(walk(statement, cst.Call)) > 3:
            raise RefusedError(f"{name} is one of many calls of its statement")
        self._require_unhandled(call, name, rule)
        for error in rule.errors:
            root = error.partition(".")[0]
            builtin = hasattr(builtins, error)
            if not builtin and not uses(module, root) and not self._imports(module, root):
                raise RefusedError(f"the file has no {root} to name {error}")
        answer = self.fresh("answer") if isinstance(small, cst.Return) else None
        self.swaps[statement] = self._loop(call, rule, answer)
        if answer is not None:
            self.after.setdefault(statement, []).append(f"return {answer}\n")
        self.applied.append(f"{name} on line {self.line(call)}")

    def _imports(self, module: cst.Module, root: str) -> bool:
        return any(
            each.evaluated_name.partition(".")[0] == root or each.evaluated_alias == root
            for each in walk(module, cst.ImportAlias)
        )

    def _require_unhandled(self, call: cst.Call, name: str, rule: RetryCall) -> None:
        current = self.parent(call)
        while current is not None and not isinstance(current, cst.FunctionDef):
            if isinstance(current, cst.Try):
                handled = " ".join(code_of(each.type) if each.type else "Exception" for each in current.handlers)
                if any(error.rpartition(".")[2] in handled for error in rule.errors) or "Exception" in handled:
                    raise RefusedError(f"a handler stands around {name} already")
            if isinstance(current, cst.For | cst.While) and "attempt" in code_of(current)[:80]:
                raise RefusedError(f"{name} is tried several times already")
            current = self.parent(current)

    def _loop(self, call: cst.Call, rule: RetryCall, answer: str | None) -> Callable[[cst.CSTNode], cst.CSTNode]:
        function = self.function(call)
        attempt = self.fresh("attempt")
        errors = rule.errors[0] if len(rule.errors) == 1 else f"({', '.join(rule.errors)})"
        pause = f"{rule.wait_s} * 2**{attempt}"
        if function is not None and function.asynchronous is not None:
            self.need_import("asyncio")
            wait = f"await asyncio.sleep({pause})"
        else:
            self.need_import("threading")
            wait = f"threading.Event().wait({pause})"
        text = (
            f"for {attempt} in range({rule.attempts}):\n    try:\n        pass\n        break\n    except {errors}:\n"
            f"        if {attempt} == {rule.attempts - 1}:\n            raise\n        {wait}\n"
        )

        def swap(node: cst.CSTNode) -> cst.CSTNode:
            loop = cst.parse_statement(text)
            if not isinstance(node, cst.SimpleStatementLine) or not isinstance(loop, cst.For):
                return node
            tried = loop.body.body[0]
            if not isinstance(tried, cst.Try):
                return node
            plain = node.with_changes(leading_lines=())
            returned = node.body[0]
            if answer is not None and isinstance(returned, cst.Return) and returned.value is not None:
                kept = cst.Assign([cst.AssignTarget(cst.Name(answer))], returned.value)
                plain = plain.with_changes(body=[kept])
            tried = tried.with_changes(body=tried.body.with_changes(body=[plain, tried.body.body[1]]))
            block = loop.body.with_changes(body=[tried])
            return loop.with_changes(body=block, leading_lines=node.leading_lines)

        return swap
