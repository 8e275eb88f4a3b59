"""Accuracy of the metric detector on labelled series, injected slowdowns and noise: `python -m benchmarks.detection`.

The labelled data lie under `$SELFBUILD_SHARED_DATA/telemetry`; without them only the noise is measured.
"""

import csv
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ROOT, describe
from selfbuild.analysis.alerts import confidence_of
from selfbuild.analysis.anomaly import DEFAULT_THRESHOLD, score
from selfbuild.domain.telemetry import Direction, FloatArray

WEEK_S = 604_800
COOL_DOWN_S = 3 * 3_600
"""False alarms closer than this count once."""
THRESHOLDS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 1.8, 2.2)
SETS = {"NAB AWS": "nab/realAWSCloudwatch", "NAB known cause": "nab/realKnownCause", "Microsoft": "ms/"}
FACTORS = (1.2, 1.5, 2.0)
PLACES = (0.35, 0.6, 0.85)
"""Where in a series a slowdown begins."""
EVERY = 2
"""Each second PetShop series, so that the run stays below three minutes."""
CONFIDENCE_EDGES = (0.0, 0.4, 0.5, 0.6, 0.75, 1.0)


class Labelled(NamedTuple):
    """One series with its labels."""

    starts: FloatArray
    values: FloatArray
    window: NDArray[np.intp]
    """Number of the labelled window of each row, or -1."""
    scored: NDArray[np.bool_]
    period_s: float


