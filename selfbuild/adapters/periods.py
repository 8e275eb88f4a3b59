"""Closed periods of a window, as every telemetry source cuts them."""

import math
from datetime import UTC, datetime
from typing import NamedTuple


class Span(NamedTuple):
    """Closed periods: from the start of the first to the end of the last, seconds since the epoch."""

    start: float
    end: float
    period_s: int

    @property
    def periods(self) -> int:
        """How many periods."""
        return max(0, round((self.end - self.start) / self.period_s))

    @property
    def starts(self) -> list[float]:
        """Start of each period, ascending."""
        return [self.start + i * self.period_s for i in range(self.periods)]

    @property
    def times(self) -> tuple[datetime, datetime]:
        """Start and end."""
        return datetime.fromtimestamp(self.start, UTC), datetime.fromtimestamp(self.end, UTC)


def closed_span(start: datetime, end: datetime, *, period_s: int, closed_until: datetime) -> Span:
    """The whole periods within `[start, end)` that had ended by `closed_until`; possibly none."""
    first = math.ceil(start.timestamp() / period_s) * period_s
    last = math.floor(min(end, closed_until).timestamp() / period_s) * period_s
    return Span(float(first), float(max(first, last)), period_s)
