"""Who calls whom, and incidents that several components share because something that all of them call broke."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from selfbuild.domain.base import Value
from selfbuild.domain.telemetry import CallEdge

MIN_SHARED = 2
"""Components that must degrade together before a shared dependency is thought of."""
MIN_CALLER_SHARE = 0.75
"""Share of the observed callers of a dependency that must have degraded for it to explain them: a caller may call it
too rarely to show anything."""
MIN_ALL_AT_ONCE = 3
"""Components without a known common callee that must all degrade at once before an unobserved cause is assumed."""


class CallGraph:
    """Directed graph of calls between components. A component that calls itself is not its own callee."""

    def __init__(self, edges: Iterable[CallEdge]) -> None:
        self._callees: dict[str, list[str]] = {}
        self._callers: dict[str, list[str]] = {}
        for caller, callee in sorted({(e.caller, e.callee) for e in edges if e.caller != e.callee}):
            self._callees.setdefault(caller, []).append(callee)
            self._callers.setdefault(callee, []).append(caller)

    @property
    def components(self) -> tuple[str, ...]:
        """All that calls or is called, by name."""
        return tuple(sorted({*self._callees, *self._callers}))

    def callees(self, component: str) -> tuple[str, ...]:
        """What the component calls directly, by name."""
        return tuple(self._callees.get(component, ()))

    def callers(self, component: str) -> tuple[str, ...]:
        """What calls the component directly, by name."""
        return tuple(self._callers.get(component, ()))

    def reachable(self, component: str) -> frozenset[str]:
        """All that the component calls directly or through others; itself only where calls run in a circle."""
        return self._closure(component, self._callees)

    def dependents(self, component: str) -> frozenset[str]:
        """All that calls the component directly or through others."""
        return self._closure(component, self._callers)

    def observed_callees(self, component: str, observed: frozenset[str]) -> tuple[str, ...]:
        """The nearest callees with telemetry: one without is looked through, since calls pass on through it."""
        found: set[str] = set()
        seen = {component}
        open_ = list(self.callees(component))
        while open_:
            callee = open_.pop()
            if callee in seen:
                continue
            seen.add(callee)
            if callee in observed:
                found.add(callee)
            else:
                open_.extend(self.callees(callee))
        return tuple(sorted(found))

    @staticmethod
    def _closure(component: str, neighbours: Mapping[str, Sequence[str]]) -> frozenset[str]:
        seen: set[str] = set()
        open_ = list(neighbours.get(component, ()))
        while open_:
            reached = open_.pop()
            if reached not in seen:
                seen.add(reached)
                open_.extend(neighbours.get(reached, ()))
        return frozenset(seen)


def spread_blame(target: str, shares: Mapping[str, Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Blame that arrives at each component and blame that stays with it, from 1 at the target.

    Args:
        target: A key of `shares`.
        shares: Component -> callee -> part of the blame that moves there; each component's parts are at most 1
            together, every callee is a key. Calls may run in circles.
    """
    names = sorted(shares)
    place = {name: n for n, name in enumerate(names)}
    moves = np.zeros((len(names), len(names)))
    for name, given in shares.items():
        for callee, share in given.items():
            moves[place[name], place[callee]] = share
    now = np.zeros(len(names))
    now[place[target]] = 1.0
    arrived, kept = np.zeros(len(names)), np.zeros(len(names))
    stays = 1.0 - moves.sum(axis=1)
    for _ in range(2 * len(names)):
        arrived += now
        kept += now * stays
        now = now @ moves
    kept += now
    return dict(zip(names, arrived.tolist(), strict=True)), dict(zip(names, kept.tolist(), strict=True))


def strongest_paths(target: str, shares: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, ...]]:
    """The path along which most blame moves, for each component that any reaches."""
    best: dict[str, tuple[float, tuple[str, ...]]] = {target: (1.0, (target,))}
    for _ in range(len(shares)):
        for name, (weight, path) in list(best.items()):
            for callee, share in sorted(shares[name].items()):
                known = best[callee][0] if callee in best else 0.0
                if callee not in path and weight * share > known:
                    best[callee] = (weight * share, (*path, callee))
    return {name: path for name, (_, path) in best.items()}


class Degraded(Value):
    """A component that got worse, and when."""

    component: str
    started: float
    """Start of the first bad period, seconds since the epoch."""


class SharedIncident(Value):
    """Components that degraded together because of something outside them: patching one of them would not help."""

    dependency: str | None
    """What all of them call; None where nothing that is known explains them."""
    components: tuple[str, ...]
    """Those it explains, by name."""
    started: float
    """When the first of them degraded, seconds since the epoch."""
    reason: str
    confidence: float


def find_shared_incidents(
    degraded: Iterable[Degraded],
    edges: Iterable[CallEdge],
    *,
    components: Iterable[str],
    owned: Iterable[str],
    period_s: int,
    released_at: Sequence[float] = (),
    tolerance_periods: int = 3,
) -> tuple[SharedIncident, ...]:
    """Incidents of several components that one dependency, or something unobserved, explains.

    A component that got worse only because a degraded component of the application itself is called by it is no
    shared incident: the cause lies in the application and `rank_causes` names it.

    Args:
        degraded: Every component that got worse; one start each, the earliest counts.
        edges: Calls between components, in any order.
        components: All components with telemetry in the window, degraded or not.
        owned: Components whose code belongs to the application and could be patched.
        period_s: Length of a period in seconds.
        released_at: When releases were first seen, seconds since the epoch: one of them near the start is the
            more likely cause, so nothing unobserved is assumed.
        tolerance_periods: Starts that lie no more than this many periods apart are one moment.

    Returns:
        By start, then by dependency. No component is in two of them. Empty for one degraded component, and for
        several without a common callee while another component stayed healthy.
    """
    graph = CallGraph(edges)
    first: dict[str, float] = {}
    for one in degraded:
        first[one.component] = min(one.started, first.get(one.component, one.started))
    found: list[SharedIncident] = []
    for group in _moments(first, tolerance_periods * period_s):
        scene = _Scene(graph, frozenset(components), frozenset(owned), first, group)
        found.extend(_by_dependency(scene))
        explained = {c for i in found for c in i.components}
        if not explained & set(group):
            found.extend(_by_all_at_once(scene, released_at, tolerance_periods * period_s))
    return tuple(sorted(found, key=lambda i: (i.started, i.dependency or "")))


