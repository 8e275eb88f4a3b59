"""Functions that remember their answers."""

import pytest

from selfbuild.domain.applications import RecipePolicy
from tests.unit.recipes.checks import patched, refused, same_answers
from tests.unit.recipes.requests import PATH, a_request

PURE = "def slug(name: str) -> str:\n    parts = name.lower().split()\n    return '-'.join(sorted(p for p in parts))\n"
FIBONACCI = """
def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)
"""
DISTANCE = """
def distance(a, b):
    previous = list(range(len(b) + 1))
    for i, ca in enumerate(a):
        current = [i + 1]
        for j, cb in enumerate(b):
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (ca != cb)))
        previous = current
    return previous[-1]
"""
RATES = """
VOWELS = "aeiou"
def weight(word):
    return sum(score(letter) for letter in word) / max(1, len(word))
def score(letter):
    return 2 if letter in VOWELS else 1
"""


def test_annotated_function_gets_a_cache() -> None:
    text = patched("memoise", PURE, a_request(function="slug"))

    assert "from functools import lru_cache\n" in text
    assert "@lru_cache(maxsize=1024, typed=True)\ndef slug" in text


@pytest.mark.parametrize(
    ("source", "function", "calls"),
    [
        pytest.param(FIBONACCI, "fib", ["fib(15)", "fib(True)", "fib(2.5)", "fib('a')"], id="recursion"),
        pytest.param(
            DISTANCE,
            "distance",
            ["distance('kitten', 'sitting')", "distance('', 'a')", "distance([1], [2])"],
            id="table",
        ),
        pytest.param(
            RATES, "weight", ["weight('banana')", "weight('')", "weight(['a'])", "weight(5)"], id="own callee"
        ),
        pytest.param(
            (
                "def total(n, step=1):\n"
                "    '''Doc.'''\n"
                "    t = 0\n"
                "    while n > 0:\n"
                "        t += n\n"
                "        n -= step\n"
                "    return t\n"
            ),
            "total",
            ["total(4)", "total(4, step=2)", "total(1.5)"],
            id="default",
        ),
    ],
)
def test_function_without_annotations_remembers_plain_arguments(source: str, function: str, calls: list[str]) -> None:
    changed = same_answers("memoise", source, calls, a_request(targets={PATH: (function,)}))

    assert "@lru_cache(maxsize=1024, typed=True)" in changed


def test_recursion_is_seen_where_no_function_is_named() -> None:
    assert "lru_cache" in same_answers("memoise", FIBONACCI, ["fib(12)"])


def test_policy_answers_for_a_function() -> None:
    request = a_request(function="price", policy=RecipePolicy(pure_functions=("price",)))

    assert "@lru_cache" in patched("memoise", "import shop\ndef price(sku):\n    return shop.price(sku)\n", request)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(PURE.replace("name: str", "name: list"), "not annotated with an immutable", id="mutable"),
        pytest.param(PURE.replace("sorted(", "fetch("), "fetch, which is not known", id="unknown call"),
        pytest.param("async " + PURE, "a coroutine", id="coroutine"),
        pytest.param("@wrap\n" + PURE, "decorated already", id="decorated"),
        pytest.param(
            "state = []\n" + PURE.replace("p for", "p + state[0] for") + "state.append(1)\n", "variable", id="state"
        ),
        pytest.param("def slug(n):\n    return [x for x in range(n)]\n", "not certain to be immutable", id="list"),
        pytest.param(
            "def slug(n):\n    x = {}\n    for i in n:\n        x[i] = 1\n    return x\n", "immutable", id="mapping"
        ),
        pytest.param("def slug(n):\n    p = n.split()\n    return [a for a in p][1:]\n", "immutable", id="slice"),
        pytest.param("import time\ndef slug(n):\n    return [n for _ in n] and time.time()\n", "time.time", id="clock"),
        pytest.param("def slug(*n):\n    return sum(x for x in n)\n", "collects", id="stars"),
        pytest.param("def slug(n):\n    return n + 1\n", "costs much", id="cheap"),
    ],
)
def test_memoise_refuses(source: str, reason: str) -> None:
    assert reason in refused("memoise", source, a_request(function="slug"))


def test_function_that_nobody_repeats_is_left() -> None:
    assert "costs much" in refused("memoise", PURE)
