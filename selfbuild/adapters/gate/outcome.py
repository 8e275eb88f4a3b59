"""How one check of the gate becomes a result: passed, failed with its place and remedy, or skipped with the reason."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict

_FINDINGS = 20
_REMEDY_CHARACTERS = 2000


@dataclass(frozen=True)
class Outcome:
    """What a check found."""

    verdict: CheckVerdict
    remedy: str | None = None
    place: str | None = None
    findings: tuple[str, ...] = ()


PASSED = Outcome(CheckVerdict.PASSED)


def failed(remedy: str, *, place: str | None = None, findings: tuple[str, ...] = ()) -> Outcome:
    """The patch is at fault."""
    return Outcome(CheckVerdict.FAILED, remedy, place, findings)


def skipped(reason: str) -> Outcome:
    """Nothing can be said."""
    return Outcome(CheckVerdict.SKIPPED, reason)


@dataclass(frozen=True)
class Finding:
    """One thing a tool says of a file; lines shift with a patch, so they are no part of what is compared."""

    path: str
    rule: str
    message: str


def delta(base: Counter[Finding], patched: Counter[Finding], lines: dict[Finding, int]) -> Outcome:
    """Fails for what the patched text has more of than the base."""
    more = [finding for finding in patched if patched[finding] > base[finding]]
    if not more:
        return PASSED
    more.sort(key=lambda finding: (finding.path, lines.get(finding, 0)))
    texts = tuple(f"{f.path}:{lines.get(f, 0)}: {f.rule} {f.message}" for f in more[:_FINDINGS])
    first = more[0]
    place = f"{first.path}:{lines.get(first, 0)}"
    return failed(f"{first.rule} {first.message} ({place})", place=place, findings=texts)


async def measured(name: CheckName, tool: str, check: Callable[[], Awaitable[Outcome]]) -> CheckResult:
    """Run a check and say what came of it and how long it took."""
    started = time.perf_counter()
    outcome = await check()
    return result_of(name, tool, outcome, (time.perf_counter() - started) * 1000)


def result_of(name: CheckName, tool: str, outcome: Outcome, duration_ms: float) -> CheckResult:
    """The check's record."""
    return CheckResult(
        name=name,
        verdict=outcome.verdict,
        tool=tool,
        duration_ms=duration_ms,
        place=outcome.place,
        remedy=outcome.remedy[:_REMEDY_CHARACTERS] if outcome.remedy else None,
        findings=outcome.findings,
    )
