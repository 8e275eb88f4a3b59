"""An HTTP call without a time limit gets one: `requests` and `urlopen` wait for ever by default."""

from collections.abc import Sequence

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, functions_of, run_rule

TIMEOUT_S = 10.0
"""Longer than a healthy answer takes, shorter than callers and load balancers wait (30 to 60 s)."""
_VERBS = ("get", "post", "put", "delete", "head", "options", "patch", "request")
URLOPEN = "urllib.request.urlopen"
BLOCKING_HTTP = frozenset({URLOPEN, *(f"requests.{verb}" for verb in _VERBS)})


class MissingTimeout:
    """Adds `timeout=10.0`.

    Refuses unless the name has exactly one meaning, one of requests.* or urllib.request.urlopen, and no argument
    could carry a time limit already. httpx has a limit of 5 s by default and is left alone.
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
            needles=("requests", "urlopen"),
        )


class _Rule(Rule):
    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        names = self.names(original_node.func)
        if not names & BLOCKING_HTTP or not self.wanted(original_node):
            return updated_node
        if any(argument.keyword and argument.keyword.value == "timeout" for argument in original_node.args):
            return updated_node
        problem = _problem(names, original_node.args)
        if problem is not None:
            self.refuse(original_node, problem)
            return updated_node
        self.applied.append(f"{min(names)} on line {self.line(original_node)}")
        return updated_node.with_changes(args=[*_with_last_comma(updated_node.args), _timeout()])


def _problem(names: frozenset[str], args: Sequence[cst.Arg]) -> str | None:
    if len(names) != 1:
        return "the name of the call has several meanings"
    if any(argument.star for argument in args):
        return "unpacked arguments may carry a time limit"
    if URLOPEN in names and sum(argument.keyword is None for argument in args) > 2:
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
