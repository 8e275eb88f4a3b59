"""What every finder makes: an insight with the series that shows it. One way to make an id, one to sum a window."""

from collections.abc import Sequence
from datetime import UTC
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from selfbuild.analysis.screening import Screen
from selfbuild.domain.applications import Application
from selfbuild.domain.base import digest_of
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Evidence, Insight, InsightType, Severity
from selfbuild.domain.telemetry import Measure, Samples, Series, TelemetryWindow


class Finding(NamedTuple):
    """An insight, and what a chart of it shows."""

    insight: Insight
    series: Series | None = None
    baseline: float | None = None
    threshold: float | None = None


class Scene:
    """One window of one application, its series by component and measure."""

    def __init__(self, window: TelemetryWindow, policy: CyclePolicy, application: Application) -> None:
        self.window, self.policy, self.application = window, policy, application
        self.start, self.end = window.start.timestamp(), window.end.timestamp()
        self.baseline_start = window.baseline_start.timestamp()
        ordered = sorted(window.series, key=lambda s: (s.component, s.measure, s.metric))
        self.series: tuple[Series, ...] = tuple(ordered)
        self._by_place: dict[tuple[str, Measure], Series] = {}
        for series in ordered:
            self._by_place.setdefault((series.component, series.measure), series)
        ratios = (_error_ratio(self, component) for component in self.owned)
        self.error_ratios = {ratio.component: ratio for ratio in ratios if ratio is not None}
        """Failed share of the requests by component, 0-1; periods without requests are absent."""

    @cached_property
    def screen(self) -> Screen:
        """The series sifted; made at the first need of it."""
        return Screen((*self.series, *self.error_ratios.values()), window_start=self.start)

    @property
    def components(self) -> tuple[str, ...]:
        """All with a series, by name."""
        return tuple(sorted({series.component for series in self.series}))

    @property
    def owned(self) -> tuple[str, ...]:
        """Components of the application itself: those that count their requests."""
        return tuple(sorted({name for name, measure in self._by_place if measure is Measure.REQUESTS}))

    def of(self, component: str, measure: Measure) -> Series | None:
        """The component's series of a measure."""
        return self._by_place.get((component, measure))

    def all_of(self, measures: Sequence[Measure]) -> list[Series]:
        """Every series of these measures, by component, measure and metric."""
        return [series for series in self.series if series.measure in measures]

    def total(self, component: str, measure: Measure, since: float, until: float) -> float | None:
        """Sum over `[since, until)`; None when nothing was reported there."""
        series = self.of(component, measure)
        values = series.within(since, until) if series is not None else np.empty(0)
        return float(values.sum()) if len(values) else None

    def insight(
        self,
        *,
        insight_type: InsightType,
        component: str,
        fingerprint: str,
        severity: Severity,
        confidence: float,
        description: str,
        recommended_action: str,
        numbers: dict[str, float],
        samples: tuple[str, ...] = (),
        tenants: tuple[str, ...] = (),
        **more: Any,
    ) -> Insight:
        """An insight of this window; the same deviation in the same window has the same id."""
        window = self.window
        digest = digest_of(
            self.application.key, insight_type, component, fingerprint, window.end.astimezone(UTC).isoformat()
        )
        return Insight(
            insight_id=f"ins_{digest[:16]}",
            insight_type=insight_type,
            severity=severity,
            component=component,
            tenants=tenants or (self.application.tenant_id,),
            fingerprint=fingerprint,
            description=description,
            recommended_action=recommended_action,
            confidence=max(0.0, min(1.0, confidence)),
            evidence=Evidence(
                window_start=window.start,
                window_end=window.end,
                baseline_start=window.baseline_start,
                numbers=numbers,
                samples=samples,
                source=window.source,
            ),
            **more,
        )


def _error_ratio(scene: Scene, component: str) -> Series | None:
    errors, requests = scene.of(component, Measure.ERRORS), scene.of(component, Measure.REQUESTS)
    if errors is None or requests is None or errors.period_s != requests.period_s:
        return None
    period_s = errors.period_s
    first = max(errors.start, requests.start)
    skip = [round((first - each.start) / period_s) for each in (errors, requests)]
    failed, served = (each.values.array[n:] for each, n in zip((errors, requests), skip, strict=True))
    length = min(len(failed), len(served))
    if length == 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(served[:length] > 0, np.minimum(1.0, failed[:length] / served[:length]), np.nan)
    return Series(
        component=component,
        measure=Measure.ERRORS,
        metric="error ratio",
        unit="None",
        start=first,
        period_s=period_s,
        values=Samples(ratio),
    )


def key_of(*parts: str) -> str:
    """16 hex digits that name a deviation of one kind at one place."""
    return digest_of(*parts)[:16]


def times(ratio: float) -> str:
    """A ratio as people say it: `+35%`, `2.4 times`."""
    return f"{ratio:.1f} times" if ratio >= 2 else f"{ratio - 1:+.0%}"
