"""`./run bench cycle`: a cycle on the example application under load, split by phase, with memory and dropped requests.

One run that ends kept and one that ends rolled back, on the real server, as `./run demo` does them.
"""

import sys
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.machine import describe
from selfbuild.embedded.demo import Demo, load_statistics, stack_for
from selfbuild.embedded.stack import REPOSITORY_ROOT, Stack, new_api_key
from selfbuild.embedded.tell import Teller
from selfbuild.leave import leave

WAITING = {"generating", "waiting", "monitoring"}
"""Phases that depend on a model or on the length of the monitoring window."""


def peak_memory_mb(pid: int) -> float:
    """Largest resident set of a process so far, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no VmHWM")


def measure(*, bad_patch: bool) -> dict[str, Any]:
    """Run one cycle; its report, what the clients saw, and the memory of the processes."""
    key = new_api_key()
    state = REPOSITORY_ROOT / ".selfbuild" / "bench"
    with stack_for(state, key, bad_patch=bad_patch) as stack:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=stack.api_url, headers=headers, timeout=30) as client:
            demo = Demo(stack, Teller(sys.stderr), client)
            demo.wait_for_traffic()
            cycle = demo.follow(demo.start_cycle())
        return {"cycle": cycle, "load": load_statistics(stack), "memory_mb": _memory(stack)}


def _memory(stack: Stack) -> dict[str, float]:
    return {child.name: peak_memory_mb(child.process.pid) for child in stack.children.started}


def rows(measured: dict[str, Any]) -> list[tuple[str, str]]:
    """The table of one run."""
    cycle, load = measured["cycle"], measured["load"]
    phases = cycle["phase_seconds"]
    found = [("outcome", cycle["outcome"]), ("cycle, all of it", f"{cycle['execution_time_seconds']:.1f} s")]
    found += [(f"  {name}", f"{phases[name]:.2f} s") for name in ("collecting", "analyzing")]
    own_s = phases["collecting"] + phases["analyzing"]
    for each in cycle["improvements"]:
        component = each["affected_components"][0]
        for name, seconds in each["phase_seconds"].items():
            found.append((f"  {component}: {name}", f"{seconds:.2f} s"))
        own_s += sum(seconds for name, seconds in each["phase_seconds"].items() if name not in WAITING)
    found.append(("without generation and monitoring", f"{own_s:.1f} s"))
    found += [(f"peak memory of {name}", f"{mb:.0f} MB") for name, mb in measured["memory_mb"].items()]
    found.append(("dropped requests", f"{load['dropped']} of {load['sent']}"))
    return found


def main() -> int:
    """Print both tables."""
    for title, bad_patch in (("kept", False), ("rolled back", True)):
        measured = measure(bad_patch=bad_patch)
        print(f"\n{title}: {describe()}")
        for name, value in rows(measured):
            print(f"| {name} | {value} |")
    return 0


if __name__ == "__main__":
    leave(main())
