"""Durations as people type them: 90s, 15m, 24h, 7d."""

import re
from datetime import timedelta
from typing import Annotated

import typer

LONGEST = timedelta(days=455)
"""What CloudWatch keeps at most: nothing older can be asked of anything."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_FORM = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration(text: str) -> timedelta:
    """A whole number with its unit.

    Raises:
        typer.BadParameter: it is no duration, or none between a second and 455 days.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: write a whole number and s, m, h or d, such as 90s or 24h")
    duration = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not timedelta(seconds=1) <= duration <= LONGEST:
        raise typer.BadParameter(f"{text!r} is outside 1s and {LONGEST.days}d")
    return duration


def seconds(duration: timedelta) -> int:
    """Whole seconds, as the server takes them."""
    return int(duration.total_seconds())


def show_seconds(duration_s: float | None) -> str:
    """Seconds as a person reads them: 42s, 3.5h, 2.1d; `-` for None."""
    if duration_s is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if duration_s >= size:
            return f"{duration_s / size:.3g}{unit}"
    return f"{duration_s:.0f}s"


SinceOption = Annotated[
    timedelta,
    typer.Option("--since", parser=parse_duration, metavar="DURATION", help="How far back: 90s, 15m, 24h, 7d."),
]
