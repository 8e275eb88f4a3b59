"""Machine-made answers to a refused patch: what a generator needs to repair it, and nothing to argue with."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from heapq import nlargest

from selfbuild.domain.edits import EditError, EditProblem, apply_edits, occurrences
from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict, Edit, GateReport, Patch
from selfbuild.gate.guard import FINAL_CHECKS, first_failure

FEEDBACK_BYTES = 4096
FINDINGS_BYTES = 2048
"""Largest part taken from a tool's findings."""
WINDOWS = 3
LIKENESS = 0.6
"""Smallest ratio of difflib at which a place of the file is shown as the one that may have been meant."""
_SEARCH_LINES = 40
_WINDOW_CHARACTERS = 800
_CANDIDATES = 40
"""Places of the file that are compared in full, so that a big file costs little more than a small one."""


def feedback(report: GateReport, patch: Patch, sources: Mapping[str, str]) -> str:
    """What to tell the generator about its refused patch, at most 4 KiB.

    Args:
        report: What the gate said.
        patch: What the generator proposed.
        sources: Path -> original text of the files it was shown.

    Returns:
        Empty for an accepted patch, and for a refusal that may be an attack: that is never sent back.
    """
    failed = first_failure(report.checks)
    if report.accepted or (failed is not None and failed.name in FINAL_CHECKS):
        return ""
    if failed is None:
        return _cut(report.message, FEEDBACK_BYTES)
    if failed.name == CheckName.APPLY:
        return _cut(_of_apply(patch, sources), FEEDBACK_BYTES)
    return _cut(_of_tools(report.checks), FEEDBACK_BYTES)


def failure_class(report: GateReport) -> str:
    """What a failure has in common with another of the same cause: the check, and the rule or the kind of the problem.

    Two answers that fail alike are not worth a third. Empty for an accepted patch.
    """
    failed = first_failure(report.checks)
    if report.accepted:
        return ""
    if failed is None:
        return report.reason_class or "unknown"
    if failed.name == CheckName.APPLY:
        # "edit 2: not_found" and "edit 0: not_found" are the same mistake.
        return f"apply:{(failed.remedy or '').partition(': ')[2].partition(',')[0]}"
    rule = _rule(failed)
    return f"{failed.name}:{rule}" if rule else failed.name


def _rule(check: CheckResult) -> str:
    """The rule of a linter or type checker: the first word behind `path:line:` of its finding."""
    if check.name not in (CheckName.LINT, CheckName.TYPES, CheckName.SECURITY) or not check.findings:
        return ""
    parts = check.findings[0].split(": ", 1)
    return parts[1].partition(" ")[0] if len(parts) == 2 else ""


def _of_tools(checks: Sequence[CheckResult]) -> str:
    """Every failed check, the first in full; the others so that one repair can answer all of them."""
    failed = [check for check in checks if check.verdict is CheckVerdict.FAILED]
    pieces: list[str] = []
    for check in failed:
        place = f" at {check.place}" if check.place else ""
        text = f"{check.name} ({check.tool}) failed{place}: {check.remedy or 'no reason given'}"
        findings = "\n".join(f"- {finding}" for finding in check.findings if finding != check.remedy)
        pieces.append(text if not findings else f"{text}\n{_cut(findings, FINDINGS_BYTES // len(failed))}")
    return "\n".join(pieces) + "\nSend all edits again, corrected."


def _of_apply(patch: Patch, sources: Mapping[str, str]) -> str:
    problems = [(index, problem) for index, edit in enumerate(patch.edits) if (problem := _problem(edit, sources))]
    if not problems:
        problems = _of_whole(patch, sources)
    lines = [_told(index, patch.edits[index], problem, sources) for index, problem in problems]
    others = len(patch.edits) - len({index for index, _ in problems})
    if others:
        lines.append(f"The other {others} edits matched. Resend all {len(patch.edits)} edits.")
    else:
        lines.append("Resend all edits.")
    return "\n".join(lines)


