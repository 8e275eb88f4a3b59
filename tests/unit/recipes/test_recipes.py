"""What each recipe changes and what it refuses."""

from textwrap import dedent

import pytest

from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes import RECIPES, RecipePatch, Refusal
from tests.unit.recipes.requests import PATH, a_key_error, a_request

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def run(name: str, source: str, request: PatchRequest | None = None) -> RecipePatch | Refusal:
    return BY_NAME[name].apply(dedent(source), path=PATH, request=request or a_request())


def changed(name: str, source: str, request: PatchRequest | None = None) -> str:
    outcome = run(name, source, request)
    assert isinstance(outcome, RecipePatch), outcome
    again = run(name, outcome.source, request)
    assert isinstance(again, Refusal), "applied twice"
    return outcome.source


def refused(name: str, source: str, request: PatchRequest | None = None) -> str:
    outcome = run(name, source, request)
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


ACTIONS = """
def actions(items):
    for item in items:
        owner = item["owner"]
        print(owner, item["text"])
"""


def test_missing_key_reads_with_the_default_of_the_policy() -> None:
    assert changed("missing_key", ACTIONS, a_key_error()) == ACTIONS.replace(
        'item["owner"]', 'item.get("owner", "unassigned")'
    )


def test_missing_key_expects_the_errors_to_go() -> None:
    outcome = run("missing_key", ACTIONS, a_key_error())

    assert isinstance(outcome, RecipePatch)
    assert (outcome.expected_effect.component, outcome.expected_effect.kind) == ("orders", "errors_gone")


def test_missing_key_takes_the_read_on_the_line_of_the_traceback() -> None:
    source = 'def actions(a, b):\n    x = a["owner"]\n    y = b["owner"]\n    return x, y\n'

    assert changed("missing_key", source, a_key_error(line=3)).count(".get(") == 1
    assert "several different reads" in refused("missing_key", source, a_key_error())


@pytest.mark.parametrize(
    ("source", "request_", "reason"),
    [
        pytest.param(ACTIONS, a_key_error("due"), "no default for the key 'due'", id="no default"),
        pytest.param(ACTIONS, a_key_error(function="other"), "no read of the key", id="other function"),
        pytest.param(ACTIONS, a_key_error(function=None), "names no place", id="no place"),
        pytest.param(ACTIONS, a_request(), "no KeyError", id="no error"),
        pytest.param('def actions(x):\n    x["owner"] = 1\n', a_key_error(), "stored or deleted", id="store"),
        pytest.param('def actions(x):\n    del x["owner"]\n', a_key_error(), "stored or deleted", id="delete"),
        pytest.param('def actions(x):\n    x["owner"] += "a"\n', a_key_error(), "stored or deleted", id="augmented"),
        pytest.param('def actions(x):\n    return x.y["owner"]\n', a_key_error(), "no plain name", id="attribute"),
        pytest.param(
            'def actions(x):\n    try:\n        return x["owner"]\n    except KeyError:\n        raise\n',
            a_key_error(),
            "a handler of KeyError",
            id="handled",
        ),
    ],
)
def test_missing_key_refuses(source: str, request_: PatchRequest, reason: str) -> None:
    assert reason in refused("missing_key", source, request_)


TOPICS = """
def distinct(words):
    seen: list[str] = []
    for word in words:
        topic = word.strip()
        if topic and topic not in seen:
            seen.append(topic)
    return seen
"""


def test_list_membership_keeps_a_set_beside_the_list() -> None:
    source = changed("list_membership", TOPICS)

    assert source == dedent(
        """
        def distinct(words):
            seen: list[str] = []
            seen_index: set[str] = set()
            for word in words:
                topic = word.strip()
                if topic and topic not in seen_index:
                    seen.append(topic)
                    seen_index.add(topic)
            return seen
        """
    )


def test_list_membership_keeps_what_the_function_answers() -> None:
    spaces: list[dict[str, object]] = [{}, {}]
    exec(TOPICS, spaces[0])
    exec(changed("list_membership", TOPICS), spaces[1])
    words = ["b", "a ", "", "b", "c", "a"]

    answers = [space["distinct"](words) for space in spaces]  # type: ignore[operator]

    assert answers == [["b", "a", "c"]] * 2


