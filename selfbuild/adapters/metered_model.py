"""A language model within a budget: asked only while something is left, and every answer is charged."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from selfbuild.domain.budgets import Budget, Budgets
from selfbuild.domain.errors import QuotaExhausted
from selfbuild.domain.model_calls import ModelAnswer, ModelRequest, Spender, Usage
from selfbuild.ports import LanguageModel, SpendLedger

_log = structlog.get_logger()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MeteredModel:
    """Implements LanguageModel around another one."""

    def __init__(
        self, model: LanguageModel, ledger: SpendLedger, budgets: Budgets, *, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self.name = model.name
        self._model = model
        self._ledger = ledger
        self._budgets = budgets
        self._now = now

    async def ask(self, request: ModelRequest, *, timeout_s: float) -> ModelAnswer:
        """As the model's own.

        Raises:
            QuotaExhausted: a budget is used up; nothing was asked. And what the model raises.
            Unreachable: the ledger does not answer; without it no budget could be kept.
        """
        spender = request.spender
        if spender is None:
            return await self._model.ask(request, timeout_s=timeout_s)
        await self._require_budget(spender)
        answer = await self._model.ask(request, timeout_s=timeout_s)
        await self._ledger.charge(spender, answer, at=self._now())
        _log.info("answer.charged", provider=self.name, cycle_id=spender.cycle_id, **answer.usage.model_dump())
        return answer

    async def aclose(self) -> None:
        """Close the model's connections."""
        await self._model.aclose()

    async def _require_budget(self, spender: Spender) -> None:
        day = self._now().replace(hour=0, minute=0, second=0, microsecond=0)
        budgets = self._budgets
        if budgets.cycle != Budget():
            self._require(
                budgets.cycle, await self._ledger.spent(cycle_id=spender.cycle_id), "a cycle", "LLM_*_PER_CYCLE"
            )
        if budgets.tenant_day != Budget():
            spent = await self._ledger.spent(since=day, tenant_id=spender.tenant_id)
            self._require(budgets.tenant_day, spent, "a tenant's day", "LLM_*_PER_TENANT_DAY")
        if budgets.day != Budget():
            self._require(budgets.day, await self._ledger.spent(since=day), "a day", "LLM_*_PER_DAY")

    def _require(self, budget: Budget, spent: Usage, span: str, setting: str) -> None:
        reason = budget.exceeded_by(spent)
        if reason is not None:
            raise QuotaExhausted(f"the budget of {span} is used up: {reason}; {self.name} is not asked (see {setting})")
