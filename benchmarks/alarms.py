"""`./run bench alarms`: how long from bad telemetry and from its alarm to a running cycle, and what a storm makes.

Everything is real: alarms of ten seconds on the local AWS, EventBridge, SQS, the Temporal development server, and the
worker as a process of its own. Each repetition is an application and an alarm of its own, at another point of the
alarm's period.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import describe
from selfbuild.leave import leave
from selfbuild.log import configure
from tests.e2e.alarm_rig import ALARM_PERIOD_S, AlarmRig, alarm_rig

REPETITIONS = 20
STORM = 50
PAUSE_S = 1.7
"""Between repetitions; no divisor of the alarm's period, so that all its points are met."""
BOUND_S = 60
SETTLE_S = 15
"""After the storm's last alarm: more than a period of metrics, so that a second cycle would have shown."""


async def repetition(rig: AlarmRig, tenant: str) -> tuple[float, float]:
    """Seconds from the alarm, and from the first bad datapoint, to the start of the cycle's workflow."""
    bad_at = rig.fail(tenant)
    deadline = time.monotonic() + BOUND_S
    while (cycle := await rig.cycle(tenant)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no cycle of {tenant} within {BOUND_S} s: {rig.stack.child('worker').tail()}")
        await asyncio.sleep(0.2)
    alarm_at = rig.alarm_at(f"{tenant}-errors")
    if alarm_at is None:
        raise ValueError(f"the alarm of {tenant} is over before it was read")
    started_at = cycle.started_at.timestamp()
    return started_at - alarm_at.timestamp(), started_at - bad_at


async def latencies(rig: AlarmRig, tenants: list[str]) -> list[tuple[float, float]]:
    """All repetitions, each begun a little after the one before."""
    running = []
    for tenant in tenants:
        running.append(asyncio.create_task(repetition(rig, tenant)))
        await asyncio.sleep(PAUSE_S)
    return await asyncio.gather(*running)


async def storm(rig: AlarmRig, tenant: str) -> dict[str, int]:
    """What fifty alarms of one application make."""
    rig.fail(tenant)
    deadline = time.monotonic() + BOUND_S
    while await rig.cycle(tenant) is None or (await rig.gate(tenant)).received < STORM:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the storm was not received within {BOUND_S} s")
        await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLE_S)
    gate = await rig.gate(tenant)
    return {
        "alarms received": gate.received,
        "cycles started": len(gate.cycles),
        "joined the running cycle": gate.joined,
        "held (the cycle had ended)": gate.held,
        "duplicates": gate.duplicates,
        "messages left in the queue": rig.messages(),
    }


def main() -> int:
    """Print both tables."""
    configure("WARNING", "console")
    tenants = [f"t{number:02}" for number in range(REPETITIONS)]
    with tempfile.TemporaryDirectory() as folder, alarm_rig(Path(folder) / "rig", [*tenants, "storm"]) as rig:
        for tenant in tenants:
            rig.watch(tenant, f"{tenant}-errors")
        found = asyncio.run(latencies(rig, tenants))
        for number in range(STORM):
            rig.watch("storm", f"storm-{number}", threshold=0.5 + number / 100)
        stormy = asyncio.run(storm(rig, "storm"))
    print(f"{describe()}\n\n{REPETITIONS} alarms of {ALARM_PERIOD_S} s, seconds to the start of the cycle's workflow:")
    print("| from | median | worst |\n|---|---|---|")
    for name, column in (("the alarm's change of state", 0), ("the first bad datapoint", 1)):
        values = [row[column] for row in found]
        print(f"| {name} | {median(values):.2f} | {max(values):.2f} |")
    print(f"\nstorm of {STORM} alarms of one application:")
    for name, value in stormy.items():
        print(f"| {name} | {value} |")
    return 0 if stormy["cycles started"] == 1 else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    leave(main())
