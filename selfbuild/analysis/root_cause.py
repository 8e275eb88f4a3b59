"""Names the component in which a degradation arises, by following what callees add to each request of the target.

Pure. Everything rests on numbers and on who calls whom; the names of components mean nothing here.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfbuild.analysis.call_graph import CallGraph, spread_blame, strongest_paths
from selfbuild.domain.base import Value
from selfbuild.domain.telemetry import CallEdge, FloatArray, Measure, Series

BoolArray = NDArray[np.bool_]

QUIET_SHARE = 0.25
"""A period in which the target shows at most this share of its worst rise counts as quiet."""
MIN_CONTRAST = 0.5
"""Share of the rise over the history that must also be seen within the window before its quiet periods are
preferred to the history: they are nearer in time, so that a level that moved since does no harm."""
CLEAR_DEVIATIONS = 5.0
"""A rise within the window of so many healthy spreads is enough as well, whatever the history says."""
SURE_DEVIATIONS = 4.0
"""Standard deviations by which the worst periods of the window must stand out before the rest counts as quiet."""
MAX_CUTS = 120
"""Places at which a longer window may be cut into worst periods and the rest."""
MIN_SAMPLES_FOR_SPREAD = 12
"""Healthy samples from which their own spread is used; below it the floor alone stands."""
SPREAD_FLOOR = 0.05
"""Smallest relative spread of a mean latency that is believed."""
NOISE_DEVIATIONS = 2.0
"""Standard deviations taken off what a callee seems to add: what noise alone can do explains nothing."""
COVERAGE_POWER = 0.5
"""Blame moves on by this power of the share explained: waiting for a slow callee also blocks the caller's workers,
so that a cause explains less than all of what it sets off."""


class Symptom(StrEnum):
    """What the target shows."""

    LATENCY = "latency"
    ERRORS = "errors"


class ComponentGrid(NamedTuple):
    """Latency, requests and errors of all components over common periods.

    Arrays are `[components, periods]`, NaN where there was no sample.
    """

    components: tuple[str, ...]
    latency_ms: FloatArray
    """Mean latency of the requests of the period."""
    requests: FloatArray
    """Requests in the period. NaN throughout where they are not counted: one request is then assumed each."""
    error_ratio: FloatArray
    """Failed share of the requests, 0-1."""
    healthy: BoolArray
    """[periods]: history in which the target was well. May be all False."""
    window: BoolArray
    """[periods]: the incident, with or without quiet periods before or after it."""

    def row(self, component: str) -> int:
        """Place of a component. Raises ValueError where it has no telemetry."""
        return self.components.index(component)


class Cause(Value):
    """A component and how much of the degradation of the target arises in it."""

    component: str
    score: float
    """0-1; the scores of all components together are at most 1."""
    path: tuple[str, ...]
    """From the target to the component, along the calls that explain most."""
    reason: str
    added: float
    """What the component added to each request of the target: milliseconds, or errors per request."""
    level_before: float | None
    """Of the component's own requests, quiet: milliseconds or share of errors. None: it was not called before."""
    level_during: float | None
    """None: nothing was measured during the incident."""


def grid_of(series: Iterable[Series], *, window_start: float, window_end: float) -> ComponentGrid:
    """Lays the series of a window on one grid; `[.., window_start)` is taken for healthy.

    Args:
        series: Of one period length. Mean latency is preferred, then the median, then the 95th percentile.
        window_start: Seconds since the epoch.
        window_end: Seconds since the epoch, excluded.

    Raises:
        ValueError: series of different periods, or none.
    """
    every = sorted(series, key=lambda s: (s.component, s.measure))
    periods = {s.period_s for s in every}
    if len(periods) != 1:
        raise ValueError(f"series of one period length are needed, not of {sorted(periods)}")
    period_s = periods.pop()
    first = min(s.start for s in every)
    count = round((max(float(s.starts[-1]) for s in every) - first) / period_s) + 1
    components = tuple(sorted({s.component for s in every}))
    planes = {m: np.full((len(components), count), np.nan) for m in Measure}
    for one in every:
        place = round((one.start - first) / period_s)
        planes[one.measure][components.index(one.component), place : place + len(one.values)] = one.values.array
    latency = planes[Measure.LATENCY_MEAN]
    for measure in (Measure.LATENCY_P50, Measure.LATENCY_P95):
        unmeasured = ~np.isfinite(latency).any(axis=1)
        latency[unmeasured] = planes[measure][unmeasured]
    requests = planes[Measure.REQUESTS]
    with np.errstate(divide="ignore", invalid="ignore"):
        error_ratio = np.where(requests > 0, np.clip(planes[Measure.ERRORS] / requests, 0, 1), np.nan)
    starts = first + np.arange(count) * float(period_s)
    return ComponentGrid(
        components=components,
        latency_ms=latency,
        requests=requests,
        error_ratio=error_ratio,
        healthy=starts < window_start,
        window=(starts >= window_start) & (starts < window_end),
    )


