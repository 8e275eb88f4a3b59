"""One cycle's analysis of a week: 10 M points and 1 M log lines out of the store, 1x, 10x and 100x.

Run by `./run bench week`. The store is filled first and compacted; what is timed is what a cycle does: read the
window from the store, write and read the artifact, group the log lines, find and rank.
"""

import argparse
import json
import random
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from selfbuild.adapters.log_scan import LogFilter, scan_groups
from selfbuild.adapters.telemetry_store import FolderObjects, ParquetTelemetryStore
from selfbuild.analysis.analyze import examine
from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.telemetry import LogEvent, Measure, Samples, Series, TelemetryBatch, TelemetryWindow

PERIOD_S = 60
DAYS = 7
PERIODS = DAYS * 1440
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
END = BEGIN + timedelta(days=DAYS)
MEASURES = (
    (Measure.REQUESTS, "Requests", 500.0, 25.0),
    (Measure.ERRORS, "Errors", 1.0, 1.0),
    (Measure.LATENCY_P50, "ResponseLatency", 5.0, 0.3),
    (Measure.LATENCY_P95, "ResponseLatency", 20.0, 1.5),
    (Measure.LATENCY_MEAN, "ResponseLatency", 7.0, 0.4),
)
SIZES = ((2, 10_000), (20, 100_000), (200, 1_000_000))
"""(components, log lines): five series each, 10,080 periods a series."""


def application() -> Application:
    return Application.model_validate(
        {
            "tenant_id": "acme",
            "name": "shop",
            "telemetry": {"log_group": "/acme/shop"},
            "repository": {"url": "/none.git"},
            "release": {"control_url": "http://127.0.0.1:1"},
        }
    )


def fill(store: ParquetTelemetryStore, components: int, lines: int) -> None:
    """A week in daily batches, one component in fifty twice as slow since six hours."""
    numbers = np.random.default_rng(7)
    words = random.Random(7)
    for day in range(DAYS):
        start = BEGIN + timedelta(days=day)
        series = tuple(
            _series(numbers, component, measure, metric, level, spread, start, late=day == DAYS - 1)
            for component in range(components)
            for measure, metric, level, spread in MEASURES
        )
        events = tuple(_event(words, start, components) for _ in range(lines // DAYS))
        store.append(
            TelemetryBatch(
                tenant_id="acme",
                application="shop",
                start=start,
                end=start + timedelta(days=1),
                series=series,
                events=tuple(sorted(events, key=lambda event: event.at)),
            )
        )
    store.compact(now=END + timedelta(days=1))


def _series(
    numbers: np.random.Generator,
    component: int,
    measure: Measure,
    metric: str,
    level: float,
    spread: float,
    start: datetime,
    *,
    late: bool,
) -> Series:
    daily = 1 + 0.2 * np.sin(np.arange(1440) * 2 * np.pi / 1440)
    values = np.abs(level * daily + spread * numbers.standard_normal(1440))
    if late and component % 50 == 1 and measure.value.startswith("latency"):
        values[-360:] *= 2
    return Series(
        component=f"component-{component}",
        measure=measure,
        metric=metric,
        unit="None",
        start=start.timestamp(),
        period_s=PERIOD_S,
        values=Samples(values),
    )


def _event(words: random.Random, day: datetime, components: int) -> LogEvent:
    kind = words.randrange(60)
    message = f"request {words.randrange(10**9):x} to table_{kind} failed after {words.randrange(5000)} ms"
    return LogEvent(
        at=day + timedelta(seconds=words.random() * 86_399),
        component=f"component-{words.randrange(components)}",
        tenant_id="acme",
        level="ERROR" if kind < 6 else "WARNING",
        message=message,
        error_type="TimeoutError" if kind < 6 else None,
    )


def timed(components: int, lines: int, folder: Path) -> dict[str, float]:
    """Seconds of each part, and what was found."""
    took: dict[str, float] = {}
    with ParquetTelemetryStore(FolderObjects(folder)) as store:
        fill(store, components, lines)
        began = time.perf_counter()
        series = store.series(application(), start=BEGIN, end=END)
        took["read"] = time.perf_counter() - began
        began = time.perf_counter()
        groups = scan_groups(
            store.event_files(application(), start=BEGIN, end=END),
            source="parquet",
            where=LogFilter(tenant="acme", start_at=BEGIN, end_at=END),
        )
        took["group_logs"] = time.perf_counter() - began
    window = TelemetryWindow(
        baseline_start=BEGIN, start=END - timedelta(days=1), end=END, period_s=PERIOD_S, series=series
    )
    began = time.perf_counter()
    content = window.model_dump_json().encode()
    window = TelemetryWindow.model_validate_json(content)
    took["artifact"] = time.perf_counter() - began
    began = time.perf_counter()
    found = examine(window, policy=CyclePolicy(), application=application())
    took["analyze"] = time.perf_counter() - began
    took["total"] = sum(took.values())
    took["points"] = float(sum(int(each.present.sum()) for each in series))
    took["lines"] = float(sum(group.line_count for group in groups))
    took["log_groups"] = float(len(groups))
    took["insights"] = float(len(found.analysis.insights))
    return took


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line a size")
    as_json = parser.parse_args().json
    print(describe())
    names = ("points", "lines", "read", "group_logs", "artifact", "analyze", "total", "log_groups", "insights")
    print("".join(f"{name:>12}" for name in names))
    for components, lines in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            took = timed(components, lines, Path(folder))
        if as_json:
            print(json.dumps(took))
            continue
        cells = (f"{took[name]:,.0f}" if took[name] >= 100 else f"{took[name]:.3g}" for name in names)
        print("".join(f"{cell:>12}" for cell in cells))
    print(f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB, filling the store included")


if __name__ == "__main__":
    main()
