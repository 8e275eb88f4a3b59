"""What is kept for ever: caches, module collections, defaults, files, connections, clients."""

import pytest

from selfbuild.domain.applications import RecipePolicy
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest, SourceFile
from tests.unit.recipes.checks import patched, refused, same_answers
from tests.unit.recipes.requests import PATH, a_request


def growing(source: str = "", *, policy: RecipePolicy | None = None, others: str = "") -> PatchRequest:
    files = (SourceFile(path=PATH, text=source), SourceFile(path="shop/other.py", text=others))
    return a_request(insight_type=InsightType.RESOURCE_EXHAUSTION, files=files, policy=policy)


@pytest.mark.parametrize(
    "source",
    [
        "def f(x, found=[]):\n    found.append(x)\n    return list(found)\n",
        'def f(x, found={}, *, n=1):\n    """Doc."""\n    found[x] = n\n    return found\n',
        "class A:\n"
        "    def f(self, x, found: list = list()):\n"
        "        for _ in range(2):\n"
        "            found += [x]\n"
        "        return found\n"
        "def f(x):\n    return A().f(x)\n",
    ],
    ids=["list", "mapping", "method"],
)
def test_each_call_gets_its_own_default(source: str) -> None:
    changed = patched("mutable_default", source, growing())
    space: dict[str, object] = {}
    exec(changed, space)

    first, second = space["f"](1), space["f"](1)  # type: ignore[operator]

    assert first == second


def test_recursion_that_passes_what_it_filled_keeps_working() -> None:
    source = """
    def walk(node, found=[]):
        found.append(node["id"])
        for child in node["children"]:
            walk(child, found)
        return found
    tree = {"id": 1, "children": [{"id": 2, "children": []}, {"id": 3, "children": []}]}
    """

    same_answers("mutable_default", source, ["walk(tree)"], growing())


@pytest.mark.parametrize(
    ("source", "others"),
    [
        ("def f(x, found=[]):\n    return x in found\n", ""),
        ("def f(x, cache={}):\n    cache[x] = 1\n    return cache\n", ""),
        ("def f(x, found=[]):\n    found.append(x)\n    return found\nf(1, a)\n", ""),
        (
            "def f(x, found=[]):\n    found.append(x)\n    return found\n",
            "from shop.orders import f\nf(1, found=MINE)\n",
        ),
        ("def f(x, known={}):\n    if x not in known:\n        known[x] = 2 * x\n    return known[x]\n", ""),
        ("def f(x, found=None):\n    found = found or []\n    found.append(x)\n    return found\n", ""),
        ("def f(x, found=[1]):\n    found.append(x)\n    return found\n", ""),
    ],
    ids=["only read", "cache", "passed", "passed elsewhere", "memo", "none", "not empty"],
)
def test_other_defaults_stay(source: str, others: str) -> None:
    refused("mutable_default", source, growing(source, others=others))


@pytest.mark.parametrize(
    "source",
    [
        "LOG = []\ndef f(x):\n    LOG.append(x)\n    return LOG[-20:]\n",
        (
            "class A:\n"
            "    def __init__(self):\n"
            "        self.events = []\n"
            "    def f(self, x):\n"
            "        self.events.append({'x': x})\n"
            "        return x\n"
        ),
        "_CACHE = {}\ndef f(x):\n    if x not in _CACHE:\n        _CACHE[x] = x * 2\n    return _CACHE[x]\n",
        (
            "_CACHE: dict = {}\n"
            "def f(x):\n"
            "    hit = _CACHE.get(x)\n"
            "    if hit is not None:\n"
            "        return hit\n"
            "    hit = x * 2\n"
            "    _CACHE[x] = hit\n"
            "    return hit\n"
        ),
        (
            "_CACHE = {}\n"
            "def f(x):\n"
            "    try:\n"
            "        return _CACHE[x]\n"
            "    except KeyError:\n"
            "        _CACHE[x] = value = x * 2\n"
            "        return value\n"
        ),
        (
            "_CACHE = {}\n"
            "def f(x, y):\n"
            "    key = (x, y)\n"
            "    if key in _CACHE:\n"
            "        return _CACHE[key]\n"
            "    _CACHE[key] = x + y\n"
            "    return _CACHE[key]\n"
        ),
    ],
    ids=["tail", "attribute", "not in", "get", "handler", "tuple"],
)
def test_collection_that_only_grows_gets_a_bound(source: str) -> None:
    patched("unbounded_growth", source, growing(source))


