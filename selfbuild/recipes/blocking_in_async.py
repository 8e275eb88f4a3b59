"""A blocking call in a coroutine stops every other request of the process; it moves to a thread."""

import ast
import warnings
from collections.abc import Iterator

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, functions_of, run_rule
from selfbuild.recipes.missing_timeout import BLOCKING_HTTP

_SLEEP = "time.sleep"
_BLOCKING = BLOCKING_HTTP | {"subprocess.run", "subprocess.check_output", "subprocess.check_call"}


class BlockingInAsync:
    """`time.sleep(s)` becomes `await asyncio.sleep(s)`, `f(u)` becomes `await asyncio.to_thread(f, u)`.

    Also for a plain function of a shown file whose own body makes a blocking call and which sets nothing outside
    itself.

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
            lambda: _Rule(functions_of(request, path), _blocking_functions(request, path)),
            summary="Keep the event loop free",
            nothing="no blocking call in a coroutine",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=("async def",),
        )


class _Rule(Rule):
    def __init__(self, functions: frozenset[str] | None, own: frozenset[str]) -> None:
        """`own`: dotted names, as this file has them, of the shown files' functions that block."""
        super().__init__(functions)
        self._blocking = _BLOCKING | own

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        names = self.names(original_node.func)
        if (
            not names & {_SLEEP, *self._blocking}
            or not self.wanted(original_node)
            or not self._in_coroutine(original_node)
        ):
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


def _blocking_functions(request: PatchRequest, path: str) -> frozenset[str]:
    found: set[str] = set()
    for file in request.files:
        module = file.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(file.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        blocking = {name for name, calls in _plain_functions(tree) if calls & _known_calls(tree)}
        places = {module, *(".".join(module.split(".")[at:]) for at in range(1, module.count(".") + 1))}
        found |= blocking if file.path == path else {f"{place}.{name}" for place in places for name in blocking}
    return frozenset(found)


def _plain_functions(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """(name, calls as written) of the module's undecorated functions that set nothing outside themselves."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list:
            continue
        inner = list(ast.walk(node))
        stores = (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)
        outside = any(isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) for each in inner)
        if not outside and not any(isinstance(each, stores) for each in inner):
            yield node.name, {ast.unparse(each.func) for each in inner if isinstance(each, ast.Call)}


def _known_calls(tree: ast.Module) -> set[str]:
    """Blocking calls as this file writes them."""
    found: set[str] = set()
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            dotted = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            local = alias.asname or alias.name
            for known in (_SLEEP, *_BLOCKING):
                if known == dotted or known.startswith(f"{dotted}."):
                    found.add(local + known.removeprefix(dotted))
    return found


def _asynchronous(call: cst.Call, *, sleeps: bool) -> cst.Call:
    if sleeps:
        return call.with_changes(func=_asyncio("sleep"))
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")) if call.args else cst.MaybeSentinel.DEFAULT
    return cst.Call(func=_asyncio("to_thread"), args=[cst.Arg(call.func, comma=comma), *call.args])


def _asyncio(name: str) -> cst.Attribute:
    return cst.Attribute(value=cst.Name("asyncio"), attr=cst.Name(name))
