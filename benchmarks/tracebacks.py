"""Fingerprints of labelled tracebacks: adjusted Rand index, precision and recall over pairs, tracebacks a second.

`python -m benchmarks.tracebacks [FILE.jsonl]`: rows with `bug` and `traceback`.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import ROOT, describe
from selfbuild.analysis.fingerprint import fingerprint_of

ROUNDS = 5
"""Timed passes over the file; the fastest counts, since the others shared the machine."""


class Agreement(NamedTuple):
    """How well one grouping reproduces another."""

    adjusted_rand: float
    """1 for equal groupings, 0 on average for random ones of the same sizes (Hubert and Arabie 1985)."""
    precision: float
    """Share of the pairs found together that belong together; 1 where no pair was found together."""
    recall: float
    """Share of the pairs that belong together that were found together; 1 where none belong together."""

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def agreement(truth: Sequence[Hashable], found: Sequence[Hashable]) -> Agreement:
    """Compare two groupings of the same items, each given as one label an item.

    Two groupings without any pair, or with all items in one group, are equal: their index is 1.

    Raises:
        ValueError: the two differ in length.
    """
    together = _pairs(Counter(zip(truth, found, strict=True)))
    belonging, proposed = _pairs(Counter(truth)), _pairs(Counter(found))
    every = len(truth) * (len(truth) - 1) // 2
    expected = belonging * proposed / every if every else 0.0
    spread = (belonging + proposed) / 2 - expected
    return Agreement(
        adjusted_rand=(together - expected) / spread if spread else 1.0,
        precision=together / proposed if proposed else 1.0,
        recall=together / belonging if belonging else 1.0,
    )


def _pairs(sizes: Counter[Hashable]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes.values())


def fastest_s(stacks: Sequence[str]) -> float:
    """Seconds that the fastest pass over the stacks took."""
    seconds: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for stack in stacks:
            fingerprint_of("", "", stack)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Print the figures of the file named, by default of the shared evaluation data."""
    shared = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data"))
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "telemetry" / "tracebacks.jsonl"
    if not path.is_file():
        sys.exit(f"no file {str(path)!r}: name one, or set SELFBUILD_SHARED_DATA")
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    stacks = [row["traceback"] for row in rows]
    found = [fingerprint_of("", "", stack) for stack in stacks]
    agreed = agreement([row["bug"] for row in rows], found)
    print(describe())
    table = [
        ("tracebacks", f"{len(rows)}"),
        ("bugs", f"{len({row['bug'] for row in rows})}"),
        ("fingerprints", f"{len(set(found))}"),
        ("adjusted Rand index", f"{agreed.adjusted_rand:.3f}"),
        ("pair precision", f"{agreed.precision:.3f}"),
        ("pair recall", f"{agreed.recall:.3f}"),
        ("pair F1", f"{agreed.f1:.3f}"),
        ("tracebacks a second", f"{len(stacks) / fastest_s(stacks):,.0f}"),
    ]
    for name, value in table:
        print(f"{name:<20} {value:>12}")


if __name__ == "__main__":
    main()
