"""An HTTP call without a time limit gets one: `requests` and `urlopen` wait for ever by default."""

from collections.abc import Sequence

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, code_of, functions_of, run_rule
from selfbuild.recipes.plan import walk

TIMEOUT_S = 10.0
"""Longer than a healthy answer takes, shorter than callers and load balancers wait (30 to 60 s)."""
_VERBS = ("get", "post", "put", "delete", "head", "options", "patch", "request")
URLOPEN = "urllib.request.urlopen"
BLOCKING_HTTP = frozenset({URLOPEN, *(f"requests.{verb}" for verb in _VERBS)})
_CONNECTIONS = frozenset({"http.client.HTTPConnection", "http.client.HTTPSConnection", "socket.create_connection"})
_SESSIONS = frozenset({"requests.Session", "requests.session", "requests.sessions.Session"})


class MissingTimeout:
    """Adds `timeout=10.0`.

    Refuses unless the name has exactly one meaning, one of requests.*, urlopen, HTTPConnection, create_connection, or
    a method of what the file sets to a `requests.Session()` and nothing else; and no argument could carry a time
    limit already. httpx has a limit of 5 s by default and is left alone.
    """

    name = "missing_timeout"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.RESOURCE_EXHAUSTION, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Limit how long HTTP calls may take",
            nothing="no HTTP call without a time limit",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=("requests", "urlopen", "HTTP", "create_connection"),
        )


class _Rule(Rule):
    def visit_Module(self, node: cst.Module) -> None:
        """Names and attributes that the file sets to a session, and to nothing else."""
        self._sessions: set[str] = set()
        other: set[str] = set()
        for assign in walk(node, cst.Assign):
            session = isinstance(assign.value, cst.Call) and self.is_one_of(assign.value.func, _SESSIONS)
            for target in assign.targets:
                (self._sessions if session else other).add(code_of(target.target))
        for item in walk(node, cst.WithItem):
            if item.asname is not None and isinstance(item.item, cst.Call):
                session = self.is_one_of(item.item.func, _SESSIONS)
                (self._sessions if session else other).add(code_of(item.asname.name))
        self._sessions -= other

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        names = self.names(original_node.func)
        name = min(names & (BLOCKING_HTTP | _CONNECTIONS), default=self._of_session(original_node.func))
        if name is None or not self.wanted(original_node):
            return updated_node
        if any(argument.keyword and argument.keyword.value == "timeout" for argument in original_node.args):
            return updated_node
        problem = _problem(names if name in names else frozenset({name}), original_node.args)
        if problem is not None:
            self.refuse(original_node, problem)
            return updated_node
        self.applied.append(f"{name} on line {self.line(original_node)}")
        return updated_node.with_changes(args=[*_with_last_comma(updated_node.args), _timeout()])

    def _of_session(self, function: cst.BaseExpression) -> str | None:
        if not isinstance(function, cst.Attribute) or function.attr.value not in _VERBS:
            return None
        owner = function.value
        made = isinstance(owner, cst.Call) and self.is_one_of(owner.func, _SESSIONS)
        return code_of(function) if made or code_of(owner) in self._sessions else None


def _problem(names: frozenset[str], args: Sequence[cst.Arg]) -> str | None:
    if len(names) != 1:
        return "the name of the call has several meanings"
    if any(argument.star for argument in args):
        return "unpacked arguments may carry a time limit"
    given = sum(argument.keyword is None for argument in args)
    limits = {
        URLOPEN: 2,
        "socket.create_connection": 1,
        **dict.fromkeys(_CONNECTIONS - {"socket.create_connection"}, 2),
    }
    if given > limits.get(min(names), 9):
        return "the time limit is given by position"
    return None


def _with_last_comma(args: Sequence[cst.Arg]) -> list[cst.Arg]:
    arguments = list(args)
    if arguments and arguments[-1].comma is cst.MaybeSentinel.DEFAULT:
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        arguments[-1] = arguments[-1].with_changes(comma=comma)
    return arguments


def _timeout() -> cst.Arg:
    blank = cst.SimpleWhitespace("")
    equal = cst.AssignEqual(whitespace_before=blank, whitespace_after=blank)
    return cst.Arg(keyword=cst.Name("timeout"), value=cst.Float(str(TIMEOUT_S)), equal=equal)