def _problem(edit: Edit, sources: Mapping[str, str]) -> EditProblem | None:
    """What is wrong with one edit on its own."""
    try:
        apply_edits(sources, Patch(summary="", edits=(edit,)))
    except EditError as error:
        return error.reason
    return None


def _of_whole(patch: Patch, sources: Mapping[str, str]) -> list[tuple[int, EditProblem]]:
    try:
        apply_edits(sources, patch)
    except EditError as error:
        return [(error.index, error.reason)]
    return []


def _told(index: int, edit: Edit, problem: EditProblem, sources: Mapping[str, str]) -> str:
    text = sources.get(edit.path, "").replace("\r\n", "\n")
    search = edit.search.replace("\r\n", "\n")
    head = f"edit {index}: {problem.value} in {edit.path}"
    if problem is EditProblem.NOT_FOUND:
        windows = closest(text, search)
        if not windows:
            return f"{head}: no place of the file is similar. Copy `search` from the file, character by character."
        shown = "\n".join(f"lines {first}-{last} ({ratio:.2f}):\n{window}" for first, last, ratio, window in windows)
        return f"{head}: `search` must be copied from the file exactly. The closest places are:\n{shown}"
    if problem is EditProblem.AMBIGUOUS:
        lines = [str(text.count("\n", 0, start) + 1) for start in occurrences(text, search)[:20]]
        return f"{head}: `search` stands on lines {', '.join(lines)}. Take more lines around the one that is meant."
    return f"{head}: {_REMEDIES[problem]}"


_REMEDIES = {
    EditProblem.EMPTY_SEARCH: "`search` is empty. Copy the lines to be replaced from the file.",
    EditProblem.NO_OP: "it changes nothing. `replace` must differ from `search`.",
    EditProblem.OVERLAP: "it overlaps another edit. Join the two into one edit.",
    EditProblem.UNKNOWN_PATH: "the file was not shown. Change only files that were shown.",
}


def closest(text: str, search: str) -> list[tuple[int, int, float, str]]:
    """(first line, last line, ratio, text) of the places most like `search`, best first, none that overlap.

    The work is bounded: lines in common pick the candidates, only those are compared in full.
    """
    lines, wanted = text.split("\n"), search.strip("\n").split("\n")[:_SEARCH_LINES]
    height = len(wanted)
    starts = range(max(len(lines) - height + 1, 1))
    rough = _rough_scores(lines, wanted)
    found: list[tuple[int, int, float, str]] = []
    scored = []
    target = "\n".join(wanted)[:_WINDOW_CHARACTERS]
    for start in nlargest(_CANDIDATES, starts, key=lambda start: (sum(rough[start : start + height]), -start)):
        window = "\n".join(lines[start : start + height])[:_WINDOW_CHARACTERS]
        matcher = SequenceMatcher(None, target, window, autojunk=False)
        if matcher.quick_ratio() >= LIKENESS and (ratio := matcher.ratio()) >= LIKENESS:
            scored.append((ratio, start, window))
    for ratio, start, window in sorted(scored, key=lambda each: (-each[0], each[1])):
        if len(found) < WINDOWS and all(abs(start + 1 - first) >= height for first, *_ in found):
            found.append((start + 1, start + height, ratio, window))
    return found


def _rough_scores(lines: Sequence[str], wanted: Sequence[str]) -> list[float]:
    """How much each line of the file looks like one that is wanted, by the words they share."""
    sets = [set(_words(line)) for line in wanted if line.strip()]
    every: set[str] = set().union(*sets)
    scores: list[float] = []
    known: dict[str, float] = {}
    for line in lines:
        score = known.get(line)
        if score is None:
            words = set(_words(line))
            common = words & every
            score = max((len(common & one) / len(words | one) for one in sets), default=0.0) if common else 0.0
            known[line] = score
        scores.append(score)
    return scores


def _words(line: str) -> list[str]:
    return "".join(character if character.isalnum() or character == "_" else " " for character in line).split()


def _cut(text: str, limit_bytes: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= limit_bytes else encoded[: limit_bytes - 4].decode(errors="ignore") + " ..."
