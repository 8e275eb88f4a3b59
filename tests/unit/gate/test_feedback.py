"""What a generator is told about a refused patch."""

from selfbuild.domain.base import Verdict
from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict, Edit, GateReport, Patch
from selfbuild.gate.feedback import FEEDBACK_BYTES, closest, failure_class, feedback
from tests.attacks.desk import FILES, T, ask, many, one

FOUND = '    answer = requests.get(f"{API}/rates/{currency}")\n'


def report_of(patch: Patch) -> GateReport:
    """The gate's report where nothing but the guard has run."""
    guarded = ask(patch)
    verdict = Verdict.PASS if guarded.accepted else Verdict.FAIL
    return GateReport(
        verdict=verdict,
        checks=guarded.checks,
        quality_score=0.5,
        reason_class=guarded.reason_class,
        message=guarded.message,
    )


def report_with(name: CheckName, remedy: str, *findings: str, place: str | None = None) -> GateReport:
    check = CheckResult(
        name=name,
        verdict=CheckVerdict.FAILED,
        tool="ruff 1",
        duration_ms=1,
        place=place,
        remedy=remedy,
        findings=findings,
    )
    return GateReport(verdict=Verdict.FAIL, checks=(check,), quality_score=0.5, reason_class=name, message=remedy)


def test_missing_text_is_answered_with_the_closest_lines_and_their_numbers() -> None:
    patch = many((FOUND, FOUND + "    x = 1\n"), ('    found = requests.get(f"{API}/rate/{currency}")\n', "    pass\n"))

    told = feedback(report_of(patch), patch, FILES)

    line = FILES[T].split("\n").index(FOUND.rstrip("\n")) + 1
    assert told.startswith(f"edit 1: not_found in {T}")
    assert f"lines {line}-{line} (0." in told
    assert FOUND.rstrip() in told
    assert "The other 1 edits matched. Resend all 2 edits." in told


def test_ambiguous_text_is_answered_with_the_lines_of_every_match() -> None:
    search = "    answer.raise_for_status()\n"
    patch = one(search, "")
    lines = [str(number) for number, line in enumerate(FILES[T].split("\n"), 1) if line == search.rstrip("\n")]

    told = feedback(report_of(patch), patch, FILES)

    assert f"`search` stands on lines {', '.join(lines)}." in told
    assert len(lines) == 2


def test_every_edit_that_does_not_match_is_named() -> None:
    patch = many(("nowhere at all", "x"), ("", "y"), (FOUND, FOUND))

    told = feedback(report_of(patch), patch, FILES)

    assert [line.split()[1] for line in told.split("\n") if line.startswith("edit ")] == ["0:", "1:", "2:"]
    assert "The other" not in told


def test_overlap_is_told_where_each_edit_alone_would_fit() -> None:
    patch = many((FOUND, FOUND + "    x = 1\n"), ("/rates/{currency}", "/rate/{currency}"))

    assert "edit 1: overlap" in feedback(report_of(patch), patch, FILES)


def test_tool_failure_names_tool_rule_and_line() -> None:
    report = report_with(
        CheckName.LINT,
        "F821 undefined name (a.py:3)",
        "a.py:3: F821 undefined name",
        "a.py:9: B006 list",
        place="a.py:3",
    )

    told = feedback(report, one("a", "b"), FILES)

    assert told.startswith("lint (ruff 1) failed at a.py:3: F821 undefined name")
    assert "- a.py:9: B006 list" in told
    assert failure_class(report) == "lint:F821"


def test_feedback_is_bounded_whatever_the_tool_says() -> None:
    report = report_with(CheckName.TESTS, "x" * 2000, *("ß" * 5000 for _ in range(20)))

    assert len(feedback(report, one("a", "b"), FILES).encode()) <= FEEDBACK_BYTES


def test_possible_attack_is_never_answered() -> None:
    patch = one(FOUND, FOUND + "    eval(currency)\n")

    assert feedback(report_of(patch), patch, FILES) == ""
    assert failure_class(report_of(patch)) == "code"


def test_same_mistake_in_another_edit_is_the_same_class() -> None:
    first, second = one("nowhere", "x"), many((FOUND, FOUND + "    x = 1\n"), ("not there", "x"))

    assert failure_class(report_of(first)) == failure_class(report_of(second)) == "apply:not_found"
    assert failure_class(report_of(one("    answer.raise_for_status()\n", ""))) == "apply:ambiguous"


def test_accepted_patch_needs_no_feedback() -> None:
    patch = one('{currency}")', '{currency}", timeout=10)')

    assert feedback(report_of(patch), patch, FILES) == failure_class(report_of(patch)) == ""


def test_windows_do_not_overlap_and_are_like_the_search() -> None:
    text = "".join(f"def f{n}(a):\n    return a + {n}\n\n\n" for n in range(500))

    found = closest(text, "def f77(a):\n    return a - 77\n")

    assert len(found) == 3
    assert found[0][0] == 77 * 4 + 1
    assert all(ratio >= 0.6 for _, _, ratio, _ in found)
    assert len({first for first, *_ in found}) == 3


def test_unknown_file_is_told_as_such() -> None:
    patch = Patch(summary="fix", edits=(Edit(path="b.py", search="x", replace="y"),))
    report = report_with(CheckName.APPLY, "edit 0: unknown_path")

    assert "the file was not shown" in feedback(report, patch, FILES)
