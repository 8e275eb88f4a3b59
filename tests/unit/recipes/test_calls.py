"""Calls of others: time limits, blocking in coroutines, patterns, many calls in place of one, retries."""

import pytest

from selfbuild.domain.applications import BatchCall, RecipePolicy, RetryCall
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest, SourceFile
from tests.unit.recipes.checks import patched, refused, same_answers
from tests.unit.recipes.requests import PATH, a_request


@pytest.mark.parametrize(
    ("source", "has"),
    [
        pytest.param(
            "import requests\ndef f(u):\n    return requests.get(u)\n", "requests.get(u, timeout=10.0)", id="requests"
        ),
        pytest.param(
            "from requests import post as send\ndef f(u):\n    return send(u, json={})\n",
            "json={}, timeout=10.0)",
            id="alias",
        ),
        pytest.param(
            (
                "import urllib.request\n"
                "class A:\n"
                "    def f(self, u):\n"
                "        with urllib.request.urlopen(u) as r:\n"
                "            return r.read()\n"
            ),
            "urlopen(u, timeout=10.0)",
            id="method",
        ),
        pytest.param(
            "import requests\ns = requests.Session()\ndef f(u):\n    return s.get(u)\n",
            "s.get(u, timeout=10.0)",
            id="session",
        ),
        pytest.param(
            "import requests\n"
            "class A:\n"
            "    def __init__(self):\n"
            "        self.http = requests.Session()\n"
            "    def f(self, u):\n"
            "        return self.http.post(u, data=b'')\n",
            "data=b'', timeout=10.0)",
            id="attribute",
        ),
        pytest.param(
            (
                "from http.client import HTTPConnection\n"
                "def f(h):\n"
                "    c = HTTPConnection(h, 80)\n"
                "    c.request('GET', '/')\n"
            ),
            "HTTPConnection(h, 80, timeout=10.0)",
            id="connection",
        ),
    ],
)
def test_calls_that_wait_for_ever_get_a_limit(source: str, has: str) -> None:
    assert has in patched("missing_timeout", source)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        pytest.param("requests.get(u, **k)", "unpacked arguments", id="unpacked"),
        pytest.param("urlopen(u, None, 5)", "by position", id="position"),
        pytest.param("httpx.get(u)", "no HTTP call", id="httpx"),
        pytest.param("client.get(u)", "no HTTP call", id="unknown client"),
        pytest.param("requests.get(u, timeout=2)", "no HTTP call", id="limited"),
    ],
)
def test_missing_timeout_refuses(call: str, reason: str) -> None:
    source = f"import requests, httpx\nfrom urllib.request import urlopen\ndef f(u, k, client):\n    return {call}\n"

    assert reason in refused("missing_timeout", source)


@pytest.mark.parametrize(
    ("source", "has"),
    [
        pytest.param("import time\nasync def f(u):\n    time.sleep(1)\n", "    await asyncio.sleep(1)\n", id="sleep"),
        pytest.param(
            "from time import sleep as nap\nasync def f(u):\n    nap(u)\n", "await asyncio.sleep(u)", id="alias"
        ),
        pytest.param(
            "import requests\nclass A:\n    async def f(self, u):\n        return requests.get(u, timeout=1).json()\n",
            "(await asyncio.to_thread(requests.get, u, timeout=1)).json()",
            id="method",
        ),
        pytest.param(
            "import time\ndef load(k):\n    time.sleep(1)\n    return k\nasync def f(k):\n    return load(k)\n",
            "return await asyncio.to_thread(load, k)",
            id="own function",
        ),
    ],
)
def test_blocking_calls_of_coroutines_leave_the_loop_free(source: str, has: str) -> None:
    assert has in patched("blocking_in_async", source, a_request(source))


def test_blocking_function_of_another_file_moves_to_a_thread() -> None:
    source = "from shop.prices import fetch\nasync def f(k):\n    price = fetch(k)\n    return price\n"
    other = SourceFile(
        path="shop/prices.py", text="import requests\ndef fetch(k):\n    return requests.get(k, timeout=1)\n"
    )
    request = a_request(files=(SourceFile(path=PATH, text=source), other))

    assert "price = await asyncio.to_thread(fetch, k)" in patched("blocking_in_async", source, request)