def rank_causes(grid: ComponentGrid, edges: Iterable[CallEdge], *, target: str, symptom: Symptom) -> tuple[Cause, ...]:
    """The components in which the degradation of the target may arise, most likely first.

    Each component is credited with what it added to one request of the target: its own rise times its requests,
    over the requests of the target. Blame starts at the target and moves to callees by the share of the rise they
    explain; what they do not explain stays. A callee that was never called while all was well explains nothing:
    whoever began to call it changed.

    Args:
        grid: Telemetry; the history and the quiet periods of the window may lack, but not both.
        edges: Who calls whom; a component without telemetry is looked through.
        target: Where the degradation was seen.
        symptom: What was seen there.

    Returns:
        The target and all it reaches, scores falling, then by name. Empty where the target shows no rise or has
        no telemetry.
    """
    if target not in grid.components:
        return ()
    scene = _scene(grid, target, symptom)
    if scene is None:
        return ()
    graph = CallGraph(edges)
    names = sorted({target, *(graph.reachable(target) & set(grid.components))})
    changes = {name: _change(scene, grid.row(name), grid) for name in names}
    changes = _supported(changes, graph)
    shares = {name: _shares(name, changes, graph) for name in names}
    arriving, kept = spread_blame(target, shares)
    paths = strongest_paths(target, shares)
    causes = [
        _cause(name, kept[name], paths[name], changes, symptom, explained=sum(shares[name].values()))
        for name in names
        if arriving[name] > 0 or name == target
    ]
    return tuple(sorted(causes, key=lambda c: (-c.score, c.component)))


class _Scene(NamedTuple):
    """The symptom's levels, and how strongly the target shows it in each period."""

    levels: FloatArray
    counts: FloatArray
    target_counts: FloatArray
    affected: BoolArray
    """[periods]: those of the window in which the target was worst."""
    quiet: BoolArray
    """[periods]: the nearest periods in which the target was well."""
    symptom: Symptom


class _Change(NamedTuple):
    """What a component added to each request of the target, and how much of it is certain."""

    added: float
    before: float | None
    during: float | None
    sure: float
    """What is left of `added` when all that noise could have done is taken off."""


def _scene(grid: ComponentGrid, target: str, symptom: Symptom) -> _Scene | None:
    levels = grid.latency_ms if symptom is Symptom.LATENCY else grid.error_ratio
    row = grid.row(target)
    counted = np.isfinite(grid.requests).any(axis=1, keepdims=True)
    counts = np.where(counted, np.nan_to_num(grid.requests), np.isfinite(levels).astype(np.float64))
    present = np.isfinite(levels[row]) & (counts[row] > 0)
    window, healthy = grid.window & present, grid.healthy & present
    if not window.any():
        return None
    affected, quiet = _reference(levels[row], counts[row], window, healthy, symptom)
    if not quiet.any():
        return None
    base = _usual(levels[row][quiet], counts[row][quiet], symptom)
    if float(np.average(levels[row][affected], weights=counts[row][affected])) <= base:
        return None
    return _Scene(levels, counts, counts[row], affected, quiet, symptom)


