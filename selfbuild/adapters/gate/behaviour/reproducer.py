"""Rebuilds an error that telemetry reported, and shows that the patch removes it.

A bug in production is one that the application's tests pass on. So the arguments of those tests are changed, one thing
at a time and guided by the error's type, message and log samples, until the base fails as it was reported.
"""

import ast
import asyncio
import base64
import builtins
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from selfbuild.adapters.gate.behaviour.calls import RecordedCalls, module_of, record_calls
from selfbuild.adapters.gate.behaviour.inputs import Inputs
from selfbuild.adapters.gate.behaviour.programs import Answer, run_program
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, failed, skipped
from selfbuild.domain.insights import Insight
from selfbuild.domain.patches import CheckVerdict
from selfbuild.gate.changes import Definition, FunctionRef, definitions
from selfbuild.ports import Sandbox, SandboxLimits

_log = structlog.get_logger()
_LIMITS = SandboxLimits(wall_s=30, cpu_s=12, memory_bytes=1 << 30, output_bytes=8 << 20)
_BUDGET_S = 3.0
"""Processor time of the search."""
_CALL_S = 0.4
_MOST_CASES = 1_500
_MADE_UP = 12
_KEPT = 6
"""Ways to raise the error that the patch has to remove, all of them."""
_CRASHES = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "IndexError",
        "KeyError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "SystemExit",
        "TypeError",
        "UnboundLocalError",
        "ZeroDivisionError",
    }
)
"""Errors that are no answer: a patch which raises one in place of the reported error has repaired nothing."""
_SHOWN = 200


@dataclass(frozen=True)
class Report:
    """An error as telemetry told it."""

    error_type: str
    message: str
    path: str
    line: int
    function: str

    @classmethod
    def of(cls, insight: Insight) -> "Report | None":
        """None where the type or the function is not known."""
        place = insight.location
        if insight.error_type is None or place is None or place.function is None:
            return None
        kind = insight.error_type.rpartition(".")[2]
        return cls(kind, insight.error_message or "", place.path, place.line or 0, place.function.rpartition(".")[2])

    def likeness(self, found: Mapping[str, Any]) -> int:
        """How well an outcome fits: 0 = another error; the message says more than the line, which shifts."""
        here = found.get("path") == self.path and found.get("function") == self.function
        if found.get("raised") != self.error_type or not here:
            return 0
        same_line, same_message = found.get("line") == self.line, _plain(found.get("message")) == _plain(self.message)
        return 2 * same_message + same_line


async def reproduce(sandbox: Sandbox, versions: Versions, insight: Insight) -> Outcome:
    """Passes when the base raises the reported error with some arguments and the patch, with the same, does not.

    Fails when the patch still raises it or crashes otherwise, and when it changes what other arguments give. Skipped,
    never passed, where the error cannot be rebuilt.

    Raises:
        Unreachable: the sandbox did not start.
    """
    report = Report.of(insight)
    if report is None:
        return _not_built("telemetry names no error type or no function")
    function = await asyncio.to_thread(_function, versions, report)
    if function is None:
        return _not_built(f"{report.path} has no function {report.function} that can be called from outside")
    calls = await record_calls(
        sandbox,
        tree=versions.base_tree,
        functions=[function],
        test_command=versions.test_command,
        python=versions.python,
        per_function=12,
    )
    plan = await asyncio.to_thread(_plan, versions, function, calls, report, insight)
    searched = await _ask(sandbox, versions, plan)
    if isinstance(searched, str):
        return _not_built(f"the base cannot be called: {searched}")
    chosen = _chosen(searched, report)
    if not chosen:
        tried = f"{len(searched)} calls of {function.label}, {len(calls.calls)} of them from the tests"
        return _not_built(f"{report.error_type} was not raised there in {tried}")
    others = [name for name, found in searched.items() if _is_recorded(name) and "returned" in found]
    plan |= {"only": [*chosen, *others]}
    before, after = await asyncio.gather(_ask(sandbox, versions, plan), _ask(sandbox, versions, plan, new=True))
    if not isinstance(before, str):
        # What the base itself gives otherwise the second time (a time, a chance) is no measure of the patch.
        others = [name for name in others if before.get(name) == searched[name]]
    outcome = _judge(report, chosen, others, before, after)
    _log.debug("error.reproduced", verdict=outcome.verdict, cases=len(chosen), others=len(others))
    return outcome