def test_list_membership_takes_over_initial_literals_and_avoids_taken_names() -> None:
    source = changed(
        "list_membership",
        TOPICS.replace("= []", '= ["x", "y"]').replace("    return seen", "    seen_index = 1\n    return seen"),
    )

    assert 'seen_index_2: set[str] = {"x", "y"}\n' in source


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(TOPICS.replace("list[str]", "list[dict]"), "no annotated local list", id="unhashable"),
        pytest.param(TOPICS.replace(": list[str]", ""), "no annotated local list", id="not annotated"),
        pytest.param(TOPICS.replace("= []", "= list(words)"), "list of literals", id="computed start"),
        pytest.param(TOPICS.replace("return seen", "seen.sort()\n    return seen"), "may change", id="sorted in place"),
        pytest.param(TOPICS.replace("return seen", "other = seen\n    return other"), "may change", id="aliased"),
        pytest.param(TOPICS.replace("return seen", "keep(seen)\n    return seen"), "may change", id="passed on"),
        pytest.param(TOPICS.replace("return seen", "yield seen"), "may change", id="yielded"),
        pytest.param(TOPICS.replace("return seen", "return lambda: seen"), "inner function", id="captured"),
        pytest.param(TOPICS.replace("append(topic)", "append(word.strip())"), "something computed", id="computed"),
        pytest.param(TOPICS.replace("topic not in seen", "words not in seen"), "may not be hashable", id="other value"),
        pytest.param(
            "def f(a):\n    seen: list[str] = []\n    seen.append(a)\n    return a in seen\n",
            "no membership test in a loop",
            id="no loop",
        ),
        pytest.param(
            "def f(w):\n    seen: list[str] = []\n    for a in w:\n        if a not in seen: seen.append(a)\n",
            "shares line",
            id="one line",
        ),
    ],
)
def test_list_membership_refuses(source: str, reason: str) -> None:
    assert reason in refused("list_membership", source)


def test_only_the_named_function_is_changed() -> None:
    two = TOPICS + TOPICS.replace("distinct", "other")

    source = changed("list_membership", two, a_request(function="other"))

    assert source.startswith(TOPICS)
    assert refused("list_membership", TOPICS, a_request(targets={PATH: ("other",)}))


def test_missing_timeout_is_added_to_calls_that_wait_for_ever() -> None:
    source = """
    import requests
    from urllib.request import urlopen
    def f(u):
        return requests.get(u), requests.post(u, json={}, timeout=3), urlopen(u)
    """

    text = changed("missing_timeout", source)

    assert "requests.get(u, timeout=10.0), requests.post(u, json={}, timeout=3), urlopen(u, timeout=10.0)" in text


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        pytest.param("requests.get(u, **k)", "unpacked arguments", id="unpacked"),
        pytest.param("urlopen(u, None, 5)", "by position", id="position"),
        pytest.param("httpx.get(u)", "no HTTP call", id="httpx"),
        pytest.param("client.get(u)", "no HTTP call", id="unknown client"),
    ],
)
def test_missing_timeout_refuses(call: str, reason: str) -> None:
    source = f"import requests, httpx\nfrom urllib.request import urlopen\ndef f(u, k, client):\n    return {call}\n"

    assert reason in refused("missing_timeout", source)


def test_blocking_calls_of_coroutines_move_to_a_thread() -> None:
    source = """
    import time
    import requests
    async def f(u):
        time.sleep(1)
        return requests.get(u).json()
    """

    text = changed("blocking_in_async", source)

    assert "    await asyncio.sleep(1)\n" in text
    assert "    return (await asyncio.to_thread(requests.get, u)).json()\n" in text
    assert "import asyncio\n" in text


