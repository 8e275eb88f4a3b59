"""Calls each changed function in both versions with the same arguments and compares what they do.

Both versions run apart from each other, and only this process knows both answers: a version cannot forge the other's.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from selfbuild.adapters.gate.behaviour.calls import RecordedCalls, module_of
from selfbuild.adapters.gate.behaviour.comparison import Comparison, compare
from selfbuild.adapters.gate.behaviour.inputs import Inputs
from selfbuild.adapters.gate.behaviour.names import added_attributes, common_globals, same_parameters
from selfbuild.adapters.gate.behaviour.programs import Answer, run_program
from selfbuild.adapters.gate.behaviour.versions import Versions
from selfbuild.adapters.gate.outcome import Outcome, failed, skipped
from selfbuild.domain.patches import CheckVerdict
from selfbuild.gate.changes import FunctionRef
from selfbuild.ports import Sandbox, SandboxLimits

_log = structlog.get_logger()
REPLAY_LIMITS = SandboxLimits(wall_s=30, cpu_s=12, memory_bytes=1 << 30, output_bytes=8 << 20)
"""Far more than the programs take on their own: what they do is bounded by the processor time below."""
_FUNCTION_S = 0.6
_ALL_S = 1.6
"""Processor time of all functions of one version: three runs share two cores, and all of it should end within 4 s."""
_CALL_S = 0.4
_GENERATED = 120
_VARIED = 8
_FINDINGS = 20
_LATER_S = 1.1


@dataclass(frozen=True)
class Plan:
    """What both versions are asked."""

    functions: tuple[FunctionRef, ...]
    described: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    """Why others are left out."""
    paths: tuple[str, ...] = field(default=())

    def arguments(self) -> dict[str, Any]:
        """As the program reads it."""
        share = min(_FUNCTION_S, _ALL_S / max(1, len(self.functions)))
        return {"functions": self.described, "paths": self.paths, "call_s": _CALL_S, "function_s": share}


@dataclass(frozen=True)
class Evidence:
    """What the base was asked and answered."""

    plan: Plan
    old: Answer
    again: Answer


@dataclass(frozen=True)
class Difference:
    """The result of the comparison, for those who want more than the outcome."""

    outcome: Outcome
    compared: tuple[FunctionRef, ...] = ()
    """Functions whose behaviour was shown to be the same."""
    cases: int = 0
    evidence: Evidence | None = None
    """What the base answered, to compare further texts with it."""


async def differential(sandbox: Sandbox, versions: Versions, *, calls: RecordedCalls | None) -> Outcome:
    """Fails where a changed function does something else than before.

    Skipped, never passed, where no function could be compared: then the patch's behaviour is not shown.

    Args:
        sandbox: Where.
        versions: What is compared.
        calls: What the tests call the functions with, recorded on the base; None = arguments are made up alone.

    Raises:
        Unreachable: the sandbox did not start.
    """
    return (await differences(sandbox, versions, calls=calls)).outcome


async def differences(sandbox: Sandbox, versions: Versions, *, calls: RecordedCalls | None) -> Difference:
    """As `differential`, with the functions that were compared."""
    plan = await asyncio.to_thread(plan_of, versions, calls or RecordedCalls())
    if not plan.functions:
        return Difference(not_shown(plan.notes or ("no function that stands in both versions is changed",)))
    old, again, new = await asyncio.gather(
        replay(sandbox, versions, plan, new=False),
        replay(sandbox, versions, plan, new=False, hash_seed=1),
        replay(sandbox, versions, plan, new=True),
    )
    result = judge(plan, old, again, new)
    if result.outcome.verdict is CheckVerdict.FAILED:
        # What depends on the clock is alike within a second, and differs between now and then.
        await asyncio.sleep(_LATER_S)
        later = await replay(sandbox, versions, plan, new=False)
        confirmed = judge(plan, old, later, new)
        result, again = (result, again) if confirmed.outcome.verdict is CheckVerdict.FAILED else (confirmed, later)
    result = replace(result, evidence=Evidence(plan, old, again))
    _log.debug("behaviour.compared", verdict=result.outcome.verdict, functions=len(result.compared), cases=result.cases)
    return result


async def replay(
    sandbox: Sandbox,
    versions: Versions,
    plan: Plan,
    *,
    new: bool,
    hash_seed: int = 0,
    files: Mapping[str, str] | None = None,
) -> Answer:
    """What one version answers; `files` replaces texts of its tree."""
    return await run_program(
        sandbox,
        "replay",
        tree=versions.patched_tree if new else versions.base_tree,
        plan=plan.arguments(),
        python=versions.python,
        limits=REPLAY_LIMITS,
        hash_seed=hash_seed,
        files=files,
    )


def plan_of(versions: Versions, calls: RecordedCalls) -> Plan:
    """The arguments for every function that can be called in both versions."""
    functions: list[FunctionRef] = []
    described: list[dict[str, Any]] = []
    notes: list[str] = []
    paths = list(calls.paths)
    for path in dict.fromkeys(each.path for each in versions.functions):
        folder, module = module_of(versions.base_tree, path)
        module = calls.modules.get(path, module)
        paths += [each for each in (folder, ".", "src") if each not in paths]
        seed = hashlib.sha256(f"{versions.old[path]}\0{versions.new[path]}".encode()).hexdigest()
        inputs = Inputs(versions.old[path], module=module, seed=seed, others=(versions.new[path],))
        for each in versions.functions:
            if each.path != path:
                continue
            if not same_parameters(versions.old[path], versions.new[path], each):
                notes.append(f"{each.label} has other parameters than before")
                continue
            asked = _asked(each, inputs, calls, versions) | {"module": module, "seed": seed}
            if asked["recorded"] or asked["generated"]:
                functions.append(each)
                described.append(asked)
            else:
                notes.append(f"no arguments are known for {each.label}")
    return Plan(tuple(functions), tuple(described), tuple(notes), tuple(paths))


def _asked(function: FunctionRef, inputs: Inputs, calls: RecordedCalls, versions: Versions) -> dict[str, Any]:
    definition = inputs.definition(function.qualified_name, setter=function.kind == "setter")
    made = inputs.calls(definition, _GENERATED) if definition is not None else []
    old, new = versions.old[function.path], versions.new[function.path]
    return {
        "key": key_of(function),
        "name": function.qualified_name,
        "kind": function.kind,
        "recorded": [base64.b64encode(call.arguments).decode() for call in calls.of(function)],
        "shared": function.qualified_name.rpartition(".")[2] in versions.kept_answers,
        "varied": _VARIED,
        "generated": [each.described() for each in made],
        "hidden": sorted(added_attributes(old, new)),
        "globals": sorted(common_globals(old, new)),
    }


def key_of(function: FunctionRef) -> str:
    """Names a function within a plan."""
    return f"{function.label} {function.kind}"


def judge(plan: Plan, old: Answer, again: Answer, new: Answer) -> Difference:
    """Compare what came of every function."""
    was, repeated, is_ = (_by_key(answer) for answer in (old, again, new))
    if was is None or repeated is None:
        return Difference(not_shown(("the base answered in another form than asked",)))
    if is_ is None:
        return Difference(failed("the patched version answered in another form than asked: the answer is forged"))
    results = [
        compare(each, was.get(key_of(each)), repeated.get(key_of(each)), is_.get(key_of(each)), new.problem)
        for each in plan.functions
    ]
    return _result(plan, results, old.problem)


def _result(plan: Plan, results: Sequence[Comparison], base_problem: str | None) -> Difference:
    cases = sum(each.cases for each in results)
    notes = (*plan.notes, *(each.note for each in results if each.note))
    differing = [each for each in results if each.differences]
    if differing:
        findings = tuple(text for each in differing for text in each.differences)[:_FINDINGS]
        first = differing[0].function
        remedy = f"{first.label} behaves differently: {differing[0].differences[0]}"
        return Difference(failed(remedy, place=first.label, findings=findings), cases=cases)
    compared = tuple(each.function for each in results if each.shown)
    if not compared:
        return Difference(not_shown((*notes, *((f"the base: {base_problem}",) if base_problem else ()))), cases=cases)
    summary = f"{len(compared)} functions behave the same in {cases} calls"
    return Difference(Outcome(CheckVerdict.PASSED, findings=(summary, *notes)[:_FINDINGS]), compared, cases)


def not_shown(notes: Sequence[str]) -> Outcome:
    """Nothing can be said of the behaviour."""
    return skipped(f"behaviour not shown: {'; '.join(notes)}"[:1500])


def _by_key(answer: Answer) -> dict[str, Mapping[str, Any]] | None:
    """Key -> what came of it; None where the form is wrong or something was said twice."""
    found: dict[str, Mapping[str, Any]] = {}
    for part in answer.parts:
        key, inner = part.get("key"), part.get("found")
        if not isinstance(key, str) or not isinstance(inner, dict) or key in found:
            return None
        found[key] = inner
    return found
