"""How long the whole gate takes on a 20-file application, for a faster function and for a repaired error.

Run as `python -m benchmarks.gate [--runs 3]`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from selfbuild.adapters.gate import GateRunner
from selfbuild.adapters.gate.workspace import list_tree, read_sources
from selfbuild.adapters.sandbox import find_sandbox
from selfbuild.domain.applications import Application, ProcessTarget, RepositoryConfig, TelemetryConfig
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.patches import CheckName, Edit, GateReport, Patch
from selfbuild.gate import guard
from selfbuild.ports import Sandbox, SandboxLimits
from tests.fakes.values import an_insight

FILES = 20
STARTS = 30
GUARDS = 100
MODULE = '''"""Part {n} of a shop."""

from collections.abc import Mapping, Sequence

LIMIT = {n}


def cheapest(prices: Sequence[int]) -> int:
    """The lowest price, at least LIMIT."""
    return max(LIMIT, min(prices, default=LIMIT))


def labels(names: Sequence[str]) -> list[str]:
    """Names without repetition, in order."""
    found: list[str] = []
    for name in names:
        if name not in found:
            found.append(name)
    return found


def total(lines: Sequence[Mapping[str, int]]) -> int:
    """What all lines cost."""
    cost = 0
    for line in lines:
        cost += line["qty"] * line["price"]
    return cost
'''
TESTS = """from shop.part_{n} import cheapest, labels, total


def test_cheapest():
    assert cheapest([50, 70]) == 50
    assert cheapest([]) == {n}


def test_labels():
    assert labels(["b", "a", "b"]) == ["b", "a"]


def test_total():
    assert total([{{"qty": 2, "price": 3}}, {{"qty": 1, "price": 4}}]) == 10
"""
FASTER = Patch(
    summary="Test membership on a dictionary's keys",
    edits=(
        Edit(
            path="shop/part_7.py",
            search="""    found: list[str] = []
    for name in names:
        if name not in found:
            found.append(name)
    return found
""",
            replace="    return list(dict.fromkeys(names))\n",
        ),
    ),
)
REPAIRED = Patch(
    summary="A line without a quantity counts once",
    edits=(Edit(path="shop/part_7.py", search='line["qty"]', replace='line.get("qty", 1)'),),
)


def main() -> None:
    """Print one line a patch: median and extremes of the whole gate, then of each check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(measure(parser.parse_args().runs))


async def measure(runs: int) -> None:
    """Fresh bases each time, so that nothing but mypy's knowledge of the standard library is warm after the first."""
    print(describe())
    sandbox = find_sandbox()
    gate = GateRunner(sandbox)
    error = an_insight(
        insight_type=InsightType.ERROR_PATTERN,
        error_type="KeyError",
        error_message="'qty'",
        location=CodeLocation(path="shop/part_7.py", line=27, function="total"),
    )
    slow = an_insight(insight_type=InsightType.PERFORMANCE_DEGRADATION)
    try:
        for name, patch, insight in (("faster", FASTER, slow), ("repaired", REPAIRED, error)):
            reports: list[tuple[float, GateReport]] = []
            for run in range(runs + 1):
                with tempfile.TemporaryDirectory() as folder:
                    tree = Path(folder)
                    write(tree, run)
                    reports.append(await timed(gate, tree, patch, insight))
            show(name, reports)
    finally:
        gate.close()
    await overheads(sandbox)


async def overheads(sandbox: Sandbox) -> None:
    """What each start of the sandbox and each run of the guard costs."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        write(tree, 0)
        starts = []
        for _ in range(STARTS):
            started = time.perf_counter()
            await sandbox.run(["/bin/true"], tree=tree, limits=SandboxLimits())
            starts.append((time.perf_counter() - started) * 1000)
        listing = list_tree(tree)
        old = read_sources(tree, ("shop/part_7.py",), listing)
        guards = []
        for _ in range(GUARDS):
            started = time.perf_counter()
            guard(FASTER, old, shown=tuple(old), target_symbols={}, regular_files=listing.files, links=listing.links)
            guards.append((time.perf_counter() - started) * 1000)
    print(f"\nsandbox: median of {STARTS} starts with a copy of the tree {statistics.median(starts):.0f} ms")
    print(f"guard: median of {GUARDS} {statistics.median(guards):.2f} ms")


def write(tree: Path, run: int) -> None:
    """The application; `run` makes its digest another one."""
    files = {
        "shop/__init__.py": f'"""Run {run}."""\n',
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
    }
    for n in range(FILES):
        files[f"shop/part_{n}.py"] = MODULE.format(n=n)
        files[f"tests/test_part_{n}.py"] = TESTS.format(n=n)
    for path, text in files.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)


async def timed(gate: GateRunner, tree: Path, patch: Patch, insight: Insight) -> tuple[float, GateReport]:
    """Seconds on the clock, and the report."""
    application = Application(
        tenant_id="acme",
        name="shop",
        repository=RepositoryConfig(
            url=str(tree), test_command=("python", "-m", "pytest", "-q"), python=sys.executable
        ),
        telemetry=TelemetryConfig(log_group="/shop"),
        release=ProcessTarget(control_url="http://127.0.0.1:1"),
    )
    started = time.perf_counter()
    report = await gate.validate(
        patch=patch,
        base_tree=tree,
        application=application,
        shown_files=("shop/part_7.py",),
        target_symbols={},
        quality_threshold=0.85,
        insight=insight,
    )
    return time.perf_counter() - started, report


def show(name: str, reports: list[tuple[float, GateReport]]) -> None:
    """The first run, whose caches are cold, apart from the others."""
    cold, warm = reports[0][0], [seconds for seconds, _ in reports[1:]]
    last = reports[-1][1]
    print(f"\n{name}: {last.verdict}, quality {last.quality_score:.2f}, {last.message}")
    print(f"  first run {cold:.1f} s; then median {statistics.median(warm):.1f} s ({min(warm):.1f} to {max(warm):.1f})")
    suite_ms = sum(check.duration_ms for check in last.checks if check.name == CheckName.TESTS)
    ratio = statistics.median(warm) * 1000 / max(suite_ms, 1)
    print(f"  {ratio:.1f} times the application's tests on base and patch, side by side ({suite_ms:.0f} ms)")
    for check in last.checks:
        if check.duration_ms >= 1:
            print(
                f"  {check.name:<12} {check.verdict:<8} {check.duration_ms:8.0f} ms  {'; '.join(check.findings)[:90]}"
            )


if __name__ == "__main__":
    main()