class _Scene:
    """One moment at which components degraded."""

    def __init__(
        self,
        graph: CallGraph,
        components: frozenset[str],
        owned: frozenset[str],
        first: Mapping[str, float],
        group: Sequence[str],
    ) -> None:
        self.graph, self.components, self.owned, self.first = graph, components, owned, first
        self.group = frozenset(group)

    @property
    def origins(self) -> tuple[str, ...]:
        """Degraded components of the application that no other degraded one of it, called by them, explains."""
        mine = self.group & self.owned
        return tuple(sorted(c for c in mine if not (self.graph.reachable(c) - {c}) & mine))

    def started(self, components: Iterable[str]) -> float:
        return min(self.first[c] for c in components)


def _moments(first: Mapping[str, float], tolerance_s: float) -> list[list[str]]:
    """Groups of components whose starts lie within the tolerance of the group's first."""
    groups: list[list[str]] = []
    for component in sorted(first, key=lambda c: (first[c], c)):
        if groups and first[component] - first[groups[-1][0]] <= tolerance_s:
            groups[-1].append(component)
        else:
            groups.append([component])
    return groups


def _by_dependency(scene: _Scene) -> list[SharedIncident]:
    """Dependencies outside the application that explain two or more origins, the one that explains most first."""
    found: list[SharedIncident] = []
    left = set(scene.origins)
    while len(left) >= MIN_SHARED:
        best = max(
            (e for e in _explanations(scene, left)),
            key=lambda e: (len(e[1]), e[0] in scene.group, -_steps(scene, *e), e[0]),
            default=None,
        )
        if best is None:
            break
        dependency, explained = best
        found.append(_incident(scene, dependency, explained))
        left -= set(explained)
    return found


def _explanations(scene: _Scene, left: set[str]) -> list[tuple[str, tuple[str, ...]]]:
    explanations = []
    for dependency in scene.graph.components:
        if dependency in scene.owned:
            continue
        callers = scene.graph.dependents(dependency) & scene.components & scene.owned
        explained = tuple(sorted(callers & left))
        healthy_itself = dependency in scene.components and dependency not in scene.group
        degraded_callers = callers & scene.group
        if len(explained) < MIN_SHARED or healthy_itself:
            continue
        if dependency in scene.group or len(degraded_callers) >= MIN_CALLER_SHARE * len(callers):
            explanations.append((dependency, explained))
    return explanations


def _steps(scene: _Scene, dependency: str, explained: Sequence[str]) -> int:
    """How many of the explained do not call the dependency directly: the nearest common callee is the best."""
    return sum(c not in scene.graph.callers(dependency) for c in explained)


def _incident(scene: _Scene, dependency: str, explained: Sequence[str]) -> SharedIncident:
    above = {c for c in scene.group & scene.owned if set(explained) & scene.graph.reachable(c)}
    components = tuple(sorted({*explained, *above}))
    callers = scene.graph.dependents(dependency) & scene.components & scene.owned
    observed = dependency in scene.group
    degraded = len(callers & scene.group)
    state = "degraded at the same time" if observed else "is not measured itself"
    reason = (
        f"{_names(components)} degraded within one moment; {dependency} is called by all of them, is no code of this "
        f"application and {state}; {degraded} of its {len(callers)} observed callers degraded"
    )
    confidence = 0.95 if observed else 0.6 + 0.3 * degraded / (len(callers) + 1)
    return SharedIncident(
        dependency=dependency,
        components=components,
        started=scene.started(components),
        reason=reason,
        confidence=confidence,
    )


def _by_all_at_once(scene: _Scene, released_at: Sequence[float], tolerance_s: float) -> list[SharedIncident]:
    """Everything degraded, several parts of it independent of each other, and nothing was released."""
    mine = scene.components & scene.owned
    degraded = mine & scene.group
    independent = [
        pair
        for pair in combinations(scene.origins, 2)
        if pair[1] not in scene.graph.reachable(pair[0]) and pair[0] not in scene.graph.reachable(pair[1])
    ]
    started = scene.started(scene.group)
    released = any(-tolerance_s <= started - at <= 2 * tolerance_s for at in released_at)
    if degraded != mine or len(degraded) < MIN_ALL_AT_ONCE or not independent or released:
        return []
    components = tuple(sorted(degraded))
    reason = (
        f"all {len(components)} components of the application degraded within one moment although they do not all "
        f"depend on each other, and no release was first seen near it: something unobserved that they share"
    )
    return [
        SharedIncident(
            dependency=None,
            components=components,
            started=started,
            reason=reason,
            confidence=1 - 0.5 ** (len(scene.origins) - 0.5),
        )
    ]


def _names(components: Sequence[str]) -> str:
    return " and ".join([", ".join(components[:-1]), components[-1]]) if len(components) > 1 else components[0]
