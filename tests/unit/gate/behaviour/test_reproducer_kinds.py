"""Further kinds of errors, and patches that answer in the driver's place: rebuilt, repaired, not repaired, forged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from selfbuild.adapters.gate.behaviour.reproducer import reproduce
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.patches import CheckVerdict
from selfbuild.ports import Sandbox
from tests.fakes.values import an_insight
from tests.unit.gate.behaviour.applications import PATH, versions

T = TypeVar("T")


@dataclass(frozen=True)
class Bug:
    """A function whose tests pass, the error production reported, and both kinds of patches."""

    source: str
    tests: str
    error: str
    function: str
    line: int
    right: tuple[str, str]
    wrong: tuple[str, str]


def insight(error: str, function: str, line: int) -> Insight:
    kind, _, message = error.partition(": ")
    return an_insight(
        insight_type=InsightType.ERROR_PATTERN,
        error_type=kind,
        error_message=message,
        location=CodeLocation(path=PATH, line=line, function=function),
    )


BUGS = {
    "caller in another function": Bug(
        "def _owner(item):\n    return item['owner']\ndef report(items):\n    return [_owner(i) for i in items]\n",
        "from shop.rules import report\ndef test_r():\n    assert report([{'owner': 'a'}]) == ['a']\n",
        "KeyError: 'owner'",
        "_owner",
        2,
        (
            "item['owner']",
            "item.get('owner', 'nobody')",
        ),
        (
            "item['owner']",
            "str(item['owner'])",
        ),
    ),
    "dataclass field None": Bug(
        (
            "from dataclasses import dataclass\n"
            "@dataclass(frozen=True)\n"
            "class Order:\n"
            "    cents: int\n"
            "    coupon: str = ''\n"
            "def key(order: Order) -> str:\n"
            "    return order.coupon.upper()\n"
        ),
        "from shop.rules import Order, key\ndef test_r():\n    assert key(Order(1, 'ab')) == 'AB'\n",
        "AttributeError: 'NoneType' object has no attribute 'upper'",
        "key",
        7,
        (
            "order.coupon.upper()",
            "(order.coupon or '').upper()",
        ),
        (
            "order.coupon.upper()",
            "str.join('', [order.coupon.upper()])",
        ),
    ),
    "type error none plus int": Bug(
        "def due(invoice):\n    return invoice['amount'] - invoice['paid']\n",
        "from shop.rules import due\ndef test_r():\n    assert due({'amount': 5, 'paid': 2}) == 3\n",
        "TypeError: unsupported operand type(s) for -: 'int' and 'NoneType'",
        "due",
        2,
        (
            "invoice['paid']",
            "(invoice['paid'] or 0)",
        ),
        (
            "invoice['amount']",
            "(invoice['amount'] or 0)",
        ),
    ),
    "str plus int": Bug(
        "def label(row):\n    return row['id'] + ':' + row['name']\n",
        "from shop.rules import label\ndef test_r():\n    assert label({'id': 'a', 'name': 'b'}) == 'a:b'\n",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "label",
        2,
        (
            "row['id'] +",
            "str(row['id']) +",
        ),
        (
            "row['name']",
            "str(row['name'])",
        ),
    ),
    "tuple index": Bug(
        "def second(pair):\n    return pair[1]\n",
        "from shop.rules import second\ndef test_r():\n    assert second((1, 2)) == 2\n",
        "IndexError: tuple index out of range",
        "second",
        2,
        (
            "pair[1]",
            "pair[1] if len(pair) > 1 else None",
        ),
        (
            "pair[1]",
            "tuple(pair)[1]",
        ),
    ),
    "split index": Bug(
        "def domain(mail):\n    return mail.split('@')[1]\n",
        "from shop.rules import domain\ndef test_r():\n    assert domain('a@b.c') == 'b.c'\n",
        "IndexError: list index out of range",
        "domain",
        2,
        (
            "mail.split('@')[1]",
            "mail.partition('@')[2]",
        ),
        (
            "mail.split",
            "mail.strip().split",
        ),
    ),
    "float parse": Bug(
        "def price(text):\n    return float(text.replace(',', '.'))\n",
        "from shop.rules import price\ndef test_r():\n    assert price('1,5') == 1.5\n",
        "ValueError: could not convert string to float: 'n/a'",
        "price",
        2,
        (
            "return float(text.replace(',', '.'))",
            "try:\n        return float(text.replace(',', '.'))\n    except ValueError:\n        return 0.0",
        ),
        (
            "text.replace",
            "text.strip().replace",
        ),
    ),
    "date parse": Bug(
        "import datetime\ndef day(row):\n    return datetime.datetime.strptime(row['day'], '%Y-%m-%d').date()\n",
        (
            "import datetime\n"
            "from shop.rules import day\n"
            "def test_r():\n"
            "    assert day({'day': '2026-01-02'}) == datetime.date(2026, 1, 2)\n"
        ),
        "ValueError: time data '02.01.2026' does not match format '%Y-%m-%d'",
        "day",
        3,
        (
            "return datetime.datetime.strptime(row['day'], '%Y-%m-%d').date()",
            (
                "try:\n"
                "        return datetime.datetime.strptime(row['day'], '%Y-%m-%d').date()\n"
                "    except ValueError:\n"
                "        return None"
            ),
        ),
        (
            "row['day'],",
            "row['day'].strip(),",
        ),
    ),
    "json decode": Bug(
        "import json\ndef load(body):\n    return json.loads(body)['x']\n",
        "from shop.rules import load\ndef test_r():\n    assert load('{\"x\": 1}') == 1\n",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "load",
        3,
        (
            "return json.loads(body)['x']",
            "try:\n        return json.loads(body)['x']\n    except ValueError:\n        return None",
        ),
        (
            "json.loads(body)",
            "json.loads(body.strip())",
        ),
    ),
    "unicode decode": Bug(
        "def text(raw):\n    return raw.decode('utf-8')\n",
        "from shop.rules import text\ndef test_r():\n    assert text(b'ab') == 'ab'\n",
        "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "text",
        2,
        (
            "raw.decode('utf-8')",
            "raw.decode('utf-8', 'replace')",
        ),
        (
            "raw.decode",
            "bytes(raw).decode",
        ),
    ),
    "unicode encode": Bug(
        "def header(name):\n    return name.encode('ascii')\n",
        "from shop.rules import header\ndef test_r():\n    assert header('ab') == b'ab'\n",
        "UnicodeEncodeError: 'ascii' codec can't encode character '\\xe9' in position 0: ordinal not in range(128)",
        "header",
        2,
        (
            "name.encode('ascii')",
            "name.encode('ascii', 'replace')",
        ),
        (
            "name.encode",
            "str(name).encode",
        ),
    ),
    "zero in config object": Bug(
        (
            "class Meter:\n"
            "    def __init__(self, total, count):\n"
            "        self.total = total\n"
            "        self.count = count\n"
            "    def mean(self):\n"
            "        return self.total / self.count\n"
        ),
        "from shop.rules import Meter\ndef test_r():\n    assert Meter(4, 2).mean() == 2\n",
        "ZeroDivisionError: division by zero",
        "mean",
        6,
        (
            "self.total / self.count",
            "self.total / self.count if self.count else 0.0",
        ),
        (
            "self.total /",
            "float(self.total) /",
        ),
    ),
    "modulo": Bug(
        "def bucket(key, n):\n    return hash(key) % n\n",
        "from shop.rules import bucket\ndef test_r():\n    assert bucket(5, 3) == 2\n",
        "ZeroDivisionError: integer modulo by zero",
        "bucket",
        2,
        (
            "hash(key) % n",
            "hash(key) % n if n else 0",
        ),
        (
            "hash(key)",
            "abs(hash(key))",
        ),
    ),
    "nested key deep": Bug(
        "def city(order):\n    return order['customer']['address']['city']\n",
        (
            "from shop.rules import city\n"
            "def test_r():\n"
            "    assert city({'customer': {'address': {'city': 'x'}}}) == 'x'\n"
        ),
        "KeyError: 'address'",
        "city",
        2,
        (
            "['address']['city']",
            ".get('address', {}).get('city', '')",
        ),
        (
            "['address']['city']",
            "['address'].get('city', '')",
        ),
    ),
    "stop iteration": Bug(
        "def first(rows):\n    return next(r for r in rows if r > 2)\n",
        "from shop.rules import first\ndef test_r():\n    assert first([1, 3]) == 3\n",
        "StopIteration: ",
        "first",
        2,
        (
            "next(r for r in rows if r > 2)",
            "next((r for r in rows if r > 2), None)",
        ),
        (
            "in rows",
            "in list(rows)",
        ),
    ),
    "unbound local": Bug(
        "def pick(rows):\n    for row in rows:\n        best = row\n    return best\n",
        "from shop.rules import pick\ndef test_r():\n    assert pick([1, 3]) == 3\n",
        "UnboundLocalError: cannot access local variable 'best' where it is not associated with a value",
        "pick",
        4,
        (
            "    for row",
            "    best = None\n    for row",
        ),
        (
            "in rows",
            "in list(rows)",
        ),
    ),
    "recursion": Bug(
        "def depth(node):\n    return 1 + max([depth(c) for c in node.get('children', [])], default=0)\n",
        "from shop.rules import depth\ndef test_r():\n    assert depth({'children': [{}]}) == 2\n",
        "AttributeError: 'str' object has no attribute 'get'",
        "depth",
        2,
        (
            "    return 1",
            "    if not isinstance(node, dict):\n        return 0\n    return 1",
        ),
        (
            "node.get('children', [])",
            "node.get('children') or []",
        ),
    ),
    "not iterable None": Bug(
        "def names(user):\n    return [t.lower() for t in user['tags']]\n",
        "from shop.rules import names\ndef test_r():\n    assert names({'tags': ['A']}) == ['a']\n",
        "TypeError: 'NoneType' object is not iterable",
        "names",
        2,
        (
            "user['tags']",
            "user['tags'] or []",
        ),
        (
            "t.lower()",
            "str(t).lower()",
        ),
    ),
    "enum lookup": Bug(
        "import enum\nclass Color(enum.Enum):\n    RED = 'red'\ndef color(name):\n    return Color(name)\n",
        "from shop.rules import Color, color\ndef test_r():\n    assert color('red') is Color.RED\n",
        "ValueError: 'mauve' is not a valid Color",
        "color",
        5,
        (
            "return Color(name)",
            "try:\n        return Color(name)\n    except ValueError:\n        return None",
        ),
        (
            "Color(name)",
            "Color(str(name))",
        ),
    ),
    "class state key": Bug(
        (
            "class Carts:\n"
            "    def __init__(self):\n"
            "        self.lines = {}\n"
            "    def add(self, name, n):\n"
            "        self.lines[name] = self.lines.get(name, 0) + n\n"
            "    def remove(self, name):\n"
            "        del self.lines[name]\n"
        ),
        (
            "from shop.rules import Carts\n"
            "def test_r():\n"
            "    c = Carts()\n"
            "    c.add('x', 1)\n"
            "    c.remove('x')\n"
            "    assert c.lines == {}\n"
        ),
        "KeyError: 'ghost'",
        "remove",
        7,
        (
            "del self.lines[name]",
            "self.lines.pop(name, None)",
        ),
        (
            "del self.lines[name]",
            "self.lines.pop(name)",
        ),
    ),
    "decimal": Bug(
        "from decimal import Decimal\ndef amount(row):\n    return Decimal(row['amount'])\n",
        (
            "from decimal import Decimal\n"
            "from shop.rules import amount\n"
            "def test_r():\n"
            "    assert amount({'amount': '1.5'}) == Decimal('1.5')\n"
        ),
        "decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]",
        "amount",
        3,
        (
            "return Decimal(row['amount'])",
            "try:\n        return Decimal(row['amount'])\n    except ArithmeticError:\n        return Decimal(0)",
        ),
        (
            "row['amount']",
            "row['amount'].strip()",
        ),
    ),
    "request object": Bug(
        (
            "class Request:\n"
            "    def __init__(self, headers):\n"
            "        self.headers = headers\n"
            "async def handle(request):\n"
            "    return {'user': request.headers['x-user']}\n"
        ),
        (
            "import asyncio\n"
            "from shop.rules import Request, handle\n"
            "def test_r():\n"
            "    assert asyncio.run(handle(Request({'x-user': 'a'}))) == {'user': 'a'}\n"
        ),
        "KeyError: 'x-user'",
        "handle",
        5,
        (
            "request.headers['x-user']",
            "request.headers.get('x-user', '')",
        ),
        (
            "request.headers['x-user']",
            "str(request.headers['x-user'])",
        ),
    ),
    "math domain": Bug(
        "import math\ndef root(row):\n    return math.sqrt(row['v'])\n",
        "from shop.rules import root\ndef test_r():\n    assert root({'v': 4}) == 2\n",
        "ValueError: math domain error",
        "root",
        3,
        (
            "math.sqrt(row['v'])",
            "math.sqrt(max(row['v'], 0))",
        ),
        (
            "row['v']",
            "float(row['v'])",
        ),
    ),
    "raises inside stdlib": Bug(
        "import statistics\ndef typical(values):\n    return statistics.median(values)\n",
        "from shop.rules import typical\ndef test_r():\n    assert typical([1, 2, 3]) == 2\n",
        "statistics.StatisticsError: no median for empty data",
        "typical",
        3,
        (
            "statistics.median(values)",
            "statistics.median(values) if values else None",
        ),
        (
            "(values)\n",
            "(list(values))\n",
        ),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])
async def test_right_fix_passes_and_wrong_one_does_not(real: Sandbox, tmp_path: Path, bug: Bug) -> None:
    reported = insight(bug.error, bug.function, bug.line)
    right = versions(tmp_path / "right", bug.source, bug.source.replace(*bug.right), bug.tests)
    wrong = versions(tmp_path / "wrong", bug.source, bug.source.replace(*bug.wrong), bug.tests)

    repaired, left = await reproduce(real, right, reported), await reproduce(real, wrong, reported)

    assert repaired.verdict is CheckVerdict.PASSED, repaired.remedy
    assert left.verdict is CheckVerdict.FAILED, left.remedy


TOTAL = """def total(lines):
    found = 0
    for line in lines:
        found += line["qty"]
    return found
