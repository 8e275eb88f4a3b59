"""One service through the whole loop, unattended: traffic, cycle, traffic again, and what became of it."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2

from benchmarks.sick_apps.catalogue import SickApp
from benchmarks.sick_apps.measure import Seen, effect, more_errors, read_samples, seen
from benchmarks.sick_apps.result import Result, result_of
from benchmarks.sick_apps.stack import BASELINE_S, Serving, SickStack

SETTLE_S = 3
"""After a change of traffic or of release, before it is measured."""
AFTER_S = 14
"""How long the end state is measured."""
CYCLE_TIMEOUT_S = 420


@dataclass
class Run:
    """One service and the API that watches it."""

    stack: SickStack
    app: SickApp
    client: httpx2.Client

    def whole(self) -> tuple[Result, dict[str, Any]]:
        """Everything, about two minutes where something is deployed; the row and the cycle's own report."""
        with Serving(self.stack, self.app) as serving:
            load = serving.start_load()
            self._wait(serving, BASELINE_S + self.app.wait_s)
            began = time.time()
            cycle = self.follow(self.start_cycle())
            self._wait(serving, SETTLE_S + AFTER_S)
            ended = time.time()
            load.stop(grace_s=5)
            samples = read_samples(serving.samples)
        return self._result(cycle, samples, began=began, ended=ended), cycle

    def _result(
        self, cycle: dict[str, Any], samples: Sequence[Mapping[str, Any]], *, began: float, ended: float
    ) -> Result:
        """The row: a trial is measured by its two arms at the same time, what was not touched by time."""

        def stretch(start: float, end: float, release: str | None = None) -> Seen:
            component, gauge = self.app.component, self.app.gauge
            return seen(samples, start=start, end=end, component=component, gauge=gauge, release=release)

        first = min(sample["at"] for sample in samples)
        before = stretch(first + BASELINE_S + SETTLE_S, began)
        after = stretch(ended - AFTER_S, ended)
        measured = effect(before, after, symptom=self.app.symptom)
        trial = _first_trial(cycle)
        if trial is not None and not more_errors(before, after):
            start, end = _moment(trial["release"]["deployed_at"]) + SETTLE_S, _moment(trial["finished_at"])
            old = stretch(start, end, trial["release"]["baseline_sha"][:12])
            new = stretch(start, end, trial["release"]["sha"][:12])
            measured = effect(old, new, symptom=self.app.symptom)
        return result_of(self.app, cycle, before=before, after=after, effect=measured)

    def start_cycle(self) -> str:
        """Ask for a cycle as an agent would, over MCP."""
        arguments = {"tenant_id": self.app.name, "application": self.app.name}
        call = {"name": "trigger_improvement_cycle", "arguments": arguments}
        answer = self.client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        said = answer.json()
        if "error" in said:
            raise RuntimeError(f"trigger_improvement_cycle: {said['error']}")
        cycle_id: str = said["result"]["structuredContent"]["cycle_id"]
        return cycle_id

    def follow(self, cycle_id: str) -> dict[str, Any]:
        """Wait for the end of the cycle; its report, with each improvement in full."""
        deadline = time.monotonic() + CYCLE_TIMEOUT_S
        phase = ""
        while True:
            cycle = self._get(f"/v1/cycles/{cycle_id}")
            if cycle["phase"] != phase:
                phase = cycle["phase"]
                print(f"{self.app.name}: {phase}", file=sys.stderr, flush=True)
            late = time.monotonic() > deadline
            if cycle["finished_at"] is not None or late:
                listed = self._get(f"/v1/improvements?cycle_id={cycle_id}")["improvements"]
                names = sorted(each["improvement_id"] for each in listed)
                details = [self._get(f"/v1/improvements/{name}") for name in names]
                notes = [*cycle["notes"], *([f"not ended within {CYCLE_TIMEOUT_S} s"] if late else [])]
                return {**cycle, "improvements": details, "notes": notes}
            time.sleep(1)

    def _get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
        return said

    def _wait(self, serving: Serving, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in serving.children.started:
                if not child.running:
                    raise RuntimeError(f"{self.app.name}: {child.name} ended:\n{child.tail()}")
            time.sleep(0.5)


def _first_trial(cycle: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The improvement of the cycle that was put on trial first."""
    tried = [each for each in cycle["improvements"] if each["release"] and each["finished_at"]]
    return min(tried, key=lambda each: str(each["release"]["deployed_at"]), default=None)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
