"""Compares what two versions of one function answered. Decides alone on the answers, which are texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfbuild.gate.changes import FunctionRef

_COMPARABLE_RATIO = 0.5
"""Share of the calls in which two runs of the base must agree for the function to count as one that always does."""
_REACHED_RATIO = 0.5
"""Share of the base's calls that the patched version must get through in the same processor time."""
_SLOW_S = 0.1
"""A call that took the base longer than this may exceed the limit of a call by chance."""
_SHOWN = 6
_TEXT = 160
_IGNORED = frozenset({"cpu_s", "empty"})
_MALFORMED = ("refused", "raised builtins.KeyError")
"""What made-up elements of a wrong shape lead to. Where another argument is empty, the base may never look at them."""


_UNREACHED = frozenset(
    {
        "builtins.ConnectionError",
        "builtins.ConnectionRefusedError",
        "builtins.OSError",
        "builtins.TimeoutError",
        "botocore.exceptions.EndpointConnectionError",
        "httpx.ConnectError",
        "requests.exceptions.ConnectionError",
        "socket.gaierror",
        "urllib.error.URLError",
    }
)
"""What ends a call in the sandbox because nothing can be reached from there: it says nothing of the function."""


@dataclass(frozen=True)
class Comparison:
    """What was found of one function."""

    function: FunctionRef
    cases: int = 0
    """Calls that were compared."""
    differences: tuple[str, ...] = ()
    note: str = ""
    """Why it could not be compared."""

    @property
    def shown(self) -> bool:
        """Whether its behaviour was shown to be the same."""
        return not self.differences and not self.note and self.cases > 0


def compare(
    function: FunctionRef,
    old: Mapping[str, Any] | None,
    again: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    problem: str | None,
) -> Comparison:
    """Old and new, with a second run of the old one that tells what is chance.

    Args:
        function: Which.
        old: What the base answered; None = nothing.
        again: The base once more, with another order of sets.
        new: The patched version.
        problem: How the patched version's run ended, where it did not reach its end.
    """
    if old is None or again is None or not _cases(old) or not _cases(again):
        reason = str((old or {}).get("problem") or "it gave no answer")
        return Comparison(function, note=f"{function.label} cannot be called on the base: {reason}"[:400])
    if new is None or not isinstance(new.get("cases"), dict):
        reason = str((new or {}).get("problem") or problem or "it gave no answer")
        return Comparison(
            function, differences=(f"{function.label} cannot be called in the patched version: {reason}",)
        )
    steady = _steady(_cases(old), _cases(again))
    if len(steady) < _COMPARABLE_RATIO * _usable(_cases(old), _cases(again)):
        return Comparison(function, note=f"{function.label} does not do the same twice: not comparable")
    return _judged(function, steady, old, again, new)


def _judged(
    function: FunctionRef,
    steady: Mapping[str, Mapping[str, Any]],
    old: Mapping[str, Any],
    again: Mapping[str, Any],
    new: Mapping[str, Any],
) -> Comparison:
    is_ = _cases(new)
    reached = [name for name in steady if name in is_]
    if len(reached) < _REACHED_RATIO * len(steady):
        text = f"{function.label} got through {len(reached)} of {len(steady)} calls in the time the base took"
        return Comparison(function, differences=(text,))
    differences = [text for name in reached for text in _differing(name, steady[name], is_[name])]
    # What a call that failed leaves half done is not promised, and later calls build upon it.
    together = len({len(_cases(each)) for each in (old, again, new)}) == 1 and all(map(_returns, _cases(old).values()))
    if not differences and together and old["state"] == again["state"] != new["state"]:
        differences.append(f"variables of the module differ afterwards: {_two(old['state'], new['state'])}")
    answered = [name for name in reached if _returns(steady[name])]
    note = "" if answered or differences else f"{function.label} answered none of {len(reached)} calls with a value"
    return Comparison(function, len(reached), tuple(differences[:_SHOWN]), note)


def _cases(found: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    cases = found.get("cases")
    if not isinstance(cases, dict):
        return {}
    return {name: case for name, case in cases.items() if isinstance(case, dict)}


def _usable(old: Mapping[str, Mapping[str, Any]], again: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(name in again and _counts(name, case) for name, case in old.items())


def _steady(
    old: Mapping[str, Mapping[str, Any]], again: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """Cases in which both runs of the base did the same, those left out that are no use of the function."""
    return {
        name: case
        for name, case in old.items()
        if name in again and _counts(name, case) and _without(case) == _without(again[name])
    }


def _counts(name: str, case: Mapping[str, Any]) -> bool:
    """Made-up arguments of a wrong kind are no use of the function: what it raises for them is not promised."""
    first = str(case.get("first", ""))
    if not first or first == "stopped" or first.rpartition(" ")[2] in _UNREACHED:
        return False
    return name.startswith("recorded") or not first.startswith("refused")


def _returns(case: Mapping[str, Any]) -> bool:
    return str(case.get("first", "")).startswith(("returned", "iterates"))


def _without(case: Mapping[str, Any]) -> dict[str, Any]:
    return {step: text for step, text in case.items() if step not in _IGNORED}


def _differing(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The first step in which the case differs; later ones follow from it."""
    steps = [step for step in dict.fromkeys((*old, *new)) if step not in _IGNORED]
    for step in steps:
        was, is_ = str(old.get(step, "nothing")), str(new.get(step, "nothing"))
        if was == is_:
            continue
        if is_ == "stopped" and float(old.get("cpu_s", 0)) > _SLOW_S:
            return []
        if old.get("empty") and not name.startswith("recorded") and is_.startswith(_MALFORMED):
            return []
        if was == "stopped" or (was.startswith("refused") and not name.startswith("recorded")):
            return []
        return [f"{step} call with {_cut(str(old.get('arguments')))}: {_two(was, is_)} ({name})"]
    return []


def _two(was: object, is_: object) -> str:
    """Both texts, from shortly before the first character that differs."""
    one, other = str(was), str(is_)
    same = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    start = same - 40 if same > _TEXT - 40 else 0
    dots = "…" if start else ""
    return f"was {dots}{_cut(one[start:])}, is {dots}{_cut(other[start:])}"


def _cut(text: str) -> str:
    printable = "".join(each if each.isprintable() else "?" for each in text[: _TEXT + 1])
    return printable if len(printable) <= _TEXT else f"{printable[:_TEXT]}…"
