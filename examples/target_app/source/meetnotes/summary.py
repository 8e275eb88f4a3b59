"""How much a meeting left to be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A meeting at a glance."""

    title: str
    actions: int
    by_owner: dict[str, int]
    """Number of actions of each owner; those of nobody are under "unassigned"."""
    next_due: str | None
    """Earliest ISO date among the actions; None if none has a date."""


def summarise(title: str, items: Sequence[Mapping[str, str]]) -> Summary:
    """Count the actions of a meeting by owner and find the date that comes first."""
    by_owner: dict[str, int] = {}
    for item in items:
        owner = item.get("owner", "unassigned")
        by_owner[owner] = by_owner.get(owner, 0) + 1
    dates = [item["due"] for item in items if item.get("due")]
    return Summary(title, len(items), by_owner, min(dates, default=None))
