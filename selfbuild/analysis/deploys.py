"""Names the release with which a regression began, where the times allow it. Pure; says nothing on the code."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from selfbuild.domain.base import AwareDatetime, Value
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import ReleaseSeen, Series

LABEL_LENGTH = 12
"""Hex digits of the commit's sha in the release dimension."""
MAX_LAG_PERIODS = 6
"""A regression that begins later than this after a release is not laid at its door: caches have filled by then."""
MAX_LEAD_PERIODS = 1
"""A shift may seem to begin a period before the release was first seen: both are rounded to periods."""
MAX_CONFIDENCE = 0.95
"""Coincidence in time is no proof."""
MIN_AROUND = 4
"""Samples on each side without which the start of a shift cannot be placed."""
CLEARLY_EARLIER = 1.25
"""A change that began before the release must fit the series better by this factor before it is preferred."""
SMALLEST = 1e-3
"""Samples at or below zero are taken for this before they are compared as ratios."""


class Attribution(Value):
    """The release with which a regression began."""

    release: str
    first_seen: AwareDatetime
    lag_periods: float
    """From the release's first telemetry to the start of the regression; negative within rounding."""
    commit: CommitInfo | None
    """None where the repository at hand does not hold it."""
    confidence: float
    """0-1: falls with the distance, with other releases near and with how often releases are made."""
    sentence: str


def attribute(
    shift_started: float,
    releases: Sequence[ReleaseSeen],
    commits: Sequence[CommitInfo] = (),
    *,
    period_s: int,
    observed_since: float,
    observed_until: float,
    series: Series | None = None,
) -> Attribution | None:
    """The release that a regression began with.

    Args:
        shift_started: Start of the first bad period, seconds since the epoch.
        releases: All that were seen, in any order; those seen from the beginning were not deployed in sight.
        commits: Known commits; a release is a commit by the first digits of its sha.
        period_s: Length of a period in seconds.
        observed_since: Start of the telemetry that `releases` come from, seconds since the epoch.
        observed_until: Its end; how often a release falls near a given moment by chance is taken from both.
        series: What shifted. Where its level clearly changed before the release, nothing is attributed.

    Returns:
        None where no release was first seen within reach before the shift.
    """
    seen = {r.release: r for r in releases if r.first_seen.timestamp() >= observed_since + period_s}
    lags = _lags(shift_started, seen, period_s)
    if not lags:
        return None
    name = min(lags, key=lambda n: (abs(lags[n]), n))
    release = seen[name]
    if series is not None and changed_before(series, release.first_seen.timestamp()):
        return None
    span_periods = (observed_until - observed_since) / period_s
    commit = next((c for c in commits if c.sha[:LABEL_LENGTH] == name), None)
    return Attribution(
        release=name,
        first_seen=release.first_seen,
        lag_periods=lags[name],
        commit=commit,
        confidence=_confidence(name, lags, len(seen), span_periods),
        sentence=_sentence(release, commit, lags, near_by=len(lags) - 1, releases=len(seen)),
    )


def _lags(shift_started: float, seen: Mapping[str, ReleaseSeen], period_s: int) -> dict[str, float]:
    """Periods from each release within reach to the shift."""
    lags = {name: (shift_started - release.first_seen.timestamp()) / period_s for name, release in seen.items()}
    return {name: lag for name, lag in lags.items() if -MAX_LEAD_PERIODS <= lag <= MAX_LAG_PERIODS}


def _confidence(name: str, lags: Mapping[str, float], releases: int, span_periods: float) -> float:
    """Nearness, shared with the other releases in reach, times the chance that none falls into reach by accident."""
    near = {n: math.exp2(-max(0.0, lag) / 2) for n, lag in lags.items()}
    reach = MAX_LEAD_PERIODS + MAX_LAG_PERIODS
    no_accident = math.pow(1 - reach / max(span_periods, reach), releases)
    return MAX_CONFIDENCE * (near[name] / sum(near.values())) * math.sqrt(near[name]) * no_accident


def changed_before(series: Series, released: float) -> bool:
    """Whether the level of a series changed more than a period before a release rather than with it.

    The series is cut in two at every place; the cut that leaves least scatter of the logarithms is where it changed.
    Flat and short series have not changed.
    """
    present = series.present
    starts = series.starts[present]
    logs = np.log(np.maximum(series.values.array[present], SMALLEST))
    n = len(logs)
    if n < 2 * MIN_AROUND:
        return False
    cuts = np.arange(MIN_AROUND, n - MIN_AROUND + 1)
    sums = np.cumsum(logs)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    gains = (right - left) ** 2 * cuts * (n - cuts) / n
    near = (starts[cuts] >= released - (MAX_LEAD_PERIODS + 0.5) * series.period_s) & (
        starts[cuts] <= released + MAX_LAG_PERIODS * series.period_s
    )
    earlier = starts[cuts] < released - (MAX_LEAD_PERIODS + 0.5) * series.period_s
    if not near.any() or not earlier.any():
        return bool(earlier.any())
    return float(gains[earlier].max()) > CLEARLY_EARLIER * float(gains[near].max())


def _sentence(
    release: ReleaseSeen, commit: CommitInfo | None, lags: dict[str, float], *, near_by: int, releases: int
) -> str:
    lag = lags[release.release]
    when = f"{lag:.0f} periods after" if lag >= 0.5 else "at the moment"
    text = f"began {when} release {release.release} was first seen at {release.first_seen:%Y-%m-%d %H:%M:%S} UTC"
    if commit is not None:
        author = "this agent" if commit.by_agent else commit.author_name
        text += f" (commit by {author} of {commit.committed_at:%Y-%m-%d %H:%M}: {commit.subject!r})"
    others = f"{near_by} other" if near_by else "no other"
    return f"{text}; {others} of {releases} releases came as near"