def test_bounded_cache_forgets_the_oldest() -> None:
    source = "CACHE = {}\ndef f(x):\n    if x not in CACHE:\n        CACHE[x] = x * 2\n    return CACHE[x]\n"
    space: dict[str, object] = {}
    exec(patched("unbounded_growth", source, growing(source)), space)

    answers = [space["f"](x) for x in range(10_000)]  # type: ignore[operator]

    assert answers == [2 * x for x in range(10_000)]
    assert len(space["CACHE"]) <= 4097  # type: ignore[arg-type]


def test_policy_gives_the_bound_of_a_collection_that_is_read() -> None:
    source = "LOG = []\ndef f(x):\n    LOG.append(x)\ndef g():\n    return [x for x in LOG]\n"

    assert "LOG is read on line" in refused("unbounded_growth", source, growing(source))
    policy = RecipePolicy(collection_limits={"LOG": 50})
    assert "del LOG[:-50]" in patched("unbounded_growth", source, growing(source, policy=policy))


@pytest.mark.parametrize(
    "source",
    [
        "LOG = []\ndef f(x):\n    LOG.append(x)\n    LOG.pop(0)\n",
        "ORDERS = {}\ndef f(x):\n    ORDERS[x] = 1\ndef g(x):\n    return ORDERS[x]\n",
        "ORDERS = {}\ndef f(x):\n    ORDERS[x] = 1\n    return ORDERS\n",
        "def f(x):\n    found = []\n    found.append(x)\n    return found\n",
        "ROUTES = []\nROUTES.append(1)\n",
    ],
    ids=["shrinks", "store", "answered", "local", "at import"],
)
def test_other_collections_stay(source: str) -> None:
    refused("unbounded_growth", source, growing(source))


def test_unbounded_caches_get_a_bound() -> None:
    source = """
    import functools
    from functools import lru_cache
    from functools import cache as remember
    @functools.cache
    def f(a):
        return a
    @lru_cache(maxsize=None, typed=True)
    def g(a):
        return a
    @lru_cache(maxsize=8)
    def h(a):
        return a
    class A:
        @remember
        def i(self, a):
            return a
        @staticmethod
        @functools.lru_cache(None)
        def j(a):
            return a
    """

    text = same_answers("unbounded_cache", source, ["f(1)", "g(1)", "h(1)", "A().i(2)", "A.j(3)"])

    assert text.count("lru_cache(maxsize=4096)") == 3
    assert text.count("@lru_cache(maxsize=4096, typed=True)") == 1
    assert "@lru_cache(maxsize=8)" in text


@pytest.mark.parametrize(
    "source",
    [
        "import functools\n@functools.cache\ndef f():\n    return 1\n",
        "from functools import lru_cache\n@lru_cache\ndef f(a):\n    return 1\n",
        "from shop import cache\n@cache\ndef f(a):\n    return 1\n",
    ],
    ids=["one entry", "default bound", "other cache"],
)
def test_bounded_caches_stay(source: str) -> None:
    refused("unbounded_cache", source)


OPENED = """
import json
def f(path):
    handle = open(path)
    rows = json.load(handle)
    return rows
"""


@pytest.mark.parametrize(
    ("source", "has"),
    [
        pytest.param(OPENED, "with open(path) as handle:", id="json"),
        pytest.param("def f(p):\n    return open(p).read()\n", "with open(p) as", id="at once"),
        pytest.param("import json\ndef f(p):\n    return json.load(open(p))\n", "with open(p) as", id="argument"),
        pytest.param(
            "class A:\n    def f(self, p, x):\n        out = open(p, 'a')\n        out.write(x)\n        out.close()\n",
            "with open(p, 'a') as out:",
            id="closed unless it fails",
        ),
        pytest.param(
            "def f(p):\n    n = 0\n    for line in open(p):\n        n += len(line)\n    return n\n",
            "with open(p) as",
            id="loop",
        ),
        pytest.param(
            (
                "import sqlite3\n"
                "def f(p):\n"
                "    db = sqlite3.connect(p)\n"
                "    rows = db.execute('select 1').fetchall()\n"
                "    return rows\n"
            ),
            "with closing(sqlite3.connect(p)) as db:",
            id="connection",
        ),
        pytest.param(
            "import sqlite3\n"
            "def f(p):\n"
            "    conn = sqlite3.connect(p)\n"
            "    cur = conn.cursor()\n"
            "    cur.execute('select 1')\n"
            "    return cur.fetchone()[0]\n",
            "with closing(sqlite3.connect(p)) as conn:",
            id="cursor",
        ),
        pytest.param(
            "from urllib.request import urlopen as get\ndef f(u):\n    body = get(u).read()\n    return body\n",
            "with get(u) as",
            id="alias",
        ),
        pytest.param(
            "import csv\ndef f(p):\n    source = open(p, newline='')\n    reader = csv.DictReader(source)\n"
            "    return [row['a'] for row in reader]\n",
            "with open(p, newline='') as source:",
            id="reader",
        ),
    ],
)
def test_what_is_opened_is_closed(source: str, has: str) -> None:
    assert has in patched("file_leak", source, growing())