def _judge(
    report: Report,
    chosen: list[str],
    others: list[str],
    before: dict[str, Mapping[str, Any]] | str,
    after: dict[str, Mapping[str, Any]] | str,
) -> Outcome:
    if isinstance(before, str):
        return _not_built(f"the base cannot be called again: {before}")
    steady = [name for name in chosen if report.likeness(before.get(name, {}))]
    if not steady:
        return _not_built(f"{report.error_type} was raised once, and not again with the same arguments")
    if isinstance(after, str):
        return failed(f"the patched version did not answer: {after}")
    problems = {name: problem for name in steady if (problem := _still_wrong(after.get(name, {}), report))}
    for name, problem in problems.items():
        # The first is a call of the tests with the least changed. The others may lack more than the patch is to repair.
        nearest = name == steady[0] and name.startswith("recorded ")
        same = report.likeness(after.get(name, {})) >= report.likeness(before[name])
        if nearest or same or len(problems) == len(steady):
            return failed(f"the reported error is not repaired: {problem}, with {name}", place=_place(report))
    changed = [name for name in others if name in before and _differ(before[name], after.get(name, {}))]
    if changed:
        was, is_ = _said(before[changed[0]]), _said(after.get(changed[0], {}))
        return failed(
            f"calls that worked give something else: {is_} in place of {was}, with {changed[0]}", place=_place(report)
        )
    shown = [f"{name}: {report.error_type} before, {_said(after[name])} now" for name in steady if name not in problems]
    shown.append(f"{len(others)} other calls give what they gave before")
    return Outcome(CheckVerdict.PASSED, place=_place(report), findings=tuple(shown))


def _still_wrong(found: Mapping[str, Any], report: Report) -> str | None:
    kinds = found.get("kinds")
    if isinstance(kinds, list):
        names = {str(each) for each in kinds}
        # What is no Exception ends the server's thread, or is meant for the interpreter.
        if "Exception" not in names or (_CRASHES | {report.error_type}) & names:
            return f"it raises {_said(found)}"
    if "returned" in found or "raised" in found:
        return None
    return "it takes too long" if found.get("stopped") else "it gives no answer"


def _is_recorded(case: str) -> bool:
    """Whether a test makes exactly this call: only of those is it known that they are meant to work."""
    return case.startswith("recorded ") and ": " not in case


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    # Texts with an address or a time differ by themselves: the differential check tells those apart, this one only
    # looks at what is plainly a value.
    return "0x" not in str(before.get("returned")) and before.get("returned") != after.get("returned")


def _said(found: Mapping[str, Any]) -> str:
    if "returned" in found:
        return f"{found['returned']}"[:_SHOWN]
    if "raised" in found:
        return f"{found['raised']}: {found.get('message', '')}"[:_SHOWN]
    return "no answer"


def _chosen(searched: Mapping[str, Mapping[str, Any]], report: Report) -> list[str]:
    """The cases that fit best, the least changed first."""
    rated = {name: report.likeness(found) for name, found in searched.items()}
    best = max(rated.values(), default=0)
    fitting = [name for name, likeness in rated.items() if best and likeness == best]
    # What is made up may lack much else: a call of the tests with one thing changed says more.
    return ([name for name in fitting if name.startswith("recorded ")] or fitting)[:_KEPT]


