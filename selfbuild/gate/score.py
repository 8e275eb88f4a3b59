"""One number for how much of the gate a patch passed; it never outweighs a required check."""

from collections.abc import Iterable

from selfbuild.domain.patches import CheckName, CheckResult, CheckVerdict

WEIGHTS: dict[str, float] = {
    CheckName.FORMAT: 1,
    CheckName.PATH: 1,
    CheckName.SCOPE: 2,
    CheckName.SIZE: 1,
    CheckName.UNICODE: 1,
    CheckName.APPLY: 1,
    CheckName.CODE: 3,
    CheckName.SYNTAX: 2,
    CheckName.IMPORTS: 2,
    CheckName.LINT: 1,
    CheckName.TYPES: 2,
    CheckName.SECURITY: 3,
    CheckName.TESTS: 5,
}
"""What runs the code or looks for harm weighs more than what looks at its form."""
EXTRA_WEIGHTS: dict[str, float] = {
    CheckName.REPRODUCER: 4,
    CheckName.BEHAVIOUR: 2,
    CheckName.MUTANTS: 1,
    CheckName.SPEED: 1,
}
"""Of checks that are made for some patches only: they count where they were tried."""


def quality_score(checks: Iterable[CheckResult]) -> float:
    """Weighted share of the gate's checks that passed, 0 to 1; skipped and absent ones count as not passed.

    A check that is not made for every patch counts where it is present.
    """
    checks = tuple(checks)
    present = {check.name for check in checks}
    weights = WEIGHTS | {name: weight for name, weight in EXTRA_WEIGHTS.items() if name in present}
    passed = {check.name for check in checks if check.verdict is CheckVerdict.PASSED}
    failed = {check.name for check in checks if check.verdict is CheckVerdict.FAILED}
    won = sum(weight for name, weight in weights.items() if name in passed - failed)
    return won / sum(weights.values())
