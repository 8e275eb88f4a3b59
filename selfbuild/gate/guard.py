"""What is checked of a patch without running anything: paths, scope, size, characters, applicability, syntax, code.

The guard trusts neither the generator nor the telemetry it was asked with; its verdict depends on values alone.
"""

import ast
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from selfbuild.domain.base import Value
from selfbuild.domain.edits import EditError, apply_edits
from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict, Patch
from selfbuild.gate.answers import ANSWER_BYTES, EDITS
from selfbuild.gate.characters import character_problem, summary_problem
from selfbuild.gate.delta import Delta, code_findings
from selfbuild.gate.diff import changed_lines, unified
from selfbuild.gate.policy import PathPolicy, outside_scope, path_problem
from selfbuild.gate.structure import outside_targets, reach_findings

FILES = 3
CHANGED_LINES = 80
LINE_CHARACTERS = 400
"""Longest line a patch may bring in: more hides code beyond the right edge of a review."""
FINAL_CHECKS = frozenset({CheckName.PATH, CheckName.SCOPE, CheckName.UNICODE, CheckName.CODE})
"""Checks whose failure may be an attack: such a refusal is never sent back for repair."""
TOOL = "guard 1"
_REMEDY_CHARACTERS = 2000

Clock = Callable[[], float]


class GuardResult(Value):
    """What the guard says; `files`, `diff` and `changed_lines` are empty unless the patch could be applied."""

    checks: tuple[CheckResult, ...]
    reason_class: str | None
    """The first failing check's name; None when the patch may go on."""
    message: str = ""
    files: dict[str, str] = {}
    """Path -> new text of the changed files."""
    diff: str = ""
    changed_lines: int = 0

    @property
    def accepted(self) -> bool:
        return self.reason_class is None

    @property
    def final(self) -> bool:
        """Whether the refusal may be an attack, so that no repair is asked for."""
        return self.reason_class in FINAL_CHECKS


@dataclass(frozen=True)
class _Failure:
    reason: str
    place: str | None = None
    findings: tuple[str, ...] = ()


@dataclass
class _Case:
    patch: Patch
    old: Mapping[str, str]
    shown: Sequence[str]
    targets: Mapping[str, Sequence[str]]
    regular_files: Collection[str]
    links: Collection[str] | None
    policy: PathPolicy
    new: dict[str, str] = field(default_factory=dict)
    apply_error: EditError | None = None
    deltas: dict[str, Delta] = field(default_factory=dict)
    syntax: _Failure | None = None

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What the code brings in or drops, path first."""
        found: list[str] = []
        for path, delta in self.deltas.items():
            try:
                findings = code_findings(delta, own_modules=lambda: self.own_modules, policy=self.policy)
            except RecursionError:
                findings = ["is nested too deeply to be looked at"]
            found += [f"{path}: {finding}" for finding in findings]
        return tuple(found)

    @cached_property
    def own_modules(self) -> set[str]:
        return _own_modules(self.regular_files)


def guard(
    patch: Patch,
    files: Mapping[str, str],
    *,
    shown: Sequence[str],
    target_symbols: Mapping[str, Sequence[str]],
    regular_files: Collection[str],
    links: Collection[str] | None = None,
    policy: PathPolicy | None = None,
    clock: Clock = lambda: 0.0,
) -> GuardResult:
    """Check a patch against the texts it would change.

    Args:
        patch: What the generator proposes.
        files: Path -> original text, at least of the shown files.
        shown: The only files that may be changed.
        target_symbols: Path -> functions that may be changed; a path without an entry may change anywhere.
        regular_files: Paths of all regular files of the repository.
        links: Paths of its symbolic links; None = not known, then a path without a regular file counts as one.
        policy: Globs of the application; None = the defaults.
        clock: Seconds, only for the durations in the checks.

    Returns:
        One result for each check from `format` to `syntax`, and why the patch is refused, if it is.
    """
    case = _Case(patch, files, shown, target_symbols, regular_files, links, policy or PathPolicy())
    _apply(case)
    _parse(case)
    checks: list[CheckResult] = []
    for name, check in _CHECKS.items():
        started = clock()
        failure = check(case)
        checks.append(_result(name, failure, (clock() - started) * 1000, skipped=_cannot_say(name, case)))
    return _summarise(case, checks)


def _apply(case: _Case) -> None:
    readable = {path: text for path, text in case.old.items() if path in case.shown}
    try:
        case.new = apply_edits(readable, case.patch)
    except EditError as error:
        case.apply_error = error


def _parse(case: _Case) -> None:
    for path, text in case.new.items():
        if not path.endswith(".py"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                delta = Delta(ast.parse(case.old[path]), ast.parse(text), case.old[path], text)
                compile(_changed_module(delta), path, "exec", dont_inherit=True)
                case.deltas[path] = delta
        except SyntaxError as error:
            case.syntax = _Failure(
                f"Syntax error on line {error.lineno or 1}", f"{path}:{error.lineno or 1}", (str(error.msg),)
            )
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            case.syntax = _Failure("Syntax error on line 1", path, (f"cannot be read: {type(error).__name__}",))


def _changed_module(delta: Delta) -> ast.Module:
    """What must be compiled to know that all of it compiles: errors behind the parser's lie within one statement."""
    changed = {id(node) for node in delta.names[1].nodes}
    body = [node for node in delta.new.body if isinstance(node, ast.ClassDef) or id(node) in changed]
    late = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in body)
    return delta.new if late else ast.Module(body=body, type_ignores=[])


