"""What the clients of a service saw before and after a change: measured apart from the agent. Pure."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

MIN_REQUESTS = 40
"""Requests of a stretch below which nothing is said of it."""
BETTER_RATIO = 0.7
"""A latency or a growth below this share of what it was has improved."""
ERRORS_BETTER_RATIO = 0.5
WORSE_RATIO = 1.5
WORSE_MS = 25.0
"""A p95 is worse when it grew by both: two cores serve everything at once."""
WORSE_ERRORS = 0.02
WORSE_DEVIATIONS = 3.5
"""An error ratio is worse when it rose by `WORSE_ERRORS` and by so many standard deviations of the difference."""


class Seen(NamedTuple):
    """One stretch of time as the clients saw it."""

    requests: int
    errors: int
    dropped: int
    p50_ms: float | None
    p95_ms: float | None
    gauge: float | None
    """Median over the processes of the last level of each; of the declared gauge."""
    growth_per_s: float | None
    """Median over the processes of the gauge's rise, from its level a while after the start to its last."""

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.requests if self.requests else None


class Effect(NamedTuple):
    """What a change did, by the clients' own measure."""

    verdict: str
    """`improved`, `unchanged`, `worse`, or `unknown` with too little traffic to compare."""
    reason: str


def read_samples(path: Path) -> list[dict[str, Any]]:
    """What the load generator wrote; a last line cut short is left out."""
    lines = path.read_text().splitlines() if path.exists() else []
    samples = []
    for line in lines:
        try:
            samples.append(json.loads(line))
        except ValueError:
            continue
    return samples


def seen(
    samples: Iterable[Mapping[str, Any]],
    *,
    start: float,
    end: float,
    component: str,
    gauge: str | None,
    release: str | None = None,
) -> Seen:
    """The requests to `component` sent within the stretch, and the gauge; of one release where it is named."""
    within = [s for s in samples if start <= s["at"] < end and release in (None, s.get("release"))]
    own = [s for s in within if s.get("component") == component]
    latencies = sorted(s["latency_ms"] for s in own if s["status"] is not None)
    levels = _levels(within, gauge) if gauge else {}
    return Seen(
        requests=len(own),
        errors=sum(s["status"] is None or s["status"] >= 500 for s in own),
        dropped=sum(s["status"] is None for s in own),
        p50_ms=_quantile(latencies, 50),
        p95_ms=_quantile(latencies, 95),
        gauge=median(points[-1][1] for points in levels.values()) if levels else None,
        growth_per_s=_growth(levels),
    )


def _levels(samples: Iterable[Mapping[str, Any]], gauge: str) -> dict[int, list[tuple[float, float]]]:
    levels: dict[int, list[tuple[float, float]]] = {}
    for sample in samples:
        if sample.get("pid") and gauge in sample:
            levels.setdefault(sample["pid"], []).append((sample["at"], sample[gauge]))
    return levels


def _growth(levels: Mapping[int, Sequence[tuple[float, float]]]) -> float | None:
    slopes = [
        (points[-1][1] - points[len(points) // 2][1]) / (points[-1][0] - points[len(points) // 2][0])
        for points in levels.values()
        if len(points) >= 4 and points[-1][0] - points[len(points) // 2][0] >= 2
    ]
    return median(slopes) if slopes else None


def _quantile(ordered: Sequence[float], percent: int) -> float | None:
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def effect(before: Seen, after: Seen, *, symptom: str) -> Effect:
    """Compare the two stretches under the same kind of traffic."""
    if before.requests < MIN_REQUESTS or after.requests < MIN_REQUESTS:
        return Effect("unknown", f"{before.requests} requests before and {after.requests} after")
    worse = _worse(before, after)
    if worse is not None:
        return Effect("worse", worse)
    better, reason = _BETTER[symptom](before, after)
    return Effect("improved" if better else "unchanged", reason)


def more_errors(before: Seen, after: Seen) -> bool:
    """Whether more requests fail than chance explains."""
    if before.requests < MIN_REQUESTS or after.requests < MIN_REQUESTS:
        return False
    rise = (after.error_ratio or 0.0) - (before.error_ratio or 0.0)
    return rise > max(WORSE_ERRORS, WORSE_DEVIATIONS * _deviation(before, after))


def _worse(before: Seen, after: Seen) -> str | None:
    if more_errors(before, after):
        return f"{after.error_ratio or 0.0:.1%} of the requests fail, {before.error_ratio or 0.0:.1%} before"
    if before.p95_ms is None or after.p95_ms is None:
        return None
    if after.p95_ms > max(before.p95_ms * WORSE_RATIO, before.p95_ms + WORSE_MS):
        return f"p95 {after.p95_ms:.0f} ms, {before.p95_ms:.0f} ms before"
    return None


def _deviation(before: Seen, after: Seen) -> float:
    """Standard deviation of the difference of the error ratios if both stretches are alike."""
    common = (before.errors + after.errors) / (before.requests + after.requests)
    return math.sqrt(common * (1 - common) * (1 / before.requests + 1 / after.requests))


def _fewer_errors(before: Seen, after: Seen) -> tuple[bool, str]:
    was, now = before.error_ratio or 0.0, after.error_ratio or 0.0
    return was > 0 and now <= was * ERRORS_BETTER_RATIO, f"errors {was:.1%} -> {now:.1%}"


def _faster(before: Seen, after: Seen) -> tuple[bool, str]:
    if before.p95_ms is None or after.p95_ms is None:
        return False, "no latency"
    faster = after.p95_ms <= before.p95_ms * BETTER_RATIO
    return faster, f"p95 {before.p95_ms:.0f} -> {after.p95_ms:.0f} ms"


def _grows_less(before: Seen, after: Seen) -> tuple[bool, str]:
    if before.growth_per_s is None or after.growth_per_s is None:
        return False, "the gauge was not seen"
    less = before.growth_per_s > 0 and after.growth_per_s <= before.growth_per_s * ERRORS_BETTER_RATIO
    return less, f"grows {before.growth_per_s:.2f} -> {after.growth_per_s:.2f} a second"


def _nothing(before: Seen, after: Seen) -> tuple[bool, str]:
    return False, "nothing to improve"


_BETTER = {"errors": _fewer_errors, "latency": _faster, "growth": _grows_less, "none": _nothing}
