"""Work that need not be done: look-ups that a cache should answer, calls made again and again. Pure."""

from enum import StrEnum

import numpy as np

from selfbuild.domain.base import Value
from selfbuild.domain.telemetry import FloatArray, Series

MIN_HIT_PERCENT = 50.0
"""A cache that answers less than half of its look-ups costs about as much as it saves."""
MIN_FALL_POINTS = 10.0
FALL_DEVIATIONS = 4.0
"""A hit ratio has fallen when it lost ten points and four of its own usual spreads."""
MIN_LOOKUPS = 1_000
"""Look-ups in the window below which a low ratio is no matter, where they are counted."""
MIN_WINDOW_SAMPLES = 6
MIN_PAST_SAMPLES = 12
SUSTAINED_SHARE = 0.75
"""Share of the window's samples that must be low."""
MIN_PERIODS = 12
"""Periods with requests below which calls per request are not judged."""
MIN_CALLS_PER_REQUEST = 2.0
MIN_REQUESTS = 100
MIN_TRAFFIC_SPREAD = 0.05
"""Relative spread of the requests without which calls that come by the clock look like calls of requests."""
MIN_SHARE_BY_REQUESTS = 0.8
"""Share of the calls that must follow the requests rather than come anyway."""
STEADY_SPREAD = 0.1
"""Relative spread of the calls per request up to which they are the same for every request."""
MIN_EXPLAINED = 0.5
"""Share of the scatter of the calls that the requests must explain."""


class CacheProblem(StrEnum):
    """What is wrong with the hit ratio."""

    FELL = "fell"
    LOW = "low"


class CacheWaste(Value):
    """A cache that answers too little."""

    component: str
    metric: str
    problem: CacheProblem
    hit_percent: float
    """In the window, weighted by look-ups where they are counted."""
    usual_percent: float | None
    """Median before the window; None for too few samples."""
    wasted_calls: float | None
    """Look-ups in the window that the usual ratio (FELL), or half (LOW), would have answered. None: not counted."""
    confidence: float
    sentence: str


class Repetition(StrEnum):
    """How calls follow requests."""

    CONSTANT = "constant"
    """Each request makes the same number: the same call is made again."""
    VARYING = "varying"
    """The number differs from period to period: one call for each of many things (N + 1)."""


class RedundantCalls(Value):
    """One component calls another several times for each request."""

    component: str
    metric: str
    repetition: Repetition
    calls_per_request: float
    low: float
    high: float
    """Middle 80 % of the periods."""
    calls: float
    """In all periods compared."""
    avoidable_calls: float
    """Beyond one call a request."""
    confidence: float
    sentence: str


def find_cache_waste(ratio: Series, *, window_start: float, lookups: Series | None = None) -> CacheWaste | None:
    """A cache whose hit ratio is lower than its own past, or than half.

    Args:
        ratio: Per cent of look-ups answered, 0-100.
        window_start: Where the window begins, seconds since the epoch; before it lies the past.
        lookups: Look-ups of each period, on any grid with the same period length.

    Returns:
        None with fewer than six samples in the window, with fewer than a thousand look-ups in it, and for a ratio
        that is low in single periods only.
    """
    points = ratio.points()
    recent = {t: v for t, v in points.items() if t >= window_start}
    past = np.array([v for t, v in points.items() if t < window_start])
    if len(recent) < MIN_WINDOW_SAMPLES:
        return None
    weights = _weights(recent, lookups)
    if weights is not None and float(weights.sum()) < MIN_LOOKUPS:
        return None
    levels = np.array(list(recent.values()))
    hit = float(np.average(levels, weights=weights))
    usual = float(np.median(past)) if len(past) >= MIN_PAST_SAMPLES else None
    if usual is not None:
        spread = 1.4826 * float(np.median(np.abs(past - usual)))
        bound = usual - max(MIN_FALL_POINTS, FALL_DEVIATIONS * spread)
        if _low(levels, hit, bound):
            return _waste(ratio, CacheProblem.FELL, hit, usual, usual, weights, levels < bound)
    if _low(levels, hit, MIN_HIT_PERCENT):
        return _waste(ratio, CacheProblem.LOW, hit, usual, MIN_HIT_PERCENT, weights, levels < MIN_HIT_PERCENT)
    return None


def _weights(recent: dict[float, float], lookups: Series | None) -> FloatArray | None:
    """Look-ups of the periods; zero where a period was not counted, None where none was."""
    if lookups is None:
        return None
    counted = lookups.points()
    weights = np.array([counted.get(t, 0.0) for t in recent])
    return weights if weights.sum() > 0 else None


