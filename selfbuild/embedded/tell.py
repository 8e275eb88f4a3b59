"""How the demonstration talks to a person: plain lines with the seconds since the start."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from selfbuild.domain.cycles import CycleReport, ImprovementReport
from selfbuild.domain.patches import CheckVerdict
from selfbuild.domain.releases import Goal


class Teller:
    """Writes to stdout."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def line(self, text: str) -> None:
        """One line with its time."""
        sys.stdout.write(f"{time.monotonic() - self._began:6.1f} s    {text}\n")
        sys.stdout.flush()

    def step(self, text: str) -> None:
        """The headline of a part."""
        self.line(f"== {text}")

    def plain(self, text: str = "") -> None:
        """Text without a time."""
        sys.stdout.write(f"{text}\n")

    def report(self, report: CycleReport, *, ui_url: str, api_url: str) -> None:
        """What was wrong, what was changed, what the judge saw, how it ended."""
        self.plain()
        self.plain(f"CYCLE {report.cycle_id}: {report.status}, outcome {report.outcome}")
        phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.phase_s.items())
        self.plain(f"  phases: {phases}")
        usage = report.usage
        self.plain(
            f"  cost: {report.aws_api_calls} AWS calls to collect, about ${report.aws_cost_usd:.6f}; "
            f"{usage.input_tokens + usage.output_tokens} tokens, ${usage.cost_usd:.4f}"
        )
        self.plain(f"  Temporal UI: {ui_url}/namespaces/selfbuild/workflows/{report.workflow_id.replace('/', '%2F')}")
        self.plain(f"  status: {api_url}/v1/cycles/{report.cycle_id}")
        for note in report.notes:
            self.plain(f"  note: {note}")
        for improvement in report.improvements:
            self._improvement(improvement)

    def _improvement(self, report: ImprovementReport) -> None:
        insight = report.opportunity.insight
        self.plain()
        self.plain(f"IMPROVEMENT {report.improvement_id}: {report.status}")
        self.plain(f"  what was wrong: {insight.description}")
        if insight.location is not None:
            self.plain(f"  where: {insight.location} in {insight.location.function or '?'}()")
        factors = ", ".join(f"{name} {value:.3g}" for name, value in report.opportunity.factors.items())
        self.plain(f"  impact {report.opportunity.impact_score:.2f} = {factors}")
        for attempt in report.attempts:
            self.plain(f"  attempt: {attempt}")
        for line in report.diff.splitlines():
            self.plain(f"    {line}")
        marks = {CheckVerdict.PASSED: "+", CheckVerdict.FAILED: "x", CheckVerdict.SKIPPED: "-"}
        checks = "  ".join(f"{marks[check.verdict]}{check.name}" for check in report.checks)
        if checks:
            self.plain(f"  gate: {checks}  (quality {report.quality_score or 0:.2f})")
        if report.judgement is not None:
            self.plain(f"  judge: {report.judgement.verdict} - {report.judgement.reason}")
            if report.judgement.goal is not None:
                self._goal(report.judgement.goal)
        if report.release is not None:
            self.plain(f"  release: {report.release.sha[:12]} on {report.release.canary_share:.0%} of the workers")
        if report.rollback is not None:
            revert = (report.rollback.revert_sha or "none needed")[:12]
            self.plain(f"  rolled back: revert {revert}, serving {report.rollback.serving_sha[:12]}")
        self.plain(f"  {report.status}: {report.reason}")

    def _goal(self, goal: Goal) -> None:
        self.plain(f"  goal: {goal.outcome} - {goal.reason}")
        for name in sorted({*goal.before, *goal.after}):
            before, after = goal.before.get(name), goal.after.get(name)
            self.plain(f"    {name:<14} before {_number(before):>10}   after {_number(after):>10}")

    def traffic(self, statistics: dict[str, Any]) -> None:
        """What the clients saw in the last ten seconds, and whether any request was dropped."""
        self.plain()
        self.plain("TRAFFIC as the clients saw it in the last ten seconds")
        for name, each in sorted(statistics.get("recent", {}).get("by_component", {}).items()):
            self.plain(f"  {name:<8} p95 {_number(each['p95_ms'])} ms, errors {each['http_errors']} of {each['sent']}")
        self.plain(f"  dropped requests over the whole run: {statistics.get('dropped')} of {statistics.get('sent')}")

    def commits(self, lines: Sequence[str]) -> None:
        """The application's history."""
        self.plain()
        self.plain("COMMITS of the application's repository, newest first")
        for line in lines:
            self.plain(f"  {line}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
