"""Budgets: what is asked, what is charged, and when nothing is asked any more."""

from datetime import timedelta

import pytest

from selfbuild.adapters.metered_model import MeteredModel
from selfbuild.domain.budgets import Budget, Budgets
from selfbuild.domain.errors import QuotaExhausted, Throttled
from selfbuild.domain.model_calls import ModelRequest, Spender
from tests.fakes.models import USAGE, FakeLedger, FakeModel
from tests.fakes.values import NOON


def a_question(cycle_id: str = "cycle_1", tenant_id: str = "acme") -> ModelRequest:
    spender = Spender(tenant_id=tenant_id, application="shop", cycle_id=cycle_id)
    return ModelRequest(system="s", user="u", answer_schema={}, spender=spender)


@pytest.mark.parametrize(
    ("budgets", "other", "reason"),
    [
        pytest.param(Budgets(cycle=Budget(tokens=100)), a_question("cycle_2"), "120 of 100 tokens", id="cycle-tokens"),
        pytest.param(Budgets(cycle=Budget(cost_usd=0.001)), a_question("cycle_2"), "0.0010 of 0.0010 USD", id="money"),
        pytest.param(
            Budgets(tenant_day=Budget(tokens=100)), a_question("cycle_2", "zeta"), "a tenant's day", id="tenant-day"
        ),
    ],
)
async def test_used_up_budget_asks_nothing_and_leaves_others_alone(
    budgets: Budgets, other: ModelRequest, reason: str
) -> None:
    model = FakeModel("{}")
    metered = MeteredModel(model, FakeLedger(), budgets, now=lambda: NOON)
    await metered.ask(a_question(), timeout_s=1)

    with pytest.raises(QuotaExhausted, match=reason):
        await metered.ask(a_question(), timeout_s=1)

    assert len(model.requests) == 1
    await metered.ask(other, timeout_s=1)


async def test_budget_of_a_day_is_everybodys_and_ends_with_the_day() -> None:
    clock = [NOON]
    metered = MeteredModel(FakeModel("{}"), FakeLedger(), Budgets(day=Budget(tokens=1)), now=lambda: clock[0])
    await metered.ask(a_question(), timeout_s=1)

    with pytest.raises(QuotaExhausted, match="a day is used up"):
        await metered.ask(a_question("cycle_2", "zeta"), timeout_s=1)

    clock[0] = NOON + timedelta(days=1)
    await metered.ask(a_question(), timeout_s=1)


async def test_every_answer_is_charged_and_an_error_is_not() -> None:
    ledger = FakeLedger()
    metered = MeteredModel(FakeModel("{}", Throttled("busy"), "{}"), ledger, Budgets())

    await metered.ask(a_question(), timeout_s=1)
    with pytest.raises(Throttled):
        await metered.ask(a_question(), timeout_s=1)
    await metered.ask(a_question(), timeout_s=1)

    assert await ledger.spent() == USAGE.plus(USAGE)


async def test_check_of_the_connection_is_on_nobodys_account() -> None:
    ledger = FakeLedger()
    metered = MeteredModel(FakeModel("{}"), ledger, Budgets(day=Budget(tokens=1)))

    for _ in range(3):
        await metered.ask(a_question().model_copy(update={"spender": None}), timeout_s=1)

    assert ledger.entries == []
