"""The telemetry store: what a week of a thousand series costs to append, join, read and keep.

A week is 10,080,000 points (1,000 series × 7 days × 1 minute) and 150,000 log events a day. Six days come as hourly
batches, the last day minute by minute for three hours, which gives the rate of the rolling collection; the rest of it
comes as hourly batches too. Every part of the run has a process of its own, so that its peak memory is its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from selfbuild.adapters.telemetry_store import FolderObjects, ParquetTelemetryStore
from selfbuild.domain.applications import Application
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent, Measure, Samples, Series, TelemetryBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
EVENTS_A_DAY = 150_000
STACK = "Traceback (most recent call last):\n" + '  File "app/orders.py", line 12, in total\n    return sum(x)\n' * 6
MEASURES = (Measure.REQUESTS, Measure.ERRORS, Measure.LATENCY_P50, Measure.LATENCY_P95, Measure.UTILIZATION)
SIZES = {"1x": (70, 1), "10x": (140, 5), "100x": (1000, 7)}
"""Series and days: about 100 k, 1 M and 10 M points."""

APPLICATION = Application.model_validate(
    {
        "tenant_id": "acme",
        "name": "orders",
        "telemetry": {"log_group": "/apps/orders"},
        "repository": {"url": "https://git.example.com/orders.git"},
        "release": {"control_url": "http://127.0.0.1:9100"},
    }
)


def a_batch(start: datetime, minutes: int, *, series: int, events: int) -> TelemetryBatch:
    """Counts and latencies of a service with a daily cycle; the same for the same arguments."""
    noise = np.random.default_rng(int(start.timestamp()))
    clock = (start.timestamp() + 60 * np.arange(minutes)) / 86_400 * 2 * np.pi
    level = 100 + 30 * np.sin(clock)
    values = level * noise.lognormal(0, 0.2, (series, minutes))
    found = []
    for place in range(series):
        measure = MEASURES[place % len(MEASURES)]
        counts = measure in (Measure.REQUESTS, Measure.ERRORS)
        found.append(
            Series.model_construct(
                component=f"component-{place // len(MEASURES):04d}",
                measure=measure,
                unit="Count" if counts else "Milliseconds",
                metric=measure.value,
                direction=None,
                start=start.timestamp(),
                period_s=60,
                values=Samples(values[place].round(0 if counts else 3)),
            )
        )
    moments = np.sort(noise.uniform(0, minutes * 60, events)).tolist()
    return TelemetryBatch(
        tenant_id=APPLICATION.tenant_id,
        application=APPLICATION.name,
        start=start,
        end=start + timedelta(minutes=minutes),
        series=tuple(found),
        events=tuple(an_event(start + timedelta(seconds=at), n) for n, at in enumerate(moments)),
    )


def an_event(at: datetime, number: int) -> LogEvent:
    return LogEvent(
        at=at,
        component=f"component-{number % 200:04d}",
        tenant_id=f"tenant-{number % 20}",
        level="ERROR" if number % 3 else "WARNING",
        message=f"order {number * 7919 % 100_003} could not be priced: no rate for region {number % 17}",
        error_type="KeyError",
        location=CodeLocation(path="app/orders.py", line=12, function="total"),
        stack=STACK,
        release="r-7",
        trace_id=f"1-{number * 2_654_435_761 % 2**32:08x}",
    )


def timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def repeated(call: Callable[[], Any], times: int = 5) -> dict[str, float]:
    taken = sorted(timed(call) for _ in range(times))
    return {"median_ms": taken[len(taken) // 2] * 1e3, "worst_ms": taken[-1] * 1e3}


def append_hours(store: ParquetTelemetryStore, *, series: int, first: int, hours: int, events: int) -> dict[str, float]:
    batches = (
        a_batch(START + timedelta(hours=first + n), 60, series=series, events=events // 24) for n in range(hours)
    )
    taken = [timed(lambda batch=batch: store.append(batch)) for batch in batches]  # type: ignore[misc]
    return {"points": series * 60 * hours, "seconds": sum(taken)}


def append_minutes(store: ParquetTelemetryStore, *, series: int, first: int, hours: int) -> dict[str, float]:
    """As the rolling collection does it: each minute a batch that reads the last two again."""
    taken = []
    for minute in range(hours * 60):
        start = START + timedelta(hours=first, minutes=max(0, minute - 2))
        batch = a_batch(start, min(3, minute + 1), series=series, events=EVENTS_A_DAY // 1440)
        taken.append(timed(lambda batch=batch: store.append(batch)))  # type: ignore[misc]
    ordered = sorted(taken)
    return {
        "points": series * 60 * hours,
        "seconds": sum(taken),
        "median_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "worst_ms": ordered[-1] * 1e3,
    }


def compact(store: ParquetTelemetryStore, *, hours: int) -> dict[str, float]:
    before = store.size()
    seconds = timed(lambda: store.compact(now=START + timedelta(hours=hours)))
    after = store.size()
    return {"seconds": seconds, "segments_before": before.segments, "segments_after": after.segments}


def read_week(store: ParquetTelemetryStore, *, days: int) -> dict[str, Any]:
    end = START + timedelta(days=days)
    day: dict[str, Any] = {"start": end - timedelta(days=1), "end": end}
    whole: dict[str, Any] = {"start": START, "end": end}
    one: dict[str, Any] = {"component": "component-0003", "measure": Measure.LATENCY_P95}
    keys, grid = store.grid(APPLICATION, **whole, period_s=60)
    found = {"series": len(keys), "points": int(np.isfinite(grid).sum())}
    del grid
    size = store.size()
    return {
        "grid": found,
        "one series, 24 h": repeated(lambda: store.series(APPLICATION, **day, **one)),
        "one series, all days": repeated(lambda: store.series(APPLICATION, **whole, **one)),
        "all series, 24 h": repeated(lambda: store.series(APPLICATION, **day)),
        "grid, all days": repeated(lambda: store.grid(APPLICATION, **whole, period_s=60)),
        "newest 1,000 events": repeated(lambda: store.events(APPLICATION, **whole)),
        "1,000 events of a component": repeated(lambda: store.events(APPLICATION, **whole, component="component-0003")),
        "coverage": repeated(lambda: store.coverage(APPLICATION, **whole)),
        "size": repeated(store.size),
        "held": {"segments": size.segments, "bytes": size.bytes, "points": size.points, "events": size.events},
    }


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "append_hours": append_hours,
    "append_minutes": append_minutes,
    "compact": compact,
    "read_week": read_week,
}


def in_process(root: Path, part: str, **fields: Any) -> dict[str, Any]:
    """The part's figures, and its peak memory, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.telemetry_store", str(root), part, json.dumps(fields)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def run_part(root: Path, part: str, fields: dict[str, Any]) -> None:
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ParquetTelemetryStore(FolderObjects(root)) as store:
        figures = PARTS[part](store, **fields)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(figures | {"rss_mib": peak / 1024, "idle_mib": idle / 1024}))