async def _ask(
    sandbox: Sandbox, versions: Versions, plan: Mapping[str, Any], *, new: bool = False
) -> dict[str, Mapping[str, Any]] | str:
    """What came of each case, in their order, or why there is no answer."""
    control = _control(plan)
    answer: Answer = await run_program(
        sandbox,
        "reproduce",
        tree=versions.patched_tree if new else versions.base_tree,
        plan={**plan, "control": control},
        python=versions.python,
        limits=_LIMITS,
    )
    found: dict[str, Mapping[str, Any]] = {}
    for part in answer.parts:
        name, inner = part.get("case"), part.get("found")
        if not isinstance(name, str) or not isinstance(inner, dict) or name in found:
            return str(part.get("problem", "it answered in another form than asked"))[:_SHOWN]
        found[name] = inner
    if answer.problem is not None:
        return answer.problem
    known = found.pop(control["name"], {})
    if known.get("raised") != control["kind"] or control["message"] not in str(known.get("message")):
        return "a call whose end is known ended otherwise: the answer is forged"
    return found


def _control(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A call among the others that raises a like error with a text which nobody else knows."""
    kind = plan["hints"]["error_type"]
    made = getattr(builtins, kind, None)
    usual = isinstance(made, type) and issubclass(made, Exception) and not issubclass(made, UnicodeError)
    word = secrets.token_hex(8)
    count = len(plan["only"]) if plan["only"] else 1
    return {
        "name": f"control {word}",
        "kind": kind if usual else "ValueError",
        "message": word,
        "place": secrets.randbelow(count + 1),
    }


def _function(versions: Versions, report: Report) -> FunctionRef | None:
    """The function in which the error was raised: of several with that name, the one around the line."""
    path = versions.base_tree / report.path
    try:
        tree = ast.parse(versions.old.get(report.path) or path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    # A comprehension or lambda is called through the function around it.
    nested = report.function.startswith("<")
    named = [each for each in definitions(tree) if nested or each.node.name == report.function]
    around = [each for each in named if each.node.lineno <= report.line <= (each.node.end_lineno or 0)]
    if not around and (nested or not named):
        return None
    found = (around or named)[0]
    return FunctionRef(report.path, found.qualified_name, found.kind, found.is_async)


def _plan(
    versions: Versions, function: FunctionRef, calls: RecordedCalls, report: Report, insight: Insight
) -> dict[str, Any]:
    folder, module = module_of(versions.base_tree, function.path)
    module = calls.modules.get(function.path, module)
    old = versions.old.get(function.path) or (versions.base_tree / function.path).read_text(encoding="utf-8")
    inputs = Inputs(old, module=module, seed=insight.fingerprint, others=())
    definition = inputs.definition(function.qualified_name, setter=function.kind == "setter")
    made = inputs.calls(definition, _MADE_UP) if definition is not None else []
    return {
        "paths": [*dict.fromkeys([*calls.paths, folder, ".", "src"])],
        "function": {
            "name": function.qualified_name,
            "kind": function.kind,
            "module": module,
            "recorded": [base64.b64encode(each.arguments).decode() for each in calls.of(function)],
            "generated": [each.described() for each in made],
            "hidden": [],
        },
        "hints": {
            "error_type": report.error_type,
            "message": report.message,
            "parameters": _parameters(definition),
            "values": [list(each) for each in _logged_values(insight.evidence.samples)][:40],
        },
        "only": None,
        "call_s": _CALL_S,
        "budget_s": _BUDGET_S,
        "most": _MOST_CASES,
    }


def _parameters(definition: Definition | None) -> list[str]:
    """Names of the positional parameters, `self` included."""
    if definition is None:
        return []
    arguments = definition.node.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args)]


def _logged_values(samples: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Names and values of the JSON objects in the samples, nested ones too."""
    for sample in samples:
        start = sample.find("{")
        if start < 0:
            continue
        try:
            value, _ = json.JSONDecoder().raw_decode(sample[start:])
        except (ValueError, RecursionError):
            continue
        yield from _named(value, 0)


def _named(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > 5:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _named(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value[:5]:
            yield from _named(inner, depth + 1)


def _plain(message: object) -> str:
    return str(message or "").strip().strip("'\"")


def _place(report: Report) -> str:
    return f"{report.path}:{report.line}"


def _not_built(reason: str) -> Outcome:
    return skipped(f"no reproducer could be built: {reason}"[:1500])
