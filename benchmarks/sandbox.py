"""What isolation costs: the time until a command in the sandbox has ended, beside the same command without.

    python -m benchmarks.sandbox [--runs 30]

All kinds take turns within each round, so that a busy machine slows all of them; the ratio is of the same run.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from selfbuild.adapters.sandbox import NoSandbox, UnsafeLocalSandbox, find_sandbox
from selfbuild.ports import Sandbox, SandboxLimits

COMMANDS = {"true": ["true"], "python": [sys.executable, "-I", "-S", "-c", "pass"]}
FILES = 20
"""Files of the tree that is copied, as a small application has."""


async def measure(sandboxes: dict[str, Sandbox], runs: int, tree: Path) -> dict[tuple[str, str], list[float]]:
    """Milliseconds by level and command."""
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            await asyncio.to_thread(subprocess.run, command, check=True, stdin=subprocess.DEVNULL)
            found.setdefault(("plain", name), []).append((time.perf_counter() - started) * 1000)
            for level, sandbox in sandboxes.items():
                started = time.perf_counter()
                result = await sandbox.run(command, tree=tree, limits=SandboxLimits())
                found.setdefault((level, name), []).append((time.perf_counter() - started) * 1000)
                assert result.exit_code == 0, result
    return {kind: times[1:] for kind, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    sandboxes: dict[str, Sandbox] = {}
    for level in ("bubblewrap", "landlock"):
        sandbox = find_sandbox(level)
        if isinstance(sandbox, NoSandbox):
            print(f"{level}: not on this machine")
        else:
            sandboxes[level] = sandbox
    sandboxes["unsafe-local"] = UnsafeLocalSandbox()
    with tempfile.TemporaryDirectory(prefix="selfbuild-benchmark-") as folder:
        for number in range(FILES):
            (Path(folder) / f"module{number}.py").write_text("x = 1\n" * 200)
        found = asyncio.run(measure(sandboxes, runs, Path(folder)))
    print(describe())
    print(f"median of {runs} runs, milliseconds; a tree of {FILES} files")
    print(f"{'level':14}{'command':9}{'median':>8}{'p90':>8}{'least':>8}{'more than plain':>17}{'ratio':>7}")
    for (level, name), times in sorted(found.items(), key=lambda each: (each[0][1], each[0][0] != "plain", each[0][0])):
        median, plain = statistics.median(times), statistics.median(found["plain", name])
        p90 = statistics.quantiles(times, n=10)[8]
        row = f"{level:14}{name:9}{median:8.1f}{p90:8.1f}{min(times):8.1f}{median - plain:17.1f}{median / plain:7.1f}"
        print(row)


if __name__ == "__main__":
    main()
