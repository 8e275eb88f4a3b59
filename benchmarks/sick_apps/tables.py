"""The printed tables: one row a service, one a kind, and the sentence that sums up."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.sick_apps.catalogue import HEALTHY
from benchmarks.sick_apps.result import Result

COLUMNS = ("service", "kind", "detected", "rank", "recipe", "gate", "deployed", "judge", "goal", "outcome", "s")
REASON_CHARACTERS = 600


def rows(results: Sequence[Result]) -> list[str]:
    """The table, by kind."""
    table = [COLUMNS, *(_cells(each) for each in sorted(results, key=lambda r: (r.kind, r.app)))]
    widths = [max(len(row[n]) for row in table) for n in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.app,
        result.kind,
        result.detected.partition(":")[0] if result.detected else "-",
        f"{result.rank}/{result.opportunities}" if result.rank else f"-/{result.opportunities}",
        result.recipe or "-",
        "yes" if result.gated else "-",
        "yes" if result.deployed else "-",
        result.verdict or "-",
        result.goal or "-",
        result.outcome,
        f"{result.seconds:.0f}",
    )


def reasons(results: Sequence[Result]) -> list[str]:
    """What the clients measured, and for those that did not reach their goal where the loop stopped."""
    lines = []
    for each in sorted(results, key=lambda r: (r.kind, r.app)):
        lines.append(f"{each.app}: {each.outcome} ({each.measured})")
        if each.stopped:
            lines.append(f"    {_telling(each.stopped)[:REASON_CHARACTERS]}")
    return lines


def _telling(stopped: str) -> str:
    """In one line; refusals that name a line of the source before those of rules that found nothing to do."""
    first, *others = stopped.splitlines()
    return "; ".join([first, *sorted(others, key=lambda line: ": line " not in line)])


def by_kind(results: Sequence[Result]) -> list[str]:
    """Outcomes of each kind."""
    kinds = sorted({each.kind for each in results})
    lines = []
    for kind in kinds:
        counts = Counter(each.outcome for each in results if each.kind == kind)
        lines.append(f"{kind:<24}" + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return lines


def summary(results: Sequence[Result]) -> dict[str, int]:
    """What is counted of the whole run."""
    sick = [each for each in results if each.kind != HEALTHY]
    healthy = [each for each in results if each.kind == HEALTHY]
    return {
        "sick": len(sick),
        "detected": sum(each.detected is not None for each in sick),
        "ranked_first": sum(each.rank == 1 for each in sick),
        "patched": sum(each.recipe is not None for each in sick),
        "gated": sum(each.gated for each in sick),
        "deployed": sum(each.deployed for each in sick),
        "judged_healthy": sum(each.verdict == "PASS" for each in sick),
        "goal_reached": sum(each.goal == "improved" for each in sick),
        "improved": sum(each.outcome == "improved" for each in sick),
        "made_worse": sum(each.outcome == "made worse" for each in results),
        "healthy": len(healthy),
        "healthy_touched": sum(each.touched for each in healthy),
    }