@pytest.mark.parametrize(
    "body",
    ["def f():\n    time.sleep(1)", "async def f():\n    return lambda: time.sleep(1)", "time.sleep(1)"],
    ids=["sync", "lambda", "module"],
)
def test_blocking_in_async_refuses_outside_coroutines(body: str) -> None:
    assert refused("blocking_in_async", f"import time\n{body}\n") == "no blocking call in a coroutine"


def test_unbounded_caches_get_a_bound() -> None:
    source = """
    import functools
    from functools import lru_cache
    @functools.cache
    def f(a):
        return a
    @lru_cache(maxsize=None, typed=True)
    def g(a):
        return a
    @lru_cache(maxsize=8)
    def h(a):
        return a
    """

    text = changed("unbounded_cache", source)

    assert text.count("@lru_cache(maxsize=4096)") == 1
    assert text.count("@lru_cache(maxsize=4096, typed=True)") == 1
    assert "@lru_cache(maxsize=8)" in text


def test_unbounded_cache_of_one_entry_is_left() -> None:
    assert "one entry" in refused("unbounded_cache", "import functools\n@functools.cache\ndef f():\n    return 1\n")


def test_patterns_move_to_the_module() -> None:
    source = '''
    """Doc."""
    import re
    def f(s):
        return re.sub(r"[a-z]+", "-", s), re.match("x", s, flags=re.I), re.sub(r"[a-z]+", "", s)
    '''

    text = changed("hoist_regex", source)

    assert 'import re\n_PATTERN = re.compile(r"[a-z]+")\n_PATTERN_2 = re.compile("x", re.I)\ndef f' in text
    assert 'return _PATTERN.sub("-", s), _PATTERN_2.match(s), _PATTERN.sub("", s)' in text


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        pytest.param("re.sub('a', 'b', s, 0, re.I)", "by position", id="positional flags"),
        pytest.param("re.search('(', s)", "does not compile", id="broken pattern"),
        pytest.param("re.search(s, s)", "no pattern", id="computed pattern"),
        pytest.param("re.search('a', s, flags=n)", "not literal", id="computed flags"),
    ],
)
def test_hoist_regex_refuses(call: str, reason: str) -> None:
    assert reason in refused("hoist_regex", f"import re\ndef f(s, n):\n    return {call}\n")


PURE = "def slug(name: str) -> str:\n    parts = name.lower().split()\n    return '-'.join(sorted(parts))\n"


def test_pure_function_remembers_its_answers() -> None:
    text = changed("memoise", PURE, a_request(function="slug"))

    assert "from functools import lru_cache\n" in text
    assert "@lru_cache(maxsize=1024, typed=True)\ndef slug" in text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(PURE.replace("name: str", "name: list"), "not annotated with an immutable", id="mutable"),
        pytest.param(PURE.replace("-> str", ""), "the result is not annotated", id="no result type"),
        pytest.param(PURE.replace("sorted(parts)", "fetch(parts)"), "fetch, which is not known", id="unknown call"),
        pytest.param("async " + PURE, "a coroutine", id="coroutine"),
        pytest.param("@wrap\n" + PURE, "decorated already", id="decorated"),
        pytest.param("class A:\n    def slug(self) -> str:\n        return ''\n", "not a function of the", id="method"),
        pytest.param("state = []\ndef slug(a: str) -> str:\n    return a + state[0]\n", "variable", id="state"),
    ],
)
def test_memoise_refuses(source: str, reason: str) -> None:
    assert reason in refused("memoise", source, a_request(function="slug"))


def test_memoise_needs_a_named_function() -> None:
    assert refused("memoise", PURE) == "no function is named"


@pytest.mark.parametrize(
    "source",
    ["def f(:\n", "\x00", "(" * 3000, "x = " + "1 + " * 5000 + "1\n", "x = " + "-" * 3000 + "1\n", "x = 1\n" * 60_000],
    ids=["syntax", "nul", "deep", "sum", "signs", "large"],
)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_unreadable_source_is_refused(recipe: object, source: str) -> None:
    name = getattr(recipe, "name", "")
    request = a_key_error(function="f") if name == "missing_key" else a_request(function="f")

    assert refused(name, source, request)