"""
TESTS = "from shop.rules import total\ndef test_total():\n    assert total([{'qty': 2}, {'qty': 3}]) == 5\n"
MAIN = "import sys\n_main = sys.modules['__main__']\nif hasattr(_main, 'Trial'):\n"
FORGED = {
    "answers for every call": MAIN + "    _main.Trial.run = lambda self, make: {'returned': '5'}\n",
    "answers where something was raised": MAIN
    + (
        "    _run = _main.Trial.run\n"
        "    def run(self, make):\n"
        "        found = _run(self, make)\n"
        "        return {'returned': '0'} if 'raised' in found else found\n"
        "    _main.Trial.run = run\n"
    ),
    "describes errors otherwise": MAIN + "    _main.Trial._raised = lambda self, error: {'returned': '0'}\n",
    "takes the channel from a frame": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n    channel = frame.f_locals.get('channel')\n"
        "    if hasattr(channel, 'plan'):\n        for name in channel.plan.get('only') or []:\n"
        "            channel.send({'case': name, 'found': {'returned': '5'}})\n        channel.end()\n"
        "    frame = frame.f_back\n"
    ),
    "reads the plan": (
        "import glob, json, os\nfor path in glob.glob('.selfbuild-*/plan.json'):\n    plan = json.load(open(path))\n"
        "    for number in range(3, 9) if plan.get('only') else ():\n        try:\n"
        "            for part in [*({'case': n, 'found': {'returned': '5'}} for n in plan['only']), {'end': True}]:\n"
        "                os.write(number, ('\\n' + plan['word'] + json.dumps(part) + '\\n').encode())\n"
        "            os._exit(0)\n        except OSError:\n            pass\n"
    ),
    "replaces the writer of JSON": (
        "import json\nencode = json.JSONEncoder.encode\n"
        "json.JSONEncoder.encode = lambda self, part: encode(self, {**part, 'found': {'returned': '5'}})\n"
    ),
    "ends the process while it is imported": "import os\nos._exit(0)\n",
    "ends it at exit": "import atexit, os\natexit.register(lambda: os._exit(0))\n",
}
RAISING = {
    "a kind of its own": ("class Missing(KeyError):\n    pass\n", "Missing('qty')"),
    "what is no Exception": ("class Quiet(BaseException):\n    pass\n", "Quiet()"),
    "what ends the program": ("", "KeyboardInterrupt()"),
}


def _some_slow(cases: Mapping[str, T], *fast: str) -> list[ParameterSet]:
    return [pytest.param(case, id=name, marks=() if name in fast else pytest.mark.slow) for name, case in cases.items()]


@pytest.mark.parametrize("forgery", _some_slow(FORGED, "answers where something was raised", "reads the plan"))
async def test_answer_in_the_place_of_the_driver_is_refused(real: Sandbox, tmp_path: Path, forgery: str) -> None:
    found = await reproduce(
        real, versions(tmp_path, TOTAL, forgery + TOTAL, TESTS), insight("KeyError: 'qty'", "total", 4)
    )

    assert found.verdict is CheckVerdict.FAILED, found.findings


@pytest.mark.parametrize("worse", _some_slow(RAISING, "what is no Exception"))
async def test_worse_error_in_its_place_is_refused(real: Sandbox, tmp_path: Path, worse: tuple[str, str]) -> None:
    before, raised = worse
    check = f"        if 'qty' not in line:\n            raise {raised}\n        found +="
    new = before + TOTAL.replace("        found +=", check)

    found = await reproduce(real, versions(tmp_path, TOTAL, new, TESTS), insight("KeyError: 'qty'", "total", 4))

    assert found.verdict is CheckVerdict.FAILED, found.findings


async def test_answers_that_differ_by_themselves_are_not_held_against_the_patch(real: Sandbox, tmp_path: Path) -> None:
    source = "import uuid\ndef receipt(order):\n    return f\"{order['id']} {uuid.uuid4()}\"\n"
    tests = "from shop.rules import receipt\ndef test_receipt():\n    assert receipt({'id': 'a'}).startswith('a ')\n"
    fixed = versions(tmp_path, source, source.replace("order['id']", "order.get('id')"), tests)

    found = await reproduce(real, fixed, insight("KeyError: 'id'", "receipt", 3))

    assert found.verdict is CheckVerdict.PASSED, found.remedy
