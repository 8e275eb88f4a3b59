"""A client made in every call pays for its connections and its set-up again; one is made at first use and kept."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import (
    RecipePatch,
    Refusal,
    RefusedError,
    code_of,
    effect_of,
    functions_of,
    run_rule,
    words,
)
from selfbuild.recipes.plan import (
    PlannedRule,
    constant_names,
    expression,
    method_of,
    parameters,
    stored_targets,
    uses,
    walk,
)

_SHARED = words(
    """
    boto3.client httpx.Client httpx.AsyncClient redis.Redis redis.StrictRedis redis.from_url redis.Redis.from_url
    urllib3.PoolManager pymongo.MongoClient jinja2.Environment
    jsonschema.Draft7Validator jsonschema.Draft202012Validator jsonschema.validators.Draft7Validator
    """
)
"""Documented as safe to share between threads (an AsyncClient: between tasks of its loop)."""
_PER_THREAD = frozenset({"requests.Session", "requests.session"})
"""Not documented as safe to share: one for each thread."""
_OPTIONS = frozenset({"botocore.config.Config", "httpx.Timeout", "httpx.Limits", "urllib3.Timeout"})
"""Values that clients are made with and do not change."""
_CHANGES_STATE = words("append extend add update pop insert setdefault remove clear discard popitem appendleft popleft")


class ClientPerCall:
    """`c = Client(URL)` in a function becomes `c = _client()`, which makes one at first use and keeps it.

    Refuses unless the class is documented as safe to share, or is the module's own and changes nothing of itself
    after `__init__`; the arguments are literals or constants of the module; and the client is neither closed nor
    given other attributes where it is used. requests.Session is kept for each thread.
    """

    name = "client_per_call"
    insight_types = frozenset(
        {
            InsightType.PERFORMANCE_DEGRADATION,
            InsightType.OPTIMIZATION_OPPORTUNITY,
            InsightType.RESOURCE_EXHAUSTION,
            InsightType.THROUGHPUT_DROP,
        }
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Keep one client",
            nothing="no client is made in a function",
            effect=effect_of(request, "latency_down"),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        self._constants = constant_names(module)
        self._own = {
            each.name.value: each
            for each in module.body
            if isinstance(each, cst.ClassDef) and not each.bases and not each.decorators
        }
        self._makers: dict[str, str] = {}
        cached = {"functools.lru_cache", "functools.cache"}
        for call in walk(module, cst.Call):
            kind = self._kind(call)
            function = self.function(call)
            if kind is None or function is None or not self.in_function(call) or not self.wanted(call):
                continue
            if function.name.value == "__init__" or any(
                self.names(_called(each.decorator)) & cached for each in function.decorators
            ):
                continue
            self.attempt(call, self._keep, call, kind, function)

    def _kind(self, call: cst.Call) -> str | None:
        names = self.names(call.func)
        if len(names) != 1:
            return None
        name = min(names)
        if name in _SHARED | _PER_THREAD:
            return name
        own = self._own.get(name)
        return name if own is not None and _is_client(own) else None

    def _keep(self, call: cst.Call, kind: str, function: cst.FunctionDef) -> None:
        if kind in self._own:
            _require_unchanging(self._own[kind])
        for argument in call.args:
            if argument.star or not self._is_fixed(argument.value):
                raise RefusedError(f"{kind} is made with something that may differ: {code_of(argument.value)[:40]}")
        if kind.startswith("httpx.Async") or (function.asynchronous is not None and kind in _PER_THREAD):
            raise RefusedError(f"{kind} belongs to one event loop or thread")
        if not self._in_with(call):
            self._require_only_used(call, function, kind)
        maker = self._maker(call, kind)
        asked = f"{maker}(threading.get_ident())" if kind in _PER_THREAD else f"{maker}()"
        if kind in _PER_THREAD:
            self.need_import("threading")
        if self._in_with(call):
            self.need_import("contextlib", "nullcontext")
            asked = f"nullcontext({asked})"
        self.swaps[call] = expression(asked)
        self.applied.append(f"{kind} on line {self.line(call)}")

    def _in_with(self, call: cst.Call) -> bool:
        return isinstance(self.parent(call), cst.WithItem)

    def _is_fixed(self, node: cst.BaseExpression) -> bool:
        literals = (cst.SimpleString, cst.Integer, cst.Float)
        if isinstance(node, literals):
            return True
        if isinstance(node, cst.Name):
            return node.value in {"None", "True", "False"} or node.value in self._constants
        if isinstance(node, cst.Call) and self.is_one_of(node.func, _OPTIONS):
            return all(not each.star and self._is_fixed(each.value) for each in node.args)
        elements = (cst.Tuple, cst.List)
        return isinstance(node, elements) and all(self._is_fixed(each.value) for each in node.elements)

    def _require_only_used(self, call: cst.Call, function: cst.FunctionDef, kind: str) -> None:
        parent = self.parent(call)
        if isinstance(parent, cst.Attribute | cst.Return):
            called = method_of(call, self.parent)
            if called is not None and called[0] in ("close", "shutdown", "__enter__"):
                raise RefusedError(f"{kind} is closed where it is used")
            return
        target = parent.targets[0].target if isinstance(parent, cst.Assign) and len(parent.targets) == 1 else None
        if not isinstance(target, cst.Name):
            raise RefusedError(f"{kind} is not kept in a plain local name")
        for use in uses(function, target.value):
            called = method_of(use, self.parent)
            if use is target or (called is not None and called[0] not in ("close", "aclose", "mount", "shutdown")):
                continue
            raise RefusedError(f"{kind} is changed, closed or passed on on line {self.line(use)}")

    def _maker(self, call: cst.Call, kind: str) -> str:
        made = code_of(call)
        if made not in self._makers:
            last = kind.rpartition(".")[2]
            name = self.fresh(f"_shared_{last.lower()}")
            self._makers[made] = name
            self.need_import("functools", "lru_cache")
            thread = kind in _PER_THREAD
            result = f' -> "{code_of(call.func)}"' if last[0].isupper() else ""
            self.constants.append(
                f"\n\n@lru_cache(maxsize={64 if thread else 1})\n"
                f"def {name}({'thread: int' if thread else ''}){result}:\n    return {made}\n"
            )
        return self._makers[made]


def _called(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.func if isinstance(node, cst.Call) else node


def _is_client(own: cst.ClassDef) -> bool:
    """Whether making one does work: `__init__` calls something."""
    makers = [each for each in own.body.body if isinstance(each, cst.FunctionDef) and each.name.value == "__init__"]
    return any(walk(each.body, cst.Call) for each in makers)


def _require_unchanging(own: cst.ClassDef) -> None:
    for method in (each for each in own.body.body if isinstance(each, cst.FunctionDef)):
        if method.name.value in ("__enter__", "__exit__", "close", "__del__"):
            raise RefusedError(f"{own.name.value} is closed after use")
        first = next((each.name.value for each in parameters(method)), "")
        if method.name.value == "__init__":
            continue
        for target in [*stored_targets(method), *(each.target for each in walk(method, cst.Del))]:
            text = code_of(target)
            if text.startswith(f"{first}.") or walk(method, cst.Global):
                raise RefusedError(f"{own.name.value} changes itself in {method.name.value}")
        for call in walk(method, cst.Call):
            text = code_of(call.func)
            if text.startswith(f"{first}.") and text.rpartition(".")[2] in _CHANGES_STATE:
                raise RefusedError(f"{own.name.value} changes itself in {method.name.value}")
