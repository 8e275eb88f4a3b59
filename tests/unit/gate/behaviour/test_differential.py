"""What a patch that must not change behaviour changes is found; what it only writes otherwise is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from selfbuild.adapters.gate.behaviour.calls import record_calls
from selfbuild.adapters.gate.behaviour.differential import differential
from selfbuild.domain.patches import CheckVerdict
from selfbuild.ports import Sandbox
from tests.unit.gate.behaviour.applications import PATH, versions

CHANGED = {
    "boundary at a constant": (
        "def discount(cents: int) -> int:\n    return cents // 10 if cents >= 5000 else 0\n",
        "def discount(cents: int) -> int:\n    return cents // 10 if cents > 5000 else 0\n",
    ),
    "boundary of a size": (
        "def paged(rows: list[int]) -> list[int]:\n    return rows[:50]\n",
        "def paged(rows: list[int]) -> list[int]:\n    return rows[:51]\n",
    ),
    "boundary at a constant of the module": (
        "LIMIT = 730\ndef long(days: int) -> bool:\n    return days > LIMIT\n",
        "LIMIT = 731\ndef long(days: int) -> bool:\n    return days > LIMIT\n",
    ),
    "order": (
        "def names(rows: list[str]) -> list[str]:\n    return [row for row in rows if row]\n",
        "def names(rows: list[str]) -> list[str]:\n    return sorted(row for row in rows if row)\n",
    ),
    "order of equal elements": (
        "def ranked(rows: list[tuple[int, str]]):\n    return sorted(rows, key=lambda r: r[0])\n",
        "def ranked(rows: list[tuple[int, str]]):\n    return sorted(rows)\n",
    ),
    "dedupe that loses the order": (
        "def distinct(words: list[str]) -> list[str]:\n    return list(dict.fromkeys(words))\n",
        "def distinct(words: list[str]) -> list[str]:\n    return list(set(words))\n",
    ),
    "set that needs hashable elements": (
        "def distinct(rows):\n    seen = []\n    for row in rows:\n        if row not in seen:\n"
        "            seen.append(row)\n    return seen\n",
        "def distinct(rows):\n    return list(dict.fromkeys(rows))\n",
    ),
    "mutable shared by a cache": (
        "def parts(text: str) -> list[str]:\n    return text.split(',')\n",
        "import functools\n@functools.cache\ndef parts(text: str) -> list[str]:\n    return text.split(',')\n",
    ),
    "one and True share an entry": (
        "def shown(value: int, unit: str) -> str:\n    return str(value) + unit\n",
        "import functools\n@functools.cache\ndef shown(value: int, unit: str) -> str:\n    return str(value) + unit\n",
    ),
    "both zeros share an entry": (
        "def shown(value: float) -> str:\n    return str(value)\n",
        "import functools\n@functools.lru_cache(typed=True)\ndef shown(value: float) -> str:\n    return str(value)\n",
    ),
    "cache that outlives its object's state": (
        "class Basket:\n    def __init__(self, cents: list[int]) -> None:\n        self.cents = cents\n"
        "    def total(self) -> int:\n        return sum(self.cents)\n",
        "class Basket:\n    _total = None\n    def __init__(self, cents: list[int]) -> None:\n"
        "        self.cents = cents\n    def total(self) -> int:\n        if self._total is None:\n"
        "            self._total = sum(self.cents)\n"
        "        return self._total\n",
    ),
    "what is no number": (
        "def highest(values: list[float]):\n    return [v for v in values if not v < 0]\n",
        "def highest(values: list[float]):\n    return [v for v in values if v >= 0]\n",
    ),
    "type of the exception": (
        "def price(prices: dict[str, int], name: str) -> int:\n    return prices[name]\n",
        "def price(prices: dict[str, int], name: str) -> int:\n    if name not in prices:\n"
        "        raise ValueError(name)\n    return prices[name]\n",
    ),
    "iterator used twice": (
        "from collections.abc import Iterable\ndef mean(values: Iterable[int]) -> float:\n    v = list(values)\n"
        "    return sum(v) / (len(v) or 1)\n",
        "from collections.abc import Iterable\ndef mean(values: Iterable[int]) -> float:\n"
        "    n = sum(1 for _ in values)\n    return sum(values) / (n or 1)\n",
    ),
    "list where an iterator was": (
        "def evens(values: list[int]):\n    return (v for v in values if v % 2 == 0)\n",
        "def evens(values: list[int]):\n    return [v for v in values if v % 2 == 0]\n",
    ),
    "argument is changed": (
        "def ordered(values: list[int]) -> list[int]:\n    return sorted(values)\n",
        "def ordered(values: list[int]) -> list[int]:\n    values.sort()\n    return list(values)\n",
    ),
    "argument is handed back": (
        "def added(values: list[int]) -> list[int]:\n    return list(values)\n",
        "def added(values: list[int]) -> list[int]:\n    return values\n",
    ),
    "key order": (
        "def counts(words: list[str]) -> dict[str, int]:\n    return {w: words.count(w) for w in words}\n",
        "def counts(words: list[str]) -> dict[str, int]:\n    return {w: words.count(w) for w in reversed(words)}\n",
    ),
    "type of a number": (
        "def half(value: int) -> float:\n    return value / 1\n",
        "def half(value: int) -> float:\n    return value\n",
    ),
    "coroutine": (
        "async def total(values: list[int]) -> int:\n    return sum(values)\n",
        "async def total(values: list[int]) -> int:\n    return sum(set(values))\n",
    ),
    "method": (
        "class Scale:\n    def __init__(self, step: int) -> None:\n        self.step = step\n"
        "    def at(self, place: int) -> int:\n        return place * self.step\n",
        "class Scale:\n    def __init__(self, step: int) -> None:\n        self.step = step\n"
        "    def at(self, place: int) -> int:\n        return place * abs(self.step)\n",
    ),
    "printed": (
        "def show(name: str) -> None:\n    print(name)\n",
        "def show(name: str) -> None:\n    print(name.strip())\n",
    ),
    "variable of the module": (
        "seen = []\ndef note(name: str) -> int:\n    seen.append(name)\n    return 1\n",
        "seen = []\ndef note(name: str) -> int:\n    return 1\n",
    ),
    "endless": (
        "def down(n: int) -> int:\n    while n > 0:\n        n -= 3\n    return n\n",
        "def down(n: int) -> int:\n    while n != 0:\n        n -= 3\n    return n\n",
    ),
}
SAME = {
    "calls gathered, where wrong arguments end both": (
        "asked = []\ndef user(n):\n    asked.append(n)\n    return n\ndef users(rows):\n"
        "    return [user(row['u']) for row in rows]\n",
        "asked = []\ndef user(n):\n    asked.append(n)\n    return n\ndef users(rows):\n"
        "    every = [row['u'] for row in rows]\n    return [user(one) for one in every]\n",
    ),
    "hoisted out of a loop that may not run": (
        "def known(rows, limits):\n    found = []\n    for row in rows:\n"
        "        if row in {limit['name'] for limit in limits}:\n            found.append(row)\n    return found\n",
        "def known(rows, limits):\n    found = []\n    names = {limit['name'] for limit in limits}\n"
        "    for row in rows:\n        if row in names:\n            found.append(row)\n    return found\n",
    ),
    "index beside a list of the object": (
        "class Seen:\n    def __init__(self) -> None:\n        self.ids: list[int] = []\n"
        "    def add(self, number: int) -> int:\n        if number not in self.ids:\n"
        "            self.ids.append(number)\n        return self.ids[-1]\n",
        "class Seen:\n    def __init__(self) -> None:\n        self.ids: list[int] = []\n"
        "        self.ids_index: set[int] = set()\n    def add(self, number: int) -> int:\n"
        "        if number not in self.ids_index:\n            self.ids.append(number)\n"
        "            self.ids_index.add(number)\n        return self.ids[-1]\n",
    ),
    "memoised": (
        "def digits(n: int) -> int:\n    return sum(int(d) for d in str(abs(n)))\n",
        "from functools import lru_cache\n@lru_cache(maxsize=1024, typed=True)\ndef digits(n: int) -> int:\n"
        "    return sum(int(d) for d in str(abs(n)))\n",
    ),
    "set beside the list": (
        "def distinct(words: list[str]) -> list[str]:\n    seen: list[str] = []\n    for word in words:\n"
        "        if word not in seen:\n            seen.append(word)\n    return seen\n",
        "def distinct(words: list[str]) -> list[str]:\n    seen: list[str] = []\n    index: set[str] = set()\n"
        "    for word in words:\n        if word not in index:\n            index.add(word)\n"
        "            seen.append(word)\n    return seen\n",
    ),
    "expression compiled once": (
        "import re\ndef words(text: str) -> list[str]:\n    return re.compile(r'[a-z]+').findall(text)\n",
        "import re\n_WORD = re.compile(r'[a-z]+')\n"
        "def words(text: str) -> list[str]:\n    return _WORD.findall(text)\n",
    ),
    "hoisted out of the loop": (
        "def scaled(values: list[int], text: str) -> list[int]:\n    return [v * len(text.split()) for v in values]\n",
        "def scaled(values: list[int], text: str) -> list[int]:\n    count = len(text.split())\n"
        "    return [v * count for v in values]\n",
    ),
    "deque": (
        "def order(edges: dict[int, list[int]], start: int) -> list[int]:\n    queue, seen = [start], [start]\n"
        "    while queue:\n        for each in edges.get(queue.pop(0), []):\n            if each not in seen:\n"
        "                seen.append(each)\n                queue.append(each)\n    return seen\n",
        "from collections import deque\n"
        "def order(edges: dict[int, list[int]], start: int) -> list[int]:\n    queue, seen = deque([start]), [start]\n"
        "    while queue:\n        for each in edges.get(queue.popleft(), []):\n            if each not in seen:\n"
        "                seen.append(each)\n                queue.append(each)\n    return seen\n",
    ),
    "remembered in the object": (
        "class Square:\n    def __init__(self, side: int) -> None:\n        self._sides = (side, side)\n"
        "    def area(self, scale: int) -> int:\n        return self._sides[0] * self._sides[1] * scale\n",
        "class Square:\n    def __init__(self, side: int) -> None:\n        self._sides = (side, side)\n"
        "        self._known = {}\n    def area(self, scale: int) -> int:\n"
        "        return self._sides[0] * scale * self._sides[1]\n",
    ),
    "no wait": (
        "import time\ndef fetch(name: str) -> str:\n    time.sleep(30)\n    return name\n",
        "import time\ndef fetch(name: str) -> str:\n    time.sleep(20)\n    return name\n",
    ),
}
OFTEN = {
    "boundary at a constant",
    "order",
    "dedupe that loses the order",
    "mutable shared by a cache",
    "one and True share an entry",
    "cache that outlives its object's state",
    "what is no number",
    "type of the exception",
    "iterator used twice",
    "argument is changed",
    "coroutine",
    "method",
    "ends at import",
    "says it is done",
    "says there was nothing to do",
    "writes every value alike",
    "patched output",
}
"""The others are as good, and left to --all: each costs a quarter of a second."""


def cases(table: dict[str, Any], *, every: bool = False) -> list[ParameterSet]:
    slow = [pytest.mark.slow]
    return [pytest.param(case, id=name, marks=[] if every or name in OFTEN else slow) for name, case in table.items()]


@pytest.mark.parametrize("pair", cases(CHANGED))
async def test_changed_behaviour_is_found(real: Sandbox, tmp_path: Path, pair: tuple[str, str]) -> None:
    outcome = await differential(real, versions(tmp_path, *pair), calls=None)

    assert outcome.verdict is CheckVerdict.FAILED, outcome
    assert (outcome.place or "").startswith(PATH)


@pytest.mark.parametrize("pair", cases(SAME, every=True))
async def test_same_behaviour_passes(real: Sandbox, tmp_path: Path, pair: tuple[str, str]) -> None:
    outcome = await differential(real, versions(tmp_path, *pair), calls=None)

    assert outcome.verdict is CheckVerdict.PASSED, outcome


@pytest.mark.parametrize(
    "body",
    [
        "import random\n    return random.random() + n",
        "import uuid\n    return str(uuid.uuid4())",
        "import time\n    return time.time_ns()",
    ],
    ids=["random", "uuid", "time"],
)
async def test_what_differs_by_chance_is_not_comparable(real: Sandbox, tmp_path: Path, body: str) -> None:
    old = f"def made(n: int):\n    {body}\n"

    outcome = await differential(real, versions(tmp_path, old, old.replace("return ", "return 1 and ")), calls=None)

    assert outcome.verdict is CheckVerdict.SKIPPED
    assert "does not do the same twice" in (outcome.remedy or "")


async def test_order_of_sets_is_chance(real: Sandbox, tmp_path: Path) -> None:
    old = "def names(words: list[str]) -> list[str]:\n    return list(set(words))\n"
    new = "def names(words: list[str]) -> list[str]:\n    return list({word for word in reversed(words)})\n"

    outcome = await differential(real, versions(tmp_path, old, new), calls=None)

    assert outcome.verdict is not CheckVerdict.FAILED


async def test_function_without_known_arguments_is_not_shown(real: Sandbox, tmp_path: Path) -> None:
    old = "def send(client: 'Client') -> int:\n    return client.send(1)\n"

    outcome = await differential(real, versions(tmp_path, old, old.replace("(1)", "(2)")), calls=None)

    assert outcome.verdict is CheckVerdict.SKIPPED
    assert (outcome.remedy or "").startswith("behaviour not shown")


async def test_recorded_arguments_show_what_made_up_ones_cannot(real: Sandbox, tmp_path: Path) -> None:
    old = (
        "class Client:\n    def __init__(self, url, *, rate):\n        self.url, self.rate = url, rate\n\n"
        "def cost(client: 'object', sizes: 'Unknown') -> int:\n    return sum(s * client.rate for s in sizes)\n"
    )
    tests = "from shop.rules import Client, cost\ndef test_cost():\n    assert cost(Client('u', rate=2), [1, 2]) == 6\n"
    given = versions(tmp_path, old, old.replace("for s in sizes", "for s in set(sizes)"), tests)

    calls = await record_calls(
        real, tree=given.base_tree, functions=given.functions, test_command=given.test_command, python=given.python
    )
    outcome = await differential(real, given, calls=calls)

    assert [(call.function.qualified_name, call.test) for call in calls.calls] == [
        ("cost", "tests/test_rules.py::test_cost")
    ]
    assert outcome.verdict is CheckVerdict.FAILED


GOOD = "def total(values: list[int]) -> int:\n    return sum(values)\n"
BAD = "def total(values: list[int]) -> int:\n    return len(values)\n"
FORGERIES = {
    "ends at import": f"import os\n{BAD}os._exit(0)\n",
    "ends at exit": f"import atexit, os\n{BAD}atexit.register(lambda: os._exit(0))\n",
    "ends in the call": "import os\ndef total(values: list[int]) -> int:\n    os._exit(0)\n",
    "says it is done": (
        "import glob, json, os\n" + BAD + "word = json.load(open(glob.glob('.selfbuild-*/plan.json')[0]))['word']\n"
        "for fd in range(3, 20):\n    try:\n        os.write(fd, f'\\n{word}{{\"end\":true}}\\n'.encode())\n"
        "    except OSError:\n        pass\nos._exit(0)\n"
    ),
    "says there was nothing to do": (
        "import glob, json, os\n" + BAD + "plan = json.load(open(glob.glob('.selfbuild-*/plan.json')[0]))\n"
        "key = plan['functions'][0]['key']\n"
        "text = json.dumps({'key': key, 'found': {'cases': {}, 'state': '{}'}})\n"
        "for fd in range(3, 20):\n    try:\n        os.write(fd, f'\\n{plan[\"word\"]}{text}\\n'.encode())\n"
        "    except OSError:\n        pass\n"
    ),
    "writes every value alike": (
        "import sys\n" + BAD + "type(sys._getframe())\nimport gc\n"
        "for each in gc.get_objects():\n    if type(each).__name__ == 'Canonical':\n"
        "        type(each).text = lambda self, value: '1'\n"
    ),
    "patched json": "import json\n" + BAD + "json.JSONEncoder.encode = lambda self, value: '{}'\n",
    "patched pickle": "import pickle\n" + BAD + "pickle.loads = lambda text: ((), {})\n",
    "patched output": "import sys, os\n" + BAD + "sys.stdout = None\nos.write = lambda fd, text: len(text)\n",
    "patched clock": "import time\n" + BAD + "time.process_time = lambda: 1e9\n",
    "every call takes too long": BAD.replace("return", "import signal\n    signal.raise_signal(27)\n    return"),
    "uses up the time": BAD.replace("return", "x = sum(range(9_000_000))\n    return"),
}


@pytest.mark.parametrize("text", cases(FORGERIES))
async def test_forged_answer_is_refused(real: Sandbox, tmp_path: Path, text: str) -> None:
    outcome = await differential(real, versions(tmp_path, GOOD, text), calls=None)

    assert outcome.verdict is CheckVerdict.FAILED, outcome


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [
        pytest.param(frozenset(), CheckVerdict.FAILED, id="callers may change it"),
        pytest.param(frozenset({"load"}), CheckVerdict.PASSED, id="policy says they do not"),
    ],
)
async def test_shared_answer_is_allowed_by_policy_alone(
    real: Sandbox, tmp_path: Path, kept: frozenset[str], verdict: CheckVerdict
) -> None:
    old = "def load():\n    return {'a': [1]}\n"
    new = "from functools import lru_cache\n@lru_cache(maxsize=1)\ndef _load():\n    return {'a': [1]}\n"
    given = versions(tmp_path, old, f"{new}def load():\n    return _load()\n")

    outcome = await differential(real, replace(given, kept_answers=kept), calls=None)

    assert outcome.verdict is verdict, outcome


async def test_answer_that_depends_on_the_second_is_not_held_against_the_patch(real: Sandbox, tmp_path: Path) -> None:
    # Both runs of the base fall into one period; the patched version waits for the next one.
    old = "import time\ndef stamp(name: str) -> str:\n    return f'{name} {int(time.time())}'\n"
    new = "import time\ndef stamp(name: str) -> str:\n    return f'{name} {int(time.time() + 1)}'\n"

    outcome = await differential(real, versions(tmp_path, old, new), calls=None)

    assert outcome.verdict is CheckVerdict.SKIPPED, outcome
    assert "does not do the same twice" in (outcome.remedy or "")


async def test_call_that_needs_the_network_says_nothing(real: Sandbox, tmp_path: Path) -> None:
    old = (
        "import urllib.request\ndef page(host: str) -> bytes:\n"
        "    return urllib.request.urlopen('http://' + host).read()\n"
    )
    new = old.replace("urlopen('http://' + host)", "urlopen(f'http://{host}', timeout=3)")

    outcome = await differential(real, versions(tmp_path, old, new), calls=None)

    assert outcome.verdict is CheckVerdict.SKIPPED, outcome
