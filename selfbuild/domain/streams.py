"""The rolling collection of one application's telemetry: what it is asked, how far it has come."""

from typing import Annotated

from pydantic import Field

from selfbuild.domain.applications import Application
from selfbuild.domain.base import AwareDatetime, Value


class StreamState(Value):
    """How far the collection has come. Everything before `cursor` is in the store."""

    tenant_id: str
    application: str
    cursor: AwareDatetime
    updated_at: AwareDatetime
    """When the newest batch was stored."""
    interval_s: int
    lag_s: float | None = None
    """From the end of the newest period to the moment it was stored; None until the backfill is done."""
    points_stored: int = 0
    """Since the collection began."""
    events_stored: int = 0
    by_minute: dict[int, int] = {}
    """Minute since the epoch -> points and log events stored then, of the last hour."""
    buffered_events: int = 0
    """Log events kept hot in memory."""
    api_calls: int = 0
    cost_usd: float = 0.0
    source: str = "cloudwatch"
    notes: tuple[str, ...] = ()
    """What the newest batch could not read."""

    def last_hour(self, now: AwareDatetime) -> int:
        """Points and log events stored within the hour before `now`."""
        oldest = int(now.timestamp() // 60) - 60
        return sum(count for minute, count in self.by_minute.items() if minute > oldest)

    def lag_at(self, now: AwareDatetime) -> float | None:
        """Seconds that the store is behind: as measured, or more where rounds have been missed since."""
        missed = (now - self.updated_at).total_seconds() - 2 * self.interval_s
        if missed > 0:
            return (now - self.cursor).total_seconds()
        return self.lag_s


class StreamRequest(Value):
    """Input of the workflow TelemetryStream, and of its signal `configure`."""

    application: Application
    interval_s: Annotated[int, Field(ge=1)] = 60
    period_s: Annotated[int, Field(ge=1)] = 300
    """Bucket of the metrics, the finest that cycles can analyse later."""
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    backfill_s: Annotated[int, Field(ge=0)] = 7 * 24 * 3600
    """How much of the past a new collection reads first."""
    state: StreamState | None = None
    """Where an earlier run of the workflow left off."""
