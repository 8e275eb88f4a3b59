"""One cause has one fingerprint by whatever way it is reached; two causes at one place have two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.fingerprint import fingerprint_of
from selfbuild.analysis.foreign_stacks import foreign_key

Line = tuple[str, str, str]
"""File, function, source."""

HANDLE = ("api.py", "handle", "return fn(event)")
PRICE_ROUTE = ("api.py", "route_price", "return orders.price(event)")
QUOTE_ROUTE = ("api.py", "route_quote", "found = orders.price(event)")
PRICE = ("orders.py", "price", "return total / count")


def a_stack(*frames: Line, error: str = "ValueError: bad", root: str = "/srv/r1", first: int = 10) -> str:
    lines = ["Traceback (most recent call last):"]
    for number, (file, function, source) in enumerate(frames):
        lines.append(f'  File "{root}/app/{file}", line {first + 7 * number}, in {function}')
        lines.append(f"    {source}")
    return "\n".join([*lines, error])


def key(*frames: Line, error: str = "ValueError: bad") -> str:
    return fingerprint_of("", "", a_stack(*frames, error=error))


@pytest.mark.parametrize(
    "way",
    [
        pytest.param((HANDLE, QUOTE_ROUTE, PRICE), id="another route"),
        pytest.param((PRICE_ROUTE, PRICE), id="route called by the framework"),
        pytest.param(
            (
                ("api.py", "handle", "asyncio.run(later(fn, event))"),
                ("api.py", "later", "fn(event)"),
                PRICE_ROUTE,
                PRICE,
            ),
            id="asynchronous",
        ),
    ],
)
def test_the_way_to_a_bug_does_not_matter(way: tuple[Line, ...]) -> None:
    assert key(*way) == key(HANDLE, PRICE_ROUTE, PRICE)


TO_INT = ("util.py", "to_int", "return int(text)")


def via(source: str, function: str = "ship") -> tuple[Line, ...]:
    return (HANDLE, ("api.py", "route", f"return orders.{function}(event)"), ("orders.py", function, source))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(via('util.to_int(row["zip"])'), via('util.to_int(row["amount"])'), id="another element"),
        pytest.param(via("util.to_int(zip)"), via("util.to_int(amount)", "pay"), id="another caller"),
        pytest.param(via("util.to_int(row[0])"), via("util.to_int(row[1])"), id="another position"),
    ],
)
def test_a_shared_function_is_told_apart_by_what_it_was_given(one: tuple[Line, ...], other: tuple[Line, ...]) -> None:
    assert key(*one, TO_INT) != key(*other, TO_INT)


def test_the_caller_of_a_shared_function_is_found_above_wrappers_and_selections() -> None:
    wrapper = ("retry.py", "wrapped", "return function(*args, **kwargs)")
    pick = ("util.py", "pick", "return to_int(row[name])")

    assert key(*via('util.to_int(row["zip"])'), wrapper, TO_INT) == key(*via('util.to_int(row["zip"])'), TO_INT)
    assert key(*via('util.pick(row, "zip")'), pick, TO_INT) != key(*via('util.pick(row, "amount")'), pick, TO_INT)


def test_a_caller_that_hands_on_its_variables_does_not_count_for_a_line_that_says_what_failed() -> None:
    load = ("orders.py", "load", 'return event["id"]')

    assert key(*via("return load(event)"), load) == key(*via("return load(event)", "cancel"), load)


def test_the_key_that_failed_counts_where_a_line_reads_two() -> None:
    read = ("orders.py", "total", 'return row["price"] * row["count"]')

    assert key(HANDLE, read, error="KeyError: 'price'") != key(HANDLE, read, error="KeyError: 'count'")


def test_the_value_that_failed_does_not_count() -> None:
    find = ("store.py", "find", "return table[key]")
    refuse = ("store.py", "check", 'raise ValueError(f"no country {country}")')

    assert key(HANDLE, find, error="KeyError: 'anna'") == key(HANDLE, find, error="KeyError: 'bertil'")
    assert key(HANDLE, refuse, error="ValueError: no country FR") == key(HANDLE, refuse, error="ValueError: no country")


def test_an_abandoned_wait_is_known_by_who_waited() -> None:
    link = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    wait = a_stack(HANDLE, ("api.py", "fetch", "await wait_for(read(), 3)"), error="TimeoutError")
    first, second = (
        a_stack(("store.py", function, "await sleep(1)"), error="asyncio.exceptions.CancelledError")
        for function in ("connect", "read")
    )

    assert fingerprint_of("", "", first + link + wait) == fingerprint_of("", "", second + link + wait)


sources = st.text(alphabet=st.characters(categories=["L", "N", "P", "S"], max_codepoint=0x2FF), min_size=1, max_size=40)
names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
files = names.map(lambda name: f"{name}.py")
roots = st.lists(names, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from(
    ["/var/task", "C:\\apps\\shop", "/home/deploy/.worktrees/ff77d5759d/r6", "", "/srv/app.zip"]
)


@given(
    frames=st.lists(st.tuples(files, names, sources), min_size=1, max_size=8),
    place=st.tuples(roots, st.integers(1, 90_000)),
    other=st.tuples(roots, st.integers(1, 90_000)),
)
def test_lines_and_install_roots_never_count(
    frames: list[Line], place: tuple[str, int], other: tuple[str, int]
) -> None:
    one, two = (a_stack(*frames, root=root, first=first) for root, first in (place, other))

    assert fingerprint_of("", "", one) == fingerprint_of("", "", two)


@given(host=st.from_regex(r"[a-z]{1,8}", fullmatch=True), numbers=st.lists(st.integers(0, 9999), min_size=20))
def test_the_log_s_prefix_never_counts(host: str, numbers: list[int]) -> None:
    plain = a_stack(HANDLE, PRICE_ROUTE, PRICE)
    lines = zip(numbers, plain.splitlines(), strict=False)

    logged = "\n".join(f"2026-01-02 {host} app[{number}]: {line}" for number, line in lines)

    assert fingerprint_of("", "", logged) == fingerprint_of("", "", plain)


def test_text_that_has_no_encoding_has_a_fingerprint() -> None:
    assert len(fingerprint_of("E", "half a pair: \ud800", None)) == 16


NODE = (
    "TypeError: Cannot read properties of undefined (reading 'id')\n"
    "    at Object.get (node:internal/util:10:2)\n"
    "    at total (/srv/r1/src/cart.js:{line}:17)\n"
    "    at handler (/srv/r1/src/index.js:3:1)\n"
)
JAVA = (
    'Exception in thread "main" com.shop.Refused: order 7\n'
    "\tat com.shop.Orders.price(Orders.java:12)\n"
    "Caused by: java.lang.IllegalStateException: no stock\n"
    "\tat java.util.Objects.requireNonNull(Objects.java:10)\n"
    "\tat com.shop.Stock.lambda$take$0(Stock.java:{line})\n"
    "\t... 3 more\n"
)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        pytest.param(NODE, ("TypeError", "total@cart.js"), id="JavaScript"),
        pytest.param(JAVA, ("IllegalStateException", "com.shop.Stock.lambda$take$#@Stock.java"), id="Java"),
        pytest.param("ValueError: no stack at all", None, id="no stack"),
    ],
)
def test_stacks_of_other_languages(stack: str, expected: tuple[str, str] | None) -> None:
    assert foreign_key(stack.replace("{line}", "40")) == expected
    assert fingerprint_of("E", "m", stack.replace("{line}", "40")) == fingerprint_of(
        "E", "m", stack.replace("{line}", "77").replace("/srv/r1", "/app")
    )