class Events(NamedTuple):
    """Result over some series at one threshold."""

    hits: int
    windows: int
    false_alarms: int
    weeks: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall over windows."""
        total = self.hits + self.false_alarms + self.windows
        return 2 * self.hits / total if total else 0.0

    @property
    def rate(self) -> float:
        """False alarms per series-week."""
        return self.false_alarms / self.weeks if self.weeks else math.nan

    def __str__(self) -> str:
        return f"F1 {self.f1:.3f}  hit {self.hits:3d}/{self.windows:<3d} false {self.false_alarms:3d} = {self.rate:.2f}"


def shared_data() -> Path:
    """Folder of the evaluation data."""
    return Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "telemetry"


def load(folder: Path) -> dict[str, Labelled]:
    """The labelled series below a folder, by file name."""
    labels = json.loads((folder / "labels.json").read_text())
    return {name: _series(folder / name, meta) for name, meta in labels.items()}


def events(series: Mapping[str, Labelled], scores: Mapping[str, FloatArray], threshold: float) -> Events:
    """Windows hit and false alarms; a warm-up of 15 % of a series, at most 750 rows, is not scored."""
    hits = windows = false_alarms = 0
    weeks = 0.0
    for name, one in series.items():
        alarm = one.scored & (np.nan_to_num(scores[name]) >= threshold)
        asked = np.unique(one.window[one.scored & (one.window >= 0)])
        windows += len(asked)
        hits += len(np.unique(one.window[alarm & (one.window >= 0)]))
        false_alarms += len(_apart(one.starts[alarm & (one.window < 0)]))
        weeks += float((one.scored & (one.window < 0)).sum()) * one.period_s / WEEK_S
    return Events(hits, windows, false_alarms, weeks)


def best_threshold(series: Mapping[str, Labelled], scores: Mapping[str, FloatArray]) -> float:
    """The candidate with the best window F1."""
    return max(THRESHOLDS, key=lambda threshold: events(series, scores, threshold).f1)


def leave_one_out(series: Mapping[str, Labelled], scores: Mapping[str, FloatArray]) -> Events:
    """Each series at the threshold that is best for the others."""
    parts = [
        events({name: one}, scores, best_threshold({n: s for n, s in series.items() if n != name}, scores))
        for name, one in series.items()
    ]
    return Events(*(sum(column) for column in zip(*parts, strict=True)))


def outcomes(series: Mapping[str, Labelled], scores: Mapping[str, FloatArray]) -> list[tuple[str, float, bool]]:
    """Series, score and truth of each alert from the lowest threshold: a window counts once, with its largest."""
    found: list[tuple[str, float, bool]] = []
    for name, one in series.items():
        known = np.where(one.scored, np.nan_to_num(scores[name]), 0.0)
        for window in np.unique(one.window[one.window >= 0]):
            found.append((name, float(known[one.window == window].max()), True))
        outside = np.flatnonzero((one.window < 0) & (known >= THRESHOLDS[0]))
        for group in _groups(one.starts[outside]):
            found.append((name, float(known[outside[group]].max()), False))
    return [entry for entry in found if entry[1] >= THRESHOLDS[0]]


def _groups(starts: FloatArray) -> list[NDArray[np.intp]]:
    """Indices of the rows that a cool-down joins, from the first of each."""
    groups: list[list[int]] = []
    begun = -math.inf
    for index, start in enumerate(starts.tolist()):
        if start - begun >= COOL_DOWN_S:
            groups.append([])
            begun = start
        groups[-1].append(index)
    return [np.array(group, np.intp) for group in groups]


def _apart(starts: FloatArray) -> list[float]:
    return [float(starts[group[0]]) for group in _groups(starts)]


def _series(path: Path, meta: dict[str, Any]) -> Labelled:
    starts, values = read_csv(path)
    window = np.full(len(starts), -1, np.intp)
    for number, (first, last) in enumerate(meta["windows"]):
        begin, end = (_seconds(text) for text in (first, last))
        rows = np.flatnonzero((starts == begin) | (starts == end))
        window[rows[0] : rows[-1] + 1] = number
    scored = np.arange(len(starts)) >= min(math.floor(0.15 * len(starts)), 750)
    return Labelled(starts, values, window, scored, float(meta["period_s"]))


def read_csv(path: Path) -> tuple[FloatArray, FloatArray]:
    """Starts and values of a file of `timestamp,value`."""
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    values = [float(row[1]) if row[1] else math.nan for row in rows]
    return np.array([_seconds(row[0]) for row in rows]), np.array(values)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()


def petshop(folder: Path) -> tuple[FloatArray, list[FloatArray]]:
    """Starts, and each second latency series that misses at most a tenth of its samples and moves."""
    with (folder / "petshop" / "low_traffic" / "noissue" / "metrics.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))
    table = np.array([[float(cell) if cell else math.nan for cell in row] for row in rows[4:]])
    columns = [table[:, i] for i, metric in enumerate(rows[1]) if metric == "latency"]
    kept = [c for c in columns if np.isfinite(c).mean() >= 0.9 and np.nanstd(c) > 0]
    return table[:, 0], kept[::EVERY]


def injected(starts: FloatArray, columns: Iterable[FloatArray], factor: float) -> list[float]:
    """Largest score in the hour of each slowdown put into healthy series."""
    largest = []
    for column in columns:
        for place in PLACES:
            begin = int(place * len(column))
            slowed = column.copy()
            slowed[begin : begin + 12] *= factor
            largest.append(float(np.nanmax(np.nan_to_num(score(slowed, starts=starts))[begin : begin + 13])))
    return largest


def noise() -> dict[str, list[FloatArray]]:
    """Healthy synthetic series: four weeks of five minutes, eight of a kind."""
    rng = np.random.default_rng(7)
    rows = 4 * 2016
    day = 1 + 0.5 * np.sin(np.arange(rows) * 2 * np.pi / 288)

    def correlated(phi: float) -> FloatArray:
        steps = rng.normal(size=rows)
        for i in range(1, rows):
            steps[i] += phi * steps[i - 1]
        return 100 + 10 * steps * math.sqrt(1 - phi * phi)

    kinds: dict[str, Callable[[], FloatArray]] = {
        "white": lambda: rng.normal(100, 10, rows),
        "AR(1) 0.6": lambda: correlated(0.6),
        "AR(1) 0.9": lambda: correlated(0.9),
        "daily season": lambda: 100 * day + rng.normal(0, 10, rows),
        "log-normal": lambda: rng.lognormal(3, 0.7, rows),
        "Student t(3)": lambda: 100 + 10 * rng.standard_t(3, rows),
        "Poisson 0.5": lambda: rng.poisson(0.5, rows).astype(np.float64),
    }
    return {name: [make() for _ in range(8)] for name, make in kinds.items()}


def report_labelled(folder: Path) -> None:
    """Window F1 by set and threshold, leave-one-series-out, and reliability of the stated confidence."""
    series = load(folder / "metrics")
    scores = {name: score(one.values, starts=one.starts, direction=Direction.BOTH) for name, one in series.items()}
    print(f"\nLabelled series, one threshold, both directions; default {DEFAULT_THRESHOLD}")
    print("set              threshold  (false alarms; last: per series-week)")
    for title, prefix in SETS.items():
        part = {name: one for name, one in series.items() if name.startswith(prefix)}
        for threshold in THRESHOLDS:
            print(f"{title:16} {threshold:9.2f}  {events(part, scores, threshold)}")
        others = {name: one for name, one in series.items() if not name.startswith(prefix)}
        print(f"{title:16} leave one series out  {leave_one_out(part, scores)}")
        chosen = best_threshold(others, scores)
        print(f"{title:16} best of the other sets ({chosen})  {events(part, scores, chosen)}")
    report_reliability(outcomes(series, scores))


def report_reliability(found: list[tuple[str, float, bool]]) -> None:
    """How often alerts of a stated confidence were true, and of one fitted without their own series."""
    print("\nReliability: stated = confidence of an alert; held out = mean of what the other series alone would state")
    print("confidence     alerts  series  stated  true  held out")
    held_out = [_without(name, value, found) for name, value, _ in found]
    for low, high in pairwise(CONFIDENCE_EDGES):
        rows = [i for i, (_, value, _) in enumerate(found) if low <= confidence_of(value) < high]
        if rows:
            stated, true = (
                np.mean([confidence_of(found[i][1]) for i in rows]),
                np.mean([found[i][2] for i in rows]),
            )
            names = len({found[i][0] for i in rows})
            left = np.mean([held_out[i] for i in rows])
            print(f"{low:.2f} - {high:.2f} {len(rows):9d} {names:7d} {stated:7.2f} {true:5.2f} {left:9.2f}")


def _without(name: str, value: float, found: list[tuple[str, float, bool]]) -> float:
    """True part of the 30 alerts of other series whose scores are nearest."""
    others = sorted(((abs(score - value), true) for other, score, true in found if other != name), key=lambda e: e[0])
    nearest = [true for _, true in others[:30]]
    return sum(nearest) / len(nearest)


def report_injected(folder: Path) -> None:
    """Hit rate of slowdowns of one hour, at the default threshold and at half a false alarm per series-week."""
    starts, columns = petshop(folder)
    live = np.arange(len(starts)) >= int(0.15 * len(starts))
    healthy = [np.where(live, np.nan_to_num(score(column, starts=starts)), 0.0) for column in columns]
    weeks = float(live.sum()) * 300 / WEEK_S * len(columns)

    def rate(threshold: float) -> float:
        return sum(len(_apart(starts[one >= threshold])) for one in healthy) / weeks

    quiet = next((t for t in np.arange(0.5, 5, 0.02).tolist() if rate(t) <= 0.5), math.inf)
    hits = {factor: np.array(injected(starts, columns, factor)) for factor in FACTORS}
    print(
        f"\nSlowdowns of one hour in {len(columns)} healthy PetShop latency series of 49 h, {len(PLACES)} places each"
    )
    print("threshold  false/series-week  " + "  ".join(f"x{factor}" for factor in FACTORS))
    for threshold in (DEFAULT_THRESHOLD, quiet):
        found = "  ".join(f"{(largest >= threshold).mean():.2f}" for largest in hits.values())
        print(f"{threshold:9.2f}  {rate(threshold):17.2f}  {found}")


def report_noise() -> None:
    """False alarms of the default threshold where nothing happens."""
    print("\nNoise, 8 series of 4 weeks at 5 min each, first 3 days left out: false alarms per series-week")
    starts: FloatArray = np.arange(4 * 2016, dtype=np.float64) * 300.0
    for name, columns in noise().items():
        alarms = [_apart(starts[864:][np.nan_to_num(score(c, starts=starts))[864:] >= 1.0]) for c in columns]
        weeks = len(columns) * (4 * 2016 - 864) * 300 / WEEK_S
        print(f"{name:14} {sum(map(len, alarms)) / weeks:.2f}")


def main() -> None:
    """Print every table."""
    print(describe())
    folder = shared_data()
    if (folder / "metrics" / "labels.json").exists():
        report_labelled(folder)
        report_injected(folder)
    else:
        print(f"no labelled series below {folder}: set SELFBUILD_SHARED_DATA")
    report_noise()


if __name__ == "__main__":
    main()
