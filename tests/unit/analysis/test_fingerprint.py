"""Fingerprints and masks: equal for one cause, different for two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.fingerprint import Raised, fingerprint_of, parse_traceback
from selfbuild.analysis.masks import mask


def a_stack(
    *, root: str = "/srv/r1/", line: int = 12, source: str = 'owner = item["owner"]', library: bool = False
) -> str:
    middle = '  File "/usr/lib/python3.11/asyncio/runners.py", line 190, in run\n    return runner.run(main)\n'
    return (
        "Traceback (most recent call last):\n"
        f'  File "{root}meetnotes/observe.py", line {line + 40}, in serve\n    response = answer(body)\n'
        f"{middle if library else ''}"
        f'  File "{root}meetnotes/actions.py", line {line}, in assign\n    {source}\n            ~~~~^^^^^^^^^\n'
        "KeyError: 'owner'\n"
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_stack(line=99), id="shifted lines"),
        pytest.param(a_stack(root="/var/task/"), id="another install root"),
        pytest.param(a_stack(root=""), id="relative paths"),
        pytest.param(a_stack(library=True), id="library frames between"),
        pytest.param(a_stack().replace("'owner'\n", "'owner' in request 77\n"), id="another message"),
    ],
)
def test_one_cause_keeps_its_fingerprint(other: str) -> None:
    assert fingerprint_of("KeyError", "'owner'", other) == fingerprint_of("KeyError", "'owner'", a_stack())


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_stack(source='due = item["due"]'), id="another source line"),
        pytest.param(a_stack().replace("KeyError:", "TypeError:"), id="another type"),
        pytest.param(a_stack().replace("in assign", "in list_all"), id="another function"),
    ],
)
def test_another_cause_has_another_fingerprint(other: str) -> None:
    assert fingerprint_of("KeyError", "'owner'", other) != fingerprint_of("KeyError", "'owner'", a_stack())


def test_the_chain_counts() -> None:
    chained = (
        a_stack()
        + "\nThe above exception was the direct cause of the following exception:\n\n"
        + a_stack(source="raise Refused(body)").replace("KeyError", "meetnotes.errors.Refused")
    )

    assert [raised.error_type for raised in parse_traceback(chained)] == ["KeyError", "Refused"]
    assert fingerprint_of("Refused", "", chained) != fingerprint_of("KeyError", "", a_stack())


def test_frames_keep_the_end_of_the_path_function_and_source() -> None:
    (raised,) = parse_traceback(a_stack(root="C:\\apps\\", library=True))

    assert raised.frames[-1] == ("meetnotes/actions.py", "assign", 'owner = item["owner"]')
    assert len(raised.frames) == 2


def test_without_an_application_frame_type_and_masked_message_count() -> None:
    library = 'Traceback:\n  File "/x/site-packages/lib/a.py", line 3, in f\n    g()\nValueError: bad 7\n'

    assert parse_traceback(library) == (Raised("ValueError", ()),)
    assert fingerprint_of("ValueError", "bad 7", library) == fingerprint_of("ValueError", "bad 8", None)
    assert fingerprint_of("builtins.ValueError", "bad 7", None) == fingerprint_of("ValueError", "bad 9", "")
    assert fingerprint_of("ValueError", "good 7", None) != fingerprint_of("ValueError", "bad 7", None)


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        pytest.param("KeyError: 'owner'", "KeyError: 'owner'", id="names stay"),
        pytest.param("list index 3 out of range", "list index <num> out of range", id="number"),
        pytest.param("user 12 at 10.0.0.1:80", "user <num> at <ip>", id="address"),
        pytest.param("order ord_8812 (id=550e8400-e29b-41d4-a716-446655440000)", "order <id> (id=<uuid>)", id="ids"),
        pytest.param("a@b.co read https://x.y/z?q=1", "<email> read <url>", id="email and url"),
        pytest.param("at 2026-01-02T03:04:05Z in /var/task/app", "at <time> in <path>", id="time and path"),
        pytest.param("too\n  many   spaces", "too many spaces", id="white space"),
    ],
)
def test_mask(message: str, masked: str) -> None:
    assert mask(message) == masked


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing(message: str) -> None:
    assert mask(mask(message)) == mask(message)


@given(st.text(max_size=300))
def test_any_text_is_a_stack_or_none(stack: str) -> None:
    assert len(fingerprint_of("E", "m", stack)) == 16