def _reference(
    level: FloatArray, count: FloatArray, window: BoolArray, healthy: BoolArray, symptom: Symptom
) -> tuple[BoolArray, BoolArray]:
    """The periods in which the target was worst, and those to compare them with: of the window, else the history."""
    affected = np.zeros(len(window), dtype=bool)
    affected[np.flatnonzero(window)[worst_segment(level[window], count[window])]] = True
    quiet = _well(level, affected, window & ~affected)
    if not healthy.any():
        return affected, quiet
    inner = _rise(level, count, affected, quiet, healthy, symptom)
    outer = _rise(level, count, affected, healthy, healthy, symptom)
    clear = inner.size > CLEAR_DEVIATIONS * inner.noise
    stands_out = inner.size > SURE_DEVIATIONS * inner.noise
    if outer.size <= 0 or (stands_out and (clear or inner.size >= MIN_CONTRAST * outer.size)):
        return affected, quiet
    return (affected if inner.size >= (1 - QUIET_SHARE) * outer.size else window), healthy


def _well(level: FloatArray, affected: BoolArray, others: BoolArray) -> BoolArray:
    """The other periods of the window, without those in which the target was half as bad already."""
    if not others.any():
        return others
    low = float(np.quantile(level[others], QUIET_SHARE))
    return np.asarray(others & (level <= low + QUIET_SHARE * max(0.0, float(level[affected].mean()) - low)))


class _Rise(NamedTuple):
    size: float
    noise: float


def _rise(
    level: FloatArray, count: FloatArray, during: BoolArray, quiet: BoolArray, healthy: BoolArray, symptom: Symptom
) -> _Rise:
    """How much higher the level was during the incident; nothing without quiet periods."""
    if not quiet.any():
        return _Rise(0.0, math.inf)
    before = _usual(level[quiet], count[quiet], symptom)
    size = float(np.average(level[during], weights=count[during])) - before
    spread = _spread(level[healthy], before, symptom)
    return _Rise(size, _noise(before, spread, count[during], count[quiet], symptom))


