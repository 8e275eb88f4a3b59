"""How far the loop came with one service: read from the API's report, with the clients' own measure beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.sick_apps.catalogue import INSIGHTS, SickApp
from benchmarks.sick_apps.measure import Effect, Seen

DEPLOYED = ("deployed", "no_effect")


@dataclass(frozen=True)
class Result:
    """One row."""

    app: str
    kind: str
    detected: str | None
    """Insight type that names the seeded component, if any."""
    rank: int | None
    """Its place among the opportunities, from 1."""
    opportunities: int
    recipe: str | None
    """What made the patch."""
    gated: bool
    deployed: bool
    verdict: str | None
    """The judge's."""
    goal: str | None
    kept: int
    """Improvements that serve in the end; of a healthy service none may."""
    touched: bool
    """Whether anything was deployed to it, if only for a trial."""
    stopped: str
    """Where and why the loop stopped; empty for one that reached its goal."""
    outcome: str
    """`improved`, `not improved`, `made worse`, `untouched` or `touched` (a healthy one)."""
    measured: str
    seconds: float
    before: Seen
    after: Seen
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the file of figures."""
        return {**asdict(self), "before": self.before._asdict(), "after": self.after._asdict()}


def result_of(app: SickApp, cycle: Mapping[str, Any], *, before: Seen, after: Seen, effect: Effect) -> Result:
    """Put the row together.

    Args:
        app: What was seeded.
        cycle: The cycle as the API tells it, with `improvements` in full detail.
        before: The clients' view while the bug showed.
        after: Their view once the cycle had ended.
        effect: The comparison of the two.
    """
    ranks = [n for n, each in enumerate(cycle["opportunities"], start=1) if _names_the_bug(app, each["insight"])]
    own = [each for each in cycle["improvements"] if _is_aimed(app, each)]
    best = max(own, key=_progress, default=None)
    kept = [each for each in cycle["improvements"] if each["status"] in DEPLOYED]
    touched = any(each["release"] for each in cycle["improvements"])
    judgement = (best or {}).get("judgement") or {}
    found = cycle["opportunities"][ranks[0] - 1]["insight"] if ranks else None
    return Result(
        app=app.name,
        kind=app.kind,
        detected=f"{found['insight_type']}: {found['description']}" if found else None,
        rank=ranks[0] if ranks else None,
        opportunities=len(cycle["opportunities"]),
        recipe=best["model"] if best and best["provider"] else None,
        gated=bool(best and _gated(best)),
        deployed=bool(best and best["release"]),
        verdict=best["verdict"] if best else None,
        goal=(judgement.get("goal") or {}).get("outcome"),
        kept=len(kept),
        touched=touched,
        stopped=_stopped(app, ranks, best, cycle),
        outcome=_outcome(app, kept, touched=touched, effect=effect),
        measured=effect.reason,
        seconds=round(cycle["execution_time_seconds"], 1),
        before=before,
        after=after,
        notes=tuple(cycle["notes"]),
    )


def _names_the_bug(app: SickApp, insight: Mapping[str, Any]) -> bool:
    return insight["component"] == app.component and insight["insight_type"] in INSIGHTS[app.symptom]


def _is_aimed(app: SickApp, improvement: Mapping[str, Any]) -> bool:
    return app.component in improvement["affected_components"] and improvement["insight_type"] in INSIGHTS[app.symptom]


def _progress(improvement: Mapping[str, Any]) -> tuple[bool, bool, bool, bool]:
    return (
        improvement["status"] in DEPLOYED,
        improvement["release"] is not None,
        _gated(improvement),
        improvement["provider"] is not None,
    )


def _gated(improvement: Mapping[str, Any]) -> bool:
    checks: Sequence[Mapping[str, Any]] = improvement["checks"]
    return (
        improvement["provider"] is not None
        and bool(checks)
        and improvement["quality_score"] is not None
        and all(check["verdict"] in ("passed", "skipped") for check in checks)
    )


def _stopped(app: SickApp, ranks: Sequence[int], best: Mapping[str, Any] | None, cycle: Mapping[str, Any]) -> str:
    """The step at which the loop stopped and its own words."""
    if app.healthy:
        return ""
    if cycle["status"] != "completed":
        return f"cycle {cycle['status']}: {'; '.join(cycle['notes'])}"
    if not ranks:
        others = [f"{o['insight']['component']} {o['insight']['insight_type']}" for o in cycle["opportunities"]]
        return f"not detected (found: {', '.join(others) or 'nothing'}; notes: {'; '.join(cycle['notes'])})"
    if best is None:
        return f"ranked {ranks[0]} of {len(cycle['opportunities'])}, not taken up"
    goal = ((best["judgement"] or {}).get("goal") or {}).get("outcome")
    if best["status"] == "deployed" and goal == "improved":
        return ""
    step = "no patch" if best["provider"] is None else "gate" if not _gated(best) else "release"
    if best["release"]:
        step = "judge" if best["status"] not in DEPLOYED else f"goal {goal}"
    reasons = [best["reason"], *best["attempts"], (best["judgement"] or {}).get("goal", {}) and _goal_reason(best)]
    return f"{step}: {' | '.join(dict.fromkeys(str(each) for each in reasons if each))}"


def _goal_reason(improvement: Mapping[str, Any]) -> str:
    goal = improvement["judgement"].get("goal") or {}
    return str(goal.get("reason", ""))


def _outcome(app: SickApp, kept: Sequence[object], *, touched: bool, effect: Effect) -> str:
    if effect.verdict == "worse" and touched:
        return "made worse"
    if app.healthy:
        return "touched" if touched else "untouched"
    return "improved" if kept and effect.verdict == "improved" else "not improved"
