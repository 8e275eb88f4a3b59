"""Turns old and new text into search/replace edits that are as small as a unique match allows."""

from difflib import SequenceMatcher

from selfbuild.domain.edits import occurrences
from selfbuild.domain.patches import Edit

_Hunk = tuple[int, int, int, int]
"""Lines of the old text, lines of the new text, each as [start, end)."""


def edits_between(path: str, old: str, new: str) -> tuple[Edit, ...]:
    """Edits that turn `old` into `new`; each `search` occurs exactly once in `old`. None when the texts are equal.

    Neighbouring lines are taken in until a match is unique, hunks that meet are joined.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if not before:
        return ()
    opcodes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    hunks = [(a, b, c, d) for kind, a, b, c, d in opcodes if kind != "equal"]
    grown = _merged([_grown(hunk, before, len(after), old) for hunk in hunks])
    return tuple(Edit(path=path, search="".join(before[a:b]), replace="".join(after[c:d])) for a, b, c, d in grown)


def _grown(hunk: _Hunk, before: list[str], after_count: int, old: str) -> _Hunk:
    a, b, c, d = hunk
    downwards = True
    while not _is_unique("".join(before[a:b]), old) and (a > 0 or b < len(before)):
        can_grow_down = b < len(before) and d < after_count
        if (downwards and can_grow_down) or a == 0:
            b, d = b + 1, d + 1
        else:
            a, c = a - 1, c - 1
        downwards = not downwards
    return a, b, c, d


def _is_unique(search: str, old: str) -> bool:
    return bool(search) and len(occurrences(old, search)) == 1


def _merged(hunks: list[_Hunk]) -> list[_Hunk]:
    merged: list[_Hunk] = []
    for hunk in hunks:
        if merged and hunk[0] <= merged[-1][1]:
            last = merged[-1]
            merged[-1] = (last[0], max(last[1], hunk[1]), last[2], max(last[3], hunk[3]))
        else:
            merged.append(hunk)
    return merged
