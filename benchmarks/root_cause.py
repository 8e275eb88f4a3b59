"""How often the component that broke is named first: on PetShop, and on generated call graphs with injected faults."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import ROOT, describe
from selfbuild.analysis.call_graph import CallGraph
from selfbuild.analysis.root_cause import ComponentGrid, Symptom, rank_causes
from selfbuild.domain.telemetry import CallEdge, FloatArray

PETSHOP = (
    Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "telemetry/petshop/low_traffic"
)
INCIDENTS = 400
SEED = 7

Ranking = list[str]
Ranker = Callable[["Incident"], Ranking]


class Incident(NamedTuple):
    """A degradation of which the cause is known."""

    grid: ComponentGrid
    edges: tuple[CallEdge, ...]
    target: str
    symptom: Symptom
    cause: str
    kind: str


def by_blame(incident: Incident) -> Ranking:
    """The ranking under test."""
    causes = rank_causes(incident.grid, incident.edges, target=incident.target, symptom=incident.symptom)
    return [c.component for c in causes]


def by_depth(incident: Incident) -> Ranking:
    """For comparison: the deepest callees whose robust z against the history exceeds 5, by z."""
    scores = _z_scores(incident)
    graph = CallGraph(incident.edges)
    anomalous = {c for c, z in scores.items() if z > 5}
    reached, open_ = {incident.target}, [incident.target]
    while open_:
        for callee in set(graph.callees(open_.pop())) & anomalous - reached:
            reached.add(callee)
            open_.append(callee)
    deepest = {c for c in reached if not set(graph.callees(c)) & anomalous}
    return sorted(reached, key=lambda c: (c not in deepest, -scores.get(c, 0.0), c))


def by_change(incident: Incident) -> Ranking:
    """For comparison: all components by their robust z, without the graph."""
    scores = _z_scores(incident)
    return sorted(scores, key=lambda c: (-scores[c], c))


def _z_scores(incident: Incident) -> dict[str, float]:
    grid = incident.grid
    levels = np.log(np.maximum(grid.latency_ms, 1e-3)) if incident.symptom is Symptom.LATENCY else grid.error_ratio
    scores = {}
    for row, name in enumerate(grid.components):
        healthy, window = levels[row][grid.healthy], levels[row][grid.window]
        healthy, window = healthy[np.isfinite(healthy)], window[np.isfinite(window)]
        if len(healthy) and len(window):
            usual = np.median(healthy)
            spread = max(1.4826 * float(np.median(np.abs(healthy - usual))), 0.01)
            scores[name] = float((window.max() - usual) / spread)
    return scores


# PetShop: X-Ray statistics of a real application, five-minute periods.


def _columns(path: Path) -> tuple[dict[tuple[str, str, str], FloatArray], int]:
    """(component, metric, statistic) -> samples; three header rows, then the empty row of the index's name."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    table = np.array([[float(x) if x else np.nan for x in row] for row in rows[4:]])
    keys = zip(*(row[1:] for row in rows[:3]), strict=True)
    return {(c, m, s): table[:, n + 1] for n, (c, m, s) in enumerate(keys)}, len(table)


def petshop() -> Iterator[Incident]:
    """The 26 issues, each with the two healthy days as its history."""
    with (PETSHOP / "graph.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    edges = tuple(
        CallEdge(caller=row[0], callee=rows[0][n])
        for row in rows[1:]
        for n, called in enumerate(row[1:], start=1)
        if float(called)
    )
    healthy, healthy_periods = _columns(PETSHOP / "noissue" / "metrics.csv")
    for folder in sorted(PETSHOP.glob("t*/issue_*")):
        truth = json.loads((folder / "target.json").read_text())
        issue, periods = _columns(folder / "metrics.csv")
        names = tuple(sorted({key[0] for key in (*healthy, *issue)}))
        planes = []
        for metric, statistic in (("latency", "Average"), ("requests", "Sum"), ("availability", "Average")):
            plane = np.full((len(names), healthy_periods + periods), np.nan)
            for row, name in enumerate(names):
                key = (name, metric, statistic)
                plane[row, :healthy_periods] = healthy.get(key, np.nan)
                plane[row, healthy_periods:] = issue.get(key, np.nan)
            planes.append(plane)
        past = np.arange(healthy_periods + periods) < healthy_periods
        metric = truth["target"]["metric"]
        yield Incident(
            grid=ComponentGrid(names, planes[0] * 1000, planes[1], 1 - planes[2] / 100, past, ~past),
            edges=edges,
            target=truth["target"]["node"],
            symptom=Symptom.LATENCY if metric == "latency" else Symptom.ERRORS,
            cause=truth["root_cause"]["node"],
            kind=metric,
        )


def without_history(incident: Incident) -> Incident:
    """Only the window itself is known."""
    old = incident.grid
    periods = int(old.window.sum())
    grid = ComponentGrid(
        components=old.components,
        latency_ms=old.latency_ms[:, old.window],
        requests=old.requests[:, old.window],
        error_ratio=old.error_ratio[:, old.window],
        healthy=np.zeros(periods, dtype=bool),
        window=np.ones(periods, dtype=bool),
    )
    return incident._replace(grid=grid)


