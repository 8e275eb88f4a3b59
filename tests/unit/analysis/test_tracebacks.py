"""Tracebacks are read however a log carried them, and give the fingerprint of the plain one."""

import asyncio
import json
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.fingerprint import cause_of, crash_frame, fingerprint_of
from selfbuild.analysis.tracebacks import Link, parse_chains

PLAIN = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/app/api.py", line 34, in route\n'
    "    return orders.price(body)\n"
    "           ^^^^^^^^^^^^^^^^^^\n"
    '  File "/srv/shop/app/orders.py", line 12, in price\n'
    '    return total / body["count"]\n'
    "           ~~~~~~^~~~~~~~~~~~~~~\n"
    "ZeroDivisionError: division by zero\n"
)


def prefixed(prefix: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in PLAIN.splitlines())


def the_type(stack: str) -> str:
    ((raised,),) = parse_chains(stack)
    return raised.error_type


@pytest.mark.parametrize(
    "carried",
    [
        pytest.param(json.dumps(PLAIN)[1:-1], id="line ends escaped"),
        pytest.param(repr(PLAIN), id="repr"),
        pytest.param(PLAIN.replace("\n", "#012"), id="syslog"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="Windows line ends"),
        pytest.param(PLAIN.replace("\n", "\r").replace("  ", "\u00a0\u00a0"), id="as Lambda prints it"),
        pytest.param(" ".join(line for line in PLAIN.splitlines() if "^" not in line), id="line ends as spaces"),
        pytest.param(prefixed("2026-01-02T03:04:05.678901234Z stdout F "), id="container runtime"),
        pytest.param(prefixed("web_1  | "), id="docker compose"),
        pytest.param(
            "".join(f"Jan  2 03:04:{n:02} host app[7{n}]: {x}\n" for n, x in enumerate(PLAIN.splitlines())),
            id="journal with times that differ",
        ),
        pytest.param("ERROR request 77 failed " + PLAIN, id="message before"),
        pytest.param(f"\x1b[31m{PLAIN}\x1b[0m", id="colours"),
        pytest.param("\n".join(line for line in PLAIN.splitlines() if "^" not in line), id="without carets"),
        pytest.param("\n".join(PLAIN.splitlines()[1:]), id="front cut off"),
        pytest.param(PLAIN.replace("/srv/shop/", "C:\\apps\\").replace("app/", "app\\"), id="Windows paths"),
        pytest.param(PLAIN.replace("/srv/shop/", "/opt/shop.zip/"), id="zipped"),
        pytest.param(
            PLAIN.replace(
                "most recent call last):\n", 'most recent call last):\n  File "<string>", line 5, in <module>\n'
            ),
            id="from a string",
        ),
        pytest.param(
            PLAIN.replace("ZeroD", '  File "<frozen importlib._bootstrap>", line 241, in _call_with\nZeroD'),
            id="frozen",
        ),
    ],
)
def test_the_way_to_the_log_does_not_matter(carried: str) -> None:
    assert fingerprint_of("", "", carried) == fingerprint_of("", "", PLAIN)
    assert the_type(carried) == "ZeroDivisionError"


def test_a_traceback_without_its_end_has_the_type_that_the_caller_knows() -> None:
    cut = PLAIN[: PLAIN.index("ZeroDivisionError")]

    assert the_type(cut) == ""
    assert fingerprint_of("builtins.ZeroDivisionError", "", cut) == fingerprint_of("", "", PLAIN)


def formatted(call: Callable[[], object]) -> str:
    with pytest.raises(BaseException) as caught:
        call()
    error = caught.value
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _countdown(number: int) -> int:
    return _countdown(number - 1) + 1


def _ping(number: int) -> int:
    return _pong(number + 1)


def _pong(number: int) -> int:
    return _ping(number + 1)


@pytest.mark.parametrize("function", [_countdown, _ping])
def test_recursion_is_known_by_the_functions_that_recur(function: Callable[[int], int]) -> None:
    def deeper(depth: int) -> int:
        return function(0) if depth == 0 else deeper(depth - 1)

    one, other = formatted(lambda: function(0)), formatted(lambda: deeper(1))

    assert the_type(one) == "RecursionError"
    assert fingerprint_of("", "", one) == fingerprint_of("", "", other)


def test_two_recursions_differ() -> None:
    one, other = formatted(lambda: _countdown(0)), formatted(lambda: _ping(0))

    assert fingerprint_of("", "", one) != fingerprint_of("", "", other)