def _low(levels: FloatArray, hit: float, bound: float) -> bool:
    return hit < bound and float((levels < bound).mean()) >= SUSTAINED_SHARE


def _waste(
    ratio: Series,
    problem: CacheProblem,
    hit: float,
    usual: float | None,
    reference: float,
    weights: FloatArray | None,
    low: np.ndarray,
) -> CacheWaste:
    lookups = None if weights is None else float(weights.sum())
    wasted = None if lookups is None else lookups * (reference - hit) / 100
    against = (
        f"{usual:.0f} % before" if problem is CacheProblem.FELL else f"{MIN_HIT_PERCENT:.0f} % expected of any cache"
    )
    text = f"{ratio.component}: the cache answered {hit:.0f} % of its look-ups, against {against}"
    if lookups is not None and wasted is not None:
        text += f"; {wasted:,.0f} of {lookups:,.0f} look-ups went to the source that need not have"
    else:
        text += f"; {reference - hit:.0f} of 100 look-ups went to the source that need not have"
    n = len(low)
    return CacheWaste(
        component=ratio.component,
        metric=ratio.metric,
        problem=problem,
        hit_percent=hit,
        usual_percent=usual,
        wasted_calls=wasted,
        confidence=float(low.sum() + 1) / (n + 2) * (1.0 if lookups is not None else 0.9),
        sentence=text,
    )


def find_redundant_calls(requests: Series, calls: Series) -> RedundantCalls | None:
    """Calls that a component makes several times for each of its requests.

    Args:
        requests: Requests of the component.
        calls: Its calls to one other component or resource, same period length; a period absent in one is left out.

    Returns:
        None where calls come less than twice a request, where most of them do not follow the requests (jobs by the
        clock, health checks), and where the traffic is too little or too even to tell.
    """
    x, y = _common(requests, calls)
    if len(x) < MIN_PERIODS or x.sum() < MIN_REQUESTS or x.std() < MIN_TRAFFIC_SPREAD * x.mean():
        return None
    slope = _slope(x, y)
    if slope is None or slope < MIN_CALLS_PER_REQUEST or slope * x.sum() < MIN_SHARE_BY_REQUESTS * y.sum():
        return None
    per_request = y / x
    ratio = float(y.sum() / x.sum())
    low, high = (float(q) for q in np.quantile(per_request, [0.1, 0.9]))
    kind = _repetition(x, per_request, ratio)
    how = "the same number each time" if kind is Repetition.CONSTANT else "differing with what is asked for"
    avoidable = float(y.sum() - x.sum())
    return RedundantCalls(
        component=requests.component,
        metric=calls.metric,
        repetition=kind,
        calls_per_request=ratio,
        low=low,
        high=high,
        calls=float(y.sum()),
        avoidable_calls=avoidable,
        confidence=min(0.95, _explained(x, y) * len(x) / (len(x) + 2)),
        sentence=(
            f"{requests.component}: {ratio:.1f} calls a request ({low:.1f} to {high:.1f}, {how}) of "
            f"{calls.metric or calls.component}; with one a request, {avoidable:,.0f} of {y.sum():,.0f} calls "
            f"would not be made"
        ),
    )


def _common(requests: Series, calls: Series) -> tuple[FloatArray, FloatArray]:
    """Requests and calls of the periods in which both were counted and there were requests."""
    answered, made = requests.points(), calls.points()
    common = sorted(t for t in answered if t in made and answered[t] > 0)
    return np.array([answered[t] for t in common]), np.array([made[t] for t in common])


def _repetition(requests: FloatArray, per_request: FloatArray, ratio: float) -> Repetition:
    """Steady or not; what counting alone scatters is no difference between requests."""
    counted = float(np.mean(ratio / requests))
    spread = max(0.0, float(np.var(per_request)) - counted) ** 0.5 / ratio
    return Repetition.CONSTANT if spread <= STEADY_SPREAD else Repetition.VARYING


def _slope(x: FloatArray, y: FloatArray) -> float | None:
    """Calls that one more request brings, by least squares; None where the requests explain too little."""
    if _explained(x, y) < MIN_EXPLAINED:
        return None
    return float(np.polyfit(x, y, 1)[0])


def _explained(x: FloatArray, y: FloatArray) -> float:
    """Squared correlation; 0 for calls that never change."""
    if y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)