def _format(case: _Case) -> _Failure | None:
    size = sum(len(edit.search) + len(edit.replace) + len(edit.path) for edit in case.patch.edits)
    return (
        _Failure(f"the edits have {size} characters, at most {ANSWER_BYTES} are read") if size > ANSWER_BYTES else None
    )


def _path(case: _Case) -> _Failure | None:
    for index, edit in enumerate(case.patch.edits):
        problem = path_problem(edit.path, case.regular_files, case.links or ())
        if problem is None and edit.path not in case.regular_files and _is_claimed(edit.path, case):
            problem = "is no regular file of the repository"
        if problem is not None:
            return _Failure(f"the path {edit.path[:200]!r} {problem}", f"edit {index}")
    return None


def _is_claimed(path: str, case: _Case) -> bool:
    """Whether a path without a regular file is the path's fault; otherwise the scope check speaks."""
    return path in case.shown or (case.links is None and case.policy.refusal(path) is None)


def _scope(case: _Case) -> _Failure | None:
    for index, edit in enumerate(case.patch.edits):
        problem = outside_scope(edit.path, case.shown, case.policy)
        if problem is not None:
            return _Failure(problem, f"edit {index}")
    if _size(case) or _unicode(case):
        # A rewrite, or text that is not what it looks like, is said to be that, whatever functions it touches.
        return None
    for path, delta in case.deltas.items():
        name = outside_targets(delta.shape, case.targets[path]) if path in case.targets else None
        if name is not None:
            return _Failure(f"{name} in {path} may not be changed, only {', '.join(case.targets[path])}", path)
    return None if case.findings else _reach(case)


def _reach(case: _Case) -> _Failure | None:
    """Where nothing in the change is harmful as such, what it changes beyond its reach is what is wrong with it."""
    for path, delta in case.deltas.items():
        findings = tuple(reach_findings(delta.shape, case.targets.get(path)))
        if findings:
            return _Failure(f"{path}: {findings[0]}", path, findings[:20])
    return None


