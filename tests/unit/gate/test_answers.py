"""What counts as an answer."""

import json

import pytest

from selfbuild.domain.errors import MalformedAnswer
from selfbuild.domain.patches import CheckName, Patch
from selfbuild.gate import AnswerProblem, parse_answer, read_answer

EDIT = {"path": "a.py", "search": "x", "replace": "y"}


def answer(**fields: object) -> str:
    return json.dumps({"summary": "fix", "edits": [EDIT], **fields})


REFUSED = [
    ("prose", "Here it is", CheckName.FORMAT),
    ("fenced", f"```json\n{answer()}\n```", CheckName.FORMAT),
    ("trailing", answer() + " done", CheckName.FORMAT),
    ("two_answers", answer() + answer(), CheckName.FORMAT),
    ("list", "[]", CheckName.FORMAT),
    ("no_summary", json.dumps({"edits": [EDIT]}), CheckName.FORMAT),
    ("extra_key", answer(shell="id"), CheckName.FORMAT),
    ("extra_key_in_edit", answer(edits=[{**EDIT, "mode": "0777"}]), CheckName.FORMAT),
    ("no_edits", answer(edits=[]), CheckName.FORMAT),
    ("edits_object", answer(edits=EDIT), CheckName.FORMAT),
    ("number_as_path", answer(edits=[{**EDIT, "path": 1}]), CheckName.FORMAT),
    ("null_replace", answer(edits=[{**EDIT, "replace": None}]), CheckName.FORMAT),
    ("duplicate_key", '{"summary": "a", "summary": "b", "edits": []}', CheckName.FORMAT),
    (
        "duplicate_in_edit",
        '{"summary": "a", "edits": [{"path": "a", "path": "b", "search": "", "replace": ""}]}',
        CheckName.FORMAT,
    ),
    ("nan", '{"summary": NaN, "edits": []}', CheckName.FORMAT),
    ("nesting_bomb", "[" * 20_000 + "]" * 20_000, CheckName.FORMAT),
    ("number_of_many_digits", "9" * 5000, CheckName.FORMAT),
    ("lone_surrogate", '{"summary": "\\ud800", "edits": []}', CheckName.FORMAT),
    ("many_edits", answer(edits=[EDIT] * 21), CheckName.SIZE),
    ("huge", answer(summary="x" * 70_000), CheckName.SIZE),
    ("long_summary", answer(summary="x" * 2001), CheckName.SIZE),
]


@pytest.mark.parametrize(("text", "check"), [pytest.param(text, check, id=name) for name, text, check in REFUSED])
def test_answer_that_is_no_patch_is_refused(text: str, check: CheckName) -> None:
    problem = read_answer(text)

    assert isinstance(problem, AnswerProblem)
    assert problem.check is check
    with pytest.raises(MalformedAnswer, match=f"^{check.value}: "):
        parse_answer(text)


def test_answer_with_exactly_the_known_keys_is_a_patch() -> None:
    patch = parse_answer(" " + answer(summary='braces [[[[[ {{{{ and "quotes" \\') + "\n")

    assert isinstance(patch, Patch)
    assert patch.edits[0].path == "a.py"
