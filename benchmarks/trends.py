"""False alarms and power of the detectors of creep and of exhaustion, on generated weeks."""

import math
from collections.abc import Callable

import numpy as np

from benchmarks.machine import describe
from selfbuild.analysis.capacity import forecast_exhaustion
from selfbuild.analysis.creep import find_creep
from selfbuild.domain.telemetry import FloatArray, Measure, Samples, Series

PERIOD_S = 300
START = 1_700_000_000.0 // 3600 * 3600
SEED = 3
CORRELATIONS = (0.0, 0.5, 0.8, 0.9, 0.95)


def _noise(rng: np.random.Generator, count: int, correlation: float, spread: float) -> FloatArray:
    """First-order autoregression of hours with the given correlation, in five-minute samples, plus single noise."""
    phi = correlation ** (PERIOD_S / 3600) if correlation > 0 else 0.0
    steps = rng.normal(0, math.sqrt(1 - phi * phi), count)
    wander = np.empty(count)
    wander[0] = rng.normal()
    for n in range(1, count):
        wander[n] = phi * wander[n - 1] + steps[n]
    return spread * wander + rng.normal(0, spread / 2, count)


def _season(rng: np.random.Generator, count: int, depth: float) -> FloatArray:
    hours = np.arange(count) * PERIOD_S / 86_400 * 2 * np.pi
    return depth * (np.sin(hours + rng.uniform(0, 6.3)) + 0.3 * np.sin(2 * hours + rng.uniform(0, 6.3)))


def _series(values: FloatArray, measure: Measure, rng: np.random.Generator, missing: float) -> Series:
    kept = np.where(rng.random(len(values)) < missing, np.nan, values)
    unit = "Percent" if measure is Measure.UTILIZATION else "Milliseconds"
    return Series(component="orders", measure=measure, unit=unit, start=START, period_s=PERIOD_S, values=Samples(kept))


def latency_week(
    rng: np.random.Generator, *, daily: float, correlation: float, depth: float, days: int = 7, spread: float = 0.1
) -> Series:
    """Latency that worsens by `daily` a day, with a season of `depth` and hourly autocorrelation."""
    count = days * 86_400 // PERIOD_S
    trend = math.log1p(daily) * np.arange(count) * PERIOD_S / 86_400
    logs = math.log(80) + trend + _season(rng, count, depth) + _noise(rng, count, correlation, spread)
    return _series(np.exp(logs), Measure.LATENCY_P95, rng, missing=0.1)


def utilization_week(rng: np.random.Generator, *, daily: float, correlation: float, depth: float) -> Series:
    """Per cent in use, rising by `daily` points a day."""
    count = 7 * 86_400 // PERIOD_S
    trend = daily * np.arange(count) * PERIOD_S / 86_400
    level = 40 + trend + _season(rng, count, depth) + _noise(rng, count, correlation, 3.0)
    return _series(np.clip(level, 0, 100), Measure.UTILIZATION, rng, missing=0.1)


def share(found: Callable[[np.random.Generator], bool], count: int, seed: int) -> float:
    """Share of generated weeks in which something is found."""
    rng = np.random.default_rng(seed)
    return sum(found(rng) for _ in range(count)) / count


def creeps(daily: float, depth: float, correlation: float) -> Callable[[np.random.Generator], bool]:
    """Whether creep is said of a generated week."""

    def found(rng: np.random.Generator) -> bool:
        return find_creep(latency_week(rng, daily=daily, correlation=correlation, depth=depth)) is not None

    return found


def foreseen(daily: float, depth: float, correlation: float) -> Callable[[np.random.Generator], bool]:
    """Whether exhaustion is foreseen from a generated week."""

    def found(rng: np.random.Generator) -> bool:
        week = utilization_week(rng, daily=daily, correlation=correlation, depth=depth)
        return forecast_exhaustion(week) is not None

    return found


def _row(
    label: str,
    kind: Callable[[float, float, float], Callable[[np.random.Generator], bool]],
    at: tuple[float, float],
    count: int,
) -> None:
    shares = [share(kind(*at, correlation), count, SEED) for correlation in CORRELATIONS]
    print(f"{label:32} {count:5}" + "".join(f"{x:8.3f}" for x in shares))


def main() -> None:
    print(describe())
    print("share of weeks, by the correlation of neighbouring hours; a tenth of the samples missing")
    print(f"{'':32} weeks" + "".join(f"{c:8.2f}" for c in CORRELATIONS))
    for daily, depth, count in ((0.0, 0.0, 400), (0.0, 0.4, 400), (0.02, 0.4, 100), (0.05, 0.4, 100), (0.1, 0.4, 100)):
        _row(f"creep {daily:+.0%} a day, season {depth:.0%}", creeps, (daily, depth), count)
    for points, depth, count in ((0.0, 0.0, 400), (0.0, 15.0, 400), (3.0, 15.0, 100), (6.0, 15.0, 100)):
        _row(f"in use {points:+.0f} a day, season {depth:.0f}", foreseen, (points, depth), count)


if __name__ == "__main__":
    main()