@pytest.mark.parametrize(
    "body",
    [
        "def f():\n    time.sleep(1)",
        "async def f():\n    return lambda: time.sleep(1)",
        "time.sleep(1)",
        "async def f():\n    def g():\n        time.sleep(1)\n    return g",
        "N = 0\ndef g():\n    global N\n    N += 1\n    time.sleep(1)\nasync def f():\n    g()",
        "async def f(g):\n    await g(asyncio.sleep(1))",
    ],
    ids=["sync", "lambda", "module", "inner", "global", "awaited"],
)
def test_blocking_in_async_refuses_outside_coroutines(body: str) -> None:
    source = f"import time\n{body}\n"

    assert refused("blocking_in_async", source, a_request(source)) == "no blocking call in a coroutine"


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        pytest.param(
            (
                "import re\n"
                "def f(s):\n"
                "    return re.sub(r'[a-z]+', '-', s), re.match('x', s, flags=re.I), re.sub(r'[a-z]+', '', s)\n"
            ),
            ["f('ab 1')[0]", "f('')"],
            id="functions",
        ),
        pytest.param(
            "from re import compile as build, IGNORECASE\n"
            "class A:\n"
            "    def g(self, rows):\n"
            "        n = 0\n"
            "        for row in rows:\n"
            "            n += len(build('a+').findall(row))\n        return n\ndef f(rows):\n    return A().g(rows)\n",
            ["f(['aa b a', ''])", "f([])"],
            id="compile in a loop",
        ),
        pytest.param(
            "import re\ndef f(rows):\n    return [row for row in rows if re.search(r'^\\d+$', row)]\n",
            ["f(['1', 'a'])"],
            id="comprehension",
        ),
        pytest.param(
            "import re\nWORD = r'\\w+'\ndef f(s):\n    pattern = re.compile(WORD)\n    return pattern.findall(s)\n",
            ["f('a b')"],
            id="constant",
        ),
    ],
)
def test_patterns_are_compiled_once(source: str, calls: list[str]) -> None:
    assert "_PATTERN = re.compile(" in same_answers("hoist_regex", source, calls)


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


BATCH = RecipePolicy(batch_calls={"get_user": BatchCall(many="get_users")})
USERS = """
CALLS = []
def get_user(i):
    CALLS.append(i)
    return {"id": i}
def get_users(ids):
    CALLS.append(ids)
    return [{"id": i} for i in ids]
"""


@pytest.mark.parametrize(
    "body",
    [
        "def f(rows):\n    return [get_user(row['u'])['id'] for row in rows]\n",
        (
            "def f(rows):\n"
            "    out = []\n"
            "    for row in rows:\n"
            "        user = get_user(row['u'])\n"
            "        out.append(user['id'])\n"
            "    return out\n"
        ),
        (
            "class A:\n"
            "    def g(self, rows):\n"
            "        return {row['u']: get_user(row['u']) for row in rows}\n"
            "def f(rows):\n"
            "    return A().g(rows)\n"
        ),
    ],
    ids=["comprehension", "loop", "method"],
)
def test_policy_turns_many_calls_into_one(body: str) -> None:
    request = a_request(policy=BATCH)
    calls = ["f([{'u': 1}, {'u': 2}, {'u': 1}])", "f([])"]

    changed = same_answers("batch_calls", USERS + body, calls, request)

    space: dict[str, object] = {}
    exec(changed, space)
    space["f"]([{"u": 1}, {"u": 2}, {"u": 1}])  # type: ignore[operator]
    assert space["CALLS"] == [[1, 2]]


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        ("def f(rows):\n    return [get_user(row) for row in rows]\n", RecipePolicy()),
        ("def f(rows):\n    return get_user(rows)\n", BATCH),
        ("def f(rows):\n    return [get_user(row, 1) for row in rows]\n", BATCH),
        ("def f(rows):\n    for row in rows:\n        row = row + 1\n        get_user(row)\n", BATCH),
        ("def f(rows):\n    while rows:\n        get_user(rows.pop())\n", BATCH),
    ],
    ids=["no policy", "no loop", "more arguments", "changed id", "while"],
)
def test_batch_calls_refuses(body: str, policy: RecipePolicy) -> None:
    refused("batch_calls", USERS + body, a_request(policy=policy))


