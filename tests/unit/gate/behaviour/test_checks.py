"""Faults put into a patch are found where tests and comparison are strong; a slower patch is refused."""

from pathlib import Path

import pytest

from selfbuild.adapters.gate.behaviour.calls import RecordedCalls, record_calls
from selfbuild.adapters.gate.behaviour.differential import differences
from selfbuild.adapters.gate.behaviour.micro_benchmark import judge, micro_benchmark, ratio_of
from selfbuild.adapters.gate.behaviour.mutants import mutants
from selfbuild.adapters.gate.effect import check_effect
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import CheckName, CheckVerdict
from selfbuild.gate.changes import FunctionRef
from selfbuild.ports import Sandbox
from tests.fakes.sandbox import FakeSandbox
from tests.fakes.values import an_insight
from tests.unit.gate.behaviour.applications import PATH, versions

SLOW = (
    "def distinct(words: list[str]) -> list[str]:\n    seen: list[str] = []\n    for word in words:\n"
    "        if word not in seen:\n            seen.append(word)\n    return seen\n"
)
FAST = (
    "def distinct(words: list[str]) -> list[str]:\n    seen: list[str] = []\n    index: set[str] = set()\n"
    "    for word in words:\n        if word not in index:\n            index.add(word)\n"
    "            seen.append(word)\n    return seen\n"
)
TESTS = (
    "from shop.rules import distinct\n\n\ndef test_order_is_kept():\n"
    "    words = [f'w{n % 40}' for n in range(80)]\n    assert distinct(words) == words[:40]\n"
)
FUNCTION = FunctionRef(PATH, "distinct")


async def test_good_patch_passes_all_three(real: Sandbox, tmp_path: Path) -> None:
    found = await check_effect(real, versions(tmp_path, SLOW, FAST, TESTS), an_insight())

    assert [check.name for check in found.checks] == [CheckName.BEHAVIOUR, CheckName.MUTANTS, CheckName.SPEED]
    assert {check.verdict for check in found.checks} == {CheckVerdict.PASSED}, found.checks
    assert "x faster" in found.checks[-1].findings[-1]
    assert found.unshown == found.needs_approval == ()


async def test_changed_behaviour_ends_the_checks(real: Sandbox, tmp_path: Path) -> None:
    given = versions(tmp_path, SLOW, SLOW.replace("return seen", "return seen[::-1]"), TESTS)

    (check,) = (await check_effect(real, given, an_insight())).checks

    assert (check.name, check.verdict) == (CheckName.BEHAVIOUR, CheckVerdict.FAILED)


async def test_behaviour_that_cannot_be_shown_is_said(real: Sandbox, tmp_path: Path) -> None:
    old = "import socket\ndef fetch(host):\n    return socket.create_connection((host, 80)).recv(9)\n"
    given = versions(tmp_path, old, old.replace("80)", "80), timeout=3"), "def test_nothing():\n    pass\n")

    found = await check_effect(real, given, an_insight())

    assert found.needs_approval == ()
    assert "behaviour not shown" in found.unshown[0]


async def test_error_without_a_reproducer_needs_a_person(real: Sandbox, tmp_path: Path) -> None:
    insight = an_insight(insight_type=InsightType.ERROR_PATTERN, error_type=None)

    found = await check_effect(real, versions(tmp_path, SLOW, FAST, TESTS), insight)

    assert [check.verdict for check in found.checks] == [CheckVerdict.SKIPPED]
    assert found.needs_approval == ("no reproducer could be built: telemetry names no error type or no function",)


async def test_faults_are_not_found_without_tests_or_comparison(real: Sandbox, tmp_path: Path) -> None:
    given = versions(tmp_path, SLOW, FAST, "def test_nothing():\n    pass\n")

    found = await mutants(real, given, compared=None, budget_s=0)

    assert found.outcome.verdict is CheckVerdict.SKIPPED
    assert (found.killed, found.total) == (0, 2)
    assert "too weak" in (found.outcome.remedy or "")
    assert len(found.survivors) == 2


async def test_faults_are_found_by_tests_alone(real: Sandbox, tmp_path: Path) -> None:
    old = "def half(n):\n    return n / 2\n"
    new = "def half(n):\n    return n * 0.5\n"
    tests = "from shop.rules import half\ndef test_half():\n    assert half(6) == 3\n"

    found = await mutants(real, versions(tmp_path, old, new, tests), compared=None)

    assert found.outcome.verdict is CheckVerdict.PASSED
    assert found.killed == found.total


async def test_patch_without_a_line_for_faults_is_not_judged(tmp_path: Path) -> None:
    found = await mutants(FakeSandbox(), versions(tmp_path, "x = 1\n", "x = 1\n\n"), compared=None)

    assert (found.outcome.verdict, found.total) == (CheckVerdict.SKIPPED, 0)


async def test_slower_patch_is_refused(real: Sandbox, tmp_path: Path) -> None:
    given = versions(tmp_path, FAST, SLOW, TESTS)
    calls = await record_calls(
        real, tree=given.base_tree, functions=given.functions, test_command=given.test_command, python=given.python
    )

    outcome = await micro_benchmark(real, given, calls=calls)

    assert outcome.verdict is CheckVerdict.FAILED, outcome
    assert "slower than before" in (outcome.remedy or "")


async def test_same_text_twice_is_not_slower(real: Sandbox, tmp_path: Path) -> None:
    given = versions(tmp_path, FAST, FAST.replace("index", "known"), TESTS)

    outcome = await micro_benchmark(real, given, calls=None)

    assert outcome.verdict is CheckVerdict.PASSED, outcome


