"""What every ledger of model spending keeps to."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from selfbuild.adapters.spend_store import SqlSpendLedger
from selfbuild.adapters.store import SqlStore
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.model_calls import ModelAnswer, Spender, StopReason, Usage
from selfbuild.ports import SpendLedger
from tests.fakes.models import FakeLedger
from tests.fakes.values import NOON

ACME = Spender(tenant_id="acme", application="shop", cycle_id="cycle_1")


def an_answer(tokens: int = 100, cost_usd: float = 0.5) -> ModelAnswer:
    usage = Usage(input_tokens=tokens, output_tokens=10, cost_usd=cost_usd)
    return ModelAnswer(
        provider="anthropic",
        model="m" * 300,
        text="{}",
        stop_reason=StopReason.CUT_OFF,
        request_id="r" * 300,
        usage=usage,
    )


@pytest.fixture(params=["fake", "sqlite"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SpendLedger]:
    if request.param == "fake":
        yield FakeLedger()
        return
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/store.db")
    await store.open()
    yield SqlSpendLedger(store.engine)
    await store.close()


async def test_nothing_was_spent_at_first(ledger: SpendLedger) -> None:
    assert await ledger.spent() == Usage()


async def test_spending_is_summed_by_cycle_tenant_and_time(ledger: SpendLedger) -> None:
    other = ACME.model_copy(update={"tenant_id": "zeta", "cycle_id": "cycle_2"})
    await ledger.charge(ACME, an_answer(100), at=NOON)
    await ledger.charge(ACME, an_answer(200), at=NOON + timedelta(hours=1))
    await ledger.charge(other, an_answer(400), at=NOON + timedelta(hours=2))

    assert await ledger.spent() == Usage(input_tokens=700, output_tokens=30, cost_usd=1.5)
    assert (await ledger.spent(cycle_id="cycle_1")).input_tokens == 300
    assert (await ledger.spent(tenant_id="zeta")).input_tokens == 400
    assert (await ledger.spent(since=NOON + timedelta(hours=1))).input_tokens == 600
    assert (await ledger.spent(since=NOON + timedelta(hours=1), tenant_id="acme")).input_tokens == 200


async def test_ledger_without_a_database_says_so(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite+aiosqlite:///{tmp_path}/never-opened.db")
    ledger = SqlSpendLedger(store.engine)

    with pytest.raises(Unreachable):
        await ledger.charge(ACME, an_answer(), at=NOON)
    with pytest.raises(Unreachable):
        await ledger.spent()
    await store.close()
