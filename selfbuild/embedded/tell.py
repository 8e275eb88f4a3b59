"""How the demonstration talks to a person: plain lines with the seconds since the start."""

import time
from collections.abc import Sequence
from typing import Any, TextIO


class Teller:
    """Writes lines for a person."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()

    def line(self, text: str) -> None:
        """One line with its time."""
        self._stream.write(f"{time.monotonic() - self._began:6.1f} s    {text}\n")
        self._stream.flush()

    def step(self, text: str) -> None:
        """The headline of a part."""
        self.line(f"== {text}")

    def plain(self, text: str = "") -> None:
        """Text without a time."""
        self._stream.write(f"{text}\n")

    def report(self, cycle: dict[str, Any], *, api_url: str) -> None:
        """What was wrong, what was changed, what the judge saw, how it ended."""
        self.plain()
        self.plain(f"CYCLE {cycle['cycle_id']}: {cycle['status']}, outcome {cycle['outcome']}")
        phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cycle["phase_seconds"].items())
        self.plain(f"  phases: {phases}")
        cost = cycle["cost"]
        tokens = cost["llm_input_tokens"] + cost["llm_output_tokens"]
        self.plain(
            f"  cost: {cost['cloudwatch_api_calls']} CloudWatch calls to collect, about "
            f"${cost['cloudwatch_cost_usd']:.6f}; {tokens} tokens, ${cost['llm_cost_usd']:.4f}"
        )
        self.plain(f"  Temporal UI: {cycle['links'].get('workflow', 'not known')}")
        self.plain(f"  status: {api_url}{cycle['links']['self']}")
        for note in cycle["notes"]:
            self.plain(f"  note: {note}")
        for improvement, opportunity in zip(cycle["improvements"], cycle["opportunities"], strict=False):
            self._improvement(improvement, opportunity)

    def _improvement(self, improvement: dict[str, Any], opportunity: dict[str, Any]) -> None:
        self.plain()
        self.plain(f"IMPROVEMENT {improvement['improvement_id']}: {improvement['status']}")
        self.plain(f"  what was wrong: {opportunity['insight']['description']}")
        if improvement["location"]:
            self.plain(f"  where: {improvement['location']}")
        factors = ", ".join(f"{name} {value:.3g}" for name, value in opportunity["factors"].items())
        self.plain(f"  impact {opportunity['impact_score']:.2f} = {factors}")
        for attempt in improvement["attempts"]:
            self.plain(f"  attempt: {attempt}")
        for line in improvement["diff"].splitlines():
            self.plain(f"    {line}")
        marks = {"passed": "+", "failed": "x", "skipped": "-"}
        checks = "  ".join(f"{marks[check['verdict']]}{check['name']}" for check in improvement["checks"])
        if checks:
            self.plain(f"  gate: {checks}  (quality {improvement['quality_score'] or 0:.2f})")
        self._trial(improvement)
        self.plain(f"  {improvement['status']}: {improvement['reason']}")

    def _trial(self, improvement: dict[str, Any]) -> None:
        release, rollback, judgement = (improvement[name] for name in ("release", "rollback", "judgement"))
        if release is not None:
            self.plain(f"  release: {release['sha'][:12]} on {release['canary_share']:.0%} of the workers")
        if judgement is not None:
            self.plain(f"  judge: {judgement['verdict']} - {judgement['reason']}")
            if judgement["goal"] is not None:
                self._goal(judgement["goal"])
        if rollback is not None:
            revert = (rollback["revert_sha"] or "none needed")[:12]
            self.plain(f"  rolled back: revert {revert}, serving {rollback['serving_sha'][:12]}")

    def _goal(self, goal: dict[str, Any]) -> None:
        self.plain(f"  goal: {goal['outcome']} - {goal['reason']}")
        for name in sorted({*goal["before"], *goal["after"]}):
            before, after = goal["before"].get(name), goal["after"].get(name)
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
