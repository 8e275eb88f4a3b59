"""Time and memory of scanning the newest hour of many metrics: `python -m benchmarks.detection_speed`."""

import resource
import statistics
import time

import numpy as np

from benchmarks.machine import describe
from selfbuild.analysis.anomaly import score
from selfbuild.analysis.anomaly_scan import scan

SHAPES = ((10, 10_080), (100, 10_080), (1_000, 10_080))
"""Series x minutes of a week."""
MISSING_RATIO = 0.02
RUNS = 5


def main() -> None:
    """Print the tables."""
    print(describe())
    rng = np.random.default_rng(1)
    print("\nscan of the newest hour, one thread, median and worst of", RUNS)
    print("   points  missing  median ms  worst ms  M points/s  peak RSS MiB")
    for series, rows in SHAPES:
        grid = rng.lognormal(3, 0.5, (series, rows))
        _report(grid, "none")
        grid[rng.random(grid.shape) < MISSING_RATIO] = np.nan
        _report(grid, f"{MISSING_RATIO:.0%}")
    print("\nscore of every row of one series at 5 min")
    for rows in (2_016, 8_064, 32_256):
        values = rng.lognormal(3, 0.5, rows)
        begun = time.perf_counter()
        score(values, starts=np.arange(rows, dtype=np.float64) * 300.0)
        print(f"{rows:9,d} rows {1e3 * (time.perf_counter() - begun):8.0f} ms")


def _report(grid: np.ndarray[tuple[int, int], np.dtype[np.float64]], missing: str) -> None:
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        scan(grid, start=0.0, period_s=60)
        times.append(time.perf_counter() - begun)
    middle = statistics.median(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{grid.size:9,d} {missing:>8} {1e3 * middle:10.1f} {1e3 * max(times):9.1f} "
        f"{grid.size / middle / 1e6:11.0f} {peak:13.0f}"
    )


if __name__ == "__main__":
    main()
