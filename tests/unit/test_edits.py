"""Edits are exact, all or nothing, and keep a file's newlines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.domain.edits import EditError, EditProblem, apply_edits
from selfbuild.domain.patches import Edit, Patch


def a_patch(*edits: tuple[str, str, str]) -> Patch:
    return Patch(summary="s", edits=tuple(Edit(path=p, search=s, replace=r) for p, s, r in edits))


def test_edits_of_several_files_are_applied_and_untouched_files_left_out() -> None:
    files = {"a.py": "x = 1\ny = 2\n", "b.py": "z = 3\n", "c.py": "w = 4\n"}

    changed = apply_edits(files, a_patch(("a.py", "2", "20"), ("b.py", "z", "zz"), ("a.py", "x", "xx")))

    assert changed == {"a.py": "xx = 1\ny = 20\n", "b.py": "zz = 3\n"}


def test_edits_are_looked_up_in_the_original_text() -> None:
    changed = apply_edits({"a": "one two"}, a_patch(("a", "one", "two"), ("a", "two", "one")))

    assert changed == {"a": "two one"}


@pytest.mark.parametrize(
    ("text", "edits", "index", "reason", "count"),
    [
        pytest.param("abc", [("a", "d", "e")], 0, EditProblem.NOT_FOUND, 0, id="not found"),
        pytest.param("abab", [("a", "ab", "e")], 0, EditProblem.AMBIGUOUS, 2, id="twice"),
        pytest.param("aaa", [("a", "aa", "e")], 0, EditProblem.AMBIGUOUS, 2, id="overlapping occurrences"),
        pytest.param("abc", [("a", "", "e")], 0, EditProblem.EMPTY_SEARCH, 0, id="empty search"),
        pytest.param("abc", [("a", "b", "b")], 0, EditProblem.NO_OP, 1, id="same text"),
        pytest.param("a\r\nb\r\n", [("a", "a\n", "a\r\n")], 0, EditProblem.NO_OP, 1, id="same but for newlines"),
        pytest.param("xab", [("a", "xa", "x"), ("a", "b", "ab")], 1, EditProblem.NO_OP, 1, id="edits cancel out"),
        pytest.param("abc", [("a", "ab", "x"), ("a", "bc", "y")], 1, EditProblem.OVERLAP, 1, id="overlap"),
        pytest.param("abc", [("a", "a", "x"), ("b", "b", "y")], 1, EditProblem.UNKNOWN_PATH, 0, id="unknown path"),
    ],
)
def test_edit_that_cannot_be_applied_is_named(
    text: str, edits: list[tuple[str, str, str]], index: int, reason: EditProblem, count: int
) -> None:
    with pytest.raises(EditError) as raised:
        apply_edits({"a": text}, a_patch(*edits))

    assert (raised.value.index, raised.value.reason, raised.value.count) == (index, reason, count)


@pytest.mark.parametrize(
    ("text", "search", "replace", "expected"),
    [
        pytest.param("a\r\nb\r\n", "a\nb", "a\nc\nb", "a\r\nc\r\nb\r\n", id="windows file, unix edit"),
        pytest.param("a\nb\n", "a\r\nb", "a\r\nc\r\nb", "a\nc\nb\n", id="unix file, windows edit"),
        pytest.param("a\r\nb\nc\n", "b\nc", "b\nd", "a\r\nb\nd\n", id="mixed file, exact"),
        pytest.param("a\nb", "b", "c", "a\nc", id="no newline at the end"),
    ],
)
def test_newline_style_is_kept(text: str, search: str, replace: str, expected: str) -> None:
    assert apply_edits({"a": text}, a_patch(("a", search, replace))) == {"a": expected}


def test_adjacent_edits_do_not_overlap() -> None:
    assert apply_edits({"a": "abcd"}, a_patch(("a", "cd", "2"), ("a", "ab", "1"))) == {"a": "12"}


@given(st.text("xyz\n", max_size=12), st.text("xyz\n", max_size=12), st.text("abc\n", max_size=6), st.booleans())
def test_applying_and_applying_the_inverse_gives_the_original(before: str, after: str, new: str, windows: bool) -> None:
    newline = "\r\n" if windows else "\n"
    text = f"{before}<old>{after}".replace("\n", newline)

    changed = apply_edits({"a": text}, a_patch(("a", "<old>", f"<{new}>")))["a"]
    restored = apply_edits({"a": changed}, a_patch(("a", f"<{new}>", "<old>")))["a"]

    assert restored == text
