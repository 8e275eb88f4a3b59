"""Which cycles a schedule would have started over stored telemetry, and what they would have found. Changes nothing."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from selfbuild.analysis.analyze import analyze
from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Analysis, Opportunity
from selfbuild.domain.telemetry import TelemetryWindow
from selfbuild.ports import TelemetryStore
from selfbuild.stored_window import window_of


def scheduled_times(interval: timedelta, *, since: datetime, until: datetime) -> Iterator[datetime]:
    """When a schedule of Temporal fires within `[since, until)`: at whole multiples of the interval since the epoch."""
    step = interval.total_seconds()
    number = math.ceil(since.timestamp() / step)
    while number * step < until.timestamp():
        yield datetime.fromtimestamp(number * step, UTC)
        number += 1


def backtest_cycles(
    store: TelemetryStore,
    application: Application,
    *,
    policy: CyclePolicy,
    interval: timedelta,
    since: datetime,
    until: datetime,
) -> Iterator[dict[str, Any]]:
    """One row a scheduled cycle of one application, oldest first.

    `opportunities` are those the cycle would have ranked; `chosen` are the ones within `max_improvements`, `again`
    those that an earlier row shows already. Since nothing is improved here, a problem is found until it ends.

    Raises:
        Unreachable: the store cannot be read.
    """
    known: set[str] = set()
    for started_at in scheduled_times(interval, since=since, until=until):
        start = started_at - timedelta(seconds=policy.analysis_window_s)
        window = window_of(
            store,
            application,
            baseline_start=start - timedelta(seconds=policy.baseline_window_s),
            start=start,
            end=started_at,
        )
        events = _events_in(window)
        analysis = analyze(window, policy=policy, application=application) if events else None
        yield _row(application, window, started_at, events, analysis, policy, known)
        known |= {each.insight.fingerprint for each in analysis.opportunities} if analysis else set()


def _events_in(window: TelemetryWindow) -> int:
    """Points and log events of the analysed part."""
    start, end = window.start.timestamp(), window.end.timestamp()
    return sum(len(series.within(start, end)) for series in window.series) + window.log_events_matched


def _row(
    application: Application,
    window: TelemetryWindow,
    started_at: datetime,
    events: int,
    analysis: Analysis | None,
    policy: CyclePolicy,
    known: set[str],
) -> dict[str, Any]:
    opportunities = analysis.opportunities if analysis else ()
    found = "opportunities" if opportunities else "no_opportunities"
    return {
        "started_at": _iso(started_at),
        "tenant_id": application.tenant_id,
        "application": application.name,
        "outcome": found if analysis else "no_telemetry",
        "window_start": _iso(window.start),
        "baseline_start": _iso(window.baseline_start),
        "telemetry_events": events,
        "insights": len(analysis.insights) if analysis else 0,
        "opportunities": [
            _opportunity(each, chosen=place < policy.max_improvements, again=each.insight.fingerprint in known)
            for place, each in enumerate(opportunities)
        ],
        "notes": list(window.notes) + (list(analysis.notes) if analysis else _no_telemetry(window)),
    }


def _no_telemetry(window: TelemetryWindow) -> list[str]:
    return [
        f"the store holds nothing of {_iso(window.start)} to {_iso(window.end)}: "
        "see 'selfbuild check telemetry' for what was collected"
    ]


def _opportunity(opportunity: Opportunity, *, chosen: bool, again: bool) -> dict[str, Any]:
    insight = opportunity.insight
    return {
        "insight_id": insight.insight_id,
        "insight_type": insight.insight_type.value,
        "severity": insight.severity.value,
        "component": insight.component,
        "description": insight.description,
        "impact_score": round(opportunity.impact_score, 3),
        "risk": opportunity.risk,
        "confidence": round(insight.confidence, 4),
        "location": str(insight.location) if insight.location else None,
        "chosen": chosen,
        "again": again,
    }


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