def with_moved_history(incident: Incident, factors: FloatArray) -> Incident:
    """The history had other latencies: each component's times a factor."""
    latency = incident.grid.latency_ms.copy()
    latency[:, incident.grid.healthy] *= factors[:, None]
    return incident._replace(grid=incident.grid._replace(latency_ms=latency))


def with_gaps(incident: Incident, missing: FloatArray) -> Incident:
    """Samples of others than the target are absent where `missing` is above 0.8, a fifth of them."""
    gone = missing > 0.8
    gone[incident.grid.components.index(incident.target)] = False
    planes = [np.where(gone, np.nan, p) for p in incident.grid[1:4]]
    return incident._replace(grid=incident.grid._replace(latency_ms=planes[0], error_ratio=planes[2]))


# Generated call graphs.


class World(NamedTuple):
    """A call graph with what each component does in every period. Arrays `[components, periods]`."""

    calls: FloatArray
    """[caller, callee]: calls per request; callers come before their callees."""
    waits: FloatArray
    """[caller, callee]: 1 where the caller waits for the answer."""
    own_ms: FloatArray
    external: FloatArray
    """Requests from outside."""


def _world(rng: np.random.Generator, periods: int) -> World:
    count = int(rng.integers(8, 41))
    calls = np.zeros((count, count))
    for callee in range(1, count):
        callers = rng.choice(callee, size=min(callee, 1 + int(rng.random() < 0.3)), replace=False)
        twin = rng.random() < 0.2
        calls[callers, callee] = 1.0 if twin else rng.choice([0.2, 0.5, 1.0, 1.0, 2.0, 4.0])
    waits = (rng.random(calls.shape) < 0.92).astype(float)
    hours = np.arange(periods) / 288 * 2 * np.pi
    traffic = 10 ** rng.uniform(1.3, 4) * (1 + 0.3 * np.sin(hours + rng.uniform(0, 6)))
    external = np.zeros((count, periods))
    external[0] = rng.poisson(traffic)
    for other in rng.choice(np.arange(1, count), size=count // 8, replace=False):
        external[other] = rng.poisson(traffic * rng.uniform(0.05, 0.5))
    wander = np.zeros((count, periods))
    for period in range(1, periods):
        wander[:, period] = 0.8 * wander[:, period - 1] + rng.normal(0, 0.04, count)
    own_ms = 10 ** rng.uniform(0, 2, (count, 1)) * np.exp(wander)
    return World(calls, waits, own_ms, external)


class Fault(NamedTuple):
    place: int
    kind: str
    strength: FloatArray
    """[periods]: added milliseconds, or failing share."""
    queueing: float
    """Share of an added millisecond that every waiting caller adds on top."""
    passes: float
    """Share of a callee's errors that fail its caller."""
    retries: float
    """Share of failed calls that are made once more."""


def _simulate(world: World, fault: Fault, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean latency, requests and error ratio as they would be measured."""
    count, periods = world.own_ms.shape
    latency, added = world.own_ms.copy(), np.zeros((count, periods))
    errors = np.full((count, periods), 1e-4)
    if fault.kind == "errors":
        errors[fault.place] += fault.strength
    else:
        added[fault.place] += fault.strength
    if fault.kind == "saturated":
        for callee in np.flatnonzero(world.calls[fault.place]):
            if np.count_nonzero(world.calls[:, callee]) == 1:
                added[callee] += 0.3 * world.own_ms[callee] * (fault.strength > 0)
    for caller in reversed(range(count)):
        for callee in np.flatnonzero(world.calls[caller]):
            rate, waits = world.calls[caller, callee], world.waits[caller, callee]
            latency[caller] += rate * waits * latency[callee]
            added[caller] += rate * waits * added[callee] * (1 + fault.queueing)
            failing = errors[callee] * (1 - fault.retries * (1 - errors[callee]))
            errors[caller] += min(rate, 1.0) * waits * fault.passes * failing
    errors = np.minimum(errors, 1.0)
    requests = world.external.copy()
    for caller in range(count):
        for callee in np.flatnonzero(world.calls[caller]):
            again = 1 + fault.retries * errors[callee]
            requests[callee] += rng.poisson(requests[caller] * world.calls[caller, callee] * again)
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = (latency + added) * (1 + rng.normal(size=latency.shape) / np.sqrt(requests))
        ratio = rng.binomial(requests.astype(int), errors) / requests
    silent = requests == 0
    return np.where(silent, np.nan, np.abs(measured)), requests, np.where(silent, np.nan, ratio)


def _reaching(world: World) -> FloatArray:
    """Requests of each component that one request of the entry waits for."""
    reach = np.zeros(len(world.calls))
    reach[0] = 1.0
    for caller in range(len(world.calls)):
        reach += reach[caller] * world.calls[caller] * world.waits[caller]
    return reach


def _fault(world: World, begins: int, rng: np.random.Generator) -> Fault:
    reach = _reaching(world)
    places = np.flatnonzero(reach >= 0.05)
    place = int(rng.choice(places)) if rng.random() < 0.95 else 0
    kind = str(rng.choice(["latency", "latency", "saturated", "errors", "errors"]))
    shape = np.zeros(world.own_ms.shape[1])
    shape[begins:] = np.clip(rng.normal(1, 0.2, len(shape) - begins), 0.4, None)
    usual = float(np.median((reach[:, None] * world.own_ms).sum(axis=0)))
    if kind == "errors":
        strength = shape * min(0.9, rng.uniform(0.03, 0.3) / min(1.0, float(reach[place])))
    else:
        strength = shape * usual * 10 ** rng.uniform(-0.7, 0.5) / float(reach[place])
    return Fault(
        place=place,
        kind=kind,
        strength=np.minimum(strength, 1.0) if kind == "errors" else strength,
        queueing=float(rng.choice([0, 0, 0.3])),
        passes=float(rng.uniform(0.6, 1)),
        retries=float(rng.choice([0, 0, 0.5])),
    )


def generated(count: int, seed: int) -> Iterator[Incident]:
    """Incidents in random call graphs: gaps, histories that lack or moved, unmeasured components, retries."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        past, window = 200, int(rng.integers(6, 25))
        begins = past + int(rng.integers(0, window // 2 + 1))
        world = _world(rng, past + window)
        fault = _fault(world, begins, rng)
        latency, requests, ratio = _simulate(world, fault, rng)
        names = np.array([f"c{n:02}" for n in rng.permutation(len(latency))])
        missing = rng.random(latency.shape) < 0.05
        latency[missing], ratio[missing] = np.nan, np.nan
        observed = (rng.random(len(names)) > 0.1) | np.isin(np.arange(len(names)), [0, fault.place])
        edges = tuple(CallEdge(caller=names[a], callee=names[b]) for a, b in np.argwhere(world.calls > 0))
        is_past = np.arange(past + window) < past
        grid = ComponentGrid(
            tuple(names[observed].tolist()), latency[observed], requests[observed], ratio[observed], is_past, ~is_past
        )
        incident = Incident(
            grid,
            edges,
            target=str(names[0]),
            symptom=Symptom.ERRORS if fault.kind == "errors" else Symptom.LATENCY,
            cause=str(names[fault.place]),
            kind=fault.kind,
        )
        fate = rng.random()
        if fate < 0.2 and begins > past + 1:
            incident = without_history(incident)
        elif fate > 0.8:
            incident = with_moved_history(incident, np.exp(rng.normal(0, 0.1, len(grid.components))))
        yield incident


def recalls(incidents: list[Incident], rank: Ranker) -> tuple[float, float]:
    """Share of incidents whose cause is ranked first, and among the first three."""
    places = []
    for incident in incidents:
        ranking = rank(incident)
        places.append(ranking.index(incident.cause) if incident.cause in ranking else len(ranking) + 3)
    return float(np.mean([p < 1 for p in places])), float(np.mean([p < 3 for p in places]))


def _table(title: str, incidents: list[Incident], rank: Ranker = by_blame) -> None:
    for kind in sorted({i.kind for i in incidents}):
        chosen = [i for i in incidents if i.kind == kind]
        first, three = recalls(chosen, rank)
        print(f"{title:44} {kind:13} {len(chosen):4}   {first:.2f}   {three:.2f}")


def main() -> None:
    print(describe())
    print(f"{'':44} {'kind':13} {'n':>4}  rec@1  rec@3")
    if PETSHOP.is_dir():
        rng = np.random.default_rng(SEED)
        issues = list(petshop())
        size = (len(issues[0].grid.components), issues[0].grid.requests.shape[1])
        _table("PetShop", issues)
        _table("PetShop, no history", [without_history(i) for i in issues])
        for factor in (1 / 3, 3.0):
            moved = [with_moved_history(i, np.full(len(i.grid.components), factor)) for i in issues]
            _table(f"PetShop, history x {factor:.2f}", moved)
        sizes = [len(i.grid.components) for i in issues]
        _table(
            "PetShop, history x lognormal(0.5) each",
            [with_moved_history(i, np.exp(rng.normal(0, 0.5, n))) for i, n in zip(issues, sizes, strict=True)],
        )
        _table(
            "PetShop, a fifth of samples missing",
            [with_gaps(i, rng.random((n, size[1]))) for i, n in zip(issues, sizes, strict=True)],
        )
        _table("PetShop, comparison: deepest anomalous", issues, by_depth)
        _table("PetShop, comparison: largest change", issues, by_change)
    else:
        print(f"PetShop skipped: {PETSHOP} is absent")
    incidents = list(generated(INCIDENTS, SEED))
    _table("generated", incidents)
    _table("generated, comparison: deepest anomalous", incidents, by_depth)
    _table("generated, comparison: largest change", incidents, by_change)


if __name__ == "__main__":
    main()
