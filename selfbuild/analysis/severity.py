"""How bad a deviation is for users: the tables behind `Insight.severity`.

Errors, by the share of the component's requests in the window that the group made fail:

| share | severity |
|---|---|
| from 0.20 | critical |
| from 0.05 | high |
| from 0.01 | medium |
| below | low |
| not known | medium |

One level worse when the component's error ratio is at least five times that of the baseline window.

Latency, by the relative rise: from 4.0 critical, but high while the level stays below one second; from 1.0 high;
from 0.5 medium; below low. Throughput, by the relative fall: from 0.9 high, below medium.
"""

from selfbuild.domain.insights import Severity

_LEVELS = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
_ERROR_RATIOS = (0.01, 0.05, 0.20)
_LATENCY_RISES = (0.5, 1.0, 4.0)
NOTICED_MS = 1000.0
"""Latency at which people lose their train of thought (Nielsen, "Response Times: The 3 Important Limits")."""
WORSENING = 5.0
NEARLY_SILENT = 0.9


def error_severity(
    error_ratio: float | None, *, baseline_error_ratio: float | None, component_ratio: float | None
) -> Severity:
    """Severity of an error group; None = not known."""
    level = 1 if error_ratio is None else sum(error_ratio >= limit for limit in _ERROR_RATIOS)
    if baseline_error_ratio is not None and component_ratio is not None:
        level += component_ratio > 0 and component_ratio >= WORSENING * baseline_error_ratio
    return _LEVELS[min(level, len(_LEVELS) - 1)]


def latency_severity(rise: float, *, after_ms: float) -> Severity:
    """Severity of a latency that rose by `rise` (1.0 = doubled) to `after_ms`."""
    level = _LEVELS[sum(rise >= limit for limit in _LATENCY_RISES)]
    return Severity.HIGH if level is Severity.CRITICAL and after_ms < NOTICED_MS else level


def throughput_severity(fall: float) -> Severity:
    """Severity of a throughput that fell by `fall` (0.9 = a tenth is left)."""
    return Severity.HIGH if fall >= NEARLY_SILENT else Severity.MEDIUM
