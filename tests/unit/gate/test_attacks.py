"""The guard on a desk of tickets: every attack is refused for what it is, and no good fix is refused."""

import pytest

from selfbuild.domain.patches import Patch
from selfbuild.gate import AnswerProblem, read_answer
from tests.attacks.benign import BENIGN
from tests.attacks.code import CODE
from tests.attacks.desk import ask
from tests.attacks.outside import ANSWERS, PATHS, UNICODE


@pytest.mark.parametrize(("text", "reason"), [pytest.param(text, cls, id=name) for name, text, cls in ANSWERS])
def test_answer_that_is_none_is_refused(text: str, reason: str) -> None:
    read = read_answer(text)

    assert isinstance(read, AnswerProblem)
    assert read.check == reason


@pytest.mark.parametrize(
    ("patch", "reason"), [pytest.param(patch, cls, id=name) for name, patch, cls in (*PATHS, *UNICODE)]
)
def test_patch_beyond_its_reach_is_refused(patch: Patch, reason: str) -> None:
    result = ask(patch)

    assert result.reason_class == reason, result.message


@pytest.mark.parametrize("patch", [pytest.param(patch, id=name) for name, patch in CODE])
def test_code_that_does_more_than_it_says_is_refused(patch: Patch) -> None:
    result = ask(patch)

    assert result.reason_class == "code", result.message
    assert result.final


@pytest.mark.parametrize("patch", [pytest.param(patch, id=name) for name, patch in BENIGN])
def test_good_fix_is_accepted(patch: Patch) -> None:
    result = ask(patch)

    assert result.accepted, [finding for check in result.checks for finding in check.findings] or result.message
