"""Reads a generator's answer: strict JSON with exactly the known keys, capped before it is parsed."""

import json
from typing import Any, NoReturn

from pydantic import ValidationError

from selfbuild.domain.base import Value
from selfbuild.domain.errors import MalformedAnswer
from selfbuild.domain.patches import CheckName, Edit, Patch

ANSWER_BYTES = 64 * 1024
"""Largest answer read; twenty edits of real source take a tenth of it."""
EDITS = 20
SUMMARY_CHARACTERS = 2000
FIELD_CHARACTERS = 20_000
"""Largest `search` or `replace`; how long a path may be is said where paths are checked."""
_NESTING = 4
"""An answer is an object holding a list of objects; deeper nesting is refused before the parser recurses into it."""


class AnswerProblem(Value):
    """Why an answer is no patch."""

    check: CheckName
    """`format` or `size`."""
    reason: str


class _Refused(ValueError):
    def __init__(self, check: CheckName, reason: str) -> None:
        super().__init__(reason)
        self.problem = AnswerProblem(check=check, reason=reason)


def read_answer(text: str) -> Patch | AnswerProblem:
    """The patch an answer holds, or why it holds none."""
    try:
        return _read(text)
    except _Refused as refused:
        return refused.problem


def parse_answer(text: str) -> Patch:
    """The patch an answer holds.

    Raises:
        MalformedAnswer: it holds none; the message begins with the failing check.
    """
    read = read_answer(text)
    if isinstance(read, AnswerProblem):
        raise MalformedAnswer(f"{read.check.value}: {read.reason}")
    return read


def _read(text: str) -> Patch:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > ANSWER_BYTES:
        raise _Refused(CheckName.SIZE, f"the answer has {size} bytes, at most {ANSWER_BYTES} are read")
    fields = _object(_load(text), {"summary", "edits"}, "the answer")
    summary = _text(fields["summary"], SUMMARY_CHARACTERS, "summary")
    edits = fields["edits"]
    if not isinstance(edits, list) or not edits:
        raise _Refused(CheckName.FORMAT, "'edits' must be a list of at least one edit")
    if len(edits) > EDITS:
        raise _Refused(CheckName.SIZE, f"{len(edits)} edits, at most {EDITS} are accepted")
    try:
        return Patch(summary=summary, edits=tuple(_edit(edit, index) for index, edit in enumerate(edits)))
    except ValidationError as error:
        raise _Refused(CheckName.FORMAT, f"not a patch: {error.error_count()} invalid fields") from error


def _edit(value: Any, index: int) -> Edit:
    fields = _object(value, {"path", "search", "replace"}, f"edit {index}")
    return Edit(
        path=_text(fields["path"], FIELD_CHARACTERS, f"path of edit {index}"),
        search=_text(fields["search"], FIELD_CHARACTERS, f"search of edit {index}"),
        replace=_text(fields["replace"], FIELD_CHARACTERS, f"replace of edit {index}"),
    )


def _object(value: Any, keys: set[str], place: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        raise _Refused(CheckName.FORMAT, f"{place} must be an object with exactly the keys {sorted(keys)}")
    return value


def _text(value: Any, limit: int, place: str) -> str:
    if not isinstance(value, str):
        raise _Refused(CheckName.FORMAT, f"{place} must be a string")
    if len(value) > limit:
        raise _Refused(CheckName.SIZE, f"{place} has {len(value)} characters, at most {limit} are accepted")
    return value


def _load(text: str) -> Any:
    if _depth(text) > _NESTING:
        raise _Refused(CheckName.FORMAT, "the answer is nested too deeply")
    try:
        loaded = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(loaded, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _Refused(CheckName.FORMAT, "the answer holds a lone surrogate") from error
    except _Refused:
        raise
    except (ValueError, RecursionError) as error:
        # Not only JSONDecodeError: an integer of many digits raises a plain ValueError.
        raise _Refused(CheckName.FORMAT, "the answer must be JSON and nothing else") from error
    return loaded


def _depth(text: str) -> int:
    deepest = depth = 0
    inside = escaped = False
    for character in text:
        if inside:
            inside = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refused(CheckName.FORMAT, "the answer repeats a key")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise _Refused(CheckName.FORMAT, f"{name} is not JSON")
