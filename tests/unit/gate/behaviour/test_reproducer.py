"""Reported errors of many kinds are rebuilt; right fixes pass, wrong ones and forgeries do not."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from selfbuild.adapters.gate.behaviour.reproducer import reproduce
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.insights import Insight
from selfbuild.domain.patches import CheckVerdict
from selfbuild.ports import Sandbox
from tests.fakes.values import an_insight
from tests.unit.gate.behaviour.applications import PATH, versions


@dataclass(frozen=True)
class Bug:
    """A function whose tests pass, the error production reported, and how it is repaired and not repaired."""

    source: str
    tests: str
    error: str
    function: str
    right: tuple[str, str]
    """Text and what takes its place."""
    wrong: tuple[str, str]

    def insight(self, samples: tuple[str, ...] = ()) -> Insight:
        kind, _, message = self.error.partition(": ")
        line = next(n for n, text in enumerate(self.source.splitlines(), 1) if self.right[0].split("\n")[0] in text)
        evidence = an_insight().evidence.model_copy(update={"samples": samples})
        return an_insight().model_copy(
            update={
                "error_type": kind,
                "error_message": message,
                "location": CodeLocation(path=PATH, line=line, function=self.function),
                "evidence": evidence,
            }
        )


BUGS = {
    "missing key": Bug(
        "def total(lines):\n    return sum(line['qty'] * line['price'] for line in lines)\n",
        "from shop.rules import total\ndef test_total():\n    assert total([{'qty': 2, 'price': 3}]) == 6\n",
        "KeyError: 'qty'",
        "<genexpr>",
        ("line['qty']", "line.get('qty', 1)"),
        ("line['price']", "line.get('price', 1)"),
    ),
    "missing key in a loop": Bug(
        "def total(lines):\n    found = 0\n    for line in lines:\n        found += line['qty']\n    return found\n",
        "from shop.rules import total\ndef test_total():\n    assert total([{'qty': 2}, {'qty': 3}]) == 5\n",
        "KeyError: 'qty'",
        "total",
        ("line['qty']", "line.get('qty', 1)"),
        ("found = 0", "found = 0 + 0"),
    ),
    "unknown key": Bug(
        "RATES = {'EUR': 1.0, 'USD': 1.1}\ndef rate(code):\n    return RATES[code]\n",
        "from shop.rules import rate\ndef test_rate():\n    assert rate('USD') == 1.1\n",
        "KeyError: 'CHF'",
        "rate",
        ("RATES[code]", "RATES.get(code, 1.0)"),
        ("RATES[code]", "RATES[code.upper()]"),
    ),
    "None attribute": Bug(
        "class Agent:\n    def __init__(self, name):\n        self.name = name\n"
        "def greet(agent):\n    return 'Hello ' + agent.name\n",
        "from shop.rules import Agent, greet\ndef test_greet():\n    assert greet(Agent('Ann')) == 'Hello Ann'\n",
        "AttributeError: 'NoneType' object has no attribute 'name'",
        "greet",
        ("agent.name", "(agent.name if agent else 'you')"),
        ("agent.name", "str(agent.name)"),
    ),
    "None in a field": Bug(
        "def label(order):\n    return order['customer']['name'].title()\n",
        "from shop.rules import label\ndef test_label():\n    assert label({'customer': {'name': 'ann'}}) == 'Ann'\n",
        "AttributeError: 'NoneType' object has no attribute 'title'",
        "label",
        ("order['customer']['name']", "(order['customer']['name'] or 'unknown')"),
        ("order['customer']['name']", "order['customer'].get('name')"),
    ),
    "division by nothing": Bug(
        "def average(values):\n    return sum(values) / len(values)\n",
        "from shop.rules import average\ndef test_average():\n    assert average([1, 3]) == 2\n",
        "ZeroDivisionError: division by zero",
        "average",
        ("sum(values) / len(values)", "sum(values) / len(values) if values else 0.0"),
        ("sum(values) / len(values)", "sum(values) * 1.0 / len(values)"),
    ),
    "empty list": Bug(
        "class Board:\n    def __init__(self, entries):\n        self.entries = entries\n"
        "    def leader(self):\n        return self.entries[0]\n",
        "from shop.rules import Board\ndef test_leader():\n    assert Board(['ann']).leader() == 'ann'\n",
        "IndexError: list index out of range",
        "leader",
        ("self.entries[0]", "self.entries[0] if self.entries else None"),
        ("self.entries[0]", "list(self.entries)[0]"),
    ),
    "not a number": Bug(
        "def parse(row):\n    return int(row['count'])\n",
        "from shop.rules import parse\ndef test_parse():\n    assert parse({'count': '12'}) == 12\n",
        "ValueError: invalid literal for int() with base 10: 'n/a'",
        "parse",
        ("int(row['count'])", "int(row['count']) if row['count'].isdigit() else 0"),
        ("int(row['count'])", "int(row['count'].strip())"),
    ),
    "largest of nothing": Bug(
        "def best(scores):\n    return max(scores.values())\n",
        "from shop.rules import best\ndef test_best():\n    assert best({'a': 3}) == 3\n",
        "ValueError: max() iterable argument is empty",
        "best",
        ("max(scores.values())", "max(scores.values(), default=0)"),
        ("max(scores.values())", "max(list(scores.values()))"),
    ),
    "unpacking": Bug(
        "def split(text):\n    name, value = text.split('=')\n    return name, value\n",
        "from shop.rules import split\ndef test_split():\n    assert split('a=1') == ('a', '1')\n",
        "ValueError: not enough values to unpack (expected 2, got 1)",
        "split",
        ("name, value = text.split('=')", "name, _, value = text.partition('=')"),
        ("text.split('=')", "text.strip().split('=')"),
    ),
    "asynchronous": Bug(
        "async def fetch(user):\n    return user['mail'].lower()\n",
        "import asyncio\nfrom shop.rules import fetch\n"
        "def test_fetch():\n    assert asyncio.run(fetch({'mail': 'A@B'})) == 'a@b'\n",
        "KeyError: 'mail'",
        "fetch",
        ("user['mail']", "user.get('mail', '')"),
        ("user['mail']", "str(user['mail'])"),
    ),
    "no test reaches it": Bug(
        "def ratio(part: int, whole: int) -> float:\n    return part / whole\n",
        "def test_nothing():\n    assert True\n",
        "ZeroDivisionError: division by zero",
        "ratio",
        ("part / whole", "part / whole if whole else 0.0"),
        ("part / whole", "float(part) / whole"),
    ),
}
EACH = pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])


@EACH
async def test_right_fix_passes(real: Sandbox, tmp_path: Path, bug: Bug) -> None:
    outcome = await reproduce(
        real, versions(tmp_path, bug.source, bug.source.replace(*bug.right), bug.tests), bug.insight()
    )

    assert outcome.verdict is CheckVerdict.PASSED, outcome.remedy
    assert bug.error.partition(":")[0] in outcome.findings[0]


@EACH
async def test_fix_that_leaves_the_error_is_refused(real: Sandbox, tmp_path: Path, bug: Bug) -> None:
    outcome = await reproduce(
        real, versions(tmp_path, bug.source, bug.source.replace(*bug.wrong), bug.tests), bug.insight()
    )

    assert outcome.verdict is CheckVerdict.FAILED
    assert "the reported error is not repaired" in (outcome.remedy or "")


FORGERIES = {
    "ends the process": "import os\n    os._exit(0)",
    "ends in another way": "raise SystemExit(0)",
    "raises another crash": "raise TypeError('no quantity')",
    "says it is over": "print('{\"end\": true}')\n    import os\n    os._exit(0)",
    "changes what worked": "return 1 + sum(line.get('qty', 1) for line in lines)",
    "answers nothing": "return None",
    "never ends": "while True:\n        pass",
}


@pytest.mark.parametrize("body", FORGERIES.values(), ids=FORGERIES)
async def test_patch_that_does_not_repair_is_refused(real: Sandbox, tmp_path: Path, body: str) -> None:
    bug = BUGS["missing key in a loop"]

    outcome = await reproduce(
        real, versions(tmp_path, bug.source, f"def total(lines):\n    {body}\n", bug.tests), bug.insight()
    )

    assert outcome.verdict is CheckVerdict.FAILED


async def test_deliberate_error_of_another_kind_is_an_answer(real: Sandbox, tmp_path: Path) -> None:
    bug = BUGS["unknown key"]
    new = bug.source.replace(
        "    return", "    if code not in RATES:\n        raise ValueError(f'unknown currency {code!r}')\n    return"
    )

    outcome = await reproduce(real, versions(tmp_path, bug.source, new, bug.tests), bug.insight())

    assert outcome.verdict is CheckVerdict.PASSED
    assert "ValueError: unknown currency 'CHF'" in outcome.findings[0]


async def test_values_of_the_logs_are_tried(real: Sandbox, tmp_path: Path) -> None:
    source = (
        "def price(order):\n    if order['kind'] == 'zx81':\n        return order['rate'] / order['parts'][7]\n"
        "    return 1\n"
    )
    bug = Bug(
        source,
        "from shop.rules import price\n"
        "def test_price():\n    assert price({'kind': 'a', 'rate': 1, 'parts': [1] * 8}) == 1\n",
        "IndexError: list index out of range",
        "price",
        ("order['parts'][7]", "1"),
        ("", ""),
    )
    fixed = versions(tmp_path, source, source.replace(*bug.right), bug.tests)
    two_things = 'ERROR {"order": {"kind": "zx81", "rate": 1, "parts": []}}'

    assert (await reproduce(real, fixed, bug.insight())).verdict is CheckVerdict.SKIPPED
    assert (await reproduce(real, fixed, bug.insight((two_things,)))).verdict is CheckVerdict.PASSED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error_type": None}, "no error type"),
        ({"location": None}, "no function"),
        ({"location": CodeLocation(path="shop/gone.py", line=3, function="f")}, "has no function f"),
        ({"error_type": "MemoryError"}, "MemoryError was not raised there"),
    ],
)
async def test_error_that_cannot_be_rebuilt_is_skipped_with_the_reason(
    real: Sandbox, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    bug = BUGS["missing key in a loop"]
    insight = bug.insight().model_copy(update=changes)

    outcome = await reproduce(real, versions(tmp_path, bug.source, bug.source.replace(*bug.right), bug.tests), insight)

    assert outcome.verdict is CheckVerdict.SKIPPED
    assert reason in (outcome.remedy or "")