def worst_segment(levels: FloatArray, counts: FloatArray) -> slice:
    """The run of periods that stands out most against the rest, its mean above theirs.

    Args:
        levels: Finite, one a period.
        counts: Requests behind each level, positive.

    Returns:
        Places in `levels`. All of them where no run is higher than the rest, and for one period.
    """
    n = len(levels)
    ends = np.unique(np.linspace(0, n, min(n, MAX_CUTS) + 1).round().astype(int))
    weight = np.concatenate([[0.0], np.cumsum(counts)])[ends]
    total = np.concatenate([[0.0], np.cumsum(counts * levels)])[ends]
    inside = weight[None, :] - weight[:, None]
    summed = total[None, :] - total[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = summed / inside - (total[-1] - summed) / (weight[-1] - inside)
        score = contrast * np.sqrt(inside * (weight[-1] - inside) / weight[-1])
    score[~((inside > 0) & (inside < weight[-1]))] = 0.0
    first, last = np.unravel_index(int(np.argmax(score)), score.shape)
    return slice(0, n) if score[first, last] <= 0 else slice(int(ends[first]), int(ends[last]))


def _change(scene: _Scene, row: int, grid: ComponentGrid) -> _Change:
    """The component's rise during the incident against the nearest quiet periods, else against the history."""
    level, count = scene.levels[row], scene.counts[row]
    present = np.isfinite(level) & (count > 0) & (scene.target_counts > 0)
    affected = present & scene.affected
    quiet = present & scene.quiet
    if not quiet.any():
        quiet = present & grid.healthy
    if not affected.any() or not quiet.any():
        during = float(np.average(level[affected], weights=count[affected])) if affected.any() else None
        return _Change(0.0, None, during, 0.0)
    before = _usual(level[quiet], count[quiet], scene.symptom)
    per_request = count[affected] / scene.target_counts[affected]
    silent = scene.affected & (scene.target_counts > 0) & ~((count > 0) & ~np.isfinite(level))
    # Periods in which the component was not called added nothing; those in which it was not measured say nothing.
    periods = int(silent.sum())
    added = float(((level[affected] - before) * per_request).sum()) / periods
    spread = _spread(level[present & grid.healthy], before, scene.symptom)
    noise = _noise(before, spread, count[affected], count[quiet], scene.symptom)
    during = float(np.average(level[affected], weights=count[affected]))
    sure = max(0.0, added - NOISE_DEVIATIONS * noise * float(per_request.sum()) / periods)
    return _Change(added, before, during, sure)


def _usual(levels: FloatArray, counts: FloatArray, symptom: Symptom) -> float:
    if symptom is Symptom.ERRORS:
        return float(np.average(levels, weights=counts))
    return float(np.median(levels))


def _spread(healthy: FloatArray, before: float, symptom: Symptom) -> float | None:
    """Spread of single healthy samples, in the unit of the level; None where too few say it."""
    if len(healthy) < MIN_SAMPLES_FOR_SPREAD:
        return None
    if symptom is Symptom.ERRORS:
        return float(np.std(healthy))
    logs = np.log(np.maximum(healthy, 1e-9))
    return before * float(np.median(np.abs(logs - np.median(logs)))) * 1.4826


def _noise(before: float, spread: float | None, during: FloatArray, quiet: FloatArray, symptom: Symptom) -> float:
    """Standard deviation of the difference of the two levels.

    Means of few requests scatter: a latency by about itself over the root of the requests, a share of errors like
    a binomial share. The healthy scatter of single periods comes on top where it is larger.
    """
    if symptom is Symptom.ERRORS:
        n = float(during.sum() + quiet.sum())
        share = min(0.5, (before * n + 0.5) / (n + 1))
        single = math.sqrt(share * (1 - share))
    else:
        single = before
    counting = single * math.sqrt(1 / float(during.sum()) + 1 / float(quiet.sum()))
    per_period = max(spread or 0.0, SPREAD_FLOOR * before if symptom is Symptom.LATENCY else 0.0)
    wandering = per_period * math.sqrt(1 / len(during) + 1 / len(quiet))
    return max(counting, wandering)


def _supported(changes: dict[str, _Change], graph: CallGraph) -> dict[str, _Change]:
    """A rise that could be noise is believed as far as a callee's certain rise accounts for it."""
    certain = {name: change.sure for name, change in changes.items()}
    for _ in range(len(changes)):
        raised = dict(certain)
        for name, change in changes.items():
            below = graph.observed_callees(name, frozenset(changes))
            most = max((certain[c] for c in below if c != name), default=0.0)
            raised[name] = max(certain[name], min(change.added, most))
        if raised == certain:
            break
        certain = raised
    return {name: change._replace(sure=certain[name]) for name, change in changes.items()}


def _shares(name: str, changes: dict[str, _Change], graph: CallGraph) -> dict[str, float]:
    """Which part of the blame of a component moves to each of its callees; together at most 1."""
    own = changes[name].added
    callees = [c for c in graph.observed_callees(name, frozenset(changes)) if c != name]
    if own <= 0:
        return {}
    covered = {c: min(1.0, changes[c].sure / own) ** COVERAGE_POWER for c in callees if changes[c].sure > 0}
    total = sum(covered.values())
    return {c: share / max(1.0, total) for c, share in covered.items()}


def _cause(
    name: str,
    score: float,
    path: tuple[str, ...],
    changes: dict[str, _Change],
    symptom: Symptom,
    *,
    explained: float,
) -> Cause:
    change, target = changes[name], changes[path[0]]
    unit = "ms" if symptom is Symptom.LATENCY else "errors"
    scale = 1.0 if symptom is Symptom.LATENCY else 1000.0
    per = "request" if symptom is Symptom.LATENCY else "1,000 requests"
    share = change.added / target.added if target.added > 0 else 0.0
    reason = (
        f"adds {change.added * scale:.3g} {unit} to each {per} of {path[0]}, {share:.0%} of its rise of "
        f"{target.added * scale:.3g}; its own callees explain {explained:.0%} of that"
    )
    if change.before is not None and change.during is not None:
        reason += f"; {_level(change.before, symptom)} before, {_level(change.during, symptom)} during"
    return Cause(
        component=name,
        score=score,
        path=path,
        reason=reason,
        added=change.added,
        level_before=change.before,
        level_during=change.during,
    )


def _level(value: float, symptom: Symptom) -> str:
    return f"{value:.3g} ms" if symptom is Symptom.LATENCY else f"{value:.2%} errors"
