"""Accuracy of the log grouping on labelled public logs: one configuration, and what each limit is worth.

    python -m benchmarks.log_grouping [--limits]

GA: share of lines whose group is exactly the true one. FGA: F1 over groups. `streamed` groups line by line and reads
the current ids at the end. `--limits` also chooses the limits on all systems but one and scores the one left out.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmarks.machine import ROOT, describe
from selfbuild.analysis.log_groups import LogGrouper
from selfbuild.analysis.log_merge import MergeLimits

LOGS = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "telemetry" / "logs"
GRID = [
    MergeLimits(named=named, values=values, words=words, leading=leading)
    for named, values, words, leading in product((2, 3), (3, 4, 5, 6, 8), (3, 4, 5, 6, 8), (8, 12, 16))
]

Scores = tuple[float, float]
System = tuple[list[str], list[str]]
"""True groups and messages, line by line."""


def scores(truth: Sequence[str], found: Sequence[str]) -> Scores:
    """GA and FGA of the groups found."""
    true_sets, found_sets = _sets(truth), _sets(found)
    right = [lines for lines in true_sets if lines in found_sets]
    precision, recall = len(right) / len(found_sets), len(right) / len(true_sets)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return sum(map(len, right)) / len(truth), f1


def _sets(groups: Sequence[str]) -> set[frozenset[int]]:
    lines = defaultdict(set)
    for number, group in enumerate(groups):
        lines[group].add(number)
    return {frozenset(numbers) for numbers in lines.values()}


def batch(messages: Sequence[str], limits: MergeLimits) -> list[str]:
    return [group.group_id for group in LogGrouper(limits=limits).group_batch(messages)]


def streamed(messages: Sequence[str], limits: MergeLimits) -> list[str]:
    grouper = LogGrouper(limits=limits)
    ids = [grouper.group(message).group_id for message in messages]
    return [grouper.current_id(group_id) for group_id in ids]


def drain(messages: Sequence[str], _: MergeLimits) -> list[str]:
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    miner = TemplateMiner(config=TemplateMinerConfig())
    return [str(miner.add_log_message(message)["cluster_id"]) for message in messages]


def systems() -> dict[str, System]:
    found: dict[str, System] = {}
    for path in sorted(LOGS.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.stem] = ([row["event_id"] for row in rows], [row["message"] for row in rows])
    return found


def report(data: dict[str, System]) -> None:
    contenders: dict[str, Callable[[Sequence[str], MergeLimits], list[str]]] = {
        "batch": batch,
        "streamed": streamed,
        "drain3": drain,
    }
    print(f"{'system':<12}" + "".join(f"{name + ' GA':>12}{'FGA':>7}{'lines/s':>10}" for name in contenders))
    results = defaultdict(list)
    for name, (truth, messages) in data.items():
        row = f"{name:<12}"
        for contender, function in contenders.items():
            start = time.perf_counter()
            found = function(messages, MergeLimits())
            rate = len(messages) / (time.perf_counter() - start)
            results[contender].append(scores(truth, found))
            row += f"{results[contender][-1][0]:>12.3f}{results[contender][-1][1]:>7.3f}{rate:>10,.0f}"
        print(row)
    means = "".join(
        f"{fmean(ga for ga, _ in own):>12.3f}{fmean(fga for _, fga in own):>7.3f}{'':>10}" for own in results.values()
    )
    print(f"{'mean':<12}{means}")


def choose(data: dict[str, System]) -> None:
    """Leave one system out: limits chosen on the others, scored on it."""
    table = {
        limits: {name: scores(truth, batch(messages, limits)) for name, (truth, messages) in data.items()}
        for limits in GRID
    }
    print(f"\nleft out      GA    FGA   limits chosen on the others (middle of the best of {len(GRID)})")
    left_out = []
    for name in data:
        value = {limits: fmean(sum(row[other]) for other in row if other != name) for limits, row in table.items()}
        best = [limits for limits in GRID if value[limits] >= max(value.values()) - 0.002]
        chosen = best[len(best) // 2]
        left_out.append(table[chosen][name])
        print(f"{name:<12}{table[chosen][name][0]:6.3f} {table[chosen][name][1]:6.3f}   {chosen}")
    print(f"{'mean':<12}{fmean(ga for ga, _ in left_out):6.3f} {fmean(fga for _, fga in left_out):6.3f}")
    plateau = [limits for limits, row in table.items() if fmean(sum(pair) / 2 for pair in row.values()) > 0.97]
    print(f"mean of GA and FGA above .97 with {len(plateau)} of {len(GRID)} limits; the default is one: ", end="")
    print("yes" if MergeLimits() in plateau else "no")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", action="store_true", help="also choose the limits by leaving one system out")
    arguments = parser.parse_args()
    data = systems()
    if not data:
        raise SystemExit(f"no labelled logs in {LOGS}: set SELFBUILD_SHARED_DATA")
    print(describe())
    report(data)
    if arguments.limits:
        choose(data)


if __name__ == "__main__":
    main()
