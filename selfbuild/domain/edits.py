"""Applies search/replace edits to source text: the one meaning of a patch, shared by the gate and the repository."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from selfbuild.domain.patches import Edit, Patch


class EditProblem(StrEnum):
    """Why an edit cannot be applied."""

    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    EMPTY_SEARCH = "empty_search"
    NO_OP = "no_op"
    OVERLAP = "overlap"
    UNKNOWN_PATH = "unknown_path"


class EditError(ValueError):
    """An edit that cannot be applied.

    Attributes:
        index: The edit's place in the patch, from 0.
        reason: What is wrong with it.
        count: How often `search` occurs in the file; 0 where it was not looked for.
    """

    def __init__(self, index: int, reason: EditProblem, count: int = 0) -> None:
        super().__init__(f"edit {index}: {reason.value}, {count} occurrences")
        self.index = index
        self.reason = reason
        self.count = count


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    text: str
    index: int


def apply_edits(files: Mapping[str, str], patch: Patch) -> dict[str, str]:
    """The texts of the files the patch changes, all edits applied or none.

    Every edit is looked up in the original text, where `search` must occur exactly once; edits of one file may not
    overlap. A file with one newline style keeps it: `\\n` and `\\r\\n` in an edit are read as the file's own. In a file
    with mixed newlines an edit matches byte for byte.

    Args:
        files: Path -> original text, with the newlines as stored.
        patch: What to apply.

    Returns:
        Path -> text of the changed files only, in the order of `files`.

    Raises:
        EditError: an edit cannot be applied; nothing is.
    """
    spans: dict[str, list[_Span]] = {}
    for index, edit in enumerate(patch.edits):
        if edit.path not in files:
            raise EditError(index, EditProblem.UNKNOWN_PATH)
        placed = spans.setdefault(edit.path, [])
        span = _place(index, edit, files[edit.path])
        if any(span.start < other.end and other.start < span.end for other in placed):
            raise EditError(index, EditProblem.OVERLAP, 1)
        placed.append(span)
    return {path: _rewrite(files[path], spans[path]) for path in files if path in spans}


def occurrences(text: str, search: str) -> list[int]:
    """Where `search`, which is not empty, begins in `text`; overlapping occurrences count each."""
    found: list[int] = []
    start = text.find(search)
    while start >= 0:
        found.append(start)
        start = text.find(search, start + 1)
    return found


def _place(index: int, edit: Edit, text: str) -> _Span:
    if not edit.search:
        raise EditError(index, EditProblem.EMPTY_SEARCH)
    search, replace = _in_style_of(text, edit.search), _in_style_of(text, edit.replace)
    found = occurrences(text, search)
    if not found:
        raise EditError(index, EditProblem.NOT_FOUND)
    if len(found) > 1:
        raise EditError(index, EditProblem.AMBIGUOUS, len(found))
    if search == replace:
        raise EditError(index, EditProblem.NO_OP, 1)
    return _Span(found[0], found[0] + len(search), replace, index)


def _in_style_of(text: str, fragment: str) -> str:
    windows = text.count("\r\n")
    if not windows:
        return fragment.replace("\r\n", "\n")
    if windows == text.count("\n"):
        return fragment.replace("\r\n", "\n").replace("\n", "\r\n")
    return fragment


def _rewrite(text: str, spans: list[_Span]) -> str:
    pieces: list[str] = []
    position = 0
    for span in sorted(spans, key=lambda span: span.start):
        pieces += (text[position : span.start], span.text)
        position = span.end
    changed = "".join((*pieces, text[position:]))
    if changed == text:
        raise EditError(spans[-1].index, EditProblem.NO_OP, 1)
    return changed