def test_policy_lets_answers_be_old_for_a_while() -> None:
    source = "import shop\ndef price(sku: str, day=1):\n    '''Doc.'''\n    return shop.price(sku, day)\n"
    request = a_request(policy=RecipePolicy(staleness_s={"price": 30}))

    changed = patched("ttl_memoise", source, request)

    assert "int(time.monotonic() // 30.0), sku, day)" in changed
    assert "@lru_cache(maxsize=1024, typed=True)" in changed


@pytest.mark.parametrize(
    ("source", "staleness_s"),
    [
        ("def price(sku):\n    return 1\n", {}),
        ("def price(sku):\n    return 1\n", {"cost": 30.0}),
        ("async def price(sku):\n    return 1\n", {"price": 30.0}),
        ("def price(sku: list):\n    return 1\n", {"price": 30.0}),
        ("def price(*sku):\n    return 1\n", {"price": 30.0}),
        ("@wrap\ndef price(sku):\n    return 1\n", {"price": 30.0}),
        ("class A:\n    def price(self, sku):\n        return 1\n", {"price": 30.0}),
    ],
    ids=["no policy", "other", "coroutine", "list", "stars", "decorated", "method"],
)
def test_ttl_memoise_refuses(source: str, staleness_s: dict[str, float]) -> None:
    refused("ttl_memoise", source, a_request(policy=RecipePolicy(staleness_s=staleness_s)))


def failing(policy: RecipePolicy | None = None, error: str = "ConnectionError") -> PatchRequest:
    rule = RetryCall(errors=("ConnectionError",), attempts=3, wait_s=0)
    return a_request(
        insight_type=InsightType.ERROR_PATTERN,
        error_type=error,
        policy=policy or RecipePolicy(retry_calls={"fetch": rule}),
    )


FLAKY = """
LEFT = [2]
def fetch(u):
    LEFT[0] -= 1
    if LEFT[0] >= 0:
        raise ConnectionError(u)
    return u
"""


@pytest.mark.parametrize(
    "body",
    [
        "def f(u):\n    return fetch(u)\n",
        "def f(u):\n    answer = fetch(u)\n    return answer\n",
        "class A:\n    def f(self, u):\n        fetch(u)\n        return u\nf = A().f\n",
    ],
    ids=["return", "assignment", "method"],
)
def test_policy_lets_a_call_be_repeated(body: str) -> None:
    space: dict[str, object] = {}
    exec(patched("bounded_retry", FLAKY + body, failing()), space)

    assert space["f"](7) == 7  # type: ignore[operator]

    space["LEFT"][0] = 3  # type: ignore[index]
    with pytest.raises(ConnectionError):
        space["f"](7)  # type: ignore[operator]


@pytest.mark.parametrize("error", ["ConnectionResetError", "http.client.RemoteDisconnected", "BrokenPipeError"])
def test_error_that_is_one_of_the_policys_is_repeated(error: str) -> None:
    patched("bounded_retry", FLAKY + "def f(u):\n    return fetch(u)\n", failing(error=error))


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        ("def f(u):\n    return fetch(u)\n", failing(RecipePolicy())),
        ("def f(u):\n    return fetch(u)\n", failing(error="ValueError")),
        ("def f(u):\n    try:\n        return fetch(u)\n    except ConnectionError:\n        return None\n", failing()),
        ("def f(u):\n    return [fetch(x) for x in u]\n", failing()),
        ("def f(u):\n    if fetch(u):\n        return 1\n", failing()),
    ],
    ids=["no policy", "other error", "handled", "comprehension", "condition"],
)
def test_bounded_retry_refuses(body: str, request_: PatchRequest) -> None:
    refused("bounded_retry", FLAKY + body, request_)
