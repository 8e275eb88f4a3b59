"""A blocking call in a coroutine stops every other request of the process; it moves to a thread."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, functions_of, run_rule
from selfbuild.recipes.missing_timeout import BLOCKING_HTTP

_SLEEP = "time.sleep"
_BLOCKING = BLOCKING_HTTP | {"subprocess.run", "subprocess.check_output", "subprocess.check_call"}


class BlockingInAsync:
    """`time.sleep(s)` becomes `await asyncio.sleep(s)`, `f(u)` becomes `await asyncio.to_thread(f, u)`.

    Refuses unless the nearest enclosing function is a coroutine (no lambda, no generator expression between), the
    name has exactly one meaning, and the call is not awaited already.
    """

    name = "blocking_in_async"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.THROUGHPUT_DROP, InsightType.OPTIMIZATION_OPPORTUNITY}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Keep the event loop free",
            nothing="no blocking call in a coroutine",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=("async def",),
        )


class _Rule(Rule):
    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        names = self.names(original_node.func)
        if not names & {_SLEEP, *_BLOCKING} or not self.wanted(original_node) or not self._in_coroutine(original_node):
            return updated_node
        if len(names) != 1:
            self.refuse(original_node, "the name of the call has several meanings")
            return updated_node
        if isinstance(self.parent(original_node), cst.Await):
            self.refuse(original_node, "the call is awaited already")
            return updated_node
        self.need_import("asyncio")
        self.applied.append(f"{min(names)} on line {self.line(original_node)}")
        return self._awaited(original_node, _asynchronous(updated_node, sleeps=_SLEEP in names))

    def _in_coroutine(self, node: cst.CSTNode) -> bool:
        inner, current = node, self.parent(node)
        while current is not None:
            if isinstance(current, cst.Lambda | cst.ClassDef | cst.GeneratorExp | cst.Decorator | cst.Parameters):
                return False
            if isinstance(current, cst.FunctionDef):
                return current.asynchronous is not None and inner is current.body
            inner, current = current, self.parent(current)
        return False

    def _awaited(self, original: cst.Call, call: cst.Call) -> cst.Await:
        plain = (cst.Expr, cst.Assign, cst.AnnAssign, cst.Return, cst.Arg, cst.WithItem)
        if isinstance(self.parent(original), plain):
            return cst.Await(expression=call)
        return cst.Await(expression=call, lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _asynchronous(call: cst.Call, *, sleeps: bool) -> cst.Call:
    if sleeps:
        return call.with_changes(func=_asyncio("sleep"))
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")) if call.args else cst.MaybeSentinel.DEFAULT
    return cst.Call(func=_asyncio("to_thread"), args=[cst.Arg(call.func, comma=comma), *call.args])


def _asyncio(name: str) -> cst.Attribute:
    return cst.Attribute(value=cst.Name("asyncio"), attr=cst.Name(name))