def row(name: str, *cells: str) -> None:
    print(f"{name:34}" + "".join(f"{cell:>20}" for cell in cells))


def milliseconds(figures: dict[str, float]) -> str:
    return f"{figures['median_ms']:.1f} ({figures['worst_ms']:.1f}) ms"


def print_growth(root: Path) -> None:
    figures: dict[str, dict[str, Any]] = {}
    for name, (series, days) in SIZES.items():
        folder = root / name
        appended = in_process(folder, "append_hours", series=series, first=0, hours=24 * days, events=EVENTS_A_DAY)
        joined = in_process(folder, "compact", hours=24 * days)
        read = in_process(folder, "read_week", days=days)
        figures[name] = read | {"append": appended, "compact": joined}
    sizes = list(figures.values())
    row("", *(f"{each['held']['points']:,} points" for each in sizes))
    row(
        "append, hourly batches",
        *(f"{each['append']['points'] / each['append']['seconds']:,.0f} points/s" for each in sizes),
    )
    row("compact", *(f"{each['compact']['seconds']:.2f} s" for each in sizes))
    row("  a day", *(f"{each['compact']['seconds'] / SIZES[name][1]:.2f} s" for name, each in figures.items()))
    for name in sizes[0]:
        if isinstance(sizes[0][name], dict) and set(sizes[0][name]) == {"median_ms", "worst_ms"}:
            row(name, *(milliseconds(each[name]) for each in sizes))
    row("events", *(f"{each['held']['events']:,}" for each in sizes))
    row("disk, points and events", *(f"{each['held']['bytes'] / 1e6:.1f} MB" for each in sizes))
    row(
        "disk, bytes a point",
        *(f"{points_bytes(root / name) / each['held']['points']:.2f}" for name, each in figures.items()),
    )
    for part in ("append", "compact"):
        row(f"peak memory, {part}", *(f"{each[part]['rss_mib']:.0f} MiB" for each in sizes))
    row("peak memory, reading", *(f"{each['rss_mib']:.0f} MiB" for each in sizes))
    row("  of it before the store opens", *(f"{each['idle_mib']:.0f} MiB" for each in sizes))


def points_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*.series.parquet"))


def print_minutes(root: Path) -> None:
    minutes = in_process(root, "append_minutes", series=1000, first=0, hours=3)
    rate = minutes["points"] / minutes["seconds"]
    joined = in_process(root, "compact", hours=3)
    print("\nMinute by minute: 1,000 series, 104 events, each batch reading the last two minutes again; three hours")
    median, p99, worst = (minutes[name] for name in ("median_ms", "p99_ms", "worst_ms"))
    print(f"  append: median {median:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")
    print(f"  {rate:,.0f} new points/s; a week at this rate: {10_080_000 / rate:,.0f} s of appending (extrapolated)")
    segments = f"{joined['segments_before']:.0f} segments to {joined['segments_after']:.0f}"
    print(f"  three hours joined: {joined['seconds']:.2f} s, {segments}")
    print(f"  peak memory: append {minutes['rss_mib']:.0f} MiB, join {joined['rss_mib']:.0f} MiB")


def main() -> None:
    if len(sys.argv) > 1:
        run_part(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
        return
    started = time.perf_counter()
    print(f"{describe()}\nmedian (worst) of 5; files in the cache of the operating system\n")
    with tempfile.TemporaryDirectory() as folder:
        print_growth(Path(folder))
        print_minutes(Path(folder) / "minutes")
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
