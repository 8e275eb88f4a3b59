"""The guard against hostile and harmless patches of a sample service."""

import pytest

from selfbuild.domain.patches import CheckName, CheckVerdict, Patch
from selfbuild.gate import PathPolicy, quality_score
from tests.unit.gate.cases import ATTACKS, BENIGN
from tests.unit.gate.sample import FILES, ORDERS, ask, change


@pytest.mark.parametrize(("patch", "reason"), [pytest.param(p, r, id=name) for name, p, r in ATTACKS])
def test_attack_is_refused_for_its_reason(patch: Patch, reason: str) -> None:
    result = ask(patch)

    assert result.reason_class == reason, result.message
    assert result.message.startswith("Validation failed: ")


@pytest.mark.parametrize("patch", [pytest.param(p, id=name) for name, p in BENIGN])
def test_harmless_change_is_accepted(patch: Patch) -> None:
    result = ask(patch)

    assert result.accepted, result.checks
    assert result.changed_lines > 0
    assert result.diff.startswith("--- a/shop/orders.py\n+++ b/shop/orders.py\n")


def test_checks_come_in_the_order_of_the_gate() -> None:
    names = [check.name for check in ask(change("LIMIT = 100", "LIMIT = 200")).checks]

    assert names == [name for name in CheckName if name in names]
    assert len(names) == 8


def test_syntax_error_names_its_line() -> None:
    result = ask(change("    out = 0\n", "    out = = 0\n"))

    line = ORDERS.split("\n").index("    out = 0") + 1
    assert result.message == f"Validation failed: Syntax error on line {line}"
    code = next(check for check in result.checks if check.name == "code")
    assert code.verdict is CheckVerdict.SKIPPED


def test_refusals_that_may_be_attacks_are_final() -> None:
    assert ask(change("a", "b", "/etc/passwd")).final
    assert not ask(change("no such text", "x")).final


def test_policy_of_the_application_narrows_the_scope() -> None:
    patch = change('line["qty"]', 'line.get("qty", 1)')

    assert ask(patch, policy=PathPolicy(allowed_paths=("lib/**",))).reason_class == "scope"
    assert ask(patch, policy=PathPolicy(denied_paths=("shop/ord*",))).reason_class == "scope"


def test_windows_newlines_are_kept() -> None:
    files = {"shop/orders.py": ORDERS.replace("\n", "\r\n")}

    result = ask(change("    out = 0\n", "    out = 0\n    out += 0\n"), files=files)

    assert result.accepted, result.checks
    assert "\n" not in result.files["shop/orders.py"].replace("\r\n", "")


def test_skipped_checks_lower_the_quality() -> None:
    accepted, broken = ask(change('line["qty"]', 'line.get("qty", 1)')), ask(change("    out = 0\n", "    out = (\n"))

    assert 0 < quality_score(broken.checks) < quality_score(accepted.checks) < 1


def test_files_not_shown_cannot_be_changed_even_if_known() -> None:
    assert ask(change("a", "b", "shop/__init__.py"), files=FILES).reason_class == "scope"