def _size(case: _Case) -> _Failure | None:
    edits, files = len(case.patch.edits), len({edit.path for edit in case.patch.edits})
    lines = _lines(case)
    for what, count, limit in (
        ("edits", edits, EDITS),
        ("files", files, FILES),
        ("changed lines", lines, CHANGED_LINES),
    ):
        if count > limit:
            return _Failure(f"{count} {what}, at most {limit} are accepted")
    for index, edit in enumerate(case.patch.edits):
        longest = max(map(len, edit.replace.split("\n")))
        if longest > LINE_CHARACTERS and longest > max(map(len, edit.search.split("\n"))):
            return _Failure(f"a line of {longest} characters, at most {LINE_CHARACTERS} are accepted", f"edit {index}")
    return None


def _lines(case: _Case) -> int:
    return sum(changed_lines(edit.search, edit.replace) for edit in case.patch.edits)


def _unicode(case: _Case) -> _Failure | None:
    problem = summary_problem(case.patch.summary)
    if problem is not None:
        return _Failure(problem)
    for index, edit in enumerate(case.patch.edits):
        old = case.old.get(edit.path, "")
        problem = (
            character_problem(old, edit.replace) if case.apply_error else character_problem(old, case.new[edit.path])
        )
        if problem is not None:
            return _Failure(problem, f"edit {index}")
    return None


def _applies(case: _Case) -> _Failure | None:
    error = case.apply_error
    if error is None:
        return None
    reason = f"edit {error.index}: {error.reason.value}"
    return _Failure(reason + (f", {error.count} occurrences" if error.count > 1 else ""), f"edit {error.index}")


def _code(case: _Case) -> _Failure | None:
    if case.apply_error is not None or case.syntax is not None:
        return None
    findings = case.findings
    return _Failure(findings[0], findings[0].partition(":")[0], findings[:20]) if findings else None


def _own_modules(regular_files: Collection[str]) -> set[str]:
    python = [path for path in regular_files if path.endswith(".py")]
    folders = {part for path in python for part in path.split("/")[:-1]}
    return folders | {path.rpartition("/")[2].removesuffix(".py") for path in python if path.count("/") <= 1}


def _syntax(case: _Case) -> _Failure | None:
    return case.syntax


_CHECKS: dict[CheckName, Callable[[_Case], _Failure | None]] = {
    CheckName.FORMAT: _format,
    CheckName.PATH: _path,
    CheckName.SCOPE: _scope,
    CheckName.SIZE: _size,
    CheckName.UNICODE: _unicode,
    CheckName.APPLY: _applies,
    CheckName.CODE: _code,
    CheckName.SYNTAX: _syntax,
}


def _cannot_say(name: CheckName, case: _Case) -> bool:
    if name is CheckName.CODE:
        return case.apply_error is not None or case.syntax is not None
    return name is CheckName.SYNTAX and case.apply_error is not None


def _result(name: CheckName, failure: _Failure | None, duration_ms: float, *, skipped: bool) -> CheckResult:
    if failure is None:
        verdict = CheckVerdict.SKIPPED if skipped else CheckVerdict.PASSED
        return CheckResult(name=name, verdict=verdict, tool=TOOL, duration_ms=duration_ms)
    return CheckResult(
        name=name,
        verdict=CheckVerdict.FAILED,
        tool=TOOL,
        duration_ms=duration_ms,
        place=failure.place,
        remedy=failure.reason[:_REMEDY_CHARACTERS],
        findings=failure.findings,
    )


def first_failure(checks: Iterable[CheckResult]) -> CheckResult | None:
    """The first check that failed, in the order given."""
    return next((check for check in checks if check.verdict is CheckVerdict.FAILED), None)


def _summarise(case: _Case, checks: Sequence[CheckResult]) -> GuardResult:
    failed = first_failure(checks)
    return GuardResult(
        checks=tuple(checks),
        reason_class=failed.name if failed else None,
        message=f"Validation failed: {failed.remedy}" if failed else "",
        files=case.new,
        diff=unified(case.old, case.new),
        changed_lines=0 if case.apply_error else _lines(case),
    )