def test_a_group_is_known_by_what_is_in_it() -> None:
    def alone() -> None:
        asyncio.run(_lookup({}))

    def grouped() -> None:
        asyncio.run(_together(3))

    assert parse_chains(formatted(grouped))[0][0].error_type == "KeyError"
    assert len(parse_chains(formatted(grouped))) == 3
    assert fingerprint_of("", "", formatted(grouped)) == fingerprint_of("", "", formatted(alone))


async def _lookup(row: dict[str, str]) -> str:
    await asyncio.sleep(0)
    return row["owner"]


async def _together(count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_lookup({}))


def test_nested_groups_and_members_without_a_stack_are_read() -> None:
    error = ExceptionGroup("all", [ExceptionGroup("some", [ValueError("a"), TypeError("b")]), KeyError("c")])

    chains = parse_chains("".join(traceback.format_exception(error)) + '  File "x"')

    assert [chain[-1].error_type for chain in chains] == ["ValueError", "TypeError", "KeyError"]


def test_a_syntax_error_is_at_its_line() -> None:
    stack = formatted(lambda: compile("x = (1,\n  y = = 2\n", "/srv/app/rules.py", "exec"))
    with_source = stack.rstrip("\n").splitlines()
    ((raised,),) = parse_chains("\n".join(with_source))

    assert raised.error_type == "SyntaxError"
    assert crash_frame(raised) is not None
    assert raised.frames[-1].path == "/srv/app/rules.py"
    assert raised.frames[-1].function == ""


def _refuse() -> None:
    try:
        _find({})
    except KeyError as error:
        raise LookupError("nothing found") from error


def _find(row: dict[str, str]) -> str:
    return row["id"]


def _stumble() -> None:
    try:
        _find({})
    except KeyError:
        int("not a number")


def _translate() -> None:
    try:
        _find({})
    except KeyError:
        raise LookupError("nothing found")  # noqa: B904 - the link that is left out is what is tested


@pytest.mark.parametrize(
    ("function", "link", "cause"),
    [
        pytest.param(_refuse, Link.CAUSE, "KeyError", id="raised from it"),
        pytest.param(_translate, Link.CONTEXT, "KeyError", id="raised on purpose by who caught it"),
        pytest.param(_stumble, Link.CONTEXT, "ValueError", id="another error while handling it"),
    ],
)
def test_the_cause_of_a_chain(function: Callable[[], None], link: Link, cause: str) -> None:
    (chain,) = parse_chains(formatted(function))

    found = cause_of(chain)

    assert [raised.link for raised in chain] == [None, link]
    assert found is not None
    assert found.error_type == cause


def test_comprehensions_belong_to_their_function() -> None:
    """Python 3.11 shows a frame of its own for them, 3.12 does not."""
    old = PLAIN.replace(
        "ZeroD", '  File "/srv/shop/app/orders.py", line 12, in <listcomp>\n    return total / body["count"]\nZeroD'
    )

    assert fingerprint_of("", "", old) == fingerprint_of("", "", PLAIN)


def test_compiled_frames_below_a_library_are_the_library_s() -> None:
    stack = (
        "Traceback (most recent call last):\n"
        '  File "/srv/app/report.py", line 9, in rows\n    frame.loc[key]\n'
        '  File "/venv/lib/python3.11/site-packages/pandas/core/indexing.py", line 1, in __getitem__\n    f()\n'
        '  File "pandas/_libs/index.pyx", line 167, in pandas._libs.index.IndexEngine.get_loc\n'
        "KeyError: 'x'\n"
    )
    ((raised,),) = parse_chains(stack)
    crash = crash_frame(raised)

    assert raised.frames[-1].function == "get_loc"
    assert crash is not None
    assert crash.path == "/srv/app/report.py"


def test_local_and_qualified_types_are_known_by_their_name() -> None:
    assert the_type(PLAIN.replace("ZeroDivisionError:", "app.errors.Refused:")) == "Refused"
    assert the_type(PLAIN.replace("ZeroDivisionError:", "__main__.f.<locals>.Odd:")) == "Odd"


@given(st.text(alphabet='File "\\n|+-^~,:line in123Traceback(mostrecentcallast)KeyError\n', max_size=400))
def test_any_text_is_read(text: str) -> None:
    for chain in parse_chains('File "' + text):
        assert chain