async def test_function_that_only_raises_is_not_measured(real: Sandbox, tmp_path: Path) -> None:
    old = "def connect(name: str) -> str:\n    raise OSError(name)\n"

    outcome = await micro_benchmark(real, versions(tmp_path, old, old.replace("(name)", "(name, 1)")), calls=None)

    assert outcome.verdict is CheckVerdict.SKIPPED


async def test_waiting_is_said_and_not_waited_for(real: Sandbox, tmp_path: Path) -> None:
    old = (
        "import time\ndef fetch(names: list[str]) -> int:\n    time.sleep(7)\n"
        "    return sum(len(name) for name in names for _ in range(3000))\n"
    )

    outcome = await micro_benchmark(real, versions(tmp_path, old, old.replace("(7)", "(1)")), calls=None)

    assert outcome.verdict is CheckVerdict.PASSED, outcome
    assert any("sleeps" in finding for finding in outcome.findings)


def rounds(*ratios: float, old_ns: float = 1e6) -> list[list[float]]:
    return [[old_ns, 0.0, old_ns * ratio, 0.0] for ratio in ratios]


@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [
        pytest.param(0.9, 0.01, CheckVerdict.PASSED, id="faster"),
        pytest.param(1.4, 0.01, CheckVerdict.PASSED, id="slower where it is small, faster where it is large"),
        pytest.param(2.4, 1.0, CheckVerdict.FAILED, id="slower and never faster"),
        pytest.param(0.5, 2.3, CheckVerdict.FAILED, id="slower where it is large"),
        pytest.param(0.5, 1.3, CheckVerdict.SKIPPED, id="a little slower where it is large"),
        pytest.param(1.05, 1.05, CheckVerdict.PASSED, id="within what chance does"),
    ],
)
def test_ratio_decides(small: float, large: float, verdict: CheckVerdict) -> None:
    ratios = [ratio_of(FUNCTION, size, rounds(*[ratio] * 9)) for size, ratio in ((1, small), (100, large))]

    outcome = judge([each for each in ratios if each is not None])

    assert outcome.verdict is verdict


def test_slower_by_chance_is_not_slower() -> None:
    ratio = ratio_of(FUNCTION, 1, rounds(0.8, 1.6, 0.9, 1.5, 1.0, 1.4, 0.7, 1.3, 1.2))

    assert ratio is not None
    assert ratio.low < 1.1 < ratio.high
    assert judge([ratio]).verdict is CheckVerdict.PASSED


def test_times_too_short_say_nothing() -> None:
    assert ratio_of(FUNCTION, 1, rounds(*[2.0] * 9, old_ns=100)) is None
    assert ratio_of(FUNCTION, 1, []) is None
    assert judge([]).verdict is CheckVerdict.SKIPPED


async def test_suite_that_is_not_pytest_records_nothing(tmp_path: Path) -> None:
    calls = await record_calls(
        FakeSandbox(), tree=tmp_path, functions=[FUNCTION], test_command=("make", "test"), python="python"
    )

    assert calls.problem is not None
    assert calls.calls == ()


async def test_every_kind_of_function_is_recorded(real: Sandbox, tmp_path: Path) -> None:
    text = (
        "class Basket:\n    def __init__(self, lines):\n        self.lines = lines\n"
        "    @property\n    def size(self):\n        'Size.'\n        return len(self.lines)\n"
        "    @size.setter\n    def size(self, count):\n        self.lines = self.lines[:count]\n"
        "    @classmethod\n    def make(cls, count, *, unit=1):\n        return cls([unit] * count)\n"
        "    async def get(self, place):\n        return self.lines[place]\n"
        "    def each(self):\n        yield from self.lines\n"
        "def joined(*parts, **options):\n    return (parts, options)\n"
    )
    tests = (
        "import asyncio\nfrom shop.rules import Basket, joined\n\n"
        "def test_all():\n    basket = Basket.make(3, unit=2)\n"
        "    basket.size = 2\n    assert basket.size == 2\n    assert asyncio.run(basket.get(0)) == 2\n"
        "    assert list(basket.each()) == [2, 2]\n    joined(1, 2, a=3)\n    joined(lambda: 1)\n"
    )
    names = {
        "Basket.__init__": "method",
        "Basket.make": "classmethod",
        "Basket.get": "method",
        "Basket.each": "method",
        "joined": "function",
    }
    functions = [FunctionRef(PATH, name, kind) for name, kind in names.items()]  # type: ignore[arg-type]
    functions += [FunctionRef(PATH, "Basket.size", "property"), FunctionRef(PATH, "Basket.size", "setter")]
    given = versions(tmp_path, text, text, tests)

    calls: RecordedCalls = await record_calls(
        real, tree=given.base_tree, functions=functions, test_command=given.test_command, python=given.python
    )

    assert calls.problem is None
    assert [len(calls.of(each)) for each in functions] == [1] * 7
    assert calls.skipped == {f"{PATH}:joined": 1}
    assert calls.modules == {PATH: "shop.rules"}


async def test_repeated_comparison_finds_the_same(real: Sandbox, tmp_path: Path) -> None:
    given = versions(tmp_path, SLOW, SLOW.replace("return seen", "return seen[:7]"))

    first, second = [await differences(real, given, calls=None) for _ in range(2)]

    assert first.outcome == second.outcome