@pytest.mark.parametrize(
    "source",
    [
        "def f(p):\n    with open(p) as h:\n        return h.read()\n",
        "def f(p):\n    return open(p)\n",
        "def f(p):\n    h = open(p)\n    return h\n",
        "def f(self, p):\n    self.h = open(p)\n",
        "def f(p):\n    h = open(p)\n    try:\n        return h.read()\n    finally:\n        h.close()\n",
        "def f(p):\n    h = open(p)\n    keep(h)\n",
        "def f(p):\n    h = open(p)\n    yield h.read()\n",
        "def f(p):\n    h = open(p)\n    return (line for line in h)\n",
        "import sqlite3\ndef f(p):\n    db = sqlite3.connect(p)\n    return db.cursor()\n",
        "def open(p):\n    return p\ndef f(p):\n    return open(p).read()\n",
        "LOG = open('x')\n",
    ],
    ids=[
        "with",
        "answered",
        "answered name",
        "kept",
        "finally",
        "passed",
        "generator",
        "lazy",
        "cursor",
        "own",
        "module",
    ],
)
def test_what_lives_on_stays_open(source: str) -> None:
    refused("file_leak", source, growing())


@pytest.mark.parametrize(
    ("source", "has"),
    [
        pytest.param(
            "import boto3\ndef f(k):\n    s3 = boto3.client('s3')\n    return s3.get_object(Key=k)\n",
            "lru_cache",
            id="boto3",
        ),
        pytest.param(
            "import httpx\nURL = 'x'\ndef f(k):\n    client = httpx.Client(base_url=URL)\n    return client.get(k)\n",
            "_shared_client()",
            id="httpx",
        ),
        pytest.param(
            "import httpx\ndef f(k):\n    with httpx.Client() as client:\n        return client.get(k)\n",
            "nullcontext",
            id="with",
        ),
        pytest.param("import requests as r\ndef f(k):\n    return r.Session().get(k)\n", "get_ident", id="session"),
        pytest.param(
            (
                "from boto3 import client\n"
                "class A:\n"
                "    def f(self, k):\n"
                "        return client('sqs', region_name='eu').receive(k)\n"
            ),
            "_shared_client()",
            id="method",
        ),
        pytest.param(
            "class Tariff:\n"
            "    def __init__(self):\n"
            "        self.rows = load()\n"
            "    def of(self, k):\n"
            "        return self.rows[k]\n"
            "def f(k):\n    tariff = Tariff()\n    return tariff.of(k)\n",
            "_shared_tariff()",
            id="own class",
        ),
    ],
)
def test_one_client_is_kept(source: str, has: str) -> None:
    assert has in patched("client_per_call", source)


@pytest.mark.parametrize(
    "source",
    [
        "import boto3\ns3 = boto3.client('s3')\ndef f(k):\n    return s3.get_object(Key=k)\n",
        "import boto3\ndef f(region):\n    return boto3.client('s3', region_name=region).list_buckets()\n",
        "import httpx\ndef f(k):\n    c = httpx.Client()\n    c.headers['a'] = k\n    return c.get(k)\n",
        "import httpx\ndef f(k):\n    c = httpx.Client()\n    r = c.get(k)\n    c.close()\n    return r\n",
        "import boto3\nclass A:\n    def __init__(self):\n        self.s3 = boto3.client('s3')\n",
        (
            "from functools import lru_cache\n"
            "import boto3\n"
            "@lru_cache(maxsize=1)\n"
            "def f():\n"
            "    return boto3.client('s3')\n"
        ),
        "import boto3\ndef f():\n    return boto3.Session()\n",
        (
            "class Count:\n"
            "    def __init__(self):\n"
            "        self.n = load()\n"
            "    def add(self):\n"
            "        self.n += 1\n"
            "def f():\n"
            "    return Count().add()\n"
        ),
    ],
    ids=["module", "argument", "changed", "closed", "init", "cached", "not safe", "state"],
)
def test_other_clients_stay(source: str) -> None:
    refused("client_per_call", source)
